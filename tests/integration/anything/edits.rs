//! Edits of a user to the spec of a cluster.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use strum::{IntoStaticStr, VariantArray};

const CELLS: [&str; 4] = ["us-east-1", "us-west-2", "c", "c-d"];
const DATABASES: [&str; 3] = ["users_db", "users", "orders2"];
const IMAGES: [&str; 3] =
    ["localhost/multigres/multigres:v0.1.0", "localhost/multigres/multigres:v0.1.0-b", "other:v1"];
const SECTIONS: [&str; 5] = ["globalTopoServer", "admin", "orchestrator", "cells", "databases"];

/// One sort of edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray, IntoStaticStr)]
pub enum Edit {
    AddCell,
    RemoveCell,
    AddDatabase,
    RemoveDatabase,
    AddPool,
    RemovePool,
    ScalePool,
    ScaleGateway,
    GrowVolume,
    Release,
    Adopt,
    Pause,
    Unpause,
    Restart,
    ChangeImage,
    ChangeLabels,
    ChangeResources,
    ChangeRetention,
    ProtectDeletion,
    Rewrite,
}

/// A cluster of two cells and a database.
pub fn cluster(name: &str) -> Value {
    let mut cluster: Value = serde_saphyr::from_str(include_str!("../../samples/two-cells.yaml")).unwrap();
    cluster["metadata"] = json!({ "name": name });
    cluster
}

impl Edit {
    /// Changes a spec; false where there is nothing to change in this way.
    pub fn apply(self, spec: &mut Value, cluster: &str, namespace: &str, rng: &mut StdRng) -> bool {
        let before = spec.clone();
        match self {
            Self::AddCell => add(items(spec, "cells"), &CELLS, rng, |name| json!({ "name": name })),
            Self::RemoveCell => remove(items(spec, "cells"), 0, rng),
            Self::AddDatabase => {
                let sample = cluster_database();
                add(
                    items(spec, "databases"),
                    &DATABASES,
                    rng,
                    |name| json!({ "name": name, "spec": sample }),
                );
            }
            Self::RemoveDatabase => remove(items(spec, "databases"), 0, rng),
            Self::AddPool => add_pool(spec, rng),
            Self::RemovePool => {
                if let Some(pools) = pools(spec, rng) {
                    remove(pools, 1, rng);
                }
            }
            Self::ScalePool => change_pool(spec, rng, |pool, rng| {
                pool["replicas"] = rng.random_range(1..4).into();
            }),
            Self::GrowVolume => change_pool(spec, rng, |pool, rng| {
                if let Some(claim) = pool.get_mut("dataVolumeClaimTemplate") {
                    claim["resources"]["requests"]["storage"] =
                        format!("{}Gi", rng.random_range(2..5)).into();
                }
            }),
            Self::ScaleGateway => change_cell(spec, rng, |cell, rng| {
                cell["multiGateway"]["replicas"] = rng.random_range(0..4).into();
            }),
            Self::ChangeLabels => change_cell(spec, rng, |cell, rng| {
                let value = json!({ "team": format!("t{}", rng.random_range(0..3)) });
                cell["podLabels"] = value.clone();
                cell["podAnnotations"] = value;
            }),
            Self::Release => {
                let section = *SECTIONS.choose(rng).unwrap();
                release(spec, section, cluster, namespace);
            }
            Self::Adopt => {
                let released = SECTIONS.iter().find(|section| spec[**section]["managed"] == false);
                if let Some(section) = released {
                    spec[*section]["managed"] = true.into();
                    spec[*section].as_object_mut().unwrap().remove("external");
                }
            }
            Self::Pause => spec["paused"] = true.into(),
            Self::Unpause => spec["paused"] = false.into(),
            Self::Restart => {
                spec["restartedAt"] = format!("2026-01-02T03:04:{:02}Z", rng.random_range(0..60)).into();
            }
            Self::ChangeImage => {
                let image = Value::from(*IMAGES.choose(rng).unwrap());
                match rng.random_range(0..3) {
                    0 => spec["cells"]["multiGatewayImage"] = image,
                    1 => spec["databases"]["images"]["multiPooler"] = image,
                    _ => spec["admin"]["spec"]["image"] = image,
                }
            }
            Self::ChangeResources => {
                let section = *["admin", "orchestrator"].choose(rng).unwrap();
                let cpu = format!("{}m", rng.random_range(1..4) * 10);
                spec[section]["spec"]["resources"] = json!({ "requests": { "cpu": cpu, "memory": "32Mi" } });
            }
            Self::ChangeRetention => {
                let field = *["whenDeleted", "whenScaled"].choose(rng).unwrap();
                let policy = *["Retain", "Delete"].choose(rng).unwrap();
                spec["persistentVolumeClaimRetentionPolicy"][field] = policy.into();
            }
            Self::ProtectDeletion => {
                let protected = spec["deletionProtection"] == true;
                spec["deletionProtection"] = (!protected).into();
            }
            Self::Rewrite => rewrite(spec, rng),
        }
        *spec != before
    }
}

/// Templates of a section.
fn items<'a>(spec: &'a mut Value, section: &str) -> &'a mut Vec<Value> {
    let templates = &mut spec[section]["templates"];
    if !templates.is_array() {
        *templates = json!([]);
    }
    templates.as_array_mut().unwrap()
}

fn add(items: &mut Vec<Value>, names: &[&str], rng: &mut StdRng, item: impl Fn(&str) -> Value) {
    let absent: Vec<_> =
        names.iter().filter(|name| items.iter().all(|item| item["name"] != **name)).collect();
    if let Some(name) = absent.choose(rng) {
        items.push(item(name));
    }
}

/// Removes one item, but none of the first `kept`.
fn remove(items: &mut Vec<Value>, kept: usize, rng: &mut StdRng) {
    if items.len() > kept {
        items.remove(rng.random_range(kept..items.len()));
    }
}

fn cluster_database() -> Value {
    cluster("")["spec"]["databases"]["templates"][0]["spec"].take()
}

/// Pools of some database in the short form.
fn pools<'a>(spec: &'a mut Value, rng: &mut StdRng) -> Option<&'a mut Vec<Value>> {
    let databases = items(spec, "databases");
    let index = rng.random_range(0..databases.len().max(1));
    databases.get_mut(index)?.pointer_mut("/spec/pools")?.as_array_mut()
}

fn add_pool(spec: &mut Value, rng: &mut StdRng) {
    let cells: Vec<String> =
        items(spec, "cells").iter().filter_map(|cell| Some(cell["name"].as_str()?.to_owned())).collect();
    let Some(pools) = pools(spec, rng) else { return };
    let unused = cells.iter().find(|cell| pools.iter().all(|pool| pool["cell"] != **cell));
    if let Some(cell) = unused {
        let mut pool = cluster_database()["pools"][1].take();
        pool["cell"] = cell.as_str().into();
        pools.push(pool);
    }
}

/// Changes the primary or the replica of some entry.
fn change_pool(spec: &mut Value, rng: &mut StdRng, change: impl Fn(&mut Value, &mut StdRng)) {
    let Some(pools) = pools(spec, rng) else { return };
    let index = rng.random_range(0..pools.len().max(1));
    let part = if rng.random() { "primary" } else { "replica" };
    if let Some(pool) = pools.get_mut(index).and_then(|entry| entry.get_mut(part)) {
        change(pool, rng);
    }
}

fn change_cell(spec: &mut Value, rng: &mut StdRng, change: impl Fn(&mut Value, &mut StdRng)) {
    let cells = items(spec, "cells");
    let index = rng.random_range(0..cells.len().max(1));
    if let Some(cell) = cells.get_mut(index) {
        change(&mut cell["spec"], rng);
    }
}

/// Releases a section. A topology that is released is the cluster's external one from then on.
fn release(spec: &mut Value, section: &str, cluster: &str, namespace: &str) {
    spec[section]["managed"] = false.into();
    if section == "globalTopoServer" {
        let address = format!("{cluster}-etcd-client.{namespace}.svc:2379");
        spec[section]["external"] = json!({ "address": address });
    }
}

/// Another cluster altogether, apart from its topology, that the generators make.
fn rewrite(spec: &mut Value, rng: &mut StdRng) {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &rng.random::<[u8; 32]>());
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut generated = generators::admissible().new_tree(&mut runner).unwrap().current();
    generated["spec"]["globalTopoServer"] = spec["globalTopoServer"].clone();
    // A tenant's names, as the generators make them, are the same in each namespace.
    for cell in items(&mut generated["spec"], "cells") {
        if let Some(spec) = cell.get_mut("spec").and_then(Value::as_object_mut) {
            spec.remove("topoServer");
        }
    }
    *spec = generated["spec"].take();
}
