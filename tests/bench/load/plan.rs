//! Plan of the measurements.

use std::fmt;
use std::time::Instant;

use multigres_webhooks::admit::Phase;
use multigres_webhooks::router::{MUTATE_PATH, VALIDATE_PATH};

use crate::client::{Call, load};
use crate::reviews::{Subject, subjects};
use crate::served::{CLIENT_CORE, Served, UNSEEN_PATH, pin};

/// A request: name, path and phase.
type Request = (&'static str, &'static str, Phase);

const REQUESTS: [Request; 3] = [
    ("unseen", UNSEEN_PATH, Phase::Validate),
    (Phase::Mutate.as_str(), MUTATE_PATH, Phase::Mutate),
    (Phase::Validate.as_str(), VALIDATE_PATH, Phase::Validate),
];

/// Extent of the measurements.
pub struct Plan {
    runs: usize,
    /// Bytes that are sent in each measurement, so that each takes about as long.
    volume: usize,
    most_requests: usize,
    connections: &'static [usize],
    /// Bytes that are under way at a time at most, unless there is one connection. So many of the largest reviews at
    /// once that they would wait longer than API servers do are refused, as they should be, and tell nothing of what
    /// one costs.
    most_at_once: usize,
}

/// One line of the table, of one run.
#[derive(Clone)]
pub struct Measurement {
    pub subject: &'static str,
    pub phase: &'static str,
    pub connections: usize,
    /// Size of a request, in bytes.
    pub size: usize,
    pub requests_per_second: f64,
    /// Quantiles of the time that a request took, in microseconds.
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    /// CPU time of the server for one request, in microseconds.
    pub cpu: f64,
    /// Memory of the server: before, and at most, in bytes.
    pub resident: f64,
    pub peak: f64,
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, phase, connections, requests_per_second, cpu, .. } = self;
        write!(
            f,
            "{subject}, {phase}, {connections} connections: {requests_per_second:.0}/s, {cpu:.0} µs of CPU"
        )
    }
}

impl Plan {
    /// All of it, hardly measured.
    pub const TRY: Self =
        Self { runs: 1, volume: 0, most_requests: 0, connections: &[1, 4], most_at_once: 300_000 };

    pub fn measure(runs: usize) -> Self {
        let connections = &[1, 8, 32];
        Self { runs, volume: 100_000_000, most_requests: 20_000, connections, most_at_once: 20_000_000 }
    }

    /// Every measurement of every run.
    pub fn carry_out(&self, only: &str) -> anyhow::Result<Vec<Measurement>> {
        pin(CLIENT_CORE)?;
        let subjects = subjects();
        let clients = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut measurements = Vec::new();
        for run in 1..=self.runs {
            let served = Served::start()?;
            for subject in subjects.iter().filter(|subject| subject.name.contains(only)) {
                for request @ (_, _, phase) in REQUESTS {
                    let size = subject.body(phase).len();
                    let fits = |connections: &&usize| {
                        **connections == 1 || **connections * size <= self.most_at_once
                    };
                    for &connections in self.connections.iter().filter(fits) {
                        let measuring = self.measure_one(&served, subject, request, connections);
                        let measured = clients.block_on(measuring)?;
                        eprintln!("run {run} of {}: {measured}", self.runs);
                        measurements.push(measured);
                    }
                }
            }
        }
        Ok(measurements)
    }

    async fn measure_one(
        &self,
        served: &Served,
        subject: &Subject,
        (name, path, phase): Request,
        connections: usize,
    ) -> anyhow::Result<Measurement> {
        // The mutating webhook leaves it to the other to deny.
        let allowed = path == UNSEEN_PATH || subject.is_allowed(phase);
        let call = Call { path, body: subject.body(phase), allowed };
        let requests =
            (self.volume / call.body.len()).clamp(connections, self.most_requests.max(connections));
        load(served, &call, connections, requests.div_ceil(10)).await?;

        served.forget_peak()?;
        let (before, began) = (served.usage()?, Instant::now());
        let durations = load(served, &call, connections, requests).await?;
        let (elapsed, after) = (began.elapsed(), served.usage()?);
        let count = requests as f64;
        let quantile = |quantile| durations.value_at_quantile(quantile) as f64 / 1e3;
        Ok(Measurement {
            subject: subject.name,
            phase: name,
            connections,
            size: call.body.len(),
            requests_per_second: count / elapsed.as_secs_f64(),
            p50: quantile(0.5),
            p95: quantile(0.95),
            p99: quantile(0.99),
            cpu: (after.cpu.as_secs_f64() - before.cpu.as_secs_f64()) * 1e6 / count,
            resident: before.resident as f64,
            peak: after.peak as f64,
        })
    }
}
