//! What holds whatever happens, tried on shards that are changed, hurt and healed at random.

use multigres_crds::v1alpha1::DurabilityPolicy;
use proptest::prelude::*;

use super::{Action, Outdated, Pod, Pool, Shard, Standing, plan};

/// Something that happens to a shard.
#[derive(Clone, Debug)]
enum Event {
    /// The operator takes its next step.
    Step,
    /// Kubernetes and Multigres do what they do about one pod.
    Heal(usize),
    /// The template of all pools changes to one that works, or not.
    Change { works: bool },
    /// A pool is to have another number of instances.
    Scale(usize, i32),
    /// A container of a pod ends.
    Crash(usize),
    /// The topology is lost, or found.
    Topology(bool),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Step),
        6 => (0..8_usize).prop_map(Event::Heal),
        1 => any::<bool>().prop_map(|works| Event::Change { works }),
        1 => ((0..3_usize), (0..4_i32)).prop_map(|(pool, replicas)| Event::Scale(pool, replicas)),
        1 => (0..8_usize).prop_map(Event::Crash),
        1 => any::<bool>().prop_map(Event::Topology),
    ]
}

/// A shard, and what Kubernetes and Multigres would do about it.
#[derive(Clone, Debug)]
struct World {
    shard: Shard,
    works: bool,
    topology: bool,
    made: usize,
    /// Pods that were made of a template that does not work.
    wasted: usize,
}

impl World {
    fn new(sizes: &[i32], durability: DurabilityPolicy) -> Self {
        let pool = |(index, size): (usize, &i32)| Pool {
            name: format!("p{index}"),
            desired: *size,
            current: Some(*size),
        };
        let shard =
            Shard { pools: sizes.iter().enumerate().map(pool).collect(), durability, ..Shard::default() };
        let mut world = Self { shard, works: true, topology: true, made: 0, wasted: 0 };
        world.settle();
        world
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Step => self.step(),
            Event::Heal(pod) => self.heal(*pod),
            Event::Change { works } => {
                self.works = *works;
                self.shard.pods.iter_mut().for_each(|pod| pod.outdated = Some(Outdated::Template));
            }
            Event::Scale(pool, replicas) => {
                let count = self.shard.pools.len();
                self.shard.pools[pool % count].desired = *replicas;
            }
            Event::Crash(pod) => {
                let count = self.shard.pods.len();
                if let Some(pod) = self.shard.pods.get_mut(pod % count.max(1)) {
                    (pod.ready, pod.running, pod.standing) = (false, false, Standing::Apart);
                }
                self.elect();
            }
            Event::Topology(topology) => {
                self.topology = *topology;
                self.elect();
            }
        }
    }

    /// Takes a step and sees to it that it is a good one.
    fn step(&mut self) {
        let before = self.shard.clone();
        let plan = plan(&before);
        for pool in &mut self.shard.pools {
            assert!(
                plan.replicas[&pool.name] >= pool.existing().min(pool.desired),
                "too few of {}",
                pool.name
            );
            pool.current = Some(plan.replicas[&pool.name]);
        }
        let leaves = |uid: &str| before.pods.iter().find(|pod| pod.uid == uid).unwrap();
        match plan.action {
            None => {}
            Some(Action::Delete { uid, .. }) => {
                let pod = leaves(&uid);
                assert!(!pod.ready, "{pod:?} was ready");
                assert!(before.roles_known || !pod.running, "{pod:?} may have led");
                self.end(&uid);
            }
            Some(Action::Evict { uid, .. }) => {
                Self::assert_bearable(&before, leaves(&uid));
                self.end(&uid);
            }
            Some(Action::Remove { pool, replicas, .. }) => {
                let pod = before.pods.iter().find(|pod| pod.pool == pool && pod.ordinal == replicas);
                if let Some(pod) = pod.filter(|pod| pod.ready || pod.running) {
                    assert!(pod.standing != Standing::Primary, "{pod:?} led");
                    assert!(before.roles_known, "{pod:?} may have led");
                    if pod.ready {
                        Self::assert_bearable(&before, pod);
                    }
                }
            }
        }
        self.elect();
    }

    /// Everybody else is there, and enough copies of each commit can be made.
    fn assert_bearable(shard: &Shard, leaving: &Pod) {
        assert!(shard.roles_known, "on unknown roles");
        let others = shard.pods.iter().filter(|pod| pod.uid != leaving.uid);
        let disrupted: Vec<&Pod> = others.filter(|pod| !pod.ready || pod.terminating).collect();
        assert!(disrupted.is_empty(), "{leaving:?} as well as {disrupted:?}");
        assert!(!leaving.terminating);
        let wanted: i32 = shard.pools.iter().map(|pool| pool.existing().max(pool.desired)).sum();
        assert_eq!(i32::try_from(shard.pods.len()).unwrap(), wanted, "one is missing");
        assert!(shard.is_safe_without(leaving));
    }

    fn end(&mut self, uid: &str) {
        let pod = self.shard.pods.iter_mut().find(|pod| pod.uid == uid).unwrap();
        (pod.terminating, pod.ready, pod.standing) = (true, false, Standing::Apart);
    }

    /// Kubernetes makes and removes pods, one pod gets a bit further.
    fn heal(&mut self, pod: usize) {
        let pools = self.shard.pools.clone();
        for pool in &pools {
            for ordinal in 0..pool.existing() {
                if self.shard.pod(pool, ordinal).is_none() {
                    self.make(pool, ordinal);
                }
            }
            let surplus = |pod: &Pod| pod.pool == pool.name && pod.ordinal >= pool.existing();
            let going: Vec<String> =
                self.shard.pods.iter().filter(|pod| surplus(pod)).map(|pod| pod.uid.clone()).collect();
            for uid in &going {
                self.end(uid);
            }
        }
        let count = self.shard.pods.len();
        if count > 0 {
            self.advance(pod % count);
        }
        self.elect();
    }

    fn make(&mut self, pool: &Pool, ordinal: i32) {
        self.made += 1;
        self.wasted += usize::from(!self.works);
        self.shard.pods.push(Pod {
            name: format!("{}-{ordinal}", pool.name),
            uid: self.made.to_string(),
            pool: pool.name.clone(),
            ordinal,
            cell: pool.name.clone(),
            standing: Standing::Apart,
            ..Pod::default()
        });
    }

    fn advance(&mut self, index: usize) {
        let works = self.works;
        let pod = &mut self.shard.pods[index];
        if pod.terminating {
            self.shard.pods.remove(index);
        } else if pod.outdated.is_none() && !works {
            (pod.running, pod.ready) = (false, false);
        } else if !pod.running {
            pod.running = true;
        } else if !pod.ready {
            pod.ready = true;
        } else if pod.standing == Standing::Apart {
            pod.standing = Standing::Joined;
        }
    }

    /// One of those that can leads; what is known of that is another thing.
    fn elect(&mut self) {
        for pod in &mut self.shard.pods {
            if pod.standing == Standing::Unknown {
                pod.standing = if pod.ready { Standing::Joined } else { Standing::Apart };
            }
        }
        let led = self.shard.pods.iter().any(|pod| pod.standing == Standing::Primary);
        let able = self.shard.pods.iter_mut().find(|pod| pod.takes_part());
        match able {
            Some(pod) if !led => pod.standing = Standing::Primary,
            _ => {}
        }
        let led = self.shard.pods.iter().any(|pod| pod.standing == Standing::Primary);
        self.shard.roles_known = led && self.topology;
        if !self.topology {
            self.shard.pods.iter_mut().for_each(|pod| pod.standing = Standing::Unknown);
        }
    }

    /// Lets everything but the operator come to an end.
    fn settle(&mut self) {
        for round in 0..60 {
            self.heal(round);
        }
    }

    fn is_done(&self) -> bool {
        let done = |pool: &Pool| pool.existing() == pool.desired;
        self.shard.pools.iter().all(done)
            && self.shard.pods.iter().all(|pod| pod.outdated.is_none() && pod.takes_part())
    }
}

fn sizes() -> impl Strategy<Value = Vec<i32>> {
    proptest::collection::vec(0..3_i32, 3)
        .prop_filter("three instances", |sizes| sizes.iter().sum::<i32>() >= 3)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Each step is seen to in [`World::step`], whatever happened before it.
    #[test]
    fn no_step_hurts(sizes in sizes(), events in proptest::collection::vec(event(), 0..60), many_cells: bool) {
        let durability =
            if many_cells { DurabilityPolicy::MultiCellAtLeast2 } else { DurabilityPolicy::AtLeast2 };
        let mut world = World::new(&sizes, durability);
        for event in &events {
            world.happen(event);
        }
    }

    /// With a template that works and a topology that answers, everything becomes what it should be.
    #[test]
    fn it_comes_to_an_end(sizes in sizes(), wanted in sizes(), events in proptest::collection::vec(event(), 0..40)) {
        let mut world = World::new(&sizes, DurabilityPolicy::AtLeast2);
        for event in &events {
            world.happen(event);
        }
        world.happen(&Event::Topology(true));
        for (pool, replicas) in wanted.iter().enumerate() {
            world.happen(&Event::Scale(pool, *replicas));
        }
        world.happen(&Event::Change { works: true });
        for _ in 0..40 {
            world.settle();
            world.step();
        }
        prop_assert!(world.is_done(), "{:#?}\n{:?}", world.shard, plan(&world.shard));
    }

    /// A template that does not work takes one instance of a shard that was whole.
    #[test]
    fn a_bad_template_takes_one_instance(sizes in sizes()) {
        let mut world = World::new(&sizes, DurabilityPolicy::AtLeast2);
        world.happen(&Event::Change { works: false });
        for _ in 0..20 {
            world.step();
            world.settle();
        }
        prop_assert_eq!(world.wasted, 1);
        let serving = world.shard.pods.iter().filter(|pod| pod.takes_part()).count();
        prop_assert_eq!(serving + 1, world.shard.pods.len());
    }
}
