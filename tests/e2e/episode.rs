//! An action on a cluster, and its effect on clients that write.

use std::time::{Duration, Instant};

use anyhow::bail;
use multigres_crds::v1alpha1::Truth;

use crate::cluster::{Cluster, NOTICE, PATIENCE};
use crate::journal::Gap;
use crate::report::Outcome;

/// Violation of a promise that holds on every machine: it is not retried.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Violation(String);

/// Age that facts from poolers may have: the operator asks them every ten seconds.
const OUTDATED: Duration = Duration::from_secs(15);

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

    /// The action disrupts all instances at once, without regard to the budget.
    pub fn disrupting_all(self) -> Self {
        Self { disruptions: usize::MAX, ..self }
    }

    /// The action must disrupt no instance.
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
        cluster.advance(5).await?;
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
        let (outages, direct) = (cluster.journal.outages(), cluster.journal.direct());
        for (lasted, error) in errors(&serving, &outages, &direct, began) {
            let error = format!("servingWrites was {error}, for {:.1} s", lasted.as_secs_f64());
            cluster.report.saw(&error);
            if lasted > OUTDATED {
                cluster.report.lie(&what, &error);
            }
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
        if !lost.is_empty() {
            bail!(Violation(format!("acknowledged and lost: {lost:?}")));
        }
        if disrupted > disruptions {
            bail!(Violation(format!("{disrupted} instances were disrupted at once")));
        }
        Ok(())
    }
}

/// Wrong statements of the status about writes, and their duration. The status describes the primary: each write that
/// the primary itself took proves it true at that moment.
fn errors(
    serving: &[(Instant, Truth)],
    outages: &[Gap],
    direct: &[Instant],
    since: Instant,
) -> Vec<(Duration, &'static str)> {
    let ends = serving.iter().skip(1).map(|(at, _)| *at).chain([Instant::now()]);
    let said = serving.iter().zip(ends).map(|((from, truth), to)| (*from, to, *truth));
    said.filter(|(from, ..)| *from >= since)
        .filter_map(|(from, to, truth)| match truth {
            Truth::False
                if !outages.iter().any(|outage| outage.from < to && outage.end() + NOTICE > from) =>
            {
                Some((to - from, "False while writes were served"))
            }
            // What is said anew within an outage is not only what was not yet taken back.
            Truth::True => {
                let outage =
                    outages.iter().find(|outage| outage.from < from && from + NOTICE < outage.end())?;
                let unproven = longest_without(direct, from, to.min(outage.end()));
                (unproven > NOTICE).then_some((unproven, "True while no write was served"))
            }
            _ => None,
        })
        .collect()
}

/// The longest time between two moments in which none of the others is.
fn longest_without(others: &[Instant], from: Instant, to: Instant) -> Duration {
    let within = others.iter().copied().filter(|at| (from..=to).contains(at));
    let mut last = from;
    let between = within.chain([to]).map(|at| at - std::mem::replace(&mut last, at));
    between.max().unwrap_or_default()
}
