//! Decisions of admission, before they are put into the API server's format.

use json_patch::Patch;

use crate::report::{Cause, Report};

/// The decision on one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// True if the request goes on.
    pub outcome: Outcome,
    /// Warnings for the author, the most important first.
    pub warnings: Vec<String>,
    /// The rules that decided.
    pub decided_by: RuleGroup,
    /// Number of fields that were given a default.
    pub defaulted: usize,
}

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It does, with these changes to the object.
    Allowed(Patch),
    /// It does not.
    Denied(Denial),
}

/// Reason why a request is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The object breaks rules: all of them.
    Invalid(Vec<Cause>),
    /// The request is not this user's to make, or not now. The message says what to do instead.
    Forbidden {
        /// All there is to say, on one line.
        message: String,
        /// The same by field, where there are fields.
        causes: Vec<Cause>,
    },
    /// Not a request that this server answers.
    BadRequest(String),
    /// The decision took too long.
    Timeout,
}

/// The rules that decided a request; an audit annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleGroup {
    /// The format of a review.
    Review,
    /// Users that may always write: the operator and Kubernetes' own controllers.
    Exemption,
    /// Updates of objects that are being deleted are always allowed.
    Termination,
    /// The defaults of a cluster, and its schema.
    Defaulting,
    /// The rules of a cluster.
    Cluster,
    /// Protection of a cluster against deletion.
    DeletionProtection,
    /// Protection of managed children against edits.
    ChildProtection,
    /// The rules of a child.
    Child,
    /// Nothing but metadata changed.
    Metadata,
}

impl RuleGroup {
    /// The annotation's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Review => "review",
            Self::Exemption => "exemption",
            Self::Termination => "termination",
            Self::Defaulting => "defaulting",
            Self::Cluster => "cluster",
            Self::DeletionProtection => "deletion-protection",
            Self::ChildProtection => "child-protection",
            Self::Child => "child",
            Self::Metadata => "metadata",
        }
    }
}

impl Verdict {
    /// The request goes on as it is.
    pub fn allow(decided_by: RuleGroup) -> Self {
        Self { outcome: Outcome::Allowed(Patch::default()), warnings: Vec::new(), decided_by, defaulted: 0 }
    }

    /// The request does not go on.
    pub fn deny(decided_by: RuleGroup, denial: Denial) -> Self {
        Self { outcome: Outcome::Denied(denial), ..Self::allow(decided_by) }
    }

    /// The request goes on unless the report has errors.
    pub fn judge(decided_by: RuleGroup, report: Report) -> Self {
        let verdict = match report.errors {
            errors if errors.is_empty() => Self::allow(decided_by),
            errors => Self::deny(decided_by, Denial::Invalid(errors)),
        };
        let warnings = report.warnings.into_iter().map(|warning| warning.message).collect();
        Self { warnings, ..verdict }
    }

    /// True if the request goes on.
    pub fn allowed(&self) -> bool {
        matches!(self.outcome, Outcome::Allowed(_))
    }
}
