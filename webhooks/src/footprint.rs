//! A cluster's footprint: names in its namespace and parts of topologies that no other cluster may use.
//!
//! It is small enough to be kept for every cluster, and indexed, so that a review compares only with clusters that it
//! may conflict with.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Arc, LazyLock};

use ahash::RandomState;
use multigres_crds::address::{self, Endpoint};
use multigres_crds::resolve::{self, each_object};
use multigres_crds::v1alpha1::MultigresCluster;

/// A cluster's footprint without the names of its objects, which are many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Namespace of the cluster.
    pub namespace: Arc<str>,
    /// Name of the cluster.
    pub name: Arc<str>,
    /// The global topology, then those that cells have of their own.
    pub topologies: Vec<Topology>,
    age: Age,
}

/// When the cluster was made, in seconds; of several in one second, the identity decides.
type Age = (i64, String);

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
        Self {
            name: part(&cluster.metadata.name),
            topologies: topologies(cluster, &namespace),
            age: age(cluster),
            namespace,
        }
    }

    /// True if the other cluster is older.
    pub fn is_younger_than(&self, other: &Self) -> bool {
        self.age > other.age
    }

    /// True if objects of both may get the same name. Each name begins with the name of its cluster.
    pub fn may_share_names(&self, other: &Self) -> bool {
        self.namespace == other.namespace
            && (begins_with(&self.name, &other.name) || begins_with(&other.name, &self.name))
    }

    /// True if both are of the same cluster.
    fn is_of(&self, other: &Self) -> bool {
        self.name == other.name && self.namespace == other.namespace
    }
}

/// True if an object named after one cluster can have a name that begins with the other's.
fn begins_with(name: &str, other: &str) -> bool {
    name.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
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
    /// True if both may contain the same key.
    pub fn overlaps(&self, other: &Self) -> bool {
        let within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        !self.members.is_disjoint(&other.members)
            && (within(&self.root, &other.root) || within(&other.root, &self.root))
    }
}

/// The objects that a cluster is made into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objects(Vec<Key>);

impl Objects {
    /// Those of a cluster.
    pub fn of(cluster: &MultigresCluster) -> Self {
        let mut objects = Vec::new();
        each_object(cluster, &mut |_, kind, name| objects.push(Key::of((kind, name))));
        objects.sort_unstable();
        Self(objects)
    }

    /// True if there may be an object of that kind and name.
    pub fn has(&self, kind: &str, name: &str) -> bool {
        self.has_key(Key::of((kind, name)))
    }

    fn has_key(&self, key: Key) -> bool {
        self.0.binary_search(&key).is_ok()
    }
}

/// Another cluster, as far as it can be in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The cluster's footprint.
    pub footprint: Footprint,
    /// The objects that it is made into.
    pub objects: Objects,
}

/// A thing that two clusters must not share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// A part of a topology.
    Topology,
    /// The name of an object.
    Name,
}

impl Neighbour {
    /// The cluster, to others.
    pub fn of(cluster: &MultigresCluster) -> Self {
        Self { footprint: Footprint::of(cluster), objects: Objects::of(cluster) }
    }

    /// The conflict between both, if there is one.
    pub fn conflict(&self, other: &Self) -> Option<Conflict> {
        let overlaps = |own: &Topology| other.footprint.topologies.iter().any(|theirs| own.overlaps(theirs));
        if self.footprint.topologies.iter().any(overlaps) {
            return Some(Conflict::Topology);
        }
        let is_shared = |object: &Key| other.objects.has_key(*object);
        let shares_names =
            self.footprint.may_share_names(&other.footprint) && self.objects.0.iter().any(is_shared);
        shares_names.then_some(Conflict::Name)
    }
}

/// Something that a cluster can take up, by a hash that nobody can foresee: there is much of it, and names are long. Of
/// a million objects, two are confused with a chance of one in thirty millions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key(u64);

impl Key {
    fn of(taken: impl Hash) -> Self {
        static STATE: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(STATE.hash_one(taken))
    }
}

/// All clusters, found by what they take up.
#[derive(Debug, Default)]
pub struct Neighbours {
    /// By namespace and name, in the order of which names stand together that begin alike.
    clusters: HashMap<Arc<str>, BTreeMap<Arc<str>, Arc<Neighbour>>>,
    by_member: HashMap<Key, Vec<Arc<Neighbour>>, RandomState>,
}

impl Neighbours {
    /// Notes what a cluster takes up, in place of what it did.
    pub fn put(&mut self, cluster: Neighbour) {
        let Footprint { namespace, name, .. } = cluster.footprint.clone();
        self.remove(&namespace, &name);
        let cluster = Arc::new(cluster);
        for member in members(&cluster.footprint) {
            self.by_member.entry(member).or_default().push(cluster.clone());
        }
        self.clusters.entry(namespace).or_default().insert(name, cluster);
    }

    /// Notes that a cluster is gone.
    pub fn remove(&mut self, namespace: &str, name: &str) {
        let Some(clusters) = self.clusters.get_mut(namespace) else { return };
        let Some(cluster) = clusters.remove(name) else { return };
        if clusters.is_empty() {
            self.clusters.remove(namespace);
        }
        for member in members(&cluster.footprint) {
            if let Entry::Occupied(mut entry) = self.by_member.entry(member) {
                entry.get_mut().retain(|other| !other.footprint.is_of(&cluster.footprint));
                if entry.get().is_empty() {
                    entry.remove();
                }
            }
        }
    }

    /// Number of entries: of clusters, and of what they take up.
    pub fn entries(&self) -> usize {
        self.clusters.values().map(BTreeMap::len).sum::<usize>() + self.by_member.len()
    }

    /// The other clusters that may take up some of the same, by namespace and name.
    pub fn of(&self, footprint: &Footprint) -> Vec<Arc<Neighbour>> {
        let by_member = members(footprint).filter_map(|member| self.by_member.get(&member)).flatten();
        let others = by_member.chain(self.named_like(footprint));
        let others = others.filter(|other| !other.footprint.is_of(footprint));
        let named =
            |other: &'_ Arc<Neighbour>| (other.footprint.namespace.clone(), other.footprint.name.clone());
        let sorted: BTreeMap<_, _> = others.map(|other| (named(other), other)).collect();
        sorted.into_values().cloned().collect()
    }

    /// Those whose objects may get the same names.
    fn named_like(&self, footprint: &Footprint) -> Vec<&Arc<Neighbour>> {
        let Some(clusters) = self.clusters.get(&footprint.namespace) else { return Vec::new() };
        let name = &footprint.name;
        let shorter = name.match_indices('-').filter_map(|(end, _)| clusters.get(&name[..end]));
        let longer = format!("{name}-");
        let longer =
            clusters.range(Arc::from(&*longer)..).take_while(|(other, _)| other.starts_with(&longer));
        shorter.chain(longer.map(|(_, other)| other)).collect()
    }
}

/// The members of all topologies; without the root, as another one may lie within it.
fn members(footprint: &Footprint) -> impl Iterator<Item = Key> {
    footprint.topologies.iter().flat_map(|topology| &topology.members).map(Key::of)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Edit, edit, edited, small};

    fn neighbour(namespace: &str, name: &str, edits: &[Edit]) -> Neighbour {
        let named =
            [edit("/metadata", "/name", json!(name)), edit("/metadata", "/namespace", json!(namespace))];
        let cluster = edited(edited(small(), &named), edits);
        Neighbour::of(&serde_json::from_value(cluster).unwrap())
    }

    fn names(found: &[Arc<Neighbour>]) -> Vec<String> {
        found.iter().map(|other| format!("{}/{}", other.footprint.namespace, other.footprint.name)).collect()
    }

    #[test]
    fn neighbours_take_up_some_of_the_same() {
        let external =
            |address: &str| [edit("/spec/globalTopoServer", "/external", json!({"address": address}))];
        let mut known = Neighbours::default();
        for (namespace, name, address) in [
            ("ns", "c", "e:1"),
            ("ns", "other", "e:1"),
            ("elsewhere", "c", "e.ns.svc:1,f:1"),
            ("elsewhere", "d", "e:1"),
        ] {
            known.put(neighbour(namespace, name, &external(address)));
        }
        let of = neighbour("ns", "c", &external("e:1"));
        assert_eq!(names(&known.of(&of.footprint)), ["elsewhere/c", "ns/other"]);
        assert_eq!(names(&known.of(&neighbour("ns", "n", &[]).footprint)), Vec::<String>::new());
        // What was taken up before is free again.
        known.put(neighbour("elsewhere", "c", &[]));
        assert_eq!(names(&known.of(&of.footprint)), ["ns/other"]);
        known.remove("ns", "other");
        assert!(known.of(&of.footprint).is_empty());
        for (namespace, name) in [("ns", "c"), ("elsewhere", "c"), ("elsewhere", "d")] {
            known.remove(namespace, name);
        }
        assert!(known.clusters.is_empty() && known.by_member.is_empty());
    }

    /// Objects of `a` and `a-b` may get the same names, those of `a` and `ab` may not.
    #[test]
    fn neighbours_are_named_like_it() {
        let mut known = Neighbours::default();
        for (namespace, name) in
            [("ns", "a"), ("ns", "a-b"), ("ns", "a-b-c"), ("ns", "a-bc"), ("ns", "ab"), ("elsewhere", "a")]
        {
            known.put(neighbour(namespace, name, &[]));
        }
        for (name, expected) in [
            ("a", &["ns/a-b", "ns/a-b-c", "ns/a-bc"][..]),
            ("a-b", &["ns/a", "ns/a-b-c"]),
            ("a-b-c-d", &["ns/a", "ns/a-b", "ns/a-b-c"]),
            ("ab", &[]),
            ("", &[]),
        ] {
            assert_eq!(names(&known.of(&neighbour("ns", name, &[]).footprint)), expected, "{name}");
        }
    }

    #[test]
    fn the_younger_gives_way() {
        let with = |namespace: &str, name: &str, made: &str, uid: &str, address: &str| {
            let edits = [
                edit("/metadata", "/creationTimestamp", json!(made)),
                edit("/metadata", "/uid", json!(uid)),
                edit("/spec/globalTopoServer", "/external", json!({"address": address})),
            ];
            neighbour(namespace, name, &edits)
        };
        let (noon, later) = ("2026-01-01T12:00:00Z", "2026-01-01T12:00:01Z");
        let first = with("ns", "c", noon, "b", "e.example.com:1");
        for (other, younger, conflict) in [
            (with("ns", "d", later, "a", "e.example.com:1"), true, Some(Conflict::Topology)),
            (with("elsewhere", "d", noon, "a", "e.example.com:1"), false, Some(Conflict::Topology)),
            (with("ns", "d", noon, "c", "other.example.com:1"), true, None),
            (with("ns", "c", noon, "c", "other.example.com:1"), true, Some(Conflict::Name)),
            (with("elsewhere", "c", noon, "c", "other.example.com:1"), true, None),
            (neighbour("ns", "new", &[]), true, None),
        ] {
            assert_eq!(other.footprint.is_younger_than(&first.footprint), younger, "{other:?}");
            assert_ne!(first.footprint.is_younger_than(&other.footprint), younger, "{other:?}");
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
