//! Findings of rules.

use std::collections::HashSet;
use std::fmt::Display;

use crate::path::{FieldPath, PathSet};
use crate::report::{Cause, Reason, Warning};
use crate::schema::Violation;

/// Something that is wrong, and where.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub path: FieldPath,
    pub cause: Cause,
}

impl From<Violation> for Located {
    fn from(violation: Violation) -> Self {
        Self { path: violation.path.clone(), cause: violation.into() }
    }
}

/// Something that a rule found wrong.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub located: Located,
    rule: &'static str,
    offending: String,
}

/// Identifies a finding across two versions of an object: rule, path by name, offending value.
pub(super) type Fingerprint = (&'static str, String, String);

impl Finding {
    pub fn fingerprint(&self) -> Fingerprint {
        (self.rule, self.located.path.by_name(), self.offending.clone())
    }
}

/// Everything that the rules found.
#[derive(Debug, Default)]
pub struct Findings {
    pub(super) errors: Vec<Finding>,
    pub(super) warnings: Vec<Warning>,
}

impl Findings {
    /// Fingerprints of the findings.
    pub(super) fn fingerprints(&self) -> HashSet<Fingerprint> {
        self.errors.iter().map(Finding::fingerprint).collect()
    }

    pub(super) fn of<'f>(&'f mut self, rule: &'static str, unknown: &'f PathSet) -> Reporter<'f> {
        Reporter { findings: self, rule, unknown }
    }
}

/// Takes what one rule finds.
pub struct Reporter<'f> {
    findings: &'f mut Findings,
    rule: &'static str,
    unknown: &'f PathSet,
}

impl Reporter<'_> {
    /// An error at a path, unless what is there is unknown. The offending value tells an old violation from a new
    /// one; the message says what is wrong and what to do.
    pub fn error(
        &mut self,
        path: impl Into<FieldPath>,
        reason: Reason,
        offending: impl Display,
        message: impl Into<String>,
    ) {
        let path = path.into();
        let is_known = self.unknown.is_empty() || !self.unknown.touches(&path);
        let is_repeated = |found: &Finding| found.rule == self.rule && found.located.path == path;
        if is_known && !self.findings.errors.last().is_some_and(is_repeated) {
            let cause = Cause { rule: Some(self.rule), ..Cause::new(reason, path.to_string(), message) };
            let located = Located { path, cause };
            self.findings.errors.push(Finding { located, rule: self.rule, offending: offending.to_string() });
        }
    }

    /// Something that the author should know, in at most 120 characters.
    pub fn warn(&mut self, message: impl Into<String>) {
        self.findings.warnings.push(Warning { rule: Some(self.rule), message: message.into() });
    }
}
