//! The outermost layer of an object: what is decided without reading the rest.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::Deserialize;

use crate::json::Json;
use crate::report::{Cause, Reason};

/// An object, its parts still JSON.
#[derive(Clone, Copy, Debug, Default)]
pub struct Object<'a> {
    /// Name, labels and the like.
    pub metadata: Option<Json<'a>>,
    /// The object's spec.
    pub spec: Option<Json<'a>>,
}

/// The parts of an object's metadata that admission reads.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Labels, by key.
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations, by key.
    pub annotations: Option<BTreeMap<String, String>>,
    /// Finalizers.
    pub finalizers: Option<Vec<String>>,
    /// The objects without which this one goes.
    pub owner_references: Option<Vec<OwnerReference>>,
}

/// The least that is read of an object's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Identity {
    name: Option<String>,
    generate_name: Option<String>,
    deletion_timestamp: Option<String>,
}

impl<'a> Object<'a> {
    /// The parts of an object; none of something that is no object, which is for the rules to say.
    pub fn read(json: Option<Json<'a>>) -> Self {
        let part = |name| json?.field(name).filter(|part| !part.is_null());
        Self { metadata: part("metadata"), spec: part("spec") }
    }

    /// The object's name, or what its name will start with.
    pub fn name(&self) -> String {
        let Identity { name, generate_name, .. } = self.identity();
        name.filter(|name| !name.is_empty()).or(generate_name).unwrap_or_default()
    }

    /// True if the object is being deleted.
    pub fn is_terminating(&self) -> bool {
        self.identity().deletion_timestamp.is_some()
    }

    /// True if both have the same spec, in the same order. The API server serializes equal values alike.
    pub fn has_spec_of(&self, other: &Self) -> bool {
        self.spec == other.spec
    }

    /// The metadata.
    ///
    /// # Errors
    /// Fails with the first field that does not decode.
    pub fn metadata(&self) -> Result<Metadata, Cause> {
        let Some(json) = self.metadata else { return Ok(Metadata::default()) };
        serde_path_to_error::deserialize(&mut json.reader()).map_err(|error| {
            // What is wrong as a whole has no path of its own.
            let field = match error.path().to_string().as_str() {
                "." => "metadata".to_owned(),
                path => format!("metadata.{path}"),
            };
            Cause::new(Reason::TypeInvalid, field, format!("cannot be read: {}", error.inner()))
        })
    }

    fn identity(&self) -> Identity {
        self.metadata.and_then(|json| json.read().ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::parsed;

    #[test]
    fn names() {
        for (json, name, terminating) in [
            (r#"{"metadata":{"name":"c"},"spec":{}}"#, "c", false),
            (r#"{"metadata":{"name":"c","deletionTimestamp":"2025-10-08T12:00:00Z"}}"#, "c", true),
            (r#"{"metadata":{"generateName":"c-"}}"#, "c-", false),
            (r#"{"metadata":{"name":"","generateName":"c-","labels":7}}"#, "c-", false),
            (r#"{"metadata":7}"#, "", false),
            ("[1]", "", false),
        ] {
            let object = Object::read(Some(parsed(json)));
            assert_eq!((object.name().as_str(), object.is_terminating()), (name, terminating), "{json}");
        }
    }

    #[test]
    fn metadata_that_cannot_be_read_is_pointed_at() {
        for (json, field) in [
            (r#"{"metadata":{"labels":{"a":"b","c":1}}}"#, "metadata.labels.c"),
            (r#"{"metadata":"2026-01-02"}"#, "metadata"),
        ] {
            assert_eq!(Object::read(Some(parsed(json))).metadata().unwrap_err().field, field);
        }
        assert!(Object::read(None).metadata().unwrap().labels.is_none());
    }
}
