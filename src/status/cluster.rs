//! The status of a cluster, from that of its children.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use multigres_crds::v1alpha1::*;

use super::conditions::{Fact, Trouble, reconciling};
use crate::reason::Reason;

/// Input of a cluster's status.
#[derive(Debug, Default)]
pub struct ClusterView {
    /// True if the operator makes the topology server.
    pub topology_managed: bool,
    /// The topology server, where it exists.
    pub topo_server: Option<TopoServer>,
    /// True if an external topology server answers.
    pub external_topology: Truth,
    /// The admin server, where it exists.
    pub admin: Option<MultiAdmin>,
    /// The orchestrator, where it exists.
    pub orch: Option<MultiOrch>,
    /// The cells that exist.
    pub cells: Vec<MultiCell>,
    /// The shards that exist.
    pub shards: Vec<MultiShard>,
    /// Names of the cells in the spec.
    pub expected_cells: Vec<String>,
    /// Names of the databases in the spec, and the instances that each is to have.
    pub expected_databases: BTreeMap<String, i32>,
    /// Names of the databases that were said to be initialised.
    pub initialized_databases: BTreeSet<String>,
    /// Children that should exist and do not.
    pub missing: Vec<ChildReference>,
    /// Problems that occurred.
    pub troubles: Vec<Trouble>,
    /// True if the operator writes nothing.
    pub paused: bool,
}

/// Reported state of one child of any kind.
struct ChildState<'a> {
    reference: ChildReference,
    current: bool,
    conditions: &'a [Condition],
    rollout: Option<&'a RolloutStatus>,
}

impl ChildState<'_> {
    fn says(&self, what: &str) -> String {
        format!("{} {}: {what}", self.reference.kind, self.reference.name)
    }
}

macro_rules! child_state {
    ($kind:literal, $child:expr) => {{
        let child = $child;
        let status = child.status.as_ref();
        ChildState {
            reference: ChildReference {
                kind: $kind.to_owned(),
                name: child.metadata.name.clone().unwrap_or_default(),
            },
            current: status.and_then(|status| status.observed_generation) == child.metadata.generation,
            conditions: status.map_or(&[], |status| &status.conditions),
            rollout: status.and_then(|status| status.rollout.as_ref()),
        }
    }};
}

impl ClusterView {
    /// True if every child is there and has said something of its present spec.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.children().iter().all(|child| child.current)
    }

    fn children(&self) -> Vec<ChildState<'_>> {
        let mut children = Vec::new();
        children.extend(self.topo_server.iter().map(|child| child_state!("TopoServer", child)));
        children.extend(self.admin.iter().map(|child| child_state!("MultiAdmin", child)));
        children.extend(self.orch.iter().map(|child| child_state!("MultiOrch", child)));
        children.extend(self.cells.iter().map(|child| child_state!("MultiCell", child)));
        children.extend(self.shards.iter().map(|child| child_state!("MultiShard", child)));
        children
    }
}

/// The status, without its conditions, and the facts that they are made of.
pub fn cluster_status(view: &ClusterView) -> (MultigresClusterStatus, Vec<Fact>) {
    let etcd = topology(view);
    let cells = cells(view);
    let databases = databases(view);
    let admin = view.admin.as_ref().map(|admin| AdminStatus {
        available: current(
            admin.metadata.generation,
            admin.status.as_ref().map(|s| (s.observed_generation, s.available)),
        ),
        service_name: admin.status.as_ref().map(|status| status.service_name.clone()).unwrap_or_default(),
    });
    let orchestrator = view.orch.as_ref().map(|orch| OrchestratorStatus {
        available: current(
            orch.metadata.generation,
            orch.status.as_ref().map(|s| (s.observed_generation, s.available)),
        ),
    });
    let available = availability(view, etcd, &cells, &databases, admin.as_ref(), orchestrator.as_ref());
    let children = view.children();
    let facts = cluster_facts(view, &children, available);
    let status = MultigresClusterStatus {
        observed_generation: None,
        conditions: Vec::new(),
        global_topo_server: Some(GlobalTopoServerStatus { etcd: EtcdStatus { available: etcd } }),
        cells,
        databases,
        admin,
        orchestrator,
        rollout: rollout(&children),
        children: references(children),
    };
    (status, facts)
}

/// A child's own word, where it is about the current spec.
fn current(generation: Option<i64>, said: Option<(Option<i64>, Truth)>) -> Truth {
    match said {
        Some((observed, truth)) if observed == generation => truth,
        _ => Truth::Unknown,
    }
}

fn topology(view: &ClusterView) -> Truth {
    match &view.topo_server {
        Some(topo) => {
            let said = topo.status.as_ref().map(|status| (status.observed_generation, status.available));
            current(topo.metadata.generation, said)
        }
        None if view.topology_managed => Truth::False,
        None => view.external_topology,
    }
}

fn cells(view: &ClusterView) -> BTreeMap<String, CellStatus> {
    let missing = |name: &String| {
        (name.clone(), CellStatus { gateway_available: Truth::False, topo_server_available: None })
    };
    let mut cells: BTreeMap<String, CellStatus> = view.expected_cells.iter().map(missing).collect();
    for cell in &view.cells {
        let status = cell.status.as_ref();
        let said = status.map(|status| (status.observed_generation, status.gateway_available));
        let observed = CellStatus {
            gateway_available: current(cell.metadata.generation, said),
            topo_server_available: status.and_then(|status| status.topo_server_available),
        };
        cells.insert(cell.spec.cell.clone(), observed);
    }
    cells
}

fn databases(view: &ClusterView) -> BTreeMap<String, DatabaseStatus> {
    let expected = view.expected_databases.iter().map(|(name, desired_instances)| {
        let shards: Vec<&MultiShard> =
            view.shards.iter().filter(|shard| shard.spec.database == *name).collect();
        let ready = shards
            .iter()
            .filter_map(|shard| shard.status.as_ref())
            .map(|status| status.ready_instances)
            .sum();
        let serving = Truth::all(shards.iter().map(|shard| {
            let said =
                shard.status.as_ref().map(|status| (status.observed_generation, status.serving_writes));
            current(shard.metadata.generation, said)
        }));
        let status = DatabaseStatus {
            desired_instances: *desired_instances,
            ready_instances: ready,
            serving_writes: if shards.is_empty() { Truth::False } else { serving },
            initialized: initialized(view, name, &shards),
        };
        (name.clone(), status)
    });
    expected.collect()
}

/// True if a database ever had data. What is said of an older spec holds as well: it is about the past. A shard that is
/// not there says nothing.
fn initialized(view: &ClusterView, database: &str, shards: &[&MultiShard]) -> Truth {
    let is_missing = shards.is_empty() || view.missing.iter().any(|child| child.kind == "MultiShard");
    let missing = is_missing.then_some(Truth::Unknown);
    let before = view.initialized_databases.contains(database).then_some(Truth::True);
    let said =
        |shard: &&MultiShard| shard.status.as_ref().map_or(Truth::Unknown, |status| status.initialized);
    Truth::any(shards.iter().map(said).chain(missing).chain(before))
}

/// True if everything that was asked for serves. What was asked for with no pods at all is not waited for.
fn availability(
    view: &ClusterView,
    etcd: Truth,
    cells: &BTreeMap<String, CellStatus>,
    databases: &BTreeMap<String, DatabaseStatus>,
    admin: Option<&AdminStatus>,
    orchestrator: Option<&OrchestratorStatus>,
) -> Fact {
    let scaled_to_zero = |name: &str| {
        view.cells.iter().any(|cell| cell.spec.cell == name && cell.spec.multi_gateway.replicas == 0)
    };
    let mut parts = vec![("The topology server".to_owned(), etcd)];
    if view.admin.as_ref().is_some_and(|admin| admin.spec.replicas > 0) {
        parts.extend(admin.map(|admin| ("The admin server".to_owned(), admin.available)));
    }
    if view.orch.as_ref().is_some_and(|orch| orch.spec.replicas > 0 && !orch.spec.databases.is_empty()) {
        parts.extend(orchestrator.map(|orch| ("The orchestrator".to_owned(), orch.available)));
    }
    for (name, cell) in cells.iter().filter(|(name, _)| !scaled_to_zero(name)) {
        parts.push((format!("The gateway of cell {name}"), cell.gateway_available));
    }
    for (name, database) in databases {
        parts.push((format!("Database {name}"), database.serving_writes));
    }
    parts.extend(view.missing.iter().map(|child| (format!("{} {}", child.kind, child.name), Truth::False)));
    let all = Truth::all(parts.iter().map(|(_, truth)| *truth));
    match (all, parts.into_iter().find(|(_, truth)| *truth == all)) {
        (Truth::False, Some((part, _))) => {
            Fact::new("Available", all, Reason::Unavailable, format!("{part} is not available."))
        }
        (Truth::Unknown, Some((part, _))) => Fact::new(
            "Available",
            all,
            Reason::Unknown,
            format!("{part}: it is not known whether it serves."),
        ),
        _ => Fact::new("Available", true, Reason::Available, "All components are available."),
    }
}

fn cluster_facts(view: &ClusterView, children: &[ChildState<'_>], available: Fact) -> Vec<Fact> {
    let progress = progress(view, children);
    let progressing = match &progress {
        Some((reason, message)) => Fact::new("Progressing", true, *reason, message),
        None => Fact::new("Progressing", false, Reason::Reconciled, "Cluster reconciliation complete."),
    };
    let ready = if let Some(trouble) = view.troubles.first() {
        Fact::new("Ready", false, trouble.reason, &trouble.message)
    } else if available.status != Truth::True {
        Fact { type_: "Ready", ..available.clone() }
    } else if let Some((reason, message)) = progress {
        Fact::new("Ready", false, reason, message)
    } else {
        let everything = || Fact::new("Ready", true, Reason::Ready, "The cluster is ready.");
        child_with(children, "Ready", "False")
            .map_or_else(everything, |(reason, message)| Fact::new("Ready", false, reason, message))
    };
    let stalled = stalled(view, children);
    let reconciling = reconciling(&progressing, &stalled);
    let mut facts = vec![ready, available, progressing, reconciling, stalled];
    if let Some(blocked) = view.troubles.iter().find(|trouble| trouble.reason == Reason::TurndownBlocked) {
        facts.push(Fact::new("TurndownBlocked", true, blocked.reason, &blocked.message));
    }
    if view.paused {
        facts.push(Fact::new(
            "Paused",
            true,
            Reason::Paused,
            "The operator writes nothing until the cluster is unpaused.",
        ));
    }
    facts
}

fn progress(view: &ClusterView, children: &[ChildState<'_>]) -> Option<(Reason, String)> {
    if let Some(trouble) = view.troubles.iter().find(|trouble| !trouble.lasting) {
        return Some((trouble.reason, trouble.message.clone()));
    }
    // What lastingly keeps it from being made is said elsewhere: nothing is under way.
    let stalled = view.troubles.iter().any(|trouble| trouble.lasting);
    if let Some(child) = view.missing.first().filter(|_| !stalled) {
        return Some((Reason::Creating, format!("{} {} does not exist yet.", child.kind, child.name)));
    }
    if let Some(child) = children.iter().find(|child| !child.current) {
        return Some((Reason::Reconciling, child.says("its spec was not looked at yet")));
    }
    child_with(children, "Progressing", "True")
}

/// Reason and message of the first child whose condition has this status.
fn child_with(children: &[ChildState<'_>], type_: &str, status: &str) -> Option<(Reason, String)> {
    children.iter().find_map(|child| {
        let mut conditions = child.conditions.iter();
        let found = conditions.find(|condition| condition.type_ == type_ && condition.status == status)?;
        let reason = found.reason.parse().unwrap_or(Reason::ChildNotReady);
        Some((reason, child.says(&found.message)))
    })
}

fn stalled(view: &ClusterView, children: &[ChildState<'_>]) -> Fact {
    if let Some(trouble) = view.troubles.iter().find(|trouble| trouble.lasting) {
        return Fact::new("Stalled", true, trouble.reason, &trouble.message);
    }
    match child_with(children, "Stalled", "True") {
        Some((reason, message)) => Fact::new("Stalled", true, reason, message),
        None => Fact::new("Stalled", false, Reason::Reconciled, "Nothing is in the way."),
    }
}

fn rollout(children: &[ChildState<'_>]) -> Option<RolloutStatus> {
    let under_way: Vec<&RolloutStatus> = children.iter().filter_map(|child| child.rollout).collect();
    let first = under_way.first()?;
    Some(RolloutStatus {
        updated: under_way.iter().map(|rollout| rollout.updated).sum(),
        total: under_way.iter().map(|rollout| rollout.total).sum(),
        waiting_for: first.waiting_for.clone(),
    })
}

fn references(children: Vec<ChildState<'_>>) -> Vec<ChildReference> {
    let mut references: Vec<ChildReference> = children.into_iter().map(|child| child.reference).collect();
    references.sort();
    references
}

#[cfg(test)]
mod tests {
    use multigres_crds::resolve;

    use super::*;

    const SAMPLE: &str = include_str!("../../tests/samples/proposal-cluster.yaml");

    /// The sample, with every child there and its status as `said` makes it.
    fn view(available: Truth) -> ClusterView {
        let cluster: MultigresCluster = serde_saphyr::from_str(SAMPLE).unwrap();
        let mut children = resolve::children(&cluster);
        let topo = children.topo_server.as_mut().unwrap();
        topo.status = Some(TopoServerStatus { available, ..TopoServerStatus::default() });
        let admin = children.admin.as_mut().unwrap();
        admin.status = Some(MultiAdminStatus { available, ..MultiAdminStatus::default() });
        let orch = children.orch.as_mut().unwrap();
        orch.status = Some(MultiOrchStatus { available, ..MultiOrchStatus::default() });
        for cell in &mut children.cells {
            cell.status =
                Some(MultiCellStatus { gateway_available: available, ..MultiCellStatus::default() });
        }
        for shard in &mut children.shards {
            shard.status =
                Some(MultiShardStatus { serving_writes: available, ..MultiShardStatus::default() });
        }
        ClusterView {
            topology_managed: true,
            topo_server: children.topo_server,
            admin: children.admin,
            orch: children.orch,
            cells: children.cells,
            shards: children.shards,
            expected_cells: vec!["us-east-1".to_owned(), "us-west-2".to_owned()],
            expected_databases: [("users_db".to_owned(), 6)].into(),
            ..ClusterView::default()
        }
    }

    fn said(view: &ClusterView, type_: &str) -> (Truth, &'static str) {
        let (_, facts) = cluster_status(view);
        let fact = facts.iter().find(|fact| fact.type_ == type_).unwrap();
        (fact.status, fact.reason.as_str())
    }

    #[test]
    fn everything_serves_or_is_not_known_to() {
        assert_eq!(said(&view(Truth::True), "Available"), (Truth::True, "Available"));
        assert_eq!(said(&view(Truth::True), "Ready"), (Truth::True, "Ready"));
        assert_eq!(said(&view(Truth::Unknown), "Available"), (Truth::Unknown, "Unknown"));
        assert_eq!(said(&view(Truth::False), "Ready"), (Truth::False, "Unavailable"));
    }

    #[test]
    fn one_part_is_enough_to_be_unavailable() {
        for break_it in [
            (|view| view.topo_server.as_mut().unwrap().status = None) as fn(&mut ClusterView),
            |view| view.admin.as_mut().unwrap().status = None,
            |view| view.cells[1].status = None,
            |view| view.shards[0].status = None,
        ] {
            let mut view = view(Truth::True);
            break_it(&mut view);
            assert_eq!(said(&view, "Available").0, Truth::Unknown);
        }
    }

    #[test]
    fn what_was_said_of_an_older_spec_is_not_believed() {
        let mut view = view(Truth::True);
        view.shards[0].metadata.generation = Some(2);
        assert_eq!(said(&view, "Available"), (Truth::Unknown, "Unknown"));
        assert_eq!(said(&view, "Progressing"), (Truth::True, "Reconciling"));
    }

    #[test]
    fn a_database_that_was_initialised_once_always_was() {
        fn of(change: impl FnOnce(&mut ClusterView)) -> Truth {
            let mut view = view(Truth::True);
            view.shards.push(view.shards[0].clone());
            for shard in &mut view.shards {
                shard.status.as_mut().unwrap().initialized = Truth::False;
            }
            change(&mut view);
            cluster_status(&view).0.databases["users_db"].initialized
        }
        fn status(view: &mut ClusterView) -> &mut MultiShardStatus {
            view.shards[1].status.as_mut().unwrap()
        }
        let missing = || vec![ChildReference { kind: "MultiShard".to_owned(), ..ChildReference::default() }];
        assert_eq!(of(|_| ()), Truth::False);
        assert_eq!(of(|view| status(view).initialized = Truth::Unknown), Truth::Unknown);
        assert_eq!(of(|view| status(view).initialized = Truth::True), Truth::True);
        assert_eq!(of(|view| view.shards[1].status = None), Truth::Unknown);
        assert_eq!(of(|view| view.shards.clear()), Truth::Unknown);
        assert_eq!(of(|view| view.missing = missing()), Truth::Unknown);
        // What its shards know no more, the cluster still knows, and says again.
        let before = |view: &mut ClusterView| {
            view.initialized_databases.insert("users_db".to_owned());
        };
        assert_eq!(of(before), Truth::True);
        let other = |view: &mut ClusterView| {
            view.initialized_databases.insert("other".to_owned());
        };
        assert_eq!(of(other), Truth::False);
        // It is about the past, whatever the spec is now.
        assert_eq!(of(|view| view.shards[1].metadata.generation = Some(2)), Truth::False);
    }

    #[test]
    fn what_was_scaled_to_zero_is_not_waited_for() {
        let mut view = view(Truth::True);
        view.admin.as_mut().unwrap().spec.replicas = 0;
        view.admin.as_mut().unwrap().status.as_mut().unwrap().available = Truth::False;
        assert_eq!(said(&view, "Available"), (Truth::True, "Available"));
    }

    #[test]
    fn a_stalled_child_stalls_the_cluster() {
        let mut view = view(Truth::True);
        let stalled = Condition {
            type_: "Stalled".to_owned(),
            status: "True".to_owned(),
            reason: "NameTaken".to_owned(),
            message: "m".to_owned(),
            observed_generation: None,
            last_transition_time: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
                k8s_openapi::jiff::Timestamp::UNIX_EPOCH,
            ),
        };
        let progressing =
            Condition { type_: "Progressing".to_owned(), reason: "Creating".to_owned(), ..stalled.clone() };
        view.cells[0].status.as_mut().unwrap().conditions.extend([stalled, progressing]);
        assert_eq!(said(&view, "Stalled"), (Truth::True, "NameTaken"));
        assert_eq!(said(&view, "Progressing"), (Truth::True, "Creating"));
        assert_eq!(said(&view, "Reconciling"), (Truth::False, "NameTaken"));
    }
}
