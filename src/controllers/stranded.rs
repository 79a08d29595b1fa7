//! Standbys that an abandoned recruitment has stranded are freed.
//!
//! An orchestrator that takes a leader for dead recruits the standbys for the next term: they stop to follow, and promise
//! to follow nobody of a lower one. If its new leader fails to start and the old one lives on, the promise holds for
//! good (Multigres v0.1.0): the standbys refuse the leader that there is, and nobody appoints another one, as that one is
//! reachable. A newer rule of the leader makes the promise moot; another leader does so too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kube::{Resource, ResourceExt};
use multigres_crds::v1alpha1::{DurabilityPolicy, MultiShard, Truth};

use super::context::Context;
use super::rollout::{self, Course};
use super::topology;
use crate::memory::{Memories, PerObject};
use crate::observe::ObjectKey;
use crate::topology::{Id, Member, Role, Roles};

/// Time after which a recruitment counts as abandoned. One that succeeds takes some seconds.
const ABANDONED: Duration = Duration::from_secs(30);
/// Time without writes after which another leader is better than none.
const SILENT: Duration = Duration::from_mins(1);
/// Time after which whoever is no longer seen to be stranded has recovered. Orchestrators that rewind a stranded standby
/// have it follow for some seconds, again and again.
const RECOVERED: Duration = Duration::from_secs(20);
/// Time between two leaders of a shard that are evicted for this.
const AGAIN: Duration = Duration::from_mins(5);

/// The stranded standbys of each shard, by its identity.
#[derive(Debug)]
pub struct Watches(PerObject<Watch>);

/// The observations of one shard, in this process's own time.
#[derive(Clone, Debug, Default)]
struct Watch {
    /// The time in which each standby is stranded.
    stranded: BTreeMap<String, Span>,
    /// The time in which no writes are served.
    silent: Option<Span>,
    /// The time of the last eviction of a leader.
    evicted: Option<Instant>,
}

/// A time in which something was seen again and again.
#[derive(Clone, Copy, Debug)]
struct Span {
    first: Instant,
    last: Instant,
}

impl Span {
    fn at(now: Instant) -> Self {
        Self { first: now, last: now }
    }

    fn length(self, now: Instant) -> Duration {
        now.duration_since(self.first)
    }

    fn is_over(self, now: Instant) -> bool {
        now.duration_since(self.last) > RECOVERED
    }
}

/// The step that frees a standby.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// The leader stops counting on it: its rule is then newer than the one that the promise is about.
    Remove { pod: String, id: Id },
    /// The leader resigns: the next one has a higher term than was promised.
    Evict { leader: String },
}

impl Watches {
    /// Remembers none.
    pub fn new(memories: &Memories) -> Self {
        Self(PerObject::new(memories, "stranded"))
    }

    /// Notes the present state and decides. A step starts the time of what it deals with anew.
    fn step(
        &self,
        uid: &str,
        roles: &Roles,
        policy: DurabilityPolicy,
        is_calm: bool,
        now: Instant,
    ) -> Option<Step> {
        let mut watches = self.0.lock();
        let mut watch = watches.remove(uid).unwrap_or_default();
        watch.note(roles, now);
        if watch.stranded.is_empty() && watch.evicted.is_none() {
            return None;
        }
        let watch = watches.entry(uid.to_owned()).or_insert(watch);
        let step = watch.step(roles, policy, is_calm, now);
        match &step {
            Some(Step::Remove { pod, .. }) => drop(watch.stranded.insert(pod.clone(), Span::at(now))),
            Some(Step::Evict { .. }) => watch.evicted = Some(now),
            None => {}
        }
        step
    }
}

impl Watch {
    fn note(&mut self, roles: &Roles, now: Instant) {
        for (pod, _) in roles.members.iter().filter(|(_, member)| member.abandoned) {
            self.stranded.entry(pod.clone()).or_insert_with(|| Span::at(now)).last = now;
        }
        self.stranded.retain(|pod, span| roles.members.contains_key(pod) && !span.is_over(now));
        if roles.serving_writes != Truth::True {
            self.silent.get_or_insert(Span::at(now)).last = now;
        }
        self.silent = self.silent.filter(|span| !self.stranded.is_empty() && !span.is_over(now));
        // So old that it stands in nobody's way.
        self.evicted = self.evicted.filter(|evicted| now.duration_since(*evicted) < AGAIN);
    }

    /// The step to take. `is_calm` tells that no pod of the shard is being replaced.
    fn step(&self, roles: &Roles, policy: DurabilityPolicy, is_calm: bool, now: Instant) -> Option<Step> {
        let leader = roles.primary.as_ref()?;
        let is_abandoned =
            |pod: &str| self.stranded.get(pod).is_some_and(|span| span.length(now) >= ABANDONED);
        let counted: Vec<(&String, &Member)> = roles
            .members
            .iter()
            .filter(|(_, member)| member.in_cohort && member.role != Some(Role::Primary))
            .collect();
        if roles.serving_writes == Truth::True && has_copies(roles, &counted, policy) {
            let (pod, member) = counted.iter().find(|(pod, member)| member.abandoned && is_abandoned(pod))?;
            return Some(Step::Remove { pod: (*pod).clone(), id: member.id.clone() });
        }
        // Nothing is acknowledged, so nothing that was acknowledged can be lost.
        let all_stranded = counted.iter().any(|(_, member)| member.abandoned)
            && counted.iter().all(|(pod, _)| is_abandoned(pod));
        let is_silent = self.silent.is_some_and(|span| span.length(now) >= SILENT);
        let is_first = self.evicted.is_none();
        (all_stranded && is_silent && is_first && is_calm && roles.unseen.is_empty())
            .then(|| Step::Evict { leader: leader.clone() })
    }
}

/// True if a commit has the copies that the policy asks for without any standby that is stranded.
fn has_copies(roles: &Roles, counted: &[(&String, &Member)], policy: DurabilityPolicy) -> bool {
    let streaming = counted.iter().filter(|(_, member)| member.streaming);
    let cells: BTreeSet<&str> =
        streaming.clone().map(|(_, member)| member.id.cell.as_str()).chain(roles.primary_cell()).collect();
    streaming.count() > 0 && (policy == DurabilityPolicy::AtLeast2 || cells.len() > 1)
}

/// Frees standbys of a shard that are stranded for long enough, one step at a time. A step that fails is planned again.
pub async fn free(shard: &MultiShard, cx: &Context, roles: &Roles, course: &Course) {
    let uid = shard.uid().unwrap_or_default();
    let is_calm = course.awaits().is_none();
    let step = cx.stranded.step(&uid, roles, shard.spec.durability_policy, is_calm, Instant::now());
    let about = shard.object_ref(&());
    match step {
        Some(Step::Remove { pod, id }) => match remove(shard, cx, &id).await {
            Ok(()) => {
                let note = format!(
                    "Pod {pod} was recruited for a leader that never came: the leader counts on it again once it follows"
                );
                cx.events.of_pod(&about, &pod, "StandbyFreed", "Consensus", note).await;
            }
            Err(error) => tracing::warn!(pod, error, "a stranded standby cannot be freed"),
        },
        Some(Step::Evict { leader }) => {
            let key = ObjectKey::new("Pod", &shard.namespace().unwrap_or_default(), &leader);
            let Some(pod) = cx.objects.get(&key) else { return };
            match rollout::evict(shard, cx, &leader, &pod.uid).await {
                Ok(true) => {
                    let note = format!(
                        "Evicted pod {leader}, which leads: all standbys were recruited for a leader that never came, \
                         and nothing is acknowledged"
                    );
                    cx.events.of_pod(&about, &leader, "PodEvicted", "Consensus", note).await;
                }
                Ok(false) => {}
                Err(trouble) => tracing::warn!(pod = leader, trouble.message, "the leader cannot be evicted"),
            }
        }
        None => {}
    }
}

async fn remove(shard: &MultiShard, cx: &Context, id: &Id) -> Result<(), String> {
    let namespace = shard.namespace().unwrap_or_default();
    let global = topology::access(cx, &namespace, &shard.spec.global_topology).await;
    let global = global.map_err(|trouble| trouble.message)?;
    let removed = cx.topology.remove_from_cohort(&global, &shard.spec, id).await;
    removed.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use DurabilityPolicy::{AtLeast2, MultiCellAtLeast2};

    use super::*;

    /// A standby of a cell: whether it streams, and else whether it is stranded.
    fn standby(cell: &str, streaming: bool, abandoned: bool) -> Member {
        let id = Id { cell: cell.to_owned(), ..Id::default() };
        Member { role: Some(Role::Standby), streaming, abandoned, in_cohort: true, id, ..Member::default() }
    }

    /// A shard that pod `a` of cell 1 leads.
    fn roles(serving_writes: Truth, standbys: &[(&str, Member)]) -> Roles {
        let leader = Member { role: Some(Role::Primary), ..standby("1", false, false) };
        let members = standbys.iter().map(|(pod, member)| ((*pod).to_owned(), member.clone()));
        Roles {
            primary: Some("a".to_owned()),
            serving_writes,
            members: members.chain([("a".to_owned(), leader)]).collect(),
            ..Roles::default()
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The step after the same was seen for some time.
    fn after(time: u64, roles: &Roles, policy: DurabilityPolicy, is_calm: bool) -> Option<Step> {
        let (watches, start) = (Watches::new(&Memories::default()), Instant::now());
        let look = |second| watches.step("s", roles, policy, is_calm, start + seconds(second));
        for second in 0..time {
            assert_eq!(look(second), None, "{second}");
        }
        look(time)
    }

    fn one_stranded(serving: Truth, cell: &str) -> Roles {
        roles(serving, &[("b", standby(cell, true, false)), ("c", standby("1", false, true))])
    }

    fn all_stranded(serving: Truth) -> Roles {
        roles(serving, &[("b", standby("2", false, true)), ("c", standby("1", false, true))])
    }

    #[test]
    fn one_of_several_is_left_out_until_it_follows() {
        let freed = Some(Step::Remove { pod: "c".to_owned(), id: standby("1", false, true).id });
        for (what, time, roles, policy, expected) in [
            ("for long enough", 30, one_stranded(Truth::True, "1"), AtLeast2, &freed),
            ("it may be recruited just now", 29, one_stranded(Truth::True, "1"), AtLeast2, &None),
            ("the copies are in one cell", 600, one_stranded(Truth::True, "1"), MultiCellAtLeast2, &None),
            ("they are in two", 30, one_stranded(Truth::True, "2"), MultiCellAtLeast2, &freed),
            ("no writes are known to be served", 59, one_stranded(Truth::Unknown, "1"), AtLeast2, &None),
        ] {
            assert_eq!(after(time, &roles, policy, true), *expected, "{what}");
        }
    }

    #[test]
    fn the_leader_goes_where_nobody_acknowledges_anything() {
        let evicted = Some(Step::Evict { leader: "a".to_owned() });
        let unseen = Roles { unseen: vec!["pooler d".to_owned()], ..all_stranded(Truth::Unknown) };
        let leaderless = Roles { primary: None, ..all_stranded(Truth::Unknown) };
        let silent =
            roles(Truth::Unknown, &[("b", standby("1", false, false)), ("c", standby("1", false, true))]);
        for (what, time, roles, is_calm, expected) in [
            ("for long enough", 60, all_stranded(Truth::Unknown), true, &evicted),
            ("writes are known to be refused", 60, all_stranded(Truth::False), true, &evicted),
            ("it may pass", 59, all_stranded(Truth::Unknown), true, &None),
            ("writes are served", 600, all_stranded(Truth::True), true, &None),
            ("a pod is being replaced", 600, all_stranded(Truth::Unknown), false, &None),
            ("somebody does not answer", 600, unseen, true, &None),
            ("nobody leads", 600, leaderless, true, &None),
            ("one is only slow", 600, silent, true, &None),
        ] {
            assert_eq!(after(time, &roles, AtLeast2, is_calm), *expected, "{what}");
        }
    }

    #[test]
    fn the_next_leader_is_given_five_minutes() {
        let (watches, start) = (Watches::new(&Memories::default()), Instant::now());
        let stranded = all_stranded(Truth::Unknown);
        let mut evictions = Vec::new();
        for second in 0..900 {
            // Between two evictions there is a leader that serves, for a while.
            let well = (61..70).contains(&second);
            let roles = if well { roles(Truth::True, &[]) } else { stranded.clone() };
            if watches.step("s", &roles, AtLeast2, true, start + seconds(second)).is_some() {
                evictions.push(second);
            }
        }
        assert_eq!(evictions, [60, 360, 660]);
    }

    /// Orchestrators restart a stranded standby again and again, and have it follow for a moment; a busy pooler does not
    /// answer in time.
    #[test]
    fn who_is_seen_otherwise_for_a_moment_is_stranded_all_the_same() {
        let (watches, start) = (Watches::new(&Memories::default()), Instant::now());
        let stranded = all_stranded(Truth::Unknown);
        let mut follows = all_stranded(Truth::True);
        for member in follows.members.values_mut().filter(|member| member.abandoned) {
            (member.streaming, member.abandoned) = (true, false);
        }
        let leaderless = Roles { primary: None, members: BTreeMap::new(), ..stranded.clone() };
        for second in 0..60 {
            let roles = match second % 15 {
                3..6 => &follows,
                _ => &stranded,
            };
            assert_eq!(watches.step("s", roles, AtLeast2, true, start + seconds(second)), None, "{second}");
        }
        assert!(watches.step("s", &stranded, AtLeast2, true, start + seconds(60)).is_some());
        // Where the poolers are not known any more, nothing is known of the past either.
        assert_eq!(watches.step("t", &leaderless, AtLeast2, true, start), None);
        assert!(!watches.0.contains("t"));
    }

    #[test]
    fn who_recovers_is_forgotten_and_a_shard_that_is_well_leaves_nothing() {
        let (watches, start) = (Watches::new(&Memories::default()), Instant::now());
        let (stranded, well) =
            (one_stranded(Truth::True, "1"), roles(Truth::True, &[("c", standby("1", true, false))]));
        let step = |roles, second| watches.step("s", roles, AtLeast2, true, start + seconds(second));
        assert_eq!(step(&stranded, 0), None);
        assert_eq!(step(&well, 10), None);
        assert!(!watches.0.lock().is_empty());
        assert_eq!(step(&well, 21), None);
        assert!(watches.0.lock().is_empty());
        assert_eq!(step(&stranded, 25), None);
        assert_eq!(step(&stranded, 40), None);
        assert_eq!(step(&stranded, 54), None);
        assert!(step(&stranded, 55).is_some());
        assert_eq!(step(&stranded, 56), None, "the call is given time");
        watches.0.remove("s");
        assert!(watches.0.lock().is_empty());
    }
}
