//! Violations that an update leaves unchanged do not deny it.
//!
//! As `CRDValidationRatcheting` of the API server: a value that equals its old self is not held against the schema.
//! Items of a list have an old self only where a key identifies them.

use std::collections::HashMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use serde_json::Value;

use super::violations::of_lists;
use super::{Origin, Violation, items, list_key, property};
use crate::path::{FieldPath, PathSet};

/// Splits violations into those of the update and those that the old object had as well.
pub(super) fn ratchet(
    schema: &JSONSchemaProps,
    violations: Vec<Violation>,
    new: &Value,
    old: &Value,
) -> (Vec<Violation>, Vec<Violation>) {
    let mut unchanged = PathSet::default();
    if is_unchanged(schema, new, old, &FieldPath::default(), &mut unchanged) {
        unchanged.insert(&FieldPath::default());
    }
    let old_repeats_keys = !of_lists(schema, old).is_empty();
    violations.into_iter().partition(|violation| match violation.origin {
        Origin::ListKeys => !old_repeats_keys,
        Origin::Value | Origin::Typed => !unchanged.covers(&violation.path),
        Origin::Parent => !unchanged.covers(&violation.path.parent()),
    })
}

/// True if nothing changed. If something did, the unchanged parts are added to the set.
fn is_unchanged(
    schema: &JSONSchemaProps,
    new: &Value,
    old: &Value,
    path: &FieldPath,
    unchanged: &mut PathSet,
) -> bool {
    if new == old {
        return true;
    }
    let mut compare = |schema, new, old, path: FieldPath| {
        if is_unchanged(schema, new, old, &path, unchanged) {
            unchanged.insert(&path);
        }
    };
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            for (name, new) in new {
                if let Some((schema, old)) = property(schema, name).zip(old.get(name)) {
                    compare(schema, new, old, path.clone().field(name));
                }
            }
        }
        (Value::Array(new), Value::Array(old)) => {
            let Some((key, schema)) = list_key(schema).zip(items(schema)) else { return false };
            let key = |item: &'_ Value| item.get(key).and_then(Value::as_str).map(str::to_owned);
            let old: HashMap<String, &Value> =
                old.iter().filter_map(|item| Some((key(item)?, item))).collect();
            for (index, new) in new.iter().enumerate() {
                if let Some(old) = key(new).and_then(|key| old.get(&key)) {
                    compare(schema, new, old, path.clone().item(index, ""));
                }
            }
        }
        _ => {}
    }
    false
}
