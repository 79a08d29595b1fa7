//! Kubernetes knows first: when the pod of a shard's leader ends, multiorch is told at once.
//!
//! It would find out by itself, and then wait for some seconds in case the leader comes back. Who leads next stays its
//! decision. It is never told on suspicion: only when the API server says that the pod is terminating or gone.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use multigres_crds::v1alpha1::MultiShard;

use super::context::Context;
use super::topology;
use super::wake::Waker;
use crate::observe::{Change, ObjectKey, Observed};
use crate::topology::{Access, Roles};

/// Time between two calls.
const AGAIN: Duration = Duration::from_millis(400);
/// Longest time that an orchestrator is called; by then it has found out by itself.
const LONGEST: Duration = Duration::from_mins(1);
/// Calls in a row that find no problem although the pod is gone: somebody else has seen to it.
const QUIET: u32 = 10;

/// Who leads each shard, as far as that was seen, and the failovers that are under way.
pub struct Failovers {
    state: Mutex<State>,
    shards: Waker<MultiShard>,
}

#[derive(Default)]
struct State {
    leaders: HashMap<ObjectKey, Leader>,
    under_way: HashSet<ObjectRef<MultiShard>>,
}

/// Whom a pod leads.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Leader {
    shard: ObjectRef<MultiShard>,
    cell: String,
}

impl Failovers {
    /// Has shards looked at again after a failover.
    pub fn new(shards: Waker<MultiShard>) -> Self {
        Self { state: Mutex::default(), shards }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes who leads a shard. Where nobody is known to, it is still the last one.
pub fn note(cx: &Context, shard: &MultiShard, roles: &Roles) {
    let (Some(pod), Some(cell)) = (&roles.primary, roles.primary_cell()) else { return };
    let leader = Leader { shard: ObjectRef::from_obj(shard), cell: cell.to_owned() };
    let pod = ObjectKey::new("Pod", &shard.namespace().unwrap_or_default(), pod);
    let mut state = cx.failovers.state();
    state.leaders.retain(|key, known| known.shard != leader.shard || *key == pod);
    state.leaders.insert(pod, leader);
}

/// Sees to a failover if the pod of a leader has begun to end.
pub fn notice(cx: &Arc<Context>, change: &Change) {
    if change.key.kind != "Pod" || !ends(change) {
        return;
    }
    let mut state = cx.failovers.state();
    let Some(leader) = state.leaders.get(&change.key).cloned() else { return };
    if state.under_way.insert(leader.shard.clone()) {
        tokio::spawn(recover(cx.clone(), leader, change.key.clone()));
    }
}

/// Whether a pod that was there is terminating, gone, or another one now.
fn ends(change: &Change) -> bool {
    let lives = |pod: &Observed| !pod.deleting;
    let Some(before) = change.before.as_ref().filter(|pod| lives(pod)) else { return false };
    !change.after.as_ref().is_some_and(|after| lives(after) && after.uid == before.uid)
}

/// Calls an orchestrator until it has dealt with the leader that is gone.
async fn recover(cx: Arc<Context>, leader: Leader, pod: ObjectKey) {
    if let Some(shard) = cx.stores.shards.get(&leader.shard) {
        tracing::info!(pod = %pod.name, "the leader's pod ends; the orchestrator is told");
        let note =
            format!("Pod {}, which leads, ends; multiorch is asked for another leader at once", pod.name);
        // Told while it is done: nobody is kept waiting for an event.
        let about = shard.object_ref(&());
        let told = cx.events.of_pod(&about, &pod.name, "FailoverTriggered", "Failover", note);
        tokio::join!(call(&cx, &shard, &leader, &pod), told);
    }
    let mut state = cx.failovers.state();
    state.under_way.remove(&leader.shard);
    if cx.stores.shards.get(&leader.shard).is_none() {
        state.leaders.remove(&pod);
    }
    drop(state);
    cx.failovers.shards.wake(leader.shard);
}

async fn call(cx: &Context, shard: &MultiShard, leader: &Leader, pod: &ObjectKey) {
    let namespace = shard.namespace().unwrap_or_default();
    let global = match topology::access(cx, &namespace, &shard.spec.global_topology).await {
        Ok(global) => global,
        Err(trouble) => return tracing::warn!(trouble.message, "the orchestrator cannot be told"),
    };
    let ending = cx.objects.get(pod).map(|pod| pod.uid);
    let mut cells = cells(shard, &leader.cell);
    let (started, mut found, mut quiet) = (Instant::now(), false, 0);
    while started.elapsed() < LONGEST {
        match trigger(cx, &global, &mut cells).await {
            Some(problems) if problems.is_empty() => {
                let gone = cx.objects.get(pod).map(|pod| pod.uid) != ending;
                quiet += u32::from(gone || ending.is_none());
                if found || quiet > QUIET {
                    break;
                }
            }
            Some(problems) => {
                tracing::debug!(problems = %problems.join(", "), "the orchestrator is at it");
                (found, quiet) = (true, 0);
            }
            None => {}
        }
        tokio::time::sleep(AGAIN).await;
    }
    tracing::info!(shard = shard.name_any(), found, elapsed = ?started.elapsed(), "the orchestrator was told");
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

/// Calls the orchestrators of one cell after the other, beginning with the one that answered last.
async fn trigger(cx: &Context, global: &Access, cells: &mut [String]) -> Option<Vec<String>> {
    for index in 0..cells.len() {
        match cx.topology.trigger_recovery(global, &cells[index]).await {
            Ok(problems) => {
                cells.swap(0, index);
                return Some(problems);
            }
            Err(error) => tracing::debug!(%error, cell = cells[index], "its orchestrators do not answer"),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
}
