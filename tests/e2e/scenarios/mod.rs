//! The scenarios, in their order.

pub mod bringup;
pub mod etcd;
pub mod external;
mod failover;
mod failures;
mod hang;
mod online;
mod password;
mod rollout;
mod scaling;
mod volumes;

use futures::future::BoxFuture;

use crate::bench::Bench;

/// Something that is proved on the node.
pub struct Scenario {
    /// For machines.
    pub name: &'static str,
    /// For readers.
    pub title: &'static str,
    /// True if it is made for long runs as well.
    pub soaks: bool,
    pub play: Play,
}

type Play = for<'a> fn(&'a mut Bench) -> BoxFuture<'a, anyhow::Result<()>>;

macro_rules! scenario {
    ($theme:ident::$name:ident, $title:literal) => {
        Scenario {
            name: concat!(stringify!($theme), "::", stringify!($name)),
            title: $title,
            soaks: false,
            play: |bench| Box::pin($theme::$name(bench)),
        }
    };
}

/// A scenario that repeats itself in long runs.
macro_rules! soak {
    ($theme:ident::$name:ident, $title:literal) => {
        Scenario { soaks: true, ..scenario!($theme::$name, $title) }
    };
}

/// In the order in which they are run.
pub const SCENARIOS: &[Scenario] = &[
    scenario!(online::one_apply_is_enough, "From one apply to SQL"),
    scenario!(failover::a_deleted_primary_is_replaced, "The primary's pod is deleted"),
    scenario!(failover::a_killed_primary_comes_back, "The primary's PostgreSQL is killed"),
    scenario!(hang::a_hung_primary_is_replaced, "The primary's PostgreSQL hangs"),
    scenario!(
        failover::a_primary_with_log_of_its_own_follows_again,
        "The primary is cut off and has log of its own"
    ),
    scenario!(failover::a_drain_takes_one_instance_at_a_time, "A drain evicts two instances at once"),
    scenario!(failures::the_kubelet_may_be_restarted, "The kubelet is killed"),
    scenario!(failures::etcd_may_be_away_for_a_minute, "Etcd is away for a minute"),
    scenario!(failures::the_operator_may_be_away_in_a_failover, "The operator is away in a failover"),
    scenario!(password::a_wrong_password_stops_nothing_that_runs, "A wrong password"),
    scenario!(
        password::without_its_password_a_quorum_waits_for_it,
        "A wrong password for two of three instances"
    ),
    scenario!(password::a_lost_password_is_restored, "The password Secret is deleted"),
    scenario!(scaling::a_pool_grows_and_shrinks, "A pool grows and shrinks"),
    scenario!(volumes::volumes_grow_online, "Volumes grow"),
    scenario!(volumes::a_full_volume_is_survived, "A volume is full"),
    scenario!(volumes::a_lost_volume_is_filled_anew, "A volume is lost"),
    scenario!(volumes::a_lost_instance_is_made_anew, "An instance is lost for good"),
    scenario!(rollout::a_wrong_image_takes_one_instance, "An image that there is not"),
    scenario!(rollout::a_new_image_is_rolled_out, "A new image"),
    scenario!(rollout::new_resources_are_rolled_out, "New resources, and a restart"),
    scenario!(
        external::the_full_form_runs_on_external_topologies,
        "Table groups, etcd that somebody else runs, a password that a user brings"
    ),
    soak!(bringup::clusters_come_up_without_help, "Clusters come up, one after another"),
    scenario!(etcd::a_member_that_lost_its_volume_is_replaced, "A member of etcd loses its volume"),
    scenario!(online::the_status_was_true, "What the status said"),
];
