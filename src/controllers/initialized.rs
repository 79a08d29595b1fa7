//! True if a shard ever had data. Once it had, that is so for good, whatever is seen of it later.

use kube::ResourceExt;
use multigres_crds::v1alpha1::{MultiShard, Truth};

use super::context::Context;
use super::{rollout, volumes};
use crate::build::Manifest;
use crate::memory::{Memories, PerObject};
use crate::topology::Roles;

/// The shards that were seen to have data.
pub struct Initialized(PerObject<()>);

impl Initialized {
    /// None was seen yet.
    pub fn new(memories: &Memories) -> Self {
        Self(PerObject::new(memories, "initialized"))
    }

    /// True if a shard had data at any time. What its status says is not enough: caches may not have what was written a
    /// moment ago.
    fn ever(&self, uid: &str, now: bool) -> bool {
        if now {
            self.0.insert(uid, ());
        }
        self.0.contains(uid)
    }
}

/// True if a shard ever had data. That it never had is known only where nothing has run and no volume can be from
/// before.
pub fn of(
    shard: &MultiShard,
    cx: &Context,
    roles: &Roles,
    expected: &rollout::Expected,
    manifests: &[Manifest],
) -> Truth {
    let said = shard.status.as_ref().is_some_and(|status| status.initialized == Truth::True);
    let uid = shard.uid().unwrap_or_default();
    if cx.initialized.ever(&uid, said || roles.initialized == Truth::True) {
        return Truth::True;
    }
    let nothing_runs = roles.initialized == Truth::False && expected.ready == 0;
    if nothing_runs && volumes::are_new(shard, cx, manifests) { Truth::False } else { Truth::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_had_data_once_always_had() {
        let memories = Memories::default();
        let shards = Initialized::new(&memories);
        assert!(!shards.ever("a", false));
        assert!(shards.ever("a", true));
        assert!(shards.ever("a", false) && !shards.ever("b", false));
        memories.forget("a");
        assert!(!shards.ever("a", false));
    }
}
