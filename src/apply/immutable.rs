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

/// The content of a ConfigMap or Secret. One that somebody made immutable stays so for good, as long as it exists.
const CONTENT: [&str; 2] = ["data", "binaryData"];

/// Keeps an immutable object as it is. Returns the fields that should be otherwise.
fn pin_content(desired: &mut Value, live: &Value) -> Vec<String> {
    desired["immutable"] = true.into();
    let differs = |field: &&str| desired[*field] != live[*field];
    let different: Vec<&str> = CONTENT.into_iter().filter(differs).collect();
    for field in &different {
        desired[*field] = live[*field].clone();
    }
    different.into_iter().map(str::to_owned).collect()
}

/// The desired object with the immutable fields as they are, and those of them that should be otherwise.
pub fn pin(kind: &str, mut desired: Value, live: &Value) -> (Value, Vec<String>) {
    let mut different = Vec::new();
    if live["immutable"] == true {
        different.extend(pin_content(&mut desired, live));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_made_immutable_is_told_of_where_it_differs() {
        let desired = || json!({ "kind": "Secret", "data": { "host": "aA==" } });
        for (live, different) in [
            (json!({ "data": { "host": "aA==" }, "immutable": true }), &[][..]),
            (json!({ "data": { "host": "aA==", "x": "eQ==" }, "immutable": true }), &["data"]),
            (json!({ "data": { "host": "aB==" }, "immutable": true }), &["data"]),
            (json!({ "immutable": true }), &["data"]),
            (json!({ "data": { "host": "aB==" } }), &[]),
        ] {
            let mut live = live;
            live["kind"] = json!("Secret");
            let (pinned, found) = pin("Secret", desired(), &live);
            assert_eq!(found, different, "{live}");
            if live["immutable"] == true {
                // Neither an apply nor a replacement would try to change what cannot change.
                assert!(Drift::between(&pinned, &live, MANAGER).is_none(), "{live}");
            } else {
                assert_eq!(pinned, desired());
            }
        }
    }
}
