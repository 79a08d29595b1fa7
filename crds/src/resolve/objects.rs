//! Predicts kind and name of every object that a cluster produces.
//!
//! Names are joined and cut, so two objects may end up with the same name. Admission refuses that before either is
//! made.

use super::children::{managed, section_is_managed, topology_is_managed};
use super::pools::{TableGroupSource, key_ranges, table_groups};
use crate::kind::ChildKind;
use crate::names;
use crate::v1alpha1::{Backup, DatabaseTemplate, MultigresCluster, TopoServerSpec};

/// The part of a cluster's spec that an object is derived from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the fields are indices: of templates, of `table_groups` and of their pools")]
pub enum Source {
    /// The cluster as such.
    Cluster,
    /// A cell.
    Cell { cell: usize },
    /// A database.
    Database { database: usize },
    /// A table group.
    TableGroup { database: usize, group: usize },
    /// A pool.
    Pool { database: usize, group: usize, pool: usize },
}

/// Kind and name of every object that the cluster's managed sections lead to, and what of the cluster does.
pub fn each_object(cluster: &MultigresCluster, f: &mut dyn FnMut(Source, &'static str, &str)) {
    // A name that is yet to be generated is nobody else's.
    let Some(name) = cluster.metadata.name.as_deref().filter(|name| !name.is_empty()) else { return };
    let spec = &cluster.spec;
    let mut own = |kind, name: &str| f(Source::Cluster, kind, name);
    if topology_is_managed(spec) {
        own("TopoServer", &names::etcd(name));
        own("StatefulSet", &names::etcd(name));
        own("PodDisruptionBudget", &names::etcd(name));
        own("Service", &names::etcd_peer(name));
        own("Service", &names::etcd_client(name));
        if spec.workload_revision.is_some_and(|revision| revision >= TopoServerSpec::REPLACES_MEMBERS) {
            own("ConfigMap", &names::etcd_settings(name));
        }
    }
    if managed(spec.admin.as_ref().and_then(|admin| admin.managed)) {
        own("MultiAdmin", &names::admin(name));
        own("Deployment", &names::multiadmin(name));
        own("Service", &names::admin(name));
    }
    let orch = managed(spec.orchestrator.as_ref().and_then(|orch| orch.managed));
    if orch {
        own("MultiOrch", &names::orch(name));
    }
    for (index, cell) in spec.cells.templates.iter().map(|template| template.name.as_str()).enumerate() {
        let mut of_cell = |kind, name: &str| f(Source::Cell { cell: index }, kind, name);
        if orch {
            of_cell("StatefulSet", &names::multiorch(name, cell));
        }
        if managed(spec.cells.managed) {
            of_cell("MultiCell", &names::cell(name, cell));
            of_cell("Deployment", &names::multigateway(name, cell));
            of_cell("Service", &names::multigateway(name, cell));
        }
    }
    let databases = spec.databases.iter().filter(|databases| managed(databases.managed));
    let templates = databases.flat_map(|databases| &databases.templates);
    for (database, template) in templates.enumerate() {
        each_of_database(name, database, template, spec.backup.as_ref(), f);
    }
}

/// Kind and name of every child that the cluster's managed sections lead to.
pub fn each_child(cluster: &MultigresCluster, f: &mut dyn FnMut(ChildKind, &str)) {
    let Some(name) = cluster.metadata.name.as_deref().filter(|name| !name.is_empty()) else { return };
    let spec = &cluster.spec;
    for kind in ChildKind::ALL.into_iter().filter(|kind| section_is_managed(spec, *kind)) {
        match kind {
            ChildKind::TopoServer => f(kind, &names::etcd(name)),
            ChildKind::MultiAdmin => f(kind, &names::admin(name)),
            ChildKind::MultiOrch => f(kind, &names::orch(name)),
            ChildKind::MultiCell => {
                spec.cells.templates.iter().for_each(|cell| f(kind, &names::cell(name, &cell.name)));
            }
            ChildKind::MultiShard => {
                for database in spec.databases.iter().flat_map(|databases| &databases.templates) {
                    each_shard(name, database, &mut |_, _, shard| f(kind, shard.base().name()));
                }
            }
        }
    }
}

fn each_shard(
    cluster: &str,
    template: &DatabaseTemplate,
    f: &mut dyn FnMut(usize, &TableGroupSource<'_>, &names::Shard<'_>),
) {
    for (group, source) in table_groups(&template.spec).iter().enumerate() {
        for range in key_ranges(source.shards) {
            let (database, table_group) = (&template.name, source.name);
            f(group, source, &names::Shard { cluster, database, table_group, shard: &range });
        }
    }
}

fn each_of_database(
    cluster: &str,
    database: usize,
    template: &DatabaseTemplate,
    backup: Option<&Backup>,
    f: &mut dyn FnMut(Source, &'static str, &str),
) {
    f(Source::Database { database }, "Secret", &names::connection(cluster, &template.name));
    if template.spec.password_secret_ref.is_none() {
        f(Source::Database { database }, "Secret", &names::password(cluster, &template.name));
    }
    let backup = template.spec.backup.as_ref().or(backup);
    let has_backup_volume = backup.is_none_or(|backup| backup.filesystem.is_some());
    each_shard(cluster, template, &mut |group, source, shard| {
        let mut of_shard = |kind, name: &str| f(Source::TableGroup { database, group }, kind, name);
        let mut base = shard.base();
        of_shard("MultiShard", base.name());
        of_shard("PodDisruptionBudget", base.name());
        of_shard("ConfigMap", base.pg_hba());
        if has_backup_volume {
            of_shard("PersistentVolumeClaim", base.backup());
        }
        for (index, pool) in source.pools.iter().enumerate() {
            let mut of_pool = |kind, name: &str| f(Source::Pool { database, group, pool: index }, kind, name);
            let mut base = shard.pool_base(&pool.name);
            for ordinal in 0..pool.member.replicas() {
                of_pool("Service", base.instance(ordinal));
            }
            of_pool("StatefulSet", base.stateful_set());
            of_pool("Service", base.headless());
        }
    });
}
