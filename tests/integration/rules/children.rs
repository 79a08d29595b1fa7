//! Children that stand alone. They are of a cluster that is not there, so that storing them makes nothing of it.

use super::*;
use crate::answers::{Answer, Resource};

/// A kind and its resource, an edit, and what is then wrong.
pub type Case = (&'static str, (&'static str, &'static str), fn(&mut Value), &'static [Cause]);

pub const ADMIN: (&str, &str) = ("MultiAdmin", "multiadmins");
pub const CELL: (&str, &str) = ("MultiCell", "multicells");
pub const SHARD: (&str, &str) = ("MultiShard", "multishards");
pub const ETCD: (&str, &str) = ("TopoServer", "toposervers");

const GLOBAL: &str = "{address: etcd.example.com:2379, rootPath: /multigres/alone}";

pub fn sound((kind, _): (&str, &str)) -> Value {
    let spec = match kind {
        "MultiAdmin" => format!("{{globalTopology: {GLOBAL}, image: 'multigres:v1', replicas: 0}}"),
        "MultiCell" => format!(
            "{{cell: a, globalTopology: {GLOBAL}, topology: {{address: etcd.example.com:2379, rootPath: /multigres/alone/a}}, \
             multiGateway: {{image: 'multigres:v1', replicas: 0, service: {{type: ClusterIP}}}}}}"
        ),
        "TopoServer" => format!("{{image: 'etcd:v1', replicas: 3, dataVolumeClaimTemplate: {VOLUME}}}"),
        _ => format!(
            "{{database: app, tableGroup: default, shard: 0-inf, durabilityPolicy: AT_LEAST_2, globalTopology: {GLOBAL}, password: {{secretKeyRef: {{name: p, key: k}}}}, \
             backup: {{s3: {{bucket: b, region: r}}}}, pools: [{{name: p, cell: a, type: replica, replicas: 3, \
             dataVolumeClaimTemplate: {VOLUME}, postgres: {{image: 'pgctld:v1'}}, multiPooler: {{image: 'multigres:v1'}}}}]}}"
        ),
    };
    let mut spec: Value = serde_saphyr::from_str(&spec).unwrap();
    spec["cluster"] = json!("alone");
    spec["paused"] = json!(true);
    json!({"apiVersion": "multigres.com/v1alpha1", "kind": kind, "metadata": {"name": "alone"}, "spec": spec})
}

const VOLUME: &str = "{accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Gi}}}";

pub const CREATED: &[Case] = &[
    ("K03", ADMIN, |_| {}, &[]),
    ("K03", CELL, |_| {}, &[]),
    ("K03", SHARD, |_| {}, &[]),
    ("K03", ETCD, |_| {}, &[]),
    ("C24", ADMIN, |c| c["spec"]["pods"] = json!({"workloadRevision": 2}), &[]),
    (
        "C24",
        ADMIN,
        |c| c["spec"]["pods"] = json!({"workloadRevision": 3}),
        &[("Invalid", "spec.pods.workloadRevision", "this operator builds no revision 3")],
    ),
    (
        "K03",
        ADMIN,
        |c| {
            c["spec"]["cluster"] = json!("1a");
            c["spec"]["globalTopology"]["address"] = json!("http://etcd:2379");
            c["spec"]["image"] = json!("Image");
        },
        &[
            ("Invalid", "spec.cluster", "is not a valid cluster name"),
            ("Invalid", "spec.globalTopology.address", "has a URL scheme"),
            ("Invalid", "spec.image", "is not an image reference"),
        ],
    ),
    // With what the API server misses.
    (
        "K03",
        CELL,
        |c| {
            without(&mut c["spec"], "globalTopology");
            c["spec"]["cell"] = json!("global");
        },
        &[
            ("Invalid", "spec.cell", "is reserved: the topology uses it as a key"),
            ("Required", "spec.globalTopology", ""),
        ],
    ),
    (
        "K03",
        CELL,
        |c| c["spec"]["topology"] = c["spec"]["globalTopology"].clone(),
        &[("Invalid", "spec.topology.rootPath", "is the root of the global topology; give the cell")],
    ),
    (
        "K03",
        SHARD,
        |c| {
            c["spec"]["shard"] = json!("all");
            c["spec"]["backup"] = json!({});
            c["spec"]["pools"][0]["replicas"] = json!(1);
        },
        &[
            ("Required", "spec.backup", "names no location"),
            ("Invalid", "spec.pools[0].replicas", "1 instance can lead this shard"),
            ("Invalid", "spec.shard", "is not a key range"),
        ],
    ),
];

pub const CHANGED: &[Case] = &[
    ("K04", ADMIN, |c| c["spec"]["replicas"] = json!(1), &[]),
    ("K04", SHARD, |c| c["spec"]["pools"][0]["replicas"] = json!(2), &[]),
    (
        "K04",
        ADMIN,
        |c| {
            c["spec"]["cluster"] = json!("another");
            c["spec"]["globalTopology"] = json!({"address": "other.example.com:2379", "rootPath": "/other"});
        },
        &[
            ("Invalid", "spec.cluster", "cannot be changed from \"alone\" to \"another\""),
            ("Forbidden", "spec.globalTopology.address", "the topology would move"),
            ("Forbidden", "spec.globalTopology.rootPath", "cannot be changed"),
        ],
    ),
    (
        "K04",
        ETCD,
        |c| {
            c["spec"]["replicas"] = json!(5);
            c["spec"]["dataVolumeClaimTemplate"]["resources"]["requests"]["storage"] = json!("1Gi");
        },
        &[
            (
                "Forbidden",
                "spec.dataVolumeClaimTemplate.resources.requests.storage",
                "a volume cannot shrink",
            ),
            ("Invalid", "spec.replicas", "cannot be changed from 3 to 5"),
        ],
    ),
    (
        "K04",
        SHARD,
        |c| {
            c["spec"]["durabilityPolicy"] = json!("MULTI_CELL_AT_LEAST_2");
            c["spec"]["pools"][0]["name"] = json!("q");
            let mut other = c["spec"]["pools"][0].clone();
            other["name"] = json!("r");
            other["cell"] = json!("b");
            push(&mut c["spec"]["pools"], other);
        },
        &[
            (
                "Invalid",
                "spec.durabilityPolicy",
                "cannot be changed from AT_LEAST_2 to MULTI_CELL_AT_LEAST_2",
            ),
            ("Forbidden", "spec.pools", "add q: 3, add r: 3; wait; remove p"),
        ],
    ),
];

/// A kind and its resource, an edit, what is told of it, and an edit after which it is not.
type Warned = (&'static str, (&'static str, &'static str), fn(&mut Value), &'static str, fn(&mut Value));

/// Warnings about children that are created.
pub const WARNED: &[Warned] = &[
    (
        "W17",
        ADMIN,
        |c| {
            c["spec"]["cluster"] = json!("other");
            c["spec"]["globalTopology"]["address"] = json!("other-etcd-client:2379");
        },
        "TopoServer of cluster \"other\" does not exist yet (spec.globalTopology.address)",
        |c| c["spec"]["globalTopology"]["address"] = json!("alone-etcd-client:2379"),
    ),
    (
        "W17",
        SHARD,
        |c| c["spec"]["pools"][0]["cell"] = json!("b"),
        "MultiCell of cell \"b\" in cluster \"alone\" does not exist yet",
        |_| {},
    ),
];

/// Children that are there before a cluster comes to expect them, and what is then wrong with the cluster.
pub const ADOPTED: &[Case] = &[
    (
        "U10",
        CELL,
        |c| {
            c["metadata"]["name"] = json!("alone-zone-a");
            c["spec"]["cluster"] = json!("elsewhere");
        },
        &[(
            "Forbidden",
            "spec.cells.templates[0].name",
            "MultiCell \"alone-zone-a\" exists and belongs to MultigresCluster \"elsewhere\"",
        )],
    ),
    (
        "U10",
        ETCD,
        |c| {
            c["metadata"]["name"] = json!("alone-etcd");
            c["spec"]["replicas"] = json!(5);
        },
        &[(
            "Invalid",
            "spec.globalTopoServer.managedSpec.replicas",
            "TopoServer \"alone-etcd\" exists, and its spec.replicas cannot be changed from 5 to 3",
        )],
    ),
    (
        "U10",
        ADMIN,
        |c| {
            c["metadata"]["name"] = json!("alone-admin");
            let address =
                format!("alone-etcd-client.{}.svc:2379", c["metadata"]["namespace"].as_str().unwrap());
            c["spec"]["globalTopology"] = json!({"address": address, "rootPath": "/multigres/sound"});
        },
        &[],
    ),
];

#[tokio::test]
async fn of_children_that_are_to_be_adopted() {
    let namespace = Installation::shared().await.namespace("rules-adoption").await;
    let (clusters, cluster) = (namespace.clusters().dry_run(), sound_as("alone"));
    for (_, kind, edit, _) in ADOPTED {
        let mut child = sound(*kind);
        child["metadata"]["namespace"] = namespace.name.clone().into();
        namespace.resource(kind.1).create(&edited(child, *edit)).await.allowed();
    }
    let expected: Vec<Cause> = ADOPTED.iter().flat_map(|(_, _, _, causes)| *causes).copied().collect();
    let all = || async {
        Some(clusters.create(&cluster).await).filter(|answer| answer.causes().len() == expected.len())
    };
    let refused = crate::installation::eventually("admission knows of the children", all).await.unwrap();
    refused.assert_invalid(&expected);
    namespace.resource("multicells").delete("alone-zone-a").await.allowed();
    namespace.resource("toposervers").delete("alone-etcd").await.allowed();
    let allowed = || async { Some(clusters.create(&cluster).await).filter(Answer::is_allowed) };
    let adopts =
        crate::installation::eventually("admission knows that they are gone", allowed).await.unwrap();
    adopts.assert_warns("MultiAdmin \"alone-admin\" spec.replicas: 0 → 1");
}

pub fn all() -> impl Iterator<Item = &'static Case> {
    CREATED.iter().chain(CHANGED).chain(ADOPTED)
}

fn held(kind: &str, answer: &Answer, causes: &[Cause]) {
    match causes {
        [] => assert!(answer.is_allowed(), "{answer:#?}"),
        causes => answer.assert_invalid_of(kind, causes),
    }
}

#[tokio::test]
async fn of_children_that_stand_alone() {
    let namespace = Installation::shared().await.namespace("rules-children").await;
    for (rule, kind, edit, causes) in CREATED {
        eprintln!("{rule} {kind:?} {causes:?}");
        let child = edited(sound(*kind), *edit);
        let resource: Resource = namespace.resource(kind.1).dry_run();
        held(kind.0, &resource.create(&child).await, causes);
    }
    for kind in [ADMIN, CELL, SHARD, ETCD] {
        namespace.resource(kind.1).create(&sound(kind)).await.allowed();
    }
    for (_, kind, warned, says, silent) in WARNED {
        let children = namespace.resource(kind.1).dry_run();
        let create = async |edit: fn(&mut Value)| {
            let mut child = edited(sound(*kind), edit);
            child["metadata"]["name"] = json!("fresh");
            children.create(&child).await.allowed()
        };
        create(*warned).await.assert_warns(says);
        // What was just made is not in the caches at once.
        let is_silent = || async { create(*silent).await.is_silent(says).then_some(()) };
        crate::installation::eventually("admission knows of what is there", is_silent).await.unwrap();
    }
    for (rule, kind, edit, causes) in CHANGED {
        eprintln!("{rule} {kind:?} {causes:?}");
        let child = edited(sound(*kind), *edit);
        let answer = namespace.resource(kind.1).dry_run().update_spec("alone", &child["spec"]).await;
        held(kind.0, &answer, causes);
    }
}
