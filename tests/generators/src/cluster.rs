//! Clusters as a whole.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use crate::database::{component, section};
use crate::fields::{backup, claim, image, keys, maybe, number, object, one_of, placement, resources};

const NAMES: [&str; 4] = ["c", "c-a", "multigres", "a-rather-long-name-of-a-cluster-of-forty"];
const CELLS: [&str; 4] = ["a", "a-b", "b", "us-east-1"];

/// Clusters that admission admits, in namespace `n`.
pub fn admissible() -> impl Strategy<Value = Value> {
    admissible_in("n")
}

/// Clusters that admission admits, in a namespace.
pub fn admissible_in(namespace: &str) -> impl Strategy<Value = Value> + use<> {
    let namespace = namespace.to_owned();
    (select(&NAMES[..]), spec()).prop_map(move |(name, spec)| {
        json!({
            "apiVersion": "multigres.com/v1alpha1",
            "kind": "MultigresCluster",
            "metadata": { "name": name, "namespace": namespace },
            "spec": spec,
        })
    })
}

fn spec() -> impl Strategy<Value = Value> {
    let cells = subsequence(&CELLS[..], 1..=CELLS.len()).prop_shuffle();
    let sections = cells.prop_flat_map(|names| (cells_section(names.clone()), maybe(section(names))));
    let components = (maybe(component(0..4)), maybe(component(0..4)));
    (topology(), sections, components, maybe(backup()), common()).prop_map(
        |(topology, (cells, databases), (admin, orchestrator), backup, common)| {
            let mut spec = common;
            let sections = [
                ("globalTopoServer", Some(topology)),
                ("admin", admin),
                ("orchestrator", orchestrator),
                ("cells", Some(cells)),
                ("databases", databases),
                ("backup", backup),
            ];
            for (name, section) in sections {
                if let Some(section) = section {
                    spec[name] = section;
                }
            }
            spec
        },
    )
}

/// Fields that all sections share.
fn common() -> impl Strategy<Value = Value> {
    let policies = || maybe(one_of(&["Retain", "Delete"]));
    let retention = (policies(), policies())
        .prop_map(|(deleted, scaled)| object([("whenDeleted", deleted), ("whenScaled", scaled)]));
    (
        maybe(Just(json!([{ "name": "registry" }]))),
        maybe(one_of(&["Always", "IfNotPresent", "Never"])),
        maybe(retention),
        maybe(any::<bool>().prop_map(Value::from)),
        maybe(any::<bool>().prop_map(Value::from)),
        maybe(one_of(&["2026-01-02T03:04:05Z"])),
        maybe(one_of(&[1, 2])),
        maybe(one_of(&["2026-01-02T03:04:05Z"])),
    )
        .prop_map(|(secrets, policy, retention, protection, paused, restarted, revision, forced)| {
            object([
                ("imagePullSecrets", secrets),
                ("imagePullPolicy", policy),
                ("persistentVolumeClaimRetentionPolicy", retention),
                ("deletionProtection", protection),
                ("paused", paused),
                ("restartedAt", restarted),
                ("workloadRevision", revision),
                ("forceRolloutAt", forced),
            ])
        })
}

fn topology() -> impl Strategy<Value = Value> {
    let root = || one_of(&["/multigres", "/multigres/global", "/a-b_c.d"]);
    let managed_spec = (
        maybe(one_of(&[1, 3, 5, 7])),
        maybe(image()),
        maybe(claim()),
        maybe(resources()),
        maybe(placement()),
        maybe(keys()),
    );
    let managed_spec = managed_spec.prop_map(|(replicas, image, claim, resources, placement, labels)| {
        object([
            ("replicas", replicas),
            ("image", image),
            ("dataVolumeClaimTemplate", claim),
            ("resources", resources),
            ("placement", placement),
            ("podLabels", labels),
        ])
    });
    let managed = (root(), maybe(one_of(&[true])), maybe(managed_spec)).prop_map(|(root, managed, spec)| {
        object([("rootPath", Some(root)), ("managed", managed), ("managedSpec", spec)])
    });
    let addresses = ["etcd.generated.example.com:2379", "10.0.0.1:2379,[2001:db8::1]:2379"];
    let tls = json!({ "caSecretRef": { "name": "ca" }, "clientCertSecretRef": { "name": "client" } });
    let external = (root(), maybe(one_of(&[false])), select(addresses.to_vec()), maybe(Just(tls)));
    let external = external.prop_map(|(root, managed, address, tls)| {
        let external = object([("address", Some(json!(address))), ("tls", tls)]);
        object([("rootPath", Some(root)), ("managed", managed), ("external", Some(external))])
    });
    prop_oneof![managed, external]
}

fn cells_section(names: Vec<&'static str>) -> impl Strategy<Value = Value> {
    let templates: Vec<_> = names.into_iter().map(cell).collect();
    (maybe(one_of(&[true])), maybe(image()), templates).prop_map(|(managed, image, templates)| {
        object([("managed", managed), ("multiGatewayImage", image), ("templates", Some(templates.into()))])
    })
}

fn cell(name: &'static str) -> impl Strategy<Value = Value> {
    let own = json!({
        "address": format!("etcd-{name}.generated.example.com:2379"),
        "rootPath": format!("/generated/{name}"),
    });
    let spec = (
        maybe(gateway()),
        maybe(Just(json!({ "external": own }))),
        maybe(placement()),
        maybe(keys()),
        maybe(keys()),
    );
    let spec = spec.prop_map(|(gateway, topology, placement, labels, annotations)| {
        object([
            ("multiGateway", gateway),
            ("topoServer", topology),
            ("placement", placement),
            ("podLabels", labels),
            ("podAnnotations", annotations),
        ])
    });
    maybe(spec).prop_map(move |spec| object([("name", Some(json!(name))), ("spec", spec)]))
}

fn gateway() -> impl Strategy<Value = Value> {
    let service = (
        maybe(one_of(&["ClusterIP", "NodePort", "LoadBalancer"])),
        maybe(keys()),
        maybe(Just(json!(["10.0.0.0/8"]))),
    );
    let service = service.prop_map(|(type_, annotations, ranges)| {
        object([("type", type_), ("annotations", annotations), ("loadBalancerSourceRanges", ranges)])
    });
    let tls = maybe(Just(json!({ "secretRef": { "name": "tls" } })));
    (maybe(number(0..4)), maybe(image()), maybe(resources()), maybe(service), tls).prop_map(
        |(replicas, image, resources, service, tls)| {
            object([
                ("replicas", replicas),
                ("image", image),
                ("resources", resources),
                ("service", service),
                ("tls", tls),
            ])
        },
    )
}
