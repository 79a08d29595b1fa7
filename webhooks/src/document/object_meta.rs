//! The API server's rules for the metadata of every object (`k8s.io/apimachinery/pkg/api/validation`).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::path::FieldPath;
use crate::report::{Reason, quote};
use crate::schema::{Origin, Violation};
use crate::syntax::{MAX_NAME, MAX_SUBDOMAIN, is_name, is_subdomain};

/// Most bytes of all annotations together.
const MAX_ANNOTATIONS: usize = 256 * 1024;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
                         '.', and must start and end with an alphanumeric character";
const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
                         with an alphanumeric character";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
                           '.', and must start and end with an alphanumeric character";

/// Violations in the metadata. A name cannot be changed, so an update does not check it again.
pub(super) fn violations(meta: &ObjectMeta, update: bool) -> Vec<Violation> {
    let mut found = Vec::new();
    if !update {
        name(meta, &mut found);
    }
    for (key, value) in meta.labels.iter().flatten() {
        qualified_name("labels", key, key, &mut found);
        if value.len() > MAX_NAME {
            found.push(invalid("labels", value, "must be no more than 63 bytes"));
        }
        if !value.is_empty() && !is_name(value) {
            found.push(invalid("labels", value, LABEL_VALUE));
        }
    }
    let mut size = 0;
    for (key, value) in meta.annotations.iter().flatten() {
        size += key.len() + value.len();
        qualified_name("annotations", key, &key.to_lowercase(), &mut found);
    }
    if size > MAX_ANNOTATIONS {
        let message = format!("Too long: may not be more than {MAX_ANNOTATIONS} bytes");
        found.push(violation("annotations", Reason::TooLong, message));
    }
    found
}

fn name(meta: &ObjectMeta, found: &mut Vec<Violation>) {
    let (name, prefix) = (meta.name.as_deref(), meta.generate_name.as_deref());
    match (name.filter(|name| !name.is_empty()), prefix.filter(|prefix| !prefix.is_empty())) {
        (Some(name), _) => subdomain("name", name, name, found),
        (None, Some(prefix)) => subdomain("generateName", prefix, &with_suffix(prefix), found),
        (None, None) => {
            let message = "Required value: name or generateName is required".to_owned();
            found.push(violation("name", Reason::Required, message));
        }
    }
}

/// A prefix may end in a dash, since more follows.
fn with_suffix(prefix: &str) -> String {
    prefix
        .strip_suffix('-')
        .filter(|rest| !rest.is_empty())
        .map_or(prefix.to_owned(), |rest| format!("{rest}-a"))
}

fn subdomain(field: &str, value: &str, name: &str, found: &mut Vec<Violation>) {
    if name.len() > MAX_SUBDOMAIN {
        found.push(invalid(field, value, "must be no more than 253 bytes"));
    }
    if !is_subdomain(name) {
        found.push(invalid(field, value, SUBDOMAIN));
    }
}

fn qualified_name(field: &str, written: &str, key: &str, found: &mut Vec<Violation>) {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if prefix.is_some_and(|prefix| prefix.len() > MAX_SUBDOMAIN || !is_subdomain(prefix)) {
        found.push(invalid(field, written, &format!("prefix part {SUBDOMAIN}")));
    }
    if name.len() > MAX_NAME {
        found.push(invalid(field, written, "name part must be no more than 63 bytes"));
    }
    if !is_name(name) {
        found.push(invalid(field, written, NAME_PART));
    }
}

fn invalid(field: &str, value: &str, detail: &str) -> Violation {
    violation(field, Reason::Invalid, format!("Invalid value: {}: {detail}", quote(value)))
}

fn violation(field: &str, reason: Reason, message: String) -> Violation {
    let path = FieldPath::default().field("metadata").field(field);
    Violation { path, reason, message, unusable: true, origin: Origin::Value }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn of_a_new_object() {
        for (meta, expected) in [
            (json!({"name": "a", "labels": {"example.com/A_b.c": "", "x": "Y_z"}}), vec![]),
            (json!({"name": "a", "annotations": {"Example.com/A": "anything at all"}}), vec![]),
            (json!({"generateName": "a-"}), vec![]),
            (json!({}), vec!["metadata.name FieldValueRequired"]),
            (json!({"name": "A"}), vec!["metadata.name FieldValueInvalid"]),
            (json!({"name": "a".repeat(254)}), vec!["metadata.name FieldValueInvalid"]),
            (json!({"generateName": "-"}), vec!["metadata.generateName FieldValueInvalid"]),
            (json!({"name": "a", "labels": {"/a": "b"}}), vec!["metadata.labels FieldValueInvalid"]),
            (json!({"name": "a", "labels": {"a": "b "}}), vec!["metadata.labels FieldValueInvalid"]),
            (
                json!({"name": "a", "annotations": {"a/b/c": ""}}),
                vec!["metadata.annotations FieldValueInvalid"],
            ),
            (
                json!({"name": "a", "annotations": {"a": "x".repeat(MAX_ANNOTATIONS)}}),
                vec!["metadata.annotations FieldValueTooLong"],
            ),
        ] {
            assert_eq!(found(&meta, false), expected, "{meta}");
        }
    }

    #[test]
    fn of_an_update() {
        assert!(found(&json!({"name": "A"}), true).is_empty());
        assert_eq!(found(&json!({"labels": {"a": " "}}), true), ["metadata.labels FieldValueInvalid"]);
    }

    fn found(meta: &Value, update: bool) -> Vec<String> {
        let meta = serde_json::from_value(meta.clone()).unwrap();
        let violations = violations(&meta, update).into_iter();
        violations.map(|found| format!("{} {}", found.path, found.reason.as_str())).collect()
    }
}
