//! Cells, pools and shards as a whole.

#[cfg(test)]
mod tests;

use multigres_crds::resolve::{Origin, PoolSource, TableGroupSource};
use multigres_crds::v1alpha1::{DatabaseImages, DurabilityPolicy, PoolType};

use super::membership::QUORUM;
use super::text::{alternatives, count, suggestion};
use super::view::{CELLS, Database};
use super::{ChildContext, ChildSpec, ClusterContext, Reporter, rule};
use crate::lookup::Known;
use crate::path::{FieldPath, Path};
use crate::report::{Reason, quote};

/// Maximum number of pools in the schema of a MultiShard.
const MAX_POOLS: usize = 20;

rule!(
    /// Pools of a shard have different names, and so have cells, databases and table groups.
    C05 since "0.1.0" = cluster: pool_names_differ
);

fn pool_names_differ(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    cx.new.each_database(|path, database| {
        for group in &database.groups {
            // There are so few that to hash them costs more than to compare each with each.
            for (index, pool) in group.pools.iter().enumerate() {
                let same = |other: &&PoolSource<'_>| other.name == pool.name;
                let Some(first) = group.pools[..index].iter().find(same) else { continue };
                if ![first, pool].iter().all(|pool| cx.new.knows_name(path, database, pool)) {
                    continue;
                }
                let name = quote(&pool.name);
                let (field, message) = if group.index.is_some() {
                    (
                        "name",
                        format!("{name} is another pool of this shard already; give each a name of its own"),
                    )
                } else {
                    let advice = "merge the entries, or use tableGroups, where pools have names";
                    ("cell", format!("another entry makes the pool {name} already; {advice}"))
                };
                let path = database.at_pool(path, pool, |site| FieldPath::from(&site.entry.field(field)));
                report.error(path, Reason::Duplicate, &pool.name, message);
            }
        }
    });
}

rule!(
    /// A database uses exactly one form, `pools` or `tableGroups`, and its shards have pools.
    C08 since "0.1.0" = cluster: one_form
);

fn one_form(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    cx.new.each_database(|path, database| {
        let spec = &database.template.spec;
        let path = path.field("spec");
        let (short, full) = (path.field("pools"), path.field("tableGroups"));
        match (spec.pools.is_empty(), spec.table_groups.is_empty()) {
            (false, false) => {
                let message = "pools is set too; keep pools for a single shard, or tableGroups for more";
                report.error(&full, Reason::Forbidden, "", message);
            }
            (true, true) if cx.new.knows(&full) => {
                let message =
                    "the database has no pools; write pools for a single shard, or tableGroups for more";
                report.error(&short, Reason::Required, "", message);
            }
            _ => {}
        }
    });
    cx.new.each_database(|path, database| {
        database.each_group(path, |path, group| {
            if group.shard_template.pools.is_empty() {
                let message = "the shards have no pools; name at least one of type replica";
                report.error(&path.field("shardTemplate.pools"), Reason::Required, "", message);
            }
        });
    });
}

rule!(
    /// A pool runs in a cell of this cluster.
    C09 since "0.1.0" = cluster: cells_of_pools
);

fn cells_of_pools(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let Some(cells) = cx.new.cell_names() else { return };
    let managed = cx.new.spec().cells.managed.unwrap_or(true);
    let meta = &cx.new.cluster.metadata;
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    let standing = || cx.lookup.cells(&part(&meta.namespace), &part(&meta.name));
    let mut check = |path: &Path<'_>, cell: &str| {
        if cells.contains(cell) {
            return;
        }
        let name = quote(cell);
        if managed {
            let hint = suggestion(cell, cells.iter().copied()).unwrap_or_else(|| {
                format!("add it to spec.cells.templates, or use {}", alternatives(cells.iter().copied()))
            });
            let message = format!("{name} is not a cell of this cluster; {hint}");
            report.error(&path.field("cell"), Reason::NotFound, cell, message);
        } else if !matches!(standing(), Known::Yes(standing) if standing.contains(cell)) {
            report.warn(format!(
                "{name} is not a cell in spec.cells: its pools wait for a MultiCell of that name"
            ));
        }
    };
    cx.new.each_database(|path, database| {
        let spec = path.field("spec");
        let list = spec.field("pools");
        for (index, entry) in database.template.spec.pools.iter().enumerate() {
            check(&list.item(index, &entry.cell), &entry.cell);
        }
        database.each_full_pool(path, |path, pool| check(path, &pool.cell));
    });
}

rule!(
    /// The short form names one entry in which the primary is preferred, and each entry has a pool.
    C10 since "0.1.0" = cluster: one_primary
);

fn one_primary(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    cx.new.each_database(|path, database| {
        let entries = &database.template.spec.pools;
        let spec = path.field("spec");
        let list = spec.field("pools");
        let mut first: Option<usize> = None;
        let mut all_known = true;
        for (index, entry) in entries.iter().enumerate() {
            let path = list.item(index, &entry.cell);
            let primary = path.field("primary");
            all_known &= cx.new.knows(&primary);
            match (&entry.primary, &entry.replica, first) {
                (None, None, _) if cx.new.knows(&path.field("replica")) => {
                    let message = "the entry holds no pool; write primary, replica or both";
                    report.error(&primary, Reason::Required, "", message);
                    // One cause is enough where it may be the one that is missing.
                    all_known = false;
                }
                (Some(_), _, Some(first)) => {
                    let message = format!(
                        "pools[{first}] has primary already, and a shard has one; make this one replica"
                    );
                    report.error(&primary, Reason::Forbidden, "", message);
                }
                (Some(_), _, None) => first = Some(index),
                _ => {}
            }
        }
        if let Some(entry) = entries.first().filter(|_| first.is_none() && all_known) {
            let message =
                "no entry has primary; write it in the entry of the cell where the primary is preferred";
            report.error(&list.item(0, &entry.cell).field("primary"), Reason::Required, "", message);
        }
    });
}

rule!(
    /// A shard has as many primary-eligible instances, in as many cells, as its durability policy needs.
    C12 since "0.1.0" = cluster: enough_instances, child: enough_of_shard
);

fn enough_instances(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    cx.new.each_database(|path, database| {
        let policy = database.template.spec.durability_policy.unwrap_or_default();
        let policy_is_known = cx.new.knows(&path.field("spec.durabilityPolicy"));
        for group in
            database.groups.iter().filter(|group| policy_is_known && is_known(cx, path, database, group))
        {
            let eligible = || group.pools.iter().filter(|pool| pool.type_ == PoolType::Replica);
            let Some(first) = eligible().next().or(group.pools.first()) else { continue };
            let instances = eligible().map(|pool| (pool.cell, pool.member.replicas()));
            if let Some((field, found, message)) = shortage(policy, instances) {
                let path = database.at_pool(path, first, |site| match field {
                    "cell" => FieldPath::from(&site.entry.field(field)),
                    _ => FieldPath::from(&site.block.field(field)),
                });
                report.error(path, Reason::Invalid, found, message);
            }
        }
    });
}

/// True if everything is decodable that decides how many instances of a shard can lead, and in which cells.
fn is_known(
    cx: &ClusterContext<'_>,
    path: &Path<'_>,
    database: &Database<'_>,
    group: &TableGroupSource<'_>,
) -> bool {
    let knows = |path: &Path<'_>| cx.new.knows(path);
    cx.new.unknown().is_empty()
        || group.pools.iter().all(|pool| {
            database.at_pool(path, pool, |site| {
                let role = match pool.origin {
                    Origin::Pool { .. } => knows(&site.block.field("type")),
                    _ => true,
                };
                role && knows(&site.entry.field("cell")) && knows(&site.block.field("replicas"))
            })
        })
}

fn enough_of_shard(cx: &ChildContext<'_>, report: &mut Reporter<'_>) {
    let ChildSpec::MultiShard(spec) = cx.new.spec else { return };
    let list = Path::new("spec.pools");
    let eligible = || spec.pools.iter().enumerate().filter(|(_, pool)| pool.type_ == PoolType::Replica);
    let Some((index, first)) = eligible().next().or(spec.pools.iter().enumerate().next()) else { return };
    if !cx.new.knows(&list) || !cx.new.knows(&Path::new("spec.durabilityPolicy")) {
        return;
    }
    let instances = eligible().map(|(_, pool)| (pool.cell.as_str(), pool.replicas));
    if let Some((field, found, message)) = shortage(spec.durability_policy, instances) {
        report.error(&list.item(index, &first.name).field(field), Reason::Invalid, found, message);
    }
}

/// The shortage under the policy, given cell and number of instances of each pool that can lead: the field at fault, its
/// value, and the message.
fn shortage<'p>(
    policy: DurabilityPolicy,
    pools: impl Iterator<Item = (&'p str, i32)>,
) -> Option<(&'static str, String, String)> {
    let name = policy.as_str();
    let (mut pool_count, mut instances, mut first_cell, mut in_one_cell) = (0, 0_i32, None, true);
    for (cell, replicas) in pools {
        pool_count += 1;
        instances = instances.saturating_add(replicas);
        if replicas > 0 {
            in_one_cell &= *first_cell.get_or_insert(cell) == cell;
        }
    }
    if pool_count == 0 {
        let message = format!(
            "no pool of this shard can lead, and {name} needs 2 instances that can; add a pool of type replica"
        );
        Some(("type", "none".to_owned(), message))
    } else if instances < QUORUM {
        let message = format!(
            "{} can lead this shard, and {name} needs {QUORUM}; raise replicas, or add a pool of type replica",
            count(instances, "instance")
        );
        Some(("replicas", instances.to_string(), message))
    } else if policy == DurabilityPolicy::MultiCellAtLeast2 && in_one_cell {
        let message = format!(
            "all instances that can lead this shard are in one cell, and {name} needs 2 cells; add a pool of type replica in another cell"
        );
        Some(("cell", "1 cell".to_owned(), message))
    } else {
        None
    }
}

rule!(
    /// The pool in which the primary is preferred has 1 to 10 instances, and a shard has at most 20 pools; other bounds are in the schema.
    C15 since "0.1.0" = cluster: bounds, child: primary_of_shard
);

fn bounds(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    // An entry of the short form can hold two.
    cx.new.each_database(|path, database| {
        let pools: usize =
            database.groups.iter().filter(|group| group.index.is_none()).map(|group| group.pools.len()).sum();
        if pools > MAX_POOLS {
            let message = format!("the entries hold {pools} pools; a shard has at most {MAX_POOLS}");
            report.error(&path.field("spec.pools"), Reason::TooMany, pools, message);
        }
    });
    cx.new.each_pool(|site, pool| {
        if matches!(pool.origin, Origin::Primary { .. }) {
            check_primary(&site.block, pool.member.replicas(), report);
        }
    });
}

fn primary_of_shard(cx: &ChildContext<'_>, report: &mut Reporter<'_>) {
    let ChildSpec::MultiShard(spec) = cx.new.spec else { return };
    let list = Path::new("spec.pools");
    for (index, pool) in spec.pools.iter().enumerate().filter(|(_, pool)| pool.primary_preferred) {
        check_primary(&list.item(index, &pool.name), pool.replicas, report);
    }
}

fn check_primary(pool: &Path<'_>, replicas: i32, report: &mut Reporter<'_>) {
    if !(1..=10).contains(&replicas) {
        let message = format!("{replicas} is out of bounds; a primary pool has 1 to 10 instances");
        report.error(&pool.field("replicas"), Reason::Invalid, replicas, message);
    }
}

rule!(
    /// A cluster whose cells are managed has at least one cell.
    C17 since "0.1.0" = cluster: some_cell
);

fn some_cell(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let cells = &cx.new.spec().cells;
    if cells.templates.is_empty() && cells.managed.unwrap_or(true) {
        let message = "the cluster has no cell; add at least one, for example \"name: us-east-1\"";
        report.error(&CELLS, Reason::Required, "", message);
    }
}

rule!(
    /// The pooler is spelled either `multiPooler` or `multipooler` in one place, not both.
    C18 since "0.1.0" = cluster: one_spelling
);

fn one_spelling(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let mut check = |path: &Path<'_>, both: bool| {
        if both {
            let message = "multiPooler says the same beside it; keep one of the two spellings";
            report.error(&path.field("multipooler"), Reason::Forbidden, "", message);
        }
    };
    let both_in = |images: &DatabaseImages| images.multi_pooler.is_some() && images.multipooler.is_some();
    let images = cx.new.spec().databases.as_ref().and_then(|databases| databases.images.as_ref());
    check(&Path::new("spec.databases.images"), images.is_some_and(both_in));
    cx.new.each_database(|path, database| {
        check(&path.field("spec.images"), database.template.spec.images.as_ref().is_some_and(both_in));
    });
    cx.new.each_written(|path, pool| check(path, pool.multi_pooler.is_some() && pool.multipooler.is_some()));
}
