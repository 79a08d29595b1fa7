//! Rules for names.

use super::{ChildContext, ChildSpec, ClusterContext, Reporter, rule};
use crate::path::Path;
use crate::report::{Reason, quote};

/// Keys that Multigres itself uses in the topology.
const RESERVED_CELLS: [&str; 5] = ["global", "cells", "databases", "backups", "locks"];
const MAX_CLUSTER: usize = 40;
const MAX_CELL: usize = 40;
/// Number of characters that the API server appends to a prefix.
const GENERATED: usize = 5;

rule!(
    /// A cluster name is a DNS-1035 label of at most 40 characters, since names of Services begin with it.
    C01 since "0.1.0" = cluster: cluster_name, child: name_of_cluster
);

fn cluster_name(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let meta = &cx.new.cluster.metadata;
    let given = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    let (name, prefix) = (given(&meta.name), given(&meta.generate_name));
    let written = |name: &String| !prefix.as_ref().is_some_and(|prefix| is_generated(name, prefix));
    if let Some(name) = name.filter(written) {
        check_cluster(&Path::new("metadata.name"), &name, report);
    } else if let Some(prefix) = prefix {
        let most = MAX_CLUSTER - GENERATED;
        if prefix.len() > most || !is_dns1035_label(&format!("{prefix}x")) {
            let message = format!(
                "{} is not a valid prefix of a cluster name; use at most {most} lowercase letters, digits and '-', and begin with a letter",
                quote(&prefix)
            );
            report.error(&Path::new("metadata.generateName"), Reason::Invalid, &prefix, message);
        }
    }
}

fn name_of_cluster(cx: &ChildContext<'_>, report: &mut Reporter<'_>) {
    check_cluster(&Path::new("spec.cluster"), cx.new.spec.cluster(), report);
}

fn check_cluster(path: &Path<'_>, name: &str, report: &mut Reporter<'_>) {
    if name.len() > MAX_CLUSTER || !is_dns1035_label(name) {
        let message = format!(
            "{} is not a valid cluster name; use at most {MAX_CLUSTER} lowercase letters, digits and '-', and begin with a letter",
            quote(name)
        );
        report.error(path, Reason::Invalid, name, message);
    }
}

/// True if the API server generated the name from the prefix, cut to fit. The author can then change only the prefix.
fn is_generated(name: &str, prefix: &str) -> bool {
    let start = name.len().checked_sub(GENERATED).and_then(|end| name.get(..end));
    start.is_some_and(|start| !start.is_empty() && prefix.starts_with(start))
}

rule!(
    /// Cell and pool names fit into host names and pooler ids, and no cell is named like a key of the topology.
    C06 since "0.1.0" = cluster: cell_and_pool_names, child: cells_and_pools_of_child
);

fn cell_and_pool_names(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    cx.new.each_cell(|path, cell| check_cell(&path.field("name"), &cell.name, report));
    cx.new.each_database(|path, database| {
        database.each_full_pool(path, |path, pool| {
            if let Some(name) = &pool.name {
                check_pool(&path.field("name"), name, report);
            }
        });
    });
}

fn cells_and_pools_of_child(cx: &ChildContext<'_>, report: &mut Reporter<'_>) {
    let path = Path::new("spec");
    match cx.new.spec {
        ChildSpec::MultiCell(spec) => check_cell(&path.field("cell"), &spec.cell, report),
        ChildSpec::MultiOrch(spec) => {
            let list = path.field("cells");
            for (index, cell) in spec.cells.iter().enumerate() {
                check_cell(&list.item(index, &cell.name).field("name"), &cell.name, report);
            }
        }
        ChildSpec::MultiShard(spec) => {
            let list = path.field("pools");
            for (index, pool) in spec.pools.iter().enumerate() {
                let path = list.item(index, &pool.name);
                check_pool(&path.field("name"), &pool.name, report);
                check_cell(&path.field("cell"), &pool.cell, report);
            }
        }
        ChildSpec::TopoServer(_) | ChildSpec::MultiAdmin(_) => {}
    }
}

fn check_cell(path: &Path<'_>, name: &str, report: &mut Reporter<'_>) {
    if RESERVED_CELLS.contains(&name) {
        let message =
            format!("{} is reserved: the topology uses it as a key; choose another name", quote(name));
        report.error(path, Reason::Invalid, name, message);
    } else if name.len() > MAX_CELL || !multigres_crds::names::is_dns_label(name) {
        let message = format!(
            "{} is not a valid cell name; use at most {MAX_CELL} lowercase letters, digits and '-', and do not begin or end \
             with '-'",
            quote(name)
        );
        report.error(path, Reason::Invalid, name, message);
    }
}

fn check_pool(path: &Path<'_>, name: &str, report: &mut Reporter<'_>) {
    if !is_pool_name(name) {
        let message = format!(
            "{} is not a valid pool name; use at most 50 letters, digits and '-', begin with a lowercase letter or a digit, \
             and do not end with '-'",
            quote(name)
        );
        report.error(path, Reason::Invalid, name, message);
    }
}

rule!(
    /// A database name is an identifier that needs no quotes in PostgreSQL, and a legal label value.
    C07 since "0.1.0" = cluster: database_name, child: databases_of_child
);

fn database_name(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    cx.new.each_database(|path, database| {
        check_database(&path.field("name"), &database.template.name, report);
    });
}

fn databases_of_child(cx: &ChildContext<'_>, report: &mut Reporter<'_>) {
    match cx.new.spec {
        ChildSpec::MultiShard(spec) => check_database(&Path::new("spec.database"), &spec.database, report),
        ChildSpec::MultiOrch(spec) => {
            for (index, name) in spec.databases.iter().enumerate() {
                check_database(&Path::new("spec.databases").item(index, name), name, report);
            }
        }
        _ => {}
    }
}

fn check_database(path: &Path<'_>, name: &str, report: &mut Reporter<'_>) {
    if matches!(name, "template0" | "template1") {
        let message = format!(
            "{} is reserved: it is a template database of PostgreSQL; choose another name",
            quote(name)
        );
        report.error(path, Reason::Invalid, name, message);
    } else if !is_identifier(name, 63, |c| c == '_') {
        let message = format!(
            "{} is not a valid database name; use at most 63 lowercase letters, digits and '_', begin with a letter, and do \
             not end with '_'",
            quote(name)
        );
        report.error(path, Reason::Invalid, name, message);
    }
}

rule!(
    /// A table group name is a short identifier, since names of Services and labels contain it.
    C11 since "0.1.0" = cluster: table_group_name, child: table_group_of_child
);

fn table_group_name(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    cx.new.each_database(|path, database| {
        database.each_group(path, |path, group| check_table_group(&path.field("name"), &group.name, report));
    });
}

fn table_group_of_child(cx: &ChildContext<'_>, report: &mut Reporter<'_>) {
    if let ChildSpec::MultiShard(spec) = cx.new.spec {
        check_table_group(&Path::new("spec.tableGroup"), &spec.table_group, report);
    }
}

fn check_table_group(path: &Path<'_>, name: &str, report: &mut Reporter<'_>) {
    if !is_identifier(name, 25, |c| matches!(c, '_' | '-')) {
        let message = format!(
            "{} is not a valid table group name; use at most 25 lowercase letters, digits, '_' and '-', begin with a \
             letter, and end with a letter or digit",
            quote(name)
        );
        report.error(path, Reason::Invalid, name, message);
    }
}

fn is_dns1035_label(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase()) && multigres_crds::names::is_dns_label(name)
}

fn is_pool_name(name: &str) -> bool {
    (1..=50).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// A letter first, a letter or digit last, and the separators between.
fn is_identifier(name: &str, most: usize, separator: impl Fn(char) -> bool) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= most
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.ends_with(alphanumeric)
        && name.chars().all(|c| alphanumeric(c) || separator(c))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{FULL, SHORT, edit};
    use crate::validate::testing::create;

    #[test]
    fn cluster_name() {
        let name = |name: &str| vec![edit("/metadata", "/name", json!(name))];
        let prefix = |prefix: &str| {
            vec![edit("/metadata", "/name", json!(null)), edit("/metadata", "/generateName", json!(prefix))]
        };
        let generated = |prefix: &str, written: &str| {
            vec![
                edit("/metadata", "/name", json!(format!("{written}x7k2q"))),
                edit("/metadata", "/generateName", json!(prefix)),
            ]
        };
        create(
            "C01",
            &[
                (name("a"), &[]),
                (name(&"a".repeat(40)), &[]),
                (name(&"a".repeat(41)), &["Invalid metadata.name"]),
                (name("1a"), &["Invalid metadata.name"]),
                (name("a.b"), &["Invalid metadata.name"]),
                (prefix("a-"), &[]),
                (prefix(&"a".repeat(35)), &[]),
                (prefix(&"a".repeat(36)), &["Invalid metadata.generateName"]),
                (prefix("-"), &["Invalid metadata.generateName"]),
                (generated("a-", "a-"), &[]),
                (generated(&"a".repeat(36), &"a".repeat(36)), &["Invalid metadata.generateName"]),
                (generated(&"a".repeat(80), &"a".repeat(58)), &["Invalid metadata.generateName"]),
                (generated("b-", "A-"), &["Invalid metadata.name"]),
            ],
        );
    }

    #[test]
    fn cell_and_pool_names() {
        let cell = |name: &str| vec![edit("", "/spec/cells/templates/1/name", json!(name))];
        let pool =
            |name: &str| vec![edit(FULL, "/spec/tableGroups/0/shardTemplate/pools/1/name", json!(name))];
        let wrong_cell: &[&str] = &["Invalid spec.cells.templates[1].name"];
        let wrong_pool: &[&str] =
            &["Invalid spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools[1].name"];
        create(
            "C06",
            &[
                (cell("1a"), &[]),
                (cell(&"a".repeat(40)), &[]),
                (cell(&"a".repeat(41)), wrong_cell),
                (cell("A"), wrong_cell),
                (cell("a_b"), wrong_cell),
                (cell("global"), wrong_cell),
                (cell(""), wrong_cell),
                (pool("us-readOnly"), &[]),
                (pool(&"a".repeat(50)), &[]),
                (pool(&"a".repeat(51)), wrong_pool),
                (pool("Reports"), wrong_pool),
                (pool("a-"), wrong_pool),
                (pool(""), wrong_pool),
            ],
        );
    }

    #[test]
    fn database_name() {
        let name = |name: &str| vec![edit(SHORT, "/name", json!(name))];
        let wrong: &[&str] = &["Invalid spec.databases.templates[0].name"];
        create(
            "C07",
            &[
                (name("users_db"), &[]),
                (name(&"a".repeat(63)), &[]),
                (name("users-db"), wrong),
                (name("Users"), wrong),
                (name("_users"), wrong),
                (name("users_"), wrong),
                (name("template1"), wrong),
            ],
        );
    }

    #[test]
    fn table_group_name() {
        let name = |name: &str| vec![edit(FULL, "/spec/tableGroups/0/name", json!(name))];
        let wrong: &[&str] = &["Invalid spec.databases.templates[1].spec.tableGroups[0].name"];
        create(
            "C11",
            &[
                (name("orders_tg"), &[]),
                (name("orders-tg"), &[]),
                (name("1"), wrong),
                (name("orders_"), wrong),
            ],
        );
    }
}
