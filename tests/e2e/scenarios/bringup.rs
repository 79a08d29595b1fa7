//! Clusters that come up, one after another.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::bench::{Bench, delete_namespace, two_cells};
use crate::cluster::{Cluster, Manifest};
use crate::soak::{Load, repeats};

pub const NAMESPACE: &str = "bringup";

/// Each is made in a new namespace, with both cores busy, and comes up without help: one `kubectl apply` and no other
/// step.
pub async fn clusters_come_up_without_help(bench: &mut Bench) -> anyhow::Result<()> {
    bench.abandon().await?;
    let (repeats, _load) = (repeats(), Load::begin());
    let mut runs = Vec::new();
    for run in 1..=repeats {
        let began = Instant::now();
        delete_namespace(&bench.node, NAMESPACE).await?;
        let cluster = Cluster::online(&bench.node, &bench.report, manifest()).await;
        let cluster = cluster.with_context(|| format!("bring-up {run} of {repeats}"))?;
        runs.push(Run { took: began.elapsed(), rewinds: rewinds(&cluster).await? });
        bench.report.saw(&format!("bring-up {run} of {repeats}: {:?}", runs.last()));
        drop(cluster);
        delete_namespace(&bench.node, NAMESPACE).await?;
    }
    ensure!(runs.len() == repeats, "{} of {repeats} came up", runs.len());
    let (times, rewinds): (Vec<Duration>, Vec<usize>) =
        runs.iter().map(|run| (run.took, run.rewinds)).unzip();
    let longest = times.iter().max().copied().unwrap_or_default();
    bench.report.time(&format!("{repeats} of {repeats} bring-ups; the longest"), longest);
    crate::soak::table("bringup", &rows(&times, &rewinds))
}

#[derive(Debug)]
struct Run {
    /// From nothing to Ready.
    took: Duration,
    /// Attempts of orchestrators to rewind a new replica.
    rewinds: usize,
}

fn rows(times: &[Duration], rewinds: &[usize]) -> String {
    let row = |(index, (took, rewinds)): (usize, (&Duration, &usize))| {
        format!("| {} | {:.1} | {rewinds} |\n", index + 1, took.as_secs_f64())
    };
    let rows: String = times.iter().zip(rewinds).enumerate().map(row).collect();
    format!("| bring-up | seconds to Ready | rewinds attempted |\n|---|---|---|\n{rows}")
}

/// Repairs in the logs of the orchestrators.
async fn rewinds(cluster: &Cluster) -> anyhow::Result<usize> {
    let logs = ["logs", "-l", "multigres.com/component=multiorch", "--tail=-1"];
    let said = cluster.kubectl(&logs).await?;
    Ok(said.lines().filter(|line| line.contains("attempting pg_rewind")).count())
}

fn manifest() -> Manifest {
    let sample = two_cells();
    let text = sample.text.replace("namespace: multigres}", &format!("namespace: {NAMESPACE}}}"));
    Manifest { namespace: NAMESPACE, text, ..sample }
}
