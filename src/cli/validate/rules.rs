//! What findings are known by, and what each of these names stands for.

use multigres_webhooks::validate::{RULES, WARNINGS};

/// A file that cannot be used.
pub const UNUSABLE: &str = "Unusable";
/// A warning that no rule is behind.
pub const NOTICE: &str = "Notice";
/// The same object once more.
pub const REPEATED: &str = "Repeated";

const MANUAL: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/");

/// What a name stands for, in one line.
pub fn summary(id: &str) -> &'static str {
    if let Some(rule) = RULES.iter().chain(WARNINGS).find(|rule| rule.id == id) {
        return rule.summary();
    }
    match id {
        UNUSABLE => "A file is there, can be read, and is YAML.",
        NOTICE => "What a change does, or what the schema forbids but was so before.",
        REPEATED => "A file has each object once.",
        _ => "A manifest is what the schema of its kind describes.",
    }
}

/// Where more is said of it.
pub fn help(id: &str) -> String {
    if RULES.iter().chain(WARNINGS).any(|rule| rule.id == id) {
        format!("{MANUAL}admission.md#{}", id.to_lowercase())
    } else {
        format!("{MANUAL}validate.md")
    }
}
