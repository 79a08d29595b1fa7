//! A shard, what Kubernetes and Multigres would do about it, and what harm may come to it.
//!
//! State and observation differ here: the planner sees pods as the API server has them and roles as the topology
//! reports them, and is judged by the true state.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use multigres_crds::labels;
use multigres_crds::names;
use multigres_crds::v1alpha1::DurabilityPolicy;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::memory::Memories;
use crate::observe::{Change, ObjectKey, Observed};
use crate::rollout::{Action, Outdated, Pod, Pool, Readiness, Shard, Standing, Undecided, plan};

const NAMES: names::Shard<'_> =
    names::Shard { cluster: "c", database: "d", table_group: "default", shard: "0-inf" };

/// Something that happens to a shard.
#[derive(Clone, Debug)]
pub enum Event {
    /// The operator takes its next step.
    Step,
    /// Kubernetes and Multigres do what they do about one pod.
    Heal(usize),
    /// The template of all pools changes.
    Change(Template),
    /// A pool is to have another number of instances.
    Scale(usize, i32),
    /// A pool is no longer wanted.
    Drop(usize),
    /// A StatefulSet is deleted without its pods.
    Vanish(usize),
    /// The same for larger volumes, in one update with another number of instances.
    GrowAndScale(usize, i32),
    /// The containers of a pod end.
    Crash(usize),
    /// A container of a pod fails that serves nobody.
    FailExporter(usize),
    /// A pod is cut off from its kubelet, and goes on.
    CutOff(usize),
    /// Kubernetes has the containers of a pod as ended, and they run.
    Misreport(usize),
    /// A copy of a pod is made with its labels, by a person or by some other controller.
    Steal(usize, bool),
    /// The topology is lost, or found.
    Topology(bool),
    /// Something is written, and acknowledged if it can be.
    Write,
    /// Seconds pass.
    Pass(u64),
    /// The clock of the kubelets is ahead by so many seconds from now on.
    Skew(i64),
    /// The operator is started again.
    Restart,
    /// A person lets the rollout go on without a leader, or no longer.
    Force(bool),
}

/// Template of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    Works,
    /// The containers that serve have no image.
    NoImage,
    /// The exporter has no image.
    NoExporter,
}

#[derive(Debug)]
pub struct World {
    pools: Vec<Set>,
    pods: Vec<Instance>,
    /// Pods that only look like instances.
    copies: Vec<(ObjectKey, Observed)>,
    /// The newest commit that each volume holds, by pool and ordinal.
    volumes: BTreeMap<(usize, i32), u64>,
    /// The newest commit that was acknowledged.
    acknowledged: u64,
    durability: DurabilityPolicy,
    template: Template,
    topology: bool,
    forced: bool,
    now: Instant,
    skew: i64,
    seconds: i64,
    ticks: i64,
    made: usize,
    wasted: usize,
    /// Pods that a step of the operator has let its StatefulSet remove.
    released: BTreeSet<String>,
    readiness: Readiness,
    /// The pods as they were last looked at, with what the API server had of them.
    seen: BTreeMap<String, (Instance, Observed)>,
}

/// A pool, and its StatefulSet.
#[derive(Debug)]
struct Set {
    name: String,
    /// Not wanted at all if nothing.
    desired: Option<i32>,
    replicas: Option<i32>,
}

/// An instance as it is.
#[expect(clippy::struct_excessive_bools, reason = "each may fail by itself")]
#[derive(Clone, Debug, PartialEq)]
struct Instance {
    uid: String,
    pool: usize,
    ordinal: i32,
    template: Template,
    outdated: bool,
    owned: bool,
    terminating: bool,
    /// The containers that serve run.
    alive: bool,
    /// They are ready.
    serving: bool,
    exporter: bool,
    cut_off: bool,
    misreported: bool,
    standing: Standing,
    /// When its readiness last changed.
    since: Instant,
    /// The same by the clock of its kubelet.
    stamp: i64,
}

impl Instance {
    fn takes_part(&self) -> bool {
        self.serving
            && self.alive
            && !self.terminating
            && matches!(self.standing, Standing::Primary | Standing::Joined)
    }

    fn is_ready(&self) -> bool {
        self.alive && self.serving && self.exporter && !self.terminating
    }
}

impl World {
    pub fn new(sizes: &[i32], durability: DurabilityPolicy) -> Self {
        let set = |(index, size): (usize, &i32)| Set {
            name: format!("p{index}"),
            desired: Some(*size),
            replicas: Some(*size),
        };
        let mut world = Self {
            pools: sizes.iter().enumerate().map(set).collect(),
            pods: Vec::new(),
            copies: Vec::new(),
            volumes: BTreeMap::new(),
            acknowledged: 0,
            durability,
            template: Template::Works,
            topology: true,
            forced: false,
            now: Instant::now(),
            skew: 0,
            seconds: 0,
            ticks: 0,
            made: 0,
            wasted: 0,
            released: BTreeSet::new(),
            readiness: Readiness::new(&Memories::default()),
            seen: BTreeMap::new(),
        };
        world.settle();
        world
    }

    pub fn happen(&mut self, event: &Event) {
        match event {
            Event::Step => self.step(),
            Event::Heal(pod) => self.heal(*pod),
            Event::Change(template) => {
                self.template = *template;
                self.pods.iter_mut().for_each(|pod| pod.outdated = true);
            }
            Event::Scale(pool, replicas) => self.pools[*pool].desired = Some(*replicas),
            Event::Drop(pool) => self.pools[*pool].desired = None,
            Event::Vanish(pool) => self.vanish(*pool),
            Event::GrowAndScale(pool, replicas) => {
                self.vanish(*pool);
                self.pools[*pool].desired = Some(*replicas);
            }
            Event::Crash(pod) => self.hurt(*pod, |pod| {
                (pod.alive, pod.serving, pod.standing) = (false, false, Standing::Apart);
            }),
            Event::FailExporter(pod) => self.hurt(*pod, |pod| pod.exporter = false),
            Event::CutOff(pod) => self.hurt(*pod, |pod| pod.cut_off = true),
            // Where nobody answers either, it cannot be told from the truth.
            Event::Misreport(pod) if self.topology => self.hurt(*pod, |pod| pod.misreported = true),
            Event::Misreport(_) => {}
            Event::Steal(pool, owned) => self.steal(*pool, *owned),
            Event::Topology(topology) => {
                self.topology = *topology;
                self.pods.iter_mut().for_each(|pod| pod.misreported &= *topology);
            }
            Event::Write => self.write(),
            Event::Pass(seconds) => self.pass(*seconds),
            Event::Skew(seconds) => self.skew = *seconds,
            Event::Restart => {
                self.readiness = Readiness::new(&Memories::default());
                self.seen.clear();
            }
            Event::Force(forced) => self.forced = *forced,
        }
        self.elect();
        self.assert_kept();
    }

    /// Lets everything but the operator come to an end.
    pub fn settle(&mut self) {
        for round in 0..80 {
            self.heal(round);
        }
        self.observe();
        self.pass(70);
    }

    pub fn is_done(&self) -> bool {
        let done = |set: &Set| set.replicas.unwrap_or(0) == set.desired.unwrap_or(0);
        self.pools.iter().all(done)
            && self.pods.iter().all(|pod| !pod.outdated && pod.takes_part() && pod.is_ready())
            && i32::try_from(self.pods.len()).unwrap()
                == self.pools.iter().filter_map(|set| set.desired).sum::<i32>()
    }

    /// Pods that were made of a template that does not work.
    pub fn wasted(&self) -> usize {
        self.wasted
    }

    pub fn instances(&self) -> usize {
        self.pods.len()
    }

    pub fn ready(&self) -> usize {
        self.pods.iter().filter(|pod| pod.is_ready() && pod.takes_part()).count()
    }

    /// The shard as the operator sees it now.
    pub fn observe(&mut self) -> Shard {
        let names: BTreeSet<String> = self.pods.iter().map(|pod| self.name(pod.pool, pod.ordinal)).collect();
        let gone: Vec<String> = self.seen.keys().filter(|name| !names.contains(*name)).cloned().collect();
        for name in gone {
            let before = self.seen.remove(&name).map(|(_, observed)| observed);
            self.notice(&name, before, None);
        }
        let mut pods = Vec::new();
        for pod in self.pods.clone() {
            let name = self.name(pod.pool, pod.ordinal);
            if self.seen.get(&name).is_none_or(|(before, _)| *before != pod) {
                let observed = self.project(&name, &pod);
                let before = self.seen.insert(name.clone(), (pod.clone(), observed.clone()));
                self.notice(&name, before.map(|(_, observed)| observed), Some(observed));
            }
            let seen = Pod::seen(&NAMES, &key(&name), &self.seen[&name].1);
            let seen = seen.unwrap_or_else(|| panic!("{name} is an instance"));
            let knows = self.topology && pod.alive;
            pods.push(Pod {
                ready_for: self.readiness.ready_for_at(&pod.uid, self.now),
                outdated: pod.outdated.then_some(Outdated::Template),
                standing: if knows { pod.standing } else { Standing::Unknown },
                ..seen
            });
        }
        pods.extend(self.copies.iter().filter_map(|(key, copy)| Pod::seen(&NAMES, key, copy)));
        let pool = |set: &Set| Pool {
            name: set.name.clone(),
            desired: set.desired.unwrap_or(0),
            current: set.replicas,
            leftover: set.desired.is_none(),
        };
        let there = |set: &&Set| {
            set.desired.is_some() || set.replicas.is_some() || pods.iter().any(|pod| pod.pool == set.name)
        };
        Shard {
            pools: self.pools.iter().filter(there).map(pool).collect(),
            pods,
            durability: self.durability,
            roles_known: self.topology && self.is_led(),
            undecided: if self.forced { Undecided::Force } else { Undecided::Wait },
            ..Shard::default()
        }
    }

    fn notice(&self, name: &str, before: Option<Observed>, after: Option<Observed>) {
        self.readiness.notice_at(&Change { key: key(name), before, after }, self.now);
    }

    /// A pod as the API server has it.
    fn project(&self, name: &str, pod: &Instance) -> Observed {
        let runs = pod.alive && !pod.misreported;
        let serves = runs && pod.serving;
        let truth = |holds: bool| if holds { "True" } else { "False" };
        let state = |runs: bool| if runs { json!({ "running": {} }) } else { json!({ "waiting": {} }) };
        let all = serves && pod.exporter;
        let stamp = Timestamp::from_millisecond(2_000_000_000_000 + pod.stamp).unwrap().to_string();
        let owner =
            json!({ "kind": "StatefulSet", "controller": true, "uid": "s", "name": self.set(pod.pool) });
        let mut metadata = json!({
            "name": name, "uid": pod.uid, "labels": self.labels(pod.pool, name),
            "ownerReferences": if pod.owned { json!([owner]) } else { json!([]) },
        });
        if pod.terminating {
            metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        let ready = truth(all && !pod.cut_off && !pod.terminating);
        Observed::project(&json!({
            "kind": "Pod", "metadata": metadata,
            "status": {
                "conditions": [
                    { "type": "Ready", "status": ready, "lastTransitionTime": stamp },
                    // A kubelet that is lost takes nothing back.
                    { "type": "ContainersReady", "status": truth(all || pod.cut_off) },
                ],
                "containerStatuses": [
                    { "name": "multipooler", "state": state(runs), "ready": serves },
                    { "name": "postgres-exporter", "state": state(pod.exporter), "ready": pod.exporter },
                ],
                "initContainerStatuses": [
                    { "name": "istio-init", "state": { "terminated": { "exitCode": 0 } }, "ready": true },
                    { "name": "pgctld", "state": state(runs), "ready": serves },
                ],
            },
        }))
    }

    fn labels(&self, pool: usize, pod: &str) -> Value {
        let set = &self.pools[pool];
        json!({ labels::POOL: set.name, labels::CELL: set.name, "statefulset.kubernetes.io/pod-name": pod })
    }

    fn set(&self, pool: usize) -> String {
        NAMES.pool(&self.pools[pool].name)
    }

    fn name(&self, pool: usize, ordinal: i32) -> String {
        names::instance(&self.set(pool), ordinal)
    }

    /// Takes a step and sees to it that it is a good one.
    fn step(&mut self) {
        let shard = self.observe();
        let plan = plan(&shard);
        self.assert_counted(&shard);
        match &plan.action {
            None => {}
            Some(Action::Delete { uid, .. } | Action::Evict { uid, .. }) => {
                let pod = self.find(uid).clone();
                let is_orphan =
                    self.pools[pod.pool].desired.is_none() && self.pools[pod.pool].replicas.is_none();
                if is_orphan {
                    self.assert_removable(&shard, Some(&pod));
                }
                if pod.takes_part() || matches!(plan.action, Some(Action::Evict { .. })) {
                    self.assert_bearable(&shard, &pod);
                }
                self.end(uid);
            }
            Some(Action::Remove { pool, replicas, .. }) => {
                let pool = self.pools.iter().position(|set| set.name == *pool).unwrap();
                let pod = self.pods.iter().find(|pod| pod.pool == pool && pod.ordinal == *replicas).cloned();
                self.assert_removable(&shard, pod.as_ref());
                if let Some(pod) = pod.filter(Instance::takes_part) {
                    assert!(pod.standing != Standing::Primary, "{pod:?} led");
                    self.assert_bearable(&shard, &pod);
                }
                self.release(pool, *replicas);
            }
        }
        for (index, set) in self.pools.iter_mut().enumerate() {
            let planned = plan.replicas.get(&set.name).copied();
            if set.desired.is_some() || set.replicas.is_some() {
                set.replicas = planned;
            }
            if set.replicas.is_some() {
                self.pods.iter_mut().filter(|pod| pod.pool == index).for_each(|pod| pod.owned = true);
            }
            if set.desired.is_none()
                && set.replicas == Some(0)
                && self.pods.iter().all(|pod| pod.pool != index)
            {
                set.replicas = None;
            }
        }
    }

    fn release(&mut self, pool: usize, replicas: i32) {
        let released = self.pods.iter().filter(|pod| pod.pool == pool && pod.ordinal == replicas);
        self.released.extend(released.map(|pod| pod.uid.clone()));
        if !self.pods.iter().any(|pod| pod.pool == pool && pod.ordinal == replicas) {
            self.volumes.remove(&(pool, replicas));
        }
    }

    /// The budget counts the instances, and nothing else.
    fn assert_counted(&self, shard: &Shard) {
        for pool in &shard.pools {
            let index = self.pools.iter().position(|set| set.name == pool.name).unwrap();
            let set = &self.pools[index];
            let pods = self.pods.iter().filter(|pod| pod.pool == index);
            let there = i32::try_from(pods.clone().count()).unwrap();
            let highest = pods.map(|pod| pod.ordinal + 1).max().unwrap_or(0);
            let made = set.replicas.or(set.desired.map(|_| highest)).unwrap_or(0);
            let expected = there.max(made).max(set.desired.unwrap_or(0));
            assert_eq!(shard.expected(pool), expected, "{pool:?}");
        }
    }

    /// A removal leaves a primary and as many copies as the policy needs.
    fn assert_removable(&self, shard: &Shard, leaving: Option<&Instance>) {
        assert!(shard.roles_known, "removed on unknown roles: {leaving:?}");
        self.assert_enough_without(leaving);
    }

    fn assert_enough_without(&self, leaving: Option<&Instance>) {
        let stays = |pod: &&Instance| leaving.is_none_or(|leaving| leaving.uid != pod.uid);
        let remaining: Vec<&Instance> =
            self.pods.iter().filter(|pod| pod.takes_part()).filter(stays).collect();
        let cells: BTreeSet<usize> = remaining.iter().map(|pod| pod.pool).collect();
        let spread = self.durability == DurabilityPolicy::AtLeast2 || cells.len() >= 2;
        assert!(remaining.len() >= 2 && spread, "without {leaving:?} only {remaining:?}");
    }

    /// Everybody else is there and serves, for long enough that it is known, and enough copies of each commit can be made.
    fn assert_bearable(&self, shard: &Shard, leaving: &Instance) {
        assert!(!leaving.terminating);
        let others = self.pods.iter().filter(|pod| pod.uid != leaving.uid);
        let down: Vec<&Instance> =
            others.clone().filter(|pod| !pod.alive || !pod.serving || pod.terminating).collect();
        assert!(down.is_empty(), "{leaving:?} as well as {down:?}");
        let pause = Duration::from_secs(if shard.roles_known { 10 } else { 60 });
        let fresh: Vec<&Instance> = others.filter(|pod| self.now - pod.since < pause).collect();
        assert!(fresh.is_empty(), "{leaving:?} right after {fresh:?}");
        let wanted = |(index, set): (usize, &Set)| {
            let there = i32::try_from(self.pods.iter().filter(|pod| pod.pool == index).count()).unwrap();
            there.max(set.replicas.unwrap_or(0)).max(set.desired.unwrap_or(0))
        };
        let wanted: i32 = self.pools.iter().enumerate().map(wanted).sum();
        assert_eq!(i32::try_from(self.pods.len()).unwrap(), wanted, "one is missing");
        if shard.roles_known {
            self.assert_enough_without(Some(leaving));
        } else {
            assert!(self.forced, "on unknown roles: {leaving:?}");
        }
    }

    /// Some volume holds what was acknowledged.
    fn assert_kept(&self) {
        let newest = self.volumes.values().copied().max().unwrap_or(0);
        assert!(newest >= self.acknowledged, "commit {} is lost", self.acknowledged);
    }

    fn find(&self, uid: &str) -> &Instance {
        let pod = self.pods.iter().find(|pod| pod.uid == uid);
        pod.unwrap_or_else(|| panic!("{uid} is no instance of the shard"))
    }

    fn end(&mut self, uid: &str) {
        let (now, stamp) = (self.now, self.stamp());
        let pod = self.pods.iter_mut().find(|pod| pod.uid == uid).unwrap();
        (pod.terminating, pod.serving, pod.standing) = (true, false, Standing::Apart);
        (pod.since, pod.stamp) = (now, stamp);
    }

    fn vanish(&mut self, pool: usize) {
        self.pools[pool].replicas = None;
        self.pods.iter_mut().filter(|pod| pod.pool == pool).for_each(|pod| pod.owned = false);
    }

    fn hurt(&mut self, pod: usize, harm: impl Fn(&mut Instance)) {
        let (now, stamp, count) = (self.now, self.stamp(), self.pods.len());
        if let Some(pod) = self.pods.get_mut(pod % count.max(1)) {
            let was_ready = pod.is_ready();
            harm(pod);
            if was_ready != pod.is_ready() {
                (pod.since, pod.stamp) = (now, stamp);
            }
        }
    }

    fn steal(&mut self, pool: usize, owned: bool) {
        let (name, original) = if owned {
            // By another controller, under a name that an instance could have.
            (self.name(pool, 9), self.name(pool, 9))
        } else {
            (self.name(pool, 8), self.name(pool, 0))
        };
        let controller =
            json!({ "kind": "ReplicaSet", "controller": true, "uid": "r", "name": self.set(pool) });
        let copy = Observed::project(&json!({
            "kind": "Pod",
            "metadata": {
                "name": name, "uid": format!("copy-{name}"), "labels": self.labels(pool, &original),
                "ownerReferences": if owned { json!([controller]) } else { json!([]) },
            },
        }));
        self.copies.push((key(&name), copy));
    }

    fn write(&mut self) {
        let takers: Vec<(usize, i32)> =
            self.pods.iter().filter(|pod| pod.takes_part()).map(|pod| (pod.pool, pod.ordinal)).collect();
        let cells: BTreeSet<usize> = takers.iter().map(|(pool, _)| *pool).collect();
        let spread = self.durability == DurabilityPolicy::AtLeast2 || cells.len() >= 2;
        if self.is_led() && spread {
            self.acknowledged += 1;
            for taker in takers {
                self.volumes.insert(taker, self.acknowledged);
            }
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.seconds += i64::try_from(seconds).unwrap();
    }

    /// The time by the kubelet's clock, in milliseconds so that no two are the same by chance.
    fn stamp(&mut self) -> i64 {
        self.ticks += 1;
        (self.seconds + self.skew) * 1000 + self.ticks % 1000
    }

    /// Kubernetes makes and removes pods, one pod gets a bit further.
    fn heal(&mut self, pod: usize) {
        for pool in 0..self.pools.len() {
            let Some(replicas) = self.pools[pool].replicas else { continue };
            for ordinal in 0..replicas {
                if !self.pods.iter().any(|pod| pod.pool == pool && pod.ordinal == ordinal) {
                    self.make(pool, ordinal);
                }
            }
            let surplus = |pod: &&Instance| pod.pool == pool && pod.ordinal >= replicas && !pod.terminating;
            let going: Vec<String> = self.pods.iter().filter(surplus).map(|pod| pod.uid.clone()).collect();
            for uid in &going {
                assert!(self.released.contains(uid), "let go of without a step: {:?}", self.find(uid));
                self.end(uid);
            }
        }
        let count = self.pods.len();
        if count > 0 {
            self.advance(pod % count);
        }
        self.elect();
    }

    fn make(&mut self, pool: usize, ordinal: i32) {
        self.made += 1;
        self.wasted += usize::from(self.template != Template::Works);
        self.volumes.entry((pool, ordinal)).or_insert(0);
        let stamp = self.stamp();
        self.pods.push(Instance {
            uid: self.made.to_string(),
            pool,
            ordinal,
            template: self.template,
            outdated: false,
            owned: true,
            terminating: false,
            alive: false,
            serving: false,
            exporter: false,
            cut_off: false,
            misreported: false,
            standing: Standing::Apart,
            since: self.now,
            stamp,
        });
    }

    fn advance(&mut self, index: usize) {
        let is_led = self.pods.iter().any(|pod| pod.standing == Standing::Primary && pod.takes_part());
        let acknowledged = self.acknowledged;
        let (pool, ordinal) = (self.pods[index].pool, self.pods[index].ordinal);
        if self.pods[index].terminating {
            self.pods.remove(index);
            let set = &self.pools[pool];
            let stays = set.replicas.or(set.desired.map(|_| i32::MAX)).unwrap_or(0);
            if ordinal >= stays {
                self.volumes.remove(&(pool, ordinal));
            }
            return;
        }
        let mut joined = false;
        self.hurt(index, |pod| {
            if pod.cut_off || pod.misreported {
                (pod.cut_off, pod.misreported) = (false, false);
            } else if pod.template != Template::NoImage && !pod.alive {
                pod.alive = true;
            } else if pod.alive && !pod.serving {
                pod.serving = true;
            } else if pod.template != Template::NoExporter && !pod.exporter {
                pod.exporter = true;
            }
        });
        let pod = &mut self.pods[index];
        if pod.serving && pod.standing == Standing::Apart && is_led {
            pod.standing = Standing::Joined;
            joined = true;
        }
        if joined {
            self.volumes.insert((pool, ordinal), acknowledged);
        }
    }

    /// One that has all that was acknowledged leads.
    fn elect(&mut self) {
        if self.pods.iter().any(|pod| pod.standing == Standing::Primary) {
            return;
        }
        let able = |pod: &&mut Instance| {
            pod.alive
                && pod.serving
                && !pod.terminating
                && self.volumes.get(&(pod.pool, pod.ordinal)).copied().unwrap_or(0) >= self.acknowledged
        };
        if let Some(pod) = self.pods.iter_mut().find(able) {
            pod.standing = Standing::Primary;
        }
    }

    /// A primary serves, and another one acknowledges.
    fn is_led(&self) -> bool {
        let takers: Vec<&Instance> = self.pods.iter().filter(|pod| pod.takes_part()).collect();
        takers.iter().any(|pod| pod.standing == Standing::Primary) && takers.len() >= 2
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("Pod", "n", name)
}
