use multigres_crds::v1alpha1::DurabilityPolicy::{AtLeast2, MultiCellAtLeast2};
use multigres_crds::v1alpha1::Truth::{False, True, Unknown};
use proptest::prelude::*;

use super::super::poolers::{
    ConsensusStatus, PoolerPosition, PostgresAction, PrimaryConnInfo, ReplicationStatus, TermRevocation,
};
use super::super::records::ComponentType;
use super::*;

/// The cohort of every rule here.
const COHORT: [&str; 3] = ["a", "b", "c"];

fn id(name: &str) -> Id {
    Id { component: ComponentType::Multipooler.into(), cell: "zone1".to_owned(), name: name.to_owned() }
}

/// A pooler that leads by the rule it knows, or follows; whose PostgreSQL is fine.
fn says(name: &str, leader: &str, term: i64, subterm: i64) -> Sighting {
    let leads = name == leader;
    let rule = ShardRule {
        rule_number: Some(RuleNumber { coordinator_term: term, leader_subterm: subterm }),
        leader_id: Some(id(leader)),
        cohort_members: COHORT.map(id).into(),
    };
    let streaming =
        ReplicationStatus { wal_receiver_status: "streaming".to_owned(), ..ReplicationStatus::default() };
    let status = PoolerStatus {
        replication_status: (!leads).then_some(streaming),
        is_initialized: true,
        postgres_status: if leads { PostgresStatus::Primary } else { PostgresStatus::Standby }.into(),
        postgres_action: 0,
        postgres_ready: true,
    };
    let position = PoolerPosition { rule: Some(rule) };
    let consensus = ConsensusStatus {
        current_position: Some(position),
        id: Some(id(name)),
        ..ConsensusStatus::default()
    };
    let answer = StatusResponse { status: Some(status), consensus_status: Some(consensus) };
    Sighting::new(record(name, if leads { PoolerType::Primary } else { PoolerType::Replica }), Some(answer))
}

fn record(name: &str, r#type: PoolerType) -> Multipooler {
    Multipooler {
        id: Some(id(name)),
        hostname: format!("pod-{name}.pool.ns.svc.cluster.local"),
        r#type: r#type.into(),
        ..Multipooler::default()
    }
}

fn silent(name: &str, r#type: PoolerType) -> Sighting {
    Sighting::new(record(name, r#type), None)
}

fn with_status(mut sighting: Sighting, change: impl FnOnce(&mut PoolerStatus)) -> Sighting {
    change(sighting.answer.as_mut().unwrap().status.as_mut().unwrap());
    sighting
}

fn without_rule(mut sighting: Sighting) -> Sighting {
    sighting.answer.as_mut().unwrap().consensus_status.as_mut().unwrap().current_position = None;
    sighting
}

fn not_serving(mut sighting: Sighting) -> Sighting {
    sighting.record.serving_status = ServingStatus::NotServing.into();
    sighting
}

fn healthy() -> Vec<Sighting> {
    vec![says("a", "a", 3, 1), says("b", "a", 3, 1), says("c", "a", 3, 1)]
}

fn but(changed: Sighting) -> Vec<Sighting> {
    let mut sightings = healthy();
    sightings.retain(|sighting| sighting.id() != changed.id());
    sightings.push(changed);
    sightings
}

#[test]
fn who_leads_and_whether_writes_are_served() {
    let fenced = |status: &mut PoolerStatus| status.postgres_ready = false;
    let in_recovery = |status: &mut PoolerStatus| status.postgres_status = PostgresStatus::Standby.into();
    for (case, sightings, primary, serving) in [
        ("nobody has registered", vec![], None, False),
        ("healthy", healthy(), Some("pod-a"), True),
        ("no leader yet", healthy()[1..].iter().cloned().map(without_rule).collect(), None, False),
        ("the leader cannot prove it", but(without_rule(says("a", "a", 3, 1))), None, Unknown),
        ("its PostgreSQL is gone", but(without_rule(with_status(says("a", "a", 3, 1), fenced))), None, False),
        (
            "a re-created old primary beside the real one",
            vec![says("a", "a", 2, 5), says("b", "b", 3, 1), says("c", "b", 3, 1)],
            Some("pod-b"),
            True,
        ),
        (
            "a re-created old primary, and the real one does not answer",
            vec![says("a", "a", 2, 5), silent("b", PoolerType::Primary), says("c", "b", 3, 1)],
            None,
            Unknown,
        ),
        (
            "the subterm decides within a term",
            vec![says("a", "a", 3, 1), says("b", "b", 3, 2), says("c", "b", 3, 2)],
            Some("pod-b"),
            True,
        ),
        ("a standby that is behind", but(says("c", "b", 2, 9)), Some("pod-a"), True),
        ("a standby that was asked later", but(says("c", "a", 3, 2)), Some("pod-a"), True),
        (
            "the leader that was appointed has not taken over",
            vec![says("a", "a", 3, 1), says("b", "a", 3, 1), says("c", "b", 4, 0)],
            None,
            Unknown,
        ),
        ("the leader ended in good order", but(silent("a", PoolerType::Drained)), None, False),
        ("the leader does not answer", but(silent("a", PoolerType::Primary)), None, Unknown),
        ("a standby does not answer", but(silent("c", PoolerType::Replica)), Some("pod-a"), True),
        ("PostgreSQL is down", but(with_status(says("a", "a", 3, 1), fenced)), Some("pod-a"), False),
        (
            "PostgreSQL is in recovery",
            but(with_status(says("a", "a", 3, 1), in_recovery)),
            Some("pod-a"),
            False,
        ),
        ("the pooler takes no queries", but(not_serving(says("a", "a", 3, 1))), Some("pod-a"), False),
    ] {
        let roles = roles(&sightings, [], AtLeast2);
        assert_eq!((roles.primary.as_deref(), roles.serving_writes), (primary, serving), "{case}");
    }
}

#[test]
fn a_shard_has_data_once_anybody_has_some() {
    let without_data =
        |name| without_rule(with_status(says(name, "a", 3, 1), |status| status.is_initialized = false));
    // Neither by the rule nor by what it serves.
    let says_so =
        |name| without_rule(with_status(says(name, "a", 3, 1), |status| status.postgres_ready = false));
    let only_leads = || with_status(says("a", "a", 3, 1), |status| status.is_initialized = false);
    for (case, sightings, unseen, expected) in [
        ("nobody has ever registered", vec![], &[][..], False),
        ("nobody was asked", vec![], &["topology etcd:2379"], Unknown),
        ("one says so", vec![without_data("b"), says_so("c")], &[], True),
        ("one says so, the topology of another cell is down", vec![says_so("b")], &["cell b"], True),
        ("a leader is seen", vec![only_leads()], &[], True),
        ("a primary serves", vec![without_data("a")], &[], True),
        ("all are being made", vec![without_data("b"), without_data("c")], &[], Unknown),
        ("one does not answer", vec![silent("b", PoolerType::Replica)], &[], Unknown),
        ("one has ended", vec![silent("b", PoolerType::Drained)], &[], Unknown),
    ] {
        let unseen = unseen.iter().map(|unseen| (*unseen).to_owned());
        assert_eq!(roles(&sightings, unseen, AtLeast2).initialized, expected, "{case}");
    }
    assert_eq!(Roles::default().initialized, Unknown, "without a topology client");
}

#[test]
fn a_primary_serves_writes_if_somebody_acknowledges_them() {
    let stopped = |name| with_status(says(name, "a", 3, 1), |status| status.replication_status = None);
    let (primary, follows) = (|| says("a", "a", 3, 1), |name| says(name, "a", 3, 1));
    let (silent, ended) =
        (|name| silent(name, PoolerType::Replica), |name| silent(name, PoolerType::Drained));
    for (case, followers, serving) in [
        ("one of them follows", vec![stopped("b"), follows("c")], True),
        ("nobody is seen to follow", vec![stopped("b"), stopped("c")], Unknown),
        ("nobody else lives", vec![ended("b"), ended("c")], False),
        ("one follows, and does not count", vec![ended("b"), ended("c"), follows("d")], False),
        ("one may follow", vec![stopped("b"), silent("c")], Unknown),
        ("one is not registered", vec![stopped("b")], Unknown),
    ] {
        let sightings = [vec![primary()], followers].concat();
        assert_eq!(roles(&sightings, [], AtLeast2).serving_writes, serving, "{case}");
    }
    // All of these are in one cell.
    assert_eq!(roles(&healthy(), [], MultiCellAtLeast2).serving_writes, Unknown);
}

#[test]
fn what_was_not_seen_is_unknown_and_named() {
    let zone = || ["cell zone2".to_owned()];
    let seen = roles(&healthy(), zone(), AtLeast2);
    assert_eq!((seen.serving_writes, seen.unseen), (True, zone().into()));
    let followers = &healthy()[1..];
    let seen = roles(followers, zone(), AtLeast2);
    assert_eq!((seen.serving_writes, seen.unseen), (Unknown, zone().into()));
    let seen = roles(&but(silent("b", PoolerType::Replica)), zone(), AtLeast2);
    assert_eq!(seen.unseen, ["cell zone2", "pooler pod-b"]);
}

#[test]
fn members_have_joined_when_they_stream_and_count() {
    let alone = |status: &mut PoolerStatus| status.replication_status = None;
    let connecting = |status: &mut PoolerStatus| {
        status.replication_status = Some(ReplicationStatus {
            wal_receiver_status: "starting".to_owned(),
            ..ReplicationStatus::default()
        });
    };
    for (case, sighting, joined) in [
        ("a standby", says("b", "a", 3, 1), true),
        ("no receiver", with_status(says("b", "a", 3, 1), alone), false),
        ("not yet streaming", with_status(says("b", "a", 3, 1), connecting), false),
        ("not yet in the cohort", says("d", "a", 3, 1), false),
        ("silent", silent("b", PoolerType::Replica), false),
        ("without a rule", without_rule(says("b", "a", 3, 1)), false),
    ] {
        let pod = sighting.record.pod().to_owned();
        assert_eq!(roles(&but(sighting), [], AtLeast2).has_joined(&pod), joined, "{case}");
    }
    let roles = roles(&healthy(), [], AtLeast2);
    assert!(roles.has_joined("pod-a") && !roles.has_joined("pod-z"));
    assert_eq!(roles.primary_cell(), Some("zone1"));
    assert_eq!(roles.members["pod-a"].role, Some(Role::Primary));
    assert_eq!(roles.members["pod-b"].role, Some(Role::Standby));
    let shut = super::roles(&but(without_rule(says("b", "a", 3, 1)).with_lock(true)), [], AtLeast2);
    assert_eq!(["pod-a", "pod-b"].map(|pod| shut.members[pod].locked_out), [false, true]);
}

#[test]
fn an_answer_of_somebody_else_does_not_count() {
    let mut moved = says("a", "a", 3, 1);
    moved = Sighting::new(record("b", PoolerType::Replica), moved.answer.take());
    assert!(moved.answer.is_none());
}

#[test]
fn a_record_that_was_left_behind_does_not_hide_the_pod() {
    let mut left = silent("z", PoolerType::Drained);
    left.record.hostname = healthy()[0].record.hostname.clone();
    for sightings in [[healthy(), vec![left.clone()]].concat(), [vec![left], healthy()].concat()] {
        assert_eq!(roles(&sightings, [], AtLeast2).members["pod-a"].id, id("a"));
    }
}

fn any_sighting() -> impl Strategy<Value = (usize, Option<(usize, i64, i64)>)> {
    (0..4_usize, proptest::option::of((0..4_usize, 0..4_i64, 0..3_i64)))
}

proptest! {
    /// Whatever poolers say, in whatever order they are asked.
    #[test]
    fn a_primary_is_never_guessed(said in proptest::collection::btree_map(0..4_usize, any_sighting(), 0..5)) {
        let names = ["a", "b", "c", "d"];
        let sightings: Vec<Sighting> = said
            .iter()
            .map(|(name, (_, answer))| match answer {
                Some((leader, term, subterm)) => says(names[*name], names[*leader], *term, *subterm),
                None => silent(names[*name], PoolerType::Replica),
            })
            .collect();
        let seen = roles(&sightings, [], AtLeast2);
        let reversed: Vec<Sighting> = sightings.iter().rev().cloned().collect();
        prop_assert_eq!(seen.members.len(), sightings.len());
        prop_assert!(seen.primary.is_some() || seen.serving_writes != True);

        let newest = said.values().filter_map(|(_, answer)| answer.map(|(_, term, _)| term)).max();
        if let Some(pod) = &seen.primary {
            let leader = names.iter().position(|name| *pod == format!("pod-{name}")).unwrap();
            let (names_itself, term, _) = said[&leader].1.unwrap();
            prop_assert_eq!((names_itself, Some(term)), (leader, newest));
        }
        // Two that claim the same rule cannot be, and are not told apart.
        let mut claims: Vec<_> = said.iter().filter_map(|(name, (_, answer))| answer.filter(|(leader, ..)| leader == name)).map(|(_, term, subterm)| (term, subterm)).collect();
        claims.sort_unstable();
        if claims.windows(2).all(|pair| pair[0] != pair[1]) {
            prop_assert_eq!(roles(&reversed, [], AtLeast2), seen);
        }
    }
}

/// A standby as an abandoned recruitment leaves it: promised to a term, and configured to follow nobody.
fn recruited(mut sighting: Sighting, below_term: i64, primary: &str) -> Sighting {
    let answer = sighting.answer.as_mut().unwrap();
    let revocation = TermRevocation { revoked_below_term: below_term };
    answer.consensus_status.as_mut().unwrap().term_revocation = Some(revocation);
    let host = PrimaryConnInfo { host: primary.to_owned() };
    answer.status.as_mut().unwrap().replication_status =
        Some(ReplicationStatus { primary_conn_info: Some(host), ..ReplicationStatus::default() });
    sighting
}

#[test]
fn a_standby_that_was_recruited_for_a_leader_that_never_came_is_abandoned() {
    for (what, standby, expected) in [
        ("promised to a later term", recruited(says("b", "a", 3, 1), 4, ""), true),
        ("promised to the term that leads", recruited(says("b", "a", 3, 1), 3, ""), false),
        ("told whom to follow", recruited(says("b", "a", 3, 1), 4, "pod-a"), false),
        ("streams", says("b", "a", 3, 1), false),
        (
            "its PostgreSQL is being restarted",
            with_status(recruited(says("b", "a", 3, 1), 4, ""), |status| {
                status.postgres_status = PostgresStatus::Unknown.into();
                status.replication_status = None;
            }),
            true,
        ),
        (
            "is on its way out of recovery",
            with_status(recruited(says("b", "a", 3, 1), 4, ""), |status| {
                status.postgres_status = PostgresStatus::Promoting.into();
            }),
            false,
        ),
    ] {
        let seen = roles(&[says("a", "a", 3, 1), standby], [], AtLeast2);
        assert_eq!(seen.members["pod-b"].abandoned, expected, "{what}");
        assert!(!seen.members["pod-a"].abandoned);
    }
    // Without a leader there is nobody that it could follow.
    let leaderless = roles(&[recruited(says("b", "a", 3, 1), 4, "")], [], AtLeast2);
    assert!(!leaderless.members["pod-b"].abandoned);
}

#[test]
fn an_instance_has_taken_part_once_it_has_promised_something() {
    let acts = |action: PostgresAction| {
        with_status(recruited(says("b", "a", 3, 1), 3, "pod-a"), |status| {
            status.postgres_action = action.into();
        })
    };
    for (what, standby, expected) in [
        ("promised", recruited(says("b", "a", 3, 1), 3, "pod-a"), true),
        ("promised nothing", says("b", "a", 3, 1), false),
        ("its PostgreSQL does not start", without_rule(acts(PostgresAction::Starting)), true),
        ("being restored", acts(PostgresAction::Restoring), false),
        ("being initialized", acts(PostgresAction::CreatingFirstBackup), false),
        (
            "without data",
            with_status(acts(PostgresAction::None), |status| status.is_initialized = false),
            false,
        ),
        ("silent", silent("b", PoolerType::Replica), false),
    ] {
        let seen = roles(&[says("a", "a", 3, 1), standby], [], AtLeast2);
        assert_eq!(seen.members["pod-b"].has_taken_part, expected, "{what}");
        assert_eq!(seen.term, Some(3));
    }
}
