//! The end of a cluster: everything goes but the data, with the operator or without it.

use serde_json::Value;
use testbed::Options;

use crate::installation::{Installation, Namespace, eventually};
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

/// What outlives a cluster by default: its data, and the password that opens it.
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
