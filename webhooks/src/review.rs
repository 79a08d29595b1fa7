//! Decoding of `AdmissionReview` (`admission.k8s.io/v1`).
//!
//! The request is typed, the objects stay the JSON that the API server sent: what is wrong inside an object is for the
//! rules to say, all of it at once, and never costs the request its uid.

use std::fmt::Display;

use multigres_crds::kind::Kind;
use serde::Deserialize;
use serde_json::Value;

use crate::json::{Json, Parsed};
use crate::object::Object;
use crate::report::{Cause, Reason};

/// `apiVersion` of the reviews that are understood.
pub const API_VERSION: &str = "admission.k8s.io/v1";
/// `kind` of a review.
pub const KIND: &str = "AdmissionReview";

/// A request of the API server.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// Identifies the request; echoed in the answer.
    pub uid: &'a str,
    /// Kind of the objects.
    #[serde(borrow)]
    pub kind: GroupKind<'a>,
    /// The resource that the request is for.
    #[serde(borrow)]
    pub resource: GroupResource<'a>,
    /// `status` or `scale`; empty for the object itself.
    #[serde(default)]
    pub sub_resource: &'a str,
    /// Name of the object; empty while it is still to be generated.
    #[serde(default)]
    pub name: &'a str,
    /// Namespace of the object.
    #[serde(default)]
    pub namespace: &'a str,
    /// The operation.
    pub operation: Operation,
    /// The user who sent the request.
    #[serde(borrow)]
    pub user_info: UserInfo<'a>,
    /// True if nothing will be stored. The verdict is the same.
    #[serde(default)]
    pub dry_run: Option<bool>,
    /// The object as it is to be; nothing on DELETE.
    #[serde(skip)]
    pub object: Option<Json<'a>>,
    /// The object as it is; nothing on CREATE.
    #[serde(skip)]
    pub old_object: Option<Json<'a>>,
}

/// A kind, whichever its version.
#[derive(Debug, Deserialize)]
pub struct GroupKind<'a> {
    /// API group.
    #[serde(default)]
    pub group: &'a str,
    /// Name of the kind.
    pub kind: &'a str,
}

/// A resource, whichever its version.
#[derive(Debug, Deserialize)]
pub struct GroupResource<'a> {
    /// API group.
    #[serde(default)]
    pub group: &'a str,
    /// Plural name.
    pub resource: &'a str,
}

/// The user who sent the request.
#[derive(Debug, Deserialize)]
pub struct UserInfo<'a> {
    /// Name of the user or service account.
    #[serde(default)]
    pub username: &'a str,
}

/// An operation on an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are Kubernetes' own")]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

impl Operation {
    /// Kubernetes' spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

impl<'a> Request<'a> {
    /// Adds the objects, which are passed on as they are.
    pub(crate) fn with_objects(self, json: Json<'a>) -> Self {
        let object = |name| json.field(name).filter(|object| !object.is_null());
        Self { object: object("object"), old_object: object("oldObject"), ..self }
    }

    /// The parts of the object.
    pub fn parts(&self) -> Object<'a> {
        Object::read(self.object)
    }

    /// The parts of the object as it is.
    pub fn old_parts(&self) -> Object<'a> {
        Object::read(self.old_object)
    }

    /// True if an update leaves the spec unchanged.
    pub fn keeps_spec(&self) -> bool {
        self.parts().has_spec_of(&self.old_parts())
    }

    /// The kind of this API that the request is for. A `scale` is of another kind than its resource, so the resource
    /// tells.
    pub fn target(&self) -> Option<Kind> {
        Kind::of(self.resource.group, self.resource.resource)
    }

    /// The subject of the request.
    pub fn subject(&self) -> Subject {
        let name = match self.name {
            "" if self.object.is_none() => self.old_parts().name(),
            "" => self.parts().name(),
            name => name.to_owned(),
        };
        Subject { kind: self.kind.kind.to_string(), name }
    }
}

/// The subject of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Kind of the object.
    pub kind: String,
    /// Name of the object, or what its name will start with.
    pub name: String,
}

/// Reason why a body is not a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Undecodable {
    /// Nothing that could be answered.
    NotAReview(String),
    /// A review, as it has a uid, that does not decode.
    Malformed(Box<Malformed>),
}

/// A review that does not decode.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Identifies the request.
    pub uid: String,
    /// The object, as far as it could be read.
    pub subject: Subject,
    /// The path where decoding failed, and the reason.
    pub cause: Cause,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    #[serde(default)]
    api_version: &'a str,
    #[serde(default)]
    kind: &'a str,
    #[serde(borrow, default)]
    request: Option<Request<'a>>,
}

/// Decodes the body of a request, for as long as it takes to answer it.
pub fn decode<R>(body: &[u8], answer: impl FnOnce(Result<Request<'_>, Undecodable>) -> R) -> R {
    let mut text = Vec::from(body);
    match Parsed::parse(&mut text) {
        Ok(parsed) => answer(request(parsed.json())),
        Err(error) => answer(Err(unparsed(body, &error))),
    }
}

fn request(json: Json<'_>) -> Result<Request<'_>, Undecodable> {
    let review: Review<'_> = json.read().map_err(|error| undecodable(json, &error))?;
    match review.request {
        Some(request) if review.api_version == API_VERSION && review.kind == KIND => {
            Ok(request.with_objects(json.field("request").unwrap_or(Json::NULL)))
        }
        _ => Err(not_a_review("its kind is wrong or it has no request")),
    }
}

/// Reads a request that does not decode field by field, so that one bad field does not hide the others.
fn undecodable(json: Json<'_>, error: &impl Display) -> Undecodable {
    let text = |path: &[&str]| path.iter().try_fold(json, |json, name| json.field(name))?.text();
    let Some(uid) = text(&["request", "uid"]) else { return not_a_review(error) };
    let failure = serde_path_to_error::deserialize::<_, Review<'_>>(&mut json.reader()).err();
    // What is wrong as a whole has no path of its own.
    let field = failure.map(|failure| failure.path().to_string()).filter(|field| field != ".");
    let or_none = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let (kind, name) = (text(&["request", "kind", "kind"]), text(&["request", "name"]));
    malformed(uid, Subject { kind: or_none(kind), name: or_none(name) }, field.unwrap_or_default(), error)
}

#[derive(Deserialize)]
struct Outline<T> {
    request: T,
}

#[derive(Deserialize)]
struct Uid {
    uid: String,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct OfKind {
    kind: KindName,
}

#[derive(Deserialize)]
struct KindName {
    kind: String,
}

fn outline<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    serde_json::from_slice(body).ok().map(|outline: Outline<T>| outline.request)
}

/// The same of a body that is no JSON as a whole, such as one with a number that nobody can represent.
fn unparsed(body: &[u8], error: &impl Display) -> Undecodable {
    let Some(Uid { uid }) = outline(body) else { return not_a_review(error) };
    let kind = outline(body).map(|OfKind { kind }| kind.kind).unwrap_or_default();
    let name = outline(body).map(|Named { name }| name).unwrap_or_default();
    // It tells where.
    match serde_json::from_slice::<Value>(body) {
        Err(error) => malformed(&uid, Subject { kind, name }, String::new(), &error),
        Ok(_) => malformed(&uid, Subject { kind, name }, String::new(), error),
    }
}

fn malformed(uid: &str, subject: Subject, field: String, error: &impl Display) -> Undecodable {
    let cause = Cause::new(Reason::TypeInvalid, field, format!("cannot be read: {error}"));
    Undecodable::Malformed(Box::new(Malformed { uid: uid.to_owned(), subject, cause }))
}

fn not_a_review(why: impl Display) -> Undecodable {
    Undecodable::NotAReview(format!("the body is not an {KIND} of {API_VERSION}: {why}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn review() -> Value {
        json!({
            "apiVersion": API_VERSION,
            "kind": KIND,
            "request": {
                "uid": "705ab4f5",
                "kind": {"group": "multigres.com", "version": "v1alpha1", "kind": "MultigresCluster"},
                "resource": {"group": "multigres.com", "version": "v1alpha1", "resource": "multigresclusters"},
                "name": "c",
                "namespace": "ns",
                "operation": "CREATE",
                "userInfo": {"username": "jane", "groups": ["a"], "extra": {"k": ["v"]}},
                "object": {"spec": {"é": 1}},
                "oldObject": null,
                "dryRun": true,
                "options": {"kind": "CreateOptions"}
            }
        })
    }

    /// The uid, and what was wrong.
    fn decoded(body: &[u8]) -> Result<String, Undecodable> {
        decode(body, |request| request.map(|request| request.uid.to_owned()))
    }

    fn with(pointer: &str, value: Value) -> Vec<u8> {
        let mut review = review();
        *review.pointer_mut(pointer).unwrap() = value;
        review.to_string().into_bytes()
    }

    #[test]
    fn a_review_is_read() {
        let body = review().to_string().into_bytes();
        decode(&body, |request| {
            let request = request.unwrap();
            assert_eq!((request.uid, request.name, request.namespace), ("705ab4f5", "c", "ns"));
            assert_eq!(request.target(), Some(Kind::Cluster));
            assert_eq!((request.operation, request.dry_run), (Operation::Create, Some(true)));
            assert_eq!(request.user_info.username, "jane");
            assert_eq!(request.object.unwrap().value().unwrap(), json!({"spec": {"é": 1}}));
            assert!(request.old_object.is_none() && request.sub_resource.is_empty());
        });
    }

    #[test]
    fn an_object_of_any_shape_costs_nothing() {
        for object in [json!(null), json!(5), json!([1, "2"]), json!({"metadata": 7, "spec": []})] {
            assert_eq!(decoded(&with("/request/object", object)).unwrap(), "705ab4f5");
        }
    }

    #[test]
    fn the_uid_survives_a_malformed_request() {
        for (pointer, value, path) in [
            ("/request/operation", json!("UPSERT"), "request.operation"),
            ("/request/userInfo", json!("jane"), "request.userInfo"),
            ("/request/userInfo/username", json!(7), "request.userInfo.username"),
            ("/request/kind/kind", json!({}), "request.kind.kind"),
            ("/request/name", json!([]), "request.name"),
            ("/apiVersion", json!(1), "apiVersion"),
        ] {
            match decoded(&with(pointer, value)).unwrap_err() {
                Undecodable::Malformed(malformed) => {
                    let Malformed { uid, cause, .. } = *malformed;
                    assert_eq!((uid.as_str(), cause.field.as_str()), ("705ab4f5", path));
                }
                other @ Undecodable::NotAReview(_) => panic!("{pointer}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_said_twice_costs_no_uid() {
        let body = String::from_utf8(with("/request/operation", json!("UPSERT"))).unwrap();
        for (once, twice) in [
            (r#""name":"c""#, r#""name":"c","name":"c""#),
            (r#""operation":"UPSERT""#, r#""operation":"CREATE","operation":"CREATE""#),
            (r#""request":{"#, r#""request":null,"request":{"#),
        ] {
            let body = body.replacen(once, twice, 1);
            let Undecodable::Malformed(malformed) = decoded(body.as_bytes()).unwrap_err() else {
                panic!("{body}");
            };
            assert_eq!(
                (malformed.uid.as_str(), malformed.subject.kind.as_str()),
                ("705ab4f5", "MultigresCluster")
            );
        }
    }

    /// The uid survives values that a `Value` cannot hold.
    #[test]
    fn the_uid_survives_any_object() {
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        let texts = [deep.as_bytes(), b"1e999", br#""\ud800""#, b"\"\xff\""];
        for (operation, malformed) in [("CREATE", false), ("UPSERT", true)] {
            let body = with("/request/operation", json!(operation));
            let at = body.windows(4).position(|window| window == b"null").unwrap();
            for text in texts {
                let body = [&body[..at], text, &body[at + 4..]].concat();
                let uid = match decoded(&body) {
                    Ok(uid) => uid,
                    Err(Undecodable::Malformed(answer)) => answer.uid,
                    Err(other @ Undecodable::NotAReview(_)) => panic!("{other:?}"),
                };
                assert_eq!(uid, "705ab4f5", "{}", body.escape_ascii());
                assert!(!malformed || decoded(&body).is_err());
            }
        }
    }

    #[test]
    fn anything_else_is_no_review() {
        let truncated = &review().to_string().into_bytes()[..200];
        let bodies: [&[u8]; 9] = [
            b"",
            b"null",
            b"[]",
            b"not JSON",
            b"{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\"}",
            b"\xff\xfe",
            truncated,
            &with("/kind", json!("ConversionReview")),
            &with("/apiVersion", json!("admission.k8s.io/v1beta1")),
        ];
        for body in bodies {
            assert!(matches!(decoded(body), Err(Undecodable::NotAReview(_))), "{}", body.escape_ascii());
        }
    }
}
