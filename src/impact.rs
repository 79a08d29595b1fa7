//! Consequences of a change for pods and volumes, announced before it is made: old and new are built by the
//! controllers' own builders and compared.

mod parts;
mod release;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use kube::ResourceExt;
use multigres_crds::defaults;
use multigres_crds::quantity::Quantity;
use multigres_crds::resolve::{self, Children};
use multigres_crds::v1alpha1::{MultiShard, MultiShardSpec, MultigresCluster, Retention, RetentionPolicy};
use multigres_webhooks::children::edits::{Step, changed_fields};
use multigres_webhooks::impact::Impact;
use serde_json::Value;

use self::parts::{Built, Part, Parts, Shard, managed_by, parts};
use crate::build::{Environment, RESTARTED_AT};

/// More consequences than this are counted, not listed.
const READABLE: usize = 8;

/// Compares workloads.
pub struct Workloads {
    /// Settings that apply to everything that is built.
    pub environment: Environment,
}

/// Change of a part, the most disruptive first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Disruption {
    Removed,
    Restarted,
    ScaledDown,
    Released,
    Grown,
    ScaledUp,
}

/// One line that is told.
type Consequence = (Disruption, String);

impl Impact for Workloads {
    fn consequences(&self, old: &MultigresCluster, new: &MultigresCluster) -> Vec<String> {
        let (before, after, places) = changes(old, new);
        let mut consequences = release::released(&before, new);
        let before = managed_by(new, parts(&before, &self.environment));
        let after = parts(&after, &self.environment);
        consequences.extend(removals(&before, &after, &places, retention(old)));
        consequences.extend(restarts(&before, &after, revision(old, new).as_deref()));
        for (part, before, after) in kept(&before, &after) {
            consequences.extend(scaling(part, before, after, retention(new)));
            consequences.extend(growth(part, before, after));
        }
        if new.spec.paused == Some(true) && !consequences.is_empty() {
            return vec!["paused: nothing of this happens until the cluster is unpaused".to_owned()];
        }
        readable(consequences)
    }
}

/// Children of the old and the new cluster that differ, and the places of the new one. A large cluster has thousands of
/// shards, of which few change at a time, so unchanged ones are dropped one by one.
fn changes(old: &MultigresCluster, new: &MultigresCluster) -> (Children, Children, Places) {
    let [mut before, mut after] = [old, new].map(resolve::children_without_shards);
    let (mut was, mut places) = (resolve::shards(old), Places::default());
    for is in resolve::shards(new) {
        places.add(&is.spec);
        match was.next() {
            Some(was) if is_unchanged(&was, &is) => {}
            was => {
                before.shards.extend(was);
                after.shards.push(is);
            }
        }
    }
    before.shards.extend(was);
    leave_out_unchanged(&mut before.shards, &mut after.shards);
    (before, after, places)
}

fn is_unchanged(was: &MultiShard, is: &MultiShard) -> bool {
    was.metadata.name == is.metadata.name && was.spec == is.spec
}

/// Leaves out those that only stand elsewhere.
fn leave_out_unchanged(before: &mut Vec<MultiShard>, after: &mut Vec<MultiShard>) {
    let unchanged: HashSet<String> = {
        let new: HashMap<_, _> = after.iter().map(|shard| (&shard.metadata.name, shard)).collect();
        let stays = |was: &&MultiShard| new.get(&was.metadata.name).is_some_and(|is| is_unchanged(was, is));
        before.iter().filter(stays).map(ResourceExt::name_any).collect()
    };
    for shards in [before, after] {
        shards.retain(|shard| !unchanged.contains(&shard.name_any()));
    }
}

/// The databases that there will be, and their table groups.
#[derive(Default)]
struct Places {
    databases: BTreeSet<String>,
    groups: BTreeSet<(String, String)>,
}

impl Places {
    fn add(&mut self, shard: &MultiShardSpec) {
        self.databases.insert(shard.database.clone());
        self.groups.insert((shard.database.clone(), shard.table_group.clone()));
    }
}

fn retention(cluster: &MultigresCluster) -> RetentionPolicy {
    cluster.spec.persistent_volume_claim_retention_policy.unwrap_or_default()
}

/// The change of the pod templates' revision, where there is one.
fn revision(old: &MultigresCluster, new: &MultigresCluster) -> Option<String> {
    let revision = |cluster: &MultigresCluster| {
        cluster.spec.workload_revision.unwrap_or(defaults::FIRST_WORKLOAD_REVISION)
    };
    let (was, is) = (revision(old), revision(new));
    (was != is).then(|| format!("workloadRevision {was} → {is}"))
}

/// As many lines as people read, the most disruptive first.
fn readable(mut consequences: Vec<Consequence>) -> Vec<String> {
    consequences.sort();
    let more = consequences.len().saturating_sub(READABLE);
    let mut lines: Vec<String> = consequences.into_iter().take(READABLE).map(|(_, line)| line).collect();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

/// The parts that there are before and after.
fn kept<'p>(before: &'p Parts, after: &'p Parts) -> impl Iterator<Item = (&'p Part, &'p Built, &'p Built)> {
    before.iter().filter_map(|(part, before)| Some((part, before, after.get(part)?)))
}

/// Removals, each reported for the largest part that contains it.
fn removals(before: &Parts, after: &Parts, places: &Places, retention: RetentionPolicy) -> Vec<Consequence> {
    let mut removed: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for (part, built) in before.iter().filter(|(part, _)| !after.contains_key(part)) {
        let what = match part.shard() {
            Some(Shard { database, .. }) if !places.databases.contains(database) => {
                format!("database {database:?}")
            }
            Some(Shard { database, table_group, .. })
                if !places.groups.contains(&(database.clone(), table_group.clone())) =>
            {
                format!("table group {table_group:?} of {database}")
            }
            _ => part.to_string(),
        };
        let (pods, volumes) = removed.entry(what).or_default();
        *pods += built.pods();
        *volumes += built.volumes();
    }
    let line = |(what, (pods, volumes)): (String, (i64, i64))| {
        let mut parts = Vec::new();
        if pods > 0 {
            parts.push(format!("{} deleted", count(pods, "pod")));
        }
        if volumes > 0 {
            parts.push(format!("{} {}", count(volumes, "volume"), fate(retention.deleted())));
        }
        (!parts.is_empty()).then(|| (Disruption::Removed, format!("{what} removed: {}", parts.join(", "))))
    };
    removed.into_iter().filter_map(line).collect()
}

/// Retention of volumes, and the policy that sets it.
fn fate(retention: Retention) -> String {
    let fate = match retention {
        Retention::Retain => "kept",
        Retention::Delete => "deleted",
    };
    format!("{fate} ({})", retention.as_str())
}

/// Pods that are replaced since what they are made from changes; those of a shard together, as they are never
/// replaced at the same time.
fn restarts(before: &Parts, after: &Parts, revision: Option<&str>) -> Vec<Consequence> {
    let (mut shards, mut lines): (BTreeMap<&Shard, (i64, String)>, _) = (BTreeMap::new(), Vec::new());
    for (part, before, after) in kept(before, after) {
        let pods = before.pods().min(after.pods());
        let Some((old, new)) = before.template().zip(after.template()) else { continue };
        if old == new || pods == 0 {
            continue;
        }
        if let Some(shard) = part.shard() {
            shards.entry(shard).or_insert_with(|| (0, reason(old, new, revision))).0 += pods;
        } else {
            let pods = restart(pods, if after.is_deployment() { "" } else { " one at a time" });
            lines.push((Disruption::Restarted, format!("{part}: {pods} ({})", reason(old, new, revision))));
        }
    }
    lines.extend(shards.into_iter().map(|(shard, (pods, why))| {
        let pods = restart(pods, " one at a time, primary last");
        (Disruption::Restarted, format!("{shard}: {pods} ({why})"))
    }));
    lines
}

fn restart(pods: i64, how: &str) -> String {
    if pods == 1 { "1 pod restarts".to_owned() } else { format!("{pods} pods restart{how}") }
}

/// The difference between two templates: an image, if one differs, or a field that is meant to restart them; else the
/// first field.
fn reason(old: &Value, new: &Value, revision: Option<&str>) -> String {
    let restarted_at = |template: &Value| template["metadata"]["annotations"][RESTARTED_AT].clone();
    let restarted = || (restarted_at(old) != restarted_at(new)).then(|| "restartedAt".to_owned());
    let first = || {
        let changes = changed_fields(old, new);
        let mut fields = changes.first().into_iter().flatten().filter_map(|step| match step {
            Step::Field(name) => Some(*name),
            Step::Item(_) => None,
        });
        fields.next_back().unwrap_or("template").to_owned()
    };
    let revised = || revision.map(str::to_owned);
    images(old, new).or_else(restarted).or_else(revised).unwrap_or_else(first)
}

/// The first image that differs, as `old → new`; only the tags where the rest is the same.
fn images(old: &Value, new: &Value) -> Option<String> {
    let (old, new) = image_list(old).into_iter().zip(image_list(new)).find(|(old, new)| old != new)?;
    match (old.rsplit_once(':'), new.rsplit_once(':')) {
        (Some((old_name, old_tag)), Some((new_name, new_tag))) if old_name == new_name => {
            Some(format!("image {old_tag} → {new_tag}"))
        }
        _ => Some(format!("image {old} → {new}")),
    }
}

fn image_list(template: &Value) -> Vec<&str> {
    let containers =
        ["initContainers", "containers"].into_iter().filter_map(|key| template["spec"][key].as_array());
    containers.flatten().filter_map(|container| container["image"].as_str()).collect()
}

fn scaling(part: &Part, before: &Built, after: &Built, retention: RetentionPolicy) -> Option<Consequence> {
    let (was, is) = (before.pods(), after.pods());
    let unit = if part.shard().is_some() { "instances" } else { "pods" };
    let line = format!("{part}: {was} → {is} {unit}");
    match is.cmp(&was) {
        std::cmp::Ordering::Less if before.volumes() > 0 => {
            Some((Disruption::ScaledDown, format!("{line}; volumes are {}", fate(retention.scaled()))))
        }
        std::cmp::Ordering::Less => Some((Disruption::ScaledDown, line)),
        std::cmp::Ordering::Greater => Some((Disruption::ScaledUp, line)),
        std::cmp::Ordering::Equal => None,
    }
}

fn growth(part: &Part, before: &Built, after: &Built) -> Option<Consequence> {
    let (was, is) = (before.storage()?, after.storage()?);
    let size = |text: &str| Quantity::from(text).value();
    let volumes = if matches!(part, Part::Backups(_)) { "volume grows" } else { "volumes grow" };
    (size(was) < size(is))
        .then(|| (Disruption::Grown, format!("{part}: {volumes} {was} → {is} online, no restart")))
}

fn count(number: i64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}
