//! Tables of examples for single rules.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;

use multigres_crds::kind::ChildKind;
use multigres_crds::labels;
use multigres_crds::v1alpha1::{MultigresCluster, StringMap};
use serde_json::Value;

use super::{Child, RULES, Rule, RuleSet, WARNINGS};
use crate::document::Document;
use crate::lookup::{Claim, Existing, Known, Lookup, Offline};
use crate::schema::Strictness;
use crate::testing::{Edit, decode, edited, parsed, small};

fn rule(id: &str) -> &'static Rule {
    RULES.iter().chain(WARNINGS).find(|rule| rule.id == id).unwrap()
}

/// Reason and field of each error that a rule finds, then each warning.
pub fn found(id: &str, new: &Value, old: Option<&Value>, lookup: &dyn Lookup) -> Vec<String> {
    let (new, old) = (new.to_string(), old.map(Value::to_string));
    let (new, old) = (decode(&new), old.as_deref().map(decode));
    let found = RuleSet::of([rule(id)]).of_cluster(&new, old.as_ref(), lookup);
    let errors = found.errors.into_iter().map(|finding| finding.located.cause);
    let errors =
        errors.map(|cause| format!("{} {}", &cause.reason.as_str()["FieldValue".len()..], cause.field));
    errors.chain(found.warnings.into_iter().map(|warning| warning.message)).collect()
}

/// Asserts a rule's findings in the small cluster after edits.
pub fn create(id: &str, table: &[(Vec<Edit>, &[&str])]) {
    for (edits, expected) in table {
        let new = edited(small(), edits);
        assert_eq!(found(id, &new, None, &Offline), *expected, "{id} {edits:?}");
    }
}

/// Asserts a rule's findings in an update of the small cluster: edits of the old one, and edits that turn it into the
/// new one.
pub fn update(id: &str, table: &[(Vec<Edit>, Vec<Edit>, &[&str])]) {
    for (before, edits, expected) in table {
        let old = edited(small(), before);
        let new = edited(old.clone(), edits);
        assert_eq!(found(id, &new, Some(&old), &Offline), *expected, "{id} {before:?} {edits:?}");
        assert!(found(id, &old, Some(&old), &Offline).is_empty(), "{id} {before:?}: nothing changed");
    }
}

/// A child as it is decoded.
pub fn decode_child<T: Child>(child: impl Display) -> Document<'static, T> {
    Document::decode(parsed(child), Strictness::Server).unwrap()
}

/// Children that are there, and no others.
#[derive(Default)]
pub struct Children(Vec<(ChildKind, Value)>);

impl Children {
    pub fn of(children: impl Iterator<Item = (ChildKind, Value)>) -> Self {
        Self(children.collect())
    }
}

impl Lookup for Children {
    fn synced(&self) -> bool {
        true
    }

    fn cluster(&self, _: &str, _: &str) -> Option<Arc<MultigresCluster>> {
        None
    }

    fn child(&self, kind: ChildKind, _: &str, name: &str) -> Known<Option<Existing>> {
        let is_it = |(of, child): &&(ChildKind, Value)| *of == kind && child["metadata"]["name"] == name;
        let spec =
            |(_, child): &(ChildKind, Value)| Existing { controller: None, spec: child["spec"].clone() };
        Known::Yes(self.0.iter().find(is_it).map(spec))
    }

    fn cells(&self, _: &str, cluster: &str) -> Known<BTreeSet<String>> {
        let cells =
            self.0.iter().filter(|(kind, _)| *kind == ChildKind::MultiCell).map(|(_, child)| &child["spec"]);
        let of_cluster = cells.filter(|spec| spec["cluster"] == cluster);
        Known::Yes(of_cluster.filter_map(|spec| spec["cell"].as_str().map(str::to_owned)).collect())
    }

    fn has_topo_server(&self, _: &str, cluster: &str) -> Known<bool> {
        let is_it = |(kind, child): &(ChildKind, Value)| {
            *kind == ChildKind::TopoServer && child["spec"]["cluster"] == cluster
        };
        Known::Yes(self.0.iter().any(is_it))
    }
}

/// A lookup that knows only these claims of the small cluster.
pub struct Claims(pub Known<Vec<Claim>>);

impl Lookup for Claims {
    fn synced(&self) -> bool {
        true
    }

    fn cluster(&self, _: &str, _: &str) -> Option<Arc<MultigresCluster>> {
        None
    }

    fn claims(&self, namespace: &str, of: &StringMap) -> Known<Vec<Claim>> {
        assert_eq!((namespace, of[labels::CLUSTER].as_str()), ("ns", "c"));
        self.0.clone()
    }
}
