//! Instances that neither Kubernetes nor the operator brings back: those of a node that is gone. Only a person knows
//! that it stays away, so the shard's conditions say what to do then.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use multigres_crds::v1alpha1::MultiShard;

use super::instances::pods;
use crate::controllers::context::Context;
use crate::observe::{ObjectKey, Placement};
use crate::reason::Reason;

/// Time beyond its grace period after which a pod is said not to end. Its node removes it within seconds.
const OVERDUE: Duration = Duration::from_mins(5);

/// The reason and message for the first pod of a shard that does not end, or that no node can run any more.
pub fn stuck(shard: &MultiShard, cx: &Context) -> Option<(Reason, String)> {
    let namespace = shard.namespace().unwrap_or_default();
    let message = pods(shard, cx, &namespace)
        .into_iter()
        .find_map(|(key, observed)| advice(&key, &observed.instance?.placement, cx.clock.now().0))?;
    Some((Reason::PodsNotReady, message))
}

fn advice(key: &ObjectKey, placement: &Placement, now: Timestamp) -> Option<String> {
    let pod = &key.name;
    if let (Some(ends), Some(node)) = (placement.ends, &placement.node)
        && now.duration_since(ends).unsigned_abs() > OVERDUE
        && now > ends
    {
        return Some(format!(
            "pod {pod} does not end: its node {node} seems to be down. If the node is off for good, taint it with \
             node.kubernetes.io/out-of-service=nodeshutdown:NoExecute, and the pod is replaced"
        ));
    }
    if placement.unreachable_claims.is_empty() {
        return None;
    }
    let claims = placement.unreachable_claims.join(", ");
    Some(format!(
        "pod {pod} cannot be scheduled: no node has all of its volumes (claims {claims}). Bring their node back; if it \
         is lost for good, delete the claim that was on it, then the pod, and the instance is made anew from the backup"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_what_to_do_about_a_node_that_is_gone() {
        let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let ending = |ends: &str| Placement {
            node: Some("node-1".to_owned()),
            ends: ends.parse().ok(),
            ..Placement::default()
        };
        let lost = Placement { unreachable_claims: vec!["data-a-0".to_owned()], ..Placement::default() };
        for (placement, words) in [
            (ending("2026-01-01T00:54:59Z"), &["pod a-0", "node-1", "out-of-service"][..]),
            (ending("2026-01-01T00:55:01Z"), &[]),
            // Its grace period has not run out.
            (ending("2026-01-01T01:30:00Z"), &[]),
            // No node has taken it, so none has to let go of it.
            (Placement { node: None, ..ending("2026-01-01T00:00:00Z") }, &[]),
            (lost, &["pod a-0", "claims data-a-0", "delete the claim"]),
            (Placement::default(), &[]),
        ] {
            let said = advice(&ObjectKey::new("Pod", "n", "a-0"), &placement, now);
            assert_eq!(said.is_some(), !words.is_empty(), "{placement:?}");
            assert!(
                words.iter().all(|word| said.as_ref().is_some_and(|said| said.contains(word))),
                "{said:?}"
            );
        }
    }
}
