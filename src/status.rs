//! Status of each object: a pure function of observations, so that the status of an idle cluster never changes.

mod cluster;
mod conditions;
mod survey;

pub use cluster::{ClusterView, cluster_status};
pub use conditions::{Circumstances, Fact, Gate, Trouble, conditions, facts};
pub use survey::Survey;
