//! What the operator must know of the running data plane: who is primary, and whether writes are served.

use futures::future::BoxFuture;
use multigres_crds::v1alpha1::{MultiShardSpec, TopologyReference, Truth};

/// A client of the topology.
///
/// Each call is bounded in time and answers with what was seen. What was not seen is unknown, never guessed.
pub trait Topology: Send + Sync + 'static {
    /// Whether a topology server answers.
    fn reachable<'a>(&'a self, topology: &'a TopologyReference) -> BoxFuture<'a, Truth>;

    /// The roles in a shard.
    fn roles<'a>(&'a self, shard: &'a MultiShardSpec) -> BoxFuture<'a, Roles>;
}

/// The roles in a shard, as far as they were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// The pod of the primary.
    pub primary: Option<String>,
    /// Whether that primary serves writes.
    pub serving_writes: Truth,
}

/// No topology client: everything is unknown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Absent;

impl Topology for Absent {
    fn reachable<'a>(&'a self, _: &'a TopologyReference) -> BoxFuture<'a, Truth> {
        Box::pin(std::future::ready(Truth::Unknown))
    }

    fn roles<'a>(&'a self, _: &'a MultiShardSpec) -> BoxFuture<'a, Roles> {
        Box::pin(std::future::ready(Roles::default()))
    }
}
