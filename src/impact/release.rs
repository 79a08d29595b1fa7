//! Children that a cluster releases: nothing of them is deleted.

use kube::ResourceExt;
use multigres_crds::kind::ChildKind;
use multigres_crds::resolve::{Children, section_is_managed};
use multigres_crds::v1alpha1::{MultigresCluster, MultigresClusterSpec};
use multigres_webhooks::report::Report;

use super::{Consequence, Disruption, Shard};

/// Those of the children that the cluster no longer manages: they stay as they are, and so does what they have become.
pub fn released(children: &Children, new: &MultigresCluster) -> Vec<Consequence> {
    let released = ChildKind::ALL.into_iter().filter(|kind| !section_is_managed(&new.spec, *kind));
    let lines = released.filter_map(|kind| line(&why(kind, &new.spec), kind, &names(kind, children)));
    lines.map(|line| (Disruption::Released, line)).collect()
}

/// The change that releases.
fn why(kind: ChildKind, new: &MultigresClusterSpec) -> String {
    let section = match kind {
        ChildKind::TopoServer if new.global_topo_server.external.is_some() => {
            return "globalTopoServer.external set".to_owned();
        }
        ChildKind::TopoServer => "globalTopoServer",
        ChildKind::MultiAdmin => "admin",
        ChildKind::MultiOrch => "orchestrator",
        ChildKind::MultiCell => "cells",
        ChildKind::MultiShard => "databases",
    };
    format!("{section}.managed true → false")
}

/// Their names, for people.
fn names(kind: ChildKind, children: &Children) -> Vec<String> {
    match kind {
        ChildKind::TopoServer => children.topo_server.iter().map(ResourceExt::name_any).collect(),
        ChildKind::MultiAdmin => children.admin.iter().map(ResourceExt::name_any).collect(),
        ChildKind::MultiOrch => children.orch.iter().map(ResourceExt::name_any).collect(),
        ChildKind::MultiCell => children.cells.iter().map(|cell| cell.spec.cell.clone()).collect(),
        ChildKind::MultiShard => {
            children.shards.iter().map(|shard| Shard::of(&shard.spec).to_string()).collect()
        }
    }
}

/// The line about released children: as many names as fit, and the number of the others.
fn line(why: &str, kind: ChildKind, names: &[String]) -> Option<String> {
    let with = |shown: usize| {
        let (shown, more) = names.split_at(shown);
        let more = match (shown.len(), more.len()) {
            (_, 0) => String::new(),
            (0, more) => format!("{more} objects"),
            (_, more) => format!(" and {more} more"),
        };
        format!("{why}: {} {}{more} released: not deleted, yours to edit", kind.as_str(), shown.join(", "))
    };
    let fits = |line: &String| line.chars().count() <= Report::MAX_WARNING;
    // A name takes a character at least.
    let mut lines = (0..=names.len().min(Report::MAX_WARNING)).rev().map(with);
    (!names.is_empty()).then(|| lines.find(fits).unwrap_or_else(|| with(0)))
}
