//! One sequence: a namespace, what a user and others do in it, and what was stored of that.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use strum::VariantArray;

use super::compare::names;
use super::drift::Drift;
use super::edits::{self, Edit};
use super::faults::{Fault, Operator};
use super::objects::{CLUSTERS, Key, Requests, path};
use crate::installation::{Namespace, eventually};

/// Name of the cluster of every sequence.
pub const CLUSTER: &str = "any";

/// Interval at which to each sort of step was done, refused and of no avail.
#[derive(Default)]
pub struct Counts(pub BTreeMap<(&'static str, &'static str), [usize; 3]>);

impl Counts {
    pub fn count(&mut self, sort: &'static str, step: &'static str, code: u16) {
        let column = match code {
            0..300 => 0,
            500.. => 2,
            _ => 1,
        };
        self.0.entry((sort, step)).or_default()[column] += 1;
    }

    pub fn add(&mut self, sort: &'static str, step: &'static str, times: usize) {
        self.0.entry((sort, step)).or_default()[0] += times;
    }
}

/// One sequence.
pub struct World {
    pub seed: u64,
    pub namespace: String,
    rng: StdRng,
    /// Objects that any stored spec led to.
    pub explained: BTreeSet<Key>,
    /// True once a spec that was stored let data be deleted.
    pub lets_data_go: bool,
    /// The steps, for whoever has to find out.
    pub log: Vec<String>,
}

impl World {
    pub fn new(seed: u64, namespace: String) -> Self {
        Self {
            seed,
            namespace,
            rng: StdRng::seed_from_u64(seed),
            explained: BTreeSet::new(),
            lets_data_go: false,
            log: Vec::new(),
        }
    }

    pub fn path(&self) -> String {
        path(CLUSTERS, &self.namespace, CLUSTER)
    }

    /// One step of the sequence.
    pub async fn step(&mut self, operator: &Operator, requests: &Requests, counts: &mut Counts) {
        match self.rng.random_range(0..100) {
            0..20 => {
                let fault = *Fault::VARIANTS.choose(&mut self.rng).unwrap();
                let draw = self.rng.random_range(0..10);
                self.log.push(format!("{fault:?} {draw}"));
                operator.fail(fault, draw, self.edit(requests, counts)).await;
            }
            20..45 => {
                let drift = *Drift::VARIANTS.choose(&mut self.rng).unwrap();
                let within = Namespace { installation: &operator.installation, name: self.namespace.clone() };
                let code = drift.happen(requests, &within, &mut self.rng).await;
                self.log.push(format!("{drift:?}: {code:?}"));
                counts.count("drift", drift.into(), code.unwrap_or(404));
            }
            45..50 => {
                let (code, _) = requests.delete(&self.path(), "Background").await;
                self.log.push(format!("delete: {code}"));
                counts.count("cluster", "Delete", code);
            }
            _ => self.edit(requests, counts).await,
        }
    }

    /// Something that a user does to the cluster.
    async fn edit(&mut self, requests: &Requests, counts: &mut Counts) {
        let (code, mut cluster) = requests.get(&self.path()).await;
        if code == 404 {
            return self.create(requests, counts).await;
        }
        let mut edit = *Edit::VARIANTS.choose(&mut self.rng).unwrap();
        while !edit.apply(&mut cluster["spec"], CLUSTER, &self.namespace, &mut self.rng) {
            edit = *Edit::VARIANTS.choose(&mut self.rng).unwrap();
        }
        // Whatever its version is meanwhile: the operator writes statuses.
        let patch = json!([{ "op": "replace", "path": "/spec", "value": cluster["spec"] }]);
        let (code, answer) = requests.patch(&self.path(), patch).await;
        self.note(&format!("{edit:?}"), code, &answer);
        counts.count("edit", edit.into(), code);
    }

    pub async fn create(&mut self, requests: &Requests, counts: &mut Counts) {
        let mut cluster = edits::cluster(CLUSTER);
        for _ in 0..self.rng.random_range(0..3) {
            let edit = *Edit::VARIANTS.choose(&mut self.rng).unwrap();
            edit.apply(&mut cluster["spec"], CLUSTER, &self.namespace, &mut self.rng);
        }
        let at = self.path();
        let (code, answer) = requests.create(at.rsplit_once('/').unwrap().0, &cluster).await;
        self.note("create", code, &answer);
        counts.count("cluster", "Create", code);
    }

    fn note(&mut self, what: &str, code: u16, answer: &Value) {
        let message = answer["message"].as_str().unwrap_or_default();
        self.log.push(format!("{what}: {code} {message}"));
        if code < 300 {
            self.explained.extend(names(answer));
            let policy = &answer["spec"]["persistentVolumeClaimRetentionPolicy"];
            self.lets_data_go |= policy.to_string().contains("\"Delete\"");
        }
    }

    /// Lets the operator do what is left to do, and returns the spec that is stored in the end.
    pub async fn finish(&mut self, requests: &Requests) -> Option<Value> {
        let at = self.path();
        let attempt = || async {
            let (code, cluster) = requests.get(&at).await;
            if code == 404 {
                return Some(None);
            }
            if !cluster["metadata"]["deletionTimestamp"].is_null() {
                return None;
            }
            if cluster["spec"]["paused"] != true {
                return Some(Some(cluster));
            }
            requests.merge(&at, json!({ "spec": { "paused": false } })).await;
            None
        };
        let stored = eventually("the cluster is stored unpaused, or gone", attempt).await.unwrap();
        self.explained.extend(stored.iter().flat_map(names));
        stored.map(|cluster| cluster["spec"].clone())
    }
}
