//! Metrics for Prometheus.

use std::fmt;
use std::time::Duration;

use multigres_crds::kind::Kind;
use multigres_webhooks::metrics::Observation;
use multigres_webhooks::review::Operation;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::memory::Census;

/// Label of what a request that was not understood is about.
const UNKNOWN: &str = "unknown";

type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

/// All metrics of the operator.
///
/// Labels only take values that the operator's own code knows: what a request says never becomes a label, or whoever
/// can reach the webhooks could fill the memory.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reviews: Family<Review, Counter>,
    review_durations: Durations<Phase>,
    reconcile_durations: Durations<Reconciled>,
    reconcile_errors: Family<Failure, Counter>,
    writes: Family<Write, Counter>,
    repairs: Family<Repaired, Counter>,
    tls_failures: Counter,
    census: Census,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Review {
    phase: &'static str,
    kind: &'static str,
    operation: &'static str,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Phase {
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reconciled {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    kind: &'static str,
    category: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Write {
    kind: String,
    verb: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Repaired {
    how: &'static str,
}

/// Repair of an instance that did not follow its primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Its pod was restarted, because its PostgreSQL accepted no connections.
    Restarted,
    /// The log that its primary does not have was discarded.
    Rewound,
    /// Its volume was made anew.
    Replaced,
}

impl Metrics {
    /// No observations yet.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("multigres_operator"),
            reviews: Family::default(),
            // From a small review's tens of microseconds to the seconds after which the API server gives up.
            review_durations: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.000_025, 2.0, 18))
            }),
            reconcile_durations: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.005, 2.0, 13))
            }),
            reconcile_errors: Family::default(),
            writes: Family::default(),
            repairs: Family::default(),
            tls_failures: Counter::default(),
            census: Census::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "build",
            "The operator's version",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register(
            "admission_reviews",
            "Reviews answered, by the code of the answer",
            self.reviews.clone(),
        );
        registry.register_with_unit(
            "admission_review_duration",
            "Time from a review to its answer",
            Unit::Seconds,
            self.review_durations.clone(),
        );
        registry.register_with_unit(
            "reconcile_duration",
            "Time that one reconciliation of an object took",
            Unit::Seconds,
            self.reconcile_durations.clone(),
        );
        registry.register(
            "reconcile_errors",
            "Reconciliations that failed, by cause",
            self.reconcile_errors.clone(),
        );
        registry.register(
            "writes",
            "Requests that change objects; a converged cluster causes none",
            self.writes.clone(),
        );
        registry.register(
            "instance_repairs",
            "Instances that did not follow their primary and were rewound, or made anew",
            self.repairs.clone(),
        );
        registry.register(
            "tls_failures",
            "Connections that ended in the TLS handshake",
            self.tls_failures.clone(),
        );
        registry.register_collector(Box::new(self.census.clone()));
    }

    /// The OpenMetrics text of everything observed so far.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// An object was reconciled, or could not be for a reason of the given category.
    pub fn reconciled(&self, kind: &'static str, took: Duration, result: Result<(), &'static str>) {
        self.reconcile_durations.get_or_create(&Reconciled { kind }).observe(took.as_secs_f64());
        if let Err(category) = result {
            self.reconcile_errors.get_or_create(&Failure { kind, category }).inc();
        }
    }

    /// An object was written, in one of the ways that the operator has: `create`, `update`, `delete` and the like.
    pub fn wrote(&self, kind: &str, verb: &'static str) {
        self.writes.get_or_create(&Write { kind: kind.to_owned(), verb }).inc();
    }

    /// An instance was repaired.
    pub fn repaired(&self, how: Repair) {
        let how = match how {
            Repair::Restarted => "restarted",
            Repair::Rewound => "rewound",
            Repair::Replaced => "replaced",
        };
        self.repairs.get_or_create(&Repaired { how }).inc();
    }

    /// Counts what is remembered of objects.
    pub fn census(&self) -> &Census {
        &self.census
    }

    /// Counts connections that end in the TLS handshake.
    pub(crate) fn tls_failures(&self) -> Counter {
        self.tls_failures.clone()
    }
}

impl multigres_webhooks::metrics::Metrics for Metrics {
    fn answered(&self, observation: Observation) {
        let Observation { phase, kind, operation, code, duration } = observation;
        let phase = phase.as_str();
        let (kind, operation) =
            (kind.map_or(UNKNOWN, Kind::as_str), operation.map_or(UNKNOWN, Operation::as_str));
        self.reviews.get_or_create(&Review { phase, kind, operation, code }).inc();
        self.review_durations.get_or_create(&Phase { phase }).observe(duration.as_secs_f64());
    }
}

impl Collector for Census {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Entries that are remembered of objects, by memory; of what is gone none stays";
        let mut family = encoder.encode_descriptor("remembered", help, None, MetricType::Gauge)?;
        for (memory, count) in self.counts() {
            let gauge = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
            gauge.encode(family.encode_family(&[("memory", memory)])?)?;
        }
        Ok(())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use multigres_webhooks::metrics::Metrics as _;

    use super::*;
    use crate::memory::{Memories, PerObject};

    const DENIED: Observation = Observation {
        phase: multigres_webhooks::admit::Phase::Validate,
        kind: Some(Kind::Cluster),
        operation: Some(Operation::Create),
        code: 422,
        duration: Duration::from_millis(3),
    };

    #[test]
    fn what_is_observed_is_told() {
        let metrics = Metrics::new();
        metrics.answered(DENIED);
        metrics.answered(DENIED);
        metrics.answered(Observation { kind: None, operation: None, code: 400, ..DENIED });
        metrics.reconciled("MultiShard", Duration::from_secs(1), Ok(()));
        metrics.reconciled("MultiShard", Duration::from_secs(1), Err("topology"));
        metrics.wrote("StatefulSet", "apply");
        metrics.repaired(Repair::Rewound);
        metrics.tls_failures().inc();
        let memories = Memories::default();
        PerObject::new(&memories, "statuses").insert("uid", ());
        metrics.census().add(memories);
        let text = metrics.encode().unwrap();
        for line in [
            r#"multigres_operator_admission_reviews_total{phase="validate",kind="MultigresCluster",operation="CREATE",code="422"} 2"#,
            r#"multigres_operator_admission_reviews_total{phase="validate",kind="unknown",operation="unknown",code="400"} 1"#,
            r#"multigres_operator_admission_review_duration_seconds_count{phase="validate"} 3"#,
            r#"multigres_operator_admission_review_duration_seconds_bucket{le="0.0032",phase="validate"} 3"#,
            r#"multigres_operator_reconcile_duration_seconds_count{kind="MultiShard"} 2"#,
            r#"multigres_operator_reconcile_errors_total{kind="MultiShard",category="topology"} 1"#,
            r#"multigres_operator_writes_total{kind="StatefulSet",verb="apply"} 1"#,
            r#"multigres_operator_instance_repairs_total{how="rewound"} 1"#,
            "multigres_operator_tls_failures_total 1",
            r#"multigres_operator_remembered{memory="statuses"} 1"#,
            "# UNIT multigres_operator_reconcile_duration_seconds seconds",
            "# EOF",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
        }
    }
}
