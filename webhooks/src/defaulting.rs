//! Defaults that are persisted.
//!
//! Only absent keys of maps outside any list are written, found in the object as it was sent and never by a typed
//! round trip: whatever a user wrote stays to the byte, so that what GitOps tools compare never differs. Persisting
//! the images means that upgrading the operator never changes a running database. Everything else that a cluster
//! leaves out is resolved by the controllers, and visible in the children.

mod additions;
mod skeleton;
#[cfg(test)]
mod tests;

use json_patch::Patch;
use multigres_crds::{defaults, labels};
use serde_json::json;

use self::additions::Additions;
pub use self::skeleton::Skeleton;
use crate::object::Object;

/// What is to be added to an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Defaults {
    /// The additions; empty where nothing is missing.
    pub patch: Patch,
    /// How many fields they fill.
    pub fields: usize,
}

/// The defaults of a cluster, from its spec. `old` is what the update replaces: an image that is left out then stays as
/// it was.
pub fn cluster(spec: &Skeleton<'_>, old: &Skeleton<'_>) -> Defaults {
    let mut additions = Additions::new("spec", spec);
    let image = |path: &[&str], default: &str| json!(old.text(path).unwrap_or(default));

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
        let is_off = spec.flag(&[section, "managed"]) == Some(false) && !spec.has(&[section, "spec"]);
        if !is_off || old.has(&path) {
            additions.set(&path, image(&path, defaults::MULTIGRES_IMAGE));
        }
    }
    if spec.is_map(&["cells"]) {
        let path = ["cells", "multiGatewayImage"];
        additions.set(&["cells", "managed"], json!(true));
        additions.set(&path, image(&path, defaults::MULTIGRES_IMAGE));
    }
    if spec.is_map(&["databases"]) {
        let path = |image| ["databases", "images", image];
        let (camel, lower) = (path("multiPooler"), path("multipooler"));
        additions.set(&["databases", "managed"], json!(true));
        additions.set(&path("postgres"), image(&path("postgres"), defaults::POSTGRES_IMAGE));
        // One of the two spellings, never both; nor is what was written in one rewritten in the other.
        if !spec.has(&lower) {
            let lower = old.text(&lower).unwrap_or(defaults::MULTIGRES_IMAGE);
            additions.set(&camel, image(&camel, lower));
        }
        let exporter = path("postgresExporter");
        additions.set(&exporter, image(&exporter, defaults::POSTGRES_EXPORTER_IMAGE));
    }
    additions.finish()
}

/// The label by which a child is looked up, from the field of its spec that cannot be changed.
pub fn child(new: &Object<'_>) -> Defaults {
    let (metadata, spec) = (Skeleton::read(new.metadata), Skeleton::read(new.spec));
    let mut additions = Additions::new("metadata", &metadata);
    if let Some(cluster) = spec.text(&["cluster"]) {
        additions.set(&["labels", labels::CLUSTER], json!(cluster));
    }
    additions.finish()
}

/// Whether the operator will make the etcd. With `external` it will not, and a written `managed: false` would outlive
/// an `external` that is removed again.
fn topology_is_made(spec: &Skeleton<'_>) -> bool {
    let topology = ["globalTopoServer"];
    spec.is_map(&topology)
        && spec.is_unset(&["globalTopoServer", "external"])
        && spec.flag(&["globalTopoServer", "managed"]) != Some(false)
}
