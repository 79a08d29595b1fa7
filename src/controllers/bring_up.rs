//! Shards are brought up by one orchestrator.
//!
//! Two orchestrators that set up the replication of a new shard repair its replicas in turns, each undoing the other's
//! work (Multigres v0.1.0). So the MultiOrch of a new cluster is made with `bringUpCell`, and loses it once all
//! instances of all shards have joined. The field is the state: it is set when the object is made and never afterwards,
//! so that no orchestrator that runs is taken away, neither by an upgrade of the operator nor for a database that is
//! added later.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};
use multigres_crds::kind::ChildKind;
use multigres_crds::resolve::{self, Children};
use multigres_crds::v1alpha1::{MultiOrch, MultiShard, MultigresCluster, Truth};

use super::cluster::find;
use super::context::Context;
use crate::memory::{Memories, PerObject};

/// Longest time with one orchestrator: where an instance never comes up, the others still deserve their failover when a
/// cell is lost.
const LONGEST: Duration = Duration::from_mins(10);

/// Clusters whose bring-up has ended. Caches may not have it yet.
#[derive(Debug)]
pub struct BringUps(PerObject<()>);

impl BringUps {
    /// Remembers none.
    pub fn new(memories: &Memories) -> Self {
        Self(PerObject::new(memories, "bring-ups"))
    }

    /// Notes that a bring-up has ended. True the first time.
    fn end(&self, uid: &str) -> bool {
        self.0.insert(uid, ()).is_none()
    }

    fn has_ended(&self, uid: &str) -> bool {
        self.0.contains(uid)
    }
}

/// The orchestrators of a cluster, as they are now.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Orchestrators {
    /// The MultiOrch does not exist.
    Absent,
    /// One runs, in this cell.
    One(String),
    /// They run in all cells.
    All,
}

impl Orchestrators {
    fn of(live: Option<&MultiOrch>) -> Self {
        let Some(live) = live else { return Self::Absent };
        live.spec.bring_up_cell.clone().map_or(Self::All, Self::One)
    }
}

/// The observed state of a cluster that the decision depends on.
struct Seen {
    /// Its orchestrators.
    orchestrators: Orchestrators,
    /// True if a database of the cluster had data already.
    has_data: bool,
    /// True if every instance of every shard has joined.
    joined: bool,
    /// Age of the first shard; nothing while there is none.
    age: Option<Duration>,
}

/// Gives the MultiOrch the cell in which its only orchestrator runs for now. Returns the time until the bring-up ends at
/// the latest.
pub async fn settle(cluster: &MultigresCluster, cx: &Context, children: &mut Children) -> Option<Duration> {
    let uid = cluster.uid().unwrap_or_default();
    // Without a topology client nobody can tell when it ends.
    if cx.topology.is_absent() || cx.bring_ups.has_ended(&uid) {
        return None;
    }
    let managed = resolve::section_is_managed(&cluster.spec, ChildKind::MultiShard);
    let desired = children.orch.as_ref()?;
    let live = find(&cx.stores.orchs, Some(desired));
    let seen = seen(cluster, cx, children, live.as_ref());
    let desired = children.orch.as_mut()?;
    desired.spec.bring_up_cell = cell(desired, &seen).filter(|_| managed);
    if desired.spec.bring_up_cell.is_some() {
        return Some(LONGEST.saturating_sub(seen.age.unwrap_or_default()).max(Duration::from_secs(1)));
    }
    if live.is_some_and(|live| live.spec.bring_up_cell.is_some()) && cx.bring_ups.end(&uid) {
        let note = if seen.joined { "all instances have joined" } else { "it takes too long" };
        let note = format!("Orchestrators start in all cells: {note}");
        cx.events.normal(&cluster.object_ref(&()), "BringUpEnded", "Reconcile", note).await;
    }
    None
}

fn seen(cluster: &MultigresCluster, cx: &Context, children: &Children, live: Option<&MultiOrch>) -> Seen {
    let shards: Vec<Option<MultiShard>> =
        children.shards.iter().map(|shard| find(&cx.stores.shards, Some(shard))).collect();
    let created = shards.iter().flatten().filter_map(|shard| shard.metadata.creation_timestamp.as_ref());
    let age = |created: Timestamp| cx.clock.now().0.duration_since(created).try_into().unwrap_or_default();
    let databases = cluster.status.iter().flat_map(|status| status.databases.values());
    Seen {
        orchestrators: Orchestrators::of(live),
        has_data: databases.into_iter().any(|database| database.initialized == Truth::True),
        joined: !shards.is_empty() && shards.iter().all(|shard| shard.as_ref().is_some_and(has_joined)),
        age: created.map(|created| created.0).min().map(age),
    }
}

/// True if all instances of a shard have joined, by what its controller said of the present spec.
fn has_joined(shard: &MultiShard) -> bool {
    shard.status.as_ref().is_some_and(|status| {
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        status.initialized == Truth::True
            && status.observed_generation == shard.metadata.generation
            && ready.is_some_and(|ready| ready.status == "True")
    })
}

/// The cell in which the only orchestrator runs, or nothing where all of them do.
fn cell(desired: &MultiOrch, seen: &Seen) -> Option<String> {
    let cells = &desired.spec.cells;
    let first = &cells.first()?.name;
    let before = match &seen.orchestrators {
        Orchestrators::All => return None,
        // A MultiOrch that was lost comes back as it was.
        Orchestrators::Absent => {
            let several = cells.len() > 1 || desired.spec.replicas > 1;
            return (several && !seen.has_data).then(|| first.clone());
        }
        Orchestrators::One(before) => before,
    };
    if seen.joined || seen.age.is_some_and(|age| age >= LONGEST) {
        return None;
    }
    let stays = cells.iter().any(|cell| cell.name == *before);
    Some(if stays { before } else { first }.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../tests/samples/two-cells.yaml");

    fn orch() -> MultiOrch {
        let cluster: MultigresCluster = serde_saphyr::from_str(SAMPLE).unwrap();
        resolve::children(&cluster).orch.unwrap()
    }

    fn one(cell: &str) -> Orchestrators {
        Orchestrators::One(cell.to_owned())
    }

    fn after(orchestrators: Orchestrators, minutes: Option<u64>) -> Seen {
        let age = minutes.map(|minutes| Duration::from_secs(60 * minutes));
        Seen { orchestrators, has_data: false, joined: false, age }
    }

    #[test]
    fn one_orchestrator_runs_until_all_instances_have_joined() {
        let orch = orch();
        let names: Vec<&str> = orch.spec.cells.iter().map(|cell| cell.name.as_str()).collect();
        let (first, second) = (names[0], names[1]);
        let joined = |seen| Seen { joined: true, ..seen };
        let with_data = |seen| Seen { has_data: true, ..seen };
        for (what, seen, expected) in [
            ("a new cluster", after(Orchestrators::Absent, None), Some(first)),
            ("its shards were just made", after(one(first), Some(1)), Some(first)),
            ("there is no database yet", after(one(first), None), Some(first)),
            ("all have joined", joined(after(one(first), Some(1))), None),
            ("an instance never joins", after(one(first), Some(10)), None),
            ("it has ended, and an instance is away", after(Orchestrators::All, Some(1)), None),
            ("the operator was upgraded", after(Orchestrators::All, Some(1)), None),
            ("the upgraded operator sees no shard", after(Orchestrators::All, None), None),
            ("a MultiOrch that ran is lost", with_data(after(Orchestrators::Absent, Some(1))), None),
            ("its cell is another one", after(one(second), Some(1)), Some(second)),
            ("its cell is removed", after(one("gone"), Some(1)), Some(first)),
        ] {
            assert_eq!(cell(&orch, &seen).as_deref(), expected, "{what}");
        }
    }

    #[test]
    fn a_single_orchestrator_is_nothing_special() {
        let mut orch = orch();
        orch.spec.cells.truncate(1);
        assert_eq!(cell(&orch, &after(Orchestrators::Absent, None)), None);
        orch.spec.replicas = 3;
        assert!(cell(&orch, &after(Orchestrators::Absent, None)).is_some());
        orch.spec.cells.clear();
        assert_eq!(cell(&orch, &after(Orchestrators::Absent, None)), None);
    }

    #[test]
    fn an_end_is_told_once() {
        let bring_ups = BringUps::new(&Memories::default());
        assert!(!bring_ups.has_ended("a"));
        assert!(bring_ups.end("a") && !bring_ups.end("a") && bring_ups.has_ended("a"));
        bring_ups.0.remove("a");
        assert!(bring_ups.0.lock().is_empty());
    }

    #[test]
    fn a_shard_has_joined_when_its_controller_says_so_of_its_present_spec() {
        let cluster: MultigresCluster = serde_saphyr::from_str(SAMPLE).unwrap();
        let mut shard = resolve::shards(&cluster).next().unwrap();
        assert!(!has_joined(&shard));
        shard.metadata.generation = Some(2);
        for (generation, initialized, ready, expected) in [
            (2, "True", "True", true),
            (1, "True", "True", false),
            (2, "Unknown", "True", false),
            (2, "True", "False", false),
        ] {
            let condition = serde_json::json!({
                "type": "Ready", "status": ready, "reason": "Ready", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            });
            let status = serde_json::json!({
                "observedGeneration": generation, "initialized": initialized, "conditions": [condition],
            });
            shard.status = Some(serde_json::from_value(status).unwrap());
            assert_eq!(has_joined(&shard), expected, "{generation} {initialized} {ready}");
        }
    }
}
