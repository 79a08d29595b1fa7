//! Fields that Kubernetes does not let change.

use serde_json::{Value, json};

use super::{Drift, MANAGER};

/// Fields that Kubernetes does not let change on an object that exists, as JSON pointers.
fn fields(kind: &str) -> &'static [&'static str] {
    match kind {
        "StatefulSet" => &[
            "/spec/serviceName",
            "/spec/selector",
            "/spec/podManagementPolicy",
            "/spec/volumeClaimTemplates",
        ],
        "Deployment" => &["/spec/selector"],
        "PersistentVolumeClaim" => &["/spec/accessModes", "/spec/storageClassName", "/spec/resources"],
        _ => &[],
    }
}

/// The desired object with the immutable fields as they are, and those of them that should be otherwise.
pub fn pin(kind: &str, mut desired: Value, live: &Value) -> (Value, Vec<String>) {
    let mut different = Vec::new();
    for pointer in fields(kind) {
        let (Some(wanted), Some(is)) = (desired.pointer(pointer), live.pointer(pointer)) else { continue };
        let (wanted, is) = (json!({ "spec": wanted }), json!({ "spec": is }));
        if !Drift::between(&wanted, &is, MANAGER).is_none() {
            different.push(pointer.trim_start_matches('/').replace('/', "."));
            if let Some(wanted) = desired.pointer_mut(pointer) {
                *wanted = is["spec"].clone();
            }
        }
    }
    (desired, different)
}
