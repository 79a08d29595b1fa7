use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::{Bootstrap, INITIAL_CLUSTER, INITIAL_CLUSTER_STATE};
use super::*;

use PodState::{Down, Empty, Ready};

fn peer(index: usize) -> Peer {
    Peer { name: format!("c-etcd-{index}"), url: format!("http://c-etcd-{index}:2380") }
}

fn entry(id: u64, index: usize, started: bool) -> EtcdMember {
    EtcdMember { id, peer_urls: vec![peer(index).url], started, learner: false }
}

#[expect(clippy::unnecessary_wraps, reason = "it is compared with the step of a plan")]
fn change(index: usize, change: MemberChange) -> Option<Step> {
    Some(Step { pod: peer(index).name, action: Action::Change(change) })
}

/// The same as [`entry`], without a vote.
fn learner(id: u64, index: usize, started: bool) -> EtcdMember {
    EtcdMember { learner: true, ..entry(id, index, started) }
}

fn with(states: &[PodState], members: &[EtcdMember]) -> Plan {
    let peers: Vec<_> = states.iter().enumerate().map(|(index, state)| (peer(index), *state)).collect();
    plan(&peers, members)
}

#[test]
fn a_member_without_its_volume_is_removed_added_and_promoted() {
    let remove = change(1, MemberChange::Remove(1));
    let add = change(1, MemberChange::AddLearner(peer(1).url));
    let promote = change(1, MemberChange::Promote(9));
    let restart = Some(Step { pod: peer(1).name, action: Action::Restart });
    let others = || vec![entry(0, 0, true), entry(2, 2, true)];
    let and = |member| [others(), vec![member]].concat();
    for (states, members, step, waits) in [
        ([Ready, Ready, Ready], and(entry(1, 1, true)), None, false),
        // Its data may come back.
        ([Ready, Down, Ready], and(entry(1, 1, true)), None, false),
        ([Ready, Empty, Ready], and(entry(1, 1, true)), remove.clone(), false),
        // It has a vote, and might have used it.
        ([Ready, Empty, Ready], and(entry(1, 1, false)), remove.clone(), false),
        ([Ready, Empty, Ready], and(learner(1, 1, true)), remove, false),
        // Without it and the other there is no quorum.
        ([Ready, Empty, Down], and(entry(1, 1, true)), None, true),
        ([Down, Empty, Down], and(entry(1, 1, true)), None, true),
        ([Ready, Empty, Empty], and(entry(1, 1, true)), None, true),
        ([Ready, Empty, Ready], others(), add.clone(), false),
        ([Ready, Down, Ready], others(), add, false),
        ([Ready, Empty, Down], others(), None, true),
        ([Ready, Empty, Ready], and(learner(9, 1, false)), restart, false),
        // It is about to start, or waits for a node.
        ([Ready, Down, Ready], and(learner(9, 1, false)), None, false),
        // A pod is not ready while its member has no vote.
        ([Ready, Down, Ready], and(learner(9, 1, true)), promote, false),
        ([Ready, Down, Down], and(learner(9, 1, true)), None, true),
    ] {
        let planned = with(&states, &members);
        assert_eq!((planned.step, planned.wait.is_some()), (step, waits), "{states:?} {members:?}");
    }
}

#[test]
fn of_two_lost_members_both_are_removed_before_one_is_added() {
    let states = [Ready, Empty, Ready, Empty, Ready];
    let members = |indices: &[usize]| -> Vec<_> {
        indices.iter().map(|index| entry(*index as u64, *index, true)).collect()
    };
    assert_eq!(with(&states, &members(&[0, 1, 2, 3, 4])).step, change(1, MemberChange::Remove(1)));
    assert_eq!(with(&states, &members(&[0, 2, 3, 4])).step, change(3, MemberChange::Remove(3)));
    let left = members(&[0, 2, 4]);
    assert_eq!(with(&states, &left).step, change(1, MemberChange::AddLearner(peer(1).url)));
    let joining = with(&[Ready, Down, Ready, Empty, Ready], &[left, vec![learner(9, 1, false)]].concat());
    assert_eq!(joining.step, None);
    assert!(joining.wait.unwrap().contains("c-etcd-3 is added once http://c-etcd-1:2380 has joined"));
}

#[test]
fn a_member_that_somebody_else_added_counts_and_is_left_alone() {
    let mut members = vec![entry(0, 0, true), entry(1, 1, true), entry(2, 2, true), entry(9, 9, true)];
    let states = [Ready, Empty, Ready];
    // Two of four are no quorum, as far as anybody can tell.
    assert_eq!(with(&states, &members).step, None);
    members[3].learner = true;
    assert_eq!(with(&states, &members).step, change(1, MemberChange::Remove(1)));
}

/// Event of a member.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// Its volume is replaced by an empty one.
    Lose(usize),
    /// Its node is cut off.
    Stop(usize),
    /// Its node is back.
    Start(usize),
    /// The operator looks.
    Look,
}

/// An etcd as it behaves: `server/etcdserver/{bootstrap,server}.go`.
struct World {
    members: Vec<EtcdMember>,
    /// The identity that each volume holds data of.
    volumes: Vec<Option<u64>>,
    /// A member that has started twice without data under one identity, without a vote: it does not start any more.
    stuck: Vec<bool>,
    up: Vec<bool>,
    settings: BTreeMap<String, String>,
    next_id: u64,
}

impl World {
    fn new(size: usize) -> Self {
        let members: Vec<_> = (0..size).map(|index| entry(index as u64, index, true)).collect();
        let volumes = members.iter().map(|member| Some(member.id)).collect();
        let peers: Vec<_> = (0..size).map(peer).collect();
        let settings = Bootstrap::formed(&peers, Some(&members)).data();
        let (stuck, up) = (vec![false; size], vec![true; size]);
        Self { members, volumes, stuck, up, settings, next_id: 100 }
    }

    fn peers(&self) -> Vec<Peer> {
        (0..self.volumes.len()).map(peer).collect()
    }

    fn runs(&self, index: usize) -> bool {
        let entry = peer(index).entry(&self.members).map(|member| member.id);
        self.up[index] && !self.stuck[index] && entry.is_some() && self.volumes[index] == entry
    }

    fn serves(&self, index: usize) -> bool {
        self.runs(index) && peer(index).entry(&self.members).is_some_and(|member| !member.learner)
    }

    fn serving(&self) -> usize {
        (0..self.volumes.len()).filter(|index| self.serves(*index)).count()
    }

    fn voters(&self) -> usize {
        self.members.iter().filter(|member| !member.learner).count()
    }

    fn has_quorum(&self) -> bool {
        self.serving() >= quorum(self.voters())
    }

    fn state(&self, index: usize) -> PodState {
        match (self.up[index], self.volumes[index]) {
            (true, None) => Empty,
            _ if self.serves(index) && self.has_quorum() => Ready,
            _ => Down,
        }
    }

    /// The kubelet starts what is not running, with the settings that there are, as old as they may be.
    fn start(&mut self) {
        let listed: Vec<(&str, &str)> =
            self.settings[INITIAL_CLUSTER].split(',').filter_map(|listed| listed.split_once('=')).collect();
        for index in 0..self.volumes.len() {
            let Peer { name, url } = peer(index);
            let may_join =
                listed.contains(&(name.as_str(), url.as_str())) && listed.len() == self.members.len();
            if !self.up[index] || self.volumes[index].is_some() || !may_join {
                continue;
            }
            assert_eq!(self.settings[INITIAL_CLUSTER_STATE], "existing");
            let entry = self.members.iter_mut().find(|member| member.peer_urls[0] == url);
            let Some(entry) = entry else { continue };
            assert!(entry.learner, "{url} joins under an identity that may have voted before");
            self.stuck[index] = entry.started;
            entry.started = true;
            self.volumes[index] = Some(entry.id);
        }
    }

    fn change(&mut self, index: usize, change: &MemberChange) {
        let (connected, size) = (self.serving() == self.voters(), self.members.len());
        match change {
            MemberChange::Remove(id) => {
                assert_ne!(self.volumes[index], Some(*id), "the data of {index} is there");
                self.members.retain(|member| member.id != *id);
            }
            MemberChange::AddLearner(url) if connected => {
                self.members
                    .push(EtcdMember { peer_urls: vec![url.clone()], ..learner(self.next_id, 0, false) });
                self.next_id += 1;
            }
            MemberChange::Promote(id) if self.runs(index) => {
                let member = self.members.iter_mut().find(|member| member.id == *id).unwrap();
                member.learner = false;
            }
            // etcd refuses.
            MemberChange::AddLearner(_) | MemberChange::Promote(_) => assert_eq!(size, self.members.len()),
        }
        assert!(self.has_quorum(), "{change:?} has cost the quorum");
    }

    /// One pass of the operator, which sees etcd's member list only while there is a quorum.
    fn look(&mut self) {
        let known = self.has_quorum().then(|| self.members.clone());
        self.settings = Bootstrap::formed(&self.peers(), known.as_deref()).data();
        let Some(members) = known else { return };
        let peers: Vec<_> =
            self.peers().into_iter().enumerate().map(|(index, peer)| (peer, self.state(index))).collect();
        if let Some(Step { pod, action: Action::Change(change) }) = plan(&peers, &members).step {
            let index = peers.iter().position(|(peer, _)| peer.name == pod).unwrap();
            self.change(index, &change);
        }
    }

    fn take(&mut self, event: Event) {
        let size = self.volumes.len();
        match event {
            Event::Lose(index) => {
                self.volumes[index % size] = None;
                self.stuck[index % size] = false;
            }
            Event::Stop(index) => self.up[index % size] = false,
            Event::Start(index) => self.up[index % size] = true,
            Event::Look => self.look(),
        }
        self.start();
    }
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        1 => (0..7_usize).prop_map(Event::Lose),
        2 => (0..7_usize).prop_map(Event::Stop),
        3 => (0..7_usize).prop_map(Event::Start),
        6 => Just(Event::Look),
    ];
    proptest::collection::vec(event, 0..60)
}

proptest! {
    /// Whatever is lost and returns: no step costs the quorum or removes a member that has its data, no member votes
    /// again under an identity whose votes it has forgotten, and while a quorum is left, all are whole in the end.
    #[test]
    fn members_are_replaced_and_a_quorum_is_never_given_away(
        size in prop_oneof![Just(3_usize), Just(5), Just(7)],
        events in events(),
    ) {
        let mut world = World::new(size);
        for event in events {
            world.take(event);
        }
        world.up.fill(true);
        if world.has_quorum() {
            world.look();
            // A person takes the volume of a member that does not start.
            for index in 0..size {
                if world.stuck[index] {
                    world.take(Event::Lose(index));
                }
            }
            for _ in 0..8 * size {
                world.take(Event::Look);
            }
            prop_assert!((0..size).all(|index| world.state(index) == Ready), "{:?}", world.members);
            prop_assert_eq!(world.members.len(), size);
        }
    }
}
