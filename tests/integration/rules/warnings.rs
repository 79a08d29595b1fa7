//! Cases of warnings.

use super::*;

/// An edit that is warned of, what the warning says, and an edit after which it is not said.
type Warned = (&'static str, fn(&mut Value), &'static str, fn(&mut Value));

fn nothing(_: &mut Value) {}

/// The images of the first database.
fn images(cluster: &mut Value) -> &mut Value {
    &mut database(cluster, 0)["spec"]["images"]
}

/// A third instance that can lead in each database.
fn more_instances(cluster: &mut Value) {
    pool(cluster, 0)["replicas"] = json!(3);
}

fn backed_up(cluster: &mut Value) {
    let volume = volume(cluster).clone();
    cluster["spec"]["backup"] = json!({"filesystem": {"volumeClaimTemplate": volume}});
}

fn renamed(cluster: &mut Value) {
    database(cluster, 0)["name"] = json!("fresh");
}

/// Warnings of a cluster that is made.
pub const CREATED: &[Warned] = &[
    (
        "W01",
        |c| *images(c) = json!({"postgres": "postgres:17.2"}),
        "image postgres:17.2 lacks pgctld and pgBackRest: pods will not start (short)",
        |c| *images(c) = json!({"postgres": "example.com/postgres:17.2"}),
    ),
    (
        "W02",
        |c| c["spec"]["admin"] = json!({"spec": {"image": "multigres/multigres:latest"}}),
        "image multigres/multigres:latest has no fixed version; pin one (spec.admin.spec.image)",
        |c| c["spec"]["admin"] = json!({"spec": {"image": "multigres/multigres:v1"}}),
    ),
    (
        "W03",
        |c| *images(c) = json!({"postgres": "example.com/postgres:15.3"}),
        "image example.com/postgres:15.3 is PostgreSQL 15; Multigres needs 17 (short)",
        nothing,
    ),
    (
        "W04",
        |c| c["spec"]["admin"] = json!({"managed": false, "spec": {"replicas": 2}}),
        "admin.spec is ignored: admin.managed is false",
        |c| c["spec"]["admin"] = json!({"managed": false}),
    ),
    (
        "W04",
        |c| {
            topology(c)["external"] = json!({"address": "etcd:2379"});
            topology(c)["managed"] = json!(true);
        },
        "globalTopoServer.managed is true, but external is set",
        |c| topology(c)["external"] = json!({"address": "etcd:2379"}),
    ),
    (
        "W05",
        |c| group(c)["partitioning"]["shards"] = json!(2),
        "Multigres serves only default/0-inf so far: pods stay unready in full/default (2 shards)",
        nothing,
    ),
    (
        "W06",
        nothing,
        "writes stop while one instance is down: only 2 can lead in full/default",
        more_instances,
    ),
    ("W07", nothing, "Multigres may still elect a readOnly pool: \"reports\" of \"full\"", |c| {
        pool(c, 1)["type"] = json!("replica");
    }),
    (
        "W08",
        |c| topology(c)["managedSpec"] = json!({"replicas": 1}),
        "etcd has 1 replica: while it is down, no failover is possible",
        nothing,
    ),
    (
        "W09",
        |c| {
            without(&mut c["spec"], "databases");
            c["spec"]["cells"]["templates"].as_array_mut().unwrap().pop();
        },
        "only one cell: the cluster fails with cell \"zone-a\"",
        nothing,
    ),
    (
        "W10",
        |c| without(cell(c), "spec"),
        "LoadBalancer without tls or loadBalancerSourceRanges: open to everybody in \"zone-a\"",
        |c| {
            let service = json!({"loadBalancerSourceRanges": ["10.0.0.0/8"]});
            cell(c)["spec"]["multiGateway"]["service"] = service;
        },
    ),
    (
        "W11",
        nothing,
        "no spec.backup: each shard needs a 10Gi ReadWriteMany volume of the default StorageClass",
        backed_up,
    ),
    (
        "C09",
        |c| {
            c["spec"]["cells"]["managed"] = json!(false);
            entries(c)[1]["cell"] = json!("elsewhere");
        },
        "\"elsewhere\" is not a cell in spec.cells: its pools wait for a MultiCell of that name",
        |c| c["spec"]["cells"]["managed"] = json!(false),
    ),
    (
        "W17",
        |c| topology(c)["external"] = json!({"address": "made-etcd-client:2379"}),
        "TopoServer of cluster \"made\" does not exist yet (spec.globalTopoServer.external.address)",
        |c| topology(c)["external"] = json!({"address": "etcd.example.com:2379"}),
    ),
    (
        "W13",
        |c| volume(c)["storageClassName"] = json!("nowhere"),
        "StorageClass \"nowhere\" does not exist: pods wait for it (2 volume templates)",
        nothing,
    ),
    (
        "W14",
        nothing,
        "database \"short\" will use data of an earlier one: 1 volume, the first is \"made\"",
        renamed,
    ),
    (
        "W15",
        backed_up,
        "backups of short/default use a volume for one node: all 4 instances must run there",
        nothing,
    ),
];

/// Warnings of an update of the sound cluster, which is paused and has no children yet.
pub const CHANGED: &[Warned] = &[
    (
        "W12",
        |c| database(c, 0)["name"] = json!("renamed"),
        "data is not moved: database \"short\" is removed and \"renamed\" is created empty",
        |c| {
            c["spec"]["databases"]["templates"].as_array_mut().unwrap().remove(0);
        },
    ),
    (
        "W19",
        |c| c["spec"]["forceRolloutAt"] = json!("2026-01-02T03:04:05Z"),
        "forceRolloutAt: for 1 h, a shard without a leader for 5 min has outdated pods replaced, one at a time",
        |c| c["spec"]["deletionProtection"] = json!(true),
    ),
    (
        "W16",
        |c| c["spec"]["paused"] = json!(false),
        "unpausing creates 7 objects, the first is MultiAdmin \"sound-admin\"",
        |c| c["spec"]["deletionProtection"] = json!(true),
    ),
    (
        "W18",
        |c| c["spec"]["workloadRevision"] = json!(1),
        "workloadRevision 2 → 1 takes back what 2 mends: see docs/revisions.md",
        nothing,
    ),
];
