//! Plans the next replacement or removal of an instance: one at a time, so that no acknowledged write is lost.
//!
//! Pure. [`Shard`] is what is wanted and what was observed, [`plan`] answers with at most one [`Action`], and with what
//! is waited for where something remains to be done. A StatefulSet would replace its own pods whatever they lead or
//! follow, and the pools of a shard at the same time; so the operator does it.

use crate::reason::Reason;

pub mod lost;

mod plan;
mod readiness;
mod shard;
mod undecided;

#[cfg(test)]
mod properties;

use std::collections::BTreeMap;
use std::fmt;

pub use plan::plan;
pub use readiness::Readiness;
pub use shard::{Outdated, Pod, Pool, Shard, Standing, ordinal};
pub use undecided::{Leaderless, Undecided};

/// The step to take now, and the pending work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The one step to take.
    pub action: Option<Action>,
    /// Reason why nothing further is done although something remains.
    pub wait: Option<Wait>,
    /// Replicas of each pool's StatefulSet that are safe now: more are made at once, fewer one by one.
    pub replicas: BTreeMap<String, i32>,
}

/// A step. It disrupts one instance at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Evicts a pod that serves, so that its successor is made from what is wanted now.
    Evict {
        /// Name of the pod.
        pod: String,
        /// Identity of the pod over time.
        uid: String,
        /// For people.
        why: String,
    },
    /// Deletes a pod that serves nothing.
    Delete {
        /// Name of the pod.
        pod: String,
        /// Identity of the pod over time.
        uid: String,
        /// For people.
        why: String,
    },
    /// Removes the last instance of a pool.
    Remove {
        /// Name of the pool.
        pool: String,
        /// Replicas of its StatefulSet from now on.
        replicas: i32,
        /// For people.
        why: String,
    },
}

/// The step in the past tense, as Events and the log tell of it.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evict { pod, why, .. } => write!(f, "Evicted pod {pod}: {why}"),
            Self::Delete { pod, why, .. } => write!(f, "Deleted pod {pod}: {why}"),
            Self::Remove { pool, replicas, why } => {
                write!(f, "Scaled pool {pool} down to {replicas}: {why}")
            }
        }
    }
}

/// Reason why a shard is not yet what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Stable, for machines.
    pub reason: Reason,
    /// For people.
    pub message: String,
}
