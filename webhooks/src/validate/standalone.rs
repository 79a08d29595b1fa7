//! Rules for standalone children; those of a cluster satisfy them by construction.

use std::collections::BTreeSet;

use kube::api::ObjectMeta;
use multigres_crds::address;

use super::{ChildContext, ChildSpec, ClusterContext, Reporter, rule};
use crate::lookup::{Known, Lookup};
use crate::path::Path;
use crate::report::{Reason, quote};

const SHARD: Path<'static> = Path::new("spec.shard");

rule!(
    /// A standalone child names its own dependencies: a root path of its own for a cell, pools and a key range for a shard.
    K03 since "0.1.0" = child: dependencies
);

fn dependencies(cx: &ChildContext<'_>, report: &mut Reporter<'_>) {
    match cx.new.spec {
        ChildSpec::MultiCell(spec) => {
            let members = |address: &str| address::members(address, cx.new.namespace);
            let (global, own) = (&spec.global_topology, &spec.topology);
            let path = Path::new("spec.topology.rootPath");
            if own.root_path == global.root_path
                && !members(&own.address).is_disjoint(&members(&global.address))
                && cx.new.knows(&Path::new("spec.globalTopology"))
            {
                let message = format!(
                    "is the root of the global topology; give the cell a root of its own, for example {}",
                    quote(&format!("{}/{}", global.root_path, spec.cell))
                );
                report.error(&path, Reason::Invalid, &own.root_path, message);
            }
        }
        ChildSpec::MultiShard(spec) => {
            if spec.pools.is_empty() {
                let message = "the shard has no pools; add at least one of type replica";
                report.error(&Path::new("spec.pools"), Reason::Required, "", message);
            }
            if !is_key_range(&spec.shard) {
                let message = format!(
                    "{} is not a key range; write for example \"0-inf\", or \"0-80\" and \"80-inf\"",
                    quote(&spec.shard)
                );
                report.error(&SHARD, Reason::Invalid, &spec.shard, message);
            }
        }
        ChildSpec::TopoServer(_) | ChildSpec::MultiAdmin(_) | ChildSpec::MultiOrch(_) => {}
    }
}

/// Two boundaries in hexadecimal, the first below the second; the last one is `inf`.
fn is_key_range(range: &str) -> bool {
    let boundary = |text: &str| {
        let digits = text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
        u64::from_str_radix(text, 16).ok().filter(|_| digits)
    };
    range.split_once('-').is_some_and(|(from, to)| {
        boundary(from).is_some_and(|from| to == "inf" || boundary(to).is_some_and(|to| from < to))
    })
}

rule!(
    /// A standalone child waits for a cell or topology server that it names and that does not exist yet.
    W17 since "0.1.0" = child: what_is_used_is_there, cluster: topology_is_there
);

fn what_is_used_is_there(cx: &ChildContext<'_>, report: &mut Reporter<'_>) {
    let (namespace, cluster) = (cx.new.namespace, cx.new.spec.cluster());
    for (path, topology) in cx.new.spec.topologies() {
        let path = format!("{path}.address");
        topo_server_is_there(cx.lookup, namespace, cluster, (&path, &topology.address), report);
    }
    cells_are_there(cx, report);
}

fn topology_is_there(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let ObjectMeta { namespace: Some(namespace), name: Some(cluster), .. } = &cx.new.cluster.metadata else {
        return;
    };
    let external = cx.new.spec().global_topo_server.external.as_ref();
    if let Some(address) = external.and_then(|external| external.address.as_deref()) {
        let path = "spec.globalTopoServer.external.address";
        topo_server_is_there(cx.lookup, namespace, cluster, (path, address), report);
    }
}

/// Of addresses only that of the cluster's own etcd is known to be a `TopoServer`'s.
fn topo_server_is_there(
    lookup: &dyn Lookup,
    namespace: &str,
    cluster: &str,
    (path, address): (&str, &str),
    report: &mut Reporter<'_>,
) {
    if address::is_managed_etcd(address, cluster, namespace)
        && lookup.has_topo_server(namespace, cluster) == Known::Yes(false)
    {
        report.warn(format!("TopoServer of cluster {} does not exist yet ({path})", quote(cluster)));
    }
}

fn cells_are_there(cx: &ChildContext<'_>, report: &mut Reporter<'_>) {
    let used: BTreeSet<&str> = match cx.new.spec {
        ChildSpec::MultiShard(spec) => spec.pools.iter().map(|pool| pool.cell.as_str()).collect(),
        ChildSpec::MultiOrch(spec) => spec.cells.iter().map(|cell| cell.name.as_str()).collect(),
        ChildSpec::TopoServer(_) | ChildSpec::MultiAdmin(_) | ChildSpec::MultiCell(_) => return,
    };
    let cluster = cx.new.spec.cluster();
    let Known::Yes(there) = cx.lookup.cells(cx.new.namespace, cluster) else { return };
    for cell in used.into_iter().filter(|cell| !there.contains(*cell)) {
        report.warn(format!(
            "MultiCell of cell {} in cluster {} does not exist yet",
            quote(cell),
            quote(cluster)
        ));
    }
}

rule!(
    /// The identity of a child, its durability policy and the number of etcd members cannot change.
    K04 in the CRD since "0.1.0" = child: identity_stays
);

fn identity_stays(cx: &ChildContext<'_>, report: &mut Reporter<'_>) {
    let Some(old) = &cx.old else { return };
    let before: Vec<(&str, String)> = fixed(old.spec);
    let spec = Path::new("spec");
    for (field, new) in fixed(cx.new.spec) {
        let path = spec.field(field);
        let Some((_, before)) = before.iter().find(|(name, _)| *name == field) else { continue };
        if *before != new && old.knows(&path) {
            let message =
                format!("cannot be changed from {before} to {new}; create another object, or write {before}");
            report.error(&path, Reason::Invalid, &new, message);
        }
    }
}

/// Fields that never change, as their values are written.
fn fixed(spec: ChildSpec<'_>) -> Vec<(&'static str, String)> {
    let mut fields = vec![("cluster", quote(spec.cluster()))];
    match spec {
        ChildSpec::TopoServer(spec) => fields.push(("replicas", spec.replicas.to_string())),
        ChildSpec::MultiCell(spec) => fields.push(("cell", quote(&spec.cell))),
        ChildSpec::MultiShard(spec) => fields.extend([
            ("database", quote(&spec.database)),
            ("tableGroup", quote(&spec.table_group)),
            ("shard", quote(&spec.shard)),
            ("durabilityPolicy", spec.durability_policy.as_str().to_owned()),
        ]),
        ChildSpec::MultiAdmin(_) | ChildSpec::MultiOrch(_) => {}
    }
    fields
}

#[cfg(test)]
mod tests {
    use multigres_crds::v1alpha1::{MultiAdmin, MultiCell, MultiOrch, MultiShard, TopoServer};
    use serde_json::{Value, json};

    use super::super::{Child, Context, child};
    use super::*;
    use crate::testing::reviews::{self, children};
    use crate::testing::{Edit, edit, edited, volume};
    use crate::validate::testing::{Children, decode_child};
    use multigres_crds::kind::ChildKind;

    /// The first child of a kind that the sample is made into.
    fn sample(kind: ChildKind) -> Value {
        children(kind, &reviews::cluster()).remove(0)
    }

    fn judged<T: Child>(new: &Value, old: Option<&Value>) -> Vec<String> {
        let (new, old) = (new.to_string(), old.map(Value::to_string));
        let (new, old) = (decode_child::<T>(&new), old.as_deref().map(decode_child));
        let report = child(&new, old.as_ref(), &Context::OFFLINE);
        let cause = |cause: crate::report::Cause| {
            format!("{} {}", &cause.reason.as_str()["FieldValue".len()..], cause.field)
        };
        report.errors.into_iter().map(cause).collect()
    }

    fn found(kind: ChildKind, new: &Value, old: Option<&Value>) -> Vec<String> {
        match kind {
            ChildKind::TopoServer => judged::<TopoServer>(new, old),
            ChildKind::MultiAdmin => judged::<MultiAdmin>(new, old),
            ChildKind::MultiOrch => judged::<MultiOrch>(new, old),
            ChildKind::MultiCell => judged::<MultiCell>(new, old),
            ChildKind::MultiShard => judged::<MultiShard>(new, old),
        }
    }

    fn spec(field: &str, value: Value) -> Vec<Edit> {
        vec![edit("/spec", field, value)]
    }

    #[test]
    fn what_a_cluster_makes_is_sound() {
        for cluster in [reviews::cluster(), reviews::sharded_cluster()] {
            for kind in ChildKind::ALL {
                for child in children(kind, &cluster) {
                    assert_eq!(found(kind, &child, None), Vec::<String>::new(), "{child:#}");
                    assert_eq!(found(kind, &child, Some(&child)), Vec::<String>::new());
                }
            }
        }
    }

    #[test]
    fn fields_are_held_to_the_rules_of_the_cluster() {
        use ChildKind::*;
        let container = || json!({"image": "Image", "resources": {"requests": {"cpu": "x"}}});
        for (kind, edits, expected) in [
            (TopoServer, spec("/cluster", json!("1a")), &["Invalid spec.cluster"][..]),
            (TopoServer, spec("/image", json!("Etcd:v1")), &["Invalid spec.image"]),
            (
                TopoServer,
                spec("/resources", json!({"limits": {"cpu": -1}})),
                &["Invalid spec.resources.limits[cpu]"],
            ),
            (
                TopoServer,
                spec("/dataVolumeClaimTemplate", volume("0")),
                &["Invalid spec.dataVolumeClaimTemplate.resources.requests.storage"],
            ),
            (
                MultiAdmin,
                spec("/globalTopology/address", json!("http://e:1")),
                &["Invalid spec.globalTopology.address"],
            ),
            (
                MultiAdmin,
                spec("/globalTopology/rootPath", json!("a")),
                &["Invalid spec.globalTopology.rootPath"],
            ),
            (
                MultiAdmin,
                spec("/podLabels", json!({"multigres.com/x": "y"})),
                &["Forbidden spec.podLabels[multigres.com/x]"],
            ),
            (MultiOrch, spec("/cells/0/name", json!("global")), &["Invalid spec.cells[0].name"]),
            (MultiOrch, spec("/databases/0", json!("template0")), &["Invalid spec.databases[0]"]),
            (MultiCell, spec("/cell", json!("backups")), &["Invalid spec.cell"]),
            (MultiCell, spec("/topology/address", json!("e")), &["Invalid spec.topology.address"]),
            (MultiCell, spec("/multiGateway/image", json!("a b")), &["Invalid spec.multiGateway.image"]),
            (
                MultiCell,
                vec![
                    edit("/spec", "/topology", json!({"address": "e.multigres.svc:1", "rootPath": "/a"})),
                    edit("/spec", "/globalTopology", json!({"address": "e:1,f:1", "rootPath": "/a"})),
                ],
                &["Invalid spec.topology.rootPath"],
            ),
            (MultiShard, spec("/database", json!("Users")), &["Invalid spec.database"]),
            (MultiShard, spec("/tableGroup", json!("1")), &["Invalid spec.tableGroup"]),
            (MultiShard, spec("/shard", json!("80-0")), &["Invalid spec.shard"]),
            (MultiShard, spec("/pools", json!([])), &["Required spec.pools"]),
            (MultiShard, spec("/pools/0/name", json!("A_")), &["Invalid spec.pools[0].name"]),
            (MultiShard, spec("/pools/0/cell", json!("A")), &["Invalid spec.pools[0].cell"]),
            (MultiShard, spec("/pools/0/replicas", json!(11)), &["Invalid spec.pools[0].replicas"]),
            (
                MultiShard,
                spec("/pools/0/postgres", container()),
                &[
                    "Invalid spec.pools[0].postgres.image",
                    "Invalid spec.pools[0].postgres.resources.requests[cpu]",
                ],
            ),
            (
                MultiShard,
                spec("/pools/0/dataVolumeClaimTemplate", json!({})),
                &[
                    "Required spec.pools[0].dataVolumeClaimTemplate.accessModes",
                    "Required spec.pools[0].dataVolumeClaimTemplate.resources.requests.storage",
                ],
            ),
            (MultiShard, spec("/backup", json!({})), &["Required spec.backup"]),
            (
                MultiShard,
                [spec("/pools/1/replicas", json!(0)), spec("/pools/2/replicas", json!(0))].concat(),
                &["Invalid spec.pools[0].replicas"],
            ),
            // What is missing is the schema's to tell, once.
            (MultiAdmin, spec("/globalTopology", json!(null)), &["Required spec.globalTopology"]),
        ] {
            let child = edited(sample(kind), &edits);
            assert_eq!(found(kind, &child, None), expected, "{kind:?} {edits:?}");
        }
    }

    #[test]
    fn updates_are_held_to_the_rules_of_the_cluster() {
        use ChildKind::*;
        for (kind, edits, expected) in [
            (TopoServer, spec("/replicas", json!(5)), &["Invalid spec.replicas"][..]),
            (
                TopoServer,
                spec("/dataVolumeClaimTemplate", volume("1Gi")),
                &["Forbidden spec.dataVolumeClaimTemplate.resources.requests.storage"],
            ),
            (MultiOrch, spec("/cluster", json!("other")), &["Invalid spec.cluster"]),
            (
                MultiAdmin,
                spec("/globalTopology/address", json!("other:1")),
                &["Forbidden spec.globalTopology.address"],
            ),
            (
                MultiAdmin,
                spec("/globalTopology/address", json!("example-multigres-cluster-etcd-client:2379")),
                &[],
            ),
            (MultiCell, spec("/cell", json!("other")), &["Invalid spec.cell"]),
            (MultiCell, spec("/topology/rootPath", json!("/other")), &["Forbidden spec.topology.rootPath"]),
            (
                MultiShard,
                spec("/durabilityPolicy", json!("MULTI_CELL_AT_LEAST_2")),
                &["Invalid spec.durabilityPolicy"],
            ),
            (MultiShard, spec("/shard", json!("0-80")), &["Invalid spec.shard"]),
            (
                MultiShard,
                spec("/backup", json!({"s3": {"bucket": "b", "region": "r"}})),
                &["Forbidden spec.backup"],
            ),
            (
                MultiShard,
                spec("/pools/0/dataVolumeClaimTemplate/storageClassName", json!("fast")),
                &["Forbidden spec.pools[0].dataVolumeClaimTemplate.storageClassName"],
            ),
            (
                MultiShard,
                spec("/pools/0/postgres/image", json!("postgres:16")),
                &["Forbidden spec.pools[0].postgres.image"],
            ),
            (MultiShard, spec("/pools/0/name", json!("other")), &[]),
            (MultiShard, spec("/pools/2/replicas", json!(0)), &["Forbidden spec.pools[2].replicas"]),
            (MultiShard, spec("/pools/2/replicas", json!(2)), &[]),
        ] {
            let old = sample(kind);
            let new = edited(old.clone(), &edits);
            assert_eq!(found(kind, &new, Some(&old)), expected, "{kind:?} {edits:?}");
        }
    }

    #[test]
    fn cells_are_there() {
        let child = |kind| (kind, sample(kind));
        let warned = |of: ChildKind, there: &dyn Lookup| {
            let cx = Context { lookup: there, ..Context::OFFLINE };
            let text = sample(of).to_string();
            let report = match of {
                ChildKind::MultiShard => super::super::child(&decode_child::<MultiShard>(&text), None, &cx),
                _ => super::super::child(&decode_child::<MultiOrch>(&text), None, &cx),
            };
            let messages = report.warnings.into_iter().map(|warning| warning.message);
            messages.filter(|message| message.contains("MultiCell of cell")).collect::<Vec<_>>()
        };
        let of = |cell: &str| {
            format!("MultiCell of cell {cell:?} in cluster \"example-multigres-cluster\" does not exist yet")
        };
        for kind in [ChildKind::MultiShard, ChildKind::MultiOrch] {
            assert_eq!(warned(kind, &Children::default()), [of("us-east-1"), of("us-west-2")]);
            let one = Children::of(std::iter::once(child(ChildKind::MultiCell)));
            assert_eq!(warned(kind, &one), [of("us-west-2")]);
            assert!(warned(kind, &crate::lookup::Offline).is_empty());
        }
    }

    #[test]
    fn topology_servers_are_there() {
        let cluster = "example-multigres-cluster";
        let warned = |of: &Value, there: &dyn Lookup| {
            let cx = Context { lookup: there, ..Context::OFFLINE };
            let text = of.to_string();
            let report = match of["kind"].as_str().unwrap() {
                "MultiAdmin" => super::super::child(&decode_child::<MultiAdmin>(&text), None, &cx),
                "MultiCell" => super::super::child(&decode_child::<MultiCell>(&text), None, &cx),
                _ => super::super::cluster(&crate::testing::decode(&text), None, &cx),
            };
            report
                .warnings
                .into_iter()
                .map(|warning| warning.message)
                .filter(|warning| warning.contains("TopoServer of cluster"))
                .collect::<Vec<_>>()
        };
        let at = |field: &str| {
            format!("TopoServer of cluster {cluster:?} does not exist yet (spec.{field}.address)")
        };
        let external = |address: &str| {
            let address = json!({ "address": address });
            edited(crate::testing::sample(), &spec("/globalTopoServer/external", address))
        };
        let etcd = Children::of(std::iter::once((ChildKind::TopoServer, sample(ChildKind::TopoServer))));
        for (object, expected) in [
            (sample(ChildKind::MultiAdmin), vec![at("globalTopology")]),
            (sample(ChildKind::MultiCell), vec![at("globalTopology")]),
            (external(&format!("{cluster}-etcd-client:2379")), vec![at("globalTopoServer.external")]),
            (external("etcd.example.com:2379"), vec![]),
            (external("other-etcd-client:2379"), vec![]),
            (crate::testing::sample(), vec![]),
        ] {
            assert_eq!(warned(&object, &Children::default()), expected, "{object}");
            assert!(warned(&object, &etcd).is_empty(), "{object}");
            assert!(warned(&object, &crate::lookup::Offline).is_empty(), "{object}");
        }
    }

    #[test]
    fn key_ranges() {
        for (range, legal) in [
            ("0-inf", true),
            ("0-80", true),
            ("80-inf", true),
            ("55-aa", true),
            ("80-0", false),
            ("0-0", false),
            ("inf-0", false),
            ("0", false),
            ("", false),
            ("+1-2", false),
            ("0-FF", false),
        ] {
            assert_eq!(is_key_range(range), legal, "{range}");
        }
    }
}
