//! The rules, and how they are applied.
//!
//! A rule is one function and one line that says what it demands; [`RULES`] lists them all. A rule only reads. What it
//! finds is held against what is unknown, compared with what the same rule finds in the old object, and put in
//! document order, all of that by [`cluster`]. The server, `validate` and `render` call the same functions.

mod adoption;
mod advice;
mod affinity;
mod backups;
mod child;
mod fields;
mod findings;
mod images;
mod legality;
mod membership;
mod metadata;
mod names;
mod pools;
mod relocation;
mod removal;
mod resources;
mod revision;
mod rule_set;
mod sharing;
mod standalone;
mod storage;
#[cfg(test)]
mod testing;
mod text;
mod topology;
mod transitions;
mod unpausing;
mod versions;
mod view;
mod volumes;

use std::borrow::Cow;
use std::collections::HashSet;

use kube::Resource;
use multigres_crds::v1alpha1::MultigresCluster;

use crate::document::{self, Document, Shape};
use crate::impact::Impact;
use crate::lookup::{Lookup, Offline};
use crate::path::{PathSet, in_document_order};
use crate::report::{Report, Warning, shorten};
use fields::{Field, FieldChecks, Fields};
use findings::{Fingerprint, Located};
use rule_set::RuleSet;

pub use child::{Child, ChildSpec, ChildView};
pub use findings::{Findings, Reporter};
pub use view::{Database, View};

/// Knowledge that rules may use beside the object itself.
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

/// The input of rules for clusters.
pub struct ClusterContext<'a> {
    /// The cluster as it is to be.
    pub new: View<'a>,
    /// The cluster as it was, on an update.
    pub old: Option<View<'a>>,
    /// Other objects.
    pub lookup: &'a dyn Lookup,
}

/// The input of rules for children.
pub struct ChildContext<'a> {
    /// The child as it is to be.
    pub new: ChildView<'a>,
    /// The child as it was, on an update.
    pub old: Option<ChildView<'a>>,
    /// Other objects.
    pub lookup: &'a dyn Lookup,
}

/// A demand on clusters, or on their children where these stand alone, or on both.
pub struct Rule {
    /// Identifier in the documentation.
    pub id: &'static str,
    /// The version of the operator that it came with.
    pub since: &'static str,
    /// True if the CRD enforces it too, so that it holds with the webhooks removed.
    pub in_crd: bool,
    summary: &'static str,
    checks: Checks,
}

type ClusterCheck = fn(&ClusterContext<'_>, &mut Reporter<'_>);
type ChildCheck = fn(&ChildContext<'_>, &mut Reporter<'_>);

/// The functions of a rule, by the object that they check.
#[derive(Clone, Copy)]
struct Checks {
    /// At each such block, of a cluster or a child.
    fields: FieldChecks,
    /// At clusters.
    cluster: Option<ClusterCheck>,
    /// At children that stand alone.
    child: Option<ChildCheck>,
}

impl Checks {
    const NONE: Self = Self { fields: FieldChecks::NONE, cluster: None, child: None };
}

impl Rule {
    /// Its text: the demand in one line.
    pub fn summary(&self) -> &'static str {
        self.summary.trim()
    }
}

/// Declares a rule by the checks that it consists of: of fields by what they hold, then of clusters and children. The
/// comment is both its documentation and its summary.
macro_rules! rule {
    ($(#[doc = $summary:literal])+ $id:ident since $since:literal = $($checks:tt)+) => {
        rule!(@ $id, $since, false, [$($checks)+], $($summary),+);
    };
    ($(#[doc = $summary:literal])+ $id:ident in the CRD since $since:literal = $($checks:tt)+) => {
        rule!(@ $id, $since, true, [$($checks)+], $($summary),+);
    };
    (@ $id:ident, $since:literal, $in_crd:literal, [
        $({ $($block:ident: $field_check:path),+ $(,)? })? $(,)? $($of:ident: $check:path),* $(,)?
    ], $($summary:literal),+) => {
        $(#[doc = $summary])+
        pub(super) const $id: $crate::validate::Rule = $crate::validate::Rule {
            id: stringify!($id),
            since: $since,
            in_crd: $in_crd,
            summary: concat!($($summary),+),
            checks: $crate::validate::Checks {
                $(fields: $crate::validate::fields::FieldChecks {
                    $($block: Some($field_check),)+
                    ..$crate::validate::fields::FieldChecks::NONE
                },)?
                $($of: Some($check),)*
                ..$crate::validate::Checks::NONE
            },
        };
    };
}
use rule;

/// Every rule.
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
    backups::C21,
    metadata::C22,
    legality::C23,
    revision::C24,
    storage::C25,
    transitions::U01,
    relocation::U02,
    transitions::U03,
    transitions::U04,
    volumes::U05,
    volumes::U06,
    versions::U07,
    relocation::U08,
    removal::U09,
    adoption::U10,
    backups::U11,
    membership::U13,
    standalone::K03,
    standalone::K04,
];

/// A demand on requests: who may do what.
pub struct Guard {
    /// Identifier in the documentation.
    pub id: &'static str,
    /// The version of the operator that it came with.
    pub since: &'static str,
    summary: &'static str,
}

impl Guard {
    pub(crate) const fn new(id: &'static str, since: &'static str, summary: &'static str) -> Self {
        Self { id, since, summary }
    }

    /// Its text: the demand in one line.
    pub fn summary(&self) -> &'static str {
        self.summary
    }
}

/// Every demand on requests. They are decided before any rule is asked.
pub const GUARDS: &[Guard] =
    &[crate::admit::U12, crate::children::K01, crate::children::K02, crate::children::K05];

/// Rules that warn, the most important first.
pub const WARNINGS: &[Rule] = &[
    unpausing::W16,
    advice::W19,
    storage::W14,
    images::W01,
    advice::W04,
    advice::W12,
    revision::W18,
    standalone::W17,
    advice::W05,
    advice::W06,
    advice::W10,
    advice::W11,
    storage::W13,
    storage::W15,
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
        let found = RuleSet::all().of_cluster(new, old, cx.lookup);
        let before = || RuleSet::errors().of_cluster(old?, None, cx.lookup).fingerprints().into();
        advice = verdict.extend(found, before);
        if let Some((impact, old)) = cx.impact.zip(old).filter(|_| verdict.errors.is_empty()) {
            consequences = impact.consequences(&old.object, &new.object);
        }
    }
    verdict.report(new, consequences, advice)
}

/// Judges a child that stands alone, as an update of `old` where there is one.
pub fn child<T: Child>(new: &Document<'_, T>, old: Option<&Document<'_, T>>, cx: &Context<'_>) -> Report {
    if old.is_some_and(|old| is_being_deleted(&old.object)) {
        return Report::default();
    }
    let mut verdict = Verdict::from(document::shape(new, old));
    let found = RuleSet::all().of_child(new, old, cx.lookup);
    let before = || RuleSet::errors().of_child(old?, None, cx.lookup).fingerprints().into();
    let advice = verdict.extend(found, before);
    verdict.report(new, Vec::new(), advice)
}

/// True if the API server will pass the cluster on to the validating webhook. If not, only the mutating webhook can
/// report everything at once.
pub fn reaches_validation(
    new: &Document<'_, MultigresCluster>,
    old: Option<&Document<'_, MultigresCluster>>,
) -> bool {
    reaches(new, old, || RuleSet::in_crd().of_cluster(new, old, &Offline))
}

/// The same for a child.
pub fn child_reaches_validation<T: Child>(new: &Document<'_, T>, old: Option<&Document<'_, T>>) -> bool {
    reaches(new, old, || RuleSet::in_crd().of_child(new, old, &Offline))
}

fn reaches<T: Resource<DynamicType = ()>>(
    new: &Document<'_, T>,
    old: Option<&Document<'_, T>>,
    found: impl FnOnce() -> Findings,
) -> bool {
    old.is_some_and(|old| is_being_deleted(&old.object))
        || document::shape(new, old).new.is_empty() && (old.is_none() || found().errors.is_empty())
}

fn is_being_deleted<T: Resource>(object: &T) -> bool {
    object.meta().deletion_timestamp.is_some()
}

/// Findings, divided into grounds for denial and others.
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
    /// Adds what rules found: what was wrong `before` as well is no ground for denial. Returns the advice.
    fn extend(
        &mut self,
        found: Findings,
        before: impl FnOnce() -> Option<HashSet<Fingerprint>>,
    ) -> Vec<Warning> {
        let before = if found.errors.is_empty() { None } else { before() }.unwrap_or_default();
        for finding in found.errors {
            if self.spoken_of.covers(&finding.located.path) {
                continue;
            }
            let list =
                if before.contains(&finding.fingerprint()) { &mut self.kept } else { &mut self.errors };
            list.push(finding.located);
        }
        found.warnings
    }

    /// Errors in document order; then consequences, what was wrong before, and advice.
    fn report<T>(self, new: &Document<'_, T>, consequences: Vec<String>, advice: Vec<Warning>) -> Report {
        let consequences = consequences.into_iter().map(|message| Warning { rule: None, message });
        if self.errors.is_empty() && self.kept.is_empty() {
            return Report { errors: Vec::new(), warnings: fitting(consequences, advice) };
        }
        let written = new.written();
        let causes = |located| in_document_order(located, &written, |located: &Located| &located.path);
        let kept = causes(self.kept)
            .into_iter()
            .map(|Located { cause, .. }| Warning { rule: cause.rule, message: cause.to_string() });
        Report {
            errors: causes(self.errors).into_iter().map(|located| located.cause).collect(),
            warnings: fitting(consequences, kept.chain(advice)),
        }
    }
}

fn fitting(first: impl Iterator<Item = Warning>, then: impl IntoIterator<Item = Warning>) -> Vec<Warning> {
    let fit = |warning: Warning| match shorten(&warning.message, Report::MAX_WARNING) {
        Cow::Borrowed(_) => warning,
        Cow::Owned(message) => Warning { message, ..warning },
    };
    first.chain(then).map(fit).collect()
}
