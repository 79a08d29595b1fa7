//! The consequences of a change, told before it happens.

use multigres_crds::v1alpha1::MultigresCluster;

/// Compares what the controllers would build of the old and of the new cluster, so that what is told cannot drift
/// from what will happen. Implemented by the operator, which has the builders.
pub trait Impact: Send + Sync + 'static {
    /// One line for each consequence, the most disruptive first; nothing where no pod is affected.
    fn consequences(&self, old: &MultigresCluster, new: &MultigresCluster) -> Vec<String>;
}
