//! Properties of every answer to a review.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use json_patch::Patch;
use multigres_webhooks::path::FieldPath;
use multigres_webhooks::report::Report;
use multigres_webhooks::review;
use serde_json::Value;

/// Bytes of an answer that are not the request's own.
const MAX_OWN: usize = 64 << 10;
/// Interval at which to what is in the request may come back: fields stand in the message and in the causes.
const MAX_ECHOES: usize = 8;

/// True if the API server understands an answer to a body of that length, and clients can show it.
pub fn is_understood(answer: &Value, length: usize) {
    assert_eq!(answer["apiVersion"], review::API_VERSION);
    assert_eq!(answer["kind"], review::KIND);
    let response = &answer["response"];
    assert!(response["uid"].is_string(), "{response}");
    match (&response["allowed"], response.get("status")) {
        (Value::Bool(true), None) => {}
        (Value::Bool(false), Some(status)) => is_explained(status),
        _ => panic!("neither allowed nor refused: {response}"),
    }
    assert_eq!(response.get("patch").is_some(), response["patchType"] == "JSONPatch");
    are_shown(response.get("warnings"));
    assert!(answer.to_string().len() <= MAX_OWN + MAX_ECHOES * length, "too long an answer");
}

/// The patch of an answer.
pub fn patch(answer: &Value) -> Option<Patch> {
    let patch = answer["response"].get("patch")?.as_str().expect("a patch is text");
    let json = STANDARD.decode(patch).expect("a patch is base64");
    let patch: Patch = serde_json::from_slice(&json).expect("a patch is JSON Patch");
    assert!(!patch.is_empty(), "nothing is patched");
    Some(patch)
}

fn is_explained(status: &Value) {
    let (code, reason) = (status["code"].as_u64(), status["reason"].as_str());
    let known = [(422, "Invalid"), (403, "Forbidden"), (400, "BadRequest")];
    assert!(known.iter().any(|(c, r)| (code, reason) == (Some(*c), Some(*r))), "{status}");
    let message = status["message"].as_str().unwrap_or_default();
    assert!(!message.is_empty() && !message.starts_with('\n'), "{status}");

    let details = &status["details"];
    assert!(details["kind"].is_string() && details["name"].is_string(), "{details}");
    let causes = details["causes"].as_array().map_or(&[][..], Vec::as_slice);
    assert!(causes.len() <= Report::MAX_CAUSES && (code != Some(422) || !causes.is_empty()), "{details}");
    causes.iter().for_each(is_precise);
}

/// A cause names a field, and says of it what it has not said by naming it.
fn is_precise(cause: &Value) {
    let [reason, field, message] =
        ["reason", "field", "message"].map(|part| cause[part].as_str().expect("a cause is complete"));
    assert!(reason.starts_with("FieldValue"), "{cause}");
    assert!(!message.is_empty() && (field.is_empty() || !message.starts_with(field)), "{cause}");
    let path = FieldPath::parse(field);
    // A name may have brackets of its own, which nothing can tell from those around it.
    let ends_within = |rest: &str| !rest.is_empty() && !rest.starts_with(['.', '[']);
    let is_ambiguous =
        field.split(']').skip(1).any(ends_within) || field.matches('[').count() != field.matches(']').count();
    assert!(is_ambiguous || path.to_string() == field, "{cause}");
    let roots = ["apiVersion", "kind", "metadata", "spec", "status", "request"];
    let root = path.names().first().map(ToString::to_string);
    assert!(root.is_none_or(|root| roots.contains(&root.as_str())), "{cause}");
}

fn are_shown(warnings: Option<&Value>) {
    let warnings = warnings.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    assert!(warnings.len() <= Report::MAX_WARNINGS);
    for warning in warnings {
        let text = warning.as_str().expect("a warning is text");
        let fits = text.chars().count() <= Report::MAX_WARNING;
        assert!(fits && !text.is_empty() && !text.contains(char::is_control), "{text:?}");
    }
}
