//! What a change of a cluster does to its workloads, told before it happens: old and new are built by the
//! controllers' own builders and compared.

use std::collections::BTreeMap;

use multigres_crds::GROUP;
use multigres_crds::resolve::{self, section_is_managed};
use multigres_crds::v1alpha1::MultigresCluster;
use multigres_webhooks::impact::Impact;
use serde_json::Value;

use crate::build::{self, Environment, Manifest, render};

/// More consequences than this are counted, not listed.
const READABLE: usize = 10;

/// Compares workloads.
pub struct Workloads {
    /// What holds for everything that is built.
    pub environment: Environment,
}

/// What becomes of one workload, the most disruptive first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Disruption {
    Removed,
    Restarted,
    ScaledDown,
    ScaledUp,
}

impl Impact for Workloads {
    fn consequences(&self, old: &MultigresCluster, new: &MultigresCluster) -> Vec<String> {
        let released = released(old, new);
        let (before, after) = (self.workloads(old), self.workloads(new));
        let stays = |child: &str| released.contains_key(child);
        let compared = before.iter().filter(|(_, (child, _))| !stays(child));
        let mut consequences: Vec<(Disruption, String)> = compared
            .filter_map(|(name, (_, before))| compare(name, before, after.get(name).map(|(_, after)| after)))
            .collect();
        consequences.sort();
        let more = consequences.len().saturating_sub(READABLE);
        let mut lines: Vec<String> = consequences.into_iter().take(READABLE).map(|(_, line)| line).collect();
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        lines.extend(released.into_iter().map(|(kind, names)| {
            format!("released, not deleted, and yours to edit: {kind} {}", names.join(", "))
        }));
        lines
    }
}

/// The children that are no longer managed, by kind: they stay as they are, and so does what they have become.
fn released(old: &MultigresCluster, new: &MultigresCluster) -> BTreeMap<String, Vec<String>> {
    let mut released: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for child in build::manifests(&resolve::children(old)) {
        if !section_is_managed(&new.spec, &child.resource.kind) {
            released.entry(child.resource.kind).or_default().push(child.name);
        }
    }
    released
}

impl Workloads {
    /// Every workload by kind and name, with the kind of the child that it is built from.
    fn workloads(&self, cluster: &MultigresCluster) -> BTreeMap<String, (String, Manifest)> {
        let (mut workloads, mut child) = (BTreeMap::new(), String::new());
        for manifest in render(cluster, &self.environment) {
            if manifest.resource.group == GROUP {
                child = manifest.resource.kind;
            } else if manifest.pod_template().is_some() {
                let name = format!("{} {}", manifest.resource.kind, manifest.name);
                workloads.insert(name, (child.clone(), manifest));
            }
        }
        workloads
    }
}

fn compare(name: &str, before: &Manifest, after: Option<&Manifest>) -> Option<(Disruption, String)> {
    let was = replicas(before);
    let Some(after) = after else {
        return (was > 0)
            .then(|| (Disruption::Removed, format!("{name}: {}, volumes are kept", pods(was, "removed"))));
    };
    let is = replicas(after);
    let (old, new) = (before.pod_template(), after.pod_template());
    if old != new && was > 0 && is > 0 {
        let why = images(old, new).map(|images| format!(" ({images})")).unwrap_or_default();
        return Some((
            Disruption::Restarted,
            format!("{name}: {}{why}", pods(was.min(is), "restarted one at a time")),
        ));
    }
    match is.cmp(&was) {
        std::cmp::Ordering::Less => Some((Disruption::ScaledDown, format!("{name}: {was} → {is} pods"))),
        std::cmp::Ordering::Greater => Some((Disruption::ScaledUp, format!("{name}: {was} → {is} pods"))),
        std::cmp::Ordering::Equal => None,
    }
}

fn replicas(manifest: &Manifest) -> i64 {
    manifest.body["spec"]["replicas"].as_i64().unwrap_or(1)
}

fn pods(count: i64, what: &str) -> String {
    if count == 1 { format!("1 pod {what}") } else { format!("{count} pods {what}") }
}

/// The first image that differs, as `old → new`; only the tags where the rest is the same.
fn images(old: Option<&Value>, new: Option<&Value>) -> Option<String> {
    let (old, new) = (image_list(old?), image_list(new?));
    let (old, new) = old.into_iter().zip(new).find(|(old, new)| old != new)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../tests/samples/proposal-cluster.yaml");

    fn consequences(edit: fn(&mut Value)) -> Vec<String> {
        let old: Value = serde_saphyr::from_str(SAMPLE).unwrap();
        let mut new = old.clone();
        edit(&mut new);
        let cluster = |value: Value| serde_json::from_value::<MultigresCluster>(value).unwrap();
        Workloads { environment: Environment::default() }.consequences(&cluster(old), &cluster(new))
    }

    #[test]
    fn what_touches_no_pod_says_nothing() {
        assert!(consequences(|_| {}).is_empty());
        assert!(consequences(|cluster| cluster["spec"]["deletionProtection"] = true.into()).is_empty());
    }

    #[test]
    fn the_most_disruptive_comes_first() {
        let lines = consequences(|cluster| {
            cluster["spec"]["admin"]["spec"]["image"] = "multigres/multigres:v2".into();
            cluster["spec"]["cells"]["templates"][0]["spec"]["multiGateway"]["replicas"] = 1.into();
            cluster["spec"]["orchestrator"]["spec"]["replicas"] = 0.into();
        });
        assert_eq!(
            lines,
            [
                "Deployment example-multigres-cluster-multiadmin: 1 pod restarted one at a time (image latest → v2)",
                "Deployment example-multigres-cluster-multigateway-us-east-1: 2 → 1 pods",
                "StatefulSet example-multigres-cluster-multiorch-us-east-1: 1 → 0 pods",
                "StatefulSet example-multigres-cluster-multiorch-us-west-2: 1 → 0 pods",
            ]
        );
    }

    #[test]
    fn what_is_released_stays() {
        let lines = consequences(|cluster| cluster["spec"]["cells"]["managed"] = false.into());
        let cells = "example-multigres-cluster-us-east-1, example-multigres-cluster-us-west-2";
        assert_eq!(lines, [format!("released, not deleted, and yours to edit: MultiCell {cells}")]);

        let lines = consequences(|cluster| {
            let address = "example-multigres-cluster-etcd-client.multigres.svc:2379";
            cluster["spec"]["globalTopoServer"]["external"] = serde_json::json!({ "address": address });
        });
        let etcd = "released, not deleted, and yours to edit: TopoServer example-multigres-cluster-etcd";
        assert_eq!(lines, [etcd]);
    }

    #[test]
    fn many_consequences_are_counted() {
        let lines = consequences(|cluster| cluster["spec"]["restartedAt"] = "2026-01-01T00:00:00Z".into());
        assert!(lines.len() <= READABLE + 1, "{lines:#?}");
        assert!(
            lines.iter().all(|line| line.contains("restarted") || line.starts_with("and ")),
            "{lines:#?}"
        );
    }
}
