//! A shard as the planner sees it.

use std::collections::BTreeSet;

use multigres_crds::v1alpha1::DurabilityPolicy;

/// A shard: what is wanted of it, and what was observed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shard {
    /// Its pools, those included that are no longer wanted and still have instances.
    pub pools: Vec<Pool>,
    /// The pods that exist.
    pub pods: Vec<Pod>,
    /// How many copies of a commit are needed.
    pub durability: DurabilityPolicy,
    /// Whether a primary is known and serves writes. If not, what the instances are is not known for certain.
    pub roles_known: bool,
    /// The pod that is being repaired, which nothing else may be disturbed beside.
    pub under_repair: Option<String>,
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
    /// Whether PostgreSQL accepts connections.
    pub ready: bool,
    /// Whether it has become ready only just now: not everybody who must know of it knows yet.
    pub fresh: bool,
    /// Whether its containers run.
    pub running: bool,
    /// Whether it is on its way out.
    pub terminating: bool,
    /// Why it is not what it should be.
    pub outdated: Option<Outdated>,
    /// What it is in the shard.
    pub standing: Standing,
}

/// Why a pod is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outdated {
    /// The template of its pool has changed since.
    Template,
    /// Somebody has changed the image of a container.
    Image(String),
}

/// What an instance is in its shard, by its topology.
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
    /// Instances that exist, or that Kubernetes will make.
    pub fn existing(&self) -> i32 {
        self.current.unwrap_or(self.desired)
    }

    /// Whether instances are to go.
    pub fn shrinks(&self) -> bool {
        self.existing() > self.desired
    }
}

impl Pod {
    /// Whether it takes its full part.
    pub fn takes_part(&self) -> bool {
        self.ready && !self.terminating && matches!(self.standing, Standing::Primary | Standing::Joined)
    }

    /// Whether nothing is lost with it: its containers do not run, or the topology knows that it has no part.
    ///
    /// One that is cut off from its node is not ready and may still lead, so that it is not ready is not enough.
    pub fn serves_nothing(&self, roles_known: bool) -> bool {
        let apart = roles_known && self.standing == Standing::Apart;
        !self.ready && (!self.running || apart)
    }
}

impl Shard {
    /// Whether every copy of a commit that the policy asks for could be made without `leaving`.
    pub fn is_safe_without(&self, leaving: &Pod) -> bool {
        let remaining = || self.pods.iter().filter(|pod| pod.takes_part() && pod.uid != leaving.uid);
        let cells: BTreeSet<&str> = remaining().map(|pod| pod.cell.as_str()).collect();
        let spread = match self.durability {
            DurabilityPolicy::AtLeast2 => true,
            DurabilityPolicy::MultiCellAtLeast2 => cells.len() >= 2,
        };
        remaining().count() >= 2 && spread
    }

    /// The pod of an ordinal.
    pub fn pod(&self, pool: &Pool, ordinal: i32) -> Option<&Pod> {
        self.pods.iter().find(|pod| pod.pool == pool.name && pod.ordinal == ordinal)
    }

    /// Whether anything is to be replaced or removed, or is on its way.
    pub fn has_work(&self) -> bool {
        let leaves =
            |pod: &Pod| self.pools.iter().all(|pool| pool.name != pod.pool || pod.ordinal >= pool.existing());
        self.pools.iter().any(Pool::shrinks)
            || self.pods.iter().any(|pod| pod.outdated.is_some() || pod.terminating || leaves(pod))
    }
}
