use serde_json::{Value, json};

use crate::testing::{Edit, FULL, SHORT, edit, volume};
use crate::validate::testing::create;

const POOLS: &str = "spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools";

fn full_pool(index: usize, field: &str, value: Value) -> Edit {
    edit(FULL, &format!("/spec/tableGroups/0/shardTemplate/pools/{index}{field}"), value)
}

fn entry(index: usize, field: &str, value: Value) -> Edit {
    edit(SHORT, &format!("/spec/pools/{index}{field}"), value)
}

#[test]
fn pool_names_differ() {
    let reports = json!({"type": "readOnly", "cell": "a", "name": "reports"});
    let unnamed = json!({"type": "replica", "cell": "a"});
    let replica = || unnamed.clone();
    create(
        "C05",
        &[
            (vec![full_pool(0, "/name", json!("leaders"))], &[]),
            (
                vec![edit(FULL, "/spec/tableGroups/0/shardTemplate/pools/-", reports)],
                &[&format!("Duplicate {POOLS}[2].name")],
            ),
            (
                vec![edit(FULL, "/spec/tableGroups/0/shardTemplate/pools/-", replica())],
                &[&format!("Duplicate {POOLS}[2].name")],
            ),
            (
                vec![entry(1, "/cell", json!("a"))],
                &["Duplicate spec.databases.templates[0].spec.pools[1].cell"],
            ),
            (vec![entry(1, "/cell", json!("a")), entry(0, "/replica", json!(null))], &[]),
            // What the name would be made of is not known.
            (vec![full_pool(0, "/type", json!("primary")), full_pool(1, "", replica())], &[]),
            (vec![full_pool(0, "/cell", json!(7)), full_pool(1, "/cell", json!(null))], &[]),
        ],
    );
}

#[test]
fn one_form() {
    create(
        "C08",
        &[
            (
                vec![edit(SHORT, "/spec/pools", json!([]))],
                &["Required spec.databases.templates[0].spec.pools"],
            ),
            (
                vec![edit(FULL, "/spec/pools", json!([{"cell": "a", "primary": {}}]))],
                &["Forbidden spec.databases.templates[1].spec.tableGroups"],
            ),
            (
                vec![edit(FULL, "/spec/tableGroups/0/shardTemplate/pools", json!([]))],
                &[&format!("Required {POOLS}")],
            ),
            (vec![edit(SHORT, "/spec/pools", json!({}))], &[]),
            (vec![edit(FULL, "/spec/tableGroups", json!({}))], &[]),
        ],
    );
}

#[test]
fn cells_of_pools() {
    let unmanaged = edit("", "/spec/cells/managed", json!(false));
    create(
        "C09",
        &[
            (vec![], &[]),
            (
                vec![entry(1, "/cell", json!("c"))],
                &["NotFound spec.databases.templates[0].spec.pools[1].cell"],
            ),
            (vec![full_pool(1, "/cell", json!("c"))], &[&format!("NotFound {POOLS}[1].cell")]),
            (
                vec![entry(1, "/cell", json!("c")), unmanaged],
                &["\"c\" is not a cell in spec.cells: its pools wait for a MultiCell of that name"],
            ),
            // Not to be judged: the cell that is meant may be the one whose name is missing.
            (vec![entry(1, "/cell", json!("c")), edit("", "/spec/cells/templates/1/name", json!(null))], &[]),
            (vec![entry(1, "/cell", json!(1))], &[]),
        ],
    );
}

#[test]
fn one_primary() {
    let primary = |entry: usize| format!("spec.databases.templates[0].spec.pools[{entry}].primary");
    create(
        "C10",
        &[
            (vec![entry(0, "/primary", json!(null))], &[&format!("Required {}", primary(0))]),
            (vec![entry(1, "/primary", json!({}))], &[&format!("Forbidden {}", primary(1))]),
            (vec![entry(1, "/replica", json!(null))], &[&format!("Required {}", primary(1))]),
            (vec![entry(0, "/primary", json!([]))], &[]),
        ],
    );
}

#[test]
fn enough_instances() {
    let alone = || {
        vec![
            edit(SHORT, "/spec/pools/1", json!(null)),
            entry(0, "/replica", json!(null)),
            entry(0, "/primary/replicas", json!(1)),
        ]
    };
    let policy = |at| edit(at, "/spec/durabilityPolicy", json!("MULTI_CELL_AT_LEAST_2"));
    let with = |mut edits: Vec<Edit>, more: Vec<Edit>| {
        edits.extend(more);
        edits
    };
    let too_few: &[&str] = &["Invalid spec.databases.templates[0].spec.pools[0].primary.replicas"];
    create(
        "C12",
        &[
            (alone(), too_few),
            (with(alone(), vec![entry(0, "/replica", json!({}))]), &[]),
            (with(alone(), vec![entry(0, "/primary/replicas", json!("1"))]), &[]),
            (with(alone(), vec![edit(SHORT, "/spec/durabilityPolicy", json!("NONE"))]), &[]),
            (vec![policy(SHORT)], &[]),
            (vec![policy(FULL)], &[&format!("Invalid {POOLS}[0].cell")]),
            (vec![full_pool(0, "/replicas", json!(1))], &[&format!("Invalid {POOLS}[0].replicas")]),
            (vec![full_pool(0, "/type", json!("readOnly"))], &[&format!("Invalid {POOLS}[0].type")]),
            (vec![full_pool(0, "/type", json!("primary"))], &[]),
        ],
    );
}

#[test]
fn primary_replicas() {
    let replicas = |replicas: i32| vec![entry(0, "/primary/replicas", json!(replicas))];
    let wrong: &[&str] = &["Invalid spec.databases.templates[0].spec.pools[0].primary.replicas"];
    // One of them holds two pools.
    let entries = |entries: usize| {
        let replica = |entry| json!({"cell": format!("c{entry}"), "replica": {"dataVolumeClaimTemplate": volume("1Gi")}});
        let mut entries: Vec<Value> = (0..entries).map(replica).collect();
        entries[0]["primary"] = entries[0]["replica"].clone();
        json!(entries)
    };
    create(
        "C15",
        &[
            (replicas(10), &[]),
            (replicas(0), wrong),
            (replicas(11), wrong),
            (vec![entry(0, "/replica/replicas", json!(11))], &[]),
            (vec![edit(SHORT, "/spec/pools", entries(19))], &[]),
            (
                vec![edit(SHORT, "/spec/pools", entries(20))],
                &["TooMany spec.databases.templates[0].spec.pools"],
            ),
        ],
    );
}

#[test]
fn some_cell() {
    let none = || edit("", "/spec/cells/templates", json!([]));
    create(
        "C17",
        &[
            (vec![none()], &["Required spec.cells.templates"]),
            (vec![none(), edit("", "/spec/cells/managed", json!(false))], &[]),
            (vec![edit("", "/spec/cells/templates", json!("none"))], &[]),
        ],
    );
}

#[test]
fn one_spelling() {
    let images = json!({"multipooler": "a", "multiPooler": "b"});
    let both = json!({"multipooler": {}, "multiPooler": {}, "dataVolumeClaimTemplate": volume("1Gi")});
    create(
        "C18",
        &[
            (vec![edit("", "/spec/databases/images", json!({"multipooler": "a"}))], &[]),
            (
                vec![edit("", "/spec/databases/images", images.clone())],
                &["Forbidden spec.databases.images.multipooler"],
            ),
            (
                vec![edit(FULL, "/spec/images", images)],
                &["Forbidden spec.databases.templates[1].spec.images.multipooler"],
            ),
            (
                vec![entry(0, "/primary", both)],
                &["Forbidden spec.databases.templates[0].spec.pools[0].primary.multipooler"],
            ),
            (
                vec![full_pool(0, "/multipooler", json!({})), full_pool(0, "/multiPooler", json!({}))],
                &[&format!("Forbidden {POOLS}[0].multipooler")],
            ),
        ],
    );
}
