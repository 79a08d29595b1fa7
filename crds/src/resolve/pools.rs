//! The two ways to write a database's pools, read as one.

use compact_str::CompactString;

use crate::defaults;
use crate::v1alpha1::{
    Container, DatabaseTemplateSpec, Member, Placement, Pool, PoolType, StringMap, VolumeClaimTemplate,
};

/// A table group, whichever form it was written in.
#[derive(Clone, Debug)]
pub struct TableGroupSource<'a> {
    /// Name of the table group.
    pub name: &'a str,
    /// Number of shards.
    pub shards: i32,
    /// The pools of each shard.
    pub pools: Vec<PoolSource<'a>>,
    /// Index in `tableGroups`; none in the short form.
    pub index: Option<usize>,
}

/// A pool, whichever form it was written in.
#[derive(Clone, Debug)]
pub struct PoolSource<'a> {
    /// Resolved name. Nearly all are short enough to be kept in place.
    pub name: CompactString,
    /// The cell that it runs in.
    pub cell: &'a str,
    /// The pool's type.
    pub type_: PoolType,
    /// The pool's fields as written, with inherited blocks filled in.
    pub member: MemberRef<'a>,
    /// Place of the pool in the database's spec.
    pub origin: Origin,
}

/// Place of a pool, relative to the database's spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `pools[entry].primary`
    Primary {
        /// Index of the entry.
        entry: usize,
    },
    /// `pools[entry].replica`
    Replica {
        /// Index of the entry.
        entry: usize,
    },
    /// `tableGroups[group].shardTemplate.pools[pool]`
    Pool {
        /// Index of the table group.
        group: usize,
        /// Index of the pool.
        pool: usize,
    },
}

/// A pool's fields as written, except its name, type and cell.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of `Member`")]
pub struct MemberRef<'a> {
    pub replicas: Option<i32>,
    pub data_volume_claim_template: Option<&'a VolumeClaimTemplate>,
    pub postgres: ContainerRef<'a>,
    pub multi_pooler: ContainerRef<'a>,
    pub placement: Option<&'a Placement>,
    pub pod_labels: Option<&'a StringMap>,
    pub pod_annotations: Option<&'a StringMap>,
    pub service_account_name: Option<&'a String>,
}

/// A container's fields as written.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of `Container`")]
pub struct ContainerRef<'a> {
    pub image: Option<&'a String>,
    pub resources: Option<&'a crate::v1alpha1::ResourceRequirements>,
}

impl MemberRef<'_> {
    /// Number of instances, the default applied.
    pub fn replicas(&self) -> i32 {
        self.replicas.unwrap_or(defaults::POOL_REPLICAS)
    }

    /// Fills the blocks that a replica leaves out from the primary of its entry. Each block is inherited as a whole;
    /// the number of instances never is.
    fn inheriting(self, primary: Self) -> Self {
        Self {
            replicas: self.replicas,
            data_volume_claim_template: self
                .data_volume_claim_template
                .or(primary.data_volume_claim_template),
            postgres: self.postgres.inheriting(primary.postgres),
            multi_pooler: self.multi_pooler.inheriting(primary.multi_pooler),
            placement: self.placement.or(primary.placement),
            pod_labels: self.pod_labels,
            pod_annotations: self.pod_annotations,
            service_account_name: self.service_account_name,
        }
    }
}

impl ContainerRef<'_> {
    fn inheriting(self, primary: Self) -> Self {
        Self { image: self.image.or(primary.image), resources: self.resources.or(primary.resources) }
    }
}

impl<'a> From<Option<&'a Container>> for ContainerRef<'a> {
    fn from(container: Option<&'a Container>) -> Self {
        container.map_or_else(Self::default, |container| Self {
            image: container.image.as_ref(),
            resources: container.resources.as_ref(),
        })
    }
}

macro_rules! member_ref {
    ($written:ident) => {
        MemberRef {
            replicas: $written.replicas,
            data_volume_claim_template: $written.data_volume_claim_template.as_ref(),
            postgres: $written.postgres.as_ref().into(),
            multi_pooler: $written.multi_pooler.as_ref().or($written.multipooler.as_deref()).into(),
            placement: $written.placement.as_deref(),
            pod_labels: Some(&$written.pod_labels),
            pod_annotations: Some(&$written.pod_annotations),
            service_account_name: $written.service_account_name.as_ref(),
        }
    };
}

impl<'a> From<&'a Member> for MemberRef<'a> {
    fn from(member: &'a Member) -> Self {
        member_ref!(member)
    }
}

impl<'a> From<&'a Pool> for MemberRef<'a> {
    fn from(pool: &'a Pool) -> Self {
        member_ref!(pool)
    }
}

/// The table groups of a database. The short form is one group with one shard.
pub fn table_groups(database: &DatabaseTemplateSpec) -> Vec<TableGroupSource<'_>> {
    if !database.table_groups.is_empty() {
        return database
            .table_groups
            .iter()
            .enumerate()
            .map(|(index, group)| full_form(index, group))
            .collect();
    }
    if database.pools.is_empty() {
        return Vec::new();
    }
    vec![TableGroupSource {
        name: defaults::TABLE_GROUP,
        shards: 1,
        pools: database
            .pools
            .iter()
            .enumerate()
            .flat_map(|(entry, pools)| short_form(entry, pools))
            .collect(),
        index: None,
    }]
}

fn full_form(group: usize, source: &crate::v1alpha1::TableGroup) -> TableGroupSource<'_> {
    let pools = source.shard_template.pools.iter().enumerate().map(|(index, pool)| PoolSource {
        name: pool.resolved_name(),
        cell: &pool.cell,
        type_: pool.type_,
        member: pool.into(),
        origin: Origin::Pool { group, pool: index },
    });
    TableGroupSource {
        name: &source.name,
        shards: source.partitioning.shards,
        pools: pools.collect(),
        index: Some(group),
    }
}

fn short_form(entry: usize, pools: &crate::v1alpha1::CellPools) -> impl Iterator<Item = PoolSource<'_>> {
    let primary = pools.primary.as_ref().map(MemberRef::from);
    let replica = pools.replica.as_ref().map(MemberRef::from);
    let replica = replica.map(|replica| replica.inheriting(primary.unwrap_or_default()));
    let pool = move |role: &str, member, origin| PoolSource {
        name: CompactString::from_iter([&*pools.cell, "-", role]),
        cell: &pools.cell,
        type_: PoolType::Replica,
        member,
        origin,
    };
    let primary = primary.map(|member| pool("primary", member, Origin::Primary { entry }));
    let replica = replica.map(|member| pool("replica", member, Origin::Replica { entry }));
    primary.into_iter().chain(replica)
}

/// The key ranges of `shards` shards of equal size: `0-inf` for one; `0-80`, `80-inf` for two.
pub fn key_ranges(shards: i32) -> Vec<String> {
    let boundary = |i: i32| match i {
        0 => "0".to_owned(),
        i if i == shards => "inf".to_owned(),
        i => format!("{:02x}", 256 * i64::from(i) / i64::from(shards)),
    };
    (0..shards).map(|i| format!("{}-{}", boundary(i), boundary(i + 1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_ranges_cover_everything_once() {
        assert_eq!(key_ranges(1), ["0-inf"]);
        assert_eq!(key_ranges(2), ["0-80", "80-inf"]);
        assert_eq!(key_ranges(3), ["0-55", "55-aa", "aa-inf"]);
        assert_eq!(key_ranges(64)[1], "04-08");
        assert!(key_ranges(0).is_empty() && key_ranges(-1).is_empty());
    }
}
