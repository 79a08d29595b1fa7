//! Edits made while a cluster was paused, which unpausing reverts.

use std::collections::HashSet;

use multigres_crds::resolve::{self, each_child};
use multigres_crds::v1alpha1::MultigresClusterSpec;

use super::adoption::{desired, tell_changes};
use super::text::count;
use super::{ClusterContext, Reporter, rule};
use crate::lookup::Known;
use crate::report::quote;

/// Of the child alone: the cluster's own is what changes.
const PAUSED: &str = "spec.paused";
/// Of the child alone: the operator keeps it until the shards are up.
const BRING_UP: &str = "spec.bringUpCell";

rule!(
    /// Unpausing a cluster reverts edits made meanwhile and recreates deleted objects.
    W16 since "0.1.0" = cluster: put_back
);

fn put_back(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let is_paused = |spec: &MultigresClusterSpec| spec.paused == Some(true);
    if !cx.old.as_ref().is_some_and(|old| is_paused(old.spec())) || is_paused(cx.new.spec()) {
        return;
    }
    let (mut missing, children) = (Vec::new(), resolve::children(cx.new.cluster));
    let namespace = cx.new.cluster.metadata.namespace.as_deref().unwrap_or_default();
    each_child(cx.new.cluster, &mut |kind, name| match cx.lookup.child(kind, namespace, name) {
        Known::Yes(Some(live)) => {
            if let Some(desired) = desired(&children, kind, name) {
                tell_changes(
                    kind,
                    name,
                    &live.spec,
                    &desired["spec"],
                    &HashSet::from([PAUSED, BRING_UP]),
                    report,
                );
            }
        }
        Known::Yes(None) => missing.push((name.to_owned(), kind)),
        Known::NotYet => {}
    });
    if let Some((name, kind)) = missing.iter().min_by_key(|(name, _)| name) {
        let objects = count(i64::try_from(missing.len()).unwrap_or(i64::MAX), "object");
        report.warn(format!("unpausing creates {objects}, the first is {} {}", kind.as_str(), quote(name)));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::reviews::children;
    use crate::testing::{edit, edited, small};
    use crate::validate::testing::{Children, found};
    use multigres_crds::kind::ChildKind;

    #[test]
    fn put_back() {
        let paused = edited(small(), &[edit("/spec", "/paused", json!(true))]);
        let cluster = || serde_json::from_value(small()).unwrap();
        let of = |change: fn(ChildKind, &mut Value)| {
            let there = ChildKind::ALL.into_iter().flat_map(|kind| {
                let mut list = children(kind, &cluster());
                for child in &mut list {
                    child["spec"]["paused"] = json!(true);
                    change(kind, child);
                }
                list.into_iter().map(move |child| (kind, child))
            });
            Children::of(there)
        };
        let edits = of(|kind, child| {
            if kind == ChildKind::MultiAdmin {
                child["spec"]["replicas"] = json!(7);
            }
        });
        assert_eq!(
            found("W16", &small(), Some(&paused), &edits),
            ["MultiAdmin \"c-admin\" spec.replicas: 7 → 1"]
        );
        assert!(found("W16", &small(), Some(&paused), &of(|_, _| {})).is_empty());
        assert!(found("W16", &small(), Some(&small()), &edits).is_empty());
        assert!(found("W16", &paused, Some(&paused), &edits).is_empty());
        assert!(found("W16", &small(), None, &edits).is_empty());
        let gone = "unpausing creates 7 objects, the first is MultiCell \"c-a\"";
        assert_eq!(found("W16", &small(), Some(&paused), &Children::default()), [gone]);
    }
}
