//! Connects admission, which is pure, with the operator's caches, metrics and certificates.

mod ca_bundle;
mod knowledge;
mod trust;

use std::sync::Arc;

use axum::Router;
use multigres_webhooks::admit::Admission;
use multigres_webhooks::router::{AppState, router};

use crate::build::Environment;
use crate::controllers::Caches;
use crate::impact::Workloads;
use crate::metrics::Metrics;
use crate::observe::{Neighbourhood, StorageClasses};

use knowledge::Knowledge;

pub use ca_bundle::{become_trusted, stay_trusted};
pub use trust::{Renewal, Trust, trust};

/// The webhooks, over the operator's caches.
pub fn webhooks(
    user: &str,
    caches: Vec<Caches>,
    neighbourhood: Arc<Neighbourhood>,
    classes: Arc<StorageClasses>,
    environment: Environment,
    metrics: Arc<Metrics>,
) -> Router {
    let admission = Admission {
        lookup: Arc::new(Knowledge { caches, neighbourhood, classes }),
        impact: Some(Arc::new(Workloads { environment })),
        operator_user: user.to_owned(),
    };
    router(AppState { metrics, ..AppState::new(admission) })
}
