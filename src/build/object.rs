//! Objects around pods: metadata, selectors, Deployments, Services, disruption budgets.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{PodTemplateSpec, Service, ServicePort, ServiceSpec};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ObjectMeta;
use multigres_crds::v1alpha1::StringMap;

/// Name, namespace and labels.
pub fn metadata(name: String, namespace: &str, labels: StringMap) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(namespace.to_owned()),
        labels: Some(labels),
        ..ObjectMeta::default()
    }
}

/// A selector of pods by labels.
pub fn selector(labels: StringMap) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}

/// A value, or nothing where it is empty: what is not said is not applied.
pub fn unless_empty<T: Clone + Default + PartialEq>(value: &T) -> Option<T> {
    Some(value.clone()).filter(|value| *value != T::default())
}

/// Pods that are alike.
pub fn deployment(
    metadata: ObjectMeta,
    replicas: i32,
    labels: StringMap,
    template: PodTemplateSpec,
) -> Deployment {
    let spec = DeploymentSpec {
        replicas: Some(replicas),
        selector: selector(labels),
        template,
        ..DeploymentSpec::default()
    };
    Deployment { metadata, spec: Some(spec), status: None }
}

/// A Service with one address.
pub fn service(metadata: ObjectMeta, selector: StringMap, ports: Vec<ServicePort>) -> Service {
    let spec = ServiceSpec { selector: Some(selector), ports: Some(ports), ..ServiceSpec::default() };
    Service { metadata, spec: Some(spec), status: None }
}

/// A Service that gives each pod a DNS name.
pub fn headless_service(metadata: ObjectMeta, selector: StringMap, ports: Vec<ServicePort>) -> Service {
    let mut service = also_not_ready(service(metadata, selector, ports));
    service.spec = service.spec.map(|spec| ServiceSpec { cluster_ip: Some("None".to_owned()), ..spec });
    service
}

/// The Service, also for pods that are not ready: members find each other before they serve.
pub fn also_not_ready(service: Service) -> Service {
    let spec = service.spec.map(|spec| ServiceSpec { publish_not_ready_addresses: Some(true), ..spec });
    Service { spec, ..service }
}

/// A port of a Service, and the port of the pods behind it.
pub fn service_port(name: &str, port: i32, target: i32) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port,
        target_port: Some(IntOrString::Int(target)),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    }
}

/// A budget under which one of `pods` may be missing.
///
/// An absolute minimum: `maxUnavailable` counts only what exists, so a pod that is gone, or a StatefulSet that is
/// being re-created, would let another one go.
pub fn one_may_be_missing(metadata: ObjectMeta, labels: StringMap, pods: i32) -> PodDisruptionBudget {
    let spec = PodDisruptionBudgetSpec {
        min_available: Some(IntOrString::Int((pods - 1).max(0))),
        selector: Some(selector(labels)),
        unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
        ..PodDisruptionBudgetSpec::default()
    };
    PodDisruptionBudget { metadata, spec: Some(spec), status: None }
}
