//! Remedies for an instance that has taken part in its shard and does not follow the primary any more.
//!
//! Pure. An instance whose log goes beyond what its primary has cannot follow: Multigres v0.1.0 does not see that once
//! PostgreSQL runs as a standby. A rewind discards that log. Where a rewind does not help, and the user allows it, the
//! data is given up: a new volume is filled from the backup and the archive.
//!
//! An instance whose PostgreSQL accepts no connections is restarted first: its pooler may wait for a PostgreSQL that was
//! killed while it hung, and never start another one (Multigres v0.1.0).
//!
//! Neither loses a commit that was acknowledged. Whoever elected the primary reached every pair of instances that could
//! have acknowledged one, so the primary has it, and what only the lost instance has was acknowledged to nobody.

use std::collections::BTreeSet;
use std::time::Duration;

use multigres_crds::v1alpha1::DurabilityPolicy;

/// Time without following after which an instance counts as lost. What is merely slow has found its way by then.
pub const LOST_AFTER: Duration = Duration::from_mins(1);
/// Time after which an instance whose restart did not help is restarted again.
pub const RESTART_AGAIN: Duration = Duration::from_mins(10);
/// Time after which a rewind that did not help is tried again.
pub const REWIND_AGAIN: Duration = Duration::from_mins(5);
/// Time for which everything else must be whole before a volume is given up.
pub const REPLACE_AFTER: Duration = Duration::from_mins(5);

/// A shard in which somebody may be lost.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a condition of its own that something else vouches for"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    /// True if a primary is known and serves writes.
    pub serving: bool,
    /// True if everybody who is registered has answered.
    pub complete: bool,
    /// True if no pod is on its way out, missing, or about to be replaced or removed.
    pub quiet: bool,
    /// True if the user allows volumes to be given up.
    pub may_replace: bool,
    /// Copies of a commit that are needed.
    pub durability: DurabilityPolicy,
    /// The instances that are registered.
    pub instances: Vec<Instance>,
    /// The instance for which [`doomed`] has named the same pod all the time, and for how long.
    pub doomed: Option<(String, Duration)>,
}

/// An instance that is registered.
#[expect(clippy::struct_excessive_bools, reason = "what a pooler tells of itself is one bit each")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    /// Identity of its pod over time.
    pub uid: String,
    /// Name of the cell.
    pub cell: String,
    /// True if it leads.
    pub leads: bool,
    /// True if it receives what the primary writes.
    pub streams: bool,
    /// True if the primary counts its copies.
    pub in_cohort: bool,
    /// True if it has taken part with the data that it has, and knows of no later term than the primary's. One that is
    /// only being filled has not.
    pub is_member: bool,
    /// For how long it has been seen not to stream.
    pub apart: Duration,
    /// True if its PostgreSQL accepts no connections.
    pub is_silent: bool,
    /// Time since its pod was restarted for that, if it was.
    pub restarted: Option<Duration>,
    /// Outcome of an attempt to rewind it.
    pub rewind: Rewind,
}

/// An attempt to rewind an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rewind {
    /// There was none.
    #[default]
    Untried,
    /// Its pooler does not know how, and sees to itself.
    Unknown,
    /// It ended so long ago.
    Tried(Duration),
}

/// A remedy for one instance, by the identity of its pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Restart its pod.
    Restart(String),
    /// Discard the log that its primary does not have.
    Rewind(String),
    /// Give up its volume.
    Replace(String),
}

/// Plans the remedy of a shard, if it needs one.
pub fn remedy(shard: &Situation) -> Option<Remedy> {
    let lost = shard.lost()?;
    if lost.is_silent && lost.restarted.is_none_or(|ago| ago >= RESTART_AGAIN) {
        return Some(Remedy::Restart(lost.uid.clone()));
    }
    if shard.is_doomed(lost) {
        let is_due = |(uid, held): &(String, Duration)| *uid == lost.uid && *held >= REPLACE_AFTER;
        return shard.doomed.as_ref().is_some_and(is_due).then(|| Remedy::Replace(lost.uid.clone()));
    }
    let is_due = match lost.rewind {
        Rewind::Untried => true,
        Rewind::Unknown => false,
        Rewind::Tried(ago) => ago >= REWIND_AGAIN,
    };
    is_due.then(|| Remedy::Rewind(lost.uid.clone()))
}

/// The instance whose volume would be given up if everything stayed as it is.
pub fn doomed(shard: &Situation) -> Option<&str> {
    let lost = shard.lost()?;
    shard.is_doomed(lost).then_some(lost.uid.as_str())
}

impl Situation {
    /// The one instance that is lost while every other one whose copies count takes its part.
    fn lost(&self) -> Option<&Instance> {
        if !(self.serving && self.complete && self.quiet) {
            return None;
        }
        let is_lost = |instance: &&Instance| {
            !instance.leads && !instance.streams && instance.is_member && instance.apart >= LOST_AFTER
        };
        let lost = self.instances.iter().find(is_lost)?;
        let others = || self.instances.iter().filter(|other| other.uid != lost.uid);
        let is_led = others().any(|other| other.leads);
        let is_whole = others().filter(|other| other.in_cohort).all(|other| other.leads || other.streams);
        (is_led && is_whole).then_some(lost)
    }

    fn is_doomed(&self, lost: &Instance) -> bool {
        let was_rewound = matches!(lost.rewind, Rewind::Tried(ago) if ago >= LOST_AFTER);
        self.may_replace && was_rewound && self.is_safe_without(lost)
    }

    /// True if the primary and somebody else whose copies count have every commit, in as many cells as they must be in.
    fn is_safe_without(&self, lost: &Instance) -> bool {
        let copies = || {
            let others = self.instances.iter().filter(|other| other.uid != lost.uid);
            others.filter(|other| other.leads || (other.streams && other.in_cohort))
        };
        let cells: BTreeSet<&str> = copies().map(|copy| copy.cell.as_str()).collect();
        let spread = match self.durability {
            DurabilityPolicy::AtLeast2 => true,
            DurabilityPolicy::MultiCellAtLeast2 => cells.len() >= 2,
        };
        copies().count() >= 2 && spread
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rollout::{Action, Outdated, Pod, Pool, Shard, Standing, plan};

    const MINUTE: Duration = Duration::from_mins(1);

    fn instance(uid: &str, cell: &str) -> Instance {
        Instance {
            uid: uid.to_owned(),
            cell: cell.to_owned(),
            streams: true,
            in_cohort: true,
            is_member: true,
            ..Instance::default()
        }
    }

    /// Three instances in two cells: one leads, one follows, and one has been lost for a while.
    fn situation() -> Situation {
        let mut instances = vec![instance("a", "x"), instance("b", "y"), instance("c", "x")];
        (instances[0].leads, instances[0].streams) = (true, false);
        (instances[2].streams, instances[2].apart) = (false, 20 * MINUTE);
        Situation { serving: true, complete: true, quiet: true, instances, ..Situation::default() }
    }

    /// The same after a rewind that did not help, with everything else whole for long enough.
    fn beyond_rewind() -> Situation {
        let mut shard = situation();
        shard.may_replace = true;
        shard.instances[2].rewind = Rewind::Tried(2 * MINUTE);
        shard.doomed = Some(("c".to_owned(), REPLACE_AFTER));
        shard
    }

    fn outcome(mut shard: Situation, change: impl FnOnce(&mut Situation)) -> String {
        change(&mut shard);
        match remedy(&shard) {
            Some(Remedy::Restart(uid)) => format!("restart {uid}"),
            Some(Remedy::Rewind(uid)) => format!("rewind {uid}"),
            Some(Remedy::Replace(uid)) => format!("replace {uid}"),
            None => "nothing".to_owned(),
        }
    }

    #[test]
    fn what_does_not_follow_is_rewound_while_everybody_else_takes_part() {
        let second = Duration::from_secs(1);
        assert_eq!(outcome(situation(), |_| {}), "rewind c");
        for (why, change) in [
            ("nobody serves", (|shard| shard.serving = false) as fn(&mut Situation)),
            ("somebody does not answer", |shard| shard.complete = false),
            ("a pod is being replaced", |shard| shard.quiet = false),
            ("nobody leads", |shard| shard.instances[0].leads = false),
            ("another one does not follow", |shard| shard.instances[1].streams = false),
            ("it follows", |shard| shard.instances[2].streams = true),
            ("it has never taken part, or knows a later term", |shard| shard.instances[2].is_member = false),
            ("its pooler sees to itself", |shard| shard.instances[2].rewind = Rewind::Unknown),
            ("it was rewound just now", |shard| shard.instances[2].rewind = Rewind::Tried(MINUTE)),
        ] {
            assert_eq!(outcome(situation(), change), "nothing", "{why}");
        }
        assert_eq!(
            outcome(situation(), |shard| shard.instances[2].apart = LOST_AFTER.saturating_sub(second)),
            "nothing"
        );
        assert_eq!(outcome(situation(), |shard| shard.instances[2].apart = LOST_AFTER), "rewind c");
        // One that is new and not counted yet keeps nobody waiting.
        let with_new = |shard: &mut Situation| {
            let new = Instance { streams: false, in_cohort: false, is_member: false, ..instance("d", "y") };
            shard.instances.push(new);
        };
        assert_eq!(outcome(situation(), with_new), "rewind c");
        let again = |shard: &mut Situation| shard.instances[2].rewind = Rewind::Tried(REWIND_AGAIN);
        assert_eq!(outcome(situation(), again), "rewind c");
    }

    #[test]
    fn an_instance_that_accepts_no_connections_is_restarted_before_anything_else() {
        let silent = |restarted: Option<Duration>| {
            move |shard: &mut Situation| {
                (shard.instances[2].is_silent, shard.instances[2].restarted) = (true, restarted);
            }
        };
        assert_eq!(outcome(situation(), silent(None)), "restart c");
        assert_eq!(outcome(beyond_rewind(), silent(None)), "restart c");
        assert_eq!(outcome(situation(), silent(Some(MINUTE))), "rewind c");
        assert_eq!(outcome(beyond_rewind(), silent(Some(MINUTE))), "replace c");
        assert_eq!(outcome(situation(), silent(Some(RESTART_AGAIN))), "restart c");
        let second_down = |shard: &mut Situation| {
            silent(None)(shard);
            shard.instances[1].streams = false;
        };
        assert_eq!(outcome(situation(), second_down), "nothing");
    }

    #[test]
    fn a_volume_is_given_up_when_two_copies_stand_without_it() {
        assert_eq!(outcome(beyond_rewind(), |_| {}), "replace c");
        for (why, change) in [
            ("the user does not allow it", (|shard| shard.may_replace = false) as fn(&mut Situation)),
            ("nobody serves", |shard| shard.serving = false),
            ("somebody does not answer", |shard| shard.complete = false),
            ("a pod is being replaced", |shard| shard.quiet = false),
            ("the other copy does not count", |shard| shard.instances[1].in_cohort = false),
            ("no other copy", |shard| drop(shard.instances.remove(1))),
            ("the rewind has only just ended", |shard| shard.instances[2].rewind = Rewind::Tried(MINUTE / 2)),
            ("it has not been so for long", |shard| {
                shard.doomed = Some(("c".to_owned(), REPLACE_AFTER.saturating_sub(Duration::from_secs(1))));
            }),
            ("it was another one until now", |shard| {
                shard.doomed = Some(("b".to_owned(), 2 * REPLACE_AFTER));
            }),
            ("nobody was named until now", |shard| shard.doomed = None),
            ("both copies are in one cell", |shard| {
                shard.durability = DurabilityPolicy::MultiCellAtLeast2;
                shard.instances[1].cell = "x".to_owned();
            }),
        ] {
            assert_eq!(outcome(beyond_rewind(), change), "nothing", "{why}");
        }
        let spread = |shard: &mut Situation| shard.durability = DurabilityPolicy::MultiCellAtLeast2;
        assert_eq!(outcome(beyond_rewind(), spread), "replace c");
        // Nor is it rewound any more while it waits to be given up.
        let waits = |shard: &mut Situation| {
            shard.instances[2].rewind = Rewind::Tried(REWIND_AGAIN);
            shard.doomed = None;
        };
        assert_eq!(outcome(beyond_rewind(), waits), "nothing");
        // After its copies have been left out, the rest is still done.
        assert_eq!(outcome(beyond_rewind(), |shard| shard.instances[2].in_cohort = false), "replace c");
        // A volume that was given up holds nothing that has taken part.
        assert_eq!(outcome(beyond_rewind(), |shard| shard.instances[2].is_member = false), "nothing");
    }

    fn any_duration() -> impl Strategy<Value = Duration> {
        prop_oneof![Just(0), Just(30), Just(59), Just(60), Just(299), Just(300), 0..1000_u64]
            .prop_map(Duration::from_secs)
    }

    fn any_instance(index: usize) -> impl Strategy<Value = Instance> {
        let rewind =
            prop_oneof![Just(Rewind::Untried), Just(Rewind::Unknown), any_duration().prop_map(Rewind::Tried)];
        let (usually, seldom) = (proptest::bool::weighted(0.8), proptest::bool::weighted(0.2));
        let restarted = proptest::option::of(any_duration());
        (usually, usually, usually, seldom, any_duration(), rewind, 0..3_u8, seldom, restarted).prop_map(
            move |(streams, in_cohort, is_member, leads, apart, rewind, cell, is_silent, restarted)| {
                Instance {
                    uid: index.to_string(),
                    cell: cell.to_string(),
                    leads,
                    streams: streams && !leads,
                    in_cohort,
                    is_member,
                    apart,
                    is_silent,
                    restarted,
                    rewind,
                }
            },
        )
    }

    fn any_situation() -> impl Strategy<Value = Situation> {
        let instances = (1..6_usize).prop_flat_map(|count| (0..count).map(any_instance).collect::<Vec<_>>());
        let usually = proptest::bool::weighted(0.9);
        let doomed = proptest::option::weighted(0.8, (0..5_usize, any_duration()));
        (instances, usually, usually, usually, usually, any::<bool>(), doomed).prop_map(
            |(instances, serving, complete, quiet, may_replace, spread, doomed)| Situation {
                serving,
                complete,
                quiet,
                may_replace,
                durability: if spread {
                    DurabilityPolicy::MultiCellAtLeast2
                } else {
                    DurabilityPolicy::AtLeast2
                },
                instances,
                doomed: doomed.map(|(index, held)| (index.to_string(), held)),
            },
        )
    }

    proptest! {
        #[test]
        fn whatever_is_seen_no_copy_that_counts_is_touched(shard in any_situation()) {
            let Some(remedy) = remedy(&shard) else { return Ok(()) };
            let (Remedy::Restart(uid) | Remedy::Rewind(uid) | Remedy::Replace(uid)) = &remedy;
            let (target, others): (Vec<_>, Vec<_>) = shard.instances.iter().partition(|other| other.uid == *uid);
            prop_assert!(shard.serving && shard.complete && shard.quiet);
            prop_assert_eq!(target.len(), 1);
            let target = target[0];
            prop_assert!(!target.leads && !target.streams && target.is_member && target.apart >= LOST_AFTER);
            prop_assert!(others.iter().any(|other| other.leads));
            for other in &others {
                prop_assert!(!other.in_cohort || other.leads || other.streams);
            }
            if let Remedy::Replace(_) = remedy {
                let was_rewound = matches!(target.rewind, Rewind::Tried(_));
                prop_assert!(shard.may_replace && was_rewound);
                let held = shard.doomed.as_ref().filter(|(doomed, _)| doomed == uid).map(|(_, held)| *held);
                prop_assert!(held >= Some(REPLACE_AFTER));
                let copies: Vec<_> =
                    others.iter().filter(|other| other.leads || (other.streams && other.in_cohort)).collect();
                prop_assert!(copies.len() >= 2);
                let cells: BTreeSet<_> = copies.iter().map(|copy| &copy.cell).collect();
                prop_assert!(shard.durability == DurabilityPolicy::AtLeast2 || cells.len() >= 2);
            }
        }

        /// A rollout takes no step while an instance is being repaired, and no instance is repaired beside a step.
        #[test]
        fn a_repair_and_a_step_of_a_rollout_exclude_each_other(
            pods in proptest::collection::vec((any::<[bool; 4]>(), 0..4_u8), 1..5),
            desired in 0..5_i32,
            roles_known: bool,
        ) {
            let pod = |(ordinal, ([ready, running, terminating, outdated], standing)): (usize, ([bool; 4], u8))| {
                let standings = [Standing::Unknown, Standing::Primary, Standing::Joined, Standing::Apart];
                Pod {
                    name: format!("a-{ordinal}"),
                    uid: ordinal.to_string(),
                    pool: "a".to_owned(),
                    ordinal: i32::try_from(ordinal).unwrap(),
                    ready,
                    running,
                    terminating,
                    outdated: outdated.then_some(Outdated::Template),
                    standing: standings[usize::from(standing)],
                    ..Pod::default()
                }
            };
            let current = i32::try_from(pods.len()).unwrap();
            let mut shard = Shard {
                pools: vec![Pool { name: "a".to_owned(), desired, current: Some(current), ..Pool::default() }],
                pods: pods.into_iter().enumerate().map(pod).collect(),
                roles_known,
                ..Shard::default()
            };
            let step = plan(&shard);
            shard.under_repair = Some("a-0".to_owned());
            let meanwhile = plan(&shard);
            prop_assert_eq!(meanwhile.action, None);
            prop_assert!(step.action.is_none() || meanwhile.wait.is_some());
            for (pool, replicas) in &meanwhile.replicas {
                prop_assert!(*replicas >= step.replicas[pool], "{:?}", step.action);
                let removes = matches!(step.action, Some(Action::Remove { .. }));
                prop_assert!(!removes || *replicas == current);
            }
        }
    }
}
