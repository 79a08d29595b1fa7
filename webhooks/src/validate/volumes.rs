//! Volumes: what a claim says, and what of it can change.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use multigres_crds::defaults;
use multigres_crds::labels::{self, Component, Labels};
use multigres_crds::quantity::Quantity;
use multigres_crds::resolve::{Origin, PoolSource, TableGroupSource, topology_is_managed};
use multigres_crds::v1alpha1::{AccessMode, Backup, Member, StringMap, VolumeClaimTemplate};

use super::view::{Database, View};
use super::{ChildContext, ChildSpec, ChildView, ClusterContext, Field, Reporter, rule};
use crate::lookup::{Claim, Known, Lookup};
use crate::path::{FieldPath, Path};
use crate::report::{Reason, quote};

const ETCD: Path<'static> = Path::new("spec.globalTopoServer.managedSpec.dataVolumeClaimTemplate");
const BACKUP: Path<'static> = Path::new("spec.backup");
const BACKUP_CLAIM: &str = "filesystem.volumeClaimTemplate";
const STORAGE: &str = "resources.requests.storage";

rule!(
    /// Every volume has an access mode and a size above zero.
    C13 since "0.1.0" = field: claims, cluster: missing_claims
);

fn claims(path: &Path<'_>, field: Field<'_>, report: &mut Reporter<'_>) {
    match field {
        Field::Claim(claim) => check_claim(path, claim, report),
        Field::Backup(Backup { filesystem: Some(filesystem), .. }) => {
            check_claim(&path.field(BACKUP_CLAIM), &filesystem.volume_claim_template, report);
        }
        _ => {}
    }
}

fn check_claim(path: &Path<'_>, claim: &VolumeClaimTemplate, report: &mut Reporter<'_>) {
    if claim.access_modes.is_empty() {
        let message = "the volume has no access mode; write for example [\"ReadWriteOnce\"]";
        report.error(&path.field("accessModes"), Reason::Required, "", message);
    }
    let storage = path.field(STORAGE);
    let Some(size) = &claim.resources.requests.storage else {
        let message = "the volume has no size; write for example \"100Gi\"";
        return report.error(&storage, Reason::Required, "", message);
    };
    let problem = match size.value() {
        None => "is no quantity; write for example \"100Gi\"",
        Some(bytes) if bytes.0 <= 0 => "is no size for a volume; write more than 0",
        Some(_) => return,
    };
    report.error(&storage, Reason::Invalid, &size.0, format!("{} {problem}", quote(&size.0)));
}

fn missing_claims(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    cx.new.each_pool(|site, pool| {
        let inherits = matches!(pool.origin, Origin::Replica { .. });
        let primary = site.entry.field("primary.dataVolumeClaimTemplate");
        if pool.member.data_volume_claim_template.is_some() || inherits && !cx.new.knows(&primary) {
            return;
        }
        let message = if inherits {
            "the pool has no volume, nor does a primary in this entry have one to inherit; say which it needs"
        } else {
            "the pool has no volume; say which it needs"
        };
        report.error(&site.block.field("dataVolumeClaimTemplate"), Reason::Required, "", message);
    });
}

rule!(
    /// A volume does not shrink, unless its claims are no larger than what is asked for.
    U05 since "0.1.0" = cluster: shrinking, child: shrinking_of_child
);

fn shrinking(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    each_kept_volume(cx, |kept| check_size(kept, report));
}

fn shrinking_of_child(cx: &ChildContext<'_>, report: &mut Reporter<'_>) {
    each_kept_volume_of_child(cx, |kept| check_size(kept, report));
}

fn check_size(kept: &Kept<'_>, report: &mut Reporter<'_>) {
    let size = |volume: &Volume| {
        let written = volume.claim.resources.requests.storage.clone()?;
        written.value().map(|bytes| (quote(&written.0), bytes))
    };
    let Some(((new_text, new_size), (old_text, old_size))) = size(kept.new).zip(size(kept.old)) else {
        return;
    };
    // The way back after a growth that failed: there are claims, and each is bound to a volume that is no larger.
    let fits = |claim: &Claim| {
        let capacity = claim.capacity.as_ref().and_then(Quantity::value);
        claim.bound && capacity.is_some_and(|capacity| capacity <= new_size)
    };
    if new_size < old_size && !kept.all_claims(fits) {
        let message = format!(
            "{new_text} is less than the {old_text} of now, and a volume cannot shrink; write {old_text} or more"
        );
        let path = kept.new.path.clone().fields(STORAGE);
        report.error(path, Reason::Forbidden, format!("{old_text} {new_text}"), message);
    }
}

rule!(
    /// The class and the access modes of a volume stay as they are, since a claim cannot be changed in them.
    U06 since "0.1.0" = cluster: class_and_modes, child: class_and_modes_of_child
);

fn class_and_modes(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    each_kept_volume(cx, |kept| check_class_and_modes(kept, report));
}

fn class_and_modes_of_child(cx: &ChildContext<'_>, report: &mut Reporter<'_>) {
    each_kept_volume_of_child(cx, |kept| check_class_and_modes(kept, report));
}

fn check_class_and_modes(kept: &Kept<'_>, report: &mut Reporter<'_>) {
    let Kept { new, old, .. } = kept;
    let (new_class, old_class) = (&new.claim.storage_class_name, &old.claim.storage_class_name);
    if new_class != old_class && !kept.all_claims(|claim| claim.storage_class == *new_class) {
        let name = |class: &Option<String>| class.as_deref().map_or("the default class".to_owned(), quote);
        let message = format!(
            "the class of an existing volume cannot change from {} to {}; add a pool with the other class instead",
            name(old_class),
            name(new_class)
        );
        let path = new.path.clone().field("storageClassName");
        report.error(path, Reason::Forbidden, name(new_class), message);
    }
    let (new_modes, old_modes) = (sorted(&new.claim.access_modes), sorted(&old.claim.access_modes));
    let has_modes = |claim: &Claim| sorted(&claim.access_modes) == new_modes;
    if new_modes != old_modes && !new_modes.is_empty() && !kept.all_claims(has_modes) {
        let message = format!(
            "the access modes of an existing volume cannot change from {} to {}; add a pool with the others instead",
            old_modes.join(", "),
            new_modes.join(", ")
        );
        let path = new.path.clone().field("accessModes");
        report.error(path, Reason::Forbidden, new_modes.join(" "), message);
    }
}

fn sorted(modes: &[AccessMode]) -> Vec<&'static str> {
    let mut names: Vec<&str> = modes.iter().map(|mode| mode.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// A volume that is there before and after an update.
pub(super) struct Kept<'v> {
    pub new: &'v Volume,
    pub old: &'v Volume,
    namespace: &'v str,
    lookup: &'v dyn Lookup,
}

impl Kept<'_> {
    /// Whether the volume is known to have claims, all of them such.
    fn all_claims(&self, test: impl Fn(&Claim) -> bool) -> bool {
        let Some(labels) = &self.new.labels else { return false };
        match self.lookup.claims(self.namespace, labels) {
            Known::Yes(claims) => !claims.is_empty() && claims.iter().all(test),
            Known::NotYet => false,
        }
    }
}

pub(super) fn each_kept_volume(cx: &ClusterContext<'_>, f: impl FnMut(&Kept<'_>)) {
    let Some(old) = &cx.old else { return };
    let namespace = cx.new.cluster.metadata.namespace.as_deref().unwrap_or_default();
    each_kept(cx.new.volumes(), old.volumes(), namespace, cx.lookup, f);
}

fn each_kept_volume_of_child(cx: &ChildContext<'_>, f: impl FnMut(&Kept<'_>)) {
    let Some(old) = &cx.old else { return };
    each_kept(&volumes_of_child(&cx.new), &volumes_of_child(old), cx.new.namespace, cx.lookup, f);
}

fn each_kept(
    new: &[Volume],
    old: &[Volume],
    namespace: &str,
    lookup: &dyn Lookup,
    mut f: impl FnMut(&Kept<'_>),
) {
    let old: HashMap<&Identity, &Volume> = old.iter().map(|volume| (&volume.identity, volume)).collect();
    for new in new {
        if let Some(old) = old.get(&new.identity) {
            f(&Kept { new, old, namespace, lookup });
        }
    }
}

/// A volume, or one for each instance of a pool.
pub(super) struct Volume {
    identity: Identity,
    pub claim: VolumeClaimTemplate,
    /// Where the claim is written, or would be.
    path: FieldPath,
    /// What its claims are known by.
    pub labels: Option<StringMap>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Identity {
    Etcd,
    Backup { database: String },
    Pool { database: String, table_group: String, pool: String },
}

impl Identity {
    fn of_pool(database: &str, table_group: &str, pool: &str) -> Self {
        let [database, table_group, pool] = [database, table_group, pool].map(str::to_owned);
        Self::Pool { database, table_group, pool }
    }
}

/// All volumes of a cluster, what is inherited and what is defaulted filled in; without those that are not known.
pub(super) fn volumes(view: &View<'_>) -> Vec<Volume> {
    let spec = view.spec();
    let cluster = view.cluster.metadata.name.as_deref().unwrap_or_default();
    let mut found = Vec::new();
    if topology_is_managed(spec) {
        let etcd = spec.global_topo_server.managed_spec.as_ref();
        let claim = etcd.and_then(|etcd| etcd.data_volume_claim_template.clone());
        found.push(Volume {
            identity: Identity::Etcd,
            claim: claim.unwrap_or_else(defaults::etcd_volume),
            path: FieldPath::from(&ETCD),
            labels: Some(Labels::new(cluster, Component::Etcd).selector()),
        });
    }
    view.each_database(|path, database| {
        for group in &database.groups {
            found.extend(
                group.pools.iter().filter_map(|pool| pool_volume(cluster, path, database, group, pool)),
            );
        }
    });
    view.each_database(|path, database| {
        let own = database.template.spec.backup.as_ref();
        let path = if own.is_some() { &path.field("spec.backup") } else { &BACKUP };
        found.extend(backup_volume(&database.template.name, path, own.or(spec.backup.as_ref())));
    });
    found.retain(|volume| view.knows(volume.path.clone()));
    found
}

/// The volumes of a child.
fn volumes_of_child(view: &ChildView<'_>) -> Vec<Volume> {
    let spec = Path::new("spec");
    let mut found = Vec::new();
    match view.spec {
        ChildSpec::TopoServer(server) => found.push(Volume {
            identity: Identity::Etcd,
            claim: server.data_volume_claim_template.clone(),
            path: FieldPath::from(&spec.field("dataVolumeClaimTemplate")),
            labels: Some(Labels::new(&server.cluster, Component::Etcd).selector()),
        }),
        ChildSpec::MultiShard(shard) => {
            let list = spec.field("pools");
            found.extend(shard.pools.iter().enumerate().map(|(index, pool)| {
                Volume {
                    identity: Identity::of_pool(&shard.database, &shard.table_group, &pool.name),
                    claim: pool.data_volume_claim_template.clone(),
                    path: FieldPath::from(&list.item(index, &pool.name).field("dataVolumeClaimTemplate")),
                    labels: Some(
                        pool_labels(&shard.cluster, &shard.database, &shard.table_group, &pool.name)
                            .with(labels::SHARD, &shard.shard)
                            .selector(),
                    ),
                }
            }));
            found.extend(backup_volume(&shard.database, &BACKUP, Some(&shard.backup)));
        }
        ChildSpec::MultiAdmin(_) | ChildSpec::MultiOrch(_) | ChildSpec::MultiCell(_) => {}
    }
    found.retain(|volume| view.knows(volume.path.clone()));
    found
}

fn pool_labels(cluster: &str, database: &str, table_group: &str, pool: &str) -> Labels {
    Labels::new(cluster, Component::MultiPooler)
        .with(labels::DATABASE, database)
        .with(labels::TABLE_GROUP, table_group)
        .with(labels::POOL, pool)
}

fn pool_volume(
    cluster: &str,
    path: &Path<'_>,
    database: &Database<'_>,
    group: &TableGroupSource<'_>,
    pool: &PoolSource<'_>,
) -> Option<Volume> {
    let has_claim = |member: &Member| member.data_volume_claim_template.is_some();
    let labels = pool_labels(cluster, &database.template.name, group.name, &pool.name);
    Some(Volume {
        identity: Identity::of_pool(&database.template.name, group.name, &pool.name),
        claim: pool.member.data_volume_claim_template?.clone(),
        path: database.at_block(path, pool, has_claim, |block| {
            FieldPath::from(&block.field("dataVolumeClaimTemplate"))
        }),
        labels: Some(labels.selector()),
    })
}

fn backup_volume(database: &str, path: &Path<'_>, backup: Option<&Backup>) -> Option<Volume> {
    let claim = match backup {
        Some(backup) => backup.filesystem.as_ref()?.volume_claim_template.clone(),
        None => defaults::backup_volume(),
    };
    let identity = Identity::Backup { database: database.to_owned() };
    Some(Volume { identity, claim, path: FieldPath::from(&path.field(BACKUP_CLAIM)), labels: None })
}
