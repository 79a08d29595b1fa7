//! The end of a cluster: everything goes but the data, with the operator or without it.

use serde_json::{Value, json};
use testbed::Options;

use crate::installation::{Installation, Namespace, eventually, get};
use crate::samples::{SMALL, converged};

const KINDS: &str = "multigrescluster,toposerver,multiadmin,multiorch,multicell,multishard,deployment,statefulset,\
                     service,configmap,pdb,pvc,secret,pod";

/// The objects that carry the cluster's label, as kind/name.
async fn left(namespace: &Namespace<'_>) -> Vec<String> {
    let text = namespace.must(&["get", KINDS, "-l", "multigres.com/cluster", "-o", "json"]).await;
    let list: Value = serde_json::from_str(&text).unwrap();
    let name = |object: &Value| {
        format!("{}/{}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap())
    };
    list["items"].as_array().unwrap().iter().map(name).collect()
}

/// Objects that outlive a cluster by default: its data, and the password that opens it.
const RETAINED: [&str; 6] = [
    "PersistentVolumeClaim/data-small-app-default-0-inf-a-primary-pg-0",
    "PersistentVolumeClaim/data-small-app-default-0-inf-a-replica-pg-0",
    "PersistentVolumeClaim/data-small-app-default-0-inf-a-replica-pg-1",
    "PersistentVolumeClaim/data-small-etcd-0",
    "PersistentVolumeClaim/small-app-default-0-inf-backup",
    "Secret/small-app-password",
];

async fn assert_only_data_is_left(namespace: &Namespace<'_>) {
    let only_data = || async { (left(namespace).await == RETAINED).then_some(()) };
    if eventually("only data is left", only_data).await.is_err() {
        assert_eq!(left(namespace).await, RETAINED);
    }
}

#[tokio::test]
async fn data_outlives_the_cluster_and_comes_back() {
    let namespace = Installation::shared().await.namespace("deletion").await;
    namespace.apply(SMALL).await.unwrap();
    converged(&namespace, "small").await;
    let password = namespace.get("secret", "small-app-password").await.unwrap()["data"].clone();
    namespace.must(&["delete", "multigrescluster", "small", "--wait=false"]).await;
    assert_only_data_is_left(&namespace).await;
    namespace.apply(SMALL).await.unwrap();
    converged(&namespace, "small").await;
    assert_eq!(namespace.get("secret", "small-app-password").await.unwrap()["data"], password);
}

#[tokio::test]
async fn nothing_is_left_where_nothing_is_to_be_kept() {
    let namespace = Installation::shared().await.namespace("deletion-all").await;
    let policy = "spec:\n  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete}";
    namespace.apply(&SMALL.replacen("spec:", policy, 1)).await.unwrap();
    converged(&namespace, "small").await;
    namespace.must(&["delete", "multigrescluster", "small", "--wait=false"]).await;
    let nothing = || async { left(&namespace).await.is_empty().then_some(()) };
    if eventually("nothing is left", nothing).await.is_err() {
        assert_eq!(left(&namespace).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn deletion_finishes_without_the_operator() {
    let installation = Installation::start(Options { fake_nodes: 1, ..Options::default() }).await.unwrap();
    let namespace = installation.namespace("deletion-alone").await;
    namespace.apply(SMALL).await.unwrap();
    converged(&namespace, "small").await;
    installation.stop_operator();
    namespace.must(&["delete", "multigrescluster", "small", "--wait=false"]).await;
    assert_only_data_is_left(&namespace).await;
}

#[tokio::test]
async fn a_removed_database_goes_and_its_data_stays() {
    let namespace = Installation::shared().await.namespace("deletion-database").await;
    namespace.apply(SMALL).await.unwrap();
    converged(&namespace, "small").await;
    let without = SMALL.split("  databases:").next().unwrap();
    namespace.apply(without).await.unwrap();
    let gone = || async {
        let shards = namespace
            .must(&["get", "multishard,statefulset", "-l", "multigres.com/database=app", "-o", "name"])
            .await;
        shards.is_empty().then_some(())
    };
    eventually("the database is gone", gone).await.unwrap();
    assert!(namespace.get("pvc", "data-small-app-default-0-inf-a-primary-pg-0").await.is_some());
    assert!(namespace.get("secret", "small-app-password").await.is_some());
}

#[tokio::test]
async fn a_removed_cell_goes_with_all_that_serves_it() {
    let namespace = Installation::shared().await.namespace("deletion-cell").await;
    namespace.apply(SMALL).await.unwrap();
    converged(&namespace, "small").await;
    let of_cell = async || {
        let kinds = "multicell,deployment,service";
        namespace.must(&["get", kinds, "-l", "multigres.com/cell=b", "-o", "name"]).await
    };
    let change = async |patch: &str| {
        namespace.must(&["patch", "multigrescluster", "small", "--type", "json", "-p", patch]).await;
        converged(&namespace, "small").await;
    };
    change(r#"[{"op":"add","path":"/spec/cells/templates/-","value":{"name":"b"}}]"#).await;
    let made = of_cell().await;
    for part in ["multicell", "multigateway"] {
        assert!(made.contains(part), "{made}");
    }
    change(r#"[{"op":"remove","path":"/spec/cells/templates/1"}]"#).await;
    let gone = || async { of_cell().await.is_empty().then_some(()) };
    eventually("the cell is gone", gone).await.unwrap();
}

/// Nobody is left to remove its finalizer, so a person does, as the documentation says.
#[tokio::test]
async fn a_finalizer_is_removed_by_hand() {
    let installation = Installation::start(Options { fake_nodes: 1, ..Options::default() }).await.unwrap();
    let namespace = installation.namespace("deletion-by-hand").await;
    let managed = "    managedSpec:\n      replicas: 1\n";
    let external = "    external: {address: \"etcd.deletion.example.com:2379\"}\n";
    assert!(SMALL.contains(managed));
    namespace.apply(&SMALL.replacen(managed, external, 1)).await.unwrap();
    let held = [("multicell", "small-a"), ("multishard", "small-app-default-0-inf")];
    let finalizers = json!(["multigres.com/topology"]);
    for (kind, name) in held {
        let is_held = |object: &Value| object["metadata"]["finalizers"] == finalizers;
        namespace.until(kind, name, "is held", is_held).await;
    }
    installation.stop_operator();
    namespace.must(&["delete", "multigrescluster", "small", "--wait=false"]).await;
    let documentation = include_str!("../../docs/deletion.md");
    for (kind, name) in held {
        let is_deleted = |object: &Value| !object["metadata"]["deletionTimestamp"].is_null();
        namespace.until(kind, name, "is being deleted", is_deleted).await;
        let start = format!("kubectl -n NAMESPACE patch {kind} NAME ");
        let command = documentation.lines().find(|line| line.starts_with(&start)).expect("a command");
        let words = command.strip_prefix("kubectl ").unwrap().split(' ').map(|word| match word {
            "NAMESPACE" => namespace.name.clone(),
            "NAME" => name.to_owned(),
            word => word.trim_matches('\'').to_owned(),
        });
        namespace.kubectl().must(words).await.unwrap();
    }
    let gone =
        || async { left(&namespace).await.iter().all(|name| !name.starts_with("Multi")).then_some(()) };
    eventually("nothing holds the children", gone).await.unwrap();
}

/// Number of remembered objects, by memory.
async fn remembered(installation: &Installation) -> Vec<(String, usize)> {
    let metrics = get(installation.ports.ops, "/metrics").await.unwrap();
    let lines =
        metrics.lines().filter_map(|line| line.strip_prefix("multigres_operator_remembered{memory=\""));
    lines
        .map(|line| {
            let (memory, count) = line.split_once("\"} ").unwrap();
            (memory.to_owned(), count.parse().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn nothing_is_remembered_of_what_is_gone() {
    let installation = Installation::start(Options { fake_nodes: 1, ..Options::default() }).await.unwrap();
    let namespace = installation.namespace("deletion-memory").await;
    for number in 0..30 {
        let name = format!("m{number}");
        namespace.apply(&SMALL.replace("name: small", &format!("name: {name}"))).await.unwrap();
    }
    for number in 0..30 {
        let set = format!("m{number}-app-default-0-inf-a-replica-pg");
        namespace.until("statefulset", &set, "is made", |_| true).await;
    }
    let before = remembered(&installation).await;
    for memory in ["objects", "statuses", "verified", "passwords"] {
        let known = before.iter().find(|(name, _)| name == memory);
        assert!(known.is_some_and(|(_, count)| *count >= 30), "{memory}: {before:?}");
    }
    namespace.kubectl().must(["delete", "namespace", &namespace.name, "--wait=false"]).await.unwrap();
    let nothing =
        || async { remembered(&installation).await.iter().all(|(_, count)| *count == 0).then_some(()) };
    for _ in 0..3 {
        if eventually("nothing is remembered", nothing).await.is_ok() {
            break;
        }
    }
    let left = remembered(&installation).await;
    assert!(left.len() >= 8 && left.iter().all(|(_, count)| *count == 0), "{left:?}");
}
