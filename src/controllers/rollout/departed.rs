//! Poolers that were removed for good: nobody but the operator knows that they will not return.

use std::collections::BTreeSet;

use kube::{Resource, ResourceExt};
use multigres_crds::v1alpha1::{MultiShard, Truth};

use crate::controllers::context::Context;
use crate::controllers::topology;
use crate::topology::{Id, Roles};

/// Has the topology forget the poolers whose pods were removed for good. What fails is tried again at the next look.
pub async fn part_with_departed(
    shard: &MultiShard,
    cx: &Context,
    roles: &Roles,
    expected: &BTreeSet<String>,
) {
    // Without a leader nobody could stop to count on them.
    if roles.serving_writes != Truth::True {
        return;
    }
    for (pod, id) in departed(shard, cx, roles, expected) {
        let Ok(global) =
            topology::access(cx, &shard.namespace().unwrap_or_default(), &shard.spec.global_topology).await
        else {
            return;
        };
        match cx.topology.remove_pooler(&global, &shard.spec, &id).await {
            Ok(()) => {
                let note = format!("The pooler of pod {pod} was removed from the topology");
                cx.events.of_pod(&shard.object_ref(&()), &pod, "PoolerRemoved", "Rollout", note).await;
            }
            Err(error) => tracing::warn!(pod, %error, "not removed from the topology"),
        }
    }
}

/// Poolers under names that are this shard's to give, and given to no pod that exists or is to exist.
fn departed(
    shard: &MultiShard,
    cx: &Context,
    roles: &Roles,
    expected: &BTreeSet<String>,
) -> Vec<(String, Id)> {
    let suffix = format!(".{}.svc.{}", shard.namespace().unwrap_or_default(), cx.environment.cluster_domain);
    let members = roles
        .members
        .iter()
        .filter(|(pod, member)| member.hostname.ends_with(&suffix) && !expected.contains(pod.as_str()));
    members.map(|(pod, member)| (pod.clone(), member.id.clone())).collect()
}
