//! Reading an object as the API server reads it, before anything is checked.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use serde_json::Value;

use super::{items, nullable, property};

/// Removes null from fields that cannot be null, and writes whole numbers as integers.
pub(super) fn normalise(schema: &JSONSchemaProps, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| !value.is_null() || property(schema, name).is_none_or(nullable));
            for (name, value) in fields {
                if let Some(schema) = property(schema, name) {
                    normalise(schema, value);
                }
            }
        }
        Value::Array(values) => {
            if let Some(schema) = items(schema) {
                for value in values {
                    normalise(schema, value);
                }
            }
        }
        Value::Number(number) => {
            if let Some(integer) = number.as_f64().filter(|_| number.is_f64()).and_then(integer) {
                *number = integer.into();
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// The integer that a number is, where it is one and exact.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what is outside the range of exact integers is left out"
)]
pub(super) fn integer(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}
