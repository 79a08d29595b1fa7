//! Decoding of `AdmissionReview` (`admission.k8s.io/v1`).
//!
//! The request is typed, the objects stay the JSON text that the API server sent: what is wrong inside an object is
//! for the rules to say, all of it at once, and never costs the request its uid. Nothing is copied.

use std::borrow::Cow;
use std::cell::OnceCell;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::kind::Kind;
use crate::object::Object;
use crate::report::{Cause, Reason};

/// `apiVersion` of the reviews that are understood.
pub const API_VERSION: &str = "admission.k8s.io/v1";
/// `kind` of a review.
pub const KIND: &str = "AdmissionReview";

/// What the API server asks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// Identifies the request; echoed in the answer.
    #[serde(borrow)]
    pub uid: Cow<'a, str>,
    /// Kind of the objects.
    #[serde(borrow)]
    pub kind: GroupKind<'a>,
    /// The resource that the request is for.
    #[serde(borrow)]
    pub resource: GroupResource<'a>,
    /// `status` or `scale`; empty for the object itself.
    #[serde(borrow, default)]
    pub sub_resource: Cow<'a, str>,
    /// Name of the object; empty while it is still to be generated.
    #[serde(borrow, default)]
    pub name: Cow<'a, str>,
    /// Namespace of the object.
    #[serde(borrow, default)]
    pub namespace: Cow<'a, str>,
    /// What is to be done.
    pub operation: Operation,
    /// Who asks.
    #[serde(borrow)]
    pub user_info: UserInfo<'a>,
    /// Whether nothing will be stored. The verdict is the same.
    #[serde(default)]
    pub dry_run: Option<bool>,
    /// The object as it is to be; nothing on DELETE.
    #[serde(borrow, default)]
    pub object: Option<&'a RawValue>,
    /// The object as it is; nothing on CREATE.
    #[serde(borrow, default)]
    pub old_object: Option<&'a RawValue>,
    #[serde(skip)]
    parts: OnceCell<Object<'a>>,
    #[serde(skip)]
    old_parts: OnceCell<Object<'a>>,
}

/// A kind, whichever its version.
#[derive(Debug, Deserialize)]
pub struct GroupKind<'a> {
    /// API group.
    #[serde(borrow, default)]
    pub group: Cow<'a, str>,
    /// Name of the kind.
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
}

/// A resource, whichever its version.
#[derive(Debug, Deserialize)]
pub struct GroupResource<'a> {
    /// API group.
    #[serde(borrow, default)]
    pub group: Cow<'a, str>,
    /// Plural name.
    #[serde(borrow)]
    pub resource: Cow<'a, str>,
}

/// Who asks.
#[derive(Debug, Deserialize)]
pub struct UserInfo<'a> {
    /// Name of the user or service account.
    #[serde(borrow, default)]
    pub username: Cow<'a, str>,
}

/// What is to be done with an object.
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
    /// The parts of the object; taken apart when they are first asked for, as that takes as long as the object is.
    pub fn parts(&self) -> &Object<'a> {
        self.parts.get_or_init(|| Object::read(self.object))
    }

    /// The parts of the object as it is.
    pub fn old_parts(&self) -> &Object<'a> {
        self.old_parts.get_or_init(|| Object::read(self.old_object))
    }

    /// Whether an update leaves the spec as it is.
    pub fn keeps_spec(&self) -> bool {
        self.parts().has_spec_of(self.old_parts())
    }

    /// The kind of this API that the request is for. A `scale` is of another kind than its resource, so the resource
    /// tells.
    pub fn target(&self) -> Option<Kind> {
        Kind::of(&self.resource.group, &self.resource.resource)
    }

    /// What the request is about.
    pub fn subject(&self) -> Subject {
        let name = match &*self.name {
            "" if self.object.is_none() => self.old_parts().name(),
            "" => self.parts().name(),
            name => name.to_owned(),
        };
        Subject { kind: self.kind.kind.to_string(), name }
    }
}

/// What a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Kind of the object.
    pub kind: String,
    /// Name of the object, or what its name will start with.
    pub name: String,
}

/// Why a body is no request.
#[derive(Debug, PartialEq, Eq)]
pub enum Undecodable {
    /// Nothing that could be answered.
    NotAReview(String),
    /// A review, as it has a uid, that does not decode.
    Malformed(Box<Malformed>),
}

/// What can be said of a review that does not decode.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Identifies the request.
    pub uid: String,
    /// The object, as far as it could be read.
    pub subject: Subject,
    /// Where decoding failed, and why.
    pub cause: Cause,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    #[serde(borrow, default)]
    api_version: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    request: Option<Request<'a>>,
}

/// The request of a review.
///
/// # Errors
/// When the body is no review, or one that does not decode.
pub fn decode(body: &[u8]) -> Result<Request<'_>, Undecodable> {
    // Whether it is text is found out faster as a whole; of what is none, as much as can be is read all the same.
    let review = match str::from_utf8(body) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(body),
    };
    let review: Review<'_> = review.map_err(|error| undecodable(body, &error))?;
    match review.request {
        Some(request) if review.api_version == API_VERSION && review.kind == KIND => Ok(request),
        _ => Err(not_a_review("it has another kind or no request")),
    }
}

/// What there is of a review that does not decode, one thing at a time: what is wrong with one costs no other.
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
struct OfKind<'a> {
    #[serde(borrow)]
    kind: GroupKind<'a>,
}

fn outline<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    serde_json::from_slice(body).ok().map(|outline: Outline<T>| outline.request)
}

/// Decodes again, slowly: what there is of the request, and where it fails.
fn undecodable(body: &[u8], error: &serde_json::Error) -> Undecodable {
    let Some(Uid { uid }) = outline(body) else {
        return not_a_review(&error.to_string());
    };
    let deserializer = &mut serde_json::Deserializer::from_slice(body);
    let field = serde_path_to_error::deserialize::<_, Review<'_>>(deserializer)
        .err()
        .map_or_else(String::new, |error| error.path().to_string());
    let cause = Cause::new(Reason::TypeInvalid, field, format!("cannot be read: {error}"));
    let subject = Subject {
        kind: outline(body).map(|OfKind { kind }| kind.kind.into_owned()).unwrap_or_default(),
        name: outline(body).map(|Named { name }| name).unwrap_or_default(),
    };
    Undecodable::Malformed(Box::new(Malformed { uid, subject, cause }))
}

fn not_a_review(why: &str) -> Undecodable {
    Undecodable::NotAReview(format!("the body is no {KIND} of {API_VERSION}: {why}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

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

    fn with(pointer: &str, value: Value) -> Vec<u8> {
        let mut review = review();
        *review.pointer_mut(pointer).unwrap() = value;
        review.to_string().into_bytes()
    }

    #[test]
    fn a_review_is_read() {
        let body = review().to_string().into_bytes();
        let request = decode(&body).unwrap();
        assert_eq!((&*request.uid, &*request.name, &*request.namespace), ("705ab4f5", "c", "ns"));
        assert_eq!(request.target(), Some(Kind::Cluster));
        assert_eq!((request.operation, request.dry_run), (Operation::Create, Some(true)));
        assert_eq!(request.user_info.username, "jane");
        assert_eq!(request.object.unwrap().get(), r#"{"spec":{"é":1}}"#);
        assert!(request.old_object.is_none() && request.sub_resource.is_empty());
    }

    #[test]
    fn an_object_of_any_shape_costs_nothing() {
        for object in [json!(null), json!(5), json!([1, "2"]), json!({"metadata": 7, "spec": []})] {
            assert_eq!(decode(&with("/request/object", object)).unwrap().uid, "705ab4f5");
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
            match decode(&with(pointer, value)).unwrap_err() {
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
        ] {
            let body = body.replacen(once, twice, 1);
            let Undecodable::Malformed(malformed) = decode(body.as_bytes()).unwrap_err() else {
                panic!("{body}");
            };
            assert_eq!(
                (malformed.uid.as_str(), malformed.subject.kind.as_str()),
                ("705ab4f5", "MultigresCluster")
            );
        }
    }

    /// What no `Value` can hold costs no uid either.
    #[test]
    fn the_uid_survives_any_object() {
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        let texts = [deep.as_bytes(), b"1e999", br#""\ud800""#, b"\"\xff\""];
        for (operation, malformed) in [("CREATE", false), ("UPSERT", true)] {
            let body = with("/request/operation", json!(operation));
            let at = body.windows(4).position(|window| window == b"null").unwrap();
            for text in texts {
                let body = [&body[..at], text, &body[at + 4..]].concat();
                let uid = match decode(&body) {
                    Ok(request) => request.uid.into_owned(),
                    Err(Undecodable::Malformed(answer)) => answer.uid,
                    Err(other @ Undecodable::NotAReview(_)) => panic!("{other:?}"),
                };
                assert_eq!(uid, "705ab4f5", "{}", body.escape_ascii());
                assert!(!malformed || decode(&body).is_err());
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
            assert!(matches!(decode(body), Err(Undecodable::NotAReview(_))), "{}", body.escape_ascii());
        }
    }
}
