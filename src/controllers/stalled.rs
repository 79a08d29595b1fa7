//! Publishes an Event when a cluster becomes stalled, and one when it no longer is.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource, ResourceExt};
use multigres_crds::v1alpha1::MultigresCluster;

use super::context::Context;
use crate::memory::{Memories, PerObject};

/// Reason by which each cluster was stalled at the last reconciliation.
pub struct Stalls(PerObject<Option<String>>);

impl Stalls {
    /// Nothing was looked at yet.
    pub fn new(memories: &Memories) -> Self {
        Self(PerObject::new(memories, "stalls"))
    }

    /// True if this is another reason than before. What is recorded counts only for what was not looked at yet: caches
    /// may not have what was written a moment ago.
    fn is_news(&self, uid: &str, recorded: Option<&str>, now: Option<&str>) -> bool {
        let before = self.0.insert(uid, now.map(str::to_owned));
        before.as_ref().map_or(recorded, Option::as_deref) != now
    }
}

/// Tells of a change between the conditions that were recorded and those of now.
pub async fn tell(cluster: &MultigresCluster, cx: &Context, recorded: &[Condition], now: &[Condition]) {
    let reason = |conditions| stalled(conditions).map(|condition: &Condition| condition.reason.as_str());
    let uid = cluster.uid().unwrap_or_default();
    if !cx.stalls.is_news(&uid, reason(recorded), reason(now)) {
        return;
    }
    let about = cluster.object_ref(&());
    if let Some(Condition { reason, message, .. }) = stalled(now) {
        cx.events.warning(&about, reason, "Reconcile", message.clone()).await;
    } else {
        let note = "Nothing is in the way any more.".to_owned();
        cx.events.normal(&about, "Resumed", "Reconcile", note).await;
    }
}

fn stalled(conditions: &[Condition]) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == "Stalled" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_news_once() {
        const TAKEN: Option<&str> = Some("NameTaken");
        const CONFLICT: Option<&str> = Some("TopologyConflict");
        let memories = Memories::default();
        let stalls = Stalls::new(&memories);
        for (uid, recorded, now, is_news) in [
            ("a", None, None, false),
            ("a", None, TAKEN, true),
            // The caches lag.
            ("a", None, TAKEN, false),
            ("a", TAKEN, CONFLICT, true),
            ("a", TAKEN, CONFLICT, false),
            ("a", CONFLICT, None, true),
            ("a", CONFLICT, None, false),
            // It was told before the operator was started again.
            ("b", TAKEN, TAKEN, false),
            ("c", TAKEN, None, true),
        ] {
            assert_eq!(stalls.is_news(uid, recorded, now), is_news, "{uid} {recorded:?} {now:?}");
        }
        memories.forget("a");
        assert!(stalls.is_news("a", None, TAKEN));
    }
}
