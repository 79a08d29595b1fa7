//! The next step of a replacement.

use super::{Peer, PodState, quorum};
use crate::topology::{EtcdMember, MemberChange};

/// One change. The next is planned from what is seen after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The pod that it is about.
    pub pod: String,
    /// The change.
    pub action: Action,
}

/// Step on a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Change etcd's members.
    Change(MemberChange),
    /// Delete the pod: its etcd may join, and the kubelet would start it only after a pause.
    Restart,
}

/// The next step, and why a member is not replaced yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The next step.
    pub step: Option<Step>,
    /// Reason why there is none although a member is to be replaced, in words.
    pub wait: Option<String>,
}

/// Plans the replacement of members whose volumes are empty, one step at a time: remove, add without a vote, start,
/// promote.
///
/// A member that is down is left alone: its data may come back. All empty members are removed before the first is added:
/// etcd adds a member only while it is connected to all that vote.
pub fn plan(peers: &[(Peer, PodState)], members: &[EtcdMember]) -> Plan {
    let voters = members.iter().filter(|member| !member.learner).count();
    let serves = |(peer, state): &&(Peer, PodState)| {
        let entry = peer.entry(members);
        *state == PodState::Ready && entry.is_some_and(|entry| entry.started && !entry.learner)
    };
    let healthy = peers.iter().filter(serves).count();
    let step = |peer: &Peer, action| Plan { step: Some(Step { pod: peer.name.clone(), action }), wait: None };
    let wait = |why| Plan { step: None, wait: Some(why) };
    let change = |peer: &Peer, change| {
        if healthy < quorum(voters) {
            let needed = quorum(voters);
            return wait(format!(
                "member {} is replaced once {needed} others serve; {healthy} do",
                peer.name
            ));
        }
        step(peer, Action::Change(change))
    };

    let entries = || peers.iter().filter_map(|(peer, state)| Some((peer, *state, peer.entry(members)?)));
    let is_new = |entry: &EtcdMember| entry.learner && !entry.started;
    let mut empty = entries().filter(|(_, state, _)| *state == PodState::Empty);
    if let Some((peer, _, entry)) = empty.clone().find(|(_, _, entry)| !is_new(entry)) {
        return change(peer, MemberChange::Remove(entry.id));
    }
    if let Some((peer, ..)) = empty.next() {
        return step(peer, Action::Restart);
    }
    if let Some((peer, _, entry)) = entries().find(|(.., entry)| entry.learner && entry.started) {
        return change(peer, MemberChange::Promote(entry.id));
    }
    let missing = peers.iter().find(|(peer, _)| peer.entry(members).is_none());
    let Some((peer, _)) = missing else { return Plan::default() };
    if let Some(joining) = members.iter().find(|member| member.learner) {
        let url = joining.peer_urls.first().map_or("", String::as_str);
        return wait(format!("member {} is added once {url} has joined", peer.name));
    }
    change(peer, MemberChange::AddLearner(peer.url.clone()))
}

#[cfg(test)]
mod tests;
