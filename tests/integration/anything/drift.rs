//! Edits of others to what the operator made, and what becomes of pods.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use strum::{IntoStaticStr, VariantArray};

use super::compare::is_instance;
use super::objects::{CHILDREN, PODS, Requests, Resource, STATEFUL_SETS, WORKLOADS, path, text};
use crate::installation::Namespace;

/// One sort of drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray, IntoStaticStr)]
pub enum Drift {
    EditObject,
    DeleteObject,
    OrphanPods,
    DeletePod,
    BreakInstance,
    HealInstance,
    EditChild,
    DeleteChild,
}

impl Drift {
    /// Does it to a random object of the namespace; the answer, or nothing where there is no such object.
    pub async fn happen(self, requests: &Requests, within: &Namespace<'_>, rng: &mut StdRng) -> Option<u16> {
        let namespace = &within.name;
        let one = async |resource, rng: &mut StdRng| some(requests, resource, namespace, rng).await;
        match self {
            Self::EditObject => {
                let resource = *WORKLOADS.choose(rng).unwrap();
                let object = one(resource, rng).await?;
                let at = path(resource, namespace, &text(&object["metadata"]["name"]));
                Some(requests.patch(&at, edit(&object, rng)?).await.0)
            }
            Self::DeleteObject => {
                let resource = *WORKLOADS.choose(rng).unwrap();
                let object = one(resource, rng).await?;
                let at = path(resource, namespace, &text(&object["metadata"]["name"]));
                Some(requests.delete(&at, "Background").await.0)
            }
            Self::OrphanPods => {
                let object = one(STATEFUL_SETS, rng).await?;
                let at = path(STATEFUL_SETS, namespace, &text(&object["metadata"]["name"]));
                Some(requests.delete(&at, "Orphan").await.0)
            }
            Self::DeletePod => {
                let pod = one(PODS, rng).await?;
                Some(
                    requests
                        .delete(&path(PODS, namespace, &text(&pod["metadata"]["name"])), "Background")
                        .await
                        .0,
                )
            }
            Self::BreakInstance | Self::HealInstance => {
                let mut pods = requests.list(PODS, Some(namespace)).await;
                pods.retain(is_instance);
                Some(set_running(requests, pods.choose(rng)?, self == Self::HealInstance).await)
            }
            Self::EditChild | Self::DeleteChild => {
                let resource = *CHILDREN.choose(rng).unwrap();
                let child = one(resource, rng).await?;
                let at = path(resource, namespace, &text(&child["metadata"]["name"]));
                within.opt_out(true).await;
                let code = if self == Self::EditChild {
                    requests.merge(&at, json!({ "spec": { "podLabels": { "drifted": "yes" } } })).await.0
                } else {
                    requests.delete(&at, "Background").await.0
                };
                within.opt_out(false).await;
                Some(code)
            }
        }
    }
}

/// A random object that is there to stay.
async fn some(requests: &Requests, resource: Resource, namespace: &str, rng: &mut StdRng) -> Option<Value> {
    let mut objects = requests.list(resource, Some(namespace)).await;
    objects.retain(|object| object["metadata"]["deletionTimestamp"].is_null());
    objects.choose(rng).cloned()
}

/// A JSON patch that changes what the operator asks for.
fn edit(object: &Value, rng: &mut StdRng) -> Option<Value> {
    let replace = |path: &str, value: Value| json!([{ "op": "replace", "path": path, "value": value }]);
    let add = |path: &str, value: Value| json!([{ "op": "add", "path": path, "value": value }]);
    let second = rng.random();
    let patch = match object["kind"].as_str()? {
        "StatefulSet" | "Deployment" => match rng.random_range(0..3) {
            0 => add("/spec/template/metadata/annotations", json!({ "drifted": "yes" })),
            1 => replace("/spec/template/spec/containers/0/image", "drifted:v1".into()),
            _ if object["kind"] == "Deployment" => add("/spec/replicas", 4.into()),
            _ => add("/spec/minReadySeconds", 3.into()),
        },
        "Service" if second => add("/spec/selector/drifted", "yes".into()),
        "Service" => replace("/spec/ports/0/port", 15_001.into()),
        "ConfigMap" => add("/data/drifted", "yes".into()),
        "PodDisruptionBudget" if second => replace("/spec/minAvailable", 0.into()),
        "PodDisruptionBudget" => add("/spec/selector/matchLabels/drifted", "yes".into()),
        _ => return None,
    };
    Some(patch)
}

/// Has all containers of a pod run and be ready, or wait to run, in the place of the kubelet.
pub async fn set_running(requests: &Requests, pod: &Value, running: bool) -> u16 {
    let statuses = |list: &str| -> Value {
        let containers = pod["spec"][list].as_array().into_iter().flatten();
        let status = |container: &Value| {
            let state = if running {
                json!({ "running": { "startedAt": "2026-01-01T00:00:00Z" } })
            } else {
                json!({ "waiting": { "reason": "ImagePullBackOff" } })
            };
            json!({
                "name": container["name"], "image": container["image"], "imageID": "", "restartCount": 0,
                "ready": running, "state": state,
            })
        };
        containers.map(status).collect()
    };
    let mut conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    for condition in &mut conditions {
        if matches!(condition["type"].as_str(), Some("Ready" | "ContainersReady")) {
            condition["status"] = if running { "True" } else { "False" }.into();
        }
    }
    let status = json!({ "status": {
        "containerStatuses": statuses("containers"), "initContainerStatuses": statuses("initContainers"),
        "conditions": conditions,
    }});
    let namespace = text(&pod["metadata"]["namespace"]);
    let at = path(PODS, &namespace, &text(&pod["metadata"]["name"]));
    requests.merge(&format!("{at}/status"), status).await.0
}
