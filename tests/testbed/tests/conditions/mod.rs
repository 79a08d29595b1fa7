//! Conditions that tests wait for.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};

pub fn is_ready(pod: Option<&Pod>) -> bool {
    let conditions = pod.and_then(|pod| pod.status.as_ref()?.conditions.as_ref());
    conditions.is_some_and(|all| {
        all.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    })
}

pub fn phase(pod: Option<&Pod>) -> Option<&str> {
    pod?.status.as_ref()?.phase.as_deref()
}

pub fn has_capacity(size: &'static str) -> impl Fn(Option<&PersistentVolumeClaim>) -> bool {
    move |claim| {
        let capacity = claim.and_then(|claim| claim.status.as_ref()?.capacity.as_ref()?.get("storage"));
        capacity.is_some_and(|capacity| capacity.0 == size)
    }
}
