//! What is proved, one after another.

mod failover;
mod online;

use futures::future::BoxFuture;

use crate::bench::Bench;

/// Something that is proved on the node.
pub struct Scenario {
    /// For machines.
    pub name: &'static str,
    /// For readers.
    pub title: &'static str,
    pub play: Play,
}

type Play = for<'a> fn(&'a mut Bench) -> BoxFuture<'a, anyhow::Result<()>>;

macro_rules! scenario {
    ($theme:ident::$name:ident, $title:literal) => {
        Scenario {
            name: concat!(stringify!($theme), "::", stringify!($name)),
            title: $title,
            play: |bench| Box::pin($theme::$name(bench)),
        }
    };
}

/// In the order in which they are run.
pub const SCENARIOS: &[Scenario] = &[
    scenario!(online::one_apply_is_enough, "From one apply to SQL"),
    scenario!(failover::a_deleted_primary_is_replaced, "The primary's pod is deleted"),
    scenario!(failover::a_killed_primary_is_replaced, "The primary's PostgreSQL is killed"),
    scenario!(failover::a_drain_takes_one_instance_at_a_time, "A drain evicts two instances at once"),
];
