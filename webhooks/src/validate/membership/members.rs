//! Instances that can lead, and which of them may go at once.

use std::collections::{BTreeMap, BTreeSet};

use multigres_crds::resolve::{PoolSource, TableGroupSource};
use multigres_crds::v1alpha1::{DurabilityPolicy, MultiShardSpec, PoolType};

/// Instances that each durability policy needs.
pub const QUORUM: i32 = 2;

/// Identity of an instance, without its ordinal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    pub pool: String,
    pub cell: String,
}

/// Longest name of a pool.
const MAX_NAME: usize = 50;

impl Identity {
    /// A pool of the short form.
    fn of_role(cell: &str, role: &str) -> Self {
        Self { pool: format!("{cell}-{role}"), cell: cell.to_owned() }
    }

    fn is_of_role(&self, role: &str) -> bool {
        *self == Self::of_role(&self.cell, role)
    }

    /// A name that says where the pool is.
    fn name_in_cell(&self, number: usize) -> String {
        let end = if number == 1 { format!("-{}", self.cell) } else { format!("-{}-{number}", self.cell) };
        let start: String = self.pool.chars().take(MAX_NAME.saturating_sub(end.len())).collect();
        start + &end
    }
}

pub fn identity(pool: &PoolSource<'_>) -> Identity {
    Identity { pool: pool.name.to_string(), cell: pool.cell.to_owned() }
}

/// The instances of a shard that can lead, by pool. Pools without any are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members(BTreeMap<Identity, i32>);

impl FromIterator<(Identity, i32)> for Members {
    fn from_iter<I: IntoIterator<Item = (Identity, i32)>>(pools: I) -> Self {
        Self(pools.into_iter().filter(|(_, instances)| *instances > 0).collect())
    }
}

impl Members {
    pub fn of_group(group: &TableGroupSource<'_>) -> Self {
        let eligible = group.pools.iter().filter(|pool| pool.type_ == PoolType::Replica);
        eligible.map(|pool| (identity(pool), pool.member.replicas())).collect()
    }

    pub fn of_shard(shard: &MultiShardSpec) -> Self {
        let eligible = shard.pools.iter().filter(|pool| pool.type_ == PoolType::Replica);
        let identity = |pool: &str, cell: &str| Identity { pool: pool.to_owned(), cell: cell.to_owned() };
        eligible.map(|pool| (identity(&pool.name, &pool.cell), pool.replicas)).collect()
    }

    /// The pools that have some, and how many.
    pub fn pools(&self) -> &BTreeMap<Identity, i32> {
        &self.0
    }

    pub fn count(&self, pool: &Identity) -> i32 {
        self.0.get(pool).copied().unwrap_or(0)
    }

    pub fn total(&self) -> i32 {
        self.0.values().fold(0, |total, instances| total.saturating_add(*instances))
    }

    fn cells(&self) -> BTreeSet<&str> {
        self.0.keys().map(|pool| pool.cell.as_str()).collect()
    }

    /// Those that are still there in a later state.
    pub fn kept_by(&self, later: &Self) -> Self {
        self.0.iter().map(|(pool, instances)| (pool.clone(), later.count(pool).min(*instances))).collect()
    }

    /// The same with other names for pools that others had in other cells, and which they are.
    pub fn without_names_of(&self, others: &Self) -> (Self, Vec<(Identity, String)>) {
        let is_taken =
            |pool: &Identity| others.0.keys().any(|other| other.pool == pool.pool && other.cell != pool.cell);
        let mut renamed = Vec::new();
        let pools = self.0.iter().map(|(pool, instances)| {
            if !is_taken(pool) {
                return (pool.clone(), *instances);
            }
            let is_free = |name: &String| {
                self.0.keys().chain(others.0.keys()).all(|other| other.pool != *name)
                    && renamed.iter().all(|(_, other)| other != name)
            };
            // One more than there are pools cannot all be taken.
            let numbers = 1..=self.0.len() + others.0.len() + 1;
            let name = numbers.map(|number| pool.name_in_cell(number)).find(is_free).unwrap_or_default();
            renamed.push((pool.clone(), name.clone()));
            (Identity { pool: name, cell: pool.cell.clone() }, *instances)
        });
        let pools = pools.collect();
        (pools, renamed)
    }

    /// The pool where the primary of the short form is preferred.
    fn primary(&self) -> Option<&Identity> {
        self.0.keys().find(|pool| pool.is_of_role("primary"))
    }

    /// The same with so many instances in a pool.
    fn with(mut self, pool: Identity, instances: i32) -> Self {
        self.0.remove(&pool);
        self.0.extend((instances > 0).then_some((pool, instances)));
        self
    }

    /// Those of both, of each pool the more.
    fn joined(&self, other: &Self) -> Self {
        let pools = self.0.keys().chain(other.0.keys());
        pools.map(|pool| (pool.clone(), self.count(pool).max(other.count(pool)))).collect()
    }
}

/// True if that many of the old instances may go at once.
pub fn is_safe(policy: DurabilityPolicy, old: &Members, new: &Members) -> bool {
    let kept = old.kept_by(new);
    let removed = old.total() - kept.total();
    let cells = match policy {
        DurabilityPolicy::AtLeast2 => 1,
        DurabilityPolicy::MultiCellAtLeast2 => 2,
    };
    removed == 0
        || removed.saturating_mul(2) < old.total()
            && kept.total() >= QUORUM
            && kept.cells().len() >= old.cells().len().min(cells)
}

/// The states from one to another, neither included, so that every step is safe: first everything is added, then what
/// is not wanted goes, ever a minority at a time. Nothing where a step must go too far.
pub fn plan(policy: DurabilityPolicy, old: &Members, new: &Members) -> Option<Vec<Members>> {
    let mut states = Vec::new();
    let mut state = old.clone();
    let grown = old.joined(new);
    if grown != state {
        states.push(grown.clone());
        state = grown;
    }
    while state != *new {
        let next = shrunk(&state, new);
        if next == state || !is_safe(policy, &state, &next) {
            return None;
        }
        if next != *new {
            states.push(next.clone());
        }
        state = next;
    }
    Some(states)
}

/// The same where each state is to have one primary pool, as the short form demands: where that goes to another cell,
/// a replica pool is there before it, and leaves or shrinks after it.
pub fn plan_with_one_primary(policy: DurabilityPolicy, old: &Members, new: &Members) -> Option<Vec<Members>> {
    let (Some(from), Some(to)) = (old.primary(), new.primary()) else { return plan(policy, old, new) };
    if from == to {
        return plan(policy, old, new);
    }
    let beside = Identity::of_role(&to.cell, "replica");
    let instances = [new.count(to), new.count(&beside), QUORUM].into_iter().max()?;
    let others = new.clone().with(to.clone(), 0).with(beside, instances);
    let (before, after) = (others.clone().with(from.clone(), 1), others.with(to.clone(), new.count(to)));
    if !is_safe(policy, &before, &after) {
        return None;
    }
    let (there, back) = (plan(policy, old, &before)?, plan(policy, &after, new)?);
    let mut states: Vec<Members> = there.into_iter().chain([before, after]).chain(back).collect();
    states.dedup();
    // The ends are known.
    states.retain(|state| state != old && state != new);
    Some(states)
}

/// The state with as many of the unwanted instances gone as may go at once.
fn shrunk(state: &Members, wanted: &Members) -> Members {
    let total = state.total();
    let mut budget = ((total - 1) / 2).min(total - QUORUM);
    let pools = state.0.iter().map(|(pool, instances)| {
        let gone = (instances - wanted.count(pool)).clamp(0, budget.max(0));
        budget -= gone;
        (pool.clone(), instances - gone)
    });
    pools.collect()
}

#[cfg(test)]
pub mod tests {
    use proptest::prelude::*;

    use super::*;

    fn members(pools: &[(&str, &str, i32)]) -> Members {
        let identity = |pool: &str, cell: &str| Identity { pool: pool.to_owned(), cell: cell.to_owned() };
        pools.iter().map(|(pool, cell, instances)| (identity(pool, cell), *instances)).collect()
    }

    /// Of the short form: one primary pool, and replica pools.
    pub fn any_entries() -> impl Strategy<Value = Members> {
        let pools = ("[ab]", 1..10_i32, prop::collection::btree_map("[ab]", 0..12_i32, 0..3));
        pools.prop_map(|(cell, primary, replicas)| {
            let replicas =
                replicas.iter().map(|(cell, instances)| (Identity::of_role(cell, "replica"), *instances));
            [(Identity::of_role(&cell, "primary"), primary)].into_iter().chain(replicas).collect()
        })
    }

    pub fn any_members() -> impl Strategy<Value = Members> {
        let pool = ("[p-s]", "[ab]", 0..12_i32);
        prop::collection::vec(pool, 1..5).prop_map(|pools| {
            pools
                .into_iter()
                .map(|(pool, cell, instances)| (Identity { pool: format!("{pool}-{cell}"), cell }, instances))
                .collect()
        })
    }

    proptest! {
        /// The advised steps lead to the wanted state, and every one of them is admitted.
        #[test]
        fn every_step_is_admitted(old in any_members(), new in any_members(), cells in any::<bool>()) {
            let policy = if cells { DurabilityPolicy::MultiCellAtLeast2 } else { DurabilityPolicy::AtLeast2 };
            prop_assume!(new.total() >= QUORUM && (!cells || new.cells().len() > 1));
            let plan = plan(policy, &old, &new);
            prop_assert!(plan.is_some(), "{:?} {:?}", old, new);
            let mut state = old;
            for next in plan.unwrap().into_iter().chain([new]) {
                prop_assert!(is_safe(policy, &state, &next), "{:?} {:?}", state, next);
                prop_assert!(next.total() >= QUORUM && (!cells || next.cells().len() > 1), "{:?}", next);
                state = next;
            }
        }
    }

    #[test]
    fn a_quorum_in_two_cells_stays_in_two() {
        let old = members(&[("p", "a", 3), ("q", "b", 1)]);
        let new = members(&[("p", "a", 3), ("r", "b", 1)]);
        assert!(is_safe(DurabilityPolicy::AtLeast2, &old, &new));
        assert!(!is_safe(DurabilityPolicy::MultiCellAtLeast2, &old, &new));
        assert_eq!(plan(DurabilityPolicy::MultiCellAtLeast2, &old, &new).unwrap(), [old.joined(&new)]);
    }
}
