//! Rules for fields that an update cannot change.

use multigres_crds::defaults;
use multigres_crds::resolve::topology_is_managed;
use multigres_crds::v1alpha1::MultigresClusterSpec;

use super::view::View;
use super::{ClusterContext, Reporter, rule};
use crate::path::Path;
use crate::report::{Reason, quote};

rule!(
    /// The global root path cannot change, since the topology would be lost.
    U01 in the CRD since "0.1.0" = cluster: root_path_stays
);

fn root_path_stays(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    const PATH: Path<'_> = Path::new("spec.globalTopoServer.rootPath");
    let Some(old) = &cx.old else { return };
    let root = |view: &View<'_>| view.spec().global_topo_server.root_path.clone();
    let (new_root, old_root) = (root(&cx.new), root(old));
    if new_root != old_root && old.knows(&PATH) {
        let message = format!(
            "cannot be changed from {0} to {1}: the topology would be lost; write {0}",
            quote(&old_root),
            quote(&new_root)
        );
        report.error(&PATH, Reason::Invalid, new_root, message);
    }
}

rule!(
    /// The number of etcd members cannot change, since changing it safely is not implemented.
    U03 in the CRD since "0.1.0" = cluster: etcd_members_stay
);

fn etcd_members_stay(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    const PATH: Path<'_> = Path::new("spec.globalTopoServer.managedSpec.replicas");
    let Some(old) = &cx.old else { return };
    let written = |spec: &MultigresClusterSpec| spec.global_topo_server.managed_spec.as_ref()?.replicas;
    // The CRD compares what is written, used or not.
    let members = |spec: &MultigresClusterSpec| {
        written(spec).or_else(|| topology_is_managed(spec).then_some(defaults::ETCD_REPLICAS))
    };
    let Some((new, before)) = members(cx.new.spec()).zip(members(old.spec())) else { return };
    if new != before && old.knows(&PATH) {
        let message = format!(
            "cannot be changed from {before} to {new}: changing etcd's membership is not implemented; write {before}"
        );
        report.error(&PATH, Reason::Invalid, new, message);
    }
}

rule!(
    /// The number of shards of a table group cannot change, since resharding is not implemented.
    U04 in the CRD since "0.1.0" = cluster: shards_stay
);

fn shards_stay(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let Some(old) = &cx.old else { return };
    cx.new.each_kept_database(old, |path, database, old| {
        let spec = path.field("spec");
        for group in &database.groups {
            let Some(before) = old.group(group.name) else { continue };
            if before.shards == group.shards {
                continue;
            }
            let message = format!(
                "cannot be changed from {0} to {1}: resharding is not implemented; write {0}",
                before.shards, group.shards
            );
            match group.index {
                Some(index) => {
                    let groups = spec.field("tableGroups");
                    let path = groups.item(index, group.name);
                    report.error(&path.field("partitioning.shards"), Reason::Invalid, group.shards, message);
                }
                None => report.error(&spec.field("pools"), Reason::Invalid, group.shards, message),
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{FULL, SHORT, edit, volume};
    use crate::validate::testing::update;

    const GLOBAL: &str = "/spec/globalTopoServer";

    #[test]
    fn root_path_stays() {
        update(
            "U01",
            &[
                (vec![], vec![edit(GLOBAL, "/managed", json!(true))], &[]),
                (
                    vec![],
                    vec![edit(GLOBAL, "/rootPath", json!("/other"))],
                    &["Invalid spec.globalTopoServer.rootPath"],
                ),
                (
                    vec![edit(GLOBAL, "/rootPath", json!(1))],
                    vec![edit(GLOBAL, "/rootPath", json!("/other"))],
                    &[],
                ),
            ],
        );
    }

    #[test]
    fn etcd_members_stay() {
        let replicas = |replicas: i32| vec![edit(GLOBAL, "/managedSpec", json!({"replicas": replicas}))];
        let changed: &[&str] = &["Invalid spec.globalTopoServer.managedSpec.replicas"];
        let external = || edit(GLOBAL, "/external", json!({"address": "e:1"}));
        update(
            "U03",
            &[
                (vec![], replicas(3), &[]),
                (vec![], replicas(5), changed),
                (replicas(5), vec![edit(GLOBAL, "/managedSpec", json!(null))], changed),
                (replicas(5), vec![edit(GLOBAL, "/managedSpec", json!(null)), external()], &[]),
                (replicas(5), replicas(3).into_iter().chain([external()]).collect(), changed),
            ],
        );
    }

    #[test]
    fn shards_stay() {
        let group = |name: &str, shards: i32| {
            let pool = json!({"type": "replica", "cell": "a", "dataVolumeClaimTemplate": volume("1Gi")});
            json!([{"name": name, "partitioning": {"shards": shards}, "shardTemplate": {"pools": [pool]}}])
        };
        let to_full = |name, shards| {
            vec![
                edit(SHORT, "/spec/pools", json!(null)),
                edit(SHORT, "/spec/tableGroups", group(name, shards)),
            ]
        };
        let to_short = vec![
            edit(FULL, "/spec/tableGroups", json!(null)),
            edit(FULL, "/spec/pools", json!([{"cell": "a", "primary": {}}])),
        ];
        update(
            "U04",
            &[
                (
                    vec![],
                    vec![edit(FULL, "/spec/tableGroups/0/partitioning/shards", json!(2))],
                    &["Invalid spec.databases.templates[1].spec.tableGroups[0].partitioning.shards"],
                ),
                (vec![], to_full("default", 1), &[]),
                (vec![], to_full("other", 2), &[]),
                (
                    vec![],
                    to_full("default", 2),
                    &["Invalid spec.databases.templates[0].spec.tableGroups[0].partitioning.shards"],
                ),
                (
                    vec![edit(FULL, "/spec/tableGroups/0/partitioning/shards", json!(2))],
                    to_short,
                    &["Invalid spec.databases.templates[1].spec.pools"],
                ),
                (
                    vec![],
                    vec![
                        edit(FULL, "/name", json!("new")),
                        edit(FULL, "/spec/tableGroups/0/partitioning/shards", json!(2)),
                    ],
                    &[],
                ),
            ],
        );
    }
}
