//! Encoding of a verdict as `AdmissionReview` (`admission.k8s.io/v1`).
//!
//! Written for those who read it: kubectl prints the causes of an invalid object, Argo CD only the message, scripts
//! the details. So every error is in both.

use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use json_patch::Patch;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Status, StatusCause, StatusDetails};
use multigres_crds::GROUP;
use serde::{Serialize, Serializer, ser};

use crate::report::{Cause, Report, shorten};
use crate::review::{self, Subject};
use crate::verdict::{Denial, Outcome, Verdict};

/// An answered review.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    api_version: &'static str,
    kind: &'static str,
    response: Response,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    uid: String,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<Encoded>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    audit_annotations: BTreeMap<&'static str, String>,
}

/// Bytes, for the API server, are base64 in JSON.
#[derive(Clone, Debug)]
struct Encoded(Patch);

impl Serialize for Encoded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = serde_json::to_vec(&self.0).map_err(ser::Error::custom)?;
        serializer.serialize_str(&STANDARD.encode(json))
    }
}

impl Review {
    /// Answers a request.
    pub fn new(uid: String, subject: Subject, verdict: Verdict) -> Self {
        let mut audit_annotations = BTreeMap::from([("decided-by", verdict.decided_by.as_str().to_owned())]);
        if verdict.defaulted > 0 {
            audit_annotations.insert("defaulted-fields", verdict.defaulted.to_string());
        }
        // The API server rejects a type without a patch, and an empty patch is a change to no one's use.
        let (patch, status) = match verdict.outcome {
            Outcome::Allowed(patch) => (Some(patch).filter(|patch| !patch.is_empty()).map(Encoded), None),
            Outcome::Denied(denial) => (None, Some(status(subject, denial))),
        };
        let response = Response {
            uid,
            allowed: status.is_none(),
            status,
            patch_type: patch.is_some().then_some("JSONPatch"),
            patch,
            warnings: listed(&verdict.warnings),
            audit_annotations,
        };
        Self { api_version: review::API_VERSION, kind: review::KIND, response }
    }

    /// The status code within the answer; HTTP's own is 200.
    pub fn code(&self) -> u16 {
        self.response
            .status
            .as_ref()
            .and_then(|status| status.code)
            .and_then(|code| u16::try_from(code).ok())
            .unwrap_or(200)
    }
}

fn status(subject: Subject, denial: Denial) -> Status {
    let (code, reason, message, causes) = match denial {
        Denial::Invalid(causes) => (422, "Invalid", invalid(&subject, &causes), causes),
        Denial::Forbidden { message, causes } => (403, "Forbidden", message, causes),
        Denial::BadRequest(message) => (400, "BadRequest", message, Vec::new()),
        Denial::Timeout => (504, "Timeout", timeout(&subject), Vec::new()),
    };
    let details = StatusDetails {
        group: Some(GROUP.to_owned()),
        kind: Some(subject.kind),
        name: Some(subject.name),
        causes: Some(causes.into_iter().take(Report::MAX_CAUSES).map(status_cause).collect()),
        ..StatusDetails::default()
    };
    Status {
        status: Some("Failure".to_owned()),
        code: Some(code),
        reason: Some(reason.to_owned()),
        message: Some(message),
        details: Some(details),
        ..Status::default()
    }
}

fn status_cause(Cause { reason, field, message, .. }: Cause) -> StatusCause {
    StatusCause { reason: Some(reason.as_str().to_owned()), field: Some(field), message: Some(message) }
}

fn invalid(Subject { kind, name }: &Subject, causes: &[Cause]) -> String {
    let errors = if causes.len() == 1 { "error" } else { "errors" };
    let mut message = format!("{kind} {name:?} is invalid: {} {errors}", causes.len());
    for cause in causes.iter().take(Report::MAX_CAUSES) {
        // Writing to a string cannot fail.
        let _ = write!(message, "\n{cause}");
    }
    if let Some(more) = causes.len().checked_sub(Report::MAX_CAUSES).filter(|more| *more > 0) {
        let _ = write!(message, "\n… and {more} more");
    }
    message
}

fn timeout(Subject { kind, name }: &Subject) -> String {
    format!("{kind} {name:?} could not be checked in time; try again")
}

/// The first warnings, and the number of the others.
fn listed(warnings: &[String]) -> Vec<String> {
    let most = if warnings.len() > Report::MAX_WARNINGS { Report::MAX_WARNINGS - 1 } else { warnings.len() };
    let more = warnings.len() - most;
    let rest = (more > 0).then(|| format!("and {more} more warnings"));
    warnings.iter().take(most).map(|warning| fit(warning)).chain(rest).collect()
}

/// kubectl prints `Warning:` itself, and API servers cut what is long.
fn fit(warning: &str) -> String {
    let text = warning.trim_start_matches("Warning:").trim().replace(char::is_control, " ");
    shorten(&text, Report::MAX_WARNING).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json, to_value};

    use super::*;
    use crate::report::{Reason, Report};
    use crate::verdict::RuleGroup;

    fn answer(verdict: Verdict) -> Value {
        let subject = Subject { kind: "MultigresCluster".to_owned(), name: "c".to_owned() };
        to_value(Review::new("u-1".to_owned(), subject, verdict)).unwrap()
    }

    fn cause(index: usize) -> Cause {
        Cause::new(Reason::NotFound, format!("spec.cells[{index}]"), "is unknown; add it")
    }

    fn invalid(errors: usize) -> Value {
        let report = Report { errors: (0..errors).map(cause).collect(), warnings: vec![] };
        answer(Verdict::judge(RuleGroup::Cluster, report))
    }

    #[test]
    fn an_allowed_request_has_no_status_and_no_patch() {
        assert_eq!(
            answer(Verdict::allow(RuleGroup::Metadata)),
            json!({
                "apiVersion": "admission.k8s.io/v1",
                "kind": "AdmissionReview",
                "response": {"uid": "u-1", "allowed": true, "auditAnnotations": {"decided-by": "metadata"}}
            })
        );
    }

    #[test]
    fn a_patch_is_base64_and_has_a_type() {
        let ops = json!([{"op": "add", "path": "/spec/a", "value": 1}]);
        let patch: Patch = from_value(ops.clone()).unwrap();
        let verdict = Verdict {
            outcome: Outcome::Allowed(patch),
            defaulted: 1,
            ..Verdict::allow(RuleGroup::Defaulting)
        };
        let response = answer(verdict)["response"].take();
        let bytes = STANDARD.decode(response["patch"].as_str().unwrap()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), ops);
        assert_eq!(response["patchType"], "JSONPatch");
        assert_eq!(response["auditAnnotations"]["defaulted-fields"], "1");
    }

    #[test]
    fn an_invalid_object_is_told_everything() {
        let status = invalid(2)["response"]["status"].take();
        assert_eq!(
            status,
            json!({
                "apiVersion": "v1",
                "kind": "Status",
                "metadata": {},
                "status": "Failure",
                "code": 422,
                "reason": "Invalid",
                "message": "MultigresCluster \"c\" is invalid: 2 errors\n\
                            spec.cells[0]: is unknown; add it\nspec.cells[1]: is unknown; add it",
                "details": {
                    "group": "multigres.com",
                    "kind": "MultigresCluster",
                    "name": "c",
                    "causes": [
                        {"reason": "FieldValueNotFound", "field": "spec.cells[0]", "message": "is unknown; add it"},
                        {"reason": "FieldValueNotFound", "field": "spec.cells[1]", "message": "is unknown; add it"}
                    ]
                }
            })
        );
    }

    #[test]
    fn more_errors_than_anyone_reads_are_counted() {
        for (errors, listed, last) in
            [(1, 1, "spec.cells[0]: "), (50, 50, "spec.cells[49]: "), (62, 50, "… and 12 more")]
        {
            let status = invalid(errors)["response"]["status"].take();
            assert_eq!(status["details"]["causes"].as_array().unwrap().len(), listed);
            let message = status["message"].as_str().unwrap();
            assert!(message.lines().last().unwrap().starts_with(last), "{message}");
        }
    }

    #[test]
    fn other_denials_have_their_own_code() {
        let forbidden = Denial::Forbidden { message: "no".to_owned(), causes: vec![cause(0)] };
        for (denial, code, reason) in [
            (forbidden, 403, "Forbidden"),
            (Denial::BadRequest("what?".to_owned()), 400, "BadRequest"),
            (Denial::Timeout, 504, "Timeout"),
        ] {
            let status = answer(Verdict::deny(RuleGroup::Review, denial))["response"]["status"].take();
            assert_eq!((status["code"].as_u64(), status["reason"].as_str()), (Some(code), Some(reason)));
            assert_eq!(status["details"]["name"], "c");
        }
    }

    #[test]
    fn warnings_fit() {
        for (warning, fitted) in [
            ("as it is", "as it is".to_owned()),
            ("Warning: said twice", "said twice".to_owned()),
            ("two\nlines", "two lines".to_owned()),
            (&"é".repeat(120), "é".repeat(120)),
            (&"é".repeat(121), "é".repeat(119) + "…"),
        ] {
            assert_eq!(fit(warning), fitted);
        }
        let many = |count: usize| listed(&vec!["w".to_owned(); count]);
        assert_eq!(many(30), ["w"; 30]);
        assert_eq!(
            many(31).split_last().unwrap(),
            (&"and 2 more warnings".to_owned(), &["w"; 29].map(str::to_owned)[..])
        );
    }
}
