//! Metrics of each review.

use std::time::Duration;

use multigres_crds::kind::Kind;

use crate::admit::Phase;
use crate::review::Operation;

/// One answered request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// The webhook that the review was sent to.
    pub phase: Phase,
    /// The kind of the object; nothing where the request was not understood.
    pub kind: Option<Kind>,
    /// The operation; none if the request was not understood.
    pub operation: Option<Operation>,
    /// 200 for what goes on, else the code of the denial or failure.
    pub code: u16,
    /// Time until the answer.
    pub duration: Duration,
}

/// Receives observations. The set of labels is bounded, whatever is requested.
pub trait Metrics: Send + Sync + 'static {
    /// Counts an answered request.
    fn answered(&self, observation: Observation);
}

/// Counts nothing.
impl Metrics for () {
    fn answered(&self, _: Observation) {}
}
