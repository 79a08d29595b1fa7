//! Whether a shard ever had data. Once it had, that is so for good, whatever is seen of it later.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use kube::ResourceExt;
use multigres_crds::v1alpha1::{MultiShard, Truth};

use super::context::Context;
use super::{rollout, volumes};
use crate::build::Manifest;
use crate::topology::Roles;

/// The shards that were seen to have data, by identity.
#[derive(Debug, Default)]
pub struct Initialized(Mutex<HashSet<String>>);

impl Initialized {
    /// Whether a shard had data at any time. What its status says is not enough: caches may not have what was written a
    /// moment ago.
    fn ever(&self, uid: &str, now: bool) -> bool {
        let mut shards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now {
            shards.insert(uid.to_owned());
        }
        shards.contains(uid)
    }

    /// The shard is gone.
    pub fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// Whether a shard ever had data. That it never had is known only where nothing has run and no volume can be from
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
        let shards = Initialized::default();
        assert!(!shards.ever("a", false));
        assert!(shards.ever("a", true));
        assert!(shards.ever("a", false) && !shards.ever("b", false));
        shards.forget("a");
        assert!(!shards.ever("a", false));
    }
}
