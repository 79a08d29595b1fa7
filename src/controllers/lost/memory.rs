//! Memory of instances that do not follow.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use multigres_crds::v1alpha1::MultiShard;
use tokio::time::Instant;

use crate::controllers::wake::Waker;
use crate::memory::{Memories, PerObject};
use crate::rollout::lost::{RESTART_AGAIN, Remedy, Rewind, Situation, doomed, remedy};

/// The shards of which an instance does not follow, by identity.
pub struct LostInstances {
    shards: PerObject<Shard>,
    waker: Waker<MultiShard>,
}

#[derive(Default)]
struct Shard {
    /// The instances that do not follow, by the identity of their pods.
    apart: HashMap<String, Trace>,
    /// The instance whose volume would be given up, and since when it is the one.
    doomed: Option<(String, Instant)>,
    /// Name of the pod that is being repaired.
    under_repair: Option<String>,
    /// The time of the last restart of a pod, by the pod's name.
    restarted: HashMap<String, Instant>,
}

struct Trace {
    since: Instant,
    rewind: Option<(Outcome, Instant)>,
}

/// Outcome of a rewind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It came to its end, whatever that was.
    Ended,
    /// The pooler does not know how.
    Unknown,
}

/// A repair, which ends with this value, also when whoever does it panics.
pub struct Repair {
    lost: Arc<LostInstances>,
    shard: ObjectRef<MultiShard>,
    uid: String,
    pod_uid: String,
}

impl LostInstances {
    /// Has shards looked at again after a repair.
    pub fn new(memories: &Memories, waker: Waker<MultiShard>) -> Self {
        Self { shards: PerObject::new(memories, "lost"), waker }
    }

    fn shards(&self) -> MutexGuard<'_, HashMap<String, Shard>> {
        self.shards.lock()
    }

    /// Plans the remedy of a shard from the observations and the memory of it.
    pub fn plan(&self, uid: &str, mut seen: Situation, now: Instant) -> Option<Remedy> {
        let mut shards = self.shards();
        let is_remembered = shards.contains_key(uid);
        if !is_remembered && seen.instances.iter().all(|instance| instance.leads || instance.streams) {
            return None;
        }
        let shard = shards.entry(uid.to_owned()).or_default();
        shard.complete(&mut seen, now);
        let answer = remedy(&seen);
        shard.restarted.retain(|_, at| now.saturating_duration_since(*at) < RESTART_AGAIN);
        if shard.apart.is_empty() && shard.under_repair.is_none() && shard.restarted.is_empty() {
            shards.remove(uid);
        }
        answer
    }

    /// Notes that a pod of a shard was restarted.
    pub fn note_restart(&self, uid: &str, pod: &str) {
        self.shards.update(uid, |shard| shard.restarted.insert(pod.to_owned(), Instant::now()));
    }

    /// Time since a pod of a shard was last restarted, by its name.
    pub fn restarted(&self, uid: &str, pod: &str) -> Option<Duration> {
        self.shards().get(uid)?.restarted.get(pod).map(Instant::elapsed)
    }

    /// Begins to count anew for how long a volume could have been given up.
    pub fn spare(&self, uid: &str) {
        if let Some(shard) = self.shards().get_mut(uid) {
            shard.doomed = None;
        }
    }

    /// The pod of a shard that is being repaired.
    pub fn under_repair(&self, uid: &str) -> Option<String> {
        self.shards().get(uid)?.under_repair.clone()
    }

    /// Begins to repair a pod, unless one of the shard is being repaired already.
    pub fn begin(self: &Arc<Self>, shard: &MultiShard, pod: &str, pod_uid: &str) -> Option<Repair> {
        let uid = shard.uid().unwrap_or_default();
        let mut shards = self.shards();
        let known = shards.entry(uid.clone()).or_default();
        if known.under_repair.is_some() {
            return None;
        }
        known.under_repair = Some(pod.to_owned());
        let shard = ObjectRef::from_obj(shard);
        Some(Repair { lost: self.clone(), shard, uid, pod_uid: pod_uid.to_owned() })
    }
}

impl Shard {
    /// Adds what is remembered to what is seen, and remembers what is seen.
    fn complete(&mut self, seen: &mut Situation, now: Instant) {
        let follows = |uid: &String| {
            let instance = seen.instances.iter().find(|instance| instance.uid == *uid);
            instance.is_none_or(|instance| instance.leads || instance.streams)
        };
        // Who is not seen for a moment, because the topology does not answer, is not forgotten for that.
        if seen.complete {
            self.apart.retain(|uid, _| !follows(uid));
        }
        for instance in seen.instances.iter_mut().filter(|instance| !instance.leads && !instance.streams) {
            let trace = self.apart.entry(instance.uid.clone());
            let trace = trace.or_insert(Trace { since: now, rewind: None });
            instance.apart = now.saturating_duration_since(trace.since);
            instance.rewind = match trace.rewind {
                None => Rewind::Untried,
                Some((Outcome::Unknown, _)) => Rewind::Unknown,
                Some((Outcome::Ended, at)) => Rewind::Tried(now.saturating_duration_since(at)),
            };
        }
        let named = doomed(seen);
        if self.doomed.as_ref().map(|(uid, _)| uid.as_str()) != named {
            self.doomed = named.map(|uid| (uid.to_owned(), now));
        }
        seen.doomed =
            self.doomed.as_ref().map(|(uid, since)| (uid.clone(), now.saturating_duration_since(*since)));
    }
}

impl Repair {
    /// Ends the repair with what became of it.
    pub fn end(self, outcome: Outcome) {
        let mut shards = self.lost.shards();
        let trace = shards.get_mut(&self.uid).and_then(|shard| shard.apart.get_mut(&self.pod_uid));
        if let Some(trace) = trace {
            trace.rewind = Some((outcome, Instant::now()));
        }
    }
}

impl Drop for Repair {
    fn drop(&mut self) {
        if let Some(shard) = self.lost.shards().get_mut(&self.uid) {
            shard.under_repair = None;
        }
        self.lost.waker.wake(self.shard.clone());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::time::advance;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::controllers::wake::wakers;
    use crate::rollout::lost::{Instance, LOST_AFTER, REPLACE_AFTER, REWIND_AGAIN};

    const SECOND: Duration = Duration::from_secs(1);

    fn lost_instances() -> Arc<LostInstances> {
        Arc::new(LostInstances::new(&Memories::default(), wakers(&CancellationToken::new()).0.shards))
    }

    fn shard() -> MultiShard {
        serde_json::from_value(json!({
            "apiVersion": "multigres.com/v1alpha1",
            "kind": "MultiShard",
            "metadata": { "name": "s", "namespace": "ns", "uid": "s" },
            "spec": {
                "cluster": "c", "database": "d", "tableGroup": "default", "shard": "0-inf",
                "globalTopology": { "address": "etcd:2379", "rootPath": "/m" },
                "password": { "secretKeyRef": { "name": "s", "key": "k" } },
                "backup": {},
            },
        }))
        .unwrap()
    }

    /// A primary, a standby, and one that follows or does not.
    fn seen(streams: bool) -> Situation {
        let instance = |uid: &str, leads, streams| Instance {
            uid: uid.to_owned(),
            leads,
            streams,
            in_cohort: true,
            is_member: true,
            ..Instance::default()
        };
        Situation {
            serving: true,
            complete: true,
            quiet: true,
            may_replace: true,
            instances: vec![
                instance("a", true, false),
                instance("b", false, true),
                instance("c", false, streams),
            ],
            ..Situation::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_is_lost_when_it_has_not_followed_for_a_while_without_a_break() {
        let lost = lost_instances();
        let plan = |seen| lost.plan("s", seen, Instant::now());
        assert_eq!(plan(seen(false)), None);
        advance(LOST_AFTER.saturating_sub(SECOND)).await;
        assert_eq!(plan(seen(false)), None);
        assert_eq!(plan(seen(true)), None);
        assert!(lost.shards().is_empty());
        assert_eq!(plan(seen(false)), None);
        advance(LOST_AFTER.saturating_sub(SECOND)).await;
        assert_eq!(plan(seen(false)), None);
        // Whoever does not answer is not known to follow.
        assert_eq!(plan(Situation { complete: false, instances: vec![], ..seen(false) }), None);
        advance(SECOND).await;
        assert_eq!(plan(seen(false)), Some(Remedy::Rewind("c".to_owned())));
        lost.shards.remove("s");
        assert_eq!(plan(seen(false)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_volume_is_given_up_after_a_rewind_and_a_time_without_a_break() {
        let lost = lost_instances();
        let plan = |seen| lost.plan("s", seen, Instant::now());
        plan(seen(false));
        advance(LOST_AFTER).await;
        assert_eq!(plan(seen(false)), Some(Remedy::Rewind("c".to_owned())));
        lost.begin(&shard(), "c-0", "c").unwrap().end(Outcome::Ended);
        advance(LOST_AFTER).await;
        // From here on it counts.
        assert_eq!(plan(seen(false)), None);
        advance(REPLACE_AFTER.saturating_sub(SECOND)).await;
        assert!(!matches!(plan(seen(false)), Some(Remedy::Replace(_))));
        // One look at which a condition does not hold.
        assert_eq!(plan(Situation { serving: false, ..seen(false) }), None);
        assert!(!matches!(plan(seen(false)), Some(Remedy::Replace(_))));
        advance(REPLACE_AFTER.saturating_sub(SECOND)).await;
        assert!(!matches!(plan(seen(false)), Some(Remedy::Replace(_))));
        lost.spare("s");
        assert!(!matches!(plan(seen(false)), Some(Remedy::Replace(_))));
        advance(REPLACE_AFTER).await;
        assert_eq!(plan(seen(false)), Some(Remedy::Replace("c".to_owned())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_is_remembered_by_the_name_of_the_pod() {
        let lost = lost_instances();
        assert_eq!(lost.restarted("s", "c-0"), None);
        lost.note_restart("s", "c-0");
        advance(SECOND).await;
        assert_eq!(lost.restarted("s", "c-0"), Some(SECOND));
        assert_eq!((lost.restarted("s", "b-0"), lost.restarted("t", "c-0")), (None, None));
        assert_eq!(lost.plan("s", seen(true), Instant::now()), None);
        assert_eq!(lost.restarted("s", "c-0"), Some(SECOND), "also while all instances follow");
        advance(RESTART_AGAIN).await;
        lost.plan("s", seen(true), Instant::now());
        assert!(lost.shards().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_rewind_is_tried_again_later_or_never() {
        for (outcome, later) in
            [(Outcome::Ended, Some(Remedy::Rewind("c".to_owned()))), (Outcome::Unknown, None)]
        {
            let lost = lost_instances();
            let plan = || lost.plan("s", Situation { may_replace: false, ..seen(false) }, Instant::now());
            plan();
            advance(LOST_AFTER).await;
            let repair = lost.begin(&shard(), "c-0", "c").unwrap();
            assert_eq!(lost.under_repair("s").as_deref(), Some("c-0"));
            assert!(lost.begin(&shard(), "b-0", "b").is_none(), "two at once");
            repair.end(outcome);
            assert_eq!(lost.under_repair("s"), None);
            advance(REWIND_AGAIN.saturating_sub(SECOND)).await;
            assert_eq!(plan(), None, "{outcome:?}");
            advance(SECOND).await;
            assert_eq!(plan(), later, "{outcome:?}");
        }
    }

    #[tokio::test]
    async fn a_repair_ends_also_by_a_panic() {
        let lost = lost_instances();
        let repair = lost.begin(&shard(), "c-0", "c").unwrap();
        let task = tokio::spawn(async move {
            let _repair = repair;
            panic!("whatever it may be");
        });
        assert!(task.await.unwrap_err().is_panic());
        assert_eq!(lost.under_repair("s"), None);
    }
}
