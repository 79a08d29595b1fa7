//! Conditions, as `kubectl wait`, kstatus and GitOps tools read them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use multigres_crds::v1alpha1::Truth;

use super::survey::Survey;
use crate::reason::Reason;

/// A condition without the time at which it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Type of the condition.
    pub type_: &'static str,
    /// True if it holds.
    pub status: Truth,
    /// Stable, for machines.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

impl Fact {
    /// States a fact.
    pub fn new(
        type_: &'static str,
        status: impl Into<Truth>,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        Self { type_, status: status.into(), reason, message: message.into() }
    }
}

/// Something that keeps the operator from making an object as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Stable, for machines.
    pub reason: Reason,
    /// For people.
    pub message: String,
    /// True if it stays until a person does something.
    pub lasting: bool,
}

/// Condition that must hold, beside ready pods, for an object to be ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// True if it holds.
    pub open: Truth,
    /// Reason while it does not.
    pub reason: Reason,
    /// For people, while it does not.
    pub message: String,
}

/// Facts about a child beside its workloads.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    /// Problems that occurred.
    pub troubles: Vec<Trouble>,
    /// Conditions that must hold.
    pub gates: Vec<Gate>,
    /// The pending work on pods or volumes, and the reason why it waits.
    pub awaits: Option<(Reason, String)>,
    /// True if the operator writes nothing.
    pub paused: bool,
}

/// The conditions of a child, from its workloads and circumstances.
pub fn facts(survey: &Survey, circumstances: &Circumstances) -> Vec<Fact> {
    let progress = progress(survey, circumstances);
    let lasting = circumstances.troubles.iter().find(|trouble| trouble.lasting);
    let stalled = match lasting {
        Some(trouble) => Fact::new("Stalled", true, trouble.reason, &trouble.message),
        None => Fact::new("Stalled", false, Reason::Reconciled, "Nothing is in the way."),
    };
    let progressing = match &progress {
        Some((reason, message)) => Fact::new("Progressing", true, *reason, message),
        None => Fact::new("Progressing", false, Reason::Reconciled, "Everything is as the spec asks for."),
    };
    let reconciling = reconciling(&progressing, &stalled);
    let mut facts = vec![readiness(survey, circumstances, progress), progressing, reconciling, stalled];
    if circumstances.paused {
        facts.push(Fact::new(
            "Paused",
            true,
            Reason::Paused,
            "The operator writes nothing until the cluster is unpaused.",
        ));
    }
    facts
}

/// True if it will end well if it is only waited for. kstatus asks for this first: were it true of what is stalled,
/// GitOps tools would wait for what only a person can bring about.
pub fn reconciling(progressing: &Fact, stalled: &Fact) -> Fact {
    let (status, said) = match stalled.status {
        Truth::True => (Truth::False, stalled),
        _ => (progressing.status, progressing),
    };
    Fact { type_: "Reconciling", status, ..said.clone() }
}

fn progress(survey: &Survey, circumstances: &Circumstances) -> Option<(Reason, String)> {
    if let Some(trouble) = circumstances.troubles.iter().find(|trouble| !trouble.lasting) {
        return Some((trouble.reason, trouble.message.clone()));
    }
    if let Some(missing) = survey.missing.first() {
        return Some((Reason::Creating, format!("{missing} does not exist yet")));
    }
    if let Some(awaits) = &circumstances.awaits {
        return Some(awaits.clone());
    }
    if let Some(message) = survey.not_rolled_out() {
        return Some((Reason::RollingOut, message));
    }
    survey.not_ready().map(|message| (Reason::PodsNotReady, message))
}

fn readiness(survey: &Survey, circumstances: &Circumstances, progress: Option<(Reason, String)>) -> Fact {
    let not_ready = |status: Truth, reason, message: String| Fact::new("Ready", status, reason, message);
    if let Some(trouble) = circumstances.troubles.first() {
        return not_ready(Truth::False, trouble.reason, trouble.message.clone());
    }
    if let Some(missing) = survey.missing.first() {
        return not_ready(Truth::False, Reason::Creating, format!("{missing} does not exist yet"));
    }
    // What serves nothing now is said before what is still to change.
    if let Some(message) = survey.not_ready() {
        return not_ready(Truth::False, Reason::PodsNotReady, message);
    }
    if let Some((reason, message)) = progress {
        return not_ready(Truth::False, reason, message);
    }
    match circumstances.gates.iter().find(|gate| gate.open != Truth::True) {
        Some(gate) => not_ready(gate.open, gate.reason, gate.message.clone()),
        None => Fact::new("Ready", true, Reason::Ready, "Everything is ready."),
    }
}

/// The facts as conditions. A condition that still has its status keeps the time at which it began.
pub fn conditions(
    before: &[Condition],
    generation: Option<i64>,
    now: &Time,
    facts: Vec<Fact>,
) -> Vec<Condition> {
    let condition = |fact: Fact| {
        let status = fact.status.as_str();
        let same =
            before.iter().find(|condition| condition.type_ == fact.type_ && condition.status == status);
        Condition {
            type_: fact.type_.to_owned(),
            status: status.to_owned(),
            reason: fact.reason.as_str().to_owned(),
            message: fact.message,
            observed_generation: generation,
            last_transition_time: same
                .map_or_else(|| now.clone(), |condition| condition.last_transition_time.clone()),
        }
    };
    facts.into_iter().map(condition).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{ObjectKey, Workload};

    fn survey(workload: Workload) -> Survey {
        let key = ObjectKey::new("StatefulSet", "n", "s");
        Survey { missing: Vec::new(), workloads: [(key, workload)].into() }
    }

    const COMPLETE: Workload = Workload { current: true, desired: 2, ready: 2, updated: 2, existing: 2 };

    /// Status and reason of Ready, Progressing and Stalled.
    fn said(survey: &Survey, circumstances: &Circumstances) -> [(Truth, &'static str); 3] {
        let facts = facts(survey, circumstances);
        ["Ready", "Progressing", "Stalled"].map(|type_| {
            let fact = facts.iter().find(|fact| fact.type_ == type_).unwrap();
            (fact.status, fact.reason.as_str())
        })
    }

    #[test]
    fn workloads_decide() {
        let nothing = Circumstances::default();
        let quiet = (Truth::False, "Reconciled");
        for (workload, ready, progressing) in [
            (COMPLETE, (Truth::True, "Ready"), quiet),
            (
                Workload { ready: 1, ..COMPLETE },
                (Truth::False, "PodsNotReady"),
                (Truth::True, "PodsNotReady"),
            ),
            (Workload { updated: 1, ..COMPLETE }, (Truth::False, "RollingOut"), (Truth::True, "RollingOut")),
            (
                Workload { current: false, ..COMPLETE },
                (Truth::False, "RollingOut"),
                (Truth::True, "RollingOut"),
            ),
            (Workload { existing: 3, ..COMPLETE }, (Truth::False, "RollingOut"), (Truth::True, "RollingOut")),
            (
                Workload { desired: 0, ready: 0, updated: 0, existing: 0, current: true },
                (Truth::True, "Ready"),
                quiet,
            ),
        ] {
            assert_eq!(said(&survey(workload), &nothing), [ready, progressing, quiet], "{workload:?}");
        }
    }

    #[test]
    fn what_is_missing_is_being_created() {
        let missing = Survey { missing: vec![ObjectKey::new("Service", "n", "s")], ..survey(COMPLETE) };
        let [ready, progressing, _] = said(&missing, &Circumstances::default());
        assert_eq!((ready, progressing), ((Truth::False, "Creating"), (Truth::True, "Creating")));
    }

    #[test]
    fn only_lasting_trouble_stalls() {
        for (lasting, stalled, progressing) in [
            (true, (Truth::True, "NameTaken"), (Truth::False, "Reconciled")),
            (false, (Truth::False, "Reconciled"), (Truth::True, "NameTaken")),
        ] {
            let trouble = Trouble { reason: Reason::NameTaken, message: String::new(), lasting };
            let circumstances = Circumstances { troubles: vec![trouble], ..Circumstances::default() };
            let expected = [(Truth::False, "NameTaken"), progressing, stalled];
            assert_eq!(said(&survey(COMPLETE), &circumstances), expected);
        }
    }

    #[test]
    fn what_is_stalled_is_not_reconciling() {
        let missing = Survey { missing: vec![ObjectKey::new("Service", "n", "s")], ..survey(COMPLETE) };
        for (lasting, expected) in [(true, (Truth::False, "NameTaken")), (false, (Truth::True, "NameTaken"))]
        {
            let trouble = Trouble { reason: Reason::NameTaken, message: String::new(), lasting };
            let circumstances = Circumstances { troubles: vec![trouble], ..Circumstances::default() };
            let facts = facts(&missing, &circumstances);
            let fact = facts.iter().find(|fact| fact.type_ == "Reconciling").unwrap();
            assert_eq!((fact.status, fact.reason.as_str()), expected);
        }
    }

    #[test]
    fn an_unknown_gate_is_unknown_and_not_false() {
        for open in [Truth::Unknown, Truth::False] {
            let gate = Gate { open, reason: Reason::TopologyUnknown, message: String::new() };
            let circumstances = Circumstances { gates: vec![gate], ..Circumstances::default() };
            assert_eq!(said(&survey(COMPLETE), &circumstances)[0], (open, "TopologyUnknown"));
        }
    }

    #[test]
    fn what_is_waited_for_is_said() {
        let awaits = Some((Reason::AwaitingTopology, "x".to_owned()));
        let circumstances = Circumstances { awaits, ..Circumstances::default() };
        for workload in [COMPLETE, Workload { updated: 0, ..COMPLETE }] {
            assert_eq!(said(&survey(workload), &circumstances)[1], (Truth::True, "AwaitingTopology"));
        }
    }

    #[test]
    fn a_condition_keeps_the_time_at_which_it_began() {
        let at = |seconds| Time(k8s_openapi::jiff::Timestamp::from_second(seconds).unwrap());
        let fact = |status: bool| vec![Fact::new("Ready", status, Reason::Ready, "m")];
        let first = conditions(&[], Some(1), &at(1), fact(true));
        let same = conditions(&first, Some(2), &at(2), fact(true));
        assert_eq!((&same[0].last_transition_time, same[0].observed_generation), (&at(1), Some(2)));
        let other = conditions(&same, Some(2), &at(3), fact(false));
        assert_eq!(other[0].last_transition_time, at(3));
    }
}
