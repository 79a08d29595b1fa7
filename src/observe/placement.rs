//! The node of a pod, and the volumes that tie it to one.

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

/// Parts of what schedulers say of a pod whose volume is not to be had on any node that is left.
const VOLUME_ELSEWHERE: [&str; 2] = ["volume node affinity conflict", "PersistentVolume's node affinity"];

/// The node of a pod, and the volumes that tie it to one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The node that it runs on.
    pub node: Option<String>,
    /// The end of its grace period, if it is being deleted.
    pub ends: Option<Timestamp>,
    /// Its claims, if no node is left on which all of their volumes are to be had.
    pub unreachable_claims: Vec<String>,
}

impl Placement {
    /// Projects a pod as the API server has it.
    pub(super) fn project(pod: &Value) -> Self {
        let unreachable_claims = if lacks_volumes(pod) { claims(pod) } else { Vec::new() };
        Self {
            node: pod["spec"]["nodeName"].as_str().map(str::to_owned),
            ends: pod["metadata"]["deletionTimestamp"].as_str().and_then(|time| time.parse().ok()),
            unreachable_claims,
        }
    }
}

fn lacks_volumes(pod: &Value) -> bool {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| {
        let message = condition["message"].as_str().unwrap_or_default();
        condition["type"] == "PodScheduled"
            && condition["status"] == "False"
            && VOLUME_ELSEWHERE.iter().any(|part| message.contains(part))
    })
}

fn claims(pod: &Value) -> Vec<String> {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let claim = |volume: &Value| volume["persistentVolumeClaim"]["claimName"].as_str().map(str::to_owned);
    volumes.filter_map(claim).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_volume_that_no_node_has_is_told_by_its_claim() {
        for (status, message, unreachable) in [
            ("False", "0/2 nodes are available: 1 node(s) had volume node affinity conflict.", true),
            ("False", "1 node(s) didn't match PersistentVolume's node affinity", true),
            ("False", "0/2 nodes are available: 2 Insufficient cpu.", false),
            ("True", "", false),
        ] {
            let pod = json!({
                "spec": { "volumes": [
                    { "name": "shm", "emptyDir": {} },
                    { "name": "data", "persistentVolumeClaim": { "claimName": "data-a-0" } },
                ]},
                "status": { "conditions": [{ "type": "PodScheduled", "status": status, "message": message }] },
            });
            let expected: &[&str] = if unreachable { &["data-a-0"] } else { &[] };
            assert_eq!(Placement::project(&pod).unreachable_claims, expected, "{message}");
        }
    }

    #[test]
    fn a_pod_that_ends_has_a_node_and_a_time() {
        let at = "2026-01-01T00:00:00Z";
        let pod = json!({ "metadata": { "deletionTimestamp": at }, "spec": { "nodeName": "n" } });
        let placement = Placement::project(&pod);
        assert_eq!((placement.node.as_deref(), placement.ends), (Some("n"), at.parse().ok()));
        assert_eq!(Placement::project(&json!({})), Placement::default());
    }
}
