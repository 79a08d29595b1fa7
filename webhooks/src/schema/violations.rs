//! Violations of the schema, in the API server's words.
//!
//! Paths, reasons and texts are those of `k8s.io/apiextensions-apiserver`, except that a text does not repeat the
//! path, and that one value is one violation: of those that the API server would list, the first of type,
//! enumeration, bounds.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{ValidationError, Validator};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use serde_json::{Map, Value};

use super::normalise::integer;
use super::{items, list_key, property};
use crate::path::FieldPath;
use crate::report::{self, Reason};

/// Text for a field that the schema does not have.
pub const UNKNOWN_FIELD: &str = "unknown field";

/// Something that the API server itself would refuse.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The path of the offending field.
    pub path: FieldPath,
    /// The kind of problem.
    pub reason: Reason,
    /// The problem.
    pub message: String,
    /// True if rules cannot use the value. Only a duplicate name and an unknown field leave it usable.
    pub unusable: bool,
    /// The check that found it.
    pub origin: Origin,
}

/// The check that found a violation; it decides when an update may leave it unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The schema of the value at the path.
    Value,
    /// The schema of what contains the path.
    Parent,
    /// The keys of a list.
    ListKeys,
    /// Our own reading of a value that the schema has nothing against.
    Typed,
}

/// Repeated keys in lists whose items are identified by one.
pub(super) fn of_lists(schema: &JSONSchemaProps, object: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    repeated_keys(schema, object, &FieldPath::default(), &mut found);
    found
}

fn repeated_keys(schema: &JSONSchemaProps, value: &Value, path: &FieldPath, found: &mut Vec<Violation>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(schema) = property(schema, name).filter(|_| value.is_object() || value.is_array())
                {
                    repeated_keys(schema, value, &path.clone().field(name), found);
                }
            }
        }
        Value::Array(values) => {
            let mut seen = HashMap::new();
            for (index, value) in values.iter().enumerate() {
                let item = || path.clone().item(index, name_of(value));
                let key = list_key(schema).and_then(|key| Some((key, value.get(key)?.as_str()?)));
                if let Some((field, key)) = key {
                    // The API server names each repeated key once.
                    let times = seen.entry(key).or_insert(0);
                    *times += 1;
                    if *times == 2 {
                        found.push(Violation {
                            path: item().field(field),
                            reason: Reason::Duplicate,
                            message: format!("Duplicate value: {}", report::quote(key)),
                            unusable: false,
                            origin: Origin::ListKeys,
                        });
                    }
                }
                if let Some(schema) = items(schema).filter(|_| value.is_object() || value.is_array()) {
                    repeated_keys(schema, value, &item(), found);
                }
            }
        }
        _ => {}
    }
}

/// Values that are not as the schema says; of each path the weightiest violation.
pub(super) fn of_values(validator: &Validator, object: &Value) -> Vec<Violation> {
    let mut found: Vec<(u8, Violation)> = Vec::new();
    let mut positions: HashMap<String, usize> = HashMap::new();
    for error in validator.iter_errors(object) {
        let path = locate(error.instance_path(), object);
        for (weight, violation) in explain(&error, &path) {
            match positions.entry(violation.path.to_string()) {
                Entry::Vacant(entry) => {
                    entry.insert(found.len());
                    found.push((weight, violation));
                }
                Entry::Occupied(entry) => {
                    if let Some(earlier) = found.get_mut(*entry.get()).filter(|earlier| earlier.0 > weight) {
                        *earlier = (weight, violation);
                    }
                }
            }
        }
    }
    found.into_iter().map(|(_, violation)| violation).collect()
}

fn explain(error: &ValidationError<'_>, path: &FieldPath) -> Vec<(u8, Violation)> {
    let value = error.instance().as_ref();
    let violation = |reason, message: String| Violation {
        path: path.clone(),
        reason,
        message,
        unusable: true,
        origin: Origin::Value,
    };
    let of_field = |name: &str, reason, message: &str, unusable| Violation {
        path: path.clone().field(name),
        reason,
        message: message.to_owned(),
        unusable,
        origin: Origin::Parent,
    };
    let invalid = |detail: String| {
        violation(Reason::Invalid, format!("Invalid value: {}: {detail}", report::display(value)))
    };
    let out_of_bounds = |comparison: &str, limit: &Value| {
        invalid(format!("should be {comparison} than or equal to {}", bound(limit)))
    };
    match error.kind() {
        ValidationErrorKind::Type { kind } => {
            let (expected, actual) = (expected_types(kind), type_of(value));
            let message = format!("Invalid value: {actual:?}: must be of type {expected}: {actual:?}");
            vec![(0, violation(Reason::TypeInvalid, message))]
        }
        ValidationErrorKind::Format { format } => {
            let value = report::display(value);
            let message = format!("Invalid value: {value}: must be of type {format}: {value}");
            vec![(0, violation(Reason::TypeInvalid, message))]
        }
        ValidationErrorKind::Enum { options } => {
            let options = options.as_array().into_iter().flatten();
            let options: Vec<String> = options.map(|option| format!("\"{}\"", plain(option))).collect();
            let (value, options) = (report::display(value), options.join(", "));
            let message = format!("Unsupported value: {value}: supported values: {options}");
            vec![(1, violation(Reason::NotSupported, message))]
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![(0, of_field(name, Reason::Required, "Required value", true))]
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let unknown = |name: &String| (3, of_field(name, Reason::Invalid, UNKNOWN_FIELD, false));
            unexpected.iter().map(unknown).collect()
        }
        ValidationErrorKind::MaxLength { limit } => {
            let message = format!("Too long: may not be more than {limit} bytes");
            vec![(2, violation(Reason::TooLong, message))]
        }
        ValidationErrorKind::MinLength { limit } => {
            vec![(2, invalid(format!("should be at least {limit} chars long")))]
        }
        ValidationErrorKind::MaxItems { limit } | ValidationErrorKind::MaxProperties { limit } => {
            let length = value.as_array().map_or_else(|| value.as_object().map_or(0, Map::len), Vec::len);
            let message = format!("Too many: {length}: must have at most {limit} items");
            vec![(2, violation(Reason::TooMany, message))]
        }
        ValidationErrorKind::Maximum { limit } => vec![(2, out_of_bounds("less", limit))],
        ValidationErrorKind::Minimum { limit } => vec![(2, out_of_bounds("greater", limit))],
        _ => vec![(2, invalid(error.to_string()))],
    }
}

/// From a JSON pointer to a path, which needs the object to tell a list from a map.
fn locate(location: &Location, object: &Value) -> FieldPath {
    let mut value = Some(object);
    location.into_iter().fold(FieldPath::default(), |path, segment| {
        let text = match segment {
            LocationSegment::Property(name) => name.into_owned(),
            LocationSegment::Index(index) => index.to_string(),
        };
        let (next, path) = step(value, &text, path);
        value = next;
        path
    })
}

/// One step down from a value, by the name of a field or the number of an item.
pub(crate) fn step<'v>(
    value: Option<&'v Value>,
    text: &str,
    path: FieldPath,
) -> (Option<&'v Value>, FieldPath) {
    match (value, text.parse::<usize>()) {
        (Some(Value::Array(items)), Ok(index)) => {
            let item = items.get(index);
            (item, path.item(index, item.map_or("", name_of)))
        }
        (value, _) => (value.and_then(|value| value.get(text)), path.field(text)),
    }
}

/// The text that identifies an item of a list.
fn name_of(item: &Value) -> &str {
    ["name", "cell"].iter().find_map(|field| item.get(field)?.as_str()).unwrap_or_default()
}

fn expected_types(kind: &TypeKind) -> String {
    let types: Vec<String> = match kind {
        TypeKind::Single(type_) => vec![type_.to_string()],
        TypeKind::Multiple(types) => types.iter().map(|type_| type_.to_string()).collect(),
    };
    let without_null: Vec<String> = types.into_iter().filter(|type_| type_ != "null").collect();
    without_null.join(",")
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Bounds are written as decimal fractions, but are whole.
fn bound(limit: &Value) -> String {
    limit.as_f64().and_then(integer).map_or_else(|| limit.to_string(), |limit| limit.to_string())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
