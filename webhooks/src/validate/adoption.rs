//! Objects that already exist under the name of a child that is to be made.
//!
//! A cluster that expects a child adopts one of its own that nobody controls. What then changes is told; what cannot
//! change is refused, by the rules that hold for an update of the child itself.

use std::collections::{HashMap, HashSet};

use multigres_crds::kind::{ChildKind, Kind};
use multigres_crds::resolve::{self, Children, each_child};
use multigres_crds::v1alpha1::{MultiAdmin, MultiCell, MultiOrch, MultiShard, TopoServer};
use serde::Serialize;
use serde_json::{Value, to_value};

use super::view::{CELLS, DATABASES};
use super::{Child, ClusterContext, Reporter, RuleSet, rule};
use crate::children::edits::{Step, Steps, changed_fields};
use crate::children::source::Source;
use crate::document::Document;
use crate::json::{self, Json};
use crate::lookup::{Existing, Known, Lookup};
use crate::path::{FieldPath, Path};
use crate::report::{Cause, Reason, display, quote};
use crate::schema::Strictness;

/// Differences of one child that are told; the rest are counted.
const TOLD: usize = 5;

rule!(
    /// A cluster adopts an existing child only if the child is its own and no immutable field would have to change.
    U10 since "0.1.0" = cluster: adoptions
);

fn adoptions(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let found = existing(cx);
    if found.is_empty() {
        return;
    }
    let children = resolve::children(cx.new.cluster);
    for (kind, name, existing) in found {
        let Some(desired) = desired(&children, kind, &name) else { continue };
        let adoption = Adoption { cx, kind, name, existing, desired };
        match adoption.owner() {
            Owner::Nobody => adoption.compare(report),
            Owner::Itself => {}
            Owner::Other(other) => adoption.refuse(&other, report),
        }
    }
}

/// The children that are there of those that the update, or the new cluster, comes to expect.
fn existing(cx: &ClusterContext<'_>) -> Vec<(ChildKind, String, Existing)> {
    let metadata = &cx.new.cluster.metadata;
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let name = metadata.name.as_deref().unwrap_or_default();
    // What the cluster controls already is its own.
    if matches!(cx.lookup.has_others_children(namespace, name), Known::Yes(false)) {
        return Vec::new();
    }
    let mut expected: HashMap<_, HashSet<String>> = HashMap::new();
    if let Some(old) = &cx.old {
        each_child(old.cluster, &mut |kind, name| {
            expected.entry(kind).or_default().insert(name.to_owned());
        });
    }
    let mut found = Vec::new();
    each_child(cx.new.cluster, &mut |kind, name| {
        if !expected.get(&kind).is_some_and(|names| names.contains(name))
            && let Known::Yes(Some(existing)) = cx.lookup.child(kind, namespace, name)
        {
            found.push((kind, name.to_owned(), existing));
        }
    });
    found.sort_by(|(_, one, _), (_, other, _)| one.cmp(other));
    found
}

/// The child that the cluster asks for.
pub(super) fn desired(children: &Children, kind: ChildKind, name: &str) -> Option<Value> {
    fn find<K: kube::Resource + Serialize>(list: &[K], name: &str) -> Option<Value> {
        let child = list.iter().find(|child| child.meta().name.as_deref() == Some(name))?;
        to_value(child).ok()
    }
    match kind {
        ChildKind::TopoServer => find(children.topo_server.as_slice(), name),
        ChildKind::MultiAdmin => find(children.admin.as_slice(), name),
        ChildKind::MultiOrch => find(children.orch.as_slice(), name),
        ChildKind::MultiCell => find(&children.cells, name),
        ChildKind::MultiShard => find(&children.shards, name),
    }
}

/// Owner of a child.
enum Owner {
    /// Nobody's: it can be adopted.
    Nobody,
    /// This cluster's, or that of its predecessor of the same name, with which it goes.
    Itself,
    Other(String),
}

/// A child that is there, and what it is to become.
struct Adoption<'a> {
    cx: &'a ClusterContext<'a>,
    kind: ChildKind,
    name: String,
    existing: Existing,
    desired: Value,
}

impl Adoption<'_> {
    fn owner(&self) -> Owner {
        let cluster = self.cx.new.cluster.metadata.name.as_deref().unwrap_or_default();
        let of = self.existing.spec["cluster"].as_str().unwrap_or_default();
        match &self.existing.controller {
            Some(owner) if owner.kind == Kind::Cluster.as_str() && owner.name == cluster => Owner::Itself,
            Some(owner) => Owner::Other(format!("{} {}", owner.kind, quote(&owner.name))),
            None if of == cluster => Owner::Nobody,
            None => Owner::Other(format!("{} {}", Kind::Cluster.as_str(), quote(of))),
        }
    }

    fn refuse(&self, other: &str, report: &mut Reporter<'_>) {
        let child = self.subject();
        let message = format!("{child} exists and belongs to {other}; choose another name, or delete it");
        report.error(self.template(), Reason::Forbidden, format!("{child} {other}"), message);
    }

    fn compare(&self, report: &mut Reporter<'_>) {
        let findings = self.conflicts();
        for cause in &findings {
            let path = self.in_cluster(&FieldPath::parse(&cause.field)).unwrap_or_else(|| self.template());
            let message = format!("{} exists, and its {} {}", self.subject(), cause.field, cause.message);
            report.error(path, cause.reason, &cause.message, message);
        }
        let refused: HashSet<&str> = findings.iter().map(|cause| cause.field.as_str()).collect();
        tell_changes(self.kind, &self.name, &self.existing.spec, &self.desired["spec"], &refused, report);
    }

    /// Errors of the child as an update of the existing one that it would not have as a new object.
    fn conflicts(&self) -> Vec<Cause> {
        let mut existing = self.desired.clone();
        existing["spec"] = self.existing.spec.clone();
        let judge = match self.kind {
            ChildKind::TopoServer => conflicts::<TopoServer>,
            ChildKind::MultiAdmin => conflicts::<MultiAdmin>,
            ChildKind::MultiOrch => conflicts::<MultiOrch>,
            ChildKind::MultiCell => conflicts::<MultiCell>,
            ChildKind::MultiShard => conflicts::<MultiShard>,
        };
        json::of(&self.desired, |new| json::of(&existing, |old| judge(new, old, self.cx.lookup)))
    }

    /// The field of the cluster that a field of the child comes from.
    fn in_cluster(&self, field: &FieldPath) -> Option<FieldPath> {
        let names = field.names();
        let steps: Vec<Step<'_>> = names
            .iter()
            .skip(1)
            .map(|name| match name.parse() {
                Ok(index) => Step::Item(index),
                Err(_) => Step::Field(name),
            })
            .collect();
        let source =
            Source { kind: self.kind, spec: &self.desired["spec"], cluster: Some(self.cx.new.cluster) };
        source.of(&steps).map(|path| FieldPath::parse(&path))
    }

    /// The part of the cluster that the child is made from.
    fn template(&self) -> FieldPath {
        let spec = self.cx.new.spec();
        let text = |field: &str| self.desired["spec"][field].as_str().unwrap_or_default();
        let section = |path: &'static str| FieldPath::from(&Path::new(path));
        let item = |list: Path<'_>, index: Option<usize>, name: &str| match index {
            Some(index) => FieldPath::from(&list.item(index, name).field("name")),
            None => FieldPath::from(&list),
        };
        match self.kind {
            ChildKind::TopoServer => section("spec.globalTopoServer.managed"),
            ChildKind::MultiAdmin => section("spec.admin.managed"),
            ChildKind::MultiOrch => section("spec.orchestrator.managed"),
            ChildKind::MultiCell => {
                let name = text("cell");
                item(CELLS, spec.cells.templates.iter().position(|cell| cell.name == name), name)
            }
            ChildKind::MultiShard => {
                let name = text("database");
                let index = self.cx.new.databases.iter().position(|database| database.template.name == name);
                item(DATABASES, index, name)
            }
        }
    }

    fn subject(&self) -> String {
        format!("{} {}", self.kind.as_str(), quote(&self.name))
    }
}

/// Says what of a child changes, to what its cluster asks for, but for some fields.
pub(super) fn tell_changes(
    kind: ChildKind,
    name: &str,
    live: &Value,
    template: &Value,
    but: &HashSet<&str>,
    report: &mut Reporter<'_>,
) {
    let at = |value: &'_ Value, path: &[Step<'_>]| -> String {
        let found = path.iter().try_fold(value, |value, step| match step {
            Step::Field(name) => value.get(name),
            Step::Item(index) => value.get(index),
        });
        found.map_or_else(|| "none".to_owned(), display)
    };
    let kind = kind.as_str();
    let changes: Vec<String> = changed_fields(live, template)
        .iter()
        .map(|path| (format!("spec{}", Steps(path)), at(live, path), at(template, path)))
        .filter(|(field, ..)| !but.contains(field.as_str()))
        .map(|(field, live, template)| format!("{kind} {} {field}: {live} → {template}", quote(name)))
        .collect();
    let more = changes.len().saturating_sub(TOLD);
    changes.into_iter().take(TOLD).for_each(|change| report.warn(change));
    if more > 0 {
        report.warn(format!("{kind} {}: {more} more fields change", quote(name)));
    }
}

fn conflicts<T: Child>(new: Json<'_>, old: Json<'_>, lookup: &dyn Lookup) -> Vec<Cause> {
    let decode = |json| Document::<T>::decode(json, Strictness::Server).ok();
    let Some((new, old)) = decode(new).zip(decode(old)) else { return Vec::new() };
    let anyway = RuleSet::errors().of_child(&new, None, lookup).fingerprints();
    let found = RuleSet::errors().of_child(&new, Some(&old), lookup).errors.into_iter();
    found
        .filter(|finding| !anyway.contains(&finding.fingerprint()))
        .map(|finding| finding.located.cause)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
    use multigres_crds::v1alpha1::MultigresCluster;
    use serde_json::json;

    use super::*;
    use crate::testing::reviews::children;
    use crate::testing::{Edit, edit, edited, small, volume};
    use crate::validate::testing::found;

    /// A child, as it is found in the cache.
    struct There(ChildKind, String, Existing);

    impl There {
        /// The first child of a kind that the small cluster asks for, edited.
        fn with(kind: ChildKind, edits: &[Edit]) -> Self {
            let child = edited(children(kind, &serde_json::from_value(small()).unwrap()).remove(0), edits);
            let name = child["metadata"]["name"].as_str().unwrap().to_owned();
            Self(kind, name, Existing { controller: None, spec: child["spec"].clone() })
        }

        fn controlled_by(mut self, kind: &str, name: &str) -> Self {
            let (kind, name) = (kind.to_owned(), name.to_owned());
            self.2.controller = Some(OwnerReference { kind, name, ..OwnerReference::default() });
            self
        }
    }

    impl Lookup for There {
        fn synced(&self) -> bool {
            true
        }

        fn cluster(&self, _: &str, _: &str) -> Option<Arc<MultigresCluster>> {
            None
        }

        fn child(&self, kind: ChildKind, namespace: &str, name: &str) -> Known<Option<Existing>> {
            let is_this = kind == self.0 && namespace == "ns" && name == self.1;
            Known::Yes(is_this.then(|| self.2.clone()))
        }
    }

    #[test]
    fn adoptions() {
        use ChildKind::*;
        let spec = |field: &str, value: Value| [edit("/spec", field, value)];
        let name: &[&str] = &["Forbidden spec.cells.templates[0].name"];
        for (there, expected) in [
            (There::with(MultiCell, &[]), &[][..]),
            (There::with(MultiCell, &spec("/cluster", json!("other"))), name),
            (There::with(MultiCell, &[]).controlled_by("MultigresCluster", "other"), name),
            (There::with(MultiCell, &[]).controlled_by("Deployment", "c"), name),
            (There::with(MultiCell, &[]).controlled_by("MultigresCluster", "c"), &[]),
            (There::with(MultiAdmin, &spec("/cluster", json!("other"))), &["Forbidden spec.admin.managed"]),
            (
                There::with(MultiShard, &spec("/cluster", json!("other"))),
                &["Forbidden spec.databases.templates[0].name"],
            ),
            // What can change does.
            (
                There::with(MultiCell, &spec("/multiGateway/replicas", json!(5))),
                &["MultiCell \"c-a\" spec.multiGateway.replicas: 5 → 2"],
            ),
            (
                There::with(MultiCell, &spec("/podLabels", json!({"a": "b"}))),
                &["MultiCell \"c-a\" spec.podLabels: {…} → none"],
            ),
            // What cannot is pointed at where it is written in the cluster.
            (
                There::with(TopoServer, &spec("/replicas", json!(5))),
                &["Invalid spec.globalTopoServer.managedSpec.replicas"],
            ),
            (
                There::with(MultiShard, &spec("/pools/0/dataVolumeClaimTemplate", volume("20Gi"))),
                &[
                    "Forbidden spec.databases.templates[0].spec.pools[0].primary.dataVolumeClaimTemplate.resources.requests.storage",
                ],
            ),
            (
                There::with(MultiShard, &spec("/durabilityPolicy", json!("MULTI_CELL_AT_LEAST_2"))),
                &["Invalid spec.databases.templates[0].spec.durabilityPolicy"],
            ),
            (
                There::with(MultiShard, &spec("/pools/0/replicas", json!(10))),
                &["Forbidden spec.databases.templates[0].spec.pools[0].primary.replicas"],
            ),
            (
                There::with(MultiCell, &spec("/topology/rootPath", json!("/elsewhere"))),
                &["Forbidden spec.cells.templates[0].spec.topoServer.external.rootPath"],
            ),
        ] {
            assert_eq!(found("U10", &small(), None, &there), expected, "{:?}", there.2);
            // What was expected before is the operator's to put right.
            assert!(found("U10", &small(), Some(&small()), &there).is_empty());
            let section = match there.0 {
                TopoServer => edit("/spec/globalTopoServer", "/managed", json!(false)),
                MultiAdmin => edit("/spec", "/admin", json!({"managed": false})),
                MultiOrch => edit("/spec", "/orchestrator", json!({"managed": false})),
                MultiCell => edit("/spec/cells", "/managed", json!(false)),
                MultiShard => edit("/spec/databases", "/managed", json!(false)),
            };
            let unmanaged = edited(small(), &[section]);
            assert_eq!(found("U10", &small(), Some(&unmanaged), &there), expected, "{:?}", there.2);
            assert!(found("U10", &unmanaged, Some(&small()), &there).is_empty(), "{:?}", there.2);
        }
    }
}
