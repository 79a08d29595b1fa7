//! Volumes that grow, one that is full, and one that is lost.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::ListParams;
use kube::runtime::wait::await_condition;
use kube::{Api, ResourceExt};
use multigres_crds::labels;
use multigres_crds::v1alpha1::Truth;
use tokio::time::{sleep, timeout};

use super::failover::{container, postmaster, primary};
use crate::bench::Bench;
use crate::cluster::{Cluster, INTERVAL, PATIENCE, Seen};
use crate::episode::Episode;

/// The volume of an instance that its data is on.
const DATA: &str = "data";
/// More than any volume here holds.
const FILLER: &str = "dd if=/dev/zero of=/data/filler bs=1M count=4096; sync; df -m /data";

/// Online: no pod is replaced, and PostgreSQL has the room.
pub async fn volumes_grow_online(bench: &mut Bench) -> anyhow::Result<()> {
    let (cluster, _) = bench.cluster().await?;
    let before = cluster.see().await?;
    let episode = Episode::begin(cluster, "volumes grown from 512Mi to 768Mi").disrupting_none();
    cluster.change(&[("storage: 512Mi", "storage: 768Mi")]).await?;
    have_room(cluster, "768Mi").await?;
    episode.end(cluster).await?;
    let after = cluster.see().await?;
    ensure!(uids(&before) == uids(&after), "pods were replaced");
    let pod = after.standby().context("there is a standby")?;
    let room = cluster.show(&["exec", &pod, "-c", "multipooler", "--", "df", "-m", "/data"]).await?;
    ensure!(room.contains("768"), "{room}");
    Ok(())
}

/// The primary has no room for another segment of its log: a standby leads, and nothing that was acknowledged is lost.
/// More room, which is all that a person has to give, makes it whole.
pub async fn a_full_volume_is_survived(bench: &mut Bench) -> anyhow::Result<()> {
    let (cluster, _) = bench.cluster().await?;
    let full = primary(cluster).await?;
    let episode = Episode::begin(cluster, "the primary's volume full, and grown");
    let filled = cluster.exec(&full, &["sh", "-c", FILLER]).await?;
    cluster.report.did(&format!("kubectl exec {full} -- dd if=/dev/zero of=/data/filler"), &filled);
    use_up(cluster, &full).await?;
    cluster.until("the status says it", |seen| says_trouble(seen, &full)).await?;
    let leads = |seen: &Seen| {
        seen.primary().is_some_and(|primary| primary != full) && seen.database().serving_writes == Truth::True
    };
    cluster.until("a standby leads", leads).await?;
    cluster.advance(100).await?;
    cluster.report.saw("a standby leads and takes writes");

    cluster.change(&[("storage: 768Mi", "storage: 1Gi")]).await?;
    have_room(cluster, "1Gi").await?;
    episode.end(cluster).await?;
    let pods: Vec<_> = cluster.see().await?.pods.iter().map(ResourceExt::name_any).collect();
    ensure!(pods.contains(&full));
    cluster.exec(&full, &["rm", "-f", "/data/filler"]).await.map(drop)
}

/// A disk is gone, or holds what cannot follow the primary any more: without its volume an instance starts from the
/// backup, and with the log in the archive. A primary that was replaced just before, because its volume was full, has
/// left log there that nobody follows.
pub async fn a_lost_volume_is_filled_anew(bench: &mut Bench) -> anyhow::Result<()> {
    let (cluster, _) = bench.cluster().await?;
    let seen = cluster.see().await?;
    let standby = seen.standby().context("there is a standby")?;
    let claim = data_claim(seen.pod(&standby).context("it is a pod")?)?;
    let claims: Api<PersistentVolumeClaim> = cluster.api();
    let lost = claims.get(&claim).await?.uid();
    let episode = Episode::begin(cluster, "the volume of a standby lost");
    cluster.show(&["delete", "pvc", &claim, "--wait=false"]).await?;
    cluster.show(&["delete", "pod", &standby, "--wait=false"]).await?;
    let is_another = |claim: Option<&PersistentVolumeClaim>| claim.is_some_and(|claim| claim.uid() != lost);
    timeout(PATIENCE, await_condition(claims, &claim, is_another))
        .await
        .context("there is no new volume")??;
    episode.end(cluster).await?;
    cluster.show_recovery(&standby).await?;
    cluster.copied_to(&standby).await
}

/// The rewind of an instance, its failure, and the time for which everything else must be whole.
const PATIENCE_WITH_THE_LOST: Duration = Duration::from_mins(15);

/// PostgreSQL can neither start on its data nor rewind it. Where the user allows it, the operator gives that volume up
/// once two copies have stood without it for a while, and has the instance made anew.
pub async fn a_lost_instance_is_made_anew(bench: &mut Bench) -> anyhow::Result<()> {
    let (cluster, node) = bench.cluster().await?;
    let database = "    - name: users_db\n      spec:\n";
    let allowed = format!("{database}        replaceLostInstances: true\n");
    cluster.change(&[(database, &allowed)]).await?;
    let seen = cluster.settled().await?;
    let standby = member(cluster, &seen).await?;
    let pod = seen.pod(&standby).context("it is a pod")?;
    let (claim, container) = (data_claim(pod)?, container(pod, "pgctld")?);
    let claims: Api<PersistentVolumeClaim> = cluster.api();
    let lost = claims.get(&claim).await?.uid();
    let episode = Episode::begin(cluster, "the data of a standby destroyed");
    let destroy = ["rm", "/data/pg_data/global/pg_control"];
    cluster.exec(&standby, &destroy).await?;
    let killed = postmaster(&node.processes(&container).await?).context("no postmaster")?;
    node.signal("KILL", &killed).await?;
    cluster
        .report
        .did(&format!("kubectl exec {standby} -- {}; kill -9 {}", destroy.join(" "), killed.pid), "");
    let is_another = |claim: Option<&PersistentVolumeClaim>| claim.is_some_and(|claim| claim.uid() != lost);
    timeout(PATIENCE_WITH_THE_LOST, await_condition(claims, &claim, is_another))
        .await
        .context("there is no new volume")??;
    cluster.show(&["get", "events", "--field-selector", "reason=RewindFailed"]).await?;
    cluster.show(&["get", "events", "--field-selector", "reason=InstanceReplaced"]).await?;
    episode.end(cluster).await?;
    cluster.copied_to(&standby).await
}

/// A standby that has promised its shard something: one that has seen no failover since it was made has not.
async fn member(cluster: &Cluster, seen: &Seen) -> anyhow::Result<String> {
    for pod in seen.pods.iter().map(ResourceExt::name_any).filter(|pod| Some(pod.as_str()) != seen.primary())
    {
        if cluster.exec(&pod, &["test", "-s", "/data/consensus_term.json"]).await.is_ok() {
            return Ok(pod);
        }
    }
    bail!("no standby has promised anything")
}

/// The claim of a pod's data volume.
pub fn data_claim(pod: &Pod) -> anyhow::Result<String> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let mut claims = volumes.filter(|volume| volume.name == DATA);
    let claim = claims.find_map(|volume| volume.persistent_volume_claim.as_ref());
    claim.map(|claim| claim.claim_name.clone()).context("the pod claims no volume for data")
}

/// Segments of the log are prepared ahead; this uses up those that are there, until PostgreSQL ends for want of more.
async fn use_up(cluster: &Cluster, pod: &str) -> anyhow::Result<()> {
    let switch = "select pg_logical_emit_message(true, 'filler', ''), pg_switch_wal()";
    for _ in 0..100 {
        if let Err(error) = cluster.local_sql(pod, switch).await {
            cluster.report.saw(&format!("PostgreSQL on {pod}: {error:#}"));
            return Ok(());
        }
    }
    bail!("the volume is not full")
}

fn says_trouble(seen: &Seen, pod: &str) -> bool {
    !seen.is("Ready", "True") || seen.primary() != Some(pod)
}

async fn have_room(cluster: &Cluster, size: &str) -> anyhow::Result<()> {
    let grown = |seen: &[PersistentVolumeClaim]| {
        seen.iter().all(|claim| {
            let capacity = claim.status.as_ref().and_then(|status| status.capacity.as_ref()?.get("storage"));
            capacity.is_some_and(|capacity| capacity.0 == size)
        })
    };
    let api: Api<PersistentVolumeClaim> = cluster.api();
    let data = ListParams::default().labels(labels::POOL);
    let wait = async {
        loop {
            let claims = api.list(&data).await?.items;
            if grown(&claims) {
                return anyhow::Ok(());
            }
            sleep(INTERVAL).await;
        }
    };
    let what = || format!("not all volumes have grown to {size}");
    timeout(PATIENCE, wait).await.with_context(what)??;
    cluster.show(&["get", "pvc", "-l", labels::POOL]).await.map(drop)
}

fn uids(seen: &Seen) -> Vec<Option<String>> {
    seen.pods.iter().map(ResourceExt::uid).collect()
}
