//! Images, addresses, names, paths, quantities: every text of a cluster is somebody's to parse.

use multigres_crds::kind::Kind;
use serde_json::{Value, json};

use crate::world::CLUSTER;
use crate::{handler, review};

/// The first byte says which text of a cluster the rest replaces.
pub fn text(data: &[u8]) {
    let Some((which, text)) = data.split_first() else { return };
    let mut cluster: Value = serde_json::from_str(CLUSTER).expect("the cluster is sound");
    cluster["metadata"] = json!({ "name": "other", "namespace": "ns" });
    let mut texts = Vec::new();
    collect(&mut cluster, &mut texts);
    let count = texts.len();
    if let Some(place) = texts.into_iter().nth(usize::from(*which) % count) {
        *place = String::from_utf8_lossy(text).into_owned();
    }
    handler(review("CREATE", Kind::Cluster, Some(&cluster), None).to_string().as_bytes());
}

fn collect<'v>(value: &'v mut Value, texts: &mut Vec<&'v mut String>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter_mut().for_each(|item| collect(item, texts)),
        Value::Object(fields) => fields.iter_mut().for_each(|(_, field)| collect(field, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
