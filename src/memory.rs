//! Memories of objects, kept for as long as the objects exist.
//!
//! Every memory is a [`PerObject`], made with the [`Memories`] that it belongs to: so a new one is forgotten, swept and
//! counted with the others. Anything else behind a lock fails a test.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The memories of one process, or of one test.
#[derive(Clone, Default)]
pub struct Memories(Arc<Mutex<Vec<Memory>>>);

#[derive(Clone)]
struct Memory {
    name: &'static str,
    entries: Arc<dyn Entries>,
}

/// The entries of a memory, whatever is remembered.
pub trait Entries: Send + Sync {
    /// Forgets an object.
    fn forget(&self, uid: &str);
    /// Forgets the objects that do not exist.
    fn keep_only(&self, exists: &dyn Fn(&str) -> bool);
    /// Number of entries.
    fn count(&self) -> usize;
}

impl Memories {
    /// Counts with the memories what is kept up to date in another way.
    pub fn include(&self, name: &'static str, entries: Arc<dyn Entries>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Memory { name, entries });
    }

    /// Forgets an object that is gone, in all memories.
    pub fn forget(&self, uid: &str) {
        for memory in self.all() {
            memory.entries.forget(uid);
        }
    }

    /// Forgets everything that does not exist. A reconciliation that was under way when its object went may have
    /// remembered something after it was forgotten.
    pub fn sweep(&self, exists: impl Fn(&str) -> bool) {
        for memory in self.all() {
            memory.entries.keep_only(&exists);
        }
    }

    /// Number of objects in each memory, by the memory's name.
    pub fn counts(&self) -> Vec<(&'static str, usize)> {
        self.all().iter().map(|memory| (memory.name, memory.entries.count())).collect()
    }

    fn all(&self) -> Vec<Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The memories of all engines of a process, to count them.
#[derive(Clone, Default)]
pub struct Census(Arc<Mutex<Vec<Memories>>>);

impl Census {
    /// Counts these with the others.
    pub fn add(&self, memories: Memories) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(memories);
    }

    /// Number of objects in the memories of each name.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for memories in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            for (name, count) in memories.counts() {
                *counts.entry(name).or_default() += count;
            }
        }
        counts
    }
}

impl fmt::Debug for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Census").field(&self.counts()).finish()
    }
}

/// A memory: one value for each object, by the object's uid.
#[derive(Clone, Debug)]
pub struct PerObject<V>(Arc<Mutex<HashMap<String, V>>>);

impl<V: Send + 'static> PerObject<V> {
    /// An empty memory, forgotten with the others.
    pub fn new(memories: &Memories, name: &'static str) -> Self {
        let entries = Arc::new(Mutex::new(HashMap::new()));
        memories.include(name, entries.clone());
        Self(entries)
    }

    /// Everything that is remembered. Others wait until it is let go of.
    pub fn lock(&self) -> MutexGuard<'_, HashMap<String, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The remembered value of an object.
    pub fn get(&self, uid: &str) -> Option<V>
    where
        V: Clone,
    {
        self.lock().get(uid).cloned()
    }

    /// True if anything is remembered of an object.
    pub fn contains(&self, uid: &str) -> bool {
        self.lock().contains_key(uid)
    }

    /// Remembers something of an object. Returns what was remembered before.
    pub fn insert(&self, uid: &str, value: V) -> Option<V> {
        self.lock().insert(uid.to_owned(), value)
    }

    /// Forgets an object. Returns what was remembered.
    pub fn remove(&self, uid: &str) -> Option<V> {
        self.lock().remove(uid)
    }

    /// Changes what is remembered of an object.
    pub fn update<T>(&self, uid: &str, change: impl FnOnce(&mut V) -> T) -> T
    where
        V: Default,
    {
        change(self.lock().entry(uid.to_owned()).or_default())
    }
}

impl<V: Send, S: BuildHasher + Send> Entries for Mutex<HashMap<String, V, S>> {
    fn forget(&self, uid: &str) {
        self.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    fn keep_only(&self, exists: &dyn Fn(&str) -> bool) {
        let mut entries = self.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|uid, _| exists(uid));
        // After thousands of objects the empty map would keep their room.
        if entries.capacity() > 4 * entries.len().max(64) {
            entries.shrink_to_fit();
        }
    }

    fn count(&self) -> usize {
        self.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn all_memories_forget_alike() {
        let memories = Memories::default();
        let (names, counts) =
            (PerObject::new(&memories, "names"), PerObject::<u32>::new(&memories, "counts"));
        for uid in ["a", "b", "c"] {
            assert_eq!(names.insert(uid, format!("object {uid}")), None);
            counts.update(uid, |count| *count += 1);
        }
        memories.forget("a");
        assert!(!names.contains("a") && counts.get("a").is_none() && names.contains("b"));
        memories.sweep(|uid| uid == "c");
        assert_eq!(memories.counts(), [("names", 1), ("counts", 1)]);
        let census = Census::default();
        census.add(memories.clone());
        census.add(memories);
        assert_eq!(census.counts(), BTreeMap::from([("names", 2), ("counts", 2)]));
        assert_eq!((names.remove("c"), counts.get("c")), (Some("object c".to_owned()), Some(1)));
    }

    /// Files whose locks guard a map that follows a watch, or nothing that outlives a call.
    const OTHERS: [&str; 5] = [
        "src/controllers/failover.rs",
        "src/memory.rs",
        "src/observe.rs",
        "src/observe/neighbourhood.rs",
        "src/observe/storage.rs",
    ];

    #[test]
    fn whatever_is_remembered_of_objects_is_a_memory() {
        let mut checked = 0;
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_str().unwrap();
                if name.contains("/tests") {
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                checked += 1;
                for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
                    let is_shared = ["Mutex<", "RwLock<", "DashMap<"].iter().any(|lock| line.contains(lock));
                    assert!(
                        !is_shared || OTHERS.contains(&name),
                        "{name}: use a PerObject instead of {line}"
                    );
                }
            }
        }
        assert!(checked > 50, "{checked} files");
    }
}
