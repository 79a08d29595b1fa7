//! Decoding an object as far as it can be decoded.
//!
//! One wrong value must not hide what else is wrong. A sound object is checked and read, and that is all.
//! Of any other, each value that cannot be used is named, replaced by one that says nothing, and remembered as
//! *unknown*, so that no rule judges by it.

mod object_meta;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Deserialize;
use serde::de::{self, DeserializeOwned};
use serde_json::{Value, json};

use crate::json::{self, Json};
use crate::path::{FieldPath, PathSet};
use crate::report::{self, Cause, Reason};
use crate::schema::{self, Origin, Schema, Strictness, Violation};

/// An object, and what is wrong with its form.
#[derive(Clone, Debug)]
pub struct Document<'j, T> {
    /// The object. Where it is unsound, unknown values stand in for those that cannot be used.
    pub object: T,
    json: Json<'j>,
    unknown: PathSet,
    violations: Vec<Violation>,
}

/// Attempts at typed decoding, each with one more unusable value taken out. The schema names nearly all of them before
/// the first attempt.
const ATTEMPTS: usize = 8;

impl<'j, T: Resource<DynamicType = ()> + DeserializeOwned> Document<'j, T> {
    /// Decodes an object.
    ///
    /// # Errors
    /// Fails with the path where reading ended, if the text is not an object.
    pub fn decode(json: Json<'j>, strictness: Strictness) -> Result<Self, Cause> {
        let schema = Schema::of(&T::kind(&()));
        let read = |schema: &Schema| schema.read(json, strictness);
        match schema.map_or_else(|| json.read().ok(), read) {
            Some(object) => Ok(Self::sound(object, json)),
            None => Self::decode_in_part(schema, json, strictness),
        }
    }

    /// Reads an object that has been held against the schema by the API server; nothing is returned of one that
    /// cannot be read all the same.
    pub fn accepted(json: Json<'j>) -> Option<Self> {
        Some(Self::sound(json.read().ok()?, json))
    }

    fn sound(object: T, json: Json<'j>) -> Self {
        Self { object, json, unknown: PathSet::default(), violations: Vec::new() }
    }

    fn decode_in_part(
        schema: Option<&Schema>,
        json: Json<'j>,
        strictness: Strictness,
    ) -> Result<Self, Cause> {
        let mut value = json.value().map_err(|error| unreadable(&error))?;
        let mut violations = schema.map_or_else(Vec::new, |schema| schema.violations(&mut value, strictness));
        let mut unknown = PathSet::default();
        for violation in violations.iter().filter(|violation| violation.unusable) {
            let placeholder = schema.map_or(Value::Null, |schema| schema.placeholder(&violation.path));
            replace(&mut value, &violation.path, placeholder);
            unknown.insert(&violation.path);
        }
        for _ in 0..ATTEMPTS {
            let error = match serde_path_to_error::deserialize(&value) {
                Ok(object) => return Ok(Self { object, json, unknown, violations }),
                Err(error) => error,
            };
            let path = locate(error.path(), &value);
            if path.names().first().is_some_and(|first| first == "status") {
                // Not the author's to write, so not the author's to hear of.
                remove(&mut value, &path.truncated(1));
                continue;
            }
            let violation = untyped(&path, error.inner(), &value);
            if path.names().first().is_some_and(|first| first == "metadata") {
                remove(&mut value, &path.truncated(2));
            } else {
                let placeholder = schema.map_or(Value::Null, |schema| schema.placeholder(&path));
                replace(&mut value, &path, placeholder);
            }
            unknown.insert(&path);
            violations.push(violation);
        }
        let first = violations.into_iter().next().map(Cause::from);
        Err(first
            .unwrap_or_else(|| Cause::new(Reason::Invalid, "", "cannot be read as an object of this kind")))
    }
}

/// Decodes an object and the one that it replaces, and lends both to `judge`.
///
/// # Errors
/// Fails with the path where reading ended, if the text is not an object.
pub fn decode<T, R>(
    new: &Value,
    old: Option<&Value>,
    strictness: Strictness,
    judge: impl FnOnce(&Document<'_, T>, Option<&Document<'_, T>>) -> R,
) -> Result<R, Cause>
where
    T: Resource<DynamicType = ()> + DeserializeOwned,
{
    json::of(new, |new| {
        let new = Document::decode(new, strictness)?;
        let Some(old) = old else { return Ok(judge(&new, None)) };
        json::of(old, |old| Ok(judge(&new, Some(&Document::decode(old, strictness)?))))
    })
}

impl<T> Document<'_, T> {
    /// The paths of what could not be used.
    pub fn unknown(&self) -> &PathSet {
        &self.unknown
    }

    /// The object as it was written, for the order in which things stand in it.
    pub(crate) fn written(&self) -> Value {
        self.json.value().unwrap_or_default()
    }
}

/// The spec of an object, unless the API server would refuse it as a new one.
pub fn sound_spec<T: Resource<DynamicType = ()>>(json: Json<'_>) -> Option<Json<'_>> {
    #[derive(Deserialize)]
    struct Identified {
        metadata: ObjectMeta,
    }
    let Identified { metadata } = Schema::of(&T::kind(&()))?.read(json, Strictness::Server)?;
    let spec = json.field("spec")?;
    object_meta::violations(&metadata, false).is_empty().then_some(spec)
}

/// Violations that the API server itself would report.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// Grounds for denial.
    pub new: Vec<Violation>,
    /// Violations that the old object had as well; an update may keep them.
    pub kept: Vec<Violation>,
}

/// Holds an object to the schema and to the rules for all objects, as an update of `old` where there is one.
pub fn shape<T: Resource<DynamicType = ()>>(new: &Document<'_, T>, old: Option<&Document<'_, T>>) -> Shape {
    let of_metadata = object_meta::violations(new.object.meta(), old.is_some());
    let of_schema = new.violations.clone();
    let mut shape = match old.filter(|_| !of_schema.is_empty()).zip(Schema::of(&T::kind(&()))) {
        None => Shape { new: of_schema, kept: Vec::new() },
        Some((old, schema)) => {
            let (new, kept) = schema.ratchet(of_schema, new.written(), old.written());
            Shape { new, kept }
        }
    };
    shape.new.extend(of_metadata);
    shape
}

impl From<Violation> for Cause {
    fn from(violation: Violation) -> Self {
        Self::new(violation.reason, violation.path.to_string(), violation.message)
    }
}

fn unreadable(error: &de::value::Error) -> Cause {
    Cause::new(Reason::Invalid, "", format!("cannot be read: {error}"))
}

/// A value that the schema has nothing against, but that our types cannot hold.
fn untyped(path: &FieldPath, error: &serde_json::Error, object: &Value) -> Violation {
    let value = path.find(object).map_or_else(|| "null".to_owned(), report::display);
    let error = error.to_string();
    let detail = report::shorten(&error, 200);
    Violation {
        path: path.clone(),
        reason: Reason::Invalid,
        message: format!("Invalid value: {value}: {detail}"),
        unusable: true,
        origin: Origin::Typed,
    }
}

fn locate(path: &serde_path_to_error::Path, object: &Value) -> FieldPath {
    let mut value = Some(object);
    path.iter().fold(FieldPath::default(), |path, segment| {
        let (next, path) = schema::step(value, &segment.to_string(), path);
        value = next;
        path
    })
}

fn replace(object: &mut Value, path: &FieldPath, value: Value) {
    let names = path.names();
    let Some((last, _)) = names.split_last() else {
        *object = value;
        return;
    };
    match path.truncated(names.len() - 1).find_mut(object) {
        Some(Value::Object(fields)) => {
            fields.insert(last.to_string(), value);
        }
        Some(Value::Array(items)) => {
            if let Some(item) = last.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                *item = value;
            }
        }
        _ => {}
    }
}

fn remove(object: &mut Value, path: &FieldPath) {
    let names = path.names();
    let Some((last, _)) = names.split_last() else {
        *object = json!({});
        return;
    };
    if let Some(Value::Object(fields)) = path.truncated(names.len() - 1).find_mut(object) {
        fields.remove(last.as_ref());
    }
}

#[cfg(test)]
mod tests;
