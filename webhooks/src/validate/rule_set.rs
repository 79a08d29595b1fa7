//! Rules that are applied together, sorted once by what they look at, so that each review goes through an object once
//! whatever their number.

use std::sync::LazyLock;

use multigres_crds::v1alpha1::MultigresCluster;

use super::fields::{Demands, Fields};
use super::{
    Child, ChildCheck, ChildContext, ChildView, ClusterCheck, ClusterContext, Findings, RULES, Rule, View,
    WARNINGS,
};
use crate::document::Document;
use crate::lookup::Lookup;
use crate::path::PathSet;

/// Rules, by what they look at, and the ids of those that find something there.
pub(super) struct RuleSet {
    fields: Demands,
    cluster: Vec<(&'static str, ClusterCheck)>,
    child: Vec<(&'static str, ChildCheck)>,
}

impl RuleSet {
    /// Everything that is worth to be told.
    pub fn all() -> &'static Self {
        static ALL: LazyLock<RuleSet> = LazyLock::new(|| RuleSet::of(RULES.iter().chain(WARNINGS)));
        &ALL
    }

    /// The rules that deny.
    pub fn errors() -> &'static Self {
        static ERRORS: LazyLock<RuleSet> = LazyLock::new(|| RuleSet::of(RULES));
        &ERRORS
    }

    /// The rules that the CRD enforces too.
    pub fn in_crd() -> &'static Self {
        static IN_CRD: LazyLock<RuleSet> =
            LazyLock::new(|| RuleSet::of(RULES.iter().filter(|rule| rule.in_crd)));
        &IN_CRD
    }

    pub fn of<'r>(rules: impl IntoIterator<Item = &'r Rule>) -> Self {
        let mut set = Self { fields: Demands::default(), cluster: Vec::new(), child: Vec::new() };
        for Rule { id, checks, .. } in rules {
            set.fields.add(id, &checks.fields);
            set.cluster.extend(checks.cluster.map(|check| (*id, check)));
            set.child.extend(checks.child.map(|check| (*id, check)));
        }
        set
    }

    /// Findings in a cluster, as an update of `old` if there is one.
    pub fn of_cluster(
        &self,
        new: &Document<'_, MultigresCluster>,
        old: Option<&Document<'_, MultigresCluster>>,
        lookup: &dyn Lookup,
    ) -> Findings {
        let cx = ClusterContext {
            new: View::of(&new.object, new.unknown()),
            old: old.map(|old| View::of(&old.object, old.unknown())),
            lookup,
        };
        let mut findings = self.of_fields(&cx.new, new.unknown());
        for (rule, check) in &self.cluster {
            check(&cx, &mut findings.of(rule, new.unknown()));
        }
        findings
    }

    /// The same of a child that stands alone.
    pub fn of_child<T: Child>(
        &self,
        new: &Document<'_, T>,
        old: Option<&Document<'_, T>>,
        lookup: &dyn Lookup,
    ) -> Findings {
        let cx = ChildContext { new: ChildView::of(new), old: old.map(ChildView::of), lookup };
        let mut findings = self.of_fields(&cx.new.spec, new.unknown());
        for (rule, check) in &self.child {
            check(&cx, &mut findings.of(rule, new.unknown()));
        }
        findings
    }

    fn of_fields<'a>(&self, object: &impl Fields<'a>, unknown: &PathSet) -> Findings {
        let mut findings = Findings::default();
        if !self.fields.is_empty() {
            object.each_field(&mut |path, field| self.fields.check(path, field, unknown, &mut findings));
        }
        findings
    }
}
