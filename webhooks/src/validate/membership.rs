//! Rules for the instances that hold a shard's data, and for changes of them.
//!
//! A new instance restores the last backup and catches up from its peers. If most of the instances that hold later
//! commits go at once, nobody is left to catch up from. So a change keeps a quorum and the majority; larger changes are
//! made in several steps, which [`plan`] finds.

mod members;

use std::collections::BTreeSet;

use multigres_crds::resolve::TableGroupSource;
use multigres_crds::v1alpha1::{DurabilityPolicy, PoolType};

use super::view::View;
use super::{ChildContext, ChildSpec, ClusterContext, Reporter, rule};
use crate::path::{FieldPath, Path};
use crate::report::{Reason, quote};
use members::{Identity, Members, identity, is_safe, plan, plan_with_one_primary};

pub(super) use members::QUORUM;

rule!(
    /// An update keeps a quorum and the majority of a shard's primary-eligible instances: only they hold what was acknowledged since the last backup.
    U13 since "0.1.0" = cluster: majority_stays, child: majority_of_shard_stays
);

fn majority_stays(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let is_managed = |view: &View<'_>| {
        view.spec().databases.as_ref().is_some_and(|databases| databases.managed.unwrap_or(true))
    };
    let Some(old) = cx.old.as_ref().filter(|old| is_managed(old) && is_managed(&cx.new)) else { return };
    cx.new.each_kept_database(old, |template, database, before| {
        let policy = before.template.spec.durability_policy.unwrap_or_default();
        for group in &database.groups {
            let Some(before) = before.group(group.name) else { continue };
            let list = || pools_path(template, group);
            let is_known = cx.new.unknown().is_empty() || cx.new.knows(list());
            if !is_known || !old.unknown().is_empty() {
                continue;
            }
            let change = Change {
                policy,
                old: Members::of_group(before),
                new: Members::of_group(group),
                form: if before.index.is_none() && group.index.is_none() { Form::Short } else { Form::Full },
                readable: group
                    .pools
                    .iter()
                    .filter(|pool| pool.type_ == PoolType::ReadOnly)
                    .map(identity)
                    .collect(),
            };
            let shard = || format!("{}/{}", database.template.name, group.name);
            let path = |changed: Option<&Identity>| {
                let pool =
                    changed.and_then(|changed| group.pools.iter().find(|pool| identity(pool) == *changed));
                pool.map_or_else(list, |pool| {
                    database.at_pool(template, pool, |site| FieldPath::from(&site.block.field("replicas")))
                })
            };
            judge(&change, shard, path, report);
        }
    });
}

/// Path of the list of a table group's pools.
fn pools_path(template: &Path<'_>, group: &TableGroupSource<'_>) -> FieldPath {
    let spec = template.field("spec");
    match group.index {
        None => FieldPath::from(&spec.field("pools")),
        Some(index) => {
            let groups = spec.field("tableGroups");
            FieldPath::from(&groups.item(index, group.name).field("shardTemplate.pools"))
        }
    }
}

fn majority_of_shard_stays(cx: &ChildContext<'_>, report: &mut Reporter<'_>) {
    let list = Path::new("spec.pools");
    let (ChildSpec::MultiShard(new), Some(old)) = (cx.new.spec, &cx.old) else { return };
    let ChildSpec::MultiShard(before) = old.spec else { return };
    if !cx.new.knows(&list) || !old.knows(&list) {
        return;
    }
    let readable = new.pools.iter().filter(|pool| pool.type_ == PoolType::ReadOnly);
    let change = Change {
        policy: before.durability_policy,
        old: Members::of_shard(before),
        new: Members::of_shard(new),
        form: Form::Full,
        readable: readable
            .map(|pool| Identity { cell: pool.cell.clone(), pool: pool.name.clone() })
            .collect(),
    };
    let path = |changed: Option<&Identity>| {
        let index = changed.and_then(|changed| new.pools.iter().position(|pool| pool.name == changed.pool));
        index.map_or_else(
            || FieldPath::from(&list),
            |index| {
                let name = new.pools.get(index).map_or("", |pool| &pool.name);
                FieldPath::from(&list.item(index, name).field("replicas"))
            },
        )
    };
    judge(&change, || format!("{}/{}", new.database, new.table_group), path, report);
}

/// Refuses a change that goes too far, at the one pool that it is about where there is one.
fn judge(
    change: &Change,
    shard: impl FnOnce() -> String,
    path: impl FnOnce(Option<&Identity>) -> FieldPath,
    report: &mut Reporter<'_>,
) {
    let (old, kept) = (change.old.total(), change.old.kept_by(&change.new).total());
    if change.is_safe() {
        if let Some(gone) = change.replaced() {
            report.warn(format!(
                "{}: pool {} is removed; new instances restore the last backup and catch up",
                shard(),
                quote(gone)
            ));
        }
        return;
    }
    let shrunk: Vec<&Identity> = change.shrunk().collect();
    let path = path(match shrunk.as_slice() {
        [only] => Some(only),
        _ => None,
    });
    let message = format!(
        "only {kept} of {old} instances that can lead would be kept, and what the others acknowledged since the last \
         backup would be lost; {}",
        change.advice()
    );
    report.error(path, Reason::Forbidden, format!("{:?} {:?}", change.old, change.new), message);
}

/// The form that pools are written in, which decides the possible intermediate steps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// With a primary in one cell, and names made of cells.
    Short,
    Full,
}

/// The change that an update makes to a shard.
struct Change {
    policy: DurabilityPolicy,
    old: Members,
    new: Members,
    form: Form,
    /// Pools that only read afterwards.
    readable: BTreeSet<Identity>,
}

impl Change {
    fn is_safe(&self) -> bool {
        is_safe(self.policy, &self.old, &self.new)
    }

    /// Pools that lose instances.
    fn shrunk(&self) -> impl Iterator<Item = &Identity> {
        self.old
            .pools()
            .iter()
            .filter(|(pool, instances)| self.new.count(pool) < **instances)
            .map(|(pool, _)| pool)
    }

    /// A pool that goes as a whole, where others come or stay.
    fn replaced(&self) -> Option<&str> {
        self.shrunk().find(|pool| self.new.count(pool) == 0).map(|pool| pool.pool.as_str())
    }

    /// The steps to take instead.
    fn advice(&self) -> String {
        // Within a shard names are unique, so a pool cannot be in two cells even for a while.
        let (new, renamed) = self.new.without_names_of(&self.old);
        let names = renamed.iter().map(|(pool, name)| {
            format!("{} cannot move to cell {} under its name, call it {name} there; ", pool.pool, pool.cell)
        });
        let names: String = names.collect();
        let states = match self.form {
            Form::Short => plan_with_one_primary(self.policy, &self.old, &new),
            Form::Full => plan(self.policy, &self.old, &new),
        };
        match states {
            Some(states) => format!("{names}go step by step: {}", self.steps(&states, &new)),
            None => format!("keep at least {QUORUM} instances, and more than half"),
        }
    }

    fn steps(&self, states: &[Members], new: &Members) -> String {
        let states = [&self.old].into_iter().chain(states).chain([new]);
        let states: Vec<&Members> = states.collect();
        let steps = states.windows(2).filter_map(|pair| match pair {
            [before, after] => Some(self.step(before, after)),
            _ => None,
        });
        steps.collect::<Vec<_>>().join("; wait; ")
    }

    fn step(&self, before: &Members, after: &Members) -> String {
        let pools: BTreeSet<&Identity> = before.pools().keys().chain(after.pools().keys()).collect();
        let changes = pools.into_iter().filter_map(|pool| {
            let name = &pool.pool;
            Some(match (before.count(pool), after.count(pool)) {
                (was, is) if was == is => return None,
                (0, is) => format!("add {name}: {is}"),
                (_, 0) if self.readable.contains(pool) => format!("make {name} readOnly"),
                (_, 0) => format!("remove {name}"),
                (was, is) => format!("{name} {was} → {is}"),
            })
        });
        changes.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::members::tests::{any_entries, any_members};
    use super::*;
    use crate::lookup::Offline;
    use crate::report::Cause;
    use crate::testing::{Edit, FULL, SHORT, decode, edit, edited, sample, small, volume};
    use crate::validate::testing::{found, update};

    /// The pools of the full form.
    fn pools(pools: &[(&str, &str, i32)]) -> Vec<Edit> {
        let pools: Vec<Value> = pools
            .iter()
            .map(|(name, cell, replicas)| {
                json!({"name": name, "type": "replica", "cell": cell, "replicas": replicas, "dataVolumeClaimTemplate": volume("1Gi")})
            })
            .collect();
        vec![edit(FULL, "/spec/tableGroups/0/shardTemplate/pools", json!(pools))]
    }

    /// The pools of the short form: cell, instances of the primary pool, instances of the replica pool.
    fn entries(entries: &[(&str, i32, i32)]) -> Vec<Edit> {
        let member = |replicas: i32| json!({"replicas": replicas, "dataVolumeClaimTemplate": volume("1Gi")});
        let entry = |(cell, primary, replica): &(&str, i32, i32)| {
            let mut entry = json!({"cell": cell});
            for (role, instances) in [("primary", *primary), ("replica", *replica)] {
                if instances > 0 {
                    entry[role] = member(instances);
                }
            }
            entry
        };
        let entries: Vec<Value> = entries.iter().map(entry).collect();
        vec![edit(SHORT, "/spec/pools", json!(entries))]
    }

    const LIST: &str = "Forbidden spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools";

    #[test]
    fn majority_stays() {
        let one = |instances: i32| pools(&[("p", "a", instances)]);
        let at_pool = format!("{LIST}[0].replicas");
        let goes = |pool: &str| {
            format!(
                "full/default: pool {pool:?} is removed; new instances restore the last backup and catch up"
            )
        };
        update(
            "U13",
            &[
                (one(6), one(4), &[]),
                (one(3), one(2), &[]),
                (one(2), one(20), &[]),
                (one(6), one(2), &[&at_pool]),
                (one(4), one(2), &[&at_pool]),
                (one(2), one(1), &[&at_pool]),
                (one(3), pools(&[("q", "a", 3)]), &[LIST]),
                (one(3), pools(&[("p", "b", 3)]), &[LIST]),
                (one(3), pools(&[("p", "a", 3), ("q", "b", 3)]), &[]),
                (
                    pools(&[("p", "a", 2), ("q", "b", 1)]),
                    pools(&[("p", "a", 2), ("r", "b", 1)]),
                    &[&goes("q")],
                ),
                // The order of pools is no matter.
                (pools(&[("p", "a", 2), ("q", "b", 1)]), pools(&[("q", "b", 1), ("p", "a", 2)]), &[]),
                // Those of p are in one cell, and the policy wants two.
                (
                    [
                        pools(&[("p", "a", 2), ("q", "b", 1)]),
                        vec![edit(FULL, "/spec/durabilityPolicy", json!("MULTI_CELL_AT_LEAST_2"))],
                    ]
                    .concat(),
                    pools(&[("p", "a", 2), ("r", "b", 1)]),
                    &[LIST],
                ),
                // One that only reads no longer counts.
                (
                    one(3),
                    vec![edit(FULL, "/spec/tableGroups/0/shardTemplate/pools/0/type", json!("readOnly"))],
                    &[&at_pool],
                ),
                // What is not managed here, is another one, or is not known.
                ([one(3), vec![edit("/spec/databases", "/managed", json!(false))]].concat(), one(1), &[]),
                (one(3), [one(1), vec![edit(FULL, "/name", json!("new"))]].concat(), &[]),
                (
                    one(3),
                    vec![edit(FULL, "/spec/tableGroups/0/shardTemplate/pools/0/replicas", json!("1"))],
                    &[],
                ),
            ],
        );
    }

    #[test]
    fn the_form_is_no_matter_but_names_are() {
        let full = |names: [&str; 3]| {
            let pools: Vec<Value> = [("a", 2), ("a", 1), ("b", 1)].iter().zip(names)
                .map(|((cell, replicas), name)| {
                    json!({"name": name, "type": "replica", "cell": cell, "replicas": replicas, "dataVolumeClaimTemplate": volume("10Gi")})
                })
                .collect();
            let groups = json!([{"name": "default", "partitioning": {"shards": 1}, "shardTemplate": {"pools": pools}}]);
            vec![edit(SHORT, "/spec/pools", json!(null)), edit(SHORT, "/spec/tableGroups", groups)]
        };
        update(
            "U13",
            &[
                (vec![], full(["a-primary", "a-replica", "b-replica"]), &[]),
                (
                    vec![],
                    full(["a", "b", "c"]),
                    &["Forbidden spec.databases.templates[0].spec.tableGroups[0].shardTemplate.pools"],
                ),
            ],
        );
        // The primary of the sample moves: one of six instances.
        let mut moved = sample();
        let pools = &mut moved["spec"]["databases"]["templates"][0]["spec"]["pools"];
        let primary = pools[0].as_object_mut().unwrap().remove("primary").unwrap();
        pools[0]["replica"]["dataVolumeClaimTemplate"] = primary["dataVolumeClaimTemplate"].clone();
        pools[1]["primary"] = primary;
        assert_eq!(
            found("U13", &moved, Some(&sample()), &Offline),
            [
                "users_db/default: pool \"us-east-1-primary\" is removed; new instances restore the last backup and catch up"
            ]
        );
    }

    fn errors(old: &str, new: &str) -> Vec<Cause> {
        crate::validate::cluster(&decode(new), Some(&decode(old)), &crate::validate::Context::OFFLINE).errors
    }

    /// Advice on what to do instead of a change.
    fn advice(old: &[Edit], new: &[Edit]) -> String {
        let manifest = |edits: &[Edit]| edited(small(), edits).to_string();
        let causes = errors(&manifest(old), &manifest(new));
        causes[0].message.split_once("would be lost; ").unwrap().1.to_owned()
    }

    #[test]
    fn steps_are_told_with_numbers() {
        let full = |old: &[(&str, &str, i32)], new: &[(&str, &str, i32)]| advice(&pools(old), &pools(new));
        assert_eq!(
            full(&[("a", "a", 3)], &[("b", "b", 3)]),
            "go step by step: add b: 3; wait; a 3 → 1; wait; remove a"
        );
        assert_eq!(
            full(&[("a", "a", 6)], &[("a", "a", 2)]),
            "go step by step: a 6 → 4; wait; a 4 → 3; wait; a 3 → 2"
        );
        assert_eq!(
            full(&[("p", "a", 3)], &[("p", "b", 3)]),
            "p cannot move to cell b under its name, call it p-b there; go step by step: add p-b: 3; wait; p 3 → 1; wait; \
             remove p"
        );
        assert_eq!(
            advice(&entries(&[("a", 3, 0)]), &entries(&[("b", 3, 0)])),
            "go step by step: add b-replica: 3; wait; a-primary 3 → 1; wait; remove a-primary, add b-primary: 3; \
             wait; b-replica 3 → 1; wait; remove b-replica"
        );
    }

    fn every_step_is_admitted(
        old: &Members,
        states: &[Members],
        new: &Members,
        manifest: impl Fn(&Members) -> String,
    ) -> Result<(), TestCaseError> {
        let mut state = manifest(old);
        for next in states.iter().chain([new]) {
            let next = manifest(next);
            let errors = errors(&state, &next);
            prop_assert!(errors.is_empty(), "{:?}", errors);
            state = next;
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// The same with manifests, held to all rules.
        #[test]
        fn manifests_of_every_step_are_admitted(old in any_members(), new in any_members()) {
            prop_assume!(old.total() >= QUORUM && new.total() >= QUORUM);
            let manifest = |members: &Members| {
                let list: Vec<_> = members.pools().iter().map(|(id, count)| (id.pool.as_str(), id.cell.as_str(), *count)).collect();
                edited(small(), &pools(&list)).to_string()
            };
            let states = plan(DurabilityPolicy::AtLeast2, &old, &new).unwrap();
            every_step_is_admitted(&old, &states, &new, manifest)?;
        }

        #[test]
        fn entries_of_every_step_are_admitted(old in any_entries(), new in any_entries()) {
            prop_assume!(old.total() >= QUORUM && new.total() >= QUORUM);
            let manifest = |members: &Members| {
                let count = |cell: &str, role: &str| {
                    members.count(&Identity { pool: format!("{cell}-{role}"), cell: cell.to_owned() })
                };
                let list = ["a", "b"].map(|cell| (cell, count(cell, "primary"), count(cell, "replica")));
                let there: Vec<_> = list.into_iter().filter(|(_, primary, replica)| primary + replica > 0).collect();
                edited(small(), &entries(&there)).to_string()
            };
            let states = plan_with_one_primary(DurabilityPolicy::AtLeast2, &old, &new).unwrap();
            every_step_is_admitted(&old, &states, &new, manifest)?;
        }
    }
}
