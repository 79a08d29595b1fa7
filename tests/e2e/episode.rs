//! What is done to a cluster, and what it does to those who write.

use std::time::{Duration, Instant};

use anyhow::ensure;
use multigres_crds::v1alpha1::Truth;

use crate::cluster::{Cluster, PATIENCE};
use crate::journal::Gap;
use crate::report::Outcome;

/// What is said of an outage may still be said when it is just over.
const NOTICE: Duration = Duration::from_secs(5);

/// From something done to the cluster until it is whole again.
pub struct Episode {
    what: String,
    began: Instant,
    disruptions: usize,
}

impl Episode {
    /// Begins to count.
    pub fn begin(cluster: &Cluster, what: &str) -> Self {
        cluster.watch.mark();
        cluster.journal.mark();
        Self { what: what.to_owned(), began: Instant::now(), disruptions: 1 }
    }

    /// What is done is done to all instances at once, by something that knows of no budget.
    pub fn disrupting_all(self) -> Self {
        Self { disruptions: usize::MAX, ..self }
    }

    /// What is done is to disrupt no instance.
    pub fn disrupting_none(self) -> Self {
        Self { disruptions: 0, ..self }
    }

    /// Waits until everything is as before; then reads the journal back.
    pub async fn end(self, cluster: &Cluster) -> anyhow::Result<()> {
        cluster.settled().await?;
        self.so_far(cluster).await
    }

    /// The same where it is not to be as before.
    pub async fn so_far(self, cluster: &Cluster) -> anyhow::Result<()> {
        let Self { what, began, disruptions } = self;
        let whole = began.elapsed();
        cluster.journal.advance(5, PATIENCE).await?;
        let record = cluster.journal.record();
        let lost = cluster.journal.lost(PATIENCE).await?;
        for (error, count) in &record.failures {
            cluster.report.saw(&format!("client, {count} times: {error}"));
        }
        let gap = record.longest;
        let serving = cluster.watch.serving();
        for (at, truth) in serving.iter().filter(|(at, _)| (gap.from..=gap.end()).contains(at)) {
            let after = (*at - gap.from).as_secs_f64();
            cluster
                .report
                .saw(&format!("{after:.1} s after the last write: servingWrites={}", truth.as_str()));
        }
        for (from, to) in false_alarms(&serving, &cluster.journal.outages(), began) {
            let lasted = (to - from).as_secs_f64();
            let lie = format!("servingWrites was False for {lasted:.1} s while writes were served");
            cluster.report.lie(&what, &lie);
        }
        let disrupted = cluster.watch.disrupted();
        let outcome = Outcome {
            writes: record.writes,
            failed: record.failures.values().sum(),
            longest: gap.length,
            disrupted,
            lost: lost.clone(),
            whole,
        };
        cluster.report.outcome(&what, outcome);
        ensure!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        ensure!(disrupted <= disruptions, "{disrupted} instances were disrupted at once");
        Ok(())
    }
}

/// When the status said that no writes are served, although none failed.
fn false_alarms(serving: &[(Instant, Truth)], outages: &[Gap], since: Instant) -> Vec<(Instant, Instant)> {
    let ends = serving.iter().skip(1).map(|(at, _)| *at).chain([Instant::now()]);
    let said = serving.iter().zip(ends).filter(|((from, truth), _)| *from >= since && *truth == Truth::False);
    let unfounded = |(from, to): &(Instant, Instant)| {
        !outages.iter().any(|outage| outage.from < *to && outage.end() + NOTICE > *from)
    };
    said.map(|((from, _), to)| (*from, to)).filter(unfounded).collect()
}
