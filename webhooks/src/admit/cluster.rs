//! The flow of a request for a MultigresCluster.

use multigres_crds::v1alpha1::MultigresCluster;
use serde::Deserialize;

use super::{Admission, accepted, defaulted, documents, invalid};
use crate::defaulting;
use crate::document::sound_spec;
use crate::json::Json;
use crate::object::Object;
use crate::report::{Cause, Reason};
use crate::review::{Operation, Request};
use crate::validate::{self, Guard};
use crate::verdict::{Denial, RuleGroup, Verdict};

/// Adds defaults; denies only what the API server would keep from validation, and then with everything that is wrong.
pub fn mutate(request: &Request<'_>, admission: &Admission) -> Verdict {
    if request.operation == Operation::Create
        && let Some(spec) = request.object.and_then(sound_spec::<MultigresCluster>)
    {
        return defaulted(defaulting::cluster(spec, Json::NULL));
    }
    let (new, old) = match documents::<MultigresCluster>(request) {
        Ok(documents) => documents,
        Err(cause) => return invalid(cause),
    };
    if !validate::reaches_validation(&new, old.as_ref()) {
        let report = validate::cluster(&new, old.as_ref(), &admission.rules());
        return Verdict::judge(RuleGroup::Cluster, report);
    }
    let (spec, old) = (request.parts().spec, request.old_parts().spec);
    defaulted(defaulting::cluster(spec.unwrap_or(Json::NULL), old.unwrap_or(Json::NULL)))
}

/// Holds the cluster to its rules.
pub fn validate(request: &Request<'_>, admission: &Admission) -> Verdict {
    match accepted::<MultigresCluster>(request) {
        Ok((new, old)) => {
            let report = validate::cluster(&new, old.as_ref(), &admission.rules());
            Verdict::judge(RuleGroup::Cluster, report)
        }
        Err(cause) => invalid(cause),
    }
}

/// Rule U12: a protected cluster cannot be deleted.
pub(crate) const U12: Guard = Guard::new(
    "U12",
    "0.1.0",
    "A cluster cannot be deleted while `deletionProtection` is true, except together with its namespace.",
);

/// Refuses to delete what is protected from it.
pub fn delete(old: &Object<'_>) -> Verdict {
    if !is_protected(old) {
        return Verdict::allow(RuleGroup::DeletionProtection);
    }
    let field = "spec.deletionProtection".to_owned();
    let message =
        format!("MultigresCluster {:?} is protected from deletion: set {field} to false first", old.name());
    let cause_message = "is true; set it to false before you delete the cluster".to_owned();
    let causes = vec![Cause::new(Reason::Forbidden, field, cause_message)];
    Verdict::deny(RuleGroup::DeletionProtection, Denial::Forbidden { message, causes })
}

fn is_protected(cluster: &Object<'_>) -> bool {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Spec {
        deletion_protection: Option<bool>,
    }
    let spec: Spec = cluster.spec.and_then(|spec| spec.read().ok()).unwrap_or_default();
    spec.deletion_protection == Some(true)
}
