//! Kubernetes knows first: when the pod of a shard's leader ends, multiorch is told at once.
//!
//! It would find out by itself, and then wait for some seconds in case the leader comes back. Who leads next stays its
//! decision. It is never told on suspicion: only when the API server says that the pod is terminating or gone.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use multigres_crds::v1alpha1::{MultiShard, Truth};
use tokio::time::{Instant, sleep};

use super::context::Context;
use super::topology;
use super::wake::Waker;
use crate::memory::{Memories, PerObject};
use crate::observe::{Change, ObjectKey, Observed};
use crate::topology::{Access, Roles};

/// Time between two calls.
const AGAIN: Duration = Duration::from_millis(400);
/// Longest time that an orchestrator is called; by then it has found out by itself.
const LONGEST: Duration = Duration::from_mins(1);
/// Calls in a row that find no problem although the pod is gone: somebody else has seen to it.
const QUIET: u32 = 10;

/// The observed leader of each shard, and the failovers that are under way.
pub struct Failovers {
    /// By pod.
    leaders: PerObject<Leader>,
    /// By shard.
    under_way: PerObject<()>,
    shards: Waker<MultiShard>,
}

/// The shard that a pod is primary of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Leader {
    shard: ObjectRef<MultiShard>,
    shard_uid: String,
    cell: String,
    /// The term that it leads in, where that is known.
    term: Option<i64>,
}

/// A failover of a shard, which ends with this value, also when whoever sees to it panics.
struct UnderWay<'a> {
    failovers: &'a Failovers,
    leader: &'a Leader,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.failovers.under_way.remove(&self.leader.shard_uid);
        self.failovers.shards.wake(self.leader.shard.clone());
    }
}

impl Failovers {
    /// Has shards looked at again after a failover.
    pub fn new(memories: &Memories, shards: Waker<MultiShard>) -> Self {
        let (leaders, under_way) =
            (PerObject::new(memories, "leaders"), PerObject::new(memories, "failovers"));
        Self { leaders, under_way, shards }
    }
}

/// Notes who leads a shard. Where nobody is known to, it is still the last one.
pub fn note(cx: &Context, shard: &MultiShard, roles: &Roles) {
    let (Some(pod), Some(cell)) = (&roles.primary, roles.primary_cell()) else { return };
    let pod = ObjectKey::new("Pod", &shard.namespace().unwrap_or_default(), pod);
    let Some(Observed { uid, .. }) = cx.objects.get(&pod) else { return };
    let shard_uid = shard.uid().unwrap_or_default();
    let shard = ObjectRef::from_obj(shard);
    let leader = Leader { shard, shard_uid, cell: cell.to_owned(), term: roles.term };
    let mut leaders = cx.failovers.leaders.lock();
    leaders.retain(|pod, known| known.shard != leader.shard || *pod == uid);
    leaders.insert(uid, leader);
}

/// Sees to a failover if the pod of a leader has begun to end.
pub fn notice(cx: &Arc<Context>, change: &Change) {
    if change.key.kind != "Pod" || !ends(change) {
        return;
    }
    let Some(leader) = change.before.as_ref().and_then(|pod| cx.failovers.leaders.get(&pod.uid)) else {
        return;
    };
    if cx.failovers.under_way.insert(&leader.shard_uid, ()).is_none() {
        let (recovery, fence) = (recover(cx.clone(), leader, change.key.clone()), cx.fence.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = recovery => {}
                () = fence.closed() => tracing::info!("leadership ended before a failover did"),
            }
        });
    }
}

/// True if a pod that was there is terminating, gone, or another one now.
fn ends(change: &Change) -> bool {
    let lives = |pod: &Observed| !pod.deleting;
    let Some(before) = change.before.as_ref().filter(|pod| lives(pod)) else { return false };
    !change.after.as_ref().is_some_and(|after| lives(after) && after.uid == before.uid)
}

/// Calls an orchestrator until it has dealt with the leader that is gone.
async fn recover(cx: Arc<Context>, leader: Leader, pod: ObjectKey) {
    let _under_way = UnderWay { failovers: &cx.failovers, leader: &leader };
    if let Some(shard) = cx.stores.shards.get(&leader.shard) {
        tracing::info!(pod = %pod.name, "the leader's pod ends; the orchestrator is told");
        let note =
            format!("Pod {}, which leads, ends; multiorch is asked for another leader at once", pod.name);
        // Told while it is done: nobody is kept waiting for an event.
        let about = shard.object_ref(&());
        let told = cx.events.of_pod(&about, &pod.name, "FailoverTriggered", "Failover", note);
        tokio::join!(call(&cx, &shard, &leader, &pod), told);
    }
}

async fn call(cx: &Context, shard: &MultiShard, leader: &Leader, pod: &ObjectKey) {
    let namespace = shard.namespace().unwrap_or_default();
    let global = match topology::access(cx, &namespace, &shard.spec.global_topology).await {
        Ok(global) => global,
        Err(trouble) => return tracing::warn!(trouble.message, "the orchestrator cannot be told"),
    };
    let ending = cx.objects.get(pod).map(|pod| pod.uid);
    let cells = Mutex::new(cells(shard, &leader.cell));
    let scene = Live { cx, shard, leader, pod, ending, global, cells };
    let started = Instant::now();
    let end = see_to(&scene).await;
    tracing::info!(shard = shard.name_any(), ?end, elapsed = ?started.elapsed(), "the orchestrator was told");
}

/// A failover as it is seen, and the one thing that is done about it.
trait Scene {
    /// True if somebody leads the shard in a later term than the leader that is gone.
    fn is_led_anew(&self) -> impl Future<Output = bool> + Send;

    /// True if the pod of that leader is gone.
    fn is_gone(&self) -> bool;

    /// Another shard of the same orchestrators that never had data, and may be on its way to its first leader.
    fn initializing(&self) -> Option<String>;

    /// Has an orchestrator deal with problems at once. Answers with those that remain, if one answers at all.
    fn trigger(&self) -> impl Future<Output = Option<Vec<String>>> + Send;
}

/// The end of a series of calls to an orchestrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Somebody leads in a later term.
    LedAnew,
    /// The orchestrators have no problem left, or never had one.
    NothingLeft,
    /// The orchestrators have found out by themselves by now.
    TimedOut,
}

/// Calls an orchestrator no longer than until somebody else leads. Each call takes the grace from every shard that the
/// orchestrator looks after, so that a moment's silence of another leader would end its leadership.
async fn see_to(scene: &impl Scene) -> End {
    let led_anew = async {
        while !scene.is_led_anew().await {
            sleep(AGAIN).await;
        }
    };
    tokio::select! {
        biased;
        () = led_anew => End::LedAnew,
        end = tell(scene) => end,
    }
}

/// Calls an orchestrator until no problem remains. While another shard is being initialized none is called: without its
/// grace, that shard's first leader would be replaced before the others have followed it.
async fn tell(scene: &impl Scene) -> End {
    let (started, mut found, mut quiet) = (Instant::now(), false, 0);
    while started.elapsed() < LONGEST {
        if let Some(shard) = scene.initializing() {
            tracing::debug!(shard, "it is being initialized; the orchestrator is not told yet");
            sleep(AGAIN).await;
            continue;
        }
        match scene.trigger().await {
            Some(problems) if problems.is_empty() => {
                quiet += u32::from(scene.is_gone());
                if found || quiet > QUIET {
                    return End::NothingLeft;
                }
            }
            Some(problems) => {
                tracing::debug!(problems = %problems.join(", "), "the orchestrator is at it");
                (found, quiet) = (true, 0);
            }
            None => {}
        }
        sleep(AGAIN).await;
    }
    End::TimedOut
}

/// A failover of a shard that runs.
struct Live<'a> {
    cx: &'a Context,
    shard: &'a MultiShard,
    leader: &'a Leader,
    pod: &'a ObjectKey,
    /// Identity of the pod that ends, where it is not gone already.
    ending: Option<String>,
    global: Access,
    /// The cells whose orchestrators can be called, the one that answered last in front.
    cells: Mutex<Vec<String>>,
}

impl Scene for Live<'_> {
    async fn is_led_anew(&self) -> bool {
        let roles = self.cx.topology.roles(&self.global, &self.shard.spec).await;
        is_later(roles.term, self.leader.term)
    }

    fn is_gone(&self) -> bool {
        self.ending.is_none() || self.cx.objects.get(self.pod).map(|pod| pod.uid) != self.ending
    }

    fn initializing(&self) -> Option<String> {
        let shards = self.cx.stores.shards.state();
        shards.iter().find(|other| is_initializing(other, self.shard)).map(|other| other.name_any())
    }

    async fn trigger(&self) -> Option<Vec<String>> {
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (index, cell) in cells.iter().enumerate() {
            match self.cx.topology.trigger_recovery(&self.global, cell).await {
                Ok(problems) => {
                    self.cells.lock().unwrap_or_else(PoisonError::into_inner).swap(0, index);
                    return Some(problems);
                }
                Err(error) => tracing::debug!(%error, cell, "its orchestrators do not answer"),
            }
        }
        None
    }
}

/// True if a term comes after another one. Of terms that are not known neither does.
fn is_later(term: Option<i64>, than: Option<i64>) -> bool {
    term.zip(than).is_some_and(|(term, than)| term > than)
}

/// True if a shard has the orchestrators of another one, and is not known to have had data at any time.
fn is_initializing(candidate: &MultiShard, of: &MultiShard) -> bool {
    let initialized = candidate.status.as_ref().map(|status| status.initialized).unwrap_or_default();
    candidate.namespace() == of.namespace()
        && candidate.spec.cluster == of.spec.cluster
        && candidate.uid() != of.uid()
        && candidate.meta().deletion_timestamp.is_none()
        && initialized != Truth::True
}

/// The cells of a shard, that of its leader first.
fn cells(shard: &MultiShard, first: &str) -> Vec<String> {
    let mut cells = vec![first.to_owned()];
    for pool in &shard.spec.pools {
        if !cells.contains(&pool.cell) {
            cells.push(pool.cell.clone());
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::SeqCst;

    use futures::StreamExt;
    use serde_json::json;
    use tokio_util::sync::CancellationToken;

    use super::super::wake::wakers;
    use super::*;

    fn pod(uid: &str, deleting: bool) -> Observed {
        let mut metadata = json!({ "uid": uid });
        if deleting {
            metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        Observed::project(&json!({ "kind": "Pod", "metadata": metadata }))
    }

    #[test]
    fn only_what_the_api_server_says_counts() {
        let change = |before, after| ends(&Change { key: ObjectKey::new("Pod", "n", "p"), before, after });
        let (alive, terminating) = (|| Some(pod("1", false)), || Some(pod("1", true)));
        assert!(change(alive(), terminating()));
        assert!(change(alive(), None));
        assert!(change(alive(), Some(pod("2", false))));
        for (before, after) in
            [(alive(), alive()), (terminating(), terminating()), (terminating(), None), (None, alive())]
        {
            assert!(!change(before, after));
        }
    }

    /// A failover by script.
    #[derive(Default)]
    struct Script {
        /// Calls after which somebody else leads.
        led_after: Option<usize>,
        /// Looks during which another shard is being initialized.
        initializing_for: usize,
        /// Problems that remain after each call; nothing once there are no more.
        answers: Vec<&'static str>,
        looks: AtomicUsize,
        calls: AtomicUsize,
    }

    impl Script {
        fn calls(&self) -> usize {
            self.calls.load(SeqCst)
        }
    }

    impl Scene for Script {
        async fn is_led_anew(&self) -> bool {
            self.led_after.is_some_and(|calls| self.calls() >= calls)
        }

        fn is_gone(&self) -> bool {
            true
        }

        fn initializing(&self) -> Option<String> {
            let look = self.looks.fetch_add(1, SeqCst);
            (look < self.initializing_for).then(|| "another".to_owned())
        }

        async fn trigger(&self) -> Option<Vec<String>> {
            let call = self.calls.fetch_add(1, SeqCst);
            Some(self.answers.get(call).map(|problem| (*problem).to_owned()).into_iter().collect())
        }
    }

    /// The problem of another shard would keep the orchestrator answering for as long as it lasts.
    #[tokio::test(start_paused = true)]
    async fn nobody_is_told_any_more_once_another_leads() {
        let script = Script { led_after: Some(3), answers: vec!["LeaderIsDead"; 1000], ..Script::default() };
        assert_eq!((see_to(&script).await, script.calls()), (End::LedAnew, 3));
        let script = Script { led_after: Some(0), answers: vec!["LeaderIsDead"; 1000], ..Script::default() };
        assert_eq!((see_to(&script).await, script.calls()), (End::LedAnew, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_told_while_another_shard_is_being_initialized() {
        let script = Script { initializing_for: usize::MAX, ..Script::default() };
        assert_eq!((see_to(&script).await, script.calls()), (End::TimedOut, 0));
        let script = Script { initializing_for: 5, answers: vec!["LeaderIsDead"; 2], ..Script::default() };
        assert_eq!((see_to(&script).await, script.calls()), (End::NothingLeft, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn an_orchestrator_is_told_until_no_problem_remains_but_not_for_ever() {
        let quiet = usize::try_from(QUIET).unwrap() + 1;
        for (answers, end, calls) in [
            (vec!["LeaderResigned", "LeaderIsDead"], End::NothingLeft, 3),
            (vec![], End::NothingLeft, quiet),
            (vec!["LeaderIsDead"; 1000], End::TimedOut, 150),
        ] {
            let script = Script { answers, ..Script::default() };
            assert_eq!((see_to(&script).await, script.calls()), (end, calls));
        }
    }

    #[tokio::test]
    async fn a_failover_ends_also_by_a_panic() {
        let leading = CancellationToken::new();
        let (wakers, mut woken) = wakers(&leading);
        leading.cancel();
        let failovers = Arc::new(Failovers::new(&Memories::default(), wakers.shards));
        let shard = ObjectRef::new("shard").within("ns");
        let leader =
            Leader { shard: shard.clone(), shard_uid: "s".to_owned(), cell: "a".to_owned(), term: None };
        assert_eq!(failovers.under_way.insert(&leader.shard_uid, ()), None);
        let seen = failovers.clone();
        let task = tokio::spawn(async move {
            let _under_way = UnderWay { failovers: &seen, leader: &leader };
            panic!("whatever it may be");
        });
        assert!(task.await.unwrap_err().is_panic());
        assert!(!failovers.under_way.contains("s"));
        assert_eq!(woken.shards.next().await, Some(shard));
    }

    #[test]
    fn a_term_that_is_not_known_is_not_later() {
        for (term, than, expected) in [
            (Some(4), Some(3), true),
            (Some(3), Some(3), false),
            (Some(2), Some(3), false),
            (None, Some(3), false),
            (Some(3), None, false),
        ] {
            assert_eq!(is_later(term, than), expected, "{term:?} after {than:?}");
        }
    }

    #[test]
    fn another_shard_of_the_cluster_without_data_is_being_initialized() {
        let shard = |namespace: &str, cluster: &str, uid: &str, initialized: &str| -> MultiShard {
            serde_json::from_value(json!({
                "apiVersion": "multigres.com/v1alpha1",
                "kind": "MultiShard",
                "metadata": { "name": uid, "namespace": namespace, "uid": uid },
                "spec": {
                    "cluster": cluster, "database": uid, "tableGroup": "default", "shard": "0-inf",
                    "globalTopology": { "address": "etcd:2379", "rootPath": "/m" },
                    "password": { "secretKeyRef": { "name": "s", "key": "k" } },
                    "backup": {},
                },
                "status": { "initialized": initialized },
            }))
            .unwrap()
        };
        let this = shard("ns", "c", "1", "Unknown");
        for (other, expected) in [
            (shard("ns", "c", "2", "False"), true),
            (shard("ns", "c", "2", "Unknown"), true),
            (shard("ns", "c", "2", "True"), false),
            (shard("ns", "c", "1", "False"), false),
            (shard("ns", "d", "2", "False"), false),
            (shard("other", "c", "2", "False"), false),
        ] {
            assert_eq!(is_initializing(&other, &this), expected, "{other:?}");
        }
    }
}
