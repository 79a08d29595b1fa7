//! Driving the status of pods by hand, in the place of a kubelet.

use std::net::Ipv4Addr;

use anyhow::Context;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStatus, Pod,
    PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

/// Makes a pod running, and ready or not, with all of its containers.
///
/// It is meant for pods that nothing else reports the status of: on a control plane without nodes, or with
/// [`PodReadiness::ByHand`](crate::PodReadiness::ByHand), or after the fake kubelet has made the pod ready.
pub async fn set_pod_ready(client: Client, namespace: &str, name: &str, ready: bool) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::namespaced(client, namespace);
    let pod = pods.get(name).await?;
    let status = running(&pod, ready)?;
    pods.patch_status(name, &PatchParams::default(), &Patch::Strategic(json!({ "status": status }))).await?;
    Ok(())
}

fn running(pod: &Pod, ready: bool) -> anyhow::Result<PodStatus> {
    let spec = pod.spec.as_ref().context("the pod has no spec")?;
    let address = address(pod)?;
    let init = spec.init_containers.iter().flatten().map(|container| {
        if is_sidecar(container) {
            running_container(container, ready)
        } else {
            completed_container(container)
        }
    });
    Ok(PodStatus {
        phase: Some("Running".into()),
        conditions: Some(vec![
            condition("Initialized", true),
            condition("ContainersReady", ready),
            condition("Ready", ready),
        ]),
        container_statuses: Some(
            spec.containers.iter().map(|container| running_container(container, ready)).collect(),
        ),
        init_container_statuses: Some(init.collect()),
        pod_ips: Some(vec![PodIP { ip: address.clone() }]),
        pod_ip: Some(address),
        ..Default::default()
    })
}

fn is_sidecar(init_container: &Container) -> bool {
    init_container.restart_policy.as_deref() == Some("Always")
}

fn running_container(container: &Container, ready: bool) -> ContainerStatus {
    ContainerStatus {
        ready,
        started: Some(true),
        state: Some(ContainerState {
            running: Some(ContainerStateRunning { started_at: Some(now()) }),
            ..Default::default()
        }),
        ..status(container)
    }
}

fn completed_container(container: &Container) -> ContainerStatus {
    ContainerStatus {
        ready: true,
        state: Some(ContainerState {
            terminated: Some(ContainerStateTerminated {
                reason: Some("Completed".into()),
                finished_at: Some(now()),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..status(container)
    }
}

fn status(container: &Container) -> ContainerStatus {
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        ..Default::default()
    }
}

fn condition(type_: &str, holds: bool) -> PodCondition {
    PodCondition {
        type_: type_.into(),
        status: if holds { "True" } else { "False" }.into(),
        last_transition_time: Some(now()),
        ..Default::default()
    }
}

/// The address the pod has, or one made from its uid: Services list no pod without one.
fn address(pod: &Pod) -> anyhow::Result<String> {
    if let Some(address) = pod.status.as_ref().and_then(|status| status.pod_ip.clone()) {
        return Ok(address);
    }
    let uid = pod.metadata.uid.as_deref().context("the pod has no uid")?;
    let [first, second, third, _] =
        u32::from_str_radix(uid.get(..8).context("the uid is short")?, 16)?.to_be_bytes();
    Ok(Ipv4Addr::new(10, first, second, third).to_string())
}

fn now() -> Time {
    Time(Timestamp::now())
}
