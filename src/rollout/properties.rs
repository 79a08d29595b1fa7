//! Invariants of the planner, tried on shards that are changed, hurt and healed at random.

use multigres_crds::v1alpha1::DurabilityPolicy;
use proptest::prelude::*;

use super::plan;

mod world;

use world::{Event, Template, World};

fn event() -> impl Strategy<Value = Event> {
    let pod = || 0..8_usize;
    let pool = || 0..3_usize;
    let template = prop_oneof![
        2 => Just(Template::Works),
        1 => Just(Template::NoImage),
        1 => Just(Template::NoExporter),
    ];
    let ordinary = prop_oneof![
        8 => Just(Event::Step),
        8 => pod().prop_map(Event::Heal),
        2 => template.prop_map(Event::Change),
        2 => (pool(), 0..4_i32).prop_map(|(pool, replicas)| Event::Scale(pool, replicas)),
        2 => Just(Event::Write),
        3 => (0..40_u64).prop_map(Event::Pass),
    ];
    let harm = prop_oneof![
        2 => pod().prop_map(Event::Crash),
        1 => pod().prop_map(Event::FailExporter),
        1 => pod().prop_map(Event::CutOff),
        1 => pod().prop_map(Event::Misreport),
        2 => any::<bool>().prop_map(Event::Topology),
        2 => pool().prop_map(Event::Vanish),
        2 => (pool(), 0..4_i32).prop_map(|(pool, replicas)| Event::GrowAndScale(pool, replicas)),
        1 => pool().prop_map(Event::Drop),
        1 => (pool(), any::<bool>()).prop_map(|(pool, owned)| Event::Steal(pool, owned)),
        1 => (-9000..9000_i64).prop_map(Event::Skew),
        1 => Just(Event::Restart),
        1 => any::<bool>().prop_map(Event::Force),
    ];
    prop_oneof![3 => ordinary, 1 => harm]
}

fn sizes() -> impl Strategy<Value = Vec<i32>> {
    proptest::collection::vec(0..4_i32, 3)
        .prop_filter("three instances", |sizes| sizes.iter().sum::<i32>() >= 3)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// [`World`] sees to each step, and to each pod that Kubernetes lets go of, whatever happened before.
    #[test]
    fn no_step_hurts(sizes in sizes(), events in proptest::collection::vec(event(), 0..90), many_cells: bool) {
        let durability =
            if many_cells { DurabilityPolicy::MultiCellAtLeast2 } else { DurabilityPolicy::AtLeast2 };
        let mut world = World::new(&sizes, durability);
        for event in &events {
            world.happen(event);
        }
    }

    /// A template that does not work takes one instance of a shard that was whole.
    #[test]
    fn a_bad_template_takes_one_instance(sizes in sizes(), exporter: bool) {
        let mut world = World::new(&sizes, DurabilityPolicy::AtLeast2);
        world.happen(&Event::Change(if exporter { Template::NoExporter } else { Template::NoImage }));
        for _ in 0..20 {
            world.happen(&Event::Step);
            world.settle();
        }
        prop_assert_eq!(world.wasted(), 1);
        prop_assert_eq!(world.ready() + 1, world.instances());
    }
}

proptest! {
    // Each case is some thousand events.
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// With a template that works and a topology that answers, everything becomes what it should be.
    #[test]
    fn it_comes_to_an_end(sizes in sizes(), wanted in sizes(), events in proptest::collection::vec(event(), 0..40)) {
        let mut world = World::new(&sizes, DurabilityPolicy::AtLeast2);
        for event in &events {
            world.happen(event);
        }
        world.happen(&Event::Topology(true));
        for (pool, replicas) in wanted.iter().enumerate() {
            world.happen(&if *replicas > 0 { Event::Scale(pool, *replicas) } else { Event::Drop(pool) });
        }
        world.happen(&Event::Change(Template::Works));
        for _ in 0..50 {
            world.settle();
            world.happen(&Event::Step);
        }
        prop_assert!(world.is_done(), "{world:#?}\n{:?}", plan(&world.observe()));
    }
}
