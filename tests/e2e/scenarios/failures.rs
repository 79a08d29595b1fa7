//! Failures around a database, and the status meanwhile.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::core::v1::Pod;
use multigres_crds::v1alpha1::Truth;

use testbed::Node;

use super::failover::primary;
use crate::bench::{Bench, operator_is_scaled};
use crate::cluster::{Seen, is_ready};
use crate::episode::Episode;
use crate::report::Report;

/// Long enough for leases and sessions in etcd to expire.
const OUTAGE: Duration = Duration::from_mins(1);
/// Of the journal.
pub const A_WHILE: i64 = 500;

/// Nobody reaches etcd. Who leads does not change, and writes go on; the status claims no more than can be known.
pub async fn etcd_may_be_away_for_a_minute(bench: &mut Bench) -> anyhow::Result<()> {
    let (cluster, node) = bench.cluster().await?;
    let etcd = cluster.api::<Pod>().get(&format!("{}-etcd-0", cluster.manifest.cluster)).await?;
    let address = etcd.status.and_then(|status| status.pod_ip).context("etcd has no address")?;
    let address: IpAddr = address.parse()?;
    let episode = Episode::begin(cluster, "etcd cut off for a minute").disrupting_none();
    node.cut_off(address).await?;
    cluster.report.did("# etcd is cut off", "");
    let over = tokio::time::sleep(OUTAGE);
    let noticed = cluster.until("the status says that it is not known", knows_nothing).await;
    over.await;
    node.reconnect().await?;
    cluster.report.did("# etcd is reached again", "");
    noticed?;
    episode.end(cluster).await
}

fn knows_nothing(seen: &Seen) -> bool {
    seen.database().serving_writes != Truth::True && !seen.is("Ready", "True")
}

/// Failover is Multigres' own affair; without the operator it takes its grace, in which the old leader may be back.
pub async fn the_operator_may_be_away_in_a_failover(bench: &mut Bench) -> anyhow::Result<()> {
    let (cluster, node) = bench.cluster().await?;
    let primary = primary(cluster).await?;
    scale_operator(node, &cluster.report, 0).await?;
    let episode = Episode::begin(cluster, "the primary's pod deleted, without the operator");
    cluster.show(&["delete", "pod", &primary, "--wait=false"]).await?;
    let not_ready = |seen: &Seen| seen.pod(&primary).is_none_or(|pod| !is_ready(pod));
    cluster.until("the primary is gone", not_ready).await?;
    cluster.advance(200).await?;
    cluster.report.saw("writes are taken again");
    scale_operator(node, &cluster.report, 2).await?;
    episode.end(cluster).await
}

async fn scale_operator(node: &Node, report: &Report, replicas: i32) -> anyhow::Result<()> {
    let replicas = format!("--replicas={replicas}");
    let scale = ["-n", "multigres-system", "scale", "deployment/multigres-operator", &replicas];
    let said = node.kubectl().must(scale).await?;
    report.did(&format!("kubectl {}", scale.join(" ")), &said);
    operator_is_scaled(node).await?;
    report.saw("done");
    Ok(())
}

/// Its containers go on without it. For a moment it calls them not ready, until it has probed them.
pub async fn the_kubelet_may_be_restarted(bench: &mut Bench) -> anyhow::Result<()> {
    let (cluster, node) = bench.cluster().await?;
    let episode = Episode::begin(cluster, "the kubelet killed and started again").disrupting_all();
    node.restart_kubelet().await?;
    cluster.report.did("kill -9 kubelet; kubelet …", "");
    cluster.advance(A_WHILE).await?;
    episode.end(cluster).await
}
