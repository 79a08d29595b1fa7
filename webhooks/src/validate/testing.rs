//! Tables of examples for single rules.

use serde_json::Value;

use super::{RULES, Rule, WARNINGS, run};
use crate::lookup::{Lookup, Offline};
use crate::testing::{Edit, decode, edited, small};

fn rule(id: &str) -> &'static Rule {
    RULES.iter().chain(WARNINGS).find(|rule| rule.id == id).unwrap()
}

/// Reason and field of each error that a rule finds, then each warning.
pub fn found(id: &str, new: &Value, old: Option<&Value>, lookup: &dyn Lookup) -> Vec<String> {
    let (new, old) = (new.to_string(), old.map(Value::to_string));
    let (new, old) = (decode(&new), old.as_deref().map(decode));
    let found = run([rule(id)].into_iter(), &new, old.as_ref(), lookup);
    let errors = found.errors.into_iter().map(|finding| finding.located.cause);
    let errors =
        errors.map(|cause| format!("{} {}", &cause.reason.as_str()["FieldValue".len()..], cause.field));
    errors.chain(found.warnings).collect()
}

/// What a rule finds in the small cluster after edits.
pub fn create(id: &str, table: &[(Vec<Edit>, &[&str])]) {
    for (edits, expected) in table {
        let new = edited(small(), edits);
        assert_eq!(found(id, &new, None, &Offline), *expected, "{id} {edits:?}");
    }
}

/// What a rule finds in an update of the small cluster: edits of the old one, and edits that make the new one of it.
pub fn update(id: &str, table: &[(Vec<Edit>, Vec<Edit>, &[&str])]) {
    for (before, edits, expected) in table {
        let old = edited(small(), before);
        let new = edited(old.clone(), edits);
        assert_eq!(found(id, &new, Some(&old), &Offline), *expected, "{id} {before:?} {edits:?}");
        assert!(found(id, &old, Some(&old), &Offline).is_empty(), "{id} {before:?}: nothing changed");
    }
}
