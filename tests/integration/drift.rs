//! Edits to what the operator made are put back: changed, removed and added fields, and whole objects.

use serde_json::Value;

use crate::installation::{Installation, Namespace, eventually};
use crate::samples::{SMALL, condition, converged};

/// The part of an object that says what it is to be.
fn content(object: &Value) -> Value {
    serde_json::json!({ "spec": object["spec"], "data": object["data"] })
}

/// Edits an object as a person would, and waits until it is exactly what it was.
async fn put_back(namespace: &Namespace<'_>, kind: &str, name: &str, patch: (&str, &str)) {
    let before = namespace.get(kind, name).await.unwrap_or_else(|| panic!("{kind} {name} does not exist"));
    let (type_, body) = patch;
    let edited = namespace.must(&["patch", kind, name, "--type", type_, "-p", body, "-o", "json"]).await;
    let edited: Value = serde_json::from_str(&edited).unwrap();
    assert_ne!(content(&edited), content(&before), "{kind} {name}: the edit had no effect: {body}");
    let what = format!("put back after {body}");
    namespace.until(kind, name, &what, |object| content(object) == content(&before)).await;
}

async fn small(purpose: &str) -> Namespace<'static> {
    let namespace = Installation::shared().await.namespace(purpose).await;
    namespace.apply(SMALL).await.unwrap();
    converged(&namespace, "small").await;
    namespace
}

#[tokio::test]
async fn deployments() {
    let namespace = small("drift-deployment").await;
    for patch in [
        ("merge", r#"{"spec":{"replicas":5}}"#),
        ("merge", r#"{"spec":{"paused":true}}"#),
        (
            "merge",
            r#"{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"now"}}}}}"#,
        ),
        ("merge", r#"{"spec":{"template":{"metadata":{"labels":{"extra":"label"}}}}}"#),
        ("json", r#"[{"op":"remove","path":"/spec/template/spec/containers/0/readinessProbe"}]"#),
        ("json", r#"[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"other:v1"}]"#),
        ("json", r#"[{"op":"replace","path":"/spec/template/spec/containers/0/name","value":"renamed"}]"#),
        (
            "strategic",
            r#"{"spec":{"template":{"spec":{"containers":[{"name":"extra","image":"extra:v1"}]}}}}"#,
        ),
        (
            "strategic",
            r#"{"spec":{"template":{"spec":{"containers":[{"name":"multigateway","env":[{"name":"A","value":"b"}]}]}}}}"#,
        ),
        ("strategic", r#"{"spec":{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}}"#),
    ] {
        put_back(&namespace, "deployment", "small-multigateway-a", patch).await;
    }
}

#[tokio::test]
async fn stateful_sets() {
    let namespace = small("drift-statefulset").await;
    for patch in [
        ("merge", r#"{"spec":{"replicas":2}}"#),
        ("merge", r#"{"spec":{"minReadySeconds":7}}"#),
        ("json", r#"[{"op":"remove","path":"/spec/template/spec/containers/0/livenessProbe"}]"#),
        (
            "json",
            r#"[{"op":"add","path":"/spec/template/spec/containers/0/ports/-","value":{"name":"x","containerPort":99}}]"#,
        ),
        ("strategic", r#"{"spec":{"template":{"spec":{"nodeSelector":{"disk":"fast"}}}}}"#),
        (
            "strategic",
            r#"{"spec":{"template":{"spec":{"containers":[{"name":"etcd","resources":{"limits":{"cpu":"3"}}}]}}}}"#,
        ),
    ] {
        put_back(&namespace, "statefulset", "small-etcd", patch).await;
    }
}

#[tokio::test]
async fn services() {
    let namespace = small("drift-service").await;
    for patch in [
        ("json", r#"[{"op":"replace","path":"/spec/ports/0/port","value":15001}]"#),
        ("json", r#"[{"op":"replace","path":"/spec/ports/0/name","value":"renamed"}]"#),
        ("json", r#"[{"op":"add","path":"/spec/ports/-","value":{"name":"extra","port":99}}]"#),
        ("merge", r#"{"spec":{"selector":{"extra":"label"}}}"#),
        ("merge", r#"{"spec":{"sessionAffinity":"ClientIP"}}"#),
        ("merge", r#"{"spec":{"selector":{"multigres.com/component":null}}}"#),
    ] {
        put_back(&namespace, "service", "small-admin", patch).await;
    }
}

#[tokio::test]
async fn config_maps_and_disruption_budgets() {
    let namespace = small("drift-configmap").await;
    for patch in [
        ("merge", r#"{"data":{"pg_hba_template.conf":"local all all trust\n"}}"#),
        ("merge", r#"{"data":{"pg_hba_template.conf":null}}"#),
        ("merge", r#"{"data":{"extra":"data"}}"#),
    ] {
        put_back(&namespace, "configmap", "small-app-default-0-inf-pg-hba", patch).await;
    }
    for patch in
        [r#"{"spec":{"minAvailable":0}}"#, r#"{"spec":{"selector":{"matchLabels":{"extra":"label"}}}}"#]
    {
        put_back(&namespace, "pdb", "small-app-default-0-inf", ("merge", patch)).await;
    }
}

#[tokio::test]
async fn a_lower_revision_removes_the_objects_that_only_the_higher_one_has() {
    let namespace = small("drift-revision").await;
    let settings = async || {
        namespace.must(&["get", "configmap", "small-etcd-settings", "--ignore-not-found", "-o", "name"]).await
    };
    assert_eq!(settings().await.trim_end(), "configmap/small-etcd-settings");
    let lower = r#"{"spec":{"workloadRevision":1}}"#;
    namespace.must(&["patch", "multigrescluster", "small", "--type", "merge", "-p", lower]).await;
    let gone = || async { settings().await.is_empty().then_some(()) };
    eventually("the settings of etcd are gone", gone).await.unwrap();
}

/// Secrets are not watched: an edit is put back when the shard is looked at next, and keeps nothing else of it from
/// being put back.
#[tokio::test]
async fn connection_secrets() {
    let namespace = small("drift-secret").await;
    let (secret, set) = ("small-app-connection", "small-app-default-0-inf-a-primary-pg");
    let edit = async |patch: &str| {
        namespace.must(&["patch", "secret", secret, "--type", "merge", "-p", patch]).await;
    };
    let edit_of_set =
        || put_back(&namespace, "statefulset", set, ("merge", r#"{"spec":{"minReadySeconds":7}}"#));
    let before = content(&namespace.get("secret", secret).await.unwrap());
    for patch in
        [r#"{"stringData":{"x":"y"}}"#, r#"{"stringData":{"host":"elsewhere"}}"#, r#"{"data":{"uri":null}}"#]
    {
        edit(patch).await;
        edit_of_set().await;
        let what = format!("put back after {patch}");
        namespace.until("secret", secret, &what, |secret| content(secret) == before).await;
    }
    // Nobody can take that back, and nothing needs it: the content is what it should be.
    edit(r#"{"immutable":true}"#).await;
    edit_of_set().await;
    converged(&namespace, "small").await;
    let look_again = async || {
        let service = "small-app-default-0-inf-a-primary-pg-0";
        namespace.must(&["delete", "service", service, "--ignore-not-found"]).await;
    };
    // Once the content is something else, only a deletion helps, which is a person's to decide.
    let renew = async || {
        namespace.must(&["delete", "secret", secret]).await;
        look_again().await;
        namespace.until("secret", secret, "made again", |secret| content(secret) == before).await;
    };
    renew().await;
    edit(r#"{"stringData":{"host":"elsewhere"},"immutable":true}"#).await;
    look_again().await;
    let stalled = |shard: &Value| condition(shard, "Stalled") == Some(("True", "ImmutableField"));
    let told = namespace.until("multishard", "small-app-default-0-inf", "its Secret differs", stalled).await;
    assert!(told["status"].to_string().contains("delete it, and it is created anew"), "{told:#}");
    renew().await;
    converged(&namespace, "small").await;
}

#[tokio::test]
async fn children_although_admission_was_bypassed() {
    let namespace = small("drift-child").await;
    namespace
        .kubectl()
        .must(["label", "namespace", &namespace.name, "multigres.com/admission=disabled"])
        .await
        .unwrap();
    for patch in [
        ("merge", r#"{"spec":{"multiGateway":{"replicas":3}}}"#),
        ("merge", r#"{"spec":{"multiGateway":{"resources":null}}}"#),
        ("merge", r#"{"spec":{"podLabels":{"extra":"label"}}}"#),
        ("merge", r#"{"spec":{"multiGateway":{"service":{"annotations":{"extra":"annotation"}}}}}"#),
    ] {
        put_back(&namespace, "multicell", "small-a", patch).await;
    }
}

#[tokio::test]
async fn deleted_objects_come_back() {
    let namespace = small("drift-deleted").await;
    for (kind, name) in [
        ("service", "small-admin"),
        ("deployment", "small-multiadmin"),
        ("statefulset", "small-etcd"),
        ("configmap", "small-app-default-0-inf-pg-hba"),
        ("pdb", "small-app-default-0-inf"),
    ] {
        let uid = namespace.get(kind, name).await.unwrap()["metadata"]["uid"].clone();
        namespace.must(&["delete", kind, name, "--wait=false"]).await;
        namespace.until(kind, name, "made again", |object| object["metadata"]["uid"] != uid).await;
    }
}

#[tokio::test]
async fn labels_of_others_are_left_alone() {
    let namespace = small("drift-foreign").await;
    namespace.must(&["annotate", "deployment", "small-multiadmin", "example.com/note=kept"]).await;
    namespace.must(&["label", "deployment", "small-multiadmin", "example.com/team=kept"]).await;
    // An edit that is put back shows that the operator has looked at the object since.
    put_back(&namespace, "deployment", "small-multiadmin", ("merge", r#"{"spec":{"replicas":3}}"#)).await;
    let metadata = namespace.get("deployment", "small-multiadmin").await.unwrap()["metadata"].clone();
    assert_eq!(metadata["annotations"]["example.com/note"], "kept");
    assert_eq!(metadata["labels"]["example.com/team"], "kept");
}

#[tokio::test]
async fn an_object_of_somebody_else_is_left_alone() {
    let namespace = Installation::shared().await.namespace("drift-taken").await;
    namespace.must(&["create", "service", "clusterip", "small-admin", "--tcp=80"]).await;
    let before = namespace.get("service", "small-admin").await.unwrap();
    namespace.apply(SMALL).await.unwrap();
    let taken = |object: &Value| crate::samples::condition(object, "Stalled") == Some(("True", "NameTaken"));
    namespace.until("multiadmin", "small-admin", "NameTaken", taken).await;
    namespace.until("multigrescluster", "small", "NameTaken", taken).await;
    assert_eq!(namespace.get("service", "small-admin").await.unwrap(), before);
    // Once the name is free, nothing is in the way any more.
    namespace.must(&["delete", "service", "small-admin"]).await;
    converged(&namespace, "small").await;
}

/// Fields that only a removal from the cluster tells of: nothing else about the objects is to change.
#[tokio::test]
async fn what_is_taken_out_of_a_cluster_goes_from_its_objects() {
    let namespace = small("drift-removed").await;
    let (cell, pool) = ("/spec/cells/templates/0/spec", "/spec/databases/templates/0/spec/pools/0/replica");
    let (gateway, service) = (("deployment", "small-multigateway-a"), ("service", "small-multigateway-a"));
    let instance = ("statefulset", "small-app-default-0-inf-a-replica-pg");
    for (at, with, without, (kind, name)) in [
        (cell, r#"{"podLabels":{"extra":"label"}}"#, "{}", gateway),
        (cell, r#"{"podAnnotations":{"a":"1"}}"#, "{}", gateway),
        (
            cell,
            r#"{"multiGateway":{"resources":{"requests":{"cpu":"1"},"limits":{"cpu":"3"}}}}"#,
            r#"{"multiGateway":{"resources":{"requests":{"cpu":"1"}}}}"#,
            gateway,
        ),
        (cell, r#"{"multiGateway":{"service":{"annotations":{"a":"1"}}}}"#, "{}", service),
        (pool, r#"{"replicas":2,"podLabels":{"extra":"label"}}"#, r#"{"replicas":2}"#, instance),
    ] {
        let set = async |value: &str| {
            let patch = format!(r#"[{{"op":"add","path":"{at}","value":{value}}}]"#);
            namespace.must(&["patch", "multigrescluster", "small", "--type", "json", "-p", &patch]).await;
        };
        set(without).await;
        converged(&namespace, "small").await;
        let before = asked_for(&namespace.get(kind, name).await.unwrap());
        for (value, is_back) in [(with, false), (without, true)] {
            set(value).await;
            let what = format!("as {value} asks for");
            namespace.until(kind, name, &what, |object| (asked_for(object) == before) == is_back).await;
        }
    }
}

/// The desired state of an object, without Kubernetes' own notes.
fn asked_for(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let mut annotations = metadata["annotations"].clone();
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.remove("deployment.kubernetes.io/revision");
    }
    let annotations = annotations.as_object().filter(|annotations| !annotations.is_empty());
    serde_json::json!({ "labels": metadata["labels"], "annotations": annotations, "spec": object["spec"] })
}
