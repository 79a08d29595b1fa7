//! Objects for tests, and edits of them.

pub mod reviews;

use std::fmt::Display;

use multigres_crds::v1alpha1::MultigresCluster;
use serde_json::{Value, json};

use crate::document::Document;
use crate::json::{Json, Parsed};
use crate::schema::Strictness;

/// The proposal's cluster, verbatim.
pub fn sample() -> Value {
    yaml(include_str!("../../tests/samples/proposal-cluster.yaml"))
}

/// The proposal's table groups, as a cluster.
pub fn sharded_sample() -> Value {
    yaml(include_str!("../../tests/samples/tablegroups-cluster.yaml"))
}

/// A small sound cluster with two cells and a database of each form.
pub fn small() -> Value {
    yaml(
        r"
        apiVersion: multigres.com/v1alpha1
        kind: MultigresCluster
        metadata: {name: c, namespace: ns}
        spec:
          globalTopoServer: {rootPath: /m/global}
          cells: {templates: [{name: a}, {name: b}]}
          databases:
            templates:
              - name: short
                spec:
                  pools:
                    - cell: a
                      primary:
                        replicas: 2
                        dataVolumeClaimTemplate: &volume
                          accessModes: [ReadWriteOnce]
                          resources: {requests: {storage: 10Gi}}
                      replica: {}
                    - {cell: b, replica: {dataVolumeClaimTemplate: *volume}}
              - name: full
                spec:
                  tableGroups:
                    - name: default
                      partitioning: {shards: 1}
                      shardTemplate:
                        pools:
                          - {type: replica, cell: a, replicas: 2, dataVolumeClaimTemplate: *volume}
                          - {type: readOnly, cell: b, name: reports, dataVolumeClaimTemplate: *volume}
        ",
    )
}

/// The short form of [`small`].
pub const SHORT: &str = "/spec/databases/templates/0";
/// The full form of [`small`].
pub const FULL: &str = "/spec/databases/templates/1";

pub fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// An edit: a JSON pointer whose last key may be new, and the value; null removes.
pub type Edit = (String, Value);

/// An edit of the object as a whole, or of a part that `at` points to.
pub fn edit(at: &str, pointer: &str, value: Value) -> Edit {
    (format!("{at}{pointer}"), value)
}

pub fn edited(mut object: Value, edits: &[Edit]) -> Value {
    for (pointer, value) in edits {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}"));
        let key = &key.replace("~1", "/");
        match (parent, value) {
            (Value::Object(fields), Value::Null) => drop(fields.remove(key)),
            (Value::Object(fields), value) => drop(fields.insert(key.to_owned(), value.clone())),
            (Value::Array(items), value) if key == "-" => items.push(value.clone()),
            (Value::Array(items), Value::Null) => drop(items.remove(key.parse().unwrap())),
            (parent, value) => parent[key.parse::<usize>().unwrap()] = value.clone(),
        }
    }
    object
}

/// Text as JSON, which is never freed.
pub fn parsed(text: impl Display) -> Json<'static> {
    let text = text.to_string().into_bytes().leak();
    Box::leak(Box::new(Parsed::parse(text).unwrap())).json()
}

pub fn decode(text: &str) -> Document<'static, MultigresCluster> {
    Document::decode(parsed(text), Strictness::Server).unwrap()
}

/// A volume claim of a size.
pub fn volume(size: &str) -> Value {
    json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}})
}
