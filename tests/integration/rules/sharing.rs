//! Cases of shared topologies and names of objects.

use super::*;
use crate::installation::eventually;

/// The names of this one's cell and of the sound one's cell `next-door` are joined to the same.
fn neighbour() -> Value {
    let mut cluster = sound();
    rename(&mut cluster, "sound-next");
    *topology(&mut cluster) =
        json!({"rootPath": "/neighbour", "external": {"address": "etcd.shared.svc:2379"}});
    cell(&mut cluster)["name"] = json!("door");
    without(&mut cluster["spec"], "databases");
    cluster
}

/// Makes the neighbour of all clusters of the table, and waits until admission knows of it.
pub async fn settle_neighbour(namespace: &Namespace<'_>) {
    namespace.clusters().create(&neighbour()).await.allowed();
    let (clusters, mut intruder) = (namespace.clusters().dry_run(), neighbour());
    rename(&mut intruder, "intruder");
    let is_known = || async { (!clusters.create(&intruder).await.is_allowed()).then_some(()) };
    eventually("admission knows of the neighbour", is_known).await.unwrap();
}

/// Makes the volume that an etcd of one member has left, and waits until admission knows of it.
pub async fn settle_etcd_volume(namespace: &Namespace<'_>) {
    let labels = json!({ "multigres.com/cluster": LEFT, "multigres.com/component": "etcd" });
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": { "name": format!("data-{LEFT}-etcd-0"), "labels": labels },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
    });
    namespace.with_input(&["create", "-f", "-"], &claim.to_string()).await.unwrap();
    let (clusters, left) = (namespace.clusters().dry_run(), edited(sound(), |c| rename(c, LEFT)));
    let is_known = || async { (!clusters.create(&left).await.is_allowed()).then_some(()) };
    eventually("admission knows of the volume", is_known).await.unwrap();
}

/// A cluster that is gone, of which a volume is left.
const LEFT: &str = "left";

/// Address of the neighbor's topology, in another spelling.
const SHARED: &str = "other:2379,ETCD.shared.svc.cluster.local.:2379";

pub const CASES: &[Case] = &[
    (
        "C19",
        |c| *topology(c) = json!({"rootPath": "/neighbours", "external": {"address": "etcd.shared:2379"}}),
        &[],
    ),
    (
        "C19",
        |c| *topology(c) = json!({"rootPath": "/neighbour", "external": {"address": "etcd.shared:2380"}}),
        &[],
    ),
    (
        "C19",
        |c| *topology(c) = json!({"rootPath": "/neighbour/within", "external": {"address": SHARED}}),
        &[("Duplicate", "spec.globalTopoServer.rootPath", "in use on the same etcd by MultigresCluster ")],
    ),
    (
        "C19",
        |c| {
            let external = json!({"address": "etcd.shared:2379", "rootPath": "/neighbour"});
            cell(c)["spec"]["topoServer"] = json!({"external": external});
        },
        &[(
            "Duplicate",
            "spec.cells.templates[0].spec.topoServer.external.rootPath",
            "in use on the same etcd by MultigresCluster ",
        )],
    ),
    (
        "C25",
        |c| {
            rename(c, LEFT);
            topology(c)["managedSpec"] = json!({"replicas": 1});
        },
        &[],
    ),
    (
        "C25",
        |c| rename(c, LEFT),
        &[(
            "Forbidden",
            "spec.globalTopoServer.managedSpec.replicas",
            "earlier etcd left (data-left-etcd-0) are of 1 member, and 3 members do not start on them; write 1, or delete",
        )],
    ),
    ("C20", |c| push(&mut c["spec"]["cells"]["templates"], json!({"name": "next-doors"})), &[]),
    (
        "C20",
        |c| push(&mut c["spec"]["cells"]["templates"], json!({"name": "next-door"})),
        &[(
            "Duplicate",
            "spec.cells.templates[2].name",
            "MultiCell \"sound-next-door\" would also be made by Multigr",
        )],
    ),
    // x/0-80/inf-p and x-0/80-inf/p are joined to the same.
    (
        "C20",
        |c| {
            pool(c, 0)["name"] = json!("inf-p");
            group(c)["name"] = json!("x");
            group(c)["partitioning"]["shards"] = json!(2);
            let mut other = group(c).clone();
            other["name"] = json!("x-0");
            other["shardTemplate"]["pools"][0]["name"] = json!("p");
            push(&mut database(c, 1)["spec"]["tableGroups"], other);
        },
        &[(
            "Duplicate",
            "spec.databases.templates[1].spec.tableGroups[1].shardTemplate.pools[0].name",
            "would also be made by spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools[0].name",
        )],
    ),
];
