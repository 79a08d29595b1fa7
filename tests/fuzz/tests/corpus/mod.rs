//! Seeds of inputs: reviews of every kind, texts that the fields' parsers know, and texts that no parser expects.

mod nasty;
mod texts;

use std::fs;
use std::path::Path;

use fuzz::review;
use generators::{admissible, broken};
use multigres_crds::kind::{ChildKind, Kind};
use multigres_crds::resolve;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json, to_value};

/// Name and content.
pub type Entry = (String, Vec<u8>);

/// The corpus of each target, as far as it is generated.
pub fn generated() -> Vec<(&'static str, Vec<Entry>)> {
    let reviews: Vec<Entry> = [creations(), updates(), of_children(), made(), nasty::reviews()].concat();
    vec![
        ("codec", [vec![("smallest".to_owned(), smallest())], nasty::reviews()].concat()),
        ("handler", reviews),
        ("text", texts::of_clusters()),
        ("quantity", texts::quantities()),
        ("path", texts::paths()),
        ("address", texts::addresses()),
        ("record", texts::records()),
    ]
}

/// A review with all that a review must have, and little else.
pub fn smallest() -> Vec<u8> {
    let object = json!({"metadata": {"name": "c"}, "spec": {}});
    review("CREATE", Kind::Cluster, Some(&object), None).to_string().into_bytes()
}

fn entry(name: &str, review: &Value) -> Entry {
    (name.to_owned(), review.to_string().into_bytes())
}

/// The cluster that the targets know, as it is stored.
fn stored() -> Value {
    serde_json::from_str(include_str!("../../src/cluster.json")).unwrap()
}

fn sample(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples");
    serde_saphyr::from_str(&fs::read_to_string(folder.join(name)).unwrap()).unwrap()
}

fn creations() -> Vec<Entry> {
    let samples = ["every-option", "proposal-cluster", "table-groups", "tablegroups-cluster", "two-cells"];
    let creation = |name: &str| {
        let cluster = sample(&format!("{name}.yaml"));
        entry(&format!("create-{name}"), &review("CREATE", Kind::Cluster, Some(&cluster), None))
    };
    samples.into_iter().map(creation).collect()
}

fn updates() -> Vec<Entry> {
    let database = "/spec/databases/templates/0/spec";
    let changes = [
        ("nothing", "/spec/restartedAt", json!("2026-01-02T03:04:05Z")),
        ("restart", "/spec/restartedAt", json!("2026-02-02T03:04:05Z")),
        ("image", "/spec/databases/images/postgres", json!("pgctld:v0.1.0-pg18")),
        ("fewer-cells", "/spec/cells/templates", json!([{"name": "a"}])),
        ("pools-of-another-cell", &format!("{database}/pools/0/cell"), json!("b")),
        (
            "smaller",
            &format!("{database}/pools/0/primary/dataVolumeClaimTemplate/resources/requests/storage"),
            json!("1Gi"),
        ),
        ("root", "/spec/globalTopoServer/rootPath", json!("/other")),
        ("no-databases", "/spec/databases", json!({})),
        ("label", "/metadata/labels/team", json!("other")),
    ]
    .map(|(name, pointer, value)| {
        let (old, mut new) = (stored(), stored());
        *new.pointer_mut(pointer).unwrap() = value;
        entry(&format!("update-{name}"), &review("UPDATE", Kind::Cluster, Some(&new), Some(&old)))
    });
    let delete = entry("delete", &review("DELETE", Kind::Cluster, None, Some(&stored())));
    changes.into_iter().chain([delete]).collect()
}

fn of_children() -> Vec<Entry> {
    ChildKind::ALL.into_iter().flat_map(of_child).collect()
}

/// One that its cluster manages, changed by hand; and one that stands alone.
fn of_child(kind: ChildKind) -> [Entry; 2] {
    let children = resolve::children(&serde_json::from_value(stored()).unwrap());
    let alone = match kind {
        ChildKind::TopoServer => to_value(children.topo_server),
        ChildKind::MultiAdmin => to_value(children.admin),
        ChildKind::MultiOrch => to_value(children.orch),
        ChildKind::MultiCell => to_value(children.cells.first()),
        ChildKind::MultiShard => to_value(children.shards.first()),
    }
    .unwrap();
    let mut old = alone.clone();
    old["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "multigres.com/v1alpha1", "kind": "MultigresCluster", "controller": true,
        "name": "c", "uid": "6f1b8a52", "blockOwnerDeletion": true,
    }]);
    let mut new = old.clone();
    new["spec"]["cluster"] = json!("other");
    let name = kind.as_str().to_lowercase();
    [
        entry(&format!("edit-{name}"), &review("UPDATE", Kind::Child(kind), Some(&new), Some(&old))),
        entry(&format!("create-{name}"), &review("CREATE", Kind::Child(kind), Some(&alone), None)),
    ]
}

/// Clusters that nobody thought of.
fn made() -> Vec<Entry> {
    let mut runner = TestRunner::deterministic();
    let mut made = |name: String, clusters: &dyn Fn(&mut TestRunner) -> Value| {
        entry(&name, &review("CREATE", Kind::Cluster, Some(&clusters(&mut runner)), None))
    };
    let admissible = |runner: &mut TestRunner| admissible().new_tree(runner).unwrap().current();
    let broken = |runner: &mut TestRunner| broken().new_tree(runner).unwrap().current();
    let mut entries: Vec<Entry> = (0..4).map(|n| made(format!("made-{n}"), &admissible)).collect();
    entries.extend((0..8).map(|n| made(format!("broken-{n}"), &broken)));
    entries
}
