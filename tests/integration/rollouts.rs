//! Rollouts of shards, as far as they can be seen without a data plane: nobody is known to lead, so nothing may go.

use serde_json::{Value, json};

use crate::installation::{Installation, Namespace, eventually};
use crate::samples::{SMALL, condition, converged};

const SHARD: &str = "small-app-default-0-inf";
const BUDGET: &str = "jsonpath={.spec.minAvailable}";

/// The pods of the shard's pool of replicas, with their identities.
async fn pods(namespace: &Namespace<'_>) -> Vec<String> {
    let selector = "multigres.com/component=multipooler,multigres.com/pool=a-replica";
    let format = "jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.metadata.deletionTimestamp}{\"\\n\"}{end}";
    let found = namespace.must(&["get", "pods", "-l", selector, "-o", format]).await;
    found.lines().map(str::to_owned).collect()
}

/// The StatefulSet of the pool of replicas.
async fn replicas(namespace: &Namespace<'_>) -> Value {
    let selector = "multigres.com/pool=a-replica";
    let found = namespace.must(&["get", "statefulset", "-l", selector, "-o", "json"]).await;
    serde_json::from_str::<Value>(&found).unwrap()["items"][0].clone()
}

fn waits(reason: &'static str) -> impl Fn(&Value) -> bool {
    move |object| condition(object, "Progressing") == Some(("True", reason))
}

/// The larger number is the number of pods: whoever takes the smaller one has Kubernetes end a pod at once.
#[tokio::test]
async fn a_statefulset_that_vanished_while_its_pool_shrinks_is_made_for_all_of_its_pods() {
    let namespace = Installation::shared().await.namespace("rollouts-vanished").await;
    namespace.apply(&SMALL.replace("replicas: 2", "replicas: 4")).await.unwrap();
    converged(&namespace, "small").await;
    let before = pods(&namespace).await;
    assert_eq!(before.len(), 4, "{before:?}");
    namespace.apply(&SMALL.replace("replicas: 2", "replicas: 3")).await.unwrap();
    namespace.until("multishard", SHARD, "waiting", waits("AwaitingTopology")).await;
    let lost = replicas(&namespace).await["metadata"].clone();
    let name = lost["name"].as_str().unwrap();
    namespace.must(&["delete", "statefulset", name, "--cascade=orphan"]).await;
    let made = eventually("another StatefulSet owns the pods", async || {
        let made = replicas(&namespace).await;
        let is_another = made.is_object() && made["metadata"]["uid"] != lost["uid"];
        (is_another && made["status"]["replicas"] == 4).then_some(made)
    });
    assert_eq!(made.await.unwrap()["spec"]["replicas"], 4);
    namespace.until("multishard", SHARD, "waiting", waits("AwaitingTopology")).await;
    assert_eq!(pods(&namespace).await, before);
    assert_eq!(namespace.must(&["get", "pdb", SHARD, "-o", BUDGET]).await, "4");
}

/// `kubectl debug --copy-to --keep-labels` makes such a pod.
#[tokio::test]
async fn a_pod_that_only_bears_the_labels_of_an_instance_is_none() {
    let namespace = Installation::shared().await.namespace("rollouts-copy").await;
    namespace.apply(SMALL).await.unwrap();
    converged(&namespace, "small").await;
    let selector = "multigres.com/component=multipooler";
    let found = namespace.must(&["get", "pods", "-l", selector, "-o", "json"]).await;
    let found: Value = serde_json::from_str(&found).unwrap();
    let labels = &found["items"][0]["metadata"]["labels"];
    for name in ["copy-9", "copy"] {
        let copy = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": labels },
            "spec": { "containers": [{ "name": "debugger", "image": "debugger" }] },
        });
        namespace.apply(&copy.to_string()).await.unwrap();
    }
    // A pool that grows has the operator look at everything again.
    namespace.apply(&SMALL.replace("replicas: 2", "replicas: 3")).await.unwrap();
    converged(&namespace, "small").await;
    assert_eq!(namespace.must(&["get", "pdb", SHARD, "-o", BUDGET]).await, "3");
    let rests = |shard: &Value| {
        let progressing = condition(shard, "Progressing").map(|(status, _)| status.to_owned());
        shard["status"]["desiredInstances"] == 4 && progressing.as_deref() == Some("False")
    };
    namespace.until("multishard", SHARD, "at rest with the instances that were asked for", rests).await;
}

/// The cluster's value reaches the shard, and an invalid time does not reach the cluster.
#[tokio::test]
async fn a_forced_rollout_is_asked_for_by_a_time() {
    let namespace = Installation::shared().await.namespace("rollouts-forced").await;
    let forced =
        |time: &str| SMALL.replace("spec:\n  global", &format!("spec:\n  forceRolloutAt: {time}\n  global"));
    let refused = namespace.apply(&forced("now")).await.unwrap_err();
    assert!(refused.contains("spec.forceRolloutAt"), "{refused}");
    let said = namespace.apply(&forced("\"2026-01-02T03:04:05Z\"")).await.unwrap();
    assert!(said.contains("created"), "{said}");
    let has_it = |shard: &Value| shard["spec"]["forceRolloutAt"] == "2026-01-02T03:04:05Z";
    namespace.until("multishard", SHARD, "told", has_it).await;
}
