//! A primary whose processes hang: they keep their connections and answer nothing.

use anyhow::Context;
use k8s_openapi::api::core::v1::Pod;
use testbed::Process;

use super::failover::{another_primary, container, primary};
use crate::bench::Bench;
use crate::cluster::Seen;
use crate::episode::Episode;

/// `kill -STOP` of everything that is PostgreSQL. The kubelet ends its container, and a standby leads.
pub async fn a_hung_primary_is_replaced(bench: &mut Bench) -> anyhow::Result<()> {
    let (cluster, node) = bench.cluster().await?;
    let primary = primary(cluster).await?;
    let pod = cluster.api::<Pod>().get(&primary).await?;
    let container = container(&pod, "pgctld")?;
    let is_postgresql = |process: &Process| process.name.starts_with("postgres");
    let episode = Episode::begin(cluster, "the primary's PostgreSQL stopped (SIGSTOP)");
    let mut stopped = Vec::new();
    // The postmaster first of all: it starts others. Those that it has just started are seen at the second look.
    for _ in 0..2 {
        let mut processes = node.processes(&container).await?;
        processes.retain(is_postgresql);
        processes.sort_by_key(|process| process.pid);
        for process in processes.iter().filter(|process| !stopped.contains(&process.pid)) {
            // One that ends by itself in between is as good.
            let _ = node.signal("STOP", process).await;
        }
        stopped = processes.iter().map(|process| process.pid).collect();
    }
    cluster.report.did(&format!("kill -STOP # {} processes of {primary}", stopped.len()), "");
    another_primary(cluster, &primary).await?;
    let restarted = |seen: &Seen| seen.pod(&primary).and_then(restarts).is_some_and(|count| count > 0);
    cluster.until("the kubelet ended what hung", restarted).await.context("no liveness probe failed")?;
    episode.end(cluster).await
}

/// Restarts of pgctld's container.
fn restarts(pod: &Pod) -> Option<i32> {
    let containers = pod.status.as_ref()?.init_container_statuses.as_ref()?;
    containers.iter().find(|container| container.name == "pgctld").map(|pgctld| pgctld.restart_count)
}
