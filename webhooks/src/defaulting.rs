//! Defaults that are persisted.
//!
//! Only absent keys of maps outside any list are written, found in the object as it was sent and never by a typed
//! round trip: whatever a user wrote stays to the byte, so that what GitOps tools compare never differs. Persisting
//! the images means that upgrading the operator never changes a running database. Everything else that a cluster
//! leaves out is resolved by the controllers, and visible in the children.

mod additions;
#[cfg(test)]
mod tests;

use json_patch::Patch;
use multigres_crds::{defaults, labels};
use serde_json::json;

use self::additions::Additions;
use crate::json::Json;
use crate::object::Object;
use crate::syntax::is_label_value;

const REVISION: &str = "workloadRevision";

/// Defaults to add to an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Defaults {
    /// The additions; empty where nothing is missing.
    pub patch: Patch,
    /// Number of fields that they fill.
    pub fields: usize,
}

/// The defaults of a cluster, from its spec. `old` is what the update replaces: an image or a revision that is left
/// out then stays as it was.
pub fn cluster(spec: Json<'_>, old: Json<'_>) -> Defaults {
    let mut additions = Additions::new("spec", spec);
    let before = |path: &[&str]| old.at(path).and_then(Json::text).filter(|image| !image.is_empty());
    let image = |path: &[&str], default: &str| json!(before(path).unwrap_or(default));

    // A new cluster begins with the newest pod templates. An update that leaves the revision out keeps the old one:
    // pods restart for a newer revision only when somebody asks for it.
    let revision = if old.is_null() {
        Some(i64::from(defaults::WORKLOAD_REVISION))
    } else {
        old.field(REVISION).and_then(|revision| revision.read::<i64>().ok())
    };
    if let Some(revision) = revision {
        additions.set(&[REVISION], json!(revision));
    }
    if topology_is_made(spec) {
        let template = |field| ["globalTopoServer", "managedSpec", field];
        additions.set(&["globalTopoServer", "managed"], json!(true));
        additions.set(&template("image"), image(&template("image"), defaults::ETCD_IMAGE));
        additions.set(&template("replicas"), json!(defaults::ETCD_REPLICAS));
        additions.set(&template("dataVolumeClaimTemplate"), json!(defaults::etcd_volume()));
    }
    for section in ["admin", "orchestrator"] {
        let path = [section, "spec", "image"];
        additions.set(&[section, "managed"], json!(true));
        // What is turned off and has no template is not given one, only to be told that it is ignored.
        let is_off =
            flag(spec, &[section, "managed"]) == Some(false) && spec.at(&[section, "spec"]).is_none();
        if !is_off || old.at(&path).is_some() {
            additions.set(&path, image(&path, defaults::MULTIGRES_IMAGE));
        }
    }
    if is_map(spec, "cells") {
        let path = ["cells", "multiGatewayImage"];
        additions.set(&["cells", "managed"], json!(true));
        additions.set(&path, image(&path, defaults::MULTIGRES_IMAGE));
    }
    if is_map(spec, "databases") {
        let path = |image| ["databases", "images", image];
        let (camel, lower) = (path("multiPooler"), path("multipooler"));
        additions.set(&["databases", "managed"], json!(true));
        additions.set(&path("postgres"), image(&path("postgres"), defaults::POSTGRES_IMAGE));
        // One of the two spellings, never both; nor is what was written in one rewritten in the other.
        if spec.at(&lower).is_none() {
            let lower = before(&lower).unwrap_or(defaults::MULTIGRES_IMAGE);
            additions.set(&camel, image(&camel, lower));
        }
        let exporter = path("postgresExporter");
        additions.set(&exporter, image(&exporter, defaults::POSTGRES_EXPORTER_IMAGE));
    }
    additions.finish()
}

/// The label by which a child is looked up, from the field of its spec that cannot be changed. Where that is no value of
/// a label, the API server would speak of the label only, which its author never wrote.
pub fn child(new: &Object<'_>) -> Defaults {
    let mut additions = Additions::new("metadata", new.metadata.unwrap_or(Json::NULL));
    let cluster = new.spec.and_then(|spec| spec.field("cluster")?.text());
    if let Some(cluster) = cluster.filter(|cluster| !cluster.is_empty() && is_label_value(cluster)) {
        additions.set(&["labels", labels::CLUSTER], json!(cluster));
    }
    additions.finish()
}

/// True if the operator will make the etcd. With `external` it will not, and a persisted `managed: false` would outlive
/// an `external` that is removed again.
fn topology_is_made(spec: Json<'_>) -> bool {
    is_map(spec, "globalTopoServer")
        && spec.at(&["globalTopoServer", "external"]).is_none_or(Json::is_null)
        && flag(spec, &["globalTopoServer", "managed"]) != Some(false)
}

fn flag(spec: Json<'_>, path: &[&str]) -> Option<bool> {
    spec.at(path).and_then(Json::flag)
}

fn is_map(spec: Json<'_>, field: &str) -> bool {
    spec.field(field).is_some_and(Json::is_map)
}
