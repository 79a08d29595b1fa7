//! A shard as the planner sees it.

use std::collections::BTreeSet;
use std::time::Duration;

use multigres_crds::labels;
use multigres_crds::names;
use multigres_crds::v1alpha1::DurabilityPolicy;

use super::Undecided;
use crate::observe::{ObjectKey, Observed};

/// A shard: what is wanted of it, and what was observed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shard {
    /// Its pools, those included that are no longer wanted and still have instances.
    pub pools: Vec<Pool>,
    /// The pods that exist.
    pub pods: Vec<Pod>,
    /// Copies of a commit that are needed.
    pub durability: DurabilityPolicy,
    /// True if a primary is known and serves writes. If not, what the instances are is not known for certain.
    pub roles_known: bool,
    /// The pod that is being repaired, which nothing else may be disturbed beside.
    pub under_repair: Option<String>,
    /// Decision while the roles are unknown.
    pub undecided: Undecided,
}

/// A pool of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Instances that are wanted.
    pub desired: i32,
    /// Instances that its StatefulSet makes now; nothing where there is none.
    pub current: Option<i32>,
    /// No longer part of the shard: nobody makes its StatefulSet again.
    pub leftover: bool,
}

/// An instance that exists.
#[expect(clippy::struct_excessive_bools, reason = "what Kubernetes tells of a pod is one bit each")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Name of the pod.
    pub name: String,
    /// Identity over time.
    pub uid: String,
    /// Name of the pool.
    pub pool: String,
    /// Ordinal in the pool.
    pub ordinal: i32,
    /// Name of the cell.
    pub cell: String,
    /// True if PostgreSQL accepts connections.
    pub ready: bool,
    /// For how long it has been ready: it takes a moment until everybody who must know of it does.
    pub ready_for: Duration,
    /// The containers that serve run.
    pub running: bool,
    /// The containers that serve are ready. The pod is not where another container keeps it from being so.
    pub serving: bool,
    /// True if it is on its way out.
    pub terminating: bool,
    /// Reason why it is not what it should be.
    pub outdated: Option<Outdated>,
    /// Its standing in the shard.
    pub standing: Standing,
}

/// Reason why a pod is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outdated {
    /// The template of its pool has changed since.
    Template,
    /// Somebody has changed the image of a container.
    Image(String),
}

/// Standing of an instance in its shard, from the topology.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Not known.
    #[default]
    Unknown,
    /// It leads.
    Primary,
    /// It follows, and its copies of commits count.
    Joined,
    /// It does not follow, or its copies do not count yet.
    Apart,
}

impl Pool {
    /// Its StatefulSet is gone and nobody makes it again: its pods are removed one by one, by their names.
    pub fn is_orphaned(&self) -> bool {
        self.leftover && self.current.is_none()
    }

    /// Its StatefulSet is to be made again. Until then nothing is removed, and a pod that ends has no successor.
    pub fn is_away(&self) -> bool {
        !self.leftover && self.current.is_none()
    }
}

impl Pod {
    /// Reads a pod, unless it is not an instance of the shard of these names. Its labels alone do not make it one:
    /// `kubectl debug --copy-to --keep-labels` gives them to a copy. A StatefulSet of the pool's name controls an
    /// instance, or has made and lost it (`--cascade=orphan`).
    pub fn seen(names: &names::Shard<'_>, key: &ObjectKey, observed: &Observed) -> Option<Self> {
        let instance = observed.instance.as_ref()?;
        let label = |label: &str| observed.labels.get(label).map(ToString::to_string);
        let (set, ordinal) = ordinal(&key.name)?;
        let pool = label(labels::POOL).filter(|pool| names.pool(pool) == set)?;
        let is_made_by_set = match &observed.owner {
            Some(owner) => owner.kind == "StatefulSet" && owner.name == set,
            None => instance.bears_its_name,
        };
        is_made_by_set.then(|| Self {
            name: key.name.to_string(),
            uid: observed.uid.clone(),
            pool,
            ordinal,
            cell: label(labels::CELL).unwrap_or_default(),
            ready: instance.ready,
            running: instance.running,
            serving: instance.serving,
            terminating: observed.deleting,
            ..Self::default()
        })
    }

    /// Its copies of commits count, or it makes the commits.
    pub fn takes_part(&self) -> bool {
        self.serving && !self.terminating && self.has_part()
    }

    /// Nothing is lost with it: its containers that serve do not run, or the topology knows that it has no part.
    ///
    /// A primary, or a standby that has joined, answered only just now, whatever Kubernetes has of its containers. A pod
    /// that is cut off from its node is not ready and may still lead, so that it is not ready is not enough.
    pub fn serves_nothing(&self, roles_known: bool) -> bool {
        let apart = roles_known && self.standing == Standing::Apart;
        !self.ready && !self.has_part() && (!self.running || apart)
    }

    fn has_part(&self) -> bool {
        matches!(self.standing, Standing::Primary | Standing::Joined)
    }
}

/// The name of its StatefulSet and the ordinal, from the name of a pod.
pub fn ordinal(pod: &str) -> Option<(&str, i32)> {
    let (set, ordinal) = pod.rsplit_once('-')?;
    Some((set, ordinal.parse().ok()?))
}

impl Shard {
    /// Instances of a pool that exist, or that Kubernetes makes. Without a StatefulSet to ask, those are the pods that
    /// are there, one that is just being replaced included: another StatefulSet must not let go of any of them.
    pub fn existing(&self, pool: &Pool) -> i32 {
        let highest = || self.pods_of(pool).map(|pod| pod.ordinal + 1).max().unwrap_or(0);
        pool.current.unwrap_or_else(highest)
    }

    /// Instances of a pool that there are, or are to be.
    pub fn expected(&self, pool: &Pool) -> i32 {
        let there = i32::try_from(self.pods_of(pool).count()).unwrap_or(i32::MAX);
        if pool.is_orphaned() { there } else { self.existing(pool).max(pool.desired).max(there) }
    }

    /// Instances of a pool are to go.
    pub fn shrinks(&self, pool: &Pool) -> bool {
        self.existing(pool) > pool.desired
    }

    /// Every copy of a commit that the policy asks for could be made without `leaving`.
    pub fn is_safe_without(&self, leaving: Option<&Pod>) -> bool {
        let stays = |pod: &&Pod| leaving.is_none_or(|leaving| leaving.uid != pod.uid);
        let remaining = || self.pods.iter().filter(|pod| pod.takes_part()).filter(stays);
        let cells: BTreeSet<&str> = remaining().map(|pod| pod.cell.as_str()).collect();
        let spread = match self.durability {
            DurabilityPolicy::AtLeast2 => true,
            DurabilityPolicy::MultiCellAtLeast2 => cells.len() >= 2,
        };
        self.roles_known && remaining().count() >= 2 && spread
    }

    /// The pod of an ordinal.
    pub fn pod(&self, pool: &Pool, ordinal: i32) -> Option<&Pod> {
        self.pods_of(pool).find(|pod| pod.ordinal == ordinal)
    }

    /// The pods of a pool.
    pub fn pods_of(&self, pool: &Pool) -> impl Iterator<Item = &Pod> {
        self.pods.iter().filter(move |pod| pod.pool == pool.name)
    }

    /// Something is to be replaced or removed, or is on its way.
    pub fn has_work(&self) -> bool {
        let leaves = |pod: &Pod| {
            self.pools.iter().all(|pool| pool.name != pod.pool || pod.ordinal >= self.existing(pool))
        };
        self.pools.iter().any(|pool| self.shrinks(pool))
            || self.pods.iter().any(|pod| pod.outdated.is_some() || pod.terminating || leaves(pod))
    }
}
