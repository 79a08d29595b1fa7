//! What keeps a cluster from being made is told as an Event: once when it comes to be so, once when it is over.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource, ResourceExt};
use multigres_crds::v1alpha1::MultigresCluster;

use super::context::Context;

/// Why each cluster was stalled when it was last looked at, by identity.
#[derive(Debug, Default)]
pub struct Stalls(Mutex<HashMap<String, Option<String>>>);

impl Stalls {
    /// Whether this is another reason than before. What is recorded counts only for what was not looked at yet: caches
    /// may not have what was written a moment ago.
    fn is_news(&self, uid: &str, recorded: Option<&str>, now: Option<&str>) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.insert(uid.to_owned(), now.map(str::to_owned));
        before.as_ref().map_or(recorded, Option::as_deref) != now
    }

    /// The cluster is gone.
    pub fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
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
        let stalls = Stalls::default();
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
        stalls.forget("a");
        assert!(stalls.is_news("a", None, TAKEN));
    }
}
