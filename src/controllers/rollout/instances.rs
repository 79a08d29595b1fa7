//! The instances of a shard, as the caches and its manifests have them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use multigres_crds::labels::{self, Labels};
use multigres_crds::names::instance;
use multigres_crds::v1alpha1::{MultiShard, ShardPool, Truth};
use serde_json::Value;

use crate::build::{Manifest, shard_names};
use crate::controllers::context::Context;
use crate::observe::{Instance, ObjectKey, Observed};
use crate::rollout::{Outdated, Pod, Pool, Shard, Standing, Undecided, ordinal};
use crate::topology::{Role, Roles};

/// The pools and pods of a shard.
pub struct Instances {
    shard: Shard,
    /// The StatefulSet of each pool, by its key.
    pools: BTreeMap<ObjectKey, String>,
    /// Objects of pools that are no longer wanted.
    leftovers: Vec<ObjectKey>,
    rewritten: Vec<String>,
    /// True if the account of every pool is of its current template: as long as one is not, it looks up to date.
    settled: bool,
}

/// Expected pods of a pool.
struct Wanted<'a> {
    /// The revision of the current template, where that is known.
    revision: Option<&'a str>,
    /// The images of the containers, by name.
    images: BTreeMap<String, String>,
}

impl Instances {
    /// Looks them up.
    pub fn of(owner: &MultiShard, cx: &Context, manifests: &[Manifest]) -> Self {
        let controlled = cx.objects.controlled_by(&owner.uid().unwrap_or_default());
        let names = shard_names(&owner.spec);
        let namespace = owner.namespace().unwrap_or_default();
        let mut instances = Self {
            shard: Shard::default(),
            pools: BTreeMap::new(),
            leftovers: Vec::new(),
            rewritten: Vec::new(),
            settled: true,
        };
        instances.shard.durability = owner.spec.durability_policy;
        let key = |pool: &str| ObjectKey::new("StatefulSet", &namespace, &names.pool(pool));
        for ShardPool { name, replicas, .. } in &owner.spec.pools {
            let found = cx.observed(&key(name)).filter(|found| !found.deleting);
            instances.settled &= found.as_ref().is_none_or(|found| found.workload.current);
            let current = found.map(|found| found.workload.desired);
            let pool = Pool { name: name.clone(), desired: *replicas, current, leftover: false };
            instances.add_pool(key(name), pool);
        }
        for (key, observed) in &controlled {
            let Some(pool) = observed.labels.get(labels::POOL) else { continue };
            if key.kind == "StatefulSet" && !observed.deleting {
                let current = Some(observed.workload.desired);
                let pool = Pool { name: pool.to_string(), desired: 0, current, leftover: true };
                instances.add_pool(key.clone(), pool);
            }
        }
        for (pod, observed) in pods(owner, cx, &namespace) {
            let Some(seen) = Pod::seen(&names, &pod, &observed) else { continue };
            // Of a pool whose StatefulSet is gone only the pods may be left.
            let pool = Pool { name: seen.pool.clone(), leftover: true, ..Pool::default() };
            instances.add_pool(key(&seen.pool), pool);
            instances.add_pod(seen, &pod, &observed, cx, manifests);
        }
        instances.leftovers = instances.leftovers(&controlled, owner);
        instances
    }

    /// Adds a pool, unless it is known.
    fn add_pool(&mut self, key: ObjectKey, pool: Pool) {
        if let Entry::Vacant(entry) = self.pools.entry(key) {
            entry.insert(pool.name.clone());
            self.shard.pools.push(pool);
        }
    }

    fn add_pod(
        &mut self,
        pod: Pod,
        key: &ObjectKey,
        observed: &Observed,
        cx: &Context,
        manifests: &[Manifest],
    ) {
        let (Some(instance), Some((set, _))) = (&observed.instance, ordinal(&key.name)) else { return };
        let set = ObjectKey::new("StatefulSet", &key.namespace, set);
        let workload = cx.objects.get(&set).filter(|set| self.settled && set.workload.current);
        let revision = workload.as_ref().and_then(|set| set.revision.as_deref());
        let manifest = manifests.iter().find(|manifest| manifest.key() == set);
        let wanted = Wanted { revision, images: manifest.map(images).unwrap_or_default() };
        let foreign = wanted.foreign(instance);
        let edited = foreign.iter().find(|container| instance.edited.contains(**container));
        let outdated =
            if wanted.revision.is_some_and(|revision| observed.revision.as_deref() != Some(revision)) {
                Some(Outdated::Template)
            } else {
                edited.map(|container| Outdated::Image((*container).to_owned()))
            };
        if outdated.is_none() && wanted.revision.is_some() {
            let rewritten = |container: &&str| {
                format!("{container} of pod {} runs {}", key.name, instance.images[*container])
            };
            self.rewritten.extend(foreign.iter().map(rewritten));
        }
        self.shard.pods.push(Pod {
            ready_for: cx.readiness.ready_for(&pod.uid),
            terminating: pod.terminating || cx.ended.contains(&pod.uid),
            outdated,
            ..pod
        });
    }

    /// Objects that a pool still needs while it is turned down.
    fn leftovers(&self, controlled: &[(ObjectKey, Observed)], owner: &MultiShard) -> Vec<ObjectKey> {
        let wanted = |pool: &str| owner.spec.pools.iter().any(|wanted| wanted.name == pool);
        let populated = |pool: &str| {
            self.shard.pods.iter().any(|pod| pod.pool == pool)
                || self.shard.pools.iter().any(|known| known.name == pool && self.shard.existing(known) > 0)
        };
        let of_pool = |(_, observed): &&(ObjectKey, Observed)| {
            observed.labels.get(labels::POOL).is_some_and(|pool| !wanted(pool) && populated(pool))
        };
        controlled.iter().filter(of_pool).map(|(key, _)| key.clone()).collect()
    }

    /// The shard as the planner is to see it.
    pub fn seen_by(&self, roles: &Roles, undecided: Undecided) -> Shard {
        let mut shard = Shard { roles_known: is_led(roles), undecided, ..self.shard.clone() };
        for pod in &mut shard.pods {
            pod.standing = standing(&pod.name, roles, shard.roles_known);
        }
        shard
    }

    /// The pool of a StatefulSet.
    pub fn pool_of(&self, key: &ObjectKey) -> Option<&String> {
        self.pools.get(key)
    }

    /// The most instances that there are, or are to be.
    pub fn most(&self) -> i32 {
        self.shard.pools.iter().map(|pool| self.shard.expected(pool)).sum()
    }

    /// Objects that are no longer wanted, of pools and instances that are still there.
    pub fn kept(&self) -> Vec<ObjectKey> {
        let namespace = self.pools.keys().next().map(|set| set.namespace.as_str()).unwrap_or_default();
        let service = |pod: String| ObjectKey::new("Service", namespace, &pod);
        self.leftovers.iter().cloned().chain(self.names().into_iter().map(service)).collect()
    }

    /// The names of the instances that exist or are to exist: those of their pods, and of their Services.
    fn names(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = self.shard.pods.iter().map(|pod| pod.name.clone()).collect();
        for (set, pool) in &self.pools {
            let pool = self.shard.pools.iter().find(|known| known.name == *pool);
            let made = pool.filter(|pool| !pool.is_orphaned());
            let replicas = made.map_or(0, |pool| self.shard.existing(pool).max(pool.desired));
            names.extend((0..replicas).map(|ordinal| instance(&set.name, ordinal)));
        }
        names
    }

    /// Containers that run another image than they should since they were made: the platform's doing.
    pub fn rewritten(&self) -> Vec<String> {
        self.rewritten.clone()
    }
}

impl Wanted<'_> {
    /// The containers of an instance that run another image than they should. Those of others are none of ours.
    fn foreign<'a>(&'a self, instance: &Instance) -> Vec<&'a str> {
        let differs = |(container, image): &(&String, &String)| {
            instance.images.get(*container).is_some_and(|runs| runs != *image)
        };
        self.images.iter().filter(differs).map(|(container, _)| container.as_str()).collect()
    }
}

/// The pods that exist or are to exist.
pub struct Expected {
    /// Their names.
    pub names: BTreeSet<String>,
    /// Number of those that are ready.
    pub ready: usize,
}

impl Expected {
    /// Looks them up.
    pub fn of(shard: &MultiShard, cx: &Context) -> Self {
        let instances = Instances::of(shard, cx, &[]);
        let ready = instances.shard.pods.iter().filter(|pod| pod.ready).count();
        Self { ready, names: instances.names() }
    }
}

/// The pods of a shard.
pub(super) fn pods(owner: &MultiShard, cx: &Context, namespace: &str) -> Vec<(ObjectKey, Observed)> {
    let labels = Labels::of_shard(&shard_names(&owner.spec)).selector();
    cx.objects.labelled(namespace, "Pod", &labels)
}

/// The images of a workload's containers, by name.
fn images(manifest: &Manifest) -> BTreeMap<String, String> {
    let spec = &manifest.body["spec"]["template"]["spec"];
    let lists = ["containers", "initContainers"].into_iter().filter_map(|list| spec[list].as_array());
    let image = |container: &Value| {
        Some((container["name"].as_str()?.to_owned(), container["image"].as_str()?.to_owned()))
    };
    lists.flatten().filter_map(image).collect()
}

/// Somebody leads and is seen to serve writes.
pub fn is_led(roles: &Roles) -> bool {
    roles.primary.is_some() && roles.serving_writes == Truth::True
}

/// Standing of a pod. A pod that has not registered is detached; one that does not answer may have any role.
fn standing(pod: &str, roles: &Roles, known: bool) -> Standing {
    let Some(member) = roles.members.get(pod) else {
        return if known { Standing::Apart } else { Standing::Unknown };
    };
    match member.role {
        Some(Role::Primary) => Standing::Primary,
        Some(Role::Standby) if roles.has_joined(pod) => Standing::Joined,
        Some(Role::Standby) => Standing::Apart,
        // Whom its own PostgreSQL shuts out cannot even be told whom to follow.
        None if known && member.locked_out => Standing::Apart,
        None => Standing::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Member;

    #[test]
    fn what_does_not_answer_may_have_any_part() {
        let member =
            |role, joined| Member { role, streaming: joined, in_cohort: joined, ..Member::default() };
        let members = [
            ("primary", member(Some(Role::Primary), false)),
            ("joined", member(Some(Role::Standby), true)),
            ("apart", member(Some(Role::Standby), false)),
            ("silent", member(None, true)),
            ("locked-out", Member { locked_out: true, ..member(None, false) }),
        ];
        let members = members.map(|(pod, member)| (pod.to_owned(), member)).into();
        let roles = Roles { members, ..Roles::default() };
        for (pod, expected) in [
            ("primary", Standing::Primary),
            ("joined", Standing::Joined),
            ("apart", Standing::Apart),
            ("silent", Standing::Unknown),
            ("locked-out", Standing::Apart),
            ("unregistered", Standing::Apart),
        ] {
            assert_eq!(standing(pod, &roles, true), expected, "{pod}");
        }
        for pod in ["locked-out", "unregistered"] {
            assert_eq!(standing(pod, &roles, false), Standing::Unknown, "{pod}");
        }
    }

    #[test]
    fn pods_are_named_after_their_set() {
        assert_eq!(ordinal("a-b-pg-10"), Some(("a-b-pg", 10)));
        assert_eq!(ordinal("a-b-pg"), None);
    }
}
