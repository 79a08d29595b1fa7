//! Warnings about settings that are admitted but risky.

use std::collections::BTreeSet;

use multigres_crds::defaults;
use multigres_crds::resolve::{TableGroupSource, topology_is_managed};
use multigres_crds::v1alpha1::{MultigresClusterSpec, PoolType, ServiceType};

use super::text::{and_more, count};
use super::view::Database;
use super::{ClusterContext, Reporter, rule};
use crate::report::quote;

rule!(
    /// The template of a section that is not managed, or of an etcd that is not used, is ignored.
    W04 since "0.1.0" = cluster: ignored_sections
);

fn ignored_sections(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let (new, old) = (cx.new.spec(), cx.old.as_ref().map(super::View::spec));
    // Said once: when it comes to be so.
    let mut check = |ignored: fn(&MultigresClusterSpec) -> bool, same: bool, message: &str| {
        if ignored(new) && !(same && old.is_some_and(ignored)) {
            report.warn(message);
        }
    };
    let same = |equal: fn(&MultigresClusterSpec, &MultigresClusterSpec) -> bool| {
        old.is_some_and(|old| equal(new, old))
    };
    let topology = same(|new, old| new.global_topo_server == old.global_topo_server);
    check(
        |spec| spec.global_topo_server.external.is_some() && spec.global_topo_server.managed == Some(true),
        topology,
        "globalTopoServer.managed is true, but external is set: the operator makes no etcd",
    );
    check(
        |spec| !topology_is_managed(spec) && spec.global_topo_server.managed_spec.is_some(),
        topology,
        "globalTopoServer.managedSpec is ignored: the topology is not managed",
    );
    check(
        |spec| spec.admin.as_ref().is_some_and(|admin| admin.managed == Some(false) && admin.spec.is_some()),
        same(|new, old| new.admin == old.admin),
        "admin.spec is ignored: admin.managed is false",
    );
    check(
        |spec| {
            spec.orchestrator.as_ref().is_some_and(|orch| orch.managed == Some(false) && orch.spec.is_some())
        },
        same(|new, old| new.orchestrator == old.orchestrator),
        "orchestrator.spec is ignored: orchestrator.managed is false",
    );
    check(
        |spec| spec.cells.managed == Some(false) && !spec.cells.templates.is_empty(),
        same(|new, old| new.cells == old.cells),
        "cells.templates is ignored: cells.managed is false",
    );
    check(
        |spec| {
            let databases = spec.databases.as_ref();
            databases
                .is_some_and(|databases| databases.managed == Some(false) && !databases.templates.is_empty())
        },
        same(|new, old| new.databases == old.databases),
        "databases.templates is ignored: databases.managed is false",
    );
}

rule!(
    /// Multigres serves only one shard of one table group so far.
    W05 since "0.1.0" = cluster: unserved_shards
);

fn unserved_shards(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let is_unserved = |group: &&TableGroupSource<'_>| group.name != defaults::TABLE_GROUP || group.shards > 1;
    for Database { template, groups, .. } in &cx.new.databases {
        let mut unserved = groups.iter().filter(is_unserved);
        let Some(first) = unserved.next() else { continue };
        let (shards, more) = (count(first.shards, "shard"), and_more(unserved.count()));
        report.warn(format!(
            "Multigres serves only default/0-inf so far: pods stay unready in {}/{} ({shards}){more}",
            template.name, first.name
        ));
    }
}

rule!(
    /// With fewer than three primary-eligible instances, writes stop while one is down.
    W06 since "0.1.0" = cluster: few_instances
);

fn few_instances(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    for (database, group) in each_group(cx) {
        let eligible = group.pools.iter().filter(|pool| pool.type_ == PoolType::Replica);
        let instances: i32 = eligible.map(|pool| pool.member.replicas()).sum();
        if instances < 3 {
            report.warn(format!(
                "writes stop while one instance is down: only {instances} can lead in {}/{}",
                database.template.name, group.name
            ));
        }
    }
}

rule!(
    /// Multigres does not know read-only pools yet and may elect a primary in one.
    W07 since "0.1.0" = cluster: read_only_pools
);

fn read_only_pools(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    for (database, group) in each_group(cx) {
        for pool in group.pools.iter().filter(|pool| pool.type_ == PoolType::ReadOnly) {
            report.warn(format!(
                "Multigres may still elect a readOnly pool: {} of {}",
                quote(&pool.name),
                quote(&database.template.name)
            ));
        }
    }
}

fn each_group<'c>(
    cx: &'c ClusterContext<'c>,
) -> impl Iterator<Item = (&'c Database<'c>, &'c TableGroupSource<'c>)> {
    cx.new.databases.iter().flat_map(|database| database.groups.iter().map(move |group| (database, group)))
}

rule!(
    /// An etcd with one member is unavailable while that member is down.
    W08 since "0.1.0" = cluster: single_etcd
);

fn single_etcd(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let spec = cx.new.spec();
    let replicas = spec.global_topo_server.managed_spec.as_ref().and_then(|etcd| etcd.replicas);
    if topology_is_managed(spec) && replicas == Some(1) {
        report.warn("etcd has 1 replica: while it is down, no failover is possible");
    }
}

rule!(
    /// A cluster in a single cell fails with that cell.
    W09 since "0.1.0" = cluster: single_cell
);

fn single_cell(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    if let [cell] = cx.new.spec().cells.templates.as_slice() {
        report.warn(format!("only one cell: the cluster fails with cell {}", quote(&cell.name)));
    }
}

rule!(
    /// A load balancer without TLS and source ranges sends passwords and data in the clear, to everybody who connects.
    W10 since "0.1.0" = cluster: open_gateways
);

fn open_gateways(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let cells = &cx.new.spec().cells;
    let mut open = BTreeSet::new();
    for cell in &cells.templates {
        let gateway = cell.spec.multi_gateway.as_ref();
        let service = gateway.and_then(|gateway| gateway.service.as_ref());
        let type_ = service.and_then(|service| service.type_).unwrap_or_default();
        let limited = service.is_some_and(|service| !service.load_balancer_source_ranges.is_empty());
        let encrypted = gateway.is_some_and(|gateway| gateway.tls.is_some());
        if type_ == ServiceType::LoadBalancer && !limited && !encrypted {
            open.insert(cell.name.as_str());
        }
    }
    if !open.is_empty() && cells.managed.unwrap_or(true) {
        let cells: Vec<String> = open.into_iter().map(quote).collect();
        report.warn(format!(
            "LoadBalancer without tls or loadBalancerSourceRanges: open to everybody in {}",
            cells.join(", ")
        ));
    }
}

rule!(
    /// No backup is configured: every shard then needs a shared volume of the default class.
    W11 since "0.1.0" = cluster: default_backup
);

fn default_backup(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let spec = cx.new.spec();
    let managed = spec.databases.as_ref().is_some_and(|databases| databases.managed.unwrap_or(true));
    let defaulted = cx.new.databases.iter().any(|database| database.template.spec.backup.is_none());
    if managed && defaulted && spec.backup.is_none() {
        report.warn(format!(
            "no spec.backup: each shard needs a {} ReadWriteMany volume of the default StorageClass",
            defaults::BACKUP_STORAGE
        ));
    }
}

rule!(
    /// A renamed database or table group is a new one: data is not moved.
    W12 since "0.1.0" = cluster: renames
);

fn renames(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let Some(old) = &cx.old else { return };
    renamed("database", &cx.new.database_names(), &old.database_names(), report);
    cx.new.each_kept_database(old, |_, database, old| {
        renamed("table group", &database.group_names(), &old.group_names(), report);
    });
}

rule!(
    /// A rollout that is forced replaces pods although nobody is seen to lead their shard.
    W19 since "0.1.0" = cluster: forced_rollout
);

fn forced_rollout(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let forced = &cx.new.spec().force_rollout_at;
    // Said once: of each new value.
    if forced.is_none() || cx.old.as_ref().is_some_and(|old| old.spec().force_rollout_at == *forced) {
        return;
    }
    report.warn("forceRolloutAt: for 1 h, a shard without a leader for 5 min has outdated pods replaced, one at a time");
    report.warn("forceRolloutAt: writes that nobody sees may stop; one is lost if all volumes that hold it are lost too");
}

fn renamed(kind: &str, new: &BTreeSet<String>, old: &BTreeSet<String>, report: &mut Reporter<'_>) {
    let (mut removed, mut added) = (old.difference(new), new.difference(old));
    if let Some((removed, added)) = removed.next().zip(added.next()) {
        report.warn(format!(
            "data is not moved: {kind} {} is removed and {} is created empty",
            quote(removed),
            quote(added)
        ));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::{Edit, FULL, SHORT, edit};
    use crate::validate::testing::{create, update};

    const GLOBAL: &str = "/spec/globalTopoServer";

    fn gateway(cell: usize, gateway: &Value) -> Edit {
        edit("/spec/cells/templates", &format!("/{cell}/spec"), json!({"multiGateway": gateway}))
    }

    #[test]
    fn forced_rollout() {
        let at = |time: &str| edit("/spec", "/forceRolloutAt", json!(time));
        let told = &[
            "forceRolloutAt: for 1 h, a shard without a leader for 5 min has outdated pods replaced, one at a time",
            "forceRolloutAt: writes that nobody sees may stop; one is lost if all volumes that hold it are lost too",
        ];
        create("W19", &[(vec![], &[]), (vec![at("2026-01-02T03:04:05Z")], told)]);
        update(
            "W19",
            &[
                (vec![], vec![at("2026-01-02T03:04:05Z")], told),
                (vec![at("2026-01-02T03:04:05Z")], vec![at("2026-01-02T04:04:05Z")], told),
                (vec![at("2026-01-02T03:04:05Z")], vec![at("2026-01-02T03:04:05Z")], &[]),
                (vec![at("2026-01-02T03:04:05Z")], vec![], &[]),
            ],
        );
    }

    #[test]
    fn ignored_sections() {
        let external = || edit(GLOBAL, "/external", json!({"address": "e:1"}));
        let managed_spec = || edit(GLOBAL, "/managedSpec", json!({"image": "e:1"}));
        let unmanaged = |section: &str| edit("/spec", &format!("/{section}/managed"), json!(false));
        create(
            "W04",
            &[
                (vec![external()], &[]),
                (
                    vec![external(), edit(GLOBAL, "/managed", json!(true))],
                    &["globalTopoServer.managed is true, but external is set: the operator makes no etcd"],
                ),
                (
                    vec![external(), managed_spec()],
                    &["globalTopoServer.managedSpec is ignored: the topology is not managed"],
                ),
                (
                    vec![edit("/spec", "/admin", json!({"managed": false, "spec": {}}))],
                    &["admin.spec is ignored: admin.managed is false"],
                ),
                (
                    vec![edit("/spec", "/orchestrator", json!({"managed": false, "spec": {}}))],
                    &["orchestrator.spec is ignored: orchestrator.managed is false"],
                ),
                (
                    vec![unmanaged("cells"), unmanaged("databases")],
                    &[
                        "cells.templates is ignored: cells.managed is false",
                        "databases.templates is ignored: databases.managed is false",
                    ],
                ),
            ],
        );
        update(
            "W04",
            &[
                (vec![unmanaged("cells")], vec![edit("/spec", "/paused", json!(true))], &[]),
                (vec![], vec![unmanaged("cells")], &["cells.templates is ignored: cells.managed is false"]),
                (
                    vec![unmanaged("cells")],
                    vec![gateway(0, &json!({"replicas": 1}))],
                    &["cells.templates is ignored: cells.managed is false"],
                ),
            ],
        );
    }

    #[test]
    fn shards_and_instances() {
        let group = |name: &str| json!({"name": name, "partitioning": {"shards": 1}, "shardTemplate": {}});
        create(
            "W05",
            &[
                (vec![], &[]),
                (
                    vec![edit(FULL, "/spec/tableGroups/0/name", json!("orders"))],
                    &[
                        "Multigres serves only default/0-inf so far: pods stay unready in full/orders (1 shard)",
                    ],
                ),
                (
                    vec![edit(FULL, "/spec/tableGroups/0/partitioning/shards", json!(2))],
                    &[
                        "Multigres serves only default/0-inf so far: pods stay unready in full/default (2 shards)",
                    ],
                ),
                (
                    vec![
                        edit(FULL, "/spec/tableGroups/0/name", json!("orders")),
                        edit(FULL, "/spec/tableGroups/-", group("items")),
                        edit(FULL, "/spec/tableGroups/-", group("default")),
                    ],
                    &[
                        "Multigres serves only default/0-inf so far: pods stay unready in full/orders (1 shard) and 1 more",
                    ],
                ),
            ],
        );
        let few: &[&str] = &["writes stop while one instance is down: only 2 can lead in full/default"];
        let replicas = edit(FULL, "/spec/tableGroups/0/shardTemplate/pools/0/replicas", json!(3));
        create("W06", &[(vec![], few), (vec![replicas], &[])]);
        create("W07", &[(vec![], &["Multigres may still elect a readOnly pool: \"reports\" of \"full\""])]);
    }

    #[test]
    fn single_points_of_failure() {
        let replicas = |replicas: i32| edit(GLOBAL, "/managedSpec", json!({"replicas": replicas}));
        create(
            "W08",
            &[
                (vec![replicas(3)], &[]),
                (vec![replicas(1)], &["etcd has 1 replica: while it is down, no failover is possible"]),
                (vec![replicas(1), edit(GLOBAL, "/external", json!({"address": "e:1"}))], &[]),
            ],
        );
        let one = edit("/spec/cells/templates", "/1", json!(null));
        create("W09", &[(vec![], &[]), (vec![one], &["only one cell: the cluster fails with cell \"a\""])]);
    }

    #[test]
    fn open_gateways() {
        let ranges = json!({"service": {"loadBalancerSourceRanges": ["10.0.0.0/8"]}});
        let open = |cells: &str| {
            format!("LoadBalancer without tls or loadBalancerSourceRanges: open to everybody in {cells}")
        };
        create(
            "W10",
            &[
                (vec![], &[&open("\"a\", \"b\"")]),
                (vec![gateway(0, &ranges)], &[&open("\"b\"")]),
                (vec![gateway(0, &ranges), gateway(1, &json!({"tls": {"secretRef": {"name": "t"}}}))], &[]),
                (vec![gateway(0, &json!({"service": {"type": "ClusterIP"}}))], &[&open("\"b\"")]),
            ],
        );
    }

    #[test]
    fn default_backup() {
        let warned: &[&str] =
            &["no spec.backup: each shard needs a 10Gi ReadWriteMany volume of the default StorageClass"];
        let s3 = || json!({"s3": {"bucket": "b", "region": "r"}});
        create(
            "W11",
            &[
                (vec![], warned),
                (vec![edit(SHORT, "/spec/backup", s3())], warned),
                (vec![edit("/spec", "/backup", s3())], &[]),
                (vec![edit("/spec", "/databases", json!(null))], &[]),
            ],
        );
    }

    #[test]
    fn renames() {
        update(
            "W12",
            &[
                (
                    vec![],
                    vec![edit(FULL, "/name", json!("new"))],
                    &["data is not moved: database \"full\" is removed and \"new\" is created empty"],
                ),
                (
                    vec![],
                    vec![edit(FULL, "/spec/tableGroups/0/name", json!("tg"))],
                    &["data is not moved: table group \"default\" is removed and \"tg\" is created empty"],
                ),
                (vec![], vec![edit("/spec/databases/templates", "/1", json!(null))], &[]),
            ],
        );
    }
}
