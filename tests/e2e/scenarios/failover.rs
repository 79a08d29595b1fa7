//! A primary that is gone, by four ways.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::{Api, EvictParams};
use testbed::Process;
use tokio::time::{sleep, timeout};

use super::volumes::data_claim;
use crate::bench::Bench;
use crate::cluster::{Cluster, PATIENCE, Seen};
use crate::episode::Episode;

pub async fn a_deleted_primary_is_replaced(bench: &mut Bench) -> anyhow::Result<()> {
    let (cluster, _) = bench.cluster().await?;
    let primary = primary(cluster).await?;
    let episode = Episode::begin(cluster, "the primary's pod deleted");
    cluster.show(&["delete", "pod", &primary, "--wait=false"]).await?;
    another_primary(cluster, &primary).await?;
    episode.end(cluster).await
}

/// `kill -9` of the server process; the container goes on, and starts another or leaves it to a standby to lead.
pub async fn a_killed_primary_comes_back(bench: &mut Bench) -> anyhow::Result<()> {
    let (cluster, node) = bench.cluster().await?;
    let primary = primary(cluster).await?;
    let pod = cluster.api::<Pod>().get(&primary).await?;
    let container = container(&pod, "pgctld")?;
    let killed = postmaster(&node.processes(&container).await?).context("no postmaster")?;
    let episode = Episode::begin(cluster, "the primary's PostgreSQL killed");
    node.signal("KILL", &killed).await?;
    cluster.report.did(&format!("kill -9 {} # the postmaster of {primary}", killed.pid), "");
    let restarted = async {
        while postmaster(&node.processes(&container).await?).is_none_or(|new| new == killed) {
            sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, restarted).await.context("nobody starts PostgreSQL again")??;
    cluster.report.saw("PostgreSQL was started again");
    episode.end(cluster).await
}

/// Log that no standby has, since it waits for none.
const OWN_LOG: &str = "set synchronous_commit = local; select count(pg_logical_emit_message(true, 'own', \
                       repeat('x', 1000))) from generate_series(1, 5000)";

/// A primary that is cut off writes log that nobody else has, and its PostgreSQL is killed. When it is reached again,
/// another one leads, and it follows that one on the volume that it has.
pub async fn a_primary_with_log_of_its_own_follows_again(bench: &mut Bench) -> anyhow::Result<()> {
    let (cluster, node) = bench.cluster().await?;
    let former = primary(cluster).await?;
    let pod = cluster.api::<Pod>().get(&former).await?;
    let volume = data_volume(cluster, &pod).await?;
    let address: IpAddr =
        pod.status.as_ref().and_then(|status| status.pod_ip.as_ref()).context("no address")?.parse()?;
    let container = container(&pod, "pgctld")?;
    let episode = Episode::begin(cluster, "the primary cut off, and killed with log of its own");
    node.cut_off(address).await?;
    cluster.report.did(&format!("# {former} is cut off"), "");
    let replaced = async {
        let written = cluster.local_sql(&former, OWN_LOG).await?;
        cluster.report.did(&format!("psql # on {former}: {OWN_LOG}"), &written);
        let killed = postmaster(&node.processes(&container).await?).context("no postmaster")?;
        node.signal("KILL", &killed).await?;
        cluster.report.did(&format!("kill -9 {} # the postmaster of {former}", killed.pid), "");
        another_primary(cluster, &former).await
    };
    let replaced = replaced.await;
    node.reconnect().await?;
    cluster.report.did(&format!("# {former} is reached again"), "");
    let reached = Instant::now();
    replaced?;
    episode.end(cluster).await?;
    cluster.report.time("From reaching a former primary with log of its own to Ready", reached.elapsed());
    let pod = cluster.api::<Pod>().get(&former).await?;
    ensure!(data_volume(cluster, &pod).await? == volume, "the volume was made anew");
    cluster.copied_to(&former).await
}

/// The identity of the claim of a pod's data volume.
async fn data_volume(cluster: &Cluster, pod: &Pod) -> anyhow::Result<Option<String>> {
    Ok(cluster.api::<PersistentVolumeClaim>().get(&data_claim(pod)?).await?.uid())
}

/// Evictions as `kubectl drain` requests them. The disruption budget admits one instance and refuses the next until the
/// first is back.
pub async fn a_drain_takes_one_instance_at_a_time(bench: &mut Bench) -> anyhow::Result<()> {
    let (cluster, _) = bench.cluster().await?;
    let seen = cluster.see().await?;
    let primary = seen.primary().context("there is a primary")?.to_owned();
    let standby = seen.standby().context("there is a standby")?;
    cluster.show(&["get", "pdb"]).await?;
    let episode = Episode::begin(cluster, "the primary evicted, and a standby not");
    ensure!(evict(cluster, &primary).await?, "the first eviction was refused");
    ensure!(!evict(cluster, &standby).await?, "two instances were evicted at once");
    another_primary(cluster, &primary).await?;
    episode.end(cluster).await
}

async fn evict(cluster: &Cluster, pod: &str) -> anyhow::Result<bool> {
    let pods: Api<Pod> = cluster.api();
    let answer = pods.evict(pod, &EvictParams::default()).await;
    let command = format!("evict pod {pod}");
    match answer {
        Ok(_) => {
            cluster.report.did(&command, "evicted");
            Ok(true)
        }
        Err(kube::Error::Api(status)) if status.code == 429 => {
            cluster.report.did(&command, &status.message);
            Ok(false)
        }
        Err(error) => bail!("{command}: {error}"),
    }
}

pub async fn primary(cluster: &Cluster) -> anyhow::Result<String> {
    cluster.see().await?.primary().map(ToOwned::to_owned).context("there is no primary")
}

pub async fn another_primary(cluster: &Cluster, than: &str) -> anyhow::Result<Seen> {
    let other = |seen: &Seen| seen.primary().is_some_and(|primary| primary != than);
    let seen = cluster.until("another primary", other).await?;
    cluster.report.saw(&format!("primary: {than} → {}", seen.primary().unwrap_or_default()));
    Ok(seen)
}

/// The id of a container of a pod.
pub fn container(pod: &Pod, name: &str) -> anyhow::Result<String> {
    let status = pod.status.as_ref().context("the pod has no status")?;
    let all = [&status.init_container_statuses, &status.container_statuses];
    let found = all.into_iter().flatten().flatten().find(|container| container.name == name);
    found.and_then(|container| container.container_id.clone()).with_context(|| format!("no container {name}"))
}

/// The server process: the one that is no child of another.
pub fn postmaster(processes: &[Process]) -> Option<Process> {
    let servers: Vec<_> = processes.iter().filter(|process| process.name.starts_with("postgres")).collect();
    let root = servers.iter().find(|process| servers.iter().all(|other| other.pid != process.parent));
    root.map(|process| (*process).clone())
}
