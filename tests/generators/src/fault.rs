//! Mistakes of people and programs.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use crate::admissible_in;

/// Clusters of which some fields were removed, or replaced by what does not belong there.
pub fn broken() -> impl Strategy<Value = Value> {
    broken_in("n")
}

/// The same in a namespace.
pub fn broken_in(namespace: &str) -> impl Strategy<Value = Value> + use<> {
    let fault = (vec(any::<Index>(), 1..9), prop_oneof![Just(None), nonsense().prop_map(Some)]);
    (admissible_in(namespace), vec(fault, 1..4)).prop_map(|(mut cluster, faults)| {
        for (way, value) in faults {
            if let Some(spec) = cluster.get_mut("spec") {
                put(spec, &way, value);
            }
        }
        cluster
    })
}

/// Goes down, and changes what is there; where the way leads on, it ends at the deepest value.
fn put(at: &mut Value, way: &[Index], value: Option<Value>) {
    let Some((next, rest)) = way.split_first() else { return };
    let is_last = rest.is_empty();
    match at {
        Value::Object(fields) if !fields.is_empty() => {
            let key = fields.keys().nth(next.index(fields.len())).cloned().unwrap_or_default();
            match (fields.get_mut(&key), value) {
                (Some(field), value) if !is_last && (field.is_object() || field.is_array()) => {
                    put(field, rest, value);
                }
                (Some(field), Some(value)) => *field = value,
                (_, _) => drop(fields.remove(&key)),
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let index = next.index(items.len());
            match (items.get_mut(index), value) {
                (Some(item), value) if !is_last && (item.is_object() || item.is_array()) => {
                    put(item, rest, value);
                }
                (Some(item), Some(value)) => *item = value,
                (_, _) => drop(items.remove(index)),
            }
        }
        _ => {}
    }
}

/// Values of every type, some of which are at home in some field.
fn nonsense() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-2..200_i32).prop_map(Value::from),
        any::<f32>().prop_map(Value::from),
        "[a-z0-9:/.@_-]{0,12}".prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([{ "name": "a" }, { "name": "a" }])),
        Just(json!({ "requests": { "cpu": "-1", "storage": "1 Gi" } })),
    ]
}
