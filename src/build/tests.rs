//! Golden objects of the sample clusters, and what they are read with.

mod properties;
mod traps;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use multigres_crds::v1alpha1::{MultiShard, MultigresCluster};
use serde::de::DeserializeOwned;

use super::*;

/// The proposal's sample.
fn sample() -> MultigresCluster {
    serde_saphyr::from_str(include_str!("../../tests/samples/proposal-cluster.yaml")).unwrap()
}

/// A cluster that uses every option the sample leaves out.
fn every_option() -> MultigresCluster {
    serde_saphyr::from_str(include_str!("../../tests/samples/every-option.yaml")).unwrap()
}

fn rendered(cluster: &MultigresCluster) -> Vec<Manifest> {
    render(cluster, &Environment::default())
}

/// The objects of one kind.
fn all<K: DeserializeOwned>(kind: &str, manifests: &[Manifest]) -> Vec<K> {
    let of_kind = manifests.iter().filter(|manifest| manifest.resource.kind == kind);
    of_kind.map(|manifest| serde_json::from_value(manifest.body.clone()).unwrap()).collect()
}

fn stateful_sets(manifests: &[Manifest]) -> Vec<StatefulSet> {
    all("StatefulSet", manifests)
}

/// Those of pools.
fn pools(manifests: &[Manifest]) -> Vec<StatefulSet> {
    let mut sets = stateful_sets(manifests);
    sets.retain(|set| set.metadata.labels.as_ref().unwrap().contains_key("multigres.com/pool"));
    sets
}

/// The pods of every workload.
fn templates(manifests: &[Manifest]) -> Vec<PodTemplateSpec> {
    let sets = stateful_sets(manifests).into_iter().map(|set| set.spec.unwrap().template);
    let deployments = all::<Deployment>("Deployment", manifests).into_iter();
    sets.chain(deployments.map(|deployment| deployment.spec.unwrap().template)).collect()
}

fn pods(manifests: &[Manifest]) -> Vec<PodSpec> {
    templates(manifests).into_iter().map(|template| template.spec.unwrap()).collect()
}

fn containers(pod: &PodSpec) -> Vec<&Container> {
    pod.init_containers.iter().flatten().chain(&pod.containers).collect()
}

fn container<'a>(pod: &'a PodSpec, name: &str) -> &'a Container {
    containers(pod).into_iter().find(|container| container.name == name).unwrap()
}

/// The value of an argument `--name=value`.
fn arg<'a>(container: &'a Container, name: &str) -> Option<&'a str> {
    let mut args = container.args.iter().flatten();
    args.find_map(|arg| arg.strip_prefix("--")?.strip_prefix(name)?.strip_prefix('='))
}

/// The value of an environment variable.
fn env<'a>(container: &'a Container, name: &str) -> Option<&'a str> {
    let mut env = container.env.iter().flatten();
    env.find(|env| env.name == name).and_then(|env| env.value.as_deref())
}

fn yaml<'a>(manifests: impl IntoIterator<Item = &'a Manifest>) -> String {
    let documents = manifests.into_iter().map(|manifest| {
        let ownership = manifest.ownership;
        format!("# {ownership:?}\n{}", serde_saphyr::to_string(&manifest.body).unwrap())
    });
    documents.collect::<Vec<_>>().join("---\n")
}

/// Each child with its objects, as one document per child.
fn by_child(manifests: &[Manifest]) -> Vec<(String, String)> {
    let is_child = |manifest: &Manifest| manifest.resource.group == multigres_crds::GROUP;
    let groups = manifests.chunk_by(|_, next| !is_child(next));
    groups.map(|group| (group[0].resource.kind.clone(), yaml(group))).collect()
}

#[test]
fn golden_sample() {
    let children = by_child(&rendered(&sample()));
    let kinds: Vec<&str> = children.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["TopoServer", "MultiAdmin", "MultiOrch", "MultiCell", "MultiCell", "MultiShard"]);
    for (index, (kind, yaml)) in children.iter().enumerate() {
        insta::assert_snapshot!(format!("sample-{index}-{kind}"), yaml);
    }
}

#[test]
fn golden_every_option() {
    for (index, (kind, yaml)) in by_child(&rendered(&every_option())).iter().enumerate() {
        insta::assert_snapshot!(format!("every-option-{index}-{kind}"), yaml);
    }
}

/// The newest revision, by the same sample: only what it changes is in its own files.
#[test]
fn golden_revision_2() {
    let mut cluster = sample();
    cluster.spec.workload_revision = Some(2);
    let (first, second) = (rendered(&sample()), rendered(&cluster));
    for before in first.iter().filter(|before| before.pod_template().is_some()) {
        let after = second.iter().find(|after| after.key() == before.key()).unwrap();
        let changes = template_changes(before, after);
        if !changes.is_empty() {
            insta::assert_snapshot!(format!("revision-2-{}", before.name), changes);
        }
    }
    for child in second.iter().filter(|manifest| manifest.resource.group == multigres_crds::GROUP) {
        assert_eq!(child.body["spec"]["pods"]["workloadRevision"], 2, "{}", child.name);
    }
    for revision in [None, Some(1)] {
        cluster.spec.workload_revision = revision;
        assert_eq!(yaml(&rendered(&cluster)), yaml(&first), "{revision:?}");
    }
}

/// The lines of a pod template that a revision changes.
fn template_changes(before: &Manifest, after: &Manifest) -> String {
    let lines = |manifest: &Manifest| {
        let yaml = serde_saphyr::to_string(manifest.pod_template().unwrap()).unwrap();
        yaml.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let (before, after) = (lines(before), lines(after));
    let without = |lines: &[String], others: &[String], mark: &str| {
        let changed = lines.iter().filter(|line| !others.contains(line));
        changed.map(|line| format!("{mark}{line}")).collect::<Vec<_>>()
    };
    [without(&before, &after, "-"), without(&after, &before, "+")].concat().join("\n")
}

#[test]
fn golden_secrets() {
    let cluster = sample();
    let shard: MultiShard = all("MultiShard", &rendered(&cluster)).remove(0);
    let record = shard.spec.database_record.clone().unwrap();
    let secrets = [
        secrets::password(&shard, "p@ss/word"),
        secrets::connection(&shard, &record, Some("p@ss/word")),
        secrets::connection(&shard, &record, None),
    ];
    insta::assert_snapshot!("secrets", yaml(&secrets));
    let uri = &secrets::connection_data("users_db", &record, Some("p@ss/word"))["uri"];
    assert!(uri.starts_with("postgresql://postgres:p%40ss%2Fword@"), "{uri}");
}
