//! A review: the body of a request of the API server, and the answer to it.

use multigres_crds::GROUP;
use multigres_crds::kind::Kind;
use multigres_webhooks::admit::{Admission, Answer, Phase, handle};
use multigres_webhooks::review::{self, Undecodable};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{answer, world};

/// A review by an ordinary user.
pub fn review(operation: &str, kind: Kind, new: Option<&Value>, old: Option<&Value>) -> Value {
    let of = |last: &str, value: &str| json!({"group": GROUP, "version": "v1alpha1", last: value});
    json!({
        "apiVersion": review::API_VERSION,
        "kind": review::KIND,
        "request": {
            "uid": "705ab4f5",
            "kind": of("kind", kind.as_str()),
            "resource": of("resource", &kind.plural()),
            "name": new.or(old).map(|object| &object["metadata"]["name"]),
            "namespace": "ns",
            "operation": operation,
            "userInfo": {"username": "jane"},
            "object": new,
            "oldObject": old,
        },
    })
}

/// A body as any JSON reader sees it: enough to know that it needs an answer, and the uid.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    api_version: String,
    kind: String,
    request: Uid,
}

#[derive(Deserialize)]
struct Uid {
    uid: String,
}

/// The uid of what can only be a review. JSON is text: of other bytes nothing can be said.
fn uid(body: &[u8]) -> Option<String> {
    let outline: Outline = serde_json::from_str(str::from_utf8(body).ok()?).ok()?;
    let is_review = outline.api_version == review::API_VERSION && outline.kind == review::KIND;
    is_review.then_some(outline.request.uid)
}

/// The codec alone: whatever has a uid keeps it, and objects are passed on as they were sent.
pub fn codec(body: &[u8]) {
    review::decode(body, |request| match request {
        Ok(request) => {
            assert!(uid(body).is_none_or(|uid| uid == request.uid), "another uid: {}", request.uid);
            let Ok(review) = serde_json::from_slice::<Value>(body) else { return };
            for (name, object) in [("object", request.object), ("oldObject", request.old_object)] {
                let passed_on = object.map_or(Value::Null, |object| object.value().expect("it is no deeper"));
                let sent = &review["request"][name];
                assert!(is_same(&passed_on, sent), "{passed_on} was {sent}");
            }
        }
        Err(Undecodable::Malformed(malformed)) => {
            assert!(uid(body).is_none_or(|uid| uid == malformed.uid), "another uid: {}", malformed.uid);
            assert!(!malformed.cause.message.is_empty());
        }
        Err(Undecodable::NotAReview(why)) => {
            assert_eq!(uid(body), None, "a review gets no answer: {why}");
        }
    });
}

/// True if two readers made the same of a text: `-0` is an integer to one, and the last bit of a fraction is rounded.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let distance = |one: f64, other: f64| (one - other).abs() <= one.abs() * f64::EPSILON;
            one == other || one.as_f64().zip(other.as_f64()).is_some_and(|(one, other)| distance(one, other))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let has_same = |(name, one)| other.get(name).is_some_and(|other| is_same(one, other));
            one.len() == other.len() && one.iter().all(has_same)
        }
        _ => one == other,
    }
}

/// Admission as a whole: the answer is one that the API server understands, and the same each time.
pub fn handler(body: &[u8]) {
    for admission in [world::nothing(), world::one_cluster()] {
        let mutation = respond(Phase::Mutate, body, &admission);
        let validation = respond(Phase::Validate, body, &admission);
        assert_eq!(mutation.is_some(), validation.is_some());
        let (Some(mutation), Some(validation)) = (mutation, validation) else {
            assert_eq!(uid(body), None, "a review gets no answer");
            continue;
        };
        for response in [&mutation, &validation] {
            answer::is_understood(response, body.len());
            assert!(uid(body).is_none_or(|uid| response["response"]["uid"] == uid.as_str()));
        }
        assert_eq!(validation["response"].get("patch"), None, "only a mutating webhook may patch");
        defaults_are_added_once(body, &mutation, &admission);
        a_dry_run_is_judged_alike(body, &validation, &admission);
        what_is_admitted_can_be_built(body, &mutation, &validation);
    }
}

/// The answer as it is sent; nothing where the body is no review.
fn respond(phase: Phase, body: &[u8], admission: &Admission) -> Option<Value> {
    let sent = |answer: Answer| serde_json::to_vec(&answer.review).expect("an answer is JSON");
    let [first, second] = [(); 2].map(|()| handle(phase, body, admission).ok().map(sent));
    assert_eq!(first, second, "the same is answered differently");
    Some(serde_json::from_slice(&first?).expect("an answer is JSON"))
}

fn is_allowed(response: &Value) -> bool {
    response["response"]["allowed"] == true
}

/// A patch fits the object, and what it makes of it needs none.
fn defaults_are_added_once(body: &[u8], mutation: &Value, admission: &Admission) {
    let Some(patch) = answer::patch(mutation) else { return };
    // Beside the object there may be what has a place in JSON, but not in a `Value`.
    let Ok(mut review) = serde_json::from_slice::<Value>(body) else { return };
    json_patch::patch(&mut review["request"]["object"], &patch).expect("a patch fits its object");
    let again = respond(Phase::Mutate, review.to_string().as_bytes(), admission).unwrap();
    assert!(is_allowed(&again), "what was defaulted is refused: {again}");
    assert_eq!(answer::patch(&again), None, "defaults are not complete");
}

fn a_dry_run_is_judged_alike(body: &[u8], validation: &Value, admission: &Admission) {
    let Ok(dry_run) = review::decode(body, |request| request.map(|request| request.dry_run)) else { return };
    let Ok(mut review) = serde_json::from_slice::<Value>(body) else { return };
    review["request"]["dryRun"] = json!(dry_run != Some(true));
    let other = respond(Phase::Validate, review.to_string().as_bytes(), admission);
    assert_eq!(other.as_ref(), Some(validation));
}

/// Objects that pass both webhooks reach the controllers, which must be able to build them.
fn what_is_admitted_can_be_built(body: &[u8], mutation: &Value, validation: &Value) {
    if !is_allowed(mutation) || !is_allowed(validation) {
        return;
    }
    let cluster = review::decode(body, |request| request.ok()?.object?.read().ok());
    if let Some(cluster) = cluster {
        world::build(&cluster);
    }
}
