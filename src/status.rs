//! What the operator says of each object: a pure function of what was observed, so that an idle cluster's status is a
//! fixed point.

mod cluster;
mod conditions;
mod survey;

pub use cluster::{ClusterView, cluster_status};
pub use conditions::{Circumstances, Fact, Gate, Trouble, conditions, facts};
pub use survey::Survey;
