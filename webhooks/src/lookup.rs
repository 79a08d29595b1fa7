//! What admission may know of other objects.

use std::sync::Arc;

use multigres_crds::v1alpha1::MultigresCluster;

/// A view onto caches. Answers at once, from memory; never asks the API server.
pub trait Lookup: Send + Sync + 'static {
    /// Whether the caches are complete. Until then an absent object means nothing, and the server is not ready.
    fn synced(&self) -> bool;

    /// A cluster by name.
    fn cluster(&self, namespace: &str, name: &str) -> Option<Arc<MultigresCluster>>;
}

/// Knows of nothing, as outside a cluster.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offline;

impl Lookup for Offline {
    fn synced(&self) -> bool {
        false
    }

    fn cluster(&self, _: &str, _: &str) -> Option<Arc<MultigresCluster>> {
        None
    }
}
