//! Rules for the location of the topology.

use multigres_crds::address;

use super::{ClusterContext, Reporter, rule};
use crate::path::Path;
use crate::report::{Reason, quote};

const GLOBAL: Path<'static> = Path::new("spec.globalTopoServer");

rule!(
    /// A root path is absolute and in normal form, so that equal paths are equal texts.
    C02 since "0.1.0" = { root_path: root_path }
);

fn root_path(path: &Path<'_>, root: &str, report: &mut Reporter<'_>) {
    if let Some(problem) = root_path_problem(root) {
        report.error(path, Reason::Invalid, root, format!("{} {problem}", quote(root)));
    }
}

fn root_path_problem(root: &str) -> Option<&'static str> {
    let Some(relative) = root.strip_prefix('/') else {
        return Some("is not an absolute path; begin it with '/', for example \"/multigres/global\"");
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if relative.is_empty() {
        Some("is the root of etcd itself; name a path below it, for example \"/multigres/global\"")
    } else if relative.split('/').any(|part| matches!(part, "" | "." | "..")) {
        Some("is not in normal form; remove empty parts, \".\", \"..\" and a '/' at the end")
    } else if !relative.chars().all(|c| legal(c) || c == '/') {
        Some("has characters other than letters, digits, '-', '_', '.' and '/'; remove them")
    } else {
        None
    }
}

rule!(
    /// An address is a list of `host:port` without URL schemes, remains of a copied link, or duplicates.
    C03 since "0.1.0" = { address: addresses }
);

fn addresses(path: &Path<'_>, list: &str, report: &mut Reporter<'_>) {
    if let Err(problem) = address::parse(list) {
        report.error(path, Reason::Invalid, list, problem.to_string());
    }
}

rule!(
    /// A global topology that is not managed is external and has an address.
    C04 since "0.1.0" = cluster: unmanaged_topology
);

fn unmanaged_topology(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let global = &cx.new.spec().global_topo_server;
    match &global.external {
        Some(external) if external.address.is_none() => {
            let message =
                "external has no address; write \"host:port\" of each endpoint, separated by commas";
            report.error(&GLOBAL.field("external.address"), Reason::Required, "", message);
        }
        None if global.managed == Some(false) => {
            let meta = &cx.new.cluster.metadata;
            let part =
                |text: &Option<String>, unknown: &str| text.clone().unwrap_or_else(|| unknown.to_owned());
            let own =
                address::managed_etcd(&part(&meta.name, "<name>"), &part(&meta.namespace, "<namespace>"));
            let message = format!(
                "managed is false and external is not set; set external.address: \"{own}\" keeps the etcd that the operator made, another address switches to another etcd"
            );
            report.error(&GLOBAL.field("external"), Reason::Required, "", message);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::{Edit, edit};
    use crate::validate::testing::create;

    const GLOBAL: &str = "/spec/globalTopoServer";

    /// An external topology of cell `a`.
    fn of_cell(external: &Value) -> Vec<Edit> {
        vec![edit("/spec/cells/templates/0", "/spec", json!({"topoServer": {"external": external}}))]
    }

    #[test]
    fn root_paths() {
        let global = |path: &str| vec![edit(GLOBAL, "/rootPath", json!(path))];
        let wrong: &[&str] = &["Invalid spec.globalTopoServer.rootPath"];
        create(
            "C02",
            &[
                (global("/multigres"), &[]),
                (global("/a/b-c_d.e"), &[]),
                (global("multigres"), wrong),
                (global("/"), wrong),
                (global("/a/"), wrong),
                (global("/a//b"), wrong),
                (global("/a/../b"), wrong),
                (global("/a b"), wrong),
                (global("/$(HOME)"), wrong),
                (of_cell(&json!({"address": "e:1", "rootPath": "/a"})), &[]),
                (
                    of_cell(&json!({"address": "e:1", "rootPath": "a"})),
                    &["Invalid spec.cells.templates[0].spec.topoServer.external.rootPath"],
                ),
            ],
        );
    }

    #[test]
    fn addresses() {
        let global = |address: &str| vec![edit(GLOBAL, "/external", json!({"address": address}))];
        let wrong: &[&str] = &["Invalid spec.globalTopoServer.external.address"];
        create(
            "C03",
            &[
                (global("etcd-0.example.com:2379,etcd-1.example.com:2379"), &[]),
                (global(""), wrong),
                (global("http://etcd:2379"), wrong),
                (global("[etcd:2379](http://etcd:2379)"), wrong),
                (global("etcd:2379,ETCD:2379"), wrong),
                (global("etcd"), wrong),
                (
                    of_cell(&json!({"address": "etcd:0", "rootPath": "/a"})),
                    &["Invalid spec.cells.templates[0].spec.topoServer.external.address"],
                ),
            ],
        );
    }

    #[test]
    fn unmanaged_topology() {
        let managed = |managed: bool| edit(GLOBAL, "/managed", json!(managed));
        let external = |external: Value| edit(GLOBAL, "/external", external);
        create(
            "C04",
            &[
                (vec![managed(true)], &[]),
                (vec![managed(false), external(json!({"address": "e:1"}))], &[]),
                (vec![managed(false)], &["Required spec.globalTopoServer.external"]),
                (vec![external(json!({}))], &["Required spec.globalTopoServer.external.address"]),
            ],
        );
    }
}
