//! Volumes: what a claim says, and what of it can change.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::LazyLock;

use kube::api::ObjectMeta;
use multigres_crds::defaults;
use multigres_crds::kind::ChildKind;
use multigres_crds::labels::{self, Component, Labels};
use multigres_crds::quantity::Quantity;
use multigres_crds::resolve::{
    Origin, PoolSource, TableGroupSource, section_is_managed, topology_is_managed,
};
use multigres_crds::v1alpha1::{AccessMode, Backup, Member, StringMap, VolumeClaimTemplate};

use super::view::{Database, View};
use super::{ChildContext, ChildSpec, ChildView, ClusterContext, Reporter, rule};
use crate::lookup::{Claim, Known, Lookup};
use crate::path::Path;
use crate::report::{Reason, quote};

const ETCD: Path<'static> = Path::new("spec.globalTopoServer.managedSpec.dataVolumeClaimTemplate");
const TOPOLOGY: Path<'static> = Path::new("spec.globalTopoServer");
const DATABASES_MANAGED: Path<'static> = Path::new("spec.databases.managed");
const BACKUP: Path<'static> = Path::new("spec.backup");
const BACKUP_CLAIM: &str = "filesystem.volumeClaimTemplate";
const STORAGE: &str = "resources.requests.storage";

rule!(
    /// Every volume has an access mode and a size above zero.
    C13 since "0.1.0" = { claim: check_claim, backup: backup_claim }, cluster: missing_claims
);

fn backup_claim(path: &Path<'_>, backup: &Backup, report: &mut Reporter<'_>) {
    if let Some(filesystem) = &backup.filesystem {
        check_claim(&path.field(BACKUP_CLAIM), &filesystem.volume_claim_template, report);
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
        None => "is not a quantity; write for example \"100Gi\"",
        Some(bytes) if bytes.0 <= 0 => "is not a volume size; write more than 0",
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
    /// A volume does not shrink, unless its claims are no larger than the request.
    U05 since "0.1.0" = cluster: shrinking, child: shrinking_of_child
);

fn shrinking(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    each_kept_volume(cx, |kept| check_size(kept, report));
}

fn shrinking_of_child(cx: &ChildContext<'_>, report: &mut Reporter<'_>) {
    each_kept_volume_of_child(cx, |kept| check_size(kept, report));
}

fn check_size(kept: &Kept<'_>, report: &mut Reporter<'_>) {
    let size = |volume: Volume<'_>| {
        let written = volume.claim.resources.requests.storage.as_ref()?;
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
    let all_fit = || kept.claims() != Known::Yes(Vec::new()) && kept.all_claims(fits);
    if new_size < old_size && !all_fit() {
        let message = format!(
            "{new_text} is less than the {old_text} of now, and a volume cannot shrink; write {old_text} or more"
        );
        report.error(&kept.path.field(STORAGE), Reason::Forbidden, format!("{old_text} {new_text}"), message);
    }
}

rule!(
    /// The StorageClass and the access modes of a volume cannot change, since a claim's are immutable.
    U06 since "0.1.0" = cluster: class_and_modes, child: class_and_modes_of_child
);

fn class_and_modes(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    each_kept_volume(cx, |kept| check_class_and_modes(kept, report));
}

fn class_and_modes_of_child(cx: &ChildContext<'_>, report: &mut Reporter<'_>) {
    each_kept_volume_of_child(cx, |kept| check_class_and_modes(kept, report));
}

fn check_class_and_modes(kept: &Kept<'_>, report: &mut Reporter<'_>) {
    let Kept { new, old, path, .. } = kept;
    let (new_class, old_class) = (&new.claim.storage_class_name, &old.claim.storage_class_name);
    // What the claims have anyway is no change to them, nor is anything where there are none.
    if new_class != old_class && !kept.all_claims(|claim| claim.storage_class == *new_class) {
        let name = |class: &Option<String>| class.as_deref().map_or("the default class".to_owned(), quote);
        let message = format!(
            "the class of an existing volume cannot change from {} to {}; add a pool with the other class instead",
            name(old_class),
            name(new_class)
        );
        report.error(&path.field("storageClassName"), Reason::Forbidden, name(new_class), message);
    }
    let (new_modes, old_modes) = (sorted(&new.claim.access_modes), sorted(&old.claim.access_modes));
    let has_modes = |claim: &Claim| sorted(&claim.access_modes) == new_modes;
    if new_modes != old_modes && !new_modes.is_empty() && !kept.all_claims(has_modes) {
        let message = format!(
            "the access modes of an existing volume cannot change from {} to {}; add a pool with the others instead",
            old_modes.join(", "),
            new_modes.join(", ")
        );
        report.error(&path.field("accessModes"), Reason::Forbidden, new_modes.join(" "), message);
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
    pub new: Volume<'v>,
    pub old: Volume<'v>,
    /// Path at which the claim is written, or would be.
    path: &'v Path<'v>,
    owner: Owner<'v>,
    lookup: &'v dyn Lookup,
}

/// Owner of volumes.
#[derive(Clone, Copy)]
struct Owner<'v> {
    namespace: &'v str,
    cluster: &'v str,
}

impl Kept<'_> {
    fn claims(&self) -> Known<Vec<Claim>> {
        self.new.claims(self.lookup, self.owner.namespace, self.owner.cluster)
    }

    /// True if the claims are known and every one passes `test` (also when there are none).
    fn all_claims(&self, test: impl Fn(&Claim) -> bool) -> bool {
        matches!(self.claims(), Known::Yes(claims) if claims.iter().all(test))
    }
}

pub(super) fn each_kept_volume(cx: &ClusterContext<'_>, f: impl FnMut(&Kept<'_>)) {
    let Some(old) = &cx.old else { return };
    let ObjectMeta { namespace, name, .. } = &cx.new.cluster.metadata;
    let (namespace, cluster) =
        (namespace.as_deref().unwrap_or_default(), name.as_deref().unwrap_or_default());
    each_kept(&cx.new, old, Owner { namespace, cluster }, cx.lookup, f);
}

fn each_kept_volume_of_child(cx: &ChildContext<'_>, f: impl FnMut(&Kept<'_>)) {
    let Some(old) = &cx.old else { return };
    let owner = Owner { namespace: cx.new.namespace, cluster: cx.new.spec.cluster() };
    each_kept(&cx.new, old, owner, cx.lookup, f);
}

fn each_kept<V: Volumes>(
    new: &V,
    old: &V,
    owner: Owner<'_>,
    lookup: &dyn Lookup,
    mut f: impl FnMut(&Kept<'_>),
) {
    let mut before = HashMap::new();
    old.each_volume(&mut |_, volume| {
        before.insert(volume.identity, volume);
    });
    new.each_volume(&mut |path, new| {
        if let Some(&old) = before.get(&new.identity) {
            f(&Kept { new, old, path, owner, lookup });
        }
    });
}

/// A volume, or one for each instance of a pool.
#[derive(Clone, Copy)]
pub(super) struct Volume<'v> {
    identity: Identity<'v>,
    pub claim: &'v VolumeClaimTemplate,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Identity<'v> {
    Etcd,
    Backup {
        database: &'v str,
        /// Table group and shard; nothing where it is those of all shards.
        shard: Option<(&'v str, &'v str)>,
    },
    Pool {
        database: &'v str,
        table_group: &'v str,
        /// The shard; nothing where it is those of all shards.
        shard: Option<&'v str>,
        pool: &'v str,
    },
}

impl<'v> Volume<'v> {
    /// The database whose data it holds.
    pub fn database(&self) -> Option<&'v str> {
        match self.identity {
            Identity::Pool { database, .. } | Identity::Backup { database, .. } => Some(database),
            Identity::Etcd => None,
        }
    }

    /// The claims that there are of it.
    pub fn claims(&self, lookup: &dyn Lookup, namespace: &str, cluster: &str) -> Known<Vec<Claim>> {
        let mut known = lookup.claims(namespace, &self.labels(cluster));
        if let (Identity::Backup { .. }, Known::Yes(claims)) = (self.identity, &mut known) {
            // Their labels are those of the shard, which the claims of its pools have as well.
            claims.retain(|claim| claim.pool.is_none());
        }
        known
    }

    /// Labels that its claims share.
    fn labels(&self, cluster: &str) -> StringMap {
        let labels = match self.identity {
            Identity::Etcd => Labels::new(cluster, Component::Etcd),
            Identity::Backup { database, shard } => {
                let labels = Labels::new(cluster, Component::MultiPooler).with(labels::DATABASE, database);
                match shard {
                    Some((table_group, shard)) => {
                        labels.with(labels::TABLE_GROUP, table_group).with(labels::SHARD, shard)
                    }
                    None => labels,
                }
            }
            Identity::Pool { database, table_group, shard, pool } => {
                let labels = Labels::new(cluster, Component::MultiPooler)
                    .with(labels::DATABASE, database)
                    .with(labels::TABLE_GROUP, table_group)
                    .with(labels::POOL, pool);
                match shard {
                    Some(shard) => labels.with(labels::SHARD, shard),
                    None => labels,
                }
            }
        };
        labels.selector()
    }
}

/// Volumes of clusters that do not say which they need.
static ETCD_VOLUME: LazyLock<VolumeClaimTemplate> = LazyLock::new(defaults::etcd_volume);
static BACKUP_VOLUME: LazyLock<VolumeClaimTemplate> = LazyLock::new(defaults::backup_volume);

/// True if an etcd is made for the topology, as far as that is known.
pub(super) fn manages_topology(view: &View<'_>) -> bool {
    let knows = |field| view.knows(&TOPOLOGY.field(field));
    topology_is_managed(view.spec()) && knows("managed") && knows("external")
}

/// True if shards are made from the templates, as far as that is known. If not, other rules apply once they are.
pub(super) fn manages_databases(view: &View<'_>) -> bool {
    section_is_managed(view.spec(), ChildKind::MultiShard) && view.knows(&DATABASES_MANAGED)
}

/// Something that asks for volumes.
pub(super) trait Volumes {
    /// All volumes that are made of it, what is inherited and what is defaulted filled in, and where each is written or
    /// would be; without those that are not known, and those of sections that are not managed.
    fn each_volume<'v>(&'v self, visit: &mut dyn FnMut(&Path<'_>, Volume<'v>));
}

impl Volumes for View<'_> {
    fn each_volume<'v>(&'v self, visit: &mut dyn FnMut(&Path<'_>, Volume<'v>)) {
        let spec = self.spec();
        let mut visit = |path: &Path<'_>, volume: Volume<'v>| {
            if self.knows(path) {
                visit(path, volume);
            }
        };
        if manages_topology(self) {
            let etcd = spec.global_topo_server.managed_spec.as_ref();
            let claim = etcd.and_then(|etcd| etcd.data_volume_claim_template.as_ref());
            visit(&ETCD, Volume { identity: Identity::Etcd, claim: claim.unwrap_or(&ETCD_VOLUME) });
        }
        if !manages_databases(self) {
            return;
        }
        self.each_database(|path, database| {
            for group in &database.groups {
                for pool in &group.pools {
                    let Some(volume) = pool_volume(database, group, pool) else { continue };
                    if !self.knows_name(path, database, pool) {
                        continue;
                    }
                    let has_claim = |member: &Member| member.data_volume_claim_template.is_some();
                    database.at_block(path, pool, has_claim, |block| {
                        visit(&block.field("dataVolumeClaimTemplate"), volume);
                    });
                }
            }
        });
        self.each_database(|path, database| {
            let own = database.template.spec.backup.as_ref();
            let path = if own.is_some() { &path.field("spec.backup") } else { &BACKUP };
            let identity = Identity::Backup { database: &database.template.name, shard: None };
            if let Some(volume) = backup_volume(identity, own.or(spec.backup.as_ref())) {
                visit(&path.field(BACKUP_CLAIM), volume);
            }
        });
    }
}

impl Volumes for ChildView<'_> {
    fn each_volume<'v>(&'v self, visit: &mut dyn FnMut(&Path<'_>, Volume<'v>)) {
        let spec = Path::new("spec");
        let mut visit = |path: &Path<'_>, volume: Volume<'v>| {
            if self.knows(path) {
                visit(path, volume);
            }
        };
        match self.spec {
            ChildSpec::TopoServer(server) => {
                let claim = &server.data_volume_claim_template;
                visit(&spec.field("dataVolumeClaimTemplate"), Volume { identity: Identity::Etcd, claim });
            }
            ChildSpec::MultiShard(shard) => {
                let list = spec.field("pools");
                for (index, pool) in shard.pools.iter().enumerate() {
                    let identity = Identity::Pool {
                        database: &shard.database,
                        table_group: &shard.table_group,
                        shard: Some(&shard.shard),
                        pool: &pool.name,
                    };
                    let volume = Volume { identity, claim: &pool.data_volume_claim_template };
                    visit(&list.item(index, &pool.name).field("dataVolumeClaimTemplate"), volume);
                }
                let of_shard = Some((shard.table_group.as_str(), shard.shard.as_str()));
                let identity = Identity::Backup { database: &shard.database, shard: of_shard };
                if let Some(volume) = backup_volume(identity, Some(&shard.backup)) {
                    visit(&BACKUP.field(BACKUP_CLAIM), volume);
                }
            }
            ChildSpec::MultiAdmin(_) | ChildSpec::MultiOrch(_) | ChildSpec::MultiCell(_) => {}
        }
    }
}

fn pool_volume<'v>(
    database: &'v Database<'_>,
    group: &'v TableGroupSource<'_>,
    pool: &'v PoolSource<'_>,
) -> Option<Volume<'v>> {
    let identity = Identity::Pool {
        database: &database.template.name,
        table_group: group.name,
        shard: None,
        pool: &pool.name,
    };
    Some(Volume { identity, claim: pool.member.data_volume_claim_template? })
}

fn backup_volume<'v>(identity: Identity<'v>, backup: Option<&'v Backup>) -> Option<Volume<'v>> {
    let claim = match backup {
        Some(backup) => &backup.filesystem.as_ref()?.volume_claim_template,
        None => &BACKUP_VOLUME,
    };
    Some(Volume { identity, claim })
}
