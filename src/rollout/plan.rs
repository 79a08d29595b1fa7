//! The decision.

use std::time::Duration;

use super::{Action, Outdated, Plan, Pod, Pool, Shard, Standing, Undecided, Wait};
use crate::reason::Reason;

/// Orchestrators and gateways look at an instance every five seconds, and a step takes what they know for granted.
const FRESH: Duration = Duration::from_secs(10);

/// The same where nobody is seen to lead: each pod that was replaced is given this long to bring a leader back.
const QUIET: Duration = Duration::from_mins(1);

/// Plans the next step of a shard.
pub fn plan(shard: &Shard) -> Plan {
    let replicas = shard.pools.iter().map(|pool| {
        let replicas = shard.existing(pool).max(pool.desired);
        (pool.name.clone(), replicas)
    });
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

/// Pending work on a shard.
struct Todo<'a> {
    shard: &'a Shard,
    /// Instances that may be the next to go of the pools that are to shrink, each with its pod if that is there.
    surplus: Vec<(&'a Pool, Option<&'a Pod>)>,
    /// Pods that are not what they should be.
    outdated: Vec<(&'a Pod, &'a Outdated)>,
}

impl<'a> Todo<'a> {
    fn of(shard: &'a Shard) -> Self {
        let shrinking = shard.pools.iter().filter(|pool| shard.shrinks(pool) && !pool.is_away());
        // Without its StatefulSet a pod has no successor: it is not replaced.
        let is_made = |pod: &Pod| {
            let pool = shard.pools.iter().find(|pool| pool.name == pod.pool);
            pool.is_some_and(|pool| pool.current.is_some())
        };
        let present = shard.pods.iter().filter(|pod| !pod.terminating && is_made(pod));
        Self {
            shard,
            surplus: shrinking.flat_map(|pool| next_of(shard, pool)).collect(),
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
        if let Some((pool, _)) = self.idle_surplus().next() {
            return wait(Reason::AwaitingQuorum, self.too_few(pool));
        }
        self.undisturbed()?;
        self.disruption()
    }

    /// A step on an instance that serves nothing, which needs no healthy shard: so a broken image can be replaced by a
    /// good one. An instance that is removed for good may hold the only other copy of a commit, so the others must have
    /// a quorum without it.
    fn costless(&self) -> Option<Action> {
        if let Some((pool, pod)) = self.idle_surplus().find(|(_, pod)| self.shard.is_safe_without(*pod)) {
            return Some(self.remove(pool, pod));
        }
        let replaced = self.outdated.iter().find(|(pod, _)| self.is_idle(pod));
        replaced.map(|(pod, why)| delete(pod, format!("it serves nothing, and {}", why.in_words())))
    }

    /// Instances that are to go and serve nothing, or are gone already.
    fn idle_surplus(&self) -> impl Iterator<Item = (&'a Pool, Option<&'a Pod>)> {
        self.surplus.iter().copied().filter(|(_, pod)| pod.is_none_or(|pod| self.is_idle(pod)))
    }

    fn is_idle(&self, pod: &Pod) -> bool {
        !pod.terminating && pod.serves_nothing(self.shard.roles_known)
    }

    /// Every instance takes its part: only then may one of them be disturbed.
    fn undisturbed(&self) -> Result<(), Wait> {
        self.all_ready()?;
        if let Some(pod) = self.shard.pods.iter().find(|pod| self.is_leaving(pod)) {
            return wait(Reason::ScalingDown, format!("pod {} is being removed", pod.name));
        }
        if !self.shard.roles_known && self.shard.undecided != Undecided::Force {
            return wait(Reason::AwaitingTopology, self.leaderless());
        }
        let may_go = |pod: &Pod| pod.standing == Standing::Apart && self.is_todo(pod);
        let apart = |pod: &&Pod| !pod.takes_part() && !may_go(pod);
        if let Some(pod) = self.shard.pods.iter().find(apart).filter(|_| self.shard.roles_known) {
            return wait(Reason::RollingOut, format!("pod {} does not yet follow the primary", pod.name));
        }
        let pause = if self.shard.roles_known { FRESH } else { QUIET };
        match self.shard.pods.iter().find(|pod| pod.ready_for < pause) {
            Some(pod) => wait(Reason::RollingOut, format!("pod {} has only just become ready", pod.name)),
            None => Ok(()),
        }
    }

    /// Every instance is there and ready. A pod that serves and is kept from being ready by another container, an
    /// exporter perhaps, does not stand in the way of what replaces or removes it.
    fn all_ready(&self) -> Result<(), Wait> {
        for pool in &self.shard.pools {
            if pool.is_away() && self.shard.pods_of(pool).next().is_some() {
                let message = format!("the StatefulSet of pool {} does not exist yet", pool.name);
                return wait(Reason::RollingOut, message);
            }
            for ordinal in 0..self.shard.existing(pool).max(pool.desired) {
                let message = match self.shard.pod(pool, ordinal) {
                    Some(pod) if pod.terminating => format!("pod {} is being replaced", pod.name),
                    Some(pod) if !(pod.ready || pod.serving && self.is_todo(pod)) => {
                        format!("pod {} is not ready", pod.name)
                    }
                    None if !pool.is_orphaned() => {
                        format!("pod {ordinal} of pool {} does not exist", pool.name)
                    }
                    Some(_) | None => continue,
                };
                return wait(Reason::RollingOut, message);
            }
        }
        Ok(())
    }

    fn leaderless(&self) -> String {
        let why = "which pod may be replaced is known from the topology alone, and no primary is known to serve writes";
        let by_force =
            "set spec.forceRolloutAt to the present time to have pods replaced one at a time nevertheless";
        match self.shard.undecided {
            Undecided::Ask if !self.outdated.is_empty() => format!("{why}; {by_force}"),
            _ => why.to_owned(),
        }
    }

    /// Takes the one whose absence is felt least.
    fn disruption(&self) -> Result<Action, Wait> {
        let outdated = self.outdated.iter().map(|(pod, why)| (*pod, Ok(*why)));
        if !self.shard.roles_known {
            return self.by_force(outdated.map(|(pod, _)| pod).min_by_key(|pod| felt(pod)));
        }
        let surplus = self.surplus.iter().filter_map(|(pool, pod)| Some(((*pod)?, Err(*pool))));
        // One that is to go anyway is not replaced first.
        let Some((pod, task)) = surplus.chain(outdated).min_by_key(|(pod, _)| felt(pod)) else {
            return wait(Reason::RollingOut, "nothing can be replaced now".to_owned());
        };
        if !self.shard.is_safe_without(Some(pod)) {
            let message = format!(
                "without pod {} fewer instances would follow than the durability policy needs; scale up first",
                pod.name
            );
            return wait(Reason::AwaitingQuorum, message);
        }
        Ok(match task {
            Ok(why) => evict(pod, why.in_words()),
            Err(pool) if leads(pod) && !pool.is_orphaned() => {
                evict(pod, "it is to be removed, and another one must lead before".to_owned())
            }
            Err(pool) => self.remove(pool, Some(pod)),
        })
    }

    /// A person lets the rollout go on although nobody is seen to lead. Volumes stay, so nothing is removed this way.
    fn by_force(&self, pod: Option<&Pod>) -> Result<Action, Wait> {
        if let Some(pod) = pod {
            let why = "it is not what it should be, nobody is seen to lead, and spec.forceRolloutAt is set";
            return Ok(evict(pod, why.to_owned()));
        }
        let pool = self.surplus.first().map(|(pool, _)| *pool);
        wait(Reason::AwaitingQuorum, pool.map(|pool| self.too_few(pool)).unwrap_or_default())
    }

    /// It is to be replaced, or may be the next to be removed.
    fn is_todo(&self, pod: &Pod) -> bool {
        let is_it = |other: &Pod| other.uid == pod.uid;
        self.outdated.iter().any(|(outdated, _)| is_it(outdated))
            || self.surplus.iter().any(|(_, surplus)| surplus.is_some_and(is_it))
    }

    /// Its StatefulSet has let go of a pod.
    fn is_leaving(&self, pod: &Pod) -> bool {
        let pool = self.shard.pools.iter().find(|pool| pool.name == pod.pool);
        pool.is_none_or(|pool| pod.ordinal >= self.shard.existing(pool))
    }

    /// The removal of the last instance of a pool. One that no StatefulSet has made is removed by its name.
    fn remove(&self, pool: &Pool, pod: Option<&Pod>) -> Action {
        if let Some(pod) = pod.filter(|_| pool.is_orphaned()) {
            let why =
                format!("the spec does not ask for pool {} any more, and its StatefulSet is gone", pod.pool);
            return if self.is_idle(pod) { delete(pod, why) } else { evict(pod, why) };
        }
        let existing = self.shard.existing(pool);
        let why = format!("{} of {existing} instances of pool {} are wanted", pool.desired, pool.name);
        Action::Remove { pool: pool.name.clone(), replicas: existing - 1, why }
    }

    fn too_few(&self, pool: &Pool) -> String {
        format!(
            "{} of {} instances of pool {} are wanted, but fewer others are known to follow a primary than the durability \
             policy needs, and what is removed may hold the newest copy; bring the others back first",
            pool.desired,
            self.shard.existing(pool),
            pool.name
        )
    }
}

/// The instances of a pool that may be the next to go. A StatefulSet can let go of its last one only.
fn next_of<'a>(shard: &'a Shard, pool: &'a Pool) -> Vec<(&'a Pool, Option<&'a Pod>)> {
    if pool.is_orphaned() {
        return shard.pods_of(pool).map(|pod| (pool, Some(pod))).collect();
    }
    vec![(pool, shard.pod(pool, shard.existing(pool) - 1))]
}

fn wait<T>(reason: Reason, message: String) -> Result<T, Wait> {
    Err(Wait { reason, message })
}

fn evict(pod: &Pod, why: String) -> Action {
    Action::Evict { pod: pod.name.clone(), uid: pod.uid.clone(), why }
}

fn delete(pod: &Pod, why: String) -> Action {
    Action::Delete { pod: pod.name.clone(), uid: pod.uid.clone(), why }
}

fn leads(pod: &Pod) -> bool {
    pod.standing == Standing::Primary
}

/// Cost of disrupting an instance. The primary costs most: its absence stops all writes.
fn felt(pod: &Pod) -> u8 {
    match pod.standing {
        Standing::Apart => 0,
        Standing::Joined | Standing::Unknown => 1,
        Standing::Primary => 2,
    }
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

    const LONG: Duration = Duration::from_hours(1);

    /// Three instances in two cells, the second of them leading.
    fn shard() -> Shard {
        let pod = |pool: &str, ordinal: i32, standing| Pod {
            name: format!("{pool}-{ordinal}"),
            uid: format!("{pool}-{ordinal}"),
            pool: pool.to_owned(),
            ordinal,
            cell: pool.to_owned(),
            ready: true,
            ready_for: LONG,
            running: true,
            serving: true,
            standing,
            ..Pod::default()
        };
        let pool = |name: &str, desired| Pool {
            name: name.to_owned(),
            desired,
            current: Some(desired),
            leftover: false,
        };
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

    /// The planned step, or the reason to wait.
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

    /// Its containers end.
    fn broken(pod: &mut Pod) {
        (pod.ready, pod.serving, pod.running) = (false, false, false);
    }

    /// A container that serves nobody keeps it from being ready.
    fn exporter_fails(pod: &mut Pod) {
        pod.ready = false;
    }

    /// A pool of five alone, of which three are wanted.
    fn five(shard: &mut Shard) {
        let pod = |ordinal: i32| {
            let name = format!("a-{ordinal}");
            let standing = if ordinal == 1 { Standing::Primary } else { Standing::Joined };
            Pod { uid: name.clone(), name, ordinal, standing, ..shard.pods[0].clone() }
        };
        shard.pods = (0..5).map(pod).collect();
        shard.pools.truncate(1);
        (shard.pools[0].desired, shard.pools[0].current) = (3, Some(5));
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
            let change = |shard: &mut Shard| {
                outdate(shard);
                shard.roles_known = known;
                broken(&mut shard.pods[2]);
                shard.pods[2].standing = Standing::Unknown;
                shard.pods[0].ready = false;
            };
            assert_eq!(outcome(change), "delete b-0");
        }
    }

    #[test]
    fn one_that_is_cut_off_may_still_lead() {
        let cut_off = |shard: &mut Shard| {
            outdate(shard);
            shard.roles_known = false;
            (shard.pods[1].ready, shard.pods[1].serving) = (false, false);
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
        assert_eq!(begun(|pod| pod.ready_for = FRESH.saturating_sub(Duration::from_millis(1))), "RollingOut");
        assert_eq!(begun(|pod| pod.ready_for = FRESH), "evict b-0");
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
            (shard.pools[0].desired, shard.pools[0].current) = (1, Some(1));
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

    /// Finding C2.
    #[test]
    fn a_statefulset_is_made_anew_for_all_the_pods_that_are_there() {
        let mut away = shard();
        five(&mut away);
        away.pools[0].current = None;
        let plan_of = |change: fn(&mut Shard)| {
            let mut shard = away.clone();
            change(&mut shard);
            let plan = plan(&shard);
            assert_eq!(plan.action, None);
            plan.replicas["a"]
        };
        assert!(away.has_work());
        assert_eq!(plan_of(|_| {}), 5);
        assert_eq!(plan_of(|shard| shard.roles_known = false), 5);
        assert_eq!(plan_of(|shard| shard.pods[4].terminating = true), 5);
        assert_eq!(plan_of(|shard| broken(&mut shard.pods[4])), 5);
        assert_eq!(plan_of(|shard| shard.pods.truncate(4)), 4);
        assert_eq!(plan_of(|shard| shard.pods.truncate(2)), 3);
        assert_eq!(plan_of(|shard| shard.pods.clear()), 3);
        // The pods of another pool are not disturbed meanwhile.
        let others = |shard: &mut Shard| {
            shard.pools[0].current = None;
            shard.pods[2].outdated = Some(Outdated::Template);
        };
        assert_eq!(outcome(others), "RollingOut");
    }

    #[test]
    fn pods_that_no_statefulset_will_own_are_removed_one_by_one() {
        let orphaned = |shard: &mut Shard| {
            (shard.pools[0].desired, shard.pools[0].current, shard.pools[0].leftover) = (0, None, true);
            let extra = Pod { name: "b-1".into(), uid: "b-1".into(), ordinal: 1, ..shard.pods[2].clone() };
            shard.pods.push(extra);
            (shard.pools[1].desired, shard.pools[1].current) = (2, Some(2));
        };
        assert_eq!(outcome(orphaned), "evict a-0");
        let also = |change: fn(&mut Shard)| {
            outcome(|shard| {
                orphaned(shard);
                change(shard);
            })
        };
        assert_eq!(also(|shard| shard.pods[1].terminating = true), "RollingOut");
        // Nobody makes the lower ordinals again.
        assert_eq!(also(|shard| drop(shard.pods.remove(0))), "evict a-1");
        let few = |shard: &mut Shard| {
            shard.pods.remove(0);
            shard.pods[1].terminating = true;
        };
        assert_eq!(also(few), "RollingOut");
        let any = |shard: &mut Shard| {
            broken(&mut shard.pods[0]);
            shard.pods[0].standing = Standing::Apart;
        };
        assert_eq!(also(any), "delete a-0");
        let idle = |shard: &mut Shard| {
            broken(&mut shard.pods[1]);
            shard.pods[1].standing = Standing::Apart;
            shard.pods[0].standing = Standing::Primary;
        };
        assert_eq!(also(idle), "delete a-1");
        assert_eq!(also(|shard| shard.roles_known = false), "AwaitingTopology");
        let mut shard = shard();
        orphaned(&mut shard);
        assert_eq!(shard.pools.iter().map(|pool| shard.expected(pool)).sum::<i32>(), 4);
        shard.pods.remove(0);
        assert_eq!(shard.expected(&shard.pools[0]), 1);
    }

    /// Finding H1.
    #[test]
    fn a_container_that_does_not_serve_costs_no_primary() {
        let failing = |shard: &mut Shard| {
            outdate(shard);
            shard.pods.iter_mut().for_each(exporter_fails);
        };
        assert_eq!(outcome(failing), "evict a-0");
        let also = |change: fn(&mut Shard)| {
            outcome(|shard| {
                failing(shard);
                change(shard);
            })
        };
        assert_eq!(also(|shard| shard.pods[0].terminating = true), "RollingOut");
        assert_eq!(also(|shard| shard.roles_known = false), "AwaitingTopology");
        // What it was replaced by fails as well: the next one is not taken.
        assert_eq!(also(|shard| shard.pods[0].outdated = None), "RollingOut");
        let done = |shard: &mut Shard| {
            shard.pods[0].outdated = None;
            shard.pods[0].ready = true;
        };
        assert_eq!(also(done), "evict b-0");
        // What answered as a primary or a standby just now is not idle, whatever Kubernetes has of it.
        for known in [true, false] {
            let outpaced = |shard: &mut Shard| {
                outdate(shard);
                shard.roles_known = known;
                shard.pods.iter_mut().for_each(broken);
            };
            assert_eq!(outcome(outpaced), "RollingOut");
        }
    }

    /// Finding M1.
    #[test]
    fn nothing_is_removed_without_a_quorum_of_others() {
        let out = |shard: &mut Shard| {
            five(shard);
            shard.roles_known = false;
            for pod in &mut shard.pods {
                broken(pod);
                pod.standing = Standing::Unknown;
            }
        };
        assert_eq!(outcome(out), "AwaitingQuorum");
        let mut shard = shard();
        out(&mut shard);
        assert_eq!(plan(&shard).replicas["a"], 5);
        let gone = |shard: &mut Shard| {
            out(shard);
            shard.pods.truncate(4);
        };
        assert_eq!(outcome(gone), "AwaitingQuorum");
        // The cure of what is broken waits for no quorum.
        let cured = |shard: &mut Shard| {
            out(shard);
            outdate(shard);
        };
        assert_eq!(outcome(cured), "delete a-0");
        let enough = |others: usize| {
            outcome(|shard| {
                five(shard);
                for pod in &mut shard.pods[others..] {
                    broken(pod);
                    pod.standing = Standing::Apart;
                }
            })
        };
        assert_eq!((enough(2).as_str(), enough(1).as_str()), ("a to 4", "AwaitingQuorum"));
    }

    /// Finding M2.
    #[test]
    fn a_person_may_let_a_rollout_go_on_without_a_leader() {
        let stuck = |undecided| {
            move |shard: &mut Shard| {
                outdate(shard);
                (shard.roles_known, shard.undecided) = (false, undecided);
                shard.pods[0].standing = Standing::Primary;
                shard.pods[1].standing = Standing::Unknown;
            }
        };
        let message = |undecided| {
            let mut shard = shard();
            stuck(undecided)(&mut shard);
            plan(&shard).wait.map(|wait| wait.message).unwrap_or_default()
        };
        assert!(!message(Undecided::Wait).contains("forceRolloutAt"));
        assert!(message(Undecided::Ask).contains("spec.forceRolloutAt"));
        assert_eq!(outcome(stuck(Undecided::Ask)), "AwaitingTopology");
        let forced = |change: fn(&mut Shard)| {
            outcome(|shard| {
                stuck(Undecided::Force)(shard);
                change(shard);
            })
        };
        assert_eq!(forced(|_| {}), "evict a-1");
        for pod in 0..3 {
            let also = |change: fn(&mut Pod)| {
                outcome(|shard| {
                    stuck(Undecided::Force)(shard);
                    change(&mut shard.pods[pod]);
                })
            };
            assert_eq!(also(|pod| pod.terminating = true), "RollingOut");
            assert_eq!(also(|pod| (pod.ready, pod.serving) = (false, false)), "RollingOut");
            assert_eq!(
                also(|pod| pod.ready_for = QUIET.saturating_sub(Duration::from_millis(1))),
                "RollingOut"
            );
        }
        // Nothing is removed for good this way.
        let shrink = |shard: &mut Shard| {
            shard.pools[0].desired = 1;
            shard.pods.iter_mut().for_each(|pod| pod.outdated = None);
        };
        assert_eq!(forced(shrink), "AwaitingQuorum");
        // As soon as somebody leads again, a rollout goes on as ever.
        assert_eq!(forced(|shard| shard.roles_known = true), "RollingOut");
    }
}
