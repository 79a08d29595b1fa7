//! Projections of the objects that the operator made, kept up to date by watches.
//!
//! A cluster becomes some forty-five objects, and a thousand clusters shall fit in little memory: so of each only
//! what decisions need is kept, and short texts, as most are, in place. Everything else is there as a digest, which
//! says whether an object is still what it was when it was last compared in full.

mod instance;
mod neighbourhood;
mod placement;
mod projection;
mod storage;
mod watch;

use std::borrow::Borrow;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use compact_str::CompactString;
use multigres_crds::kind::ChildKind;
use multigres_crds::labels;
use multigres_crds::v1alpha1::StringMap;

use crate::memory::Entries;

pub use instance::Instance;
pub use neighbourhood::Neighbourhood;
pub use placement::Placement;
pub use projection::{Observed, Owner, Workload, content};
pub use storage::StorageClasses;
pub use watch::{Scope, observe_objects, observe_resources};

/// Identifies an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Kind of the object; those that the operator makes have distinct kinds.
    pub kind: CompactString,
    /// Namespace of the object.
    pub namespace: CompactString,
    /// Name of the object.
    pub name: CompactString,
}

impl ObjectKey {
    /// The key of an object.
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self { kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// Change of an object.
#[derive(Clone, Debug)]
pub struct Change {
    /// The object.
    pub key: ObjectKey,
    /// The object before, if it was known.
    pub before: Option<Observed>,
    /// The object after, if it still exists.
    pub after: Option<Observed>,
}

/// The objects that carry a cluster's label, and who controls them.
#[derive(Debug, Default)]
pub struct Objects(RwLock<Index>);

#[derive(Debug, Default)]
struct Index {
    /// Kinds of which the first list is complete.
    complete: HashSet<String>,
    objects: HashMap<Arc<ObjectKey>, Observed>,
    /// By namespace and cluster, since most questions are about one.
    clusters: Groups<(CompactString, CompactString)>,
    /// By identity of the controller.
    controlled: Groups<CompactString>,
    /// By namespace, how many children each cluster controls; those of nobody are under no name.
    children: HashMap<CompactString, HashMap<CompactString, usize>>,
}

/// Objects that have something in common.
#[derive(Debug)]
struct Groups<K>(HashMap<K, BTreeSet<Arc<ObjectKey>>>);

impl Objects {
    /// The projection of an object.
    pub fn get(&self, key: &ObjectKey) -> Option<Observed> {
        self.read().objects.get(key).cloned()
    }

    /// The objects of a cluster that satisfy a condition.
    pub fn of_cluster(
        &self,
        namespace: &str,
        cluster: &str,
        matches: impl Fn(&ObjectKey, &Observed) -> bool,
    ) -> Vec<(ObjectKey, Observed)> {
        let index = self.read();
        let cluster = (namespace.into(), cluster.into());
        index
            .group(&index.clusters, &cluster)
            .filter(|(key, object)| matches(key, object))
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect()
    }

    /// Objects of a kind that have all of these labels. Only what is labelled as some cluster's is watched.
    pub fn labelled(&self, namespace: &str, kind: &str, wanted: &StringMap) -> Vec<(ObjectKey, Observed)> {
        let Some(cluster) = wanted.get(labels::CLUSTER) else { return Vec::new() };
        self.of_cluster(namespace, cluster, |key, object| key.kind == kind && object.has_labels(wanted))
    }

    /// True if the first list of a kind is complete. Until then an absent object means nothing.
    pub fn is_complete(&self, kind: &str) -> bool {
        self.read().complete.contains(kind)
    }

    fn mark_complete(&self, kind: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).complete.insert(kind.to_owned());
    }

    /// The objects that an owner controls.
    pub fn controlled_by(&self, uid: &str) -> Vec<(ObjectKey, Observed)> {
        let index = self.read();
        let objects = index.group(&index.controlled, uid);
        objects.map(|(key, object)| (key.clone(), object.clone())).collect()
    }

    /// True if there are children in a namespace that the cluster does not control.
    pub fn has_others_children(&self, namespace: &str, cluster: &str) -> bool {
        let index = self.read();
        index
            .children
            .get(namespace)
            .is_some_and(|by_cluster| by_cluster.keys().any(|other| other != cluster))
    }

    /// Notes what an object has become.
    fn put(&self, key: ObjectKey, after: Observed) -> Change {
        let mut index = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = index.remove(&key);
        index.insert(key.clone(), after.clone());
        Change { key, before, after: Some(after) }
    }

    /// Notes that an object is gone.
    fn remove(&self, key: ObjectKey) -> Change {
        let before = self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
        Change { key, before, after: None }
    }

    /// The known objects of a kind.
    fn keys_of(&self, kind: &str) -> Vec<ObjectKey> {
        let index = self.read();
        index.objects.keys().filter(|key| key.kind == kind).map(|key| ObjectKey::clone(key)).collect()
    }

    /// The uids of all known objects.
    pub fn uids(&self) -> HashSet<String> {
        self.read().objects.values().map(|object| object.uid.clone()).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches keep it up to date: what is gone from the API server is gone from it.
impl Entries for Objects {
    fn forget(&self, _: &str) {}

    fn keep_only(&self, _: &dyn Fn(&str) -> bool) {}

    fn count(&self) -> usize {
        let index = self.read();
        index.objects.len() + index.clusters.0.len() + index.controlled.0.len() + index.children.len()
    }
}

impl Index {
    fn group<'a, K, Q>(
        &'a self,
        groups: &'a Groups<K>,
        of: &Q,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a Observed)>
    where
        K: Borrow<Q> + Eq + Hash,
        Q: Eq + Hash + ?Sized,
    {
        let keys = groups.0.get(of).into_iter().flatten();
        keys.filter_map(|key| Some((&**key, self.objects.get(key)?)))
    }

    fn insert(&mut self, key: ObjectKey, object: Observed) {
        let key = Arc::new(key);
        if ChildKind::named(&key.kind).is_some() {
            let children = self.children.entry(key.namespace.clone()).or_default();
            *children.entry(object.cluster_in_control().into()).or_default() += 1;
        }
        if let Some(owner) = &object.owner {
            self.controlled.insert(owner.uid.clone(), &key);
        }
        if let Some(cluster) = object.labels.get(labels::CLUSTER) {
            self.clusters.insert((key.namespace.clone(), cluster.clone()), &key);
        }
        self.objects.insert(key, object);
    }

    fn remove(&mut self, key: &ObjectKey) -> Option<Observed> {
        let removed = self.objects.remove(key)?;
        if ChildKind::named(&key.kind).is_some()
            && let Entry::Occupied(mut children) = self.children.entry(key.namespace.clone())
        {
            let cluster = removed.cluster_in_control();
            let left = children.get().get(cluster).map_or(0, |count| count - 1);
            if left > 0 {
                children.get_mut().insert(cluster.into(), left);
            } else {
                children.get_mut().remove(cluster);
            }
            if children.get().is_empty() {
                children.remove();
            }
        }
        if let Some(owner) = &removed.owner {
            self.controlled.remove(&owner.uid, key);
        }
        if let Some(cluster) = removed.labels.get(labels::CLUSTER) {
            self.clusters.remove(&(key.namespace.clone(), cluster.clone()), key);
        }
        Some(removed)
    }
}

impl<K> Default for Groups<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Groups<K> {
    fn insert(&mut self, group: K, key: &Arc<ObjectKey>) {
        self.0.entry(group).or_default().insert(key.clone());
    }

    fn remove(&mut self, group: &K, key: &ObjectKey) {
        if let Some(keys) = self.0.get_mut(group) {
            keys.remove(key);
            if keys.is_empty() {
                self.0.remove(group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(cluster: &str, owner: &str) -> Observed {
        let owner = json!({"controller": true, "kind": "MultiCell", "name": "o", "uid": owner});
        Observed::project(&json!({
            "kind": "Service",
            "metadata": {"labels": {labels::CLUSTER: cluster}, "ownerReferences": [owner]},
        }))
    }

    #[test]
    fn objects_are_found_by_what_they_have_in_common() {
        let known = Objects::default();
        let key = |name: &str| ObjectKey::new("Service", "ns", name);
        let of = |cluster: &str| -> Vec<String> {
            let found = known.of_cluster("ns", cluster, |_, _| true).into_iter();
            found.map(|(key, _)| key.name.to_string()).collect()
        };
        known.put(key("a"), object("one", "1"));
        known.put(key("b"), object("one", "2"));
        known.put(key("c"), object("other", "1"));
        assert_eq!((of("one"), of("other")), (vec!["a".to_owned(), "b".to_owned()], vec!["c".to_owned()]));
        assert_eq!(known.controlled_by("1").len(), 2);
        assert!(known.of_cluster("elsewhere", "one", |_, _| true).is_empty());
        assert!(known.of_cluster("ns", "one", |key, _| key.name == "z").is_empty());

        // What an object had in common with others it may lose.
        known.put(key("a"), object("other", "2"));
        known.remove(key("c"));
        assert_eq!((of("one"), of("other")), (vec!["b".to_owned()], vec!["a".to_owned()]));
        assert_eq!(known.controlled_by("2").len(), 2);
        assert!(known.controlled_by("1").is_empty() && known.get(&key("c")).is_none());
        for name in ["a", "b"] {
            known.remove(key(name));
        }
        let index = known.read();
        assert!(index.objects.is_empty() && index.clusters.0.is_empty() && index.controlled.0.is_empty());
    }

    #[test]
    fn children_are_known_by_the_cluster_in_control() {
        let known = Objects::default();
        let key = |name: &str| ObjectKey::new("MultiCell", "ns", name);
        let child = |kind: &str, name: &str| {
            let owner = json!({"controller": true, "kind": kind, "name": name, "uid": "u"});
            Observed::project(&json!({"kind": "MultiCell", "metadata": {"ownerReferences": [owner]}}))
        };
        let others = |cluster: &str| known.has_others_children("ns", cluster);
        assert!(!others("c"));
        known.put(key("a"), child("MultigresCluster", "c"));
        known.put(key("b"), child("MultigresCluster", "c"));
        known.put(ObjectKey::new("Service", "ns", "s"), child("MultigresCluster", "d"));
        assert!(!others("c") && others("d") && !known.has_others_children("elsewhere", "d"));
        // Of another controller, which is no cluster.
        known.put(key("b"), child("Other", "c"));
        assert!(others("c"));
        known.remove(key("b"));
        assert!(!others("c") && others("d"));
        known.remove(key("a"));
        assert!(!others("d") && known.read().children.is_empty());
    }
}
