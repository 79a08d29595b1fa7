//! From the body of a review to its answer: the whole of admission as one pure function.

mod child;
mod cluster;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use kube::Resource;
use multigres_crds::kind::Kind;
use serde::de::DeserializeOwned;

pub(crate) use self::cluster::U12;
use crate::defaulting::Defaults;
use crate::document::Document;
use crate::exemption::is_exempt;
use crate::impact::Impact;
use crate::json::Json;
use crate::lookup::Lookup;
use crate::report::{Cause, Reason};
use crate::response::Review;
use crate::review::{self, Malformed, Operation, Request, Undecodable};
use crate::schema::Strictness;
use crate::validate;
use crate::verdict::{Denial, Outcome, RuleGroup, Verdict};

/// The webhook that a review was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Defaults, before the API server has checked anything.
    Mutate,
    /// A verdict, after it has.
    Validate,
}

impl Phase {
    /// A word for metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mutate => "mutate",
            Self::Validate => "validate",
        }
    }
}

/// The state that admission reads beside the review.
#[derive(Clone)]
pub struct Admission {
    /// Other objects.
    pub lookup: Arc<dyn Lookup>,
    /// The consequences of a change, where they can be told.
    pub impact: Option<Arc<dyn Impact>>,
    /// The name under which the operator writes.
    pub operator_user: String,
}

impl Admission {
    /// The context that rules read.
    fn rules(&self) -> validate::Context<'_> {
        validate::Context { lookup: &*self.lookup, impact: self.impact.as_deref() }
    }
}

/// An answer, and what it answers.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The review with its response.
    pub review: Review,
    /// Kind of the object; nothing where the request was not understood.
    pub kind: Option<Kind>,
    /// The operation; none if the request was not understood.
    pub operation: Option<Operation>,
}

/// A body that is no review: nothing to answer, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAReview(pub String);

/// Answers a review.
///
/// # Errors
/// When the body is no review.
pub fn handle(phase: Phase, body: &[u8], admission: &Admission) -> Result<Answer, NotAReview> {
    answer(phase, body, |request| decide(phase, request, admission))
}

/// Answers a review that was not decided in time.
///
/// # Errors
/// When the body is no review.
pub fn timed_out(phase: Phase, body: &[u8]) -> Result<Answer, NotAReview> {
    answer(phase, body, |_| Verdict::deny(RuleGroup::Review, Denial::Timeout))
}

fn answer(
    phase: Phase,
    body: &[u8],
    decide: impl FnOnce(&Request<'_>) -> Verdict,
) -> Result<Answer, NotAReview> {
    review::decode(body, |request| match request {
        Ok(request) => Ok(answered(phase, &request, decide)),
        Err(Undecodable::NotAReview(why)) => Err(NotAReview(why)),
        Err(Undecodable::Malformed(malformed)) => {
            let Malformed { uid, subject, cause } = *malformed;
            Ok(Answer { review: Review::new(uid, subject, invalid(cause)), kind: None, operation: None })
        }
    })
}

fn answered(phase: Phase, request: &Request<'_>, decide: impl FnOnce(&Request<'_>) -> Verdict) -> Answer {
    let subject = request.subject();
    // Only where it is asked for: to write it down takes as long as to decide on a small object.
    let span = tracing::debug_span!(
        "admission",
        phase = phase.as_str(),
        uid = request.uid,
        kind = subject.kind,
        namespace = request.namespace,
        name = subject.name,
        operation = request.operation.as_str(),
        user = request.user_info.username,
        dry_run = request.dry_run.unwrap_or(false),
    );
    let verdict = span.in_scope(|| {
        let verdict = decide(request);
        tracing::debug!(allowed = verdict.allowed(), decided_by = verdict.decided_by.as_str(), "decided");
        verdict
    });
    let review = Review::new(request.uid.to_string(), subject, verdict);
    Answer { review, kind: request.target(), operation: Some(request.operation) }
}

fn decide(phase: Phase, request: &Request<'_>, admission: &Admission) -> Verdict {
    let Some(kind) = request.target() else { return not_served(request) };
    if let Some(cause) = missing(request) {
        return invalid(cause);
    }
    if request.operation == Operation::Update && request.old_parts().is_terminating() {
        return Verdict::allow(RuleGroup::Termination);
    }
    if is_exempt(kind, request.user_info.username, &admission.operator_user) {
        return Verdict::allow(RuleGroup::Exemption);
    }
    match (phase, kind, request.operation) {
        (_, _, Operation::Connect) => not_served(request),
        (Phase::Mutate, _, Operation::Delete) => Verdict::allow(RuleGroup::Defaulting),
        (Phase::Mutate, Kind::Child(kind), _) => child::mutate(kind, request, admission),
        (Phase::Validate, Kind::Child(kind), _) => child::validate(kind, request, admission),
        (Phase::Validate, Kind::Cluster, Operation::Delete) => cluster::delete(&request.old_parts()),
        (_, Kind::Cluster, Operation::Update) if request.keeps_spec() => Verdict::allow(RuleGroup::Metadata),
        (Phase::Mutate, Kind::Cluster, _) => cluster::mutate(request, admission),
        (Phase::Validate, Kind::Cluster, _) => cluster::validate(request, admission),
    }
}

/// The object that a request of this operation must carry, if it is missing.
fn missing(request: &Request<'_>) -> Option<Cause> {
    let is_missing = |json: Option<Json<'_>>| !json.is_some_and(Json::is_map);
    let (object, old_object) = (is_missing(request.object), is_missing(request.old_object));
    let field = match request.operation {
        Operation::Create | Operation::Update if object => "request.object",
        Operation::Update | Operation::Delete if old_object => "request.oldObject",
        _ => return None,
    };
    let message = format!("must be an object for {}", request.operation.as_str());
    Some(Cause::new(Reason::Required, field, message))
}

fn not_served(request: &Request<'_>) -> Verdict {
    let (operation, group, resource) =
        (request.operation.as_str(), request.resource.group, request.resource.resource);
    let message = format!("{operation} of {resource} in group {group:?} is not decided here");
    Verdict::deny(RuleGroup::Review, Denial::BadRequest(message))
}

fn invalid(cause: Cause) -> Verdict {
    Verdict::deny(RuleGroup::Review, Denial::Invalid(vec![cause]))
}

fn defaulted(defaults: Defaults) -> Verdict {
    Verdict {
        outcome: Outcome::Allowed(defaults.patch),
        defaulted: defaults.fields,
        ..Verdict::allow(RuleGroup::Defaulting)
    }
}

/// The object of a request and the one that it replaces, as far as they decode.
type Documents<'a, T> = (Document<'a, T>, Option<Document<'a, T>>);

fn documents<'a, T>(request: &Request<'a>) -> Result<Documents<'a, T>, Cause>
where
    T: Resource<DynamicType = ()> + DeserializeOwned,
{
    let decode = |json: Json<'a>| Document::decode(json, Strictness::Server);
    let new = decode(request.object.unwrap_or(Json::NULL))?;
    Ok((new, request.old_object.and_then(|old| decode(old).ok())))
}

/// The same of a request that has come to validation. A new object has been checked by the API server by then, and
/// before that by the mutating webhook; of an update it lets go what was wrong before.
fn accepted<'a, T>(request: &Request<'a>) -> Result<Documents<'a, T>, Cause>
where
    T: Resource<DynamicType = ()> + DeserializeOwned,
{
    let created = request.object.filter(|_| request.operation == Operation::Create);
    match created.and_then(Document::accepted) {
        Some(new) => Ok((new, None)),
        None => documents(request),
    }
}
