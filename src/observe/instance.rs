//! Projection of a pod.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::placement::Placement;

/// The containers that serve: PostgreSQL lives in the first, and clients and standbys reach it by the second. Other
/// containers of the pod, an exporter or an injected sidecar, may fail without a client noticing.
const SERVING: [&str; 2] = ["pgctld", "multipooler"];

/// The label by which a StatefulSet gives each of its pods the pod's own name.
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";

/// Facts about a pod, beside those about every object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that Kubernetes tells of a pod")]
pub struct Instance {
    /// True if it counts as ready.
    pub ready: bool,
    /// Since when that is so, or is not.
    pub since: Option<Timestamp>,
    /// Both containers that serve run ([`SERVING`]). A pod that is only cut off from its node still runs.
    pub running: bool,
    /// Its node, and the volumes that tie it to one.
    pub placement: Placement,
    /// Both containers that serve are ready, whatever the pod's other containers do.
    pub serving: bool,
    /// The label [`POD_NAME`] names this pod. A copy that `kubectl debug` made bears the name of its original.
    pub bears_its_name: bool,
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
            running: serving_containers(pod, |status| status["state"].get("running").is_some()),
            serving: is_serving(pod),
            bears_its_name: bears_its_name(pod),
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
    condition(pod, "Ready")
}

fn condition<'a>(pod: &'a Value, kind: &str) -> &'a Value {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

/// Each container that serves has a status, and the status is such.
fn serving_containers(pod: &Value, is_such: impl Fn(&Value) -> bool) -> bool {
    let lists = ["containerStatuses", "initContainerStatuses"];
    let status = |name: &str| both(&pod["status"], lists).find(|status| status["name"] == name);
    SERVING.into_iter().all(|name| status(name).is_some_and(&is_such))
}

/// A pod that is not ready serves only where a kubelet says that other containers are the cause. The node controller
/// takes the readiness of a pod on a lost node away and leaves the word of its kubelet, `ContainersReady`, as it was.
fn is_serving(pod: &Value) -> bool {
    let by_kubelet = condition(pod, "ContainersReady")["status"] == "False";
    readiness(pod)["status"] == "True"
        || (by_kubelet && serving_containers(pod, |status| status["ready"] == true))
}

fn bears_its_name(pod: &Value) -> bool {
    let metadata = &pod["metadata"];
    metadata["name"].is_string() && metadata["labels"][POD_NAME] == metadata["name"]
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

    /// A pod whose containers are in these states, each with its readiness.
    fn pod(ready: [&str; 2], containers: &[(&str, Value, bool)], init: &[(&str, Value, bool)]) -> Instance {
        let statuses = |containers: &[(&str, Value, bool)]| -> Value {
            let status = |(name, state, ready): &(&str, Value, bool)| json!({ "name": name, "state": state, "ready": ready });
            containers.iter().map(status).collect()
        };
        let conditions: Vec<Value> = ["Ready", "ContainersReady"]
            .into_iter()
            .zip(ready)
            .map(|(kind, status)| json!({ "type": kind, "status": status }))
            .collect();
        Instance::project(&json!({ "status": {
            "conditions": conditions,
            "containerStatuses": statuses(containers), "initContainerStatuses": statuses(init),
        }}))
    }

    #[test]
    fn containers_that_serve_are_judged_and_no_others() {
        let running = || json!({ "running": {} });
        let waiting = || json!({ "waiting": { "reason": "ImagePullBackOff" } });
        let ended = || json!({ "terminated": { "exitCode": 0 } });
        // The pooler, the exporter beside it, PostgreSQL, an init container of others; runs, serves.
        for (pooler, exporter, postgres, injected, expected) in [
            ((running(), true), (running(), true), (running(), true), ended(), (true, true)),
            ((running(), true), (waiting(), false), (running(), true), ended(), (true, true)),
            ((running(), true), (running(), true), (running(), false), ended(), (true, false)),
            ((waiting(), false), (running(), true), (running(), true), ended(), (false, false)),
            ((running(), false), (running(), true), (waiting(), false), ended(), (false, false)),
            ((running(), false), (running(), true), (ended(), false), running(), (false, false)),
        ] {
            let containers =
                [("multipooler", pooler.0, pooler.1), ("postgres-exporter", exporter.0, exporter.1)];
            let init = [("istio-init", injected, true), ("pgctld", postgres.0, postgres.1)];
            let seen = pod(["False", "False"], &containers, &init);
            assert_eq!((seen.running, seen.serving), expected, "{containers:?} {init:?}");
        }
        // One that no node has taken yet.
        assert!(!Instance::project(&json!({ "status": {} })).running);
    }

    #[test]
    fn a_pod_on_a_lost_node_does_not_serve_by_what_its_kubelet_said_before() {
        let containers = [("multipooler", json!({ "running": {} }), true)];
        let init = [("pgctld", json!({ "running": {} }), true)];
        for (ready, serving) in
            [(["True", "True"], true), (["False", "True"], false), (["False", "False"], true)]
        {
            let seen = pod(ready, &containers, &init);
            assert_eq!((seen.running, seen.serving), (true, serving), "{ready:?}");
        }
    }

    #[test]
    fn a_copy_bears_the_name_of_its_original() {
        let named = |label: &str| {
            let metadata = json!({ "name": "a-0", "labels": { POD_NAME: label } });
            Instance::project(&json!({ "metadata": metadata })).bears_its_name
        };
        assert!(named("a-0"));
        assert!(!named("a-1"));
        assert!(!Instance::project(&json!({})).bears_its_name);
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
