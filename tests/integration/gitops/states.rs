//! Every state that a cluster or a child can be in, as the operator's own code says it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use multigres_crds::resolve;
use multigres_crds::v1alpha1::*;
use multigres_operator::observe::{ObjectKey, Workload};
use multigres_operator::reason::Reason;
use multigres_operator::status::{
    Circumstances, ClusterView, Fact, Gate, Survey, Trouble, cluster_status, conditions, facts,
};
use serde_json::{Value, json};

use crate::samples::SMALL;

/// A state, and what tools are to make of it.
pub struct State {
    pub name: &'static str,
    pub object: Value,
    pub kstatus: &'static str,
    pub argo_cd: &'static str,
}

type Expected = (&'static str, &'static str);

const IN_PROGRESS: Expected = ("InProgress", "Progressing");
const CURRENT: Expected = ("Current", "Healthy");
const FAILED: Expected = ("Failed", "Degraded");

/// All of them.
pub fn all() -> Vec<State> {
    let states = clusters().into_iter().chain(shards());
    states.map(|(name, object, (kstatus, argo_cd))| State { name, object, kstatus, argo_cd }).collect()
}

fn clusters() -> Vec<(&'static str, Value, Expected)> {
    let state = |change: fn(&mut ClusterView)| {
        let mut view = serving();
        change(&mut view);
        said_of(&view)
    };
    let ready = || said_of(&serving());
    vec![
        ("cluster-just-created", edited(ready(), "/status", json!({"observedGeneration": -1})), IN_PROGRESS),
        (
            "cluster-creating",
            state(|view| view.missing = vec![child("MultiShard", "small-app-default-0-inf")]),
            IN_PROGRESS,
        ),
        (
            "cluster-pods-not-ready",
            state(|view| tell(view, "Progressing", Reason::PodsNotReady)),
            IN_PROGRESS,
        ),
        ("cluster-rolling-out", state(|view| tell(view, "Progressing", Reason::RollingOut)), IN_PROGRESS),
        (
            "cluster-child-not-looked-at",
            state(|view| view.shards[0].metadata.generation = Some(2)),
            IN_PROGRESS,
        ),
        (
            "cluster-retrying",
            state(|view| view.troubles = vec![trouble(Reason::ApplyFailed, false)]),
            IN_PROGRESS,
        ),
        ("cluster-not-known-to-serve", state(|view| serve(view, Truth::Unknown)), IN_PROGRESS),
        ("cluster-ready", ready(), CURRENT),
        ("cluster-changed", edited(ready(), "/metadata/generation", json!(2)), IN_PROGRESS),
        // kstatus has no word for what does not serve, though it is as the spec asks for.
        ("cluster-not-serving", state(|view| serve(view, Truth::False)), ("InProgress", "Degraded")),
        (
            "cluster-stalled",
            state(|view| view.troubles = vec![trouble(Reason::TopologyConflict, true)]),
            FAILED,
        ),
        ("cluster-child-stalled", state(stalled_child), FAILED),
        ("cluster-paused", state(|view| view.paused = true), ("Current", "Suspended")),
        (
            "cluster-deleted",
            edited(ready(), "/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z")),
            ("Terminating", "Progressing"),
        ),
    ]
}

fn shards() -> Vec<(&'static str, Value, Expected)> {
    let complete = Workload { current: true, desired: 3, ready: 3, updated: 3, existing: 3 };
    let state = |workload, circumstances: Circumstances| shard(&survey(workload), &circumstances);
    let ready = || state(complete, Circumstances::default());
    let nothing = Circumstances::default;
    let missing = Survey {
        missing: vec![ObjectKey::new("Service", "n", "small-app-default-0-inf")],
        ..survey(complete)
    };
    let gate = Gate {
        open: Truth::Unknown,
        reason: Reason::TopologyUnknown,
        message: "no pooler was seen".to_owned(),
    };
    let awaits = Some((Reason::AwaitingTopology, "the topology does not answer".to_owned()));
    let stalled = || Circumstances { troubles: vec![trouble(Reason::NameTaken, true)], ..nothing() };
    vec![
        ("shard-just-created", edited(ready(), "/status", json!({"observedGeneration": -1})), IN_PROGRESS),
        ("shard-creating", shard(&missing, &nothing()), IN_PROGRESS),
        ("shard-pods-not-ready", state(Workload { ready: 1, ..complete }, nothing()), IN_PROGRESS),
        ("shard-rolling-out", state(Workload { updated: 1, ..complete }, nothing()), IN_PROGRESS),
        ("shard-waiting", state(complete, Circumstances { awaits, ..nothing() }), IN_PROGRESS),
        (
            "shard-not-known-to-serve",
            state(complete, Circumstances { gates: vec![gate], ..nothing() }),
            IN_PROGRESS,
        ),
        ("shard-ready", ready(), CURRENT),
        // What is missing is not under way: the trouble is in its way.
        ("shard-stalled", shard(&missing, &stalled()), FAILED),
        (
            "shard-paused",
            state(complete, Circumstances { paused: true, ..nothing() }),
            ("Current", "Suspended"),
        ),
    ]
}

fn edited(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[key] = value;
    object
}

fn child(kind: &str, name: &str) -> ChildReference {
    ChildReference { kind: kind.to_owned(), name: name.to_owned() }
}

fn trouble(reason: Reason, lasting: bool) -> Trouble {
    Trouble { reason, message: "another cluster has it".to_owned(), lasting }
}

fn small() -> MultigresCluster {
    let mut cluster: MultigresCluster = serde_saphyr::from_str(SMALL).unwrap();
    cluster.metadata.namespace = Some("multigres".to_owned());
    cluster.metadata.generation = Some(1);
    cluster
}

/// All children of a cluster are there and serve.
fn serving() -> ClusterView {
    let cluster = small();
    let mut children = resolve::children(&cluster);
    children.topo_server.as_mut().unwrap().status = Some(TopoServerStatus::default());
    children.admin.as_mut().unwrap().status = Some(MultiAdminStatus::default());
    children.orch.as_mut().unwrap().status = Some(MultiOrchStatus::default());
    children.cells[0].status = Some(MultiCellStatus::default());
    children.shards[0].status = Some(MultiShardStatus { ready_instances: 3, ..MultiShardStatus::default() });
    let mut view = ClusterView {
        topology_managed: true,
        topo_server: children.topo_server,
        admin: children.admin,
        orch: children.orch,
        expected_cells: children.cells.iter().map(|cell| cell.spec.cell.clone()).collect(),
        cells: children.cells,
        shards: children.shards,
        expected_databases: [("app".to_owned(), 3)].into(),
        ..ClusterView::default()
    };
    serve(&mut view, Truth::True);
    view.topo_server.as_mut().unwrap().status.as_mut().unwrap().available = Truth::True;
    view.admin.as_mut().unwrap().status.as_mut().unwrap().available = Truth::True;
    view.orch.as_mut().unwrap().status.as_mut().unwrap().available = Truth::True;
    view.cells[0].status.as_mut().unwrap().gateway_available = Truth::True;
    view
}

fn serve(view: &mut ClusterView, serving: Truth) {
    view.shards[0].status.as_mut().unwrap().serving_writes = serving;
}

/// A child has a condition that holds.
fn tell(view: &mut ClusterView, type_: &'static str, reason: Reason) {
    let told = vec![Fact::new(type_, true, reason, "1 of 3 pods are up to date")];
    view.shards[0].status.as_mut().unwrap().conditions.extend(begun(told));
}

/// A child is stalled, and would be under way but for that.
fn stalled_child(view: &mut ClusterView) {
    tell(view, "Stalled", Reason::NameTaken);
    tell(view, "Progressing", Reason::Creating);
}

fn begun(facts: Vec<Fact>) -> Vec<Condition> {
    conditions(&[], Some(1), &Time(Timestamp::UNIX_EPOCH), facts)
}

fn said_of(view: &ClusterView) -> Value {
    let (mut status, facts) = cluster_status(view);
    status.observed_generation = Some(1);
    status.conditions = begun(facts);
    serde_json::to_value(MultigresCluster { status: Some(status), ..small() }).unwrap()
}

fn survey(workload: Workload) -> Survey {
    let key = ObjectKey::new("StatefulSet", "multigres", "small-app-default-0-inf-a-primary-pg");
    Survey { missing: Vec::new(), workloads: [(key, workload)].into() }
}

fn shard(survey: &Survey, circumstances: &Circumstances) -> Value {
    let mut shard = resolve::children(&small()).shards.remove(0);
    shard.metadata.generation = Some(1);
    shard.status = Some(MultiShardStatus {
        observed_generation: Some(1),
        conditions: begun(facts(survey, circumstances)),
        ready_instances: survey.ready(),
        ..MultiShardStatus::default()
    });
    serde_json::to_value(shard).unwrap()
}
