//! What admission has to say of one object.

use std::fmt;

/// Everything that is wrong with an object, and everything its author should know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What is wrong, in document order. Empty: the object is valid.
    pub errors: Vec<Cause>,
    /// What the author should know, the most important first.
    pub warnings: Vec<String>,
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

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}
