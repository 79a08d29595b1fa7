//! What a cluster takes up that no other may use: names in its namespace, and parts of topologies.
//!
//! Small enough to be kept of every cluster, and indexed, so that a review asks only those that it may run into.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use ahash::{AHasher, RandomState};
use multigres_crds::address::{self, Endpoint};
use multigres_crds::resolve::{self, each_object};
use multigres_crds::v1alpha1::MultigresCluster;

use crate::kind::ChildKind;

/// What a cluster takes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Namespace of the cluster.
    pub namespace: Arc<str>,
    /// Name of the cluster.
    pub name: Arc<str>,
    /// The children that it is made into, by name.
    pub children: Vec<(ChildKind, Arc<str>)>,
    /// Whether all objects that it is made into have a kind and name of their own.
    pub distinct: bool,
    /// Those objects, in order.
    objects: Vec<Key>,
    /// The global topology, then those that cells have of their own.
    pub topologies: Vec<Topology>,
    age: Age,
}

/// When the cluster was made, in seconds; of several in one second, the identity decides.
type Age = (i64, String);

/// What two clusters must not share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// A part of a topology.
    Topology,
    /// The name of an object.
    Name,
}

/// A part of an etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// The members of the etcd, as far as they are known.
    pub members: BTreeSet<Endpoint>,
    /// The prefix of its keys.
    pub root: String,
    /// The cell whose own it is; nothing for the global one.
    pub cell: Option<usize>,
}

impl Footprint {
    /// The footprint of a cluster.
    pub fn of(cluster: &MultigresCluster) -> Self {
        let part = |part: &Option<String>| part.as_deref().unwrap_or_default().into();
        let namespace: Arc<str> = part(&cluster.metadata.namespace);
        let (mut objects, mut children) = (Vec::new(), Vec::new());
        let keys = Keys::of_objects(&namespace);
        each_object(cluster, &mut |_, kind, name| {
            objects.push(keys.key((kind, name)));
            if let Some(kind) = ChildKind::ALL.into_iter().find(|child| child.as_str() == kind) {
                children.push((kind, name.into()));
            }
        });
        children.sort_by(|(_, one): &(_, Arc<str>), (_, other)| one.cmp(other));
        let made = objects.len();
        objects.sort_unstable();
        objects.dedup();
        Self {
            name: part(&cluster.metadata.name),
            children,
            distinct: objects.len() == made,
            objects,
            topologies: topologies(cluster, &namespace),
            age: age(cluster),
            namespace,
        }
    }

    /// Whether the cluster is made into an object of that kind and name, among others.
    pub fn makes(&self, kind: &str, name: &str) -> bool {
        self.objects.binary_search(&Keys::of_objects(&self.namespace).key((kind, name))).is_ok()
    }

    /// Whether the other cluster was there before.
    pub fn is_younger_than(&self, other: &Self) -> bool {
        self.age > other.age
    }

    /// What both take up, where that must not be.
    pub fn conflict(&self, other: &Self) -> Option<Conflict> {
        let mut topologies = self.topologies.iter();
        if topologies.any(|topology| other.topologies.iter().any(|theirs| topology.overlaps(theirs))) {
            return Some(Conflict::Topology);
        }
        let is_shared = |object: &Key| other.objects.binary_search(object).is_ok();
        self.objects.iter().any(is_shared).then_some(Conflict::Name)
    }

    /// Whether both are of the same cluster.
    fn is_of(&self, other: &Self) -> bool {
        self.name == other.name && self.namespace == other.namespace
    }
}

/// One that is yet to be made is younger than all.
fn age(cluster: &MultigresCluster) -> Age {
    let metadata = &cluster.metadata;
    let made = metadata.creation_timestamp.as_ref().map_or(i64::MAX, |time| time.0.as_second());
    (made, metadata.uid.clone().unwrap_or_default())
}

fn topologies(cluster: &MultigresCluster, namespace: &str) -> Vec<Topology> {
    let spec = &cluster.spec;
    let global = Topology {
        members: resolve::global_members(cluster),
        root: spec.global_topo_server.root_path.clone(),
        cell: None,
    };
    let own = spec.cells.templates.iter().enumerate().filter_map(|(cell, template)| {
        let external = template.spec.topo_server.as_ref()?.external.as_ref()?;
        let members = address::members(&external.address, namespace);
        Some(Topology { members, root: external.root_path.clone(), cell: Some(cell) })
    });
    std::iter::once(global).chain(own).collect()
}

impl Topology {
    /// Whether some key may be of both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        !self.members.is_disjoint(&other.members)
            && (within(&self.root, &other.root) || within(&other.root, &self.root))
    }
}

/// Something that a cluster can take up, by a hash that nobody can foresee: there is much of it, and names are long. Of
/// a million objects, two are confused with a chance of one in thirty millions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key(u64);

/// Makes keys of what is told apart by more than what is given each time, which is hashed once.
#[derive(Clone)]
struct Keys(AHasher);

impl Keys {
    fn new() -> Self {
        static STATE: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(STATE.build_hasher())
    }

    /// Those of objects of a namespace, by kind and name.
    fn of_objects(namespace: &str) -> Self {
        let mut keys = Self::new();
        namespace.hash(&mut keys.0);
        keys
    }

    fn key(&self, of: impl Hash) -> Key {
        let mut hasher = self.0.clone();
        of.hash(&mut hasher);
        Key(hasher.finish())
    }
}

impl Footprint {
    /// All of it; of topologies without the root, as another one may lie within it.
    fn taken(&self) -> impl Iterator<Item = Key> {
        let members = self.topologies.iter().flat_map(|topology| &topology.members);
        let keys = Keys::new();
        self.objects.iter().copied().chain(members.map(move |member| keys.key(member)))
    }
}

/// The footprints of all clusters, found by what they take up.
#[derive(Debug, Default)]
pub struct Footprints {
    clusters: HashMap<ClusterName, Arc<Footprint>>,
    by_taken: HashMap<Key, Vec<Arc<Footprint>>, RandomState>,
}

/// Namespace and name.
type ClusterName = (Arc<str>, Arc<str>);

impl Footprints {
    /// Notes what a cluster takes up, in place of what it did.
    pub fn put(&mut self, footprint: Footprint) {
        self.remove(&footprint.namespace, &footprint.name);
        let footprint = Arc::new(footprint);
        for taken in footprint.taken() {
            self.by_taken.entry(taken).or_default().push(footprint.clone());
        }
        self.clusters.insert((footprint.namespace.clone(), footprint.name.clone()), footprint);
    }

    /// Notes that a cluster is gone.
    pub fn remove(&mut self, namespace: &str, name: &str) {
        let Some(footprint) = self.clusters.remove(&(namespace.into(), name.into())) else { return };
        for taken in footprint.taken() {
            if let Entry::Occupied(mut entry) = self.by_taken.entry(taken) {
                entry.get_mut().retain(|other| !other.is_of(&footprint));
                if entry.get().is_empty() {
                    entry.remove();
                }
            }
        }
    }

    /// The other clusters that take up some of the same, by namespace and name.
    pub fn neighbours(&self, of: &Footprint) -> Vec<Arc<Footprint>> {
        let others = of.taken().filter_map(|taken| self.by_taken.get(&taken)).flatten();
        let others = others.filter(|other| !other.is_of(of));
        let sorted: BTreeMap<_, _> = others.map(|other| ((&other.namespace, &other.name), other)).collect();
        sorted.into_values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Edit, edit, edited, small};

    fn footprint(namespace: &str, name: &str, edits: &[Edit]) -> Footprint {
        let named =
            [edit("/metadata", "/name", json!(name)), edit("/metadata", "/namespace", json!(namespace))];
        let cluster = edited(edited(small(), &named), edits);
        Footprint::of(&serde_json::from_value(cluster).unwrap())
    }

    fn names(found: &[Arc<Footprint>]) -> Vec<String> {
        found.iter().map(|other| format!("{}/{}", other.namespace, other.name)).collect()
    }

    #[test]
    fn neighbours_take_up_some_of_the_same() {
        let external =
            |address: &str| [edit("/spec/globalTopoServer", "/external", json!({"address": address}))];
        let mut known = Footprints::default();
        for (namespace, name, address) in [
            ("ns", "c", "e:1"),
            ("ns", "other", "e:1"),
            ("elsewhere", "c", "e.ns.svc:1,f:1"),
            ("elsewhere", "d", "e:1"),
        ] {
            known.put(footprint(namespace, name, &external(address)));
        }
        let of = footprint("ns", "c", &external("e:1"));
        assert_eq!(names(&known.neighbours(&of)), ["elsewhere/c", "ns/other"]);
        assert_eq!(names(&known.neighbours(&footprint("ns", "n", &[]))), Vec::<String>::new());
        // What was taken up before is free again.
        known.put(footprint("elsewhere", "c", &[]));
        assert_eq!(names(&known.neighbours(&of)), ["ns/other"]);
        known.remove("ns", "other");
        assert!(known.neighbours(&of).is_empty());
        for (namespace, name) in [("ns", "c"), ("elsewhere", "c"), ("elsewhere", "d")] {
            known.remove(namespace, name);
        }
        assert!(known.clusters.is_empty() && known.by_taken.is_empty());
    }

    #[test]
    fn the_younger_gives_way() {
        let with = |namespace: &str, name: &str, made: &str, uid: &str, address: &str| {
            let edits = [
                edit("/metadata", "/creationTimestamp", json!(made)),
                edit("/metadata", "/uid", json!(uid)),
                edit("/spec/globalTopoServer", "/external", json!({"address": address})),
            ];
            footprint(namespace, name, &edits)
        };
        let (noon, later) = ("2026-01-01T12:00:00Z", "2026-01-01T12:00:01Z");
        let first = with("ns", "c", noon, "b", "e.example.com:1");
        for (other, younger, conflict) in [
            (with("ns", "d", later, "a", "e.example.com:1"), true, Some(Conflict::Topology)),
            (with("elsewhere", "d", noon, "a", "e.example.com:1"), false, Some(Conflict::Topology)),
            (with("ns", "d", noon, "c", "other.example.com:1"), true, None),
            (with("ns", "c", noon, "c", "other.example.com:1"), true, Some(Conflict::Name)),
            (with("elsewhere", "c", noon, "c", "other.example.com:1"), true, None),
            (footprint("ns", "new", &[]), true, None),
        ] {
            assert_eq!(other.is_younger_than(&first), younger, "{other:?}");
            assert_ne!(first.is_younger_than(&other), younger, "{other:?}");
            assert_eq!((other.conflict(&first), first.conflict(&other)), (conflict, conflict), "{other:?}");
        }
    }

    #[test]
    fn topologies_overlap_where_one_lies_within_the_other() {
        let topology = |root: &str, members: &str| Topology {
            members: address::members(members, "ns"),
            root: root.to_owned(),
            cell: None,
        };
        let one = topology("/a/b", "e:1,f:1");
        for (root, members, overlaps) in [
            ("/a/b", "f.ns.svc:1", true),
            ("/a", "e:1", true),
            ("/a/b/c", "e:1", true),
            ("/a/bc", "e:1", false),
            ("/a/b", "e:2", false),
            ("/a/b", "", false),
        ] {
            let other = topology(root, members);
            assert_eq!(
                (one.overlaps(&other), other.overlaps(&one)),
                (overlaps, overlaps),
                "{root} {members}"
            );
        }
    }
}
