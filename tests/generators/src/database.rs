//! Databases in either form.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::fields::{
    backup, claim, container, image, keys, maybe, number, object, one_of, placement, resources,
};

/// Names that end up as nearly the same.
const DATABASES: [&str; 4] = ["a", "a_b", "users_db", "orders2"];
const TABLE_GROUPS: [&str; 4] = ["default", "a", "b_a", "orders-tg"];

/// A list of databases whose pools run in these cells.
pub fn databases(cells: Vec<&'static str>) -> impl Strategy<Value = Value> {
    btree_map(select(&DATABASES[..]), database(cells), 0..3).prop_map(|databases| {
        databases.into_iter().map(|(name, spec)| json!({ "name": name, "spec": spec })).collect()
    })
}

fn database(cells: Vec<&'static str>) -> impl Strategy<Value = Value> {
    let pools = prop_oneof![
        short_form(cells.clone()).prop_map(|pools| (Some(pools), None)),
        full_form(cells).prop_map(|groups| (None, Some(groups))),
    ];
    let exporter = (any::<bool>(), container()).prop_map(|(enabled, mut exporter)| {
        exporter["enabled"] = enabled.into();
        exporter
    });
    let password = maybe(Just(json!({ "name": "password", "key": "pg" })));
    let replaces = maybe(any::<bool>().prop_map(Value::from));
    (pools, maybe(images()), password, maybe(backup()), maybe(exporter), replaces).prop_map(
        |((pools, groups), images, password, backup, exporter, replaces)| {
            object([
                ("images", images),
                ("passwordSecretRef", password),
                ("backup", backup),
                ("postgresExporter", exporter),
                ("replaceLostInstances", replaces),
                ("pools", pools),
                ("tableGroups", groups),
            ])
        },
    )
}

/// Images of all that runs for a database.
pub fn images() -> impl Strategy<Value = Value> {
    (maybe(image()), maybe(image()), maybe(image()), any::<bool>()).prop_map(
        |(postgres, pooler, exporter, spelling)| {
            object([("postgres", postgres), (pooler_field(spelling), pooler), ("postgresExporter", exporter)])
        },
    )
}

/// Both spellings are the user's to choose.
fn pooler_field(proposal: bool) -> &'static str {
    if proposal { "multipooler" } else { "multiPooler" }
}

/// A pool without its instances and their volume.
fn member() -> impl Strategy<Value = Value> {
    (maybe(container()), maybe(container()), any::<bool>(), maybe(placement()), maybe(keys()), maybe(keys()))
        .prop_map(|(postgres, pooler, spelling, placement, labels, annotations)| {
            object([
                ("postgres", postgres),
                (pooler_field(spelling), pooler),
                ("placement", placement),
                ("podLabels", labels),
                ("podAnnotations", annotations),
            ])
        })
}

fn with(mut pool: Value, fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    for (field, value) in fields {
        pool[field] = value;
    }
    pool
}

/// An entry for each of some cells. The first has the primary, with enough instances by itself; its replica may
/// inherit the volume.
fn short_form(cells: Vec<&'static str>) -> impl Strategy<Value = Value> {
    let count = cells.len();
    let primary = (member(), claim(), 2..4_i32).prop_map(|(pool, claim, replicas)| {
        with(pool, [("dataVolumeClaimTemplate", claim), ("replicas", replicas.into())])
    });
    let heir = (member(), maybe(claim()), maybe(number(0..4))).prop_map(|(pool, claim, replicas)| {
        let fields = [("dataVolumeClaimTemplate", claim), ("replicas", replicas)];
        with(pool, fields.into_iter().filter_map(|(field, value)| Some((field, value?))))
    });
    let replica =
        (member(), claim()).prop_map(|(pool, claim)| with(pool, [("dataVolumeClaimTemplate", claim)]));
    (primary, option::of(heir), vec(option::of(replica), count - 1)).prop_map(
        move |(primary, heir, others)| {
            let first =
                object([("cell", Some(json!(cells[0]))), ("primary", Some(primary)), ("replica", heir)]);
            let others = cells[1..]
                .iter()
                .zip(others)
                .filter_map(|(cell, replica)| Some(json!({ "cell": cell, "replica": replica? })));
            std::iter::once(first).chain(others).collect()
        },
    )
}

fn full_form(cells: Vec<&'static str>) -> impl Strategy<Value = Value> {
    let groups = btree_map(select(&TABLE_GROUPS[..]), (1..4_i32, pools(cells)), 1..3);
    groups.prop_map(|groups| {
        let group = |(name, (shards, pools))| {
            json!({
                "name": name,
                "partitioning": { "shards": shards },
                "shardTemplate": { "pools": pools },
            })
        };
        groups.into_iter().map(group).collect()
    })
}

/// A pool with enough instances by itself, and others that are known by cell and type.
fn pools(cells: Vec<&'static str>) -> impl Strategy<Value = Value> {
    let first = cells[0];
    let leaders = (member(), claim(), 2..4_i32).prop_map(move |(pool, claim, replicas)| {
        let fields = [
            ("name", json!("leaders")),
            ("type", json!("replica")),
            ("cell", json!(first)),
            ("replicas", json!(replicas)),
            ("dataVolumeClaimTemplate", claim),
        ];
        with(pool, fields)
    });
    let known_by = btree_set((select(cells), select(&["replica", "readOnly"][..])), 0..3);
    let others = known_by.prop_flat_map(|known_by| {
        let members = vec((member(), claim(), number(0..3)), known_by.len());
        (Just(known_by), members)
    });
    (leaders, others).prop_map(|(leaders, (known_by, members))| {
        let others = known_by.into_iter().zip(members).map(|((cell, type_), (pool, claim, replicas))| {
            let fields = [
                ("type", json!(type_)),
                ("cell", json!(cell)),
                ("replicas", replicas),
                ("dataVolumeClaimTemplate", claim),
            ];
            with(pool, fields)
        });
        std::iter::once(leaders).chain(others).collect()
    })
}

/// Settings that all databases share.
pub fn section(cells: Vec<&'static str>) -> impl Strategy<Value = Value> {
    (maybe(one_of(&[true])), maybe(images()), databases(cells)).prop_map(|(managed, images, templates)| {
        object([("managed", managed), ("images", images), ("templates", Some(templates))])
    })
}

/// A component that runs pods.
pub fn component(replicas: std::ops::Range<i32>) -> impl Strategy<Value = Value> {
    let spec =
        (maybe(number(replicas)), maybe(image()), maybe(resources()), maybe(placement()), maybe(keys()));
    let spec = spec.prop_map(|(replicas, image, resources, placement, labels)| {
        object([
            ("replicas", replicas),
            ("image", image),
            ("resources", resources),
            ("placement", placement),
            ("podLabels", labels),
        ])
    });
    (maybe(one_of(&[true, false])), maybe(spec))
        .prop_map(|(managed, spec)| object([("managed", managed), ("spec", spec)]))
}
