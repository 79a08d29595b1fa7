//! The flow of a request for what a cluster is made into.

use multigres_crds::kind::ChildKind;
use multigres_crds::v1alpha1::{MultiAdmin, MultiCell, MultiOrch, MultiShard, TopoServer};

use super::{Admission, defaulted, documents};
use crate::children::protect;
use crate::defaulting;
use crate::report::Report;
use crate::review::{Operation, Request};
use crate::validate::{self, Child};
use crate::verdict::{RuleGroup, Verdict};

/// Adds the label of a child that stands alone; denies only what the API server would keep from validation.
pub fn mutate(kind: ChildKind, request: &Request<'_>, admission: &Admission) -> Verdict {
    if !(Rules::of(kind).are_reached)(request) {
        return validate(kind, request, admission);
    }
    defaulted(defaulting::child(&request.parts()))
}

/// Protects what a cluster manages, and holds the rest to its rules.
pub fn validate(kind: ChildKind, request: &Request<'_>, admission: &Admission) -> Verdict {
    let warnings = match protect(kind, request, &*admission.lookup) {
        Ok(warnings) => warnings,
        Err(denial) => return Verdict::deny(RuleGroup::ChildProtection, denial),
    };
    if !writes_spec(request) {
        return Verdict { warnings, ..Verdict::allow(RuleGroup::ChildProtection) };
    }
    let mut verdict = Verdict::judge(RuleGroup::Child, (Rules::of(kind).judge)(request, &admission.rules()));
    verdict.warnings.splice(..0, warnings);
    verdict
}

fn writes_spec(request: &Request<'_>) -> bool {
    request.sub_resource.is_empty()
        && match request.operation {
            Operation::Create => true,
            Operation::Update => !request.keeps_spec(),
            Operation::Delete | Operation::Connect => false,
        }
}

/// The rules of one kind.
struct Rules {
    /// True if the API server passes the object on to validation.
    are_reached: fn(&Request<'_>) -> bool,
    judge: fn(&Request<'_>, &validate::Context<'_>) -> Report,
}

impl Rules {
    fn of(kind: ChildKind) -> Self {
        match kind {
            ChildKind::TopoServer => Self::of_type::<TopoServer>(),
            ChildKind::MultiAdmin => Self::of_type::<MultiAdmin>(),
            ChildKind::MultiOrch => Self::of_type::<MultiOrch>(),
            ChildKind::MultiCell => Self::of_type::<MultiCell>(),
            ChildKind::MultiShard => Self::of_type::<MultiShard>(),
        }
    }

    fn of_type<T: Child>() -> Self {
        Self { are_reached: are_reached::<T>, judge: judge::<T> }
    }
}

fn are_reached<T: Child>(request: &Request<'_>) -> bool {
    documents::<T>(request).is_ok_and(|(new, old)| validate::child_reaches_validation(&new, old.as_ref()))
}

fn judge<T: Child>(request: &Request<'_>, cx: &validate::Context<'_>) -> Report {
    match documents::<T>(request) {
        Ok((new, old)) => validate::child(&new, old.as_ref(), cx),
        Err(cause) => Report { errors: vec![cause], warnings: Vec::new() },
    }
}
