//! Properties that hold for the objects of every cluster.

use std::collections::{BTreeMap, BTreeSet};

use generators::admissible;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use multigres_crds::labels;
use multigres_crds::resolve::{each_child, each_object};
use multigres_crds::v1alpha1::StringMap;
use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn matches(selector: &StringMap, labels: &StringMap) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Labels of the pods of every workload, by kind and name of the workload.
fn pod_labels(manifests: &[Manifest]) -> BTreeMap<String, StringMap> {
    let workloads = manifests.iter().filter(|manifest| manifest.pod_template().is_some());
    let labels = workloads.map(|workload| {
        let labels = workload.body.pointer("/spec/template/metadata/labels").cloned().unwrap();
        (key(&workload.resource.kind, &workload.name), serde_json::from_value(labels).unwrap())
    });
    labels.collect()
}

fn key(kind: &str, name: &str) -> String {
    format!("{kind}/{name}")
}

fn selected(selector: &StringMap, pods: &BTreeMap<String, StringMap>) -> BTreeSet<String> {
    pods.iter().filter(|(_, labels)| matches(selector, labels)).map(|(key, _)| key.clone()).collect()
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        _ => false,
    }
}

/// The shard that the labels of an object name.
fn shard_of(labels: &StringMap) -> Vec<Option<&String>> {
    [labels::DATABASE, labels::TABLE_GROUP, labels::SHARD].iter().map(|key| labels.get(*key)).collect()
}

#[test]
fn services_reach_the_pods_they_are_named_after() {
    let manifests = rendered(&sample());
    let pods = pod_labels(&manifests);
    for (service, workload) in [
        ("example-multigres-cluster-etcd-client", "StatefulSet/example-multigres-cluster-etcd"),
        ("example-multigres-cluster-etcd-peer", "StatefulSet/example-multigres-cluster-etcd"),
        ("example-multigres-cluster-admin", "Deployment/example-multigres-cluster-multiadmin"),
    ] {
        let services: Vec<Service> = all("Service", &manifests);
        let service = services.into_iter().find(|s| s.metadata.name.as_deref() == Some(service)).unwrap();
        let selector = service.spec.unwrap().selector.unwrap();
        assert_eq!(selected(&selector, &pods), BTreeSet::from([workload.to_owned()]));
    }
}

fn any_cluster() -> impl Strategy<Value = MultigresCluster> {
    admissible().prop_map(|cluster| serde_json::from_value(cluster).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Admission tells from these who would make the same object. Secrets are made beside the manifests.
    #[test]
    fn objects_are_called_what_they_are_said_to_be(cluster in any_cluster()) {
        let made: BTreeSet<String> =
            rendered(&cluster).iter().map(|manifest| key(&manifest.resource.kind, &manifest.name)).collect();
        let mut said = BTreeSet::new();
        each_object(&cluster, &mut |_, kind, name| {
            if kind != "Secret" {
                said.insert(key(kind, name));
            }
        });
        prop_assert_eq!(made, said);
    }

    #[test]
    fn children_are_among_the_objects(cluster in any_cluster()) {
        let kinds = ["TopoServer", "MultiAdmin", "MultiOrch", "MultiCell", "MultiShard"];
        let (mut children, mut objects) = (Vec::new(), Vec::new());
        each_child(&cluster, &mut |kind, name| children.push(key(kind.as_str(), name)));
        each_object(&cluster, &mut |_, kind, name| objects.extend(kinds.contains(&kind).then(|| key(kind, name))));
        children.sort();
        objects.sort();
        prop_assert_eq!(children, objects);
    }

    #[test]
    fn workloads_select_their_own_pods_only(cluster in any_cluster()) {
        let manifests = rendered(&cluster);
        let pods = pod_labels(&manifests);
        for workload in manifests.iter().filter(|manifest| manifest.pod_template().is_some()) {
            let selector = workload.body.pointer("/spec/selector/matchLabels").cloned().unwrap();
            let selector = serde_json::from_value(selector).unwrap();
            let own = BTreeSet::from([key(&workload.resource.kind, &workload.name)]);
            prop_assert_eq!(selected(&selector, &pods), own);
        }
    }

    #[test]
    fn services_select_one_workload(cluster in any_cluster()) {
        let manifests = rendered(&cluster);
        let pods = pod_labels(&manifests);
        let services: Vec<Service> = all("Service", &manifests);
        for service in &services {
            let mut selector = service.spec.as_ref().unwrap().selector.clone().unwrap();
            // Which the StatefulSet's controller adds.
            selector.remove("statefulset.kubernetes.io/pod-name");
            prop_assert_eq!(selected(&selector, &pods).len(), 1, "{:?}", service.metadata.name);
        }
        for set in pools(&manifests) {
            let name = set.spec.unwrap().service_name;
            let service = services.iter().find(|service| service.metadata.name == name).unwrap();
            let selector = service.spec.as_ref().unwrap().selector.clone().unwrap();
            let own = BTreeSet::from([key("StatefulSet", set.metadata.name.as_ref().unwrap())]);
            prop_assert_eq!(selected(&selector, &pods), own);
        }
    }

    #[test]
    fn every_pooler_has_the_budget_of_its_shard_and_no_other(cluster in any_cluster()) {
        let manifests = rendered(&cluster);
        let pods = pod_labels(&manifests);
        let budgets: Vec<PodDisruptionBudget> = all("PodDisruptionBudget", &manifests);
        for (pod, labels) in &pods {
            let matching = budgets.iter().filter(|budget| {
                let selector = budget.spec.as_ref().unwrap().selector.clone().unwrap();
                matches(&selector.match_labels.unwrap(), labels)
            });
            let matching: Vec<_> = matching.collect();
            let component = labels[labels::COMPONENT].as_str();
            prop_assert_eq!(matching.len(), usize::from(["etcd", "multipooler"].contains(&component)), "{}", pod);
            for budget in matching {
                prop_assert_eq!(shard_of(budget.metadata.labels.as_ref().unwrap()), shard_of(labels));
            }
        }
    }

    #[test]
    fn names_are_unique_and_short(cluster in any_cluster()) {
        let manifests = rendered(&cluster);
        let mut seen = BTreeSet::new();
        for manifest in &manifests {
            prop_assert!(seen.insert(key(&manifest.resource.kind, &manifest.name)), "{} twice", manifest.name);
            let longest = if manifest.resource.kind == "StatefulSet" { 52 } else { 63 };
            prop_assert!(manifest.name.len() <= longest, "{}", manifest.name);
        }
    }

    #[test]
    fn bodies_are_complete_and_nothing_else(cluster in any_cluster()) {
        for manifest in rendered(&cluster) {
            let body = &manifest.body;
            prop_assert!(!has_null(body), "{body}");
            prop_assert_eq!(&body["apiVersion"], &Value::from(manifest.resource.api_version.as_str()));
            prop_assert_eq!(&body["kind"], &Value::from(manifest.resource.kind.as_str()));
            prop_assert_eq!(&body["metadata"]["name"], &Value::from(manifest.name.as_str()));
            prop_assert_eq!(&body["metadata"]["namespace"], &Value::from("n"));
            prop_assert_eq!(&body["metadata"]["labels"][labels::MANAGED_BY], &Value::from(labels::OPERATOR));
            prop_assert!(body.get("status").is_none() && body["metadata"].get("ownerReferences").is_none());
        }
    }

    #[test]
    fn service_ids_are_unique_in_a_cell(cluster in any_cluster()) {
        let mut seen = BTreeSet::new();
        for set in pools(&rendered(&cluster)) {
            let pod = set.spec.unwrap().template.spec.unwrap();
            let pooler = container(&pod, "multipooler");
            let id = arg(pooler, "service-id").unwrap().strip_suffix("-$(POD_INDEX)").unwrap().to_owned();
            // The largest ordinal has two digits; the longest cell name that is admitted has 40 characters.
            prop_assert!(40 + 1 + id.len() + "-99".len() <= 63, "{id}");
            prop_assert!(!id.contains('_') && !arg(pooler, "cell").unwrap().contains('_'));
            prop_assert!(seen.insert((arg(pooler, "cell").unwrap().to_owned(), id)));
        }
    }

    #[test]
    fn the_same_cluster_gives_the_same_bytes(cluster in any_cluster()) {
        let bytes = |manifests: &[Manifest]| yaml(manifests);
        prop_assert_eq!(bytes(&rendered(&cluster)), bytes(&rendered(&cluster.clone())));
    }
}
