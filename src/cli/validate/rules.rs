//! Identifiers of findings, and their meaning.

use multigres_webhooks::validate::{GUARDS, RULES, WARNINGS};

/// A file that cannot be used.
pub const UNUSABLE: &str = "Unusable";
/// A warning that no rule is behind; of an error that is one because warnings are, the reason.
pub const NOTICE: &str = "Notice";
/// The same object once more.
pub const REPEATED: &str = "Repeated";
/// A manifest that is not of the API, though of a kind of it.
pub const SKIPPED: &str = "Skipped";
/// A cluster that is protected from deletion is still there.
pub const PROTECTED: &str = "U12";

const MANUAL: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/");

/// Meaning of an identifier, in one line.
pub fn summary(id: &str) -> &'static str {
    if let Some(summary) = of_admission(id) {
        return summary;
    }
    match id {
        UNUSABLE => "A file is there, can be read, and is YAML.",
        NOTICE => "What a change does, or what the schema forbids but was so before.",
        REPEATED => "A file has each object once.",
        SKIPPED => "What is of a kind of this API is of its group, too.",
        _ => "A manifest is what the schema of its kind describes.",
    }
}

/// Link to its documentation.
pub fn help(id: &str) -> String {
    if of_admission(id).is_some() {
        format!("{MANUAL}admission.md#{}", id.to_lowercase())
    } else {
        format!("{MANUAL}validate.md")
    }
}

/// Text of a rule of admission, or of a guard.
fn of_admission(id: &str) -> Option<&'static str> {
    let rules = RULES.iter().chain(WARNINGS).map(|rule| (rule.id, rule.summary()));
    let mut all = rules.chain(GUARDS.iter().map(|guard| (guard.id, guard.summary())));
    all.find(|(other, _)| *other == id).map(|(_, summary)| summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_are_explained_as_rules_are() {
        for id in [PROTECTED, "K02", "C09", "W01"] {
            assert!(help(id).ends_with(&format!("/docs/admission.md#{}", id.to_lowercase())), "{id}");
            assert_ne!(summary(id), summary("of the schema"), "{id}");
        }
        assert!(help(SKIPPED).ends_with("/docs/validate.md"));
    }
}
