//! The steps of a rollout, taken.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, EvictParams, Preconditions};
use kube::{Resource, ResourceExt};
use multigres_crds::labels;
use multigres_crds::v1alpha1::MultiShard;

use super::Course;
use crate::api_error;
use crate::controllers::context::Context;
use crate::reason::Reason;
use crate::rollout::Action;
use crate::status::Trouble;

/// Takes the step that was planned, if there is one.
pub async fn take(shard: &MultiShard, cx: &Context, course: &Course) -> Result<(), Trouble> {
    shrink_leftovers(cx, course).await?;
    let Some(action) = &course.plan.action else { return Ok(()) };
    let taken = match action {
        Action::Evict { pod, uid, .. } => evict(shard, cx, pod, uid).await?,
        Action::Delete { pod, uid, .. } => delete(shard, cx, pod, uid).await?,
        // Applied with the rest.
        Action::Remove { .. } => true,
    };
    if taken {
        tell(shard, cx, action).await;
    }
    Ok(())
}

async fn tell(shard: &MultiShard, cx: &Context, action: &Action) {
    tracing::info!(shard = shard.name_any(), %action, "took a step");
    let about = shard.object_ref(&());
    match action {
        Action::Evict { pod, .. } => {
            cx.events.of_pod(&about, pod, "PodEvicted", "Rollout", action.to_string()).await;
        }
        Action::Delete { pod, .. } => {
            cx.events.of_pod(&about, pod, "PodDeleted", "Rollout", action.to_string()).await;
        }
        Action::Remove { .. } => {
            cx.events.normal(&about, "ScaledDown", "Rollout", action.to_string()).await;
        }
    }
}

/// Workloads of pools that are no longer wanted have no manifest that could say their replicas.
async fn shrink_leftovers(cx: &Context, course: &Course) -> Result<(), Trouble> {
    for key in course.kept.iter().filter(|key| key.kind == "StatefulSet") {
        let Some(set) = cx.objects.get(key) else { continue };
        let planned = set.labels.get(labels::POOL).and_then(|pool| course.plan.replicas.get(pool.as_str()));
        if let Some(replicas) = planned.filter(|replicas| **replicas < set.workload.desired) {
            cx.applier.scale(key, &set, *replicas).await.map_err(|error| Trouble::from(&error))?;
        }
    }
    Ok(())
}

/// Asks for an eviction, so that nobody else who respects the budget disrupts another pod at the same time.
pub async fn evict(shard: &MultiShard, cx: &Context, pod: &str, uid: &str) -> Result<bool, Trouble> {
    let params = EvictParams { delete_options: Some(only(uid)), ..EvictParams::default() };
    ended(cx, uid, pod, pods(shard, cx).evict(pod, &params).await.map(|_| ()))
}

/// Deletes a pod, if it is still the one that is meant. Returns whether it ends now because of this.
pub async fn delete(shard: &MultiShard, cx: &Context, pod: &str, uid: &str) -> Result<bool, Trouble> {
    ended(cx, uid, pod, pods(shard, cx).delete(pod, &only(uid)).await.map(|_| ()))
}

fn pods(shard: &MultiShard, cx: &Context) -> Api<Pod> {
    Api::namespaced(cx.client.clone(), &shard.namespace().unwrap_or_default())
}

/// Not its successor of the same name.
fn only(uid: &str) -> DeleteParams {
    let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }
}

/// True if the pod ends now because of this.
fn ended(cx: &Context, uid: &str, pod: &str, result: kube::Result<()>) -> Result<bool, Trouble> {
    let trouble = |reason, message| Trouble { reason, message, lasting: false };
    match result {
        Ok(()) => {
            cx.ended.note(uid);
            Ok(true)
        }
        // Gone, or another one by now: the caches will tell.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(false),
        Err(kube::Error::Api(status)) if status.code == 429 => {
            let message = format!("pod {pod} cannot be evicted yet: {}", status.message);
            Err(trouble(Reason::AwaitingDisruptionBudget, message))
        }
        Err(error) => {
            Err(trouble(Reason::ApiServerUnreachable, format!("pod {pod}: {}", api_error::message(&error))))
        }
    }
}
