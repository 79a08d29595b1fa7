//! A manifest that is admitted can be run, as far as the API server can tell: it accepts each object that is built.

use generators::{admissible_in, broken_in};
use kube::api::{Api, DynamicObject, PostParams};
use multigres_crds::v1alpha1::MultigresCluster;
use multigres_operator::build::{Environment, Manifest, render};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::Value;

use crate::answers::Answer;
use crate::installation::{Installation, Namespace};

/// Each of them is some dozens of objects.
const CLUSTERS: usize = 8;

async fn assert_accepted(namespace: &Namespace<'_>, manifest: &Manifest, cluster: &Value) {
    let api: Api<DynamicObject> =
        Api::namespaced_with(namespace.client(), &namespace.name, &manifest.resource);
    let object = serde_json::from_value(manifest.body.clone()).unwrap();
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    if let Err(error) = api.create(&dry_run, &object).await {
        panic!("{} {}: {error}\nof {cluster:#}", manifest.resource.kind, manifest.name);
    }
}

/// Builds what is made of a cluster as it is stored, defaults and all, and offers each object to the API server.
async fn assert_can_be_made(namespace: &Namespace<'_>, cluster: &Value, admitted: Answer) {
    let stored: MultigresCluster = serde_json::from_value(admitted.body).unwrap();
    for manifest in &render(&stored, &Environment::default()) {
        assert_accepted(namespace, manifest, cluster).await;
    }
}

#[tokio::test]
async fn whatever_is_admitted_can_be_made() {
    let namespace = Installation::shared().await.namespace("admitted").await;
    let (mut runner, sound) = (TestRunner::deterministic(), admissible_in(&namespace.name));
    for _ in 0..CLUSTERS {
        let cluster = sound.new_tree(&mut runner).unwrap().current();
        let answer = namespace.clusters().dry_run().create(&cluster).await.allowed();
        assert_can_be_made(&namespace, &cluster, answer).await;
    }
    // Of those with a fault, some are still right.
    let (mut admitted, broken) = (0, broken_in(&namespace.name));
    while admitted < CLUSTERS {
        let cluster = broken.new_tree(&mut runner).unwrap().current();
        let answer = namespace.clusters().dry_run().create(&cluster).await;
        if answer.is_allowed() {
            assert_can_be_made(&namespace, &cluster, answer).await;
            admitted += 1;
        }
    }
}
