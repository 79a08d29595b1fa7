//! The status says what is so: each thing that is missing or unready is told where it belongs, and nowhere else.

mod documentation;

use serde_json::Value;
use testbed::{Options, PodReadiness, set_pod_ready};

use crate::installation::{Installation, Namespace};
use crate::samples::{SMALL, condition};

/// A part of the cluster, by the label of its pods, and what the status says of it.
struct Part {
    component: &'static str,
    pointer: &'static str,
    /// The child that reports it.
    child: (&'static str, &'static str),
}

const PARTS: [Part; 4] = [
    Part {
        component: "etcd",
        pointer: "/status/globalTopoServer/etcd/available",
        child: ("toposerver", "small-etcd"),
    },
    Part {
        component: "multiadmin",
        pointer: "/status/admin/available",
        child: ("multiadmin", "small-admin"),
    },
    Part {
        component: "multiorch",
        pointer: "/status/orchestrator/available",
        child: ("multiorch", "small-orch"),
    },
    Part {
        component: "multigateway",
        pointer: "/status/cells/a/gatewayAvailable",
        child: ("multicell", "small-a"),
    },
];

async fn pods(namespace: &Namespace<'_>, component: &str) -> Vec<String> {
    let selector = format!("multigres.com/component={component}");
    let names =
        namespace.must(&["get", "pods", "-l", &selector, "-o", "jsonpath={.items[*].metadata.name}"]).await;
    names.split_whitespace().map(str::to_owned).collect()
}

async fn set_ready(namespace: &Namespace<'_>, component: &str, ready: bool) {
    for pod in pods(namespace, component).await {
        set_pod_ready(namespace.client(), &namespace.name, &pod, ready).await.unwrap();
    }
}

async fn wait_for(namespace: &Namespace<'_>, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    namespace.until("multigrescluster", "small", what, holds).await
}

/// Reported states of the parts.
fn parts(cluster: &Value) -> Vec<&str> {
    PARTS
        .iter()
        .map(|part| cluster.pointer(part.pointer).and_then(Value::as_str).unwrap_or("absent"))
        .collect()
}

#[tokio::test]
async fn one_thing_missing_or_unready_is_told_where_it_belongs() {
    let options = Options { fake_nodes: 2, pod_readiness: PodReadiness::ByHand, ..Options::default() };
    let installation = Installation::start(options).await.unwrap();
    let namespace = installation.namespace("status").await;
    namespace.apply(SMALL).await.unwrap();

    // Everything is there and nothing is ready.
    let all_unavailable = |cluster: &Value| {
        parts(cluster) == ["False"; 4]
            && cluster.pointer("/status/databases/app/readyInstances") == Some(&0.into())
    };
    let cluster = wait_for(&namespace, "nothing is ready", all_unavailable).await;
    assert_eq!(cluster.pointer("/status/databases/app/desiredInstances"), Some(&3.into()));
    assert_eq!(condition(&cluster, "Available").unwrap().0, "False");
    assert_eq!(condition(&cluster, "Ready").unwrap().0, "False");

    // Everything is ready, as far as pods can tell. Whether writes are served they cannot.
    for component in ["etcd", "multiadmin", "multiorch", "multigateway", "multipooler"] {
        set_ready(&namespace, component, true).await;
    }
    let all_available = |cluster: &Value| {
        parts(cluster) == ["True"; 4]
            && cluster.pointer("/status/databases/app/readyInstances") == Some(&3.into())
            && condition(cluster, "Progressing") == Some(("False", "Reconciled"))
    };
    let cluster = wait_for(&namespace, "everything is ready", all_available).await;
    assert_eq!(cluster.pointer("/status/databases/app/servingWrites"), Some(&"Unknown".into()));
    assert_eq!(condition(&cluster, "Available").unwrap().0, "Unknown");
    assert_eq!(condition(&cluster, "Stalled").unwrap().0, "False");

    // One part at a time is unready: that part is told, and its child says why.
    for (i, part) in PARTS.iter().enumerate() {
        set_ready(&namespace, part.component, false).await;
        let only_this = |cluster: &Value| {
            let mut expected = ["True"; 4];
            expected[i] = "False";
            parts(cluster) == expected && condition(cluster, "Available") == Some(("False", "Unavailable"))
        };
        wait_for(&namespace, &format!("{} is unready", part.component), only_this).await;
        let (kind, name) = part.child;
        let not_ready = |child: &Value| condition(child, "Ready") == Some(("False", "PodsNotReady"));
        namespace.until(kind, name, "PodsNotReady", not_ready).await;
        set_ready(&namespace, part.component, true).await;
        wait_for(&namespace, "everything is ready again", all_available).await;
    }

    // One instance of the database.
    let pod = &pods(&namespace, "multipooler").await[0];
    set_pod_ready(namespace.client(), &namespace.name, pod, false).await.unwrap();
    let one_less =
        |cluster: &Value| cluster.pointer("/status/databases/app/readyInstances") == Some(&2.into());
    let cluster = wait_for(&namespace, "an instance is unready", one_less).await;
    assert_eq!(parts(&cluster), ["True"; 4]);
    let told = |shard: &Value| condition(shard, "Ready") == Some(("False", "PodsNotReady"));
    namespace.until("multishard", "small-app-default-0-inf", "PodsNotReady", told).await;
}

#[tokio::test]
async fn a_changed_shard_waits_for_the_topology() {
    let namespace = Installation::shared().await.namespace("status-rollout").await;
    namespace.apply(SMALL).await.unwrap();
    crate::samples::converged(&namespace, "small").await;
    let before = pods(&namespace, "multipooler").await;
    let changed = SMALL.replace("cpu: \"0.5\"", "cpu: 600m");
    namespace.apply(&changed).await.unwrap();
    let waits = |object: &Value| condition(object, "Progressing") == Some(("True", "AwaitingTopology"));
    let shard = namespace.until("multishard", "small-app-default-0-inf", "AwaitingTopology", waits).await;
    // The replicas inherit the resources of the primary.
    assert_eq!(shard["status"]["rollout"]["updated"], 0, "{}", shard["status"]);
    assert_eq!(shard["status"]["rollout"]["total"], 3);
    wait_for(&namespace, "AwaitingTopology", waits).await;
    assert_eq!(pods(&namespace, "multipooler").await, before, "no pod of a shard is replaced");
}

#[tokio::test]
async fn without_databases_the_orchestrator_is_unknown() {
    let namespace = Installation::shared().await.namespace("status-empty").await;
    let without = SMALL.split("  databases:").next().unwrap();
    namespace.apply(without).await.unwrap();
    let available = |cluster: &Value| condition(cluster, "Ready") == Some(("True", "Ready"));
    let cluster = wait_for(&namespace, "ready", available).await;
    assert_eq!(cluster.pointer("/status/orchestrator/available"), Some(&"Unknown".into()));
    let reason = |orch: &Value| condition(orch, "Ready") == Some(("Unknown", "NoDatabases"));
    namespace.until("multiorch", "small-orch", "NoDatabases", reason).await;
}
