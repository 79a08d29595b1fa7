//! A pool that grows and shrinks.

use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::ListParams;
use multigres_crds::labels;

use crate::bench::Bench;
use crate::cluster::{Cluster, PATIENCE};
use crate::consensus;
use crate::episode::Episode;

/// A fourth instance joins by itself; once it is gone again, nothing remembers it. Nobody else notices.
pub async fn a_pool_grows_and_shrinks(bench: &mut Bench) -> anyhow::Result<()> {
    let (cluster, _) = bench.cluster().await?;
    let episode = Episode::begin(cluster, "a pool from one replica to two").disrupting_none();
    cluster.change(&[("replica: {replicas: 1}", "replica: {replicas: 2}")]).await?;
    cluster.until("four instances are wanted", |seen| seen.database().desired_instances == 4).await?;
    episode.end(cluster).await?;
    ensure!(registered(cluster).await?.len() == 4, "{:?}", registered(cluster).await?);
    ensure!(budget(cluster).await? == 3, "the disruption budget was not raised");

    let before = cluster.see().await?;
    for pod in &before.pods {
        cluster.copied_to(&pod.name_any()).await?;
    }
    let episode = Episode::begin(cluster, "and back to one");
    cluster.change(&[("replica: {replicas: 2}", "replica: {replicas: 1}")]).await?;
    cluster.until("three instances are wanted", |seen| seen.database().desired_instances == 3).await?;
    episode.end(cluster).await?;
    let after = cluster.see().await?;
    let gone: Vec<_> =
        before.pods.iter().map(ResourceExt::name_any).filter(|pod| after.pod(pod).is_none()).collect();
    ensure!(gone.len() == 1 && gone[0].ends_with("-1"), "removed: {gone:?}");
    ensure!(budget(cluster).await? == 2, "the disruption budget was not lowered");
    tokio::time::timeout(PATIENCE, forgotten(cluster)).await.context("the pooler is still in the topology")?
}

/// Waits until the topology knows the remaining poolers only.
async fn forgotten(cluster: &Cluster) -> anyhow::Result<()> {
    while registered(cluster).await?.len() > 3 {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

/// The poolers that the topology knows.
async fn registered(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let known = consensus::told(cluster, "poolers").await?;
    let poolers = known["poolers"].as_array().into_iter().flatten();
    Ok(poolers.map(|pooler| pooler["id"]["name"].to_string()).collect())
}

/// Number of instances have to stay.
async fn budget(cluster: &Cluster) -> anyhow::Result<i32> {
    let shard = ListParams::default().labels(labels::SHARD);
    let budgets = cluster.api::<PodDisruptionBudget>().list(&shard).await?;
    let minimum = |budget: &PodDisruptionBudget| match budget.spec.as_ref()?.min_available {
        Some(k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::Int(pods)) => Some(pods),
        _ => None,
    };
    Ok(budgets.iter().find_map(minimum).unwrap_or_default())
}
