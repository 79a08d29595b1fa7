//! Cells, pools and shards as a whole. Causes are in the order of the document as the API server sends it: its maps
//! are sorted.

use super::*;

pub const CASES: &[Case] = &[
    ("C05", |c| pool(c, 1)["name"] = json!("more"), &[]),
    (
        "C05",
        |c| push(&mut c["spec"]["cells"]["templates"], json!({"name": "zone-a"})),
        &[("Duplicate", "spec.cells.templates[2].name", "\"zone-a\"")],
    ),
    (
        "C05",
        |c| database(c, 1)["name"] = json!("short"),
        &[("Duplicate", "spec.databases.templates[1].name", "\"short\"")],
    ),
    (
        "C05",
        |c| {
            let again = group(c).clone();
            push(&mut database(c, 1)["spec"]["tableGroups"], again);
        },
        &[("Duplicate", "spec.databases.templates[1].spec.tableGroups[1].name", "\"default\"")],
    ),
    (
        "C05",
        |c| {
            let again = pool(c, 1).clone();
            push(&mut group(c)["shardTemplate"]["pools"], again);
        },
        &[(
            "Duplicate",
            "spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools[2].name",
            "\"reports\"",
        )],
    ),
    (
        "C05",
        |c| entries(c)[1]["cell"] = json!("zone-a"),
        &[("Duplicate", "spec.databases.templates[0].spec.pools[1].cell", "\"zone-a-replica\"")],
    ),
    ("C08", |c| database(c, 0)["spec"]["tableGroups"] = json!([]), &[]),
    (
        "C08",
        |c| database(c, 0)["spec"]["pools"] = json!([]),
        &[("Required", "spec.databases.templates[0].spec.pools", "the database has no pools")],
    ),
    (
        "C08",
        |c| database(c, 1)["spec"]["pools"] = entries(c).clone(),
        &[("Forbidden", "spec.databases.templates[1].spec.tableGroups", "pools is set too")],
    ),
    (
        "C08",
        |c| group(c)["shardTemplate"]["pools"] = json!([]),
        &[(
            "Required",
            "spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools",
            "the shards have no pools",
        )],
    ),
    (
        "C09",
        |c| {
            entries(c)[1]["cell"] = json!("elsewhere");
            c["spec"]["cells"]["managed"] = json!(false);
        },
        &[],
    ),
    (
        "C09",
        |c| entries(c)[1]["cell"] = json!("zone-c"),
        &[(
            "NotFound",
            "spec.databases.templates[0].spec.pools[1].cell",
            "\"zone-c\" is not a cell of this cluster; did",
        )],
    ),
    (
        "C09",
        |c| pool(c, 1)["cell"] = json!("frankfurt"),
        &[(
            "NotFound",
            "spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools[1].cell",
            "add it to spec.cells.templates, or use \"zone-a\" or \"zone-b\"",
        )],
    ),
    ("C10", |c| without(&mut entries(c)[0], "replica"), &[]),
    (
        "C10",
        |c| pool(c, 1)["type"] = json!("primary"),
        &[(
            "NotSupported",
            "spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools[1].type",
            "supported values: \"replica\", \"readOnly\"",
        )],
    ),
    (
        "C10",
        |c| entries(c)[1]["primary"] = entries(c)[0]["primary"].clone(),
        &[("Forbidden", "spec.databases.templates[0].spec.pools[1].primary", "pools[0] has primary already")],
    ),
    (
        "C10",
        |c| {
            entries(c)[0]["replica"] = entries(c)[0]["primary"].clone();
            without(&mut entries(c)[0], "primary");
        },
        &[("Required", "spec.databases.templates[0].spec.pools[0].primary", "no entry has primary")],
    ),
    (
        "C10",
        |c| without(&mut entries(c)[1], "replica"),
        &[("Required", "spec.databases.templates[0].spec.pools[1].primary", "the entry holds no pool")],
    ),
    ("C11", |c| group(c)["partitioning"]["shards"] = json!(64), &[]),
    ("C11", |c| group(c)["name"] = json!("orders_tg"), &[]),
    (
        "C11",
        |c| group(c)["name"] = json!("Orders"),
        &[(
            "Invalid",
            "spec.databases.templates[1].spec.tableGroups[0].name",
            "is not a valid table group name",
        )],
    ),
    (
        "C11",
        |c| group(c)["partitioning"]["shards"] = json!(65),
        &[(
            "Invalid",
            "spec.databases.templates[1].spec.tableGroups[0].partitioning.shards",
            "should be less than or equal to 64",
        )],
    ),
    (
        "C11",
        |c| group(c)["partitioning"]["shards"] = json!(0),
        &[(
            "Invalid",
            "spec.databases.templates[1].spec.tableGroups[0].partitioning.shards",
            "should be greater than or equal to 1",
        )],
    ),
    ("C12", |c| database(c, 0)["spec"]["durabilityPolicy"] = json!("MULTI_CELL_AT_LEAST_2"), &[]),
    (
        "C12",
        |c| pool(c, 0)["replicas"] = json!(1),
        &[(
            "Invalid",
            "spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools[0].replicas",
            "1 instance can lead this shard, and AT_LEAST_2 needs 2",
        )],
    ),
    (
        "C12",
        |c| pool(c, 0)["type"] = json!("readOnly"),
        &[(
            "Invalid",
            "spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools[0].type",
            "no pool of this shard can lead",
        )],
    ),
    (
        "C12",
        |c| database(c, 1)["spec"]["durabilityPolicy"] = json!("MULTI_CELL_AT_LEAST_2"),
        &[(
            "Invalid",
            "spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools[0].cell",
            "MULTI_CELL_AT_LEAST_2 needs 2 cells",
        )],
    ),
    ("C17", |c| c["spec"]["cells"] = json!({"managed": false}), &[]),
    (
        "C17",
        |c| {
            c["spec"]["cells"] = json!({});
            without(&mut c["spec"], "databases");
        },
        &[("Required", "spec.cells.templates", "the cluster has no cell")],
    ),
    ("C18", |c| pool(c, 0)["multipooler"] = json!({}), &[]),
    (
        "C18",
        |c| {
            let both = json!({"multipooler": "pooler:v1", "multiPooler": "pooler:v1"});
            c["spec"]["databases"]["images"] = both.clone();
            database(c, 0)["spec"]["images"] = both;
            entries(c)[0]["primary"]["multipooler"] = json!({});
            entries(c)[0]["primary"]["multiPooler"] = json!({});
            pool(c, 0)["multipooler"] = json!({});
            pool(c, 0)["multiPooler"] = json!({});
        },
        &[
            ("Forbidden", "spec.databases.images.multipooler", "keep one of the two spellings"),
            (
                "Forbidden",
                "spec.databases.templates[0].spec.images.multipooler",
                "keep one of the two spellings",
            ),
            (
                "Forbidden",
                "spec.databases.templates[0].spec.pools[0].primary.multipooler",
                "keep one of the two spellings",
            ),
            (
                "Forbidden",
                "spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools[0].multipooler",
                "keep one of the two spellings",
            ),
        ],
    ),
];
