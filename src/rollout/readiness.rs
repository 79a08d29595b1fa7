//! For how long pods have been ready, by this process's own clock.
//!
//! The time in a pod's status is the kubelet's. A clock that is ahead of it would leave no pause between two steps.

use std::collections::HashMap;
use std::sync::MutexGuard;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use crate::memory::{Memories, PerObject};
use crate::observe::{Change, Instance, Observed};

/// When this process saw each pod become ready, by the identity of the pod. A pod that was ready before the process
/// began counts from its first sight.
#[derive(Debug)]
pub struct Readiness(PerObject<Spell>);

/// A time of being ready without a break.
#[derive(Debug)]
struct Spell {
    /// The kubelet's time of its beginning, only to tell two spells apart.
    stamp: Option<Timestamp>,
    /// The first sight of it.
    seen: Instant,
}

impl Readiness {
    /// Remembers none.
    pub fn new(memories: &Memories) -> Self {
        Self(PerObject::new(memories, "readiness"))
    }

    /// Notes what became of a pod.
    pub fn notice(&self, change: &Change) {
        self.notice_at(change, Instant::now());
    }

    /// The same, seen at that time.
    pub(super) fn notice_at(&self, change: &Change, now: Instant) {
        let mut spells = self.lock();
        let uid = |observed: &Observed| observed.uid.clone();
        if change.before.as_ref().map(uid) != change.after.as_ref().map(uid)
            && let Some(before) = &change.before
        {
            spells.remove(&before.uid);
        }
        let Some(after) = &change.after else { return };
        match after.instance.as_deref().filter(|instance| instance.serving) {
            Some(Instance { since: stamp, .. }) => {
                let is_new = spells.get(&after.uid).is_none_or(|spell| spell.stamp != *stamp);
                if is_new {
                    spells.insert(after.uid.clone(), Spell { stamp: *stamp, seen: now });
                }
            }
            None => {
                spells.remove(&after.uid);
            }
        }
    }

    /// For how long a pod has been ready; no time at all where this process has not noted it yet.
    pub fn ready_for(&self, uid: &str) -> Duration {
        self.ready_for_at(uid, Instant::now())
    }

    /// The same, at that time.
    pub(super) fn ready_for_at(&self, uid: &str, now: Instant) -> Duration {
        self.lock().get(uid).map(|spell| now.saturating_duration_since(spell.seen)).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Spell>> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::observe::ObjectKey;

    fn pod(uid: &str, ready: bool, stamp: &str) -> Observed {
        let status = if ready { "True" } else { "False" };
        let condition = json!({ "type": "Ready", "status": status, "lastTransitionTime": stamp });
        Observed::project(&json!({
            "kind": "Pod", "metadata": { "uid": uid }, "status": { "conditions": [condition] },
        }))
    }

    const AHEAD: &str = "2126-01-01T00:00:00Z";
    const BEHIND: &str = "1990-01-01T00:00:00Z";

    #[test]
    fn a_pod_is_ready_since_it_was_seen_so_whatever_its_kubelet_s_clock_says() {
        let (readiness, start) = (Readiness::new(&Memories::default()), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let becomes = |seconds: u64, before: Option<Observed>, after: Option<Observed>| {
            let change = Change { key: ObjectKey::new("Pod", "n", "p"), before, after };
            readiness.notice_at(&change, at(seconds));
        };
        let ready_for = |seconds: u64, uid: &str| readiness.ready_for_at(uid, at(seconds)).as_secs();
        for (uid, stamp) in [("a", AHEAD), ("b", BEHIND)] {
            assert_eq!(ready_for(5, uid), 0);
            becomes(5, None, Some(pod(uid, true, stamp)));
            // Something else about it changes.
            becomes(8, Some(pod(uid, true, stamp)), Some(pod(uid, true, stamp)));
            assert_eq!((ready_for(5, uid), ready_for(12, uid)), (0, 7));
        }
        // A moment of not being ready that this process saw, and one that only the kubelet's stamp tells of.
        becomes(20, Some(pod("a", true, AHEAD)), Some(pod("a", false, AHEAD)));
        assert_eq!(ready_for(25, "a"), 0);
        becomes(30, Some(pod("a", false, AHEAD)), Some(pod("a", true, BEHIND)));
        assert_eq!(ready_for(31, "a"), 1);
        becomes(40, Some(pod("b", true, BEHIND)), Some(pod("b", true, AHEAD)));
        assert_eq!(ready_for(42, "b"), 2);
        // A successor of the same name, and a pod that is gone.
        becomes(50, Some(pod("a", true, BEHIND)), Some(pod("c", true, BEHIND)));
        assert_eq!((ready_for(60, "a"), ready_for(60, "c")), (0, 10));
        for uid in ["b", "c"] {
            becomes(70, Some(pod(uid, true, AHEAD)), None);
        }
        assert!(readiness.lock().is_empty());
    }
}
