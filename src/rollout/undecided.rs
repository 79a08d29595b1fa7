//! For how long nobody has been seen to lead a shard, and whether a person lets its rollout go on nevertheless.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::memory::{Memories, PerObject};

/// Time without a leader after which a rollout may go on.
pub const PATIENCE: Duration = Duration::from_mins(5);

/// Time for which `spec.forceRolloutAt` holds. A value that stays in a manifest does not affect a later rollout.
pub const FORCED_FOR: SignedDuration = SignedDuration::from_hours(1);

/// Behavior of a rollout while the leader is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Undecided {
    /// It waits.
    #[default]
    Wait,
    /// It has waited for long, and tells a person what can be done.
    Ask,
    /// A person has chosen that it goes on.
    Force,
}

impl Undecided {
    /// Decides it, from the time for which nobody has been seen to lead, and `spec.forceRolloutAt`.
    pub fn of(waited: Duration, forced_at: Option<Timestamp>, now: Timestamp) -> Self {
        let holds = |at: Timestamp| {
            let age = now.duration_since(at);
            age >= SignedDuration::ZERO && age < FORCED_FOR
        };
        match forced_at {
            _ if waited < PATIENCE => Self::Wait,
            Some(at) if holds(at) => Self::Force,
            _ => Self::Ask,
        }
    }
}

/// Since when nobody has been seen to lead each shard, by the identity of the shard.
#[derive(Debug)]
pub struct Leaderless(PerObject<Instant>);

impl Leaderless {
    /// Remembers none.
    pub fn new(memories: &Memories) -> Self {
        Self(PerObject::new(memories, "leaderless"))
    }

    /// Notes whether somebody leads. Returns for how long nobody has been seen to, without a break.
    pub fn note(&self, uid: &str, is_led: bool) -> Duration {
        let mut since = self.0.lock();
        if is_led {
            since.remove(uid);
            return Duration::ZERO;
        }
        since.entry(uid.to_owned()).or_insert_with(Instant::now).elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn force_needs_patience_and_expires() {
        let at = |seconds: i64| Timestamp::from_second(1_000_000 + seconds).unwrap();
        let of = |waited: u64, forced: Option<i64>| {
            Undecided::of(Duration::from_secs(waited), forced.map(at), at(0))
        };
        for (waited, forced, expected) in [
            (0, None, Undecided::Wait),
            (299, None, Undecided::Wait),
            (299, Some(0), Undecided::Wait),
            (300, None, Undecided::Ask),
            (300, Some(0), Undecided::Force),
            (9000, Some(-3599), Undecided::Force),
            // Of an earlier rollout, and of one to come.
            (9000, Some(-3600), Undecided::Ask),
            (9000, Some(1), Undecided::Ask),
        ] {
            assert_eq!(of(waited, forced), expected, "{waited} {forced:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_is_leaderless_since_its_last_leader() {
        let leaderless = Leaderless::new(&Memories::default());
        assert_eq!(leaderless.note("a", false), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(leaderless.note("b", false), Duration::ZERO);
        assert_eq!(leaderless.note("a", false), Duration::from_secs(7));
        assert_eq!(leaderless.note("a", true), Duration::ZERO);
        assert_eq!(leaderless.note("a", false), Duration::ZERO);
    }
}
