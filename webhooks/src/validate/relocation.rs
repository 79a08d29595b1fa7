//! A topology stays where it is while somebody uses it.

use std::collections::{BTreeSet, HashMap};

use multigres_crds::address::{self, Endpoint};
use multigres_crds::resolve::{cell_root, global_members};
use multigres_crds::v1alpha1::{CellTemplate, TopologyReference};

use super::view::View;
use super::{ChildContext, ClusterContext, Reporter, rule};
use crate::path::Path;
use crate::report::{Reason, quote};

const GLOBAL: Path<'static> = Path::new("spec.globalTopoServer");

rule!(
    /// The topology stays on the same etcd while the cluster has databases, since their records would be lost.
    U02 since "0.1.0" = cluster: global_stays, child: topologies_stay
);

fn global_stays(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let Some(old) = cx.old.as_ref().filter(|old| !old.databases.is_empty()) else { return };
    let external = GLOBAL.field("external");
    let known = |view: &View<'_>| view.knows(&external) && view.knows(&GLOBAL.field("managedSpec.replicas"));
    if known(old) && known(&cx.new) && moves(&global_members(old.cluster), &global_members(cx.new.cluster)) {
        let (from, to) = (etcd(old), etcd(&cx.new));
        let message = format!(
            "the topology would move from {from} to {to} without its records; keep at least one of the endpoints while the cluster has databases"
        );
        let is_external = cx.new.spec().global_topo_server.external.is_some();
        let address = external.field("address");
        report.error(if is_external { &address } else { &external }, Reason::Forbidden, to, message);
    }
}

fn etcd(view: &View<'_>) -> String {
    let external = view.spec().global_topo_server.external.as_ref();
    external
        .and_then(|external| external.address.as_deref())
        .map_or_else(|| "the managed etcd".to_owned(), quote)
}

/// True if no member of the etcd is kept. False if the members are not known.
fn moves(old: &BTreeSet<Endpoint>, new: &BTreeSet<Endpoint>) -> bool {
    !old.is_empty() && !new.is_empty() && old.is_disjoint(new)
}

fn topologies_stay(cx: &ChildContext<'_>, report: &mut Reporter<'_>) {
    let Some(old) = &cx.old else { return };
    let before: HashMap<&str, &TopologyReference> = old.spec.topologies().into_iter().collect();
    let members = |topology: &TopologyReference| address::members(&topology.address, cx.new.namespace);
    for (at, new) in cx.new.spec.topologies() {
        let path = Path::new(at);
        let Some(before) = before.get(at).filter(|_| old.knows(&path)) else { continue };
        if moves(&members(before), &members(new)) {
            let message = format!(
                "the topology would move from {} to {} without its records; keep at least one of the endpoints",
                quote(&before.address),
                quote(&new.address)
            );
            report.error(&path.field("address"), Reason::Forbidden, &new.address, message);
        }
        if new.root_path != before.root_path {
            let root = quote(&before.root_path);
            let message = format!("cannot be changed: the topology would be lost; write {root}");
            report.error(&path.field("rootPath"), Reason::Forbidden, &new.root_path, message);
        }
    }
}

rule!(
    /// The topology of a cell cannot change while pools use the cell, since their records are in it.
    U08 since "0.1.0" = cluster: cells_stay
);

fn cells_stay(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let is_managed = |view: &View<'_>| view.spec().cells.managed.unwrap_or(true);
    let Some(old) = cx.old.as_ref().filter(|old| is_managed(old) && is_managed(&cx.new)) else { return };
    let mut used = BTreeSet::new();
    old.each_pool(|_, pool| {
        used.insert(pool.cell);
    });
    let before: HashMap<&str, &CellTemplate> =
        old.spec().cells.templates.iter().map(|cell| (cell.name.as_str(), cell)).collect();
    cx.new.each_cell(|path, cell| {
        let Some(before) = before.get(cell.name.as_str()).filter(|_| used.contains(cell.name.as_str())) else {
            return;
        };
        let path = path.field("spec.topoServer");
        let known = cx.new.knows(&path) && old.unknown().is_empty();
        if cell.spec.topo_server.is_none() && before.spec.topo_server.is_none() {
            // Both follow the global one, which other rules hold in place.
            return;
        }
        let ((new, new_root), (old, old_root)) = (topology(&cx.new, cell), topology(old, before));
        if known && (new_root != old_root || moves(&old, &new)) {
            let message = "cannot be changed while pools use the cell, because their records are in it; add another cell and move the pools there";
            report.error(&path, Reason::Forbidden, format!("{new:?} {new_root}"), message);
        }
    });
}

/// Members and root of the topology that holds a cell's records: the cell's own, or its part of the global one.
fn topology(view: &View<'_>, cell: &CellTemplate) -> (BTreeSet<Endpoint>, String) {
    let namespace = view.cluster.metadata.namespace.as_deref().unwrap_or_default();
    match cell.spec.topo_server.as_ref().and_then(|topology| topology.external.as_ref()) {
        Some(own) => (address::members(&own.address, namespace), own.root_path.clone()),
        None => {
            (global_members(view.cluster), cell_root(&view.spec().global_topo_server.root_path, &cell.name))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::{Edit, edit};
    use crate::validate::testing::update;

    #[test]
    fn global_stays() {
        let external =
            |address: &str| vec![edit("/spec/globalTopoServer", "/external", json!({"address": address}))];
        let managed = || vec![edit("/spec/globalTopoServer", "/external", json!(null))];
        let without_databases = |mut edits: Vec<Edit>| {
            edits.push(edit("/spec", "/databases", json!(null)));
            edits
        };
        let address: &[&str] = &["Forbidden spec.globalTopoServer.external.address"];
        update(
            "U02",
            &[
                (external("a:1,b:1"), external("c:1,B.ns.svc:1"), &[]),
                (external("a:1,b:1"), external("a:2,c:1"), address),
                (external("a:1"), managed(), &["Forbidden spec.globalTopoServer.external"]),
                (vec![], external("a:1"), address),
                // Releases, not moves.
                (vec![], external("c-etcd-client.ns.svc.cluster.local:2379"), &[]),
                (vec![], external("c-etcd-0.c-etcd-peer.ns.svc:2379,c-etcd-1.c-etcd-peer.ns.svc:2379"), &[]),
                (external("c-etcd-client:2379"), managed(), &[]),
                // Nothing is lost, or nothing is known.
                (without_databases(external("a:1")), external("b:1"), &[]),
                (external("a:1"), without_databases(external("b:1")), address),
                (external("a"), external("b:1"), &[]),
                (vec![edit("/spec/globalTopoServer", "/external", json!(1))], external("b:1"), &[]),
            ],
        );
    }

    #[test]
    fn cells_stay() {
        let own = |cell: usize, topology: Value| {
            vec![edit(&format!("/spec/cells/templates/{cell}"), "/spec", json!({"topoServer": topology}))]
        };
        let external =
            |address: &str, root: &str| json!({"external": {"address": address, "rootPath": root}});
        let path: &[&str] = &["Forbidden spec.cells.templates[0].spec.topoServer"];
        let unused = || vec![edit("/spec", "/databases", json!(null))];
        update(
            "U08",
            &[
                (vec![], own(0, external("a:1", "/a")), path),
                (own(0, external("a:1", "/a")), own(0, json!({})), path),
                // The same, said in full.
                (vec![], own(0, external("c-etcd-client.ns.svc:2379", "/m/global/a")), &[]),
                (vec![], own(0, external("c-etcd-client.ns.svc:2379", "/m/global/b")), path),
                (own(0, external("a:1", "/a")), own(0, external("a.ns:1,b:1", "/a")), &[]),
                (own(0, external("a:1", "/a")), own(0, external("b:1", "/a")), path),
                (own(0, external("a:1", "/a")), own(0, external("a:1", "/b")), path),
                (unused(), own(0, external("a:1", "/a")), &[]),
                // The order of the cells is no matter.
                (
                    own(0, external("a:1", "/a")),
                    vec![edit(
                        "/spec/cells",
                        "/templates",
                        json!([{"name": "b"}, {"name": "a", "spec": {"topoServer": external("a:1", "/a")}}]),
                    )],
                    &[],
                ),
                (vec![edit("/spec/cells", "/managed", json!(false))], own(0, external("a:1", "/a")), &[]),
            ],
        );
    }
}
