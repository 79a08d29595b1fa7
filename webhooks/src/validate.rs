//! The rules, and how they are applied.
//!
//! A rule is one function and one line that says what it demands; [`RULES`] lists them all. A rule only reads. What it
//! finds is held against what is unknown, compared with what the same rule finds in the old object, and put in
//! document order, all of that by [`cluster`]. The server, `validate` and `render` call the same functions.

mod advice;
mod findings;
mod images;
mod names;
mod pools;
mod resources;
mod sharing;
#[cfg(test)]
mod testing;
mod text;
mod topology;
mod transitions;
mod view;
mod volumes;

use std::collections::HashSet;

use kube::Resource;
use multigres_crds::v1alpha1::MultigresCluster;
use serde::de::DeserializeOwned;

use crate::document::{self, Document, Shape};
use crate::impact::Impact;
use crate::lookup::{Lookup, Offline};
use crate::path::{PathSet, in_document_order};
use crate::report::{Report, shorten};
use findings::{Finding, Fingerprint, Located};

pub use findings::{Findings, Reporter};
pub use view::{Database, View};

/// What admission may know beside the object itself.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Other objects.
    pub lookup: &'a dyn Lookup,
    /// The consequences of a change, where they can be computed.
    pub impact: Option<&'a dyn Impact>,
}

impl Context<'_> {
    /// Nothing is known, as outside a cluster.
    pub const OFFLINE: Context<'static> = Context { lookup: &Offline, impact: None };
}

/// What the rules for clusters read.
pub struct ClusterContext<'a> {
    /// The cluster as it is to be.
    pub new: View<'a>,
    /// The cluster as it was, on an update.
    pub old: Option<View<'a>>,
    /// Other objects.
    pub lookup: &'a dyn Lookup,
}

/// A demand on clusters.
pub struct Rule {
    /// What the documentation knows it by.
    pub id: &'static str,
    /// The version of the operator that it came with.
    pub since: &'static str,
    /// Whether the CRD demands it too, so that it holds with the webhooks removed.
    pub in_crd: bool,
    summary: &'static str,
    check: fn(&ClusterContext<'_>, &mut Reporter<'_>),
}

impl Rule {
    /// What it demands, in one line.
    pub fn summary(&self) -> &'static str {
        self.summary.trim()
    }
}

/// Declares a rule. The comment is both its documentation and its summary.
macro_rules! rule {
    ($(#[doc = $summary:literal])+ $id:ident since $since:literal = $check:path) => {
        rule!(@ $id, $since, false, $check, $($summary),+);
    };
    ($(#[doc = $summary:literal])+ $id:ident in the CRD since $since:literal = $check:path) => {
        rule!(@ $id, $since, true, $check, $($summary),+);
    };
    (@ $id:ident, $since:literal, $in_crd:literal, $check:path, $($summary:literal),+) => {
        $(#[doc = $summary])+
        pub(super) const $id: $crate::validate::Rule = $crate::validate::Rule {
            id: stringify!($id),
            since: $since,
            in_crd: $in_crd,
            summary: concat!($($summary),+),
            check: $check,
        };
    };
}
use rule;

/// Every rule for clusters.
pub const RULES: &[Rule] = &[
    names::C01,
    topology::C02,
    topology::C03,
    topology::C04,
    pools::C05,
    names::C06,
    names::C07,
    pools::C08,
    pools::C09,
    pools::C10,
    names::C11,
    pools::C12,
    volumes::C13,
    resources::C14,
    pools::C15,
    images::C16,
    pools::C17,
    pools::C18,
    sharing::C19,
    sharing::C20,
    transitions::U01,
    transitions::U03,
    transitions::U04,
    volumes::U05,
    volumes::U06,
];

/// What is admitted but should be known, the most important first.
pub const WARNINGS: &[Rule] = &[
    images::W01,
    advice::W04,
    advice::W12,
    advice::W05,
    advice::W06,
    advice::W10,
    advice::W11,
    images::W03,
    images::W02,
    advice::W07,
    advice::W08,
    advice::W09,
];

/// Judges a cluster, as an update of `old` where there is one.
pub fn cluster(
    new: &Document<'_, MultigresCluster>,
    old: Option<&Document<'_, MultigresCluster>>,
    cx: &Context<'_>,
) -> Report {
    if old.is_some_and(|old| is_being_deleted(&old.object)) {
        return Report::default();
    }
    let mut verdict = Verdict::from(document::shape(new, old));
    let (mut consequences, mut advice) = (Vec::new(), Vec::new());
    // An update of the metadata alone is no occasion to judge the rest.
    if old.is_none_or(|old| old.object.spec != new.object.spec) {
        let found = run(RULES.iter().chain(WARNINGS), new, old, cx.lookup);
        let before = old.filter(|_| !found.errors.is_empty()).map(|old| fingerprints(old, cx.lookup));
        verdict.extend(found.errors, &before.unwrap_or_default());
        advice = found.warnings;
        if let Some((impact, old)) = cx.impact.zip(old) {
            consequences = impact.consequences(&old.object, &new.object);
        }
    }
    verdict.report(new, consequences, advice)
}

/// Judges a child that stands alone.
pub fn child<T: Resource<DynamicType = ()> + DeserializeOwned>(
    new: &Document<'_, T>,
    old: Option<&Document<'_, T>>,
) -> Report {
    if old.is_some_and(|old| is_being_deleted(&old.object)) {
        return Report::default();
    }
    Verdict::from(document::shape(new, old)).report(new, Vec::new(), Vec::new())
}

/// Whether the API server will let the cluster pass to the validating webhook. Where it will not, nobody but the
/// mutating webhook can tell the author everything at once.
pub fn reaches_validation(
    new: &Document<'_, MultigresCluster>,
    old: Option<&Document<'_, MultigresCluster>>,
) -> bool {
    let in_crd = || RULES.iter().filter(|rule| rule.in_crd);
    old.is_some_and(|old| is_being_deleted(&old.object))
        || document::shape(new, old).new.is_empty()
            && old.is_none_or(|_| run(in_crd(), new, old, &Offline).errors.is_empty())
}

fn is_being_deleted<T: Resource>(object: &T) -> bool {
    object.meta().deletion_timestamp.is_some()
}

fn run<'r>(
    rules: impl Iterator<Item = &'r Rule>,
    new: &Document<'_, MultigresCluster>,
    old: Option<&Document<'_, MultigresCluster>>,
    lookup: &dyn Lookup,
) -> Findings {
    let cx = ClusterContext {
        new: View::of(&new.object, new.unknown()),
        old: old.map(|old| View::of(&old.object, old.unknown())),
        lookup,
    };
    let mut findings = Findings::default();
    for rule in rules {
        (rule.check)(&cx, &mut findings.of(rule.id, cx.new.unknown()));
    }
    findings
}

/// What is wrong with an object that is stored already.
fn fingerprints(old: &Document<'_, MultigresCluster>, lookup: &dyn Lookup) -> HashSet<Fingerprint> {
    run(RULES.iter(), old, None, lookup).errors.iter().map(Finding::fingerprint).collect()
}

/// What was found, by whether it is a ground for denial.
#[derive(Default)]
struct Verdict {
    errors: Vec<Located>,
    kept: Vec<Located>,
    /// Paths of which the API server speaks already.
    spoken_of: PathSet,
}

impl From<Shape> for Verdict {
    fn from(shape: Shape) -> Self {
        let mut spoken_of = PathSet::default();
        shape.new.iter().chain(&shape.kept).for_each(|violation| spoken_of.insert(&violation.path));
        let located = |violations: Vec<_>| violations.into_iter().map(Located::from).collect();
        Self { errors: located(shape.new), kept: located(shape.kept), spoken_of }
    }
}

impl Verdict {
    fn extend(&mut self, found: Vec<Finding>, before: &HashSet<Fingerprint>) {
        for finding in found {
            if self.spoken_of.covers(&finding.located.path) {
                continue;
            }
            let list =
                if before.contains(&finding.fingerprint()) { &mut self.kept } else { &mut self.errors };
            list.push(finding.located);
        }
    }

    /// Errors in document order; then consequences, what was wrong before, and advice.
    fn report<T>(self, new: &Document<'_, T>, consequences: Vec<String>, advice: Vec<String>) -> Report {
        if self.errors.is_empty() && self.kept.is_empty() {
            return Report { errors: Vec::new(), warnings: fitting(consequences, advice) };
        }
        let written = new.written();
        let causes = |located| in_document_order(located, &written, |located: &Located| &located.path);
        let kept = causes(self.kept).into_iter().map(|kept| format!("{}", kept.cause));
        Report {
            errors: causes(self.errors).into_iter().map(|located| located.cause).collect(),
            warnings: fitting(consequences, kept.chain(advice)),
        }
    }
}

fn fitting(first: Vec<String>, then: impl IntoIterator<Item = String>) -> Vec<String> {
    first.into_iter().chain(then).map(|warning| shorten(&warning, Report::MAX_WARNING)).collect()
}
