//! Deletion protection where admission is gone round: the controllers remove nothing until it is lifted.

use crate::installation::{Installation, Namespace, eventually};
use crate::samples::{SMALL, condition, converged};

const SHARD: &str = "small-app-default-0-inf";
const SET: &str = "small-app-default-0-inf-a-primary-pg";

async fn exists(namespace: &Namespace<'_>, kind: &str, name: &str) -> bool {
    namespace.get(kind, name).await.is_some_and(|object| object["metadata"]["deletionTimestamp"].is_null())
}

#[tokio::test]
async fn a_protected_database_stays_until_protection_is_lifted() {
    let namespace = Installation::shared().await.namespace("turndown").await;
    let protected = SMALL.replacen("spec:", "spec:\n  deletionProtection: true", 1);
    namespace.apply(&protected).await.unwrap();
    converged(&namespace, "small").await;

    let without = |manifest: &str| manifest.split("  databases:").next().unwrap().to_owned();
    let refused = namespace.apply(&without(&protected)).await.unwrap_err();
    assert!(refused.contains("deletionProtection"), "{refused}");
    namespace.opt_out(true).await;
    namespace.apply(&without(&protected)).await.unwrap();
    let blocked = |object: &serde_json::Value| {
        object["status"]["observedGeneration"] == object["metadata"]["generation"]
            && condition(object, "TurndownBlocked") == Some(("True", "TurndownBlocked"))
            && condition(object, "Stalled") == Some(("True", "TurndownBlocked"))
    };
    let cluster = namespace.until("multigrescluster", "small", "turn-down is blocked", blocked).await;
    assert!(cluster.to_string().contains(&format!("MultiShard {SHARD}")), "{cluster:#}");
    let told = || async {
        let events = namespace.must(&["get", "events", "-o", "jsonpath={.items[*].reason}"]).await;
        events.contains("TurndownBlocked").then_some(())
    };
    eventually("an Event tells of it", told).await.unwrap();
    assert!(exists(&namespace, "multishard", SHARD).await && exists(&namespace, "statefulset", SET).await);
    let orch = namespace.get("multiorch", "small-orch").await.unwrap();
    assert_eq!(orch["spec"]["databases"], serde_json::json!(["app"]), "it is looked after as before");

    namespace.apply(&without(SMALL)).await.unwrap();
    let gone = || async {
        let shards = namespace
            .must(&["get", "multishard,statefulset", "-l", "multigres.com/database=app", "-o", "name"])
            .await;
        shards.is_empty().then_some(())
    };
    eventually("the database goes once nothing protects it", gone).await.unwrap();
    let resumed = |object: &serde_json::Value| {
        condition(object, "Stalled").is_some_and(|(status, _)| status == "False")
    };
    let cluster = namespace.until("multigrescluster", "small", "nothing is blocked", resumed).await;
    assert_eq!(condition(&cluster, "TurndownBlocked"), None);
    assert!(exists(&namespace, "pvc", "data-small-app-default-0-inf-a-primary-pg-0").await);
}
