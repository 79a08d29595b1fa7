//! Rules for parts that cannot be removed.

use std::collections::BTreeSet;

use super::view::{DATABASES, Database, View};
use super::{ClusterContext, Reporter, rule};
use crate::path::Path;
use crate::report::{Reason, quote};

rule!(
    /// While `deletionProtection` is true, no database, table group or pool can be removed.
    U09 since "0.1.0" = cluster: protected_parts
);

fn protected_parts(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let is_protected = |view: &&View<'_>| view.spec().deletion_protection == Some(true);
    let Some(old) = cx.old.as_ref().filter(is_protected) else { return };
    let mut check = |path: &Path<'_>, kind: &str, old: &BTreeSet<String>, new: &BTreeSet<String>| {
        let removed: Vec<String> = old.difference(new).map(|name| quote(name)).collect();
        if !removed.is_empty() {
            let removed = removed.join(", ");
            let message = format!(
                "{kind} {removed} cannot be removed while deletionProtection is true; set deletionProtection to false in an earlier update"
            );
            report.error(path, Reason::Forbidden, removed, message);
        }
    };
    check(&DATABASES, "database", &old.database_names(), &cx.new.database_names());
    for before in &old.databases {
        let same = |database: &&Database<'_>| database.template.name == before.template.name;
        let Some(database) = cx.new.databases.iter().find(same) else { continue };
        let template = DATABASES.item(database.index, &database.template.name);
        let spec = template.field("spec");
        if !["pools", "tableGroups"].iter().all(|form| cx.new.knows(&spec.field(form))) {
            continue;
        }
        let is_short = !database.template.spec.pools.is_empty();
        let list = spec.field(if is_short { "pools" } else { "tableGroups" });
        check(&list, "table group", &before.group_names(), &database.group_names());
        for before in &before.groups {
            let Some(group) = database.groups.iter().find(|group| group.name == before.name) else {
                continue;
            };
            let pools = |group: &multigres_crds::resolve::TableGroupSource<'_>| {
                group.pools.iter().map(|pool| pool.name.to_string()).collect()
            };
            match group.index {
                Some(index) => {
                    let group_path = list.item(index, group.name);
                    check(&group_path.field("shardTemplate.pools"), "pool", &pools(before), &pools(group));
                }
                None => check(&list, "pool", &pools(before), &pools(group)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{Edit, FULL, SHORT, edit};
    use crate::validate::testing::update;

    #[test]
    fn protected_parts() {
        let protected = || vec![edit("/spec", "/deletionProtection", json!(true))];
        let remove = |at: &str| -> Vec<Edit> { vec![edit("", at, json!(null))] };
        let pools = format!("{FULL}/spec/tableGroups/0/shardTemplate/pools");
        let list: &[&str] = &["Forbidden spec.databases.templates"];
        update(
            "U09",
            &[
                (vec![], remove(FULL), &[]),
                (protected(), remove(FULL), list),
                (protected(), remove("/spec/databases"), list),
                (protected(), vec![edit(FULL, "/name", json!("new"))], list),
                // Protection that went in the same update would protect from nothing.
                (protected(), [remove(FULL), remove("/spec/deletionProtection")].concat(), list),
                (protected(), remove("/spec/deletionProtection"), &[]),
                (
                    protected(),
                    vec![edit(FULL, "/spec/tableGroups/0/name", json!("tg"))],
                    &["Forbidden spec.databases.templates[1].spec.tableGroups"],
                ),
                (
                    protected(),
                    remove(&format!("{pools}/1")),
                    &["Forbidden spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools"],
                ),
                (
                    protected(),
                    remove(&format!("{SHORT}/spec/pools/0/replica")),
                    &["Forbidden spec.databases.templates[0].spec.pools"],
                ),
                // What is there is not known.
                (protected(), vec![edit(SHORT, "/spec/pools", json!(1))], &[]),
                (protected(), vec![edit(SHORT, "/spec/pools/0/replica", json!({"replicas": 0}))], &[]),
            ],
        );
    }
}
