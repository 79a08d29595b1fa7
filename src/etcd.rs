//! Membership of a managed etcd: the replacement of a member that lost its volume.
//!
//! Pure. `src/controllers/etcd.rs` looks at pods and at etcd, and does the steps that [`plan()`] answers with.
//!
//! An etcd without data joins under the identity that its cluster's member list has for it. Where that identity has
//! voted before, its votes and acknowledged writes are forgotten, and a quorum may lose what it has acknowledged. So a
//! member without data is kept out ([`Bootstrap`]) until its old identity is removed and a new one, which has no vote, is
//! added. It gets its vote once nobody is let in under that identity any more.

mod bootstrap;
mod plan;

pub use bootstrap::{Bootstrap, INITIAL_CLUSTER, INITIAL_CLUSTER_STATE};
pub use plan::{Action, Plan, Step, plan};

use crate::topology::EtcdMember;

/// Last message of an etcd that finds no data and is not a member.
const FINDS_NO_DATA: &str = "couldn't find local name";

/// A pod that is to be a member of etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Name of the pod, and of the member.
    pub name: String,
    /// URL by which the other members reach it.
    pub url: String,
}

impl Peer {
    /// The entry of the peer in etcd's member list.
    pub fn entry<'a>(&self, members: &'a [EtcdMember]) -> Option<&'a EtcdMember> {
        members.iter().find(|member| member.peer_urls.contains(&self.url))
    }
}

/// State of a member's pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodState {
    /// Ready: it serves, and sees a quorum.
    Ready,
    /// Not running: its last run ended because its volume held no data and it was not let in.
    Empty,
    /// Anything else, for example starting, unreachable, or missing. Its data may come back.
    #[default]
    Down,
}

impl PodState {
    /// The state of a pod, from the last words of the last run of its etcd. `running` says that another run is under way.
    pub fn of(ready: bool, running: bool, last_words: &str) -> Self {
        match (ready, running) {
            (true, _) => Self::Ready,
            (false, false) if last_words.contains(FINDS_NO_DATA) => Self::Empty,
            _ => Self::Down,
        }
    }
}

/// Members that must agree, of a number of voting members.
pub fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_words_of_a_run_that_ended_prove_a_volume_empty() {
        let words =
            r#"{"level":"fatal","error":"couldn't find local name \"c-etcd-1\" in the initial cluster"}"#;
        for (ready, running, last_words, expected) in [
            (true, true, "", PodState::Ready),
            // It has run before, without data.
            (true, true, words, PodState::Ready),
            (false, true, words, PodState::Down),
            (false, false, words, PodState::Empty),
            (false, false, "no space left on device", PodState::Down),
            (false, false, "", PodState::Down),
        ] {
            assert_eq!(PodState::of(ready, running, last_words), expected, "{ready} {running} {last_words}");
        }
    }
}
