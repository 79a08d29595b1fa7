//! The report of admission on one object.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

/// Everything that is wrong with an object, and everything its author should know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Errors in document order. None means that the object is valid.
    pub errors: Vec<Cause>,
    /// Warnings for the author, the most important first.
    pub warnings: Vec<Warning>,
}

/// Something that is no ground for denial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The rule that says so; none of the consequences of a change, and of what the API server itself demands.
    pub rule: Option<&'static str>,
    /// The text.
    pub message: String,
}

/// One thing that is wrong, as in `details.causes` of a Kubernetes Status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The kind of problem, in the API server's terms.
    pub reason: Reason,
    /// Exact path of the field, with indices: `spec.cells.templates[0].name`.
    pub field: String,
    /// The problem and what to do about it; never repeats the field, which kubectl prints before it.
    pub message: String,
    /// The rule that is broken; none where the API server itself would refuse.
    pub rule: Option<&'static str>,
}

/// Kinds of problems (`k8s.io/apimachinery/pkg/apis/meta/v1`, `CauseType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Kubernetes' own")]
pub enum Reason {
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    TypeInvalid,
    NotFound,
}

impl Reason {
    /// The API server's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::NotFound => "FieldValueNotFound",
        }
    }
}

impl Cause {
    /// A cause in the API server's own words.
    pub fn new(reason: Reason, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason, field: field.into(), message: message.into(), rule: None }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl Report {
    /// Maximum number of errors that an answer lists; it gives the number of the others.
    pub const MAX_CAUSES: usize = 50;
    /// Characters of a warning that clients show in full.
    pub const MAX_WARNING: usize = 120;
    /// Maximum number of warnings that an answer lists: an API server passes on 4 KiB of them.
    pub const MAX_WARNINGS: usize = 30;
}

/// Longest part of a user's text that a message repeats.
const MAX_QUOTED: usize = 128;

/// A text in quotation marks, cut where it is long.
pub fn quote(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{:?}", format!("{}…", &text[..end])),
        None => format!("{text:?}"),
    }
}

/// A value as JSON, cut where it is long.
pub fn display(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Object(_) => "{…}".to_owned(),
        Value::Array(_) => "[…]".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A text in at most so many characters.
pub fn shorten(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most || text.chars().count() <= most {
        return text.into();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}
