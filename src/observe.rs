//! What is known of the objects that the operator made: small projections, kept up to date by watches.
//!
//! A cluster becomes some forty-five objects, and a thousand clusters shall fit in little memory: so of each only
//! what decisions need is kept. Everything else is there as a digest, which says whether an object is still what it
//! was when it was last compared in full.

mod instance;
mod neighbourhood;
mod projection;
mod storage;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

pub use instance::Instance;
pub use neighbourhood::Neighbourhood;
pub use projection::{Observed, Owner, Workload, content};
pub use storage::StorageClasses;
pub use watch::{Scope, observe_objects, observe_resources};

/// Identifies an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Kind of the object; those that the operator makes have distinct kinds.
    pub kind: String,
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
}

impl ObjectKey {
    /// The key of an object.
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// What became of an object.
#[derive(Clone, Debug)]
pub struct Change {
    /// The object.
    pub key: ObjectKey,
    /// What it was, where it was known.
    pub before: Option<Observed>,
    /// What it is, where it still is.
    pub after: Option<Observed>,
}

/// The objects that carry a cluster's label, and who controls them.
#[derive(Debug, Default)]
pub struct Objects(RwLock<Index>);

#[derive(Debug, Default)]
struct Index {
    /// Kinds of which the first list is complete.
    complete: HashSet<String>,
    /// By namespace, since every question is about one.
    namespaces: HashMap<String, BTreeMap<ObjectKey, Observed>>,
    /// By identity of the controller.
    controlled: HashMap<String, BTreeSet<ObjectKey>>,
}

impl Objects {
    /// What is known of an object.
    pub fn get(&self, key: &ObjectKey) -> Option<Observed> {
        self.read().get(key).cloned()
    }

    /// The objects of a namespace that satisfy a condition.
    pub fn select(
        &self,
        namespace: &str,
        matches: impl Fn(&ObjectKey, &Observed) -> bool,
    ) -> Vec<(ObjectKey, Observed)> {
        let index = self.read();
        let objects = index.namespaces.get(namespace).into_iter().flatten();
        objects
            .filter(|(key, object)| matches(key, object))
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect()
    }

    /// Whether the first list of a kind is complete. Until then an absent object means nothing.
    pub fn is_complete(&self, kind: &str) -> bool {
        self.read().complete.contains(kind)
    }

    fn mark_complete(&self, kind: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).complete.insert(kind.to_owned());
    }

    /// The objects that an owner controls.
    pub fn controlled_by(&self, uid: &str) -> Vec<(ObjectKey, Observed)> {
        let index = self.read();
        let keys = index.controlled.get(uid).into_iter().flatten();
        keys.filter_map(|key| Some((key.clone(), index.get(key)?.clone()))).collect()
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
        let keys = index.namespaces.values().flat_map(BTreeMap::keys);
        keys.filter(|key| key.kind == kind).cloned().collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn get(&self, key: &ObjectKey) -> Option<&Observed> {
        self.namespaces.get(&key.namespace)?.get(key)
    }

    fn insert(&mut self, key: ObjectKey, object: Observed) {
        if let Some(owner) = &object.owner {
            self.controlled.entry(owner.uid.clone()).or_default().insert(key.clone());
        }
        self.namespaces.entry(key.namespace.clone()).or_default().insert(key, object);
    }

    fn remove(&mut self, key: &ObjectKey) -> Option<Observed> {
        let objects = self.namespaces.get_mut(&key.namespace)?;
        let removed = objects.remove(key)?;
        if objects.is_empty() {
            self.namespaces.remove(&key.namespace);
        }
        if let Some(owner) = &removed.owner
            && let Some(keys) = self.controlled.get_mut(&owner.uid)
        {
            keys.remove(key);
            if keys.is_empty() {
                self.controlled.remove(&owner.uid);
            }
        }
        Some(removed)
    }
}
