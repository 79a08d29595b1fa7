use clap::{Args, Command, FromArgMatches};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding};
use serde::de::DeserializeOwned;

use super::*;
use crate::server::ServerArgs;

fn args() -> ManifestsArgs {
    ManifestsArgs {
        namespace: "ops".to_owned(),
        image: "registry.example/operator:v1".to_owned(),
        replicas: 3,
        webhook_url: None,
        user: None,
    }
}

fn outside() -> ManifestsArgs {
    ManifestsArgs { webhook_url: Some("https://127.0.0.1:9443".to_owned()), ..args() }
}

fn kinds(objects: &[Value]) -> Vec<&str> {
    objects.iter().map(|object| object["kind"].as_str().unwrap()).collect()
}

fn find<K: DeserializeOwned>(objects: &[Value], kind: &str) -> K {
    let object = objects.iter().find(|object| object["kind"] == kind).unwrap();
    serde_json::from_value(object.clone()).unwrap()
}

/// A field that the type does not know would be lost on the way through it.
fn through<K: DeserializeOwned + serde::Serialize>(object: &Value) -> Value {
    json!(serde_json::from_value::<K>(object.clone()).unwrap())
}

#[test]
fn every_manifest_is_what_its_kind_says() {
    for object in manifests(&args()) {
        let through = match object["kind"].as_str().unwrap() {
            "Namespace" => through::<Namespace>(&object),
            "ServiceAccount" => through::<ServiceAccount>(&object),
            "ClusterRole" => through::<ClusterRole>(&object),
            "ClusterRoleBinding" => through::<ClusterRoleBinding>(&object),
            "Role" => through::<Role>(&object),
            "RoleBinding" => through::<RoleBinding>(&object),
            "Service" => through::<Service>(&object),
            "Deployment" => through::<Deployment>(&object),
            "PodDisruptionBudget" => through::<PodDisruptionBudget>(&object),
            "MutatingWebhookConfiguration" => through::<MutatingWebhookConfiguration>(&object),
            "ValidatingWebhookConfiguration" => through::<ValidatingWebhookConfiguration>(&object),
            kind => panic!("{kind} is not expected"),
        };
        assert_json_diff::assert_json_eq!(object, through);
    }
}

#[test]
fn an_operator_outside_the_cluster_is_called_by_url_and_has_no_pods() {
    let (inside, outside) = (manifests(&args()), manifests(&outside()));
    let pods = ["Service", "Deployment", "PodDisruptionBudget"];
    let rest: Vec<_> = kinds(&inside).into_iter().filter(|kind| !pods.contains(kind)).collect();
    assert_eq!(kinds(&outside), rest);

    let webhooks: ValidatingWebhookConfiguration = find(&outside, "ValidatingWebhookConfiguration");
    for webhook in webhooks.webhooks.unwrap() {
        assert!(webhook.client_config.url.unwrap().starts_with("https://127.0.0.1:9443/"));
    }
}

/// The path of a review: configuration → Service → pod's port → its own idea of where to listen.
#[test]
fn api_servers_find_the_pods() {
    let objects = manifests(&args());
    let service: Service = find(&objects, "Service");
    let deployment: Deployment = find(&objects, "Deployment");
    let configuration: MutatingWebhookConfiguration = find(&objects, "MutatingWebhookConfiguration");
    let (service, template) = ((service.metadata, service.spec.unwrap()), deployment.spec.unwrap().template);

    for webhook in configuration.webhooks.unwrap() {
        let reference = webhook.client_config.service.unwrap();
        assert_eq!(Some(&reference.name), service.0.name.as_ref());
        assert_eq!(Some(&reference.namespace), service.0.namespace.as_ref());
        let port = &service.1.ports.as_ref().unwrap()[0];
        assert_eq!(reference.port, Some(port.port));
        assert_eq!(service_names("ops")[0], format!("{}.{}.svc", reference.name, reference.namespace));
    }
    assert_eq!(service.1.selector, template.metadata.unwrap().labels);

    let ports = template.spec.unwrap().containers.remove(0).ports.unwrap();
    let listening = default_addresses();
    for (name, address) in [("webhooks", listening.webhook_address), ("ops", listening.ops_address)] {
        let port = ports.iter().find(|port| port.name.as_deref() == Some(name)).unwrap();
        assert_eq!(port.container_port, i32::from(address.port()));
    }
}

#[test]
fn the_operator_is_who_the_webhooks_let_pass() {
    for (user, name, subject) in [
        (None, "system:serviceaccount:ops:multigres-operator", "ServiceAccount"),
        (Some("jane".to_owned()), "jane", "User"),
    ] {
        let objects = manifests(&ManifestsArgs { user, ..outside() });
        let binding: ClusterRoleBinding = find(&objects, "ClusterRoleBinding");
        assert_eq!(binding.subjects.unwrap()[0].kind, subject);
        let webhooks: MutatingWebhookConfiguration = find(&objects, "MutatingWebhookConfiguration");
        for webhook in webhooks.webhooks.unwrap() {
            let conditions = webhook.match_conditions.unwrap();
            assert!(conditions.iter().any(|condition| condition.expression.contains(&format!("'{name}'"))));
        }
    }
}

/// Default addresses of the operator.
fn default_addresses() -> ServerArgs {
    let none = ServerArgs::augment_args(Command::new("run")).get_matches_from(["run"]);
    ServerArgs::from_arg_matches(&none).unwrap()
}

fn verbs<'a>(rules: &'a [PolicyRule], group: &str, resource: &str) -> Vec<&'a str> {
    let all = |list: &Option<Vec<String>>, name: &str| list.iter().flatten().any(|have| have == name);
    let rules = rules.iter().filter(|rule| all(&rule.api_groups, group) && all(&rule.resources, resource));
    rules.flat_map(|rule| rule.verbs.iter().map(String::as_str)).collect()
}

#[test]
fn the_operator_may_do_what_it_needs_and_no_more() {
    let role: ClusterRole = find(&manifests(&args()), "ClusterRole");
    let rules = role.rules.unwrap();
    for rule in &rules {
        for list in [Some(&rule.verbs), rule.api_groups.as_ref(), rule.resources.as_ref()] {
            assert!(list.is_some_and(|list| !list.is_empty() && !list.contains(&"*".to_owned())), "{rule:?}");
        }
    }
    assert_eq!(verbs(&rules, "", "secrets"), ["get", "create", "update", "patch"]);
    assert_eq!(verbs(&rules, "", "pods"), ["list", "watch", "delete"]);
    assert_eq!(
        verbs(&rules, "", "persistentvolumeclaims"),
        ["get", "list", "watch", "create", "patch", "delete"]
    );
    assert_eq!(verbs(&rules, "multigres.com", "multigresclusters"), ["list", "watch"]);
    assert_eq!(verbs(&rules, "multigres.com", "multishards/status"), ["patch"]);
    assert!(verbs(&rules, "apps", "daemonsets").is_empty());
    for rule in
        rules.iter().filter(|rule| rule.api_groups == Some(vec!["admissionregistration.k8s.io".to_owned()]))
    {
        assert_eq!(rule.resource_names, Some(vec![configuration::NAME.to_owned()]));
        assert_eq!(rule.verbs, ["get", "patch"]);
    }
}

#[test]
fn manifests_are_yaml() {
    let mut yaml = Vec::new();
    args().run(&mut yaml).unwrap();
    let read: Vec<Value> = serde_saphyr::from_multiple(std::str::from_utf8(&yaml).unwrap()).unwrap();
    assert_eq!(read, manifests(&args()));
}

#[test]
fn a_webhook_is_called_over_https() {
    for (url, good) in [
        ("https://127.0.0.1:9443", true),
        ("https://operator.example:443/", true),
        ("http://127.0.0.1:9443", false),
        ("https://", false),
        ("https://user@host", false),
        ("127.0.0.1:9443", false),
    ] {
        assert_eq!(https_url(url).is_ok(), good, "{url}");
    }
}
