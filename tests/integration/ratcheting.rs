//! Stored objects stay editable, whatever is wrong with them; and the CRD enforces its own rules while admission is
//! off.

use serde_json::{Value, json};

use crate::answers::Cause;
use crate::installation::{Installation, Namespace};
use crate::rules::{children, entries, group, pool, sound};

/// Stores a cluster as an older operator, with fewer rules, would have let it pass.
async fn stored(purpose: &str, cluster: &Value) -> Namespace<'static> {
    let namespace = Installation::shared().await.namespace(purpose).await;
    namespace.opt_out(true).await;
    namespace.clusters().create(cluster).await.allowed();
    namespace.opt_out(false).await;
    namespace
}

fn unsound() -> Value {
    let mut cluster = sound();
    cluster["spec"]["databases"]["templates"][0]["name"] = json!("users-db");
    entries(&mut cluster)[1]["cell"] = json!("zone-c");
    cluster
}

const NAME: Cause = ("Invalid", "spec.databases.templates[0].name", "is not a valid database name");

#[tokio::test]
async fn what_was_wrong_before_is_a_warning() {
    let namespace = stored("ratchet", &unsound()).await;
    let mut cluster = unsound();
    cluster["spec"]["restartedAt"] = json!("2026-01-02T03:04:05Z");
    for clusters in [namespace.clusters().dry_run(), namespace.clusters()] {
        let answer = clusters.update_spec("sound", &cluster["spec"]).await.allowed();
        answer.assert_warns("spec.databases.templates[0].name: \"users-db\" is not a valid database name");
        answer.assert_warns(
            "spec.databases.templates[0].spec.pools[1].cell: \"zone-c\" is not a cell of this cl",
        );
    }
}

#[tokio::test]
async fn what_is_wrong_elsewhere_or_in_another_way_is_an_error() {
    let namespace = stored("ratchet-new", &unsound()).await;
    let clusters = namespace.clusters().dry_run();
    // Another place.
    let mut cluster = unsound();
    cluster["spec"]["databases"]["templates"][1]["name"] = json!("orders-db");
    let answer = clusters.update_spec("sound", &cluster["spec"]).await;
    answer.assert_invalid(&[("Invalid", "spec.databases.templates[1].name", "is not a valid database name")]);
    // The same place, another value.
    let mut cluster = unsound();
    entries(&mut cluster)[1]["cell"] = json!("zone-d");
    let answer = clusters.update_spec("sound", &cluster["spec"]).await;
    let path = "spec.databases.templates[0].spec.pools[1].cell";
    answer.assert_invalid(&[("NotFound", path, "\"zone-d\" is not a cell")]);
    // Old and new in one: only the new one is refused, and the author fixes what is asked for.
    let mut cluster = unsound();
    cluster["spec"]["imagePullPolicy"] = json!("Sometimes");
    let answer = clusters.update_spec("sound", &cluster["spec"]).await;
    answer.assert_invalid(&[("NotSupported", "spec.imagePullPolicy", "supported values")]);
}

/// Indices are no identity: the databases are found by their names.
#[tokio::test]
async fn what_was_wrong_may_move() {
    let namespace = stored("ratchet-moved", &unsound()).await;
    let mut cluster = unsound();
    cluster["spec"]["databases"]["templates"].as_array_mut().unwrap().reverse();
    let answer = namespace.clusters().update_spec("sound", &cluster["spec"]).await.allowed();
    answer.assert_warns("spec.databases.templates[1].name: \"users-db\" is not a valid database name");
}

#[tokio::test]
async fn metadata_is_not_the_occasion() {
    let namespace = stored("ratchet-metadata", &unsound()).await;
    let metadata = json!({"metadata": {
        "labels": {"team": "payments"}, "annotations": {"note": "x"}, "finalizers": ["example.com/hold"],
    }});
    let answer = namespace.clusters().merge("sound", metadata).await.allowed();
    assert_eq!(answer.warnings, Vec::<String>::new());
    let nothing = json!({"metadata": {"finalizers": null}});
    namespace.clusters().merge("sound", nothing).await.allowed();
}

#[tokio::test]
async fn what_is_being_deleted_is_let_go() {
    let namespace = stored("ratchet-deleted", &unsound()).await;
    let clusters = namespace.clusters();
    clusters.merge("sound", json!({"metadata": {"finalizers": ["example.com/hold"]}})).await.allowed();
    clusters.delete("sound").await.allowed();
    let mut cluster = unsound();
    cluster["spec"]["databases"]["templates"][1]["name"] = json!("orders-db");
    clusters.update_spec("sound", &cluster["spec"]).await.allowed();
    clusters.merge("sound", json!({"metadata": {"finalizers": null}})).await.allowed();
    namespace.clusters().create(&unsound()).await.assert_invalid(&[
        NAME,
        ("NotFound", "spec.databases.templates[0].spec.pools[1].cell", "did you mean"),
    ]);
}

/// An update of the stored cluster, the field, and how the CRD words it.
type Twin = (fn(&mut Value), &'static str, &'static str);

/// Each rule that must hold with the webhooks removed, in its two forms.
#[tokio::test]
async fn the_crd_holds_what_must_not_change_without_admission() {
    const TWINS: &[Twin] = &[
        (
            |c| c["spec"]["globalTopoServer"]["rootPath"] = json!("/multigres/other"),
            "spec.globalTopoServer.rootPath",
            "rootPath cannot be changed: the topology would be lost",
        ),
        (
            |c| c["spec"]["globalTopoServer"]["managedSpec"]["replicas"] = json!(5),
            "spec.globalTopoServer.managedSpec.replicas",
            "replicas cannot be changed: changing etcd's membership is not implemented",
        ),
        (
            |c| group(c)["partitioning"]["shards"] = json!(2),
            "spec.databases.templates[1].spec.tableGroups[0].partitioning.shards",
            "shards cannot be changed: resharding is not implemented",
        ),
    ];
    let in_crd = multigres_webhooks::validate::RULES.iter().filter(|rule| rule.in_crd && rule.id != "K04");
    assert_eq!(in_crd.count(), TWINS.len());

    let namespace = Installation::shared().await.namespace("ratchet-crd").await;
    let clusters = namespace.clusters();
    let mut cluster = sound();
    cluster["spec"]["globalTopoServer"]["managedSpec"] = json!({"replicas": 3});
    clusters.create(&cluster).await.allowed();
    for (edit, field, _) in TWINS {
        let mut changed = cluster.clone();
        edit(&mut changed);
        let answer = clusters.update_spec("sound", &changed["spec"]).await;
        answer.assert_invalid(&[("Invalid", field, "cannot be changed from ")]);
    }

    namespace.opt_out(true).await;
    for (edit, field, message) in TWINS {
        let mut changed = cluster.clone();
        edit(&mut changed);
        let answer = clusters.update_spec("sound", &changed["spec"]).await;
        assert_eq!(answer.causes(), [format!("Invalid {field}")], "{answer:#?}");
        assert!(answer.message().contains(message), "{}", answer.message());
        assert!(!answer.message().contains("webhook"), "{}", answer.message());
    }
    // K04, its twin in the definitions of children.
    for (kind, field, value) in [
        (children::CELL, "cell", json!("b")),
        (children::SHARD, "durabilityPolicy", json!("MULTI_CELL_AT_LEAST_2")),
        (children::ETCD, "replicas", json!(5)),
    ] {
        let (mut child, resource) = (children::sound(kind), namespace.resource(kind.1));
        resource.create(&child).await.allowed();
        child["spec"][field] = value;
        let answer = resource.update_spec("alone", &child["spec"]).await;
        assert_eq!(answer.causes(), [format!("Invalid spec.{field}")], "{answer:#?}");
    }
    // What only admission knows passes, which is what the way out is for.
    pool(&mut cluster, 0)["replicas"] = json!(1);
    clusters.update_spec("sound", &cluster["spec"]).await.allowed();
}
