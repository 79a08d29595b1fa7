//! Clusters that admission would have kept apart, had it seen one when it was asked about the other.

use serde_json::{Value, json};

use crate::installation::{Installation, Namespace, eventually};
use crate::samples::{SMALL, condition, converged};

/// Every cluster in it was admitted without being asked about.
async fn namespace(purpose: &str) -> Namespace<'static> {
    let namespace = Installation::shared().await.namespace(purpose).await;
    namespace.opt_out(true).await;
    namespace
}

fn cluster(name: &str) -> Value {
    let mut cluster: Value = serde_saphyr::from_str(SMALL).unwrap();
    cluster["metadata"]["name"] = json!(name);
    cluster
}

/// Makes a cluster once the clock of the API server shows another second than when the elder was made.
async fn make_later(namespace: &Namespace<'_>, elder: &str, cluster: &Value) {
    let made = |object: &Value| object["metadata"]["creationTimestamp"].clone();
    let elder = made(&namespace.get("multigrescluster", elder).await.unwrap());
    let clusters = namespace.clusters().dry_run();
    let is_later = || async { (made(&clusters.create(cluster).await.body) != elder).then_some(()) };
    eventually("a second passes", is_later).await.unwrap();
    namespace.clusters().create(cluster).await.allowed();
}

async fn assert_gives_way(namespace: &Namespace<'_>, younger: &str, reason: &str) {
    let stalled = |object: &Value| condition(object, "Stalled") == Some(("True", reason));
    let object = namespace.until("multigrescluster", younger, "stalled", stalled).await;
    assert_eq!(condition(&object, "Ready"), Some(("False", reason)));
    assert_eq!(condition(&object, "Reconciling").unwrap().0, "False");
    let label = format!("multigres.com/cluster={younger}");
    let made = namespace.must(&["get", "multigres,all", "-l", &label, "-o", "name"]).await;
    assert_eq!(made, "", "the younger one writes nothing");
    assert_eq!(events(namespace, younger).await, [("Warning".to_owned(), reason.to_owned(), 1)]);
}

/// Type, reason and count of what was told of a cluster, as soon as anything was.
async fn events(namespace: &Namespace<'_>, cluster: &str) -> Vec<(String, String, u64)> {
    let about =
        format!("--field-selector=involvedObject.kind=MultigresCluster,involvedObject.name={cluster}");
    let told = || async {
        let printed = namespace.must(&["get", "events", &about, "-o", "json"]).await;
        let list: Value = serde_json::from_str(&printed).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let count = |event: &Value| event["series"]["count"].as_u64().unwrap_or(1);
        let events = list["items"].as_array().unwrap().iter();
        let events = events.map(|event| (text(&event["type"]), text(&event["reason"]), count(event)));
        Some(events.collect::<Vec<_>>()).filter(|events| !events.is_empty())
    };
    eventually("something is told of the cluster", told).await.unwrap()
}

#[tokio::test]
async fn of_two_that_share_a_topology_the_younger_is_not_made() {
    let namespace = namespace("contention-topology").await;
    let mut elder = cluster("elder");
    elder["spec"]["globalTopoServer"] =
        json!({"rootPath": "/shared", "external": {"address": "etcd.contention.example.com:2379"}});
    namespace.clusters().create(&elder).await.allowed();
    let mut younger = elder.clone();
    younger["metadata"]["name"] = json!("younger");
    younger["spec"]["globalTopoServer"]["rootPath"] = json!("/shared/within");
    make_later(&namespace, "elder", &younger).await;
    assert_gives_way(&namespace, "younger", "TopologyConflict").await;
    let object = converged(&namespace, "elder").await;
    assert_eq!(condition(&object, "Stalled").unwrap().0, "False");

    // What was in the way is gone.
    namespace.clusters().delete("elder").await.allowed();
    let goes_on = |object: &Value| condition(object, "Stalled") == Some(("False", "Reconciled"));
    namespace.until("multigrescluster", "younger", "goes on", goes_on).await;
    let resumed = || async {
        let events = events(&namespace, "younger").await;
        events.iter().any(|event| *event == ("Normal".to_owned(), "Resumed".to_owned(), 1)).then_some(())
    };
    eventually("it is told that it goes on", resumed).await.unwrap();
}

#[tokio::test]
async fn of_two_that_share_a_name_the_younger_is_not_made() {
    let namespace = namespace("contention-name").await;
    let (mut elder, mut younger) = (cluster("a"), cluster("a-b"));
    elder["spec"]["cells"]["templates"][0]["name"] = json!("b-c");
    elder["spec"]["databases"]["templates"][0]["spec"]["pools"][0]["cell"] = json!("b-c");
    younger["spec"]["cells"]["templates"][0]["name"] = json!("c");
    younger["spec"]["databases"]["templates"][0]["spec"]["pools"][0]["cell"] = json!("c");
    namespace.clusters().create(&elder).await.allowed();
    make_later(&namespace, "a", &younger).await;
    assert_gives_way(&namespace, "a-b", "NameTaken").await;
    converged(&namespace, "a").await;
}
