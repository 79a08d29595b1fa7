//! What Prometheus is told.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

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
    reconcile_durations: Durations<Kind>,
    reconcile_errors: Family<Failure, Counter>,
    writes: Family<Write, Counter>,
    tls_failures: Counter,
}

/// One answer of admission.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Review {
    /// `mutating` or `validating`.
    pub phase: &'static str,
    /// Kind of the object.
    pub kind: &'static str,
    /// `CREATE`, `UPDATE` or `DELETE`.
    pub operation: &'static str,
    /// Whether it was allowed.
    pub allowed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Phase {
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
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

impl Metrics {
    /// No observations yet.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("multigres_operator"),
            reviews: Family::default(),
            // A review takes milliseconds and at most the five seconds after which the API server gives up.
            review_durations: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.0005, 2.0, 14))
            }),
            reconcile_durations: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.005, 2.0, 13))
            }),
            reconcile_errors: Family::default(),
            writes: Family::default(),
            tls_failures: Counter::default(),
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
        registry.register("admission_reviews", "Reviews answered, by verdict", self.reviews.clone());
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
            "tls_failures",
            "Connections that ended in the TLS handshake",
            self.tls_failures.clone(),
        );
    }

    /// The OpenMetrics text of everything observed so far.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// A review was answered.
    pub fn reviewed(&self, review: &Review, took: Duration) {
        self.reviews.get_or_create(review).inc();
        self.review_durations.get_or_create(&Phase { phase: review.phase }).observe(took.as_secs_f64());
    }

    /// An object was reconciled, or could not be for a reason of the given category.
    pub fn reconciled(&self, kind: &'static str, took: Duration, result: Result<(), &'static str>) {
        self.reconcile_durations.get_or_create(&Kind { kind }).observe(took.as_secs_f64());
        if let Err(category) = result {
            self.reconcile_errors.get_or_create(&Failure { kind, category }).inc();
        }
    }

    /// A request was sent that changes an object: `apply`, `create`, `patch`, `delete`, `evict`.
    pub fn wrote(&self, kind: &str, verb: &'static str) {
        self.writes.get_or_create(&Write { kind: kind.to_owned(), verb }).inc();
    }

    /// Counts connections that end in the TLS handshake.
    pub(crate) fn tls_failures(&self) -> Counter {
        self.tls_failures.clone()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REVIEW: Review =
        Review { phase: "validating", kind: "MultigresCluster", operation: "CREATE", allowed: false };

    #[test]
    fn what_is_observed_is_told() {
        let metrics = Metrics::new();
        metrics.reviewed(&REVIEW, Duration::from_millis(3));
        metrics.reviewed(&REVIEW, Duration::from_millis(4));
        metrics.reconciled("MultiShard", Duration::from_secs(1), Ok(()));
        metrics.reconciled("MultiShard", Duration::from_secs(1), Err("topology"));
        metrics.wrote("StatefulSet", "apply");
        metrics.tls_failures().inc();
        let text = metrics.encode().unwrap();
        for line in [
            r#"multigres_operator_admission_reviews_total{phase="validating",kind="MultigresCluster",operation="CREATE",allowed="false"} 2"#,
            r#"multigres_operator_admission_review_duration_seconds_count{phase="validating"} 2"#,
            r#"multigres_operator_admission_review_duration_seconds_bucket{le="0.004",phase="validating"} 2"#,
            r#"multigres_operator_reconcile_duration_seconds_count{kind="MultiShard"} 2"#,
            r#"multigres_operator_reconcile_errors_total{kind="MultiShard",category="topology"} 1"#,
            r#"multigres_operator_writes_total{kind="StatefulSet",verb="apply"} 1"#,
            "multigres_operator_tls_failures_total 1",
            "# UNIT multigres_operator_reconcile_duration_seconds seconds",
            "# EOF",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
        }
    }
}
