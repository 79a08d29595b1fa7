//! Passwords that are lost or changed: no other one is made over data, and everything else is looked after meanwhile.

use serde_json::{Value, json};

use crate::installation::{Installation, Namespace};
use crate::samples::{SMALL, condition, converged};

const PASSWORD: &str = "small-app-password";
const CONNECTION: &str = "small-app-connection";
const SHARD: &str = "small-app-default-0-inf";
const SET: &str = "small-app-default-0-inf-a-replica-pg";

async fn small(purpose: &str) -> Namespace<'static> {
    let namespace = Installation::shared().await.namespace(purpose).await;
    namespace.apply(SMALL).await.unwrap();
    converged(&namespace, "small").await;
    namespace
}

async fn data(namespace: &Namespace<'_>, secret: &str) -> Option<Value> {
    namespace.get("secret", secret).await.map(|secret| secret["data"].clone())
}

/// Edits a StatefulSet as a person would, which has the shard looked at, and waits until that is put back.
async fn is_looked_after(namespace: &Namespace<'_>) {
    namespace
        .must(&["patch", "statefulset", SET, "--type=merge", "-p", r#"{"spec":{"minReadySeconds":7}}"#])
        .await;
    let put_back = |set: &Value| set["spec"]["minReadySeconds"].as_i64().unwrap_or(0) == 0;
    namespace.until("statefulset", SET, "put back", put_back).await;
}

async fn grows(namespace: &Namespace<'_>) {
    namespace.apply(&SMALL.replace("replicas: 2", "replicas: 3")).await.unwrap();
    namespace.until("statefulset", SET, "three replicas", |set| set["spec"]["replicas"] == 3).await;
}

async fn says(namespace: &Namespace<'_>, reason: &str) -> Value {
    let stalled = |shard: &Value| {
        shard["status"]["observedGeneration"] == shard["metadata"]["generation"]
            && condition(shard, "Stalled") == Some(("True", reason))
    };
    namespace.until("multishard", SHARD, reason, stalled).await
}

async fn says_nothing(namespace: &Namespace<'_>) {
    let quiet = |shard: &Value| condition(shard, "Stalled").is_some_and(|(status, _)| status == "False");
    namespace.until("multishard", SHARD, "nothing is in the way", quiet).await;
}

#[tokio::test]
async fn a_lost_password_comes_back_from_what_clients_were_told() {
    let namespace = small("password-lost").await;
    let before = data(&namespace, PASSWORD).await.unwrap();
    namespace.must(&["delete", "secret", PASSWORD]).await;
    is_looked_after(&namespace).await;
    let restored = namespace.until("secret", PASSWORD, "is there again", |_| true).await;
    assert_eq!(restored["data"], before);
    grows(&namespace).await;
    says_nothing(&namespace).await;
}

#[tokio::test]
async fn without_any_password_what_runs_is_looked_after_and_none_is_made() {
    let namespace = small("password-gone").await;
    let before = namespace.get("secret", PASSWORD).await.unwrap();
    namespace.must(&["delete", "secret", PASSWORD, CONNECTION]).await;
    is_looked_after(&namespace).await;
    says(&namespace, "PasswordMissing").await;
    grows(&namespace).await;
    // After a restore, or an accident, the claims are somebody's who has their names.
    namespace.must(&["label", "pvc", "--all", "multigres.com/cluster-", "multigres.com/database-"]).await;
    is_looked_after(&namespace).await;
    grows(&namespace).await;
    says(&namespace, "PasswordMissing").await;
    assert_eq!((data(&namespace, PASSWORD).await, data(&namespace, CONNECTION).await), (None, None));

    let restored = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": PASSWORD, "labels": before["metadata"]["labels"]},
        "data": before["data"],
    });
    namespace.apply(&restored.to_string()).await.unwrap();
    is_looked_after(&namespace).await;
    let told = namespace.until("secret", CONNECTION, "is there again", |_| true).await;
    assert_eq!(told["data"]["password"], before["data"]["password"]);
}

#[tokio::test]
async fn what_somebody_wrote_for_clients_is_no_password_of_the_data() {
    let namespace = small("password-forged").await;
    namespace
        .must(&["patch", "secret", CONNECTION, "-p", r#"{"data":{"password":"d3Jvbmc="},"immutable":true}"#])
        .await;
    namespace.must(&["delete", "secret", PASSWORD]).await;
    is_looked_after(&namespace).await;
    says(&namespace, "PasswordMissing").await;
    assert_eq!(data(&namespace, PASSWORD).await, None);
}

#[tokio::test]
async fn clients_keep_the_password_that_postgresql_has() {
    let namespace = small("password-changed").await;
    let (before, told) = (data(&namespace, PASSWORD).await.unwrap(), data(&namespace, CONNECTION).await);
    let change = |data: &Value| json!({ "data": data }).to_string();
    let wrong = change(&json!({"password": "d3Jvbmc="}));
    namespace.must(&["patch", "secret", PASSWORD, "-p", &wrong]).await;
    is_looked_after(&namespace).await;
    says(&namespace, "PasswordMismatch").await;
    assert_eq!(data(&namespace, CONNECTION).await, told);
    grows(&namespace).await;
    namespace.must(&["patch", "secret", PASSWORD, "-p", &change(&before)]).await;
    is_looked_after(&namespace).await;
    says_nothing(&namespace).await;
    assert_eq!(data(&namespace, CONNECTION).await, told);
}

/// One object that cannot be put right keeps none of the others from being looked after.
#[tokio::test]
async fn a_connection_secret_that_cannot_be_written_keeps_nothing_else_back() {
    let namespace = small("password-immutable").await;
    let patch = r#"{"immutable":true,"stringData":{"host":"elsewhere","extra":"key"}}"#;
    namespace.must(&["patch", "secret", CONNECTION, "-p", patch]).await;
    is_looked_after(&namespace).await;
    says(&namespace, "ImmutableField").await;
    grows(&namespace).await;
    is_looked_after(&namespace).await;
}
