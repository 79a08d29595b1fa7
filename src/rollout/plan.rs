//! The decision.

use super::{Action, Outdated, Plan, Pod, Pool, Shard, Standing, Wait};
use crate::reason::Reason;

/// What to do next about a shard.
pub fn plan(shard: &Shard) -> Plan {
    let replicas = shard.pools.iter().map(|pool| (pool.name.clone(), pool.existing().max(pool.desired)));
    let mut plan = Plan { replicas: replicas.collect(), ..Plan::default() };
    let todo = Todo::of(shard);
    if todo.is_empty() {
        return plan;
    }
    match todo.next() {
        Ok(action) => {
            if let Action::Remove { pool, replicas, .. } = &action {
                plan.replicas.insert(pool.clone(), *replicas);
            }
            plan.action = Some(action);
        }
        Err(wait) => plan.wait = Some(wait),
    }
    plan
}

/// What remains to be done about a shard.
struct Todo<'a> {
    shard: &'a Shard,
    /// The last instances of pools that are to shrink; a pool has no pod for it where it is already gone.
    surplus: Vec<(&'a Pool, Option<&'a Pod>)>,
    /// Pods that are not what they should be.
    outdated: Vec<(&'a Pod, &'a Outdated)>,
}

impl<'a> Todo<'a> {
    fn of(shard: &'a Shard) -> Self {
        let shrinking = shard.pools.iter().filter(|pool| pool.shrinks());
        let present = shard.pods.iter().filter(|pod| !pod.terminating);
        Self {
            shard,
            surplus: shrinking.map(|pool| (pool, shard.pod(pool, pool.existing() - 1))).collect(),
            outdated: present.filter_map(|pod| Some((pod, pod.outdated.as_ref()?))).collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.surplus.is_empty() && self.outdated.is_empty()
    }

    fn next(&self) -> Result<Action, Wait> {
        if let Some(pod) = &self.shard.under_repair {
            return Err(Wait { reason: Reason::RollingOut, message: format!("pod {pod} is being repaired") });
        }
        if let Some(action) = self.costless() {
            return Ok(action);
        }
        self.undisturbed()?;
        self.disruption()
    }

    /// What serves nothing may go whatever the others are: so a broken image can be replaced by a good one.
    fn costless(&self) -> Option<Action> {
        let idle = |pod: &Pod| !pod.terminating && pod.serves_nothing(self.shard.roles_known);
        let removed = self.surplus.iter().find(|(_, pod)| pod.is_none_or(idle));
        let replaced = || self.outdated.iter().find(|(pod, _)| idle(pod));
        match removed {
            Some((pool, _)) => Some(remove(pool)),
            None => replaced().map(|(pod, why)| Action::Delete {
                pod: pod.name.clone(),
                uid: pod.uid.clone(),
                why: format!("it serves nothing, and {}", why.in_words()),
            }),
        }
    }

    /// Whether every instance takes its part: only then may one of them be disturbed.
    fn undisturbed(&self) -> Result<(), Wait> {
        let wait = |reason, message| Err(Wait { reason, message });
        for pool in &self.shard.pools {
            for ordinal in 0..pool.existing().max(pool.desired) {
                match self.shard.pod(pool, ordinal) {
                    Some(pod) if pod.terminating => {
                        return wait(Reason::RollingOut, format!("pod {} is being replaced", pod.name));
                    }
                    Some(pod) if !pod.ready => {
                        return wait(Reason::RollingOut, format!("pod {} is not ready", pod.name));
                    }
                    Some(_) => {}
                    None => {
                        return wait(
                            Reason::RollingOut,
                            format!("pod {ordinal} of pool {} does not exist", pool.name),
                        );
                    }
                }
            }
        }
        if let Some(pod) = self.shard.pods.iter().find(|pod| self.is_leaving(pod)) {
            return wait(Reason::ScalingDown, format!("pod {} is being removed", pod.name));
        }
        if !self.shard.roles_known {
            let why = "which pod may be replaced is known from the topology alone";
            return wait(Reason::AwaitingTopology, format!("{why}, and no primary is known to serve writes"));
        }
        if let Some(pod) = self.shard.pods.iter().find(|pod| !pod.takes_part() && !self.may_go_apart(pod)) {
            return wait(Reason::RollingOut, format!("pod {} does not yet follow the primary", pod.name));
        }
        match self.shard.pods.iter().find(|pod| pod.fresh) {
            Some(pod) => wait(Reason::RollingOut, format!("pod {} has only just become ready", pod.name)),
            None => Ok(()),
        }
    }

    /// Takes the one whose absence is felt least.
    fn disruption(&self) -> Result<Action, Wait> {
        let surplus = self.surplus.iter().filter_map(|(pool, pod)| Some(((*pod)?, Err(*pool))));
        let outdated = self.outdated.iter().map(|(pod, why)| (*pod, Ok(*why)));
        // One that is to go anyway is not replaced first.
        let candidates = surplus.chain(outdated).min_by_key(|(pod, _)| felt(pod));
        let Some((pod, task)) = candidates else {
            return Err(Wait {
                reason: Reason::RollingOut,
                message: "nothing can be replaced now".to_owned(),
            });
        };
        if !self.shard.is_safe_without(pod) {
            let message = format!(
                "without pod {} fewer instances would follow than the durability policy needs; scale up first",
                pod.name
            );
            return Err(Wait { reason: Reason::AwaitingQuorum, message });
        }
        let evict = |why| Action::Evict { pod: pod.name.clone(), uid: pod.uid.clone(), why };
        Ok(match task {
            Ok(why) => evict(why.in_words()),
            Err(_) if leads(pod) => evict("it is to be removed, and another one must lead before".to_owned()),
            Err(pool) => remove(pool),
        })
    }

    /// One that follows nobody and is not what it should be may be cured by what it should be.
    fn may_go_apart(&self, pod: &Pod) -> bool {
        pod.standing == Standing::Apart && self.outdated.iter().any(|(outdated, _)| outdated.uid == pod.uid)
    }

    /// Whether its StatefulSet has let go of a pod.
    fn is_leaving(&self, pod: &Pod) -> bool {
        let pool = self.shard.pools.iter().find(|pool| pool.name == pod.pool);
        pool.is_none_or(|pool| pod.ordinal >= pool.existing())
    }
}

fn leads(pod: &Pod) -> bool {
    pod.standing == Standing::Primary
}

/// How much the absence of an instance is felt. The primary's is felt by everybody who writes.
fn felt(pod: &Pod) -> u8 {
    match pod.standing {
        Standing::Apart => 0,
        Standing::Joined | Standing::Unknown => 1,
        Standing::Primary => 2,
    }
}

fn remove(pool: &Pool) -> Action {
    let why = format!("{} of {} instances of pool {} are wanted", pool.desired, pool.existing(), pool.name);
    Action::Remove { pool: pool.name.clone(), replicas: pool.existing() - 1, why }
}

impl Outdated {
    fn in_words(&self) -> String {
        match self {
            Self::Template => "its template has changed".to_owned(),
            Self::Image(container) => {
                format!("the image of its container {container} was changed by somebody else")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use multigres_crds::v1alpha1::DurabilityPolicy;

    use super::*;

    /// Three instances in two cells, the second of them leading.
    fn shard() -> Shard {
        let pod = |pool: &str, ordinal: i32, standing| Pod {
            name: format!("{pool}-{ordinal}"),
            uid: format!("{pool}-{ordinal}"),
            pool: pool.to_owned(),
            ordinal,
            cell: pool.to_owned(),
            ready: true,
            running: true,
            standing,
            ..Pod::default()
        };
        let pool = |name: &str, desired| Pool { name: name.to_owned(), desired, current: Some(desired) };
        Shard {
            pools: vec![pool("a", 2), pool("b", 1)],
            pods: vec![
                pod("a", 0, Standing::Joined),
                pod("a", 1, Standing::Primary),
                pod("b", 0, Standing::Joined),
            ],
            roles_known: true,
            ..Shard::default()
        }
    }

    /// What is done, or why not.
    fn outcome(change: impl FnOnce(&mut Shard)) -> String {
        let mut shard = shard();
        change(&mut shard);
        let plan = plan(&shard);
        match (plan.action, plan.wait) {
            (Some(Action::Evict { pod, .. }), None) => format!("evict {pod}"),
            (Some(Action::Delete { pod, .. }), None) => format!("delete {pod}"),
            (Some(Action::Remove { pool, replicas, .. }), None) => format!("{pool} to {replicas}"),
            (None, Some(wait)) => wait.reason.as_str().to_owned(),
            (None, None) => "nothing".to_owned(),
            both => panic!("{both:?}"),
        }
    }

    fn outdate(shard: &mut Shard) {
        for pod in &mut shard.pods {
            pod.outdated = Some(Outdated::Template);
        }
    }

    #[test]
    fn nothing_is_done_without_need() {
        assert_eq!(outcome(|_| {}), "nothing");
        assert_eq!(outcome(|shard| shard.pods[0].ready = false), "nothing");
        assert_eq!(outcome(|shard| shard.pools[0].desired = 3), "nothing");
    }

    #[test]
    fn the_primary_comes_last() {
        assert_eq!(outcome(outdate), "evict a-0");
        let two_done = |shard: &mut Shard| {
            outdate(shard);
            shard.pods[0].outdated = None;
            shard.pods[2].outdated = None;
        };
        assert_eq!(outcome(two_done), "evict a-1");
    }

    #[test]
    fn what_serves_nothing_comes_first_and_waits_for_nobody() {
        for known in [true, false] {
            let broken = |shard: &mut Shard| {
                outdate(shard);
                shard.roles_known = known;
                (shard.pods[2].ready, shard.pods[2].running) = (false, false);
                shard.pods[0].ready = false;
            };
            assert_eq!(outcome(broken), "delete b-0");
        }
    }

    #[test]
    fn one_that_is_cut_off_may_still_lead() {
        let cut_off = |shard: &mut Shard| {
            outdate(shard);
            shard.roles_known = false;
            shard.pods[1].ready = false;
        };
        assert_eq!(outcome(cut_off), "RollingOut");
    }

    #[test]
    fn a_step_waits_for_the_one_before() {
        let begun = |change: fn(&mut Pod)| {
            outcome(|shard| {
                outdate(shard);
                shard.pods[0].outdated = None;
                change(&mut shard.pods[0]);
            })
        };
        assert_eq!(begun(|pod| pod.terminating = true), "RollingOut");
        assert_eq!(begun(|pod| pod.ready = false), "RollingOut");
        assert_eq!(begun(|pod| pod.standing = Standing::Apart), "RollingOut");
        assert_eq!(begun(|pod| pod.fresh = true), "RollingOut");
        assert_eq!(begun(|_| {}), "evict b-0");
        let gone = |shard: &mut Shard| {
            outdate(shard);
            shard.pods.remove(0);
        };
        assert_eq!(outcome(gone), "RollingOut");
    }

    #[test]
    fn nothing_that_serves_is_touched_while_roles_are_unknown() {
        let unknown = |shard: &mut Shard| {
            outdate(shard);
            shard.roles_known = false;
        };
        assert_eq!(outcome(unknown), "AwaitingTopology");
    }

    #[test]
    fn copies_are_kept() {
        let two_left = |shard: &mut Shard| {
            shard.pods.remove(0);
            shard.pods[0].ordinal = 0;
            shard.pools[0] = Pool { name: "a".to_owned(), desired: 1, current: Some(1) };
            outdate(shard);
        };
        assert_eq!(outcome(two_left), "AwaitingQuorum");
        let one_cell = |shard: &mut Shard| {
            shard.durability = DurabilityPolicy::MultiCellAtLeast2;
            shard.pods[2].outdated = Some(Outdated::Template);
        };
        assert_eq!(outcome(one_cell), "AwaitingQuorum");
    }

    #[test]
    fn a_pool_shrinks_one_by_one_and_never_by_its_leader() {
        let shrink = |shard: &mut Shard| shard.pools[0].desired = 0;
        assert_eq!(outcome(shrink), "evict a-1");
        let led_elsewhere = |shard: &mut Shard| {
            shrink(shard);
            shard.pods[1].standing = Standing::Joined;
            shard.pods[2].standing = Standing::Primary;
        };
        assert_eq!(outcome(led_elsewhere), "a to 1");
        let removed = |shard: &mut Shard| {
            led_elsewhere(shard);
            shard.pools[0].current = Some(1);
        };
        assert_eq!(outcome(removed), "ScalingDown");
        assert_eq!(
            outcome(|shard| {
                removed(shard);
                shard.pods.remove(1);
            }),
            "AwaitingQuorum"
        );
    }

    #[test]
    fn replicas_are_held_until_they_may_go() {
        let mut shard = shard();
        (shard.pools[0].desired, shard.pools[1].desired) = (1, 3);
        assert_eq!(plan(&shard).replicas, [("a".to_owned(), 2), ("b".to_owned(), 3)].into());
    }
}
