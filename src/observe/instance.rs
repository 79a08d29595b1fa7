//! What is kept of a pod.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::placement::Placement;

/// What is known of a pod, beside what is known of every object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    /// Whether it counts as ready.
    pub ready: bool,
    /// Since when that is so, or is not.
    pub since: Option<Timestamp>,
    /// Whether all of its containers run. One that is only cut off from its node still runs.
    pub running: bool,
    /// Its node, and the volumes that tie it to one.
    pub placement: Placement,
    /// The images of its containers, by name.
    pub images: BTreeMap<String, String>,
    /// Containers whose image was changed after the pod was made.
    pub edited: BTreeSet<String>,
}

impl Instance {
    /// Projects a pod as the API server has it.
    pub(super) fn project(pod: &Value) -> Self {
        let image = |container: &Value| {
            let (name, image) = (container["name"].as_str()?, container["image"].as_str()?);
            Some((name.to_owned(), image.to_owned()))
        };
        let images = both(&pod["spec"], ["containers", "initContainers"]).filter_map(image).collect();
        let readiness = readiness(pod);
        Self {
            ready: readiness["status"] == "True",
            since: readiness["lastTransitionTime"].as_str().and_then(|time| time.parse().ok()),
            running: is_running(pod),
            placement: Placement::project(pod),
            images,
            edited: edited(pod),
        }
    }
}

/// The items of two lists of an object.
fn both<'a>(object: &'a Value, lists: [&str; 2]) -> impl Iterator<Item = &'a Value> {
    lists.into_iter().filter_map(|list| object[list].as_array()).flatten()
}

/// The condition that says whether a pod is ready; null where there is none yet.
fn readiness(pod: &Value) -> &Value {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.find(|condition| condition["type"] == "Ready").unwrap_or(&Value::Null)
}

fn is_running(pod: &Value) -> bool {
    let mut seen = false;
    let mut statuses = both(&pod["status"], ["containerStatuses", "initContainerStatuses"]);
    let all = statuses.all(|status| {
        seen = true;
        status["state"].get("running").is_some()
    });
    seen && all
}

/// Whoever makes a pod says all of it; an image that somebody else has said was changed later. What a webhook makes of
/// a pod on its way in counts as said by its maker.
fn edited(pod: &Value) -> BTreeSet<String> {
    let mut edited = BTreeSet::new();
    for entry in pod["metadata"]["managedFields"].as_array().into_iter().flatten() {
        let spec = &entry["fieldsV1"]["f:spec"];
        // The selector of nodes, the service account, the restart policy are the maker's alone.
        if spec.get("f:restartPolicy").is_some() {
            continue;
        }
        for list in ["f:containers", "f:initContainers"] {
            for (key, fields) in spec[list].as_object().into_iter().flatten() {
                if fields.get("f:image").is_some() {
                    edited.extend(container_of(key));
                }
            }
        }
    }
    edited
}

/// The name in `k:{"name":"…"}`.
fn container_of(key: &str) -> Option<String> {
    let key: Value = serde_json::from_str(key.strip_prefix("k:")?).ok()?;
    Some(key["name"].as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn readiness_has_a_beginning() {
        let at = "2026-01-01T00:00:00Z";
        let condition = json!({ "type": "Ready", "status": "True", "lastTransitionTime": at });
        let pod = Instance::project(&json!({ "status": { "conditions": [condition] } }));
        assert_eq!((pod.ready, pod.since), (true, at.parse().ok()));
        assert_eq!(Instance::project(&json!({})).since, None);
    }

    #[test]
    fn all_containers_must_run() {
        let (running, waiting) =
            (json!({ "running": {} }), json!({ "waiting": { "reason": "ImagePullBackOff" } }));
        for (main, sidecar, expected) in
            [(&running, &running, true), (&waiting, &running, false), (&running, &waiting, false)]
        {
            let pod = json!({ "status": {
                "containerStatuses": [{ "state": main }], "initContainerStatuses": [{ "state": sidecar }],
            }});
            assert_eq!(Instance::project(&pod).running, expected);
        }
        // One that no node has taken yet.
        assert!(!Instance::project(&json!({ "status": {} })).running);
    }

    #[test]
    fn an_image_that_was_changed_later_is_known_by_who_said_it() {
        let owner = |maker: bool| {
            let mut spec = json!({ "f:containers": { "k:{\"name\":\"multipooler\"}": { "f:image": {} } } });
            if maker {
                spec["f:restartPolicy"] = json!({});
            }
            json!({ "fieldsV1": { "f:spec": spec } })
        };
        let pod = |entries: &[Value]| Instance::project(&json!({ "metadata": { "managedFields": entries } }));
        assert!(pod(&[owner(true)]).edited.is_empty());
        assert!(pod(&[owner(true), owner(false)]).edited.contains("multipooler"));
        assert!(pod(&[owner(true), json!({ "fieldsV1": { "f:status": {} } })]).edited.is_empty());
    }
}
