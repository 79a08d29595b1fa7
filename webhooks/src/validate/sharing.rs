//! Rules against names and topologies that a cluster would share with another, or use twice itself.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use multigres_crds::resolve::{Source, TableGroupSource, each_object};

use super::view::{CELLS, DATABASES, View};
use super::{ClusterContext, Reporter, rule};
use crate::footprint::{Footprint, Neighbour};
use crate::lookup::Known;
use crate::path::{FieldPath, Path};
use crate::report::{Reason, quote};

rule!(
    /// No two clusters share a part of a topology: the same root path, or a nested one, on the same etcd.
    C19 since "0.1.0" = cluster: own_topology
);

fn own_topology(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let own = cx.new.footprint();
    for other in neighbours(cx) {
        for topology in &own.topologies {
            if !other.footprint.topologies.iter().any(|theirs| topology.overlaps(theirs)) {
                continue;
            }
            let path = match topology.cell {
                None => FieldPath::from(&Path::new("spec.globalTopoServer.rootPath")),
                Some(cell) => {
                    let name = cx.new.spec().cells.templates.get(cell).map_or("", |cell| &cell.name);
                    FieldPath::from(&CELLS.item(cell, name).field("spec.topoServer.external.rootPath"))
                }
            };
            let root = quote(&topology.root);
            let message = format!(
                "{root}, or a path above or below it, is in use on the same etcd by {}; choose another",
                named(&other)
            );
            report.error(path, Reason::Duplicate, format!("{root} {}", named(&other)), message);
        }
    }
}

rule!(
    /// No two objects of a kind get the same name, within the cluster or together with another cluster of the namespace.
    C20 since "0.1.0" = cluster: own_names
);

fn own_names(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let mut others = neighbours(cx);
    others.retain(|other| cx.new.footprint().may_share_names(&other.footprint));
    if others.is_empty() && is_told_apart_by_name(&cx.new) {
        return;
    }
    let (mut made, mut told) = (HashMap::new(), HashSet::new());
    each_object(cx.new.cluster, &mut |source, kind, name| {
        let others = others.iter().find(|other| other.objects.has(kind, name)).map(|other| named(other));
        let first = *made.entry((kind, name.to_owned())).or_insert(source);
        let Some(by) = same_within(&cx.new, first, source).or(others) else { return };
        if told.insert(source) {
            let message = format!("{kind} {} would also be made by {by}; choose another name", quote(name));
            let (_, path) = place(&cx.new, source);
            report.error(path, Reason::Duplicate, format!("{kind} {name} {by}"), message);
        }
    });
}

/// True if all objects surely get distinct names, which is quick to see for most clusters: parts that contain no `-`
/// can be read back from a name, up to the pool, which is last. Names that are cut end with a hash of all parts.
fn is_told_apart_by_name(view: &View<'_>) -> bool {
    let cells = &view.spec().cells.templates;
    let mut databases = view.databases.iter();
    are_distinct(cells.iter().map(|cell| &*cell.name))
        && are_distinct(view.databases.iter().map(|database| &*database.template.name))
        && databases.all(|database| {
            let (name, mut groups) = (&*database.template.name, database.groups.iter());
            !name.contains('-')
                && !NAMES_BY_CELL.contains(&name)
                && are_distinct(database.groups.iter().map(|group| group.name))
                && groups.all(|group| {
                    !group.name.contains('-') && are_distinct(group.pools.iter().map(|pool| &*pool.name))
                })
        })
}

/// Name segments of per-cell objects; a database with one of these names would collide with them.
const NAMES_BY_CELL: [&str; 2] = ["multiorch", "multigateway"];

/// Of lists that the schema keeps short.
fn are_distinct<'a>(mut names: impl Iterator<Item = &'a str> + Clone) -> bool {
    while let Some(name) = names.next() {
        if names.clone().any(|other| other == name) {
            return false;
        }
    }
    true
}

/// Path of the other source of an object. Duplicate names are reported by other rules.
fn same_within(view: &View<'_>, first: Source, source: Source) -> Option<String> {
    if first == source {
        return None;
    }
    let ((first, path), (names, _)) = (place(view, first), place(view, source));
    (first != names).then(|| path.to_string())
}

fn neighbours(cx: &ClusterContext<'_>) -> Vec<Arc<Neighbour>> {
    match cx.lookup.neighbours(cx.new.footprint()) {
        Known::Yes(others) => others,
        Known::NotYet => Vec::new(),
    }
}

/// All that is told of another cluster.
fn named(other: &Neighbour) -> String {
    let Footprint { namespace, name, .. } = &other.footprint;
    format!("MultigresCluster {}", quote(&format!("{namespace}/{name}")))
}

/// Names, by which a source is told from others, and where the last of them is written.
fn place(view: &View<'_>, source: Source) -> (Vec<String>, FieldPath) {
    let (database, group, pool) = match source {
        Source::Cluster => return (Vec::new(), FieldPath::from(&Path::new("metadata.name"))),
        Source::Cell { cell } => {
            let name = view.spec().cells.templates.get(cell).map_or("", |cell| &cell.name);
            return (vec![name.to_owned()], FieldPath::from(&CELLS.item(cell, name).field("name")));
        }
        Source::Database { database } => (database, None, None),
        Source::TableGroup { database, group } => (database, Some(group), None),
        Source::Pool { database, group, pool } => (database, Some(group), Some(pool)),
    };
    let Some(database) = view.databases.get(database) else { return (Vec::new(), FieldPath::default()) };
    let group = group.and_then(|group| database.groups.get(group));
    let pool = group.zip(pool).and_then(|(group, pool)| group.pools.get(pool));
    let mut names = vec!["database".to_owned(), database.template.name.clone()];
    names.extend(group.map(|group| group.name.to_owned()));
    names.extend(pool.map(|pool| pool.name.to_string()));
    let template = DATABASES.item(database.index, &database.template.name);
    let path = match (group, pool) {
        (Some(group), Some(pool)) => database.at_pool(&template, pool, |site| {
            FieldPath::from(&site.entry.field(if group.index.is_some() { "name" } else { "cell" }))
        }),
        (Some(TableGroupSource { index: Some(index), name, .. }), _) => {
            let groups = template.field("spec.tableGroups");
            FieldPath::from(&groups.item(*index, name).field("name"))
        }
        _ => FieldPath::from(&template.field("name")),
    };
    (names, path)
}

#[cfg(test)]
mod tests {
    use multigres_crds::v1alpha1::MultigresCluster;
    use proptest::prelude::*;
    use proptest::sample::{select, subsequence};
    use serde_json::{Value, json};

    use super::*;
    use crate::footprint::Neighbours;
    use crate::lookup::Lookup;
    use crate::path::PathSet;
    use crate::testing::{Edit, FULL, edit, edited, small};
    use crate::validate::testing::{create, found};

    struct Others(Neighbours);

    impl Others {
        /// The small cluster under another name, edited.
        fn with(namespace: &str, name: &str, edits: &[Edit]) -> Self {
            let mut others = Neighbours::default();
            others.put(Neighbour::of(&serde_json::from_value(cluster(namespace, name, edits)).unwrap()));
            Self(others)
        }
    }

    impl Lookup for Others {
        fn synced(&self) -> bool {
            true
        }

        fn cluster(&self, _: &str, _: &str) -> Option<Arc<MultigresCluster>> {
            None
        }

        fn neighbours(&self, of: &Footprint) -> Known<Vec<Arc<Neighbour>>> {
            Known::Yes(self.0.of(of))
        }
    }

    fn cluster(namespace: &str, name: &str, edits: &[Edit]) -> Value {
        let named =
            [edit("/metadata", "/name", json!(name)), edit("/metadata", "/namespace", json!(namespace))];
        edited(edited(small(), &named), edits)
    }

    fn global(address: &str, root: &str) -> Vec<Edit> {
        vec![edit("/spec", "/globalTopoServer", json!({"rootPath": root, "external": {"address": address}}))]
    }

    fn of_cell(address: &str, root: &str) -> Vec<Edit> {
        let external = json!({"external": {"address": address, "rootPath": root}});
        vec![edit("/spec/cells/templates/0", "/spec", json!({"topoServer": external}))]
    }

    #[test]
    fn own_topology() {
        let global_root: &[&str] = &["Duplicate spec.globalTopoServer.rootPath"];
        let cell_root: &[&str] = &["Duplicate spec.cells.templates[0].spec.topoServer.external.rootPath"];
        let same = || global("e.ns:1", "/m");
        for (ours, theirs, expected) in [
            (global("e.ns.svc.cluster.local:1", "/m"), same(), global_root),
            (global("E.:1,f:1", "/m/n"), same(), global_root),
            (global("e:1", "/m"), global("e.ns:1", "/m/n"), global_root),
            // A bare name is another Service in each namespace.
            (global("e:1", "/m"), global("e:1", "/m/n"), &[]),
            (global("e:1", "/mm"), same(), &[]),
            (global("e:2", "/m"), same(), &[]),
            (of_cell("e:1", "/m/a"), same(), cell_root),
            (same(), of_cell("e.ns:1", "/m"), global_root),
            (of_cell("e:1", "/m"), of_cell("e.ns:1", "/m"), cell_root),
            // Each has an etcd of its own; then one uses the other's.
            (vec![], vec![], &[]),
            (global("d-etcd-0.d-etcd-peer.other.svc:2379", "/m/global/c"), vec![], global_root),
            (vec![], global("c-etcd-client.ns.svc.cluster.local:2379", "/m"), global_root),
        ] {
            let others = Others::with("other", "d", &theirs);
            assert_eq!(
                found("C19", &cluster("ns", "c", &ours), None, &others),
                expected,
                "{ours:?} {theirs:?}"
            );
        }
        let itself = Others::with("ns", "c", &same());
        assert!(found("C19", &cluster("ns", "c", &same()), None, &itself).is_empty());
    }

    #[test]
    fn own_names_in_a_cluster() {
        let pools = |names: &[&str]| -> Value {
            names.iter().map(|name| json!({"type": "replica", "cell": "a", "name": name})).collect()
        };
        let group = |name: &str, shards: i32, pools: &Value| json!({"name": name, "partitioning": {"shards": shards}, "shardTemplate": {"pools": pools}});
        let groups = |groups: Value| vec![edit(FULL, "/spec/tableGroups", groups)];
        create(
            "C20",
            &[
                (vec![], &[]),
                (groups(json!([group("x", 2, &pools(&["p", "q"])), group("x-0", 1, &pools(&["p"]))])), &[]),
                // x/0-80/inf-p and x-0/80-inf/p
                (
                    groups(json!([group("x", 2, &pools(&["inf-p"])), group("x-0", 2, &pools(&["p"]))])),
                    &[
                        "Duplicate spec.databases.templates[1].spec.tableGroups[1].shardTemplate.pools[0].name",
                    ],
                ),
                // What is the same twice is another rule's.
                (groups(json!([group("x", 1, &pools(&["p", "p"]))])), &[]),
                (vec![edit("", "/spec/cells/templates/1/name", json!("a"))], &[]),
            ],
        );
    }

    #[test]
    fn own_names_in_a_namespace() {
        let cell = |name: &str| vec![edit("", "/spec/cells/templates/0/name", json!(name))];
        let taken: &[&str] = &["Duplicate spec.cells.templates[0].name"];
        for (namespace, ours, theirs, expected) in [
            ("ns", cell("b-x"), cell("x"), taken),
            ("other", cell("b-x"), cell("x"), &[]),
            ("ns", cell("b-y"), cell("x"), &[]),
            // An orchestrator's, a gateway's and a cell's names are three of a kind each: one cause.
            (
                "ns",
                [cell("b-x"), vec![edit("", "/spec/orchestrator", json!({"managed": false}))]].concat(),
                cell("x"),
                taken,
            ),
            (
                "ns",
                [cell("b-x"), vec![edit("", "/spec/cells/managed", json!(false))]].concat(),
                cell("x"),
                &[],
            ),
        ] {
            let others = Others::with(namespace, "c-b", &theirs);
            assert_eq!(found("C20", &cluster("ns", "c", &ours), None, &others), expected, "{ours:?}");
        }
        // The StatefulSet of one's orchestrators in cell `etcd`, and that of the other's etcd.
        let others = Others::with("ns", "c", &cell("etcd"));
        let cluster = cluster("ns", "c-multiorch", &[]);
        assert_eq!(found("C20", &cluster, None, &others), ["Duplicate metadata.name"]);
        // A cluster is no neighbour of itself, nor is one whose name is still to be made.
        let itself = Others::with("ns", "c", &[]);
        assert!(found("C20", &small(), None, &itself).is_empty());
        let generated = edited(small(), &[edit("/metadata", "/name", json!(null))]);
        assert!(found("C20", &generated, None, &itself).is_empty());
    }

    /// A name or two that go badly together.
    fn some_of<S: Strategy>(
        names: &'static [&'static str],
        of_each: impl Fn(&'static str) -> S,
    ) -> impl Strategy<Value = Vec<S::Value>> {
        let of_each = names.iter().map(|name| of_each(name)).collect::<Vec<_>>();
        (of_each, subsequence((0..names.len()).collect::<Vec<_>>(), 1..=3)).prop_map(|(all, chosen)| {
            let is_chosen = |(index, value)| chosen.contains(&index).then_some(value);
            all.into_iter().enumerate().filter_map(is_chosen).collect()
        })
    }

    fn any_group(name: &'static str) -> impl Strategy<Value = Value> {
        let pool = |name| Just(json!({"type": "replica", "cell": "a", "name": name}));
        let pools = some_of(&["p", "inf-p", "p-0-inf-p", "p-pg"], pool);
        (pools, 1..3).prop_map(move |(pools, shards)| {
            json!({"name": name, "partitioning": {"shards": shards}, "shardTemplate": {"pools": pools}})
        })
    }

    fn any_database(name: &'static str) -> impl Strategy<Value = Value> {
        let groups = some_of(&["a", "b", "a-0", "a-0-inf-p"], any_group);
        groups.prop_map(move |groups| json!({"name": name, "spec": {"tableGroups": groups}}))
    }

    proptest! {
        /// Clusters that the quick check passes have no duplicate names.
        #[test]
        fn objects_are_told_apart_by_name(
            databases in some_of(&["d", "e_f", "d-a", "multiorch", "multigateway", "etcd"], any_database),
            cell in select(&["a", "a-0-inf-p-pg", "b-0-inf-p-pg-0"][..]),
        ) {
            let edits = [
                edit("", "/spec/databases/templates", json!(databases)),
                edit("", "/spec/cells/templates/0/name", json!(cell)),
            ];
            let cluster: MultigresCluster = serde_json::from_value(edited(small(), &edits)).unwrap();
            let (mut names, mut distinct) = (HashSet::new(), true);
            each_object(&cluster, &mut |_, kind, name| distinct &= names.insert((kind, name.to_owned())));
            let unknown = PathSet::default();
            prop_assert!(distinct || !is_told_apart_by_name(&View::of(&cluster, &unknown)));
        }
    }
}
