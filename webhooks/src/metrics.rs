//! What is counted of each review.

use std::time::Duration;

use multigres_crds::kind::Kind;

use crate::admit::Phase;
use crate::review::Operation;

/// One answered request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// What was asked of admission.
    pub phase: Phase,
    /// The kind of the object; nothing where the request was not understood.
    pub kind: Option<Kind>,
    /// What was to be done; nothing where the request was not understood.
    pub operation: Option<Operation>,
    /// 200 for what goes on, else the code of the denial or failure.
    pub code: u16,
    /// How long the answer took.
    pub duration: Duration,
}

/// Where observations go. The labels are bounded, whatever is asked.
pub trait Metrics: Send + Sync + 'static {
    /// Counts an answered request.
    fn answered(&self, observation: Observation);
}

/// Counts nothing.
impl Metrics for () {
    fn answered(&self, _: Observation) {}
}
