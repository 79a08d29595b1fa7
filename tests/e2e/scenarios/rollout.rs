//! Changes of pods: one instance at a time, the primary last, and back only if it works.

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::bench::Bench;
use crate::cluster::{Cluster, Seen};
use crate::episode::Episode;

/// Of the journal: time enough for a second instance to be taken, if anything takes it.
const A_WHILE: i64 = 500;

/// An image that there is not takes one instance, which is not the primary, and none after it. Every write goes on. An
/// image that there is puts an end to it.
pub async fn a_wrong_image_takes_one_instance(bench: &mut Bench) -> anyhow::Result<()> {
    let (cluster, _) = bench.cluster().await?;
    let before = cluster.see().await?;
    let episode = Episode::begin(cluster, "an image that there is not");
    cluster.change(&[("/pgctld:v0.1.0\"", "/pgctld:missing\"")]).await?;
    let seen = cluster.until("an instance waits for its image", |seen| waiting(seen).is_some()).await?;
    let pod = waiting(&seen).context("it was just seen")?;
    cluster.until("the status names the pod", |seen| tells_of(seen, &pod)).await?;
    cluster.advance(A_WHILE).await?;
    let seen = cluster.see().await?;
    ensure!(seen.primary() == before.primary(), "the primary was taken");
    let touched = untouched(&before, &seen, false);
    ensure!(touched.len() == 1, "replaced: {touched:?}");
    episode.so_far(cluster).await?;

    let episode = Episode::begin(cluster, "and one that there is");
    cluster.change(&[("/pgctld:missing\"", "/pgctld:v0.1.0\"")]).await?;
    episode.end(cluster).await?;
    let touched = untouched(&seen, &cluster.see().await?, false);
    ensure!(touched == [pod], "replaced: {touched:?}");
    Ok(())
}

pub async fn a_new_image_is_rolled_out(bench: &mut Bench) -> anyhow::Result<()> {
    let (cluster, _) = bench.cluster().await?;
    let images = [
        ("/pgctld:v0.1.0\"", "/pgctld:v0.1.0-b\""),
        (
            "multiPooler: \"localhost/multigres/multigres:v0.1.0\"",
            "multiPooler: \"localhost/multigres/multigres:v0.1.0-b\"",
        ),
    ];
    Box::pin(rolled_out(cluster, "new images of postgres and pooler", &images)).await?;
    let seen = cluster.see().await?;
    let wrong: Vec<_> = seen
        .pods
        .iter()
        .filter(|pod| !images_of(pod).all(|image| image.ends_with(":v0.1.0-b")))
        .map(ResourceExt::name_any)
        .collect();
    ensure!(wrong.is_empty(), "without the new image: {wrong:?}");
    Ok(())
}

/// Together with `restartedAt`, which restarts all else of the cluster as well.
pub async fn new_resources_are_rolled_out(bench: &mut Bench) -> anyhow::Result<()> {
    let (cluster, _) = bench.cluster().await?;
    let changes = [
        ("{requests: {cpu: 20m, memory: 64Mi}}", "{requests: {cpu: 25m, memory: 64Mi}}"),
        (
            "\nspec:\n  globalTopoServer:",
            "\nspec:\n  restartedAt: \"2026-01-01T00:00:00Z\"\n  globalTopoServer:",
        ),
    ];
    Box::pin(rolled_out(cluster, "new resources of postgres, and everything restarted", &changes)).await
}

/// Changes the manifest and waits until every instance was replaced, the primary last.
async fn rolled_out(cluster: &mut Cluster, what: &str, changes: &[(&str, &str)]) -> anyhow::Result<()> {
    let before = cluster.see().await?;
    cluster.change(changes).await?;
    let episode = Episode::begin(cluster, what);
    let all_replaced = |seen: &Seen| untouched(&before, seen, true).is_empty();
    cluster.until("every instance was replaced", all_replaced).await?;
    episode.end(cluster).await?;
    let after = cluster.see().await?;
    let primary = before.primary().context("there was a primary")?;
    let newest = after.pods.iter().max_by_key(|pod| pod.metadata.creation_timestamp.clone());
    let newest = newest.map(ResourceExt::name_any).unwrap_or_default();
    ensure!(newest == primary, "the primary was {primary}, but {newest} was replaced last");
    Ok(())
}

/// The pods that are the same as before, or those that are not.
fn untouched(before: &Seen, now: &Seen, same: bool) -> Vec<String> {
    let is_same = |pod: &&Pod| now.pod(&pod.name_any()).and_then(ResourceExt::uid) == pod.uid();
    before.pods.iter().filter(|pod| is_same(pod) == same).map(ResourceExt::name_any).collect()
}

/// The pod that has no image to run.
fn waiting(seen: &Seen) -> Option<String> {
    let waits = |pod: &&Pod| {
        let status = pod.status.as_ref();
        let containers = status.and_then(|status| status.init_container_statuses.as_ref());
        containers.into_iter().flatten().any(|container| {
            let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
            waiting
                .and_then(|waiting| waiting.reason.as_deref())
                .is_some_and(|reason| reason.contains("Image"))
        })
    };
    seen.pods.iter().find(waits).map(ResourceExt::name_any)
}

/// True if a person who looks at the cluster's status learns which pod it is.
fn tells_of(seen: &Seen, pod: &str) -> bool {
    let status = seen.cluster.status.as_ref();
    let waiting_for = status.and_then(|status| status.rollout.as_ref()?.waiting_for.clone());
    let messages =
        status.into_iter().flat_map(|status| &status.conditions).map(|condition| &condition.message);
    messages.chain(&waiting_for).any(|message| message.contains(pod))
}

fn images_of(pod: &Pod) -> impl Iterator<Item = &str> {
    let spec = pod.spec.as_ref();
    let containers =
        spec.into_iter().flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
    containers.filter_map(|container| container.image.as_deref())
}
