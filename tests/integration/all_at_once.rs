//! One answer tells everything: what the schema, the keys of lists and the rules have against a cluster.

use serde_json::{Value, json};

use crate::answers::Cause;
use crate::installation::{Installation, Namespace};
use crate::rules::{entries, pool, sound};
use crate::samples::{PROPOSAL, TABLE_GROUPS, own};

async fn namespace(purpose: &str) -> Namespace<'static> {
    Installation::shared().await.namespace(purpose).await
}

/// A bad enumeration value, a name that is taken, and a cell that does not exist.
fn thrice_wrong() -> Value {
    let mut cluster = sound();
    cluster["spec"]["imagePullPolicy"] = json!("Sometimes");
    cluster["spec"]["databases"]["templates"][1]["name"] = json!("short");
    entries(&mut cluster)[1]["cell"] = json!("zone-bb");
    cluster
}

const THREE: &[Cause] = &[
    ("NotFound", "spec.databases.templates[0].spec.pools[1].cell", "did you mean \"zone-b\"?"),
    ("Duplicate", "spec.databases.templates[1].name", "Duplicate value: \"short\""),
    ("NotSupported", "spec.imagePullPolicy", "supported values: \"Always\", \"IfNotPresent\", \"Never\""),
];

#[tokio::test]
async fn schema_and_keys_and_rules() {
    let namespace = namespace("once").await;
    let cluster = thrice_wrong();
    // The API server would have stopped at the first of the three.
    for clusters in [namespace.clusters().dry_run(), namespace.clusters()] {
        clusters.create(&cluster).await.assert_invalid(THREE);
    }
    let said = namespace.apply(&cluster.to_string()).await.unwrap_err();
    for (_, field, part) in THREE {
        let line = said.lines().find(|line| line.contains(&format!("{field}: "))).unwrap_or(&said);
        assert!(line.contains(part), "{said}");
    }
    assert!(namespace.get("multigrescluster", "sound").await.is_none());
}

#[tokio::test]
async fn an_update_is_told_everything_too() {
    let namespace = namespace("once-update").await;
    namespace.clusters().create(&sound()).await.allowed();
    let mut cluster = thrice_wrong();
    // The CRD has this rule as well, and would have kept the others from being told.
    cluster["spec"]["globalTopoServer"]["rootPath"] = json!("/multigres/other");
    let mut causes = THREE.to_vec();
    causes.insert(2, ("Invalid", "spec.globalTopoServer.rootPath", "the topology would be lost"));
    let clusters = namespace.clusters();
    clusters.update_spec("sound", &cluster["spec"]).await.assert_invalid(&causes);
    // A merge patch, as `kubectl apply` sends it, is an update like any other.
    clusters.merge("sound", json!({"spec": cluster["spec"]})).await.assert_invalid(&causes);
}

#[tokio::test]
async fn server_side_apply_is_told_everything_too() {
    let namespace = namespace("once-apply").await;
    let clusters = namespace.clusters();
    clusters.apply(&sound()).await.allowed();
    let mut cluster = thrice_wrong();
    // Keys of lists are what applying merges by: a repeated one ends it before anybody is asked.
    cluster["spec"]["databases"]["templates"][1]["name"] = json!("other");
    let causes = [THREE[0], THREE[2]];
    for clusters in [namespace.clusters(), namespace.clusters().dry_run()] {
        clusters.apply(&cluster).await.assert_invalid(&causes);
    }
    cluster["metadata"]["name"] = json!("not-there-yet");
    clusters.apply(&cluster).await.assert_invalid(&causes);
}

/// No rule judges by a value that cannot be used: whatever was meant may be sound.
#[tokio::test]
async fn what_cannot_be_read_is_one_cause() {
    let namespace = namespace("once-unknown").await;
    let clusters = namespace.clusters().dry_run();
    let mut cluster = sound();
    pool(&mut cluster, 0)["type"] = json!("primary");
    entries(&mut cluster)[1]["cell"] = json!(7);
    cluster["spec"]["admin"]["spec"] = json!({"replicas": "many", "resources": {"limits": {"cpu": "fast"}}});
    clusters.create(&cluster).await.assert_invalid(&[
        ("TypeInvalid", "spec.admin.spec.replicas", "must be of type integer: \"string\""),
        ("Invalid", "spec.admin.spec.resources.limits[cpu]", "\"fast\" is not a quantity"),
        (
            "TypeInvalid",
            "spec.databases.templates[0].spec.pools[1].cell",
            "must be of type string: \"integer\"",
        ),
        (
            "NotSupported",
            "spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools[0].type",
            "supported values: \"replica\", \"readOnly\"",
        ),
    ]);
}

#[tokio::test]
async fn names_that_the_api_server_refuses_are_told_with_the_rest() {
    let namespace = namespace("once-metadata").await;
    let mut cluster = sound();
    cluster["metadata"]["labels"] = json!({"team": "a b"});
    cluster["spec"]["globalTopoServer"]["rootPath"] = json!("multigres");
    namespace.clusters().dry_run().create(&cluster).await.assert_invalid(&[
        ("Invalid", "metadata.labels", "a valid label must be"),
        ("Invalid", "spec.globalTopoServer.rootPath", "is not an absolute path"),
    ]);
}

#[tokio::test]
async fn of_many_errors_fifty_are_told_and_the_rest_is_counted() {
    let namespace = namespace("once-many").await;
    let mut cluster = sound();
    let cells = cluster["spec"]["cells"]["templates"].as_array_mut().unwrap();
    cells.extend((0..48).map(|index| json!({"name": format!("zone_{index}")})));
    let databases = cluster["spec"]["databases"]["templates"].as_array_mut().unwrap();
    let mut database = databases[0].clone();
    databases.extend((0..14).map(|index| {
        database["name"] = format!("users-{index}").into();
        database.clone()
    }));
    let answer = namespace.clusters().dry_run().create(&cluster).await;
    assert_eq!(answer.causes().len(), 50);
    assert_eq!(answer.causes()[49], "Invalid spec.databases.templates[3].name");
    assert!(answer.message().contains(" is invalid: 62 errors\n"), "{}", answer.message());
    assert!(answer.message().ends_with("\n… and 12 more"), "{}", answer.message());
    assert_eq!(answer.message().lines().count(), 52);
}

#[tokio::test]
async fn an_object_that_is_still_to_be_named_is_named() {
    let namespace = namespace("once-generated").await;
    let mut cluster = thrice_wrong();
    cluster["metadata"] = json!({"generateName": "preview-"});
    let answer = namespace.clusters().create(&cluster).await;
    answer.assert_invalid(THREE);
    let name = answer.body["details"]["name"].as_str().unwrap();
    assert!(name.starts_with("preview-"), "{name}");
}

#[tokio::test]
async fn the_samples_of_the_proposal_pass_and_what_is_said_of_them_can_be_read() {
    let namespace = namespace("once-samples").await;
    for sample in [PROPOSAL, TABLE_GROUPS] {
        let mut cluster: Value = serde_saphyr::from_str(&own(sample, &namespace.name)).unwrap();
        cluster["metadata"]["namespace"] = namespace.name.clone().into();
        let answer = namespace.clusters().dry_run().create(&cluster).await.allowed();
        for warning in &answer.warnings {
            assert!(warning.chars().count() <= 120 && !warning.starts_with("Warning"), "{warning}");
        }
        let said =
            namespace.with_input(&["apply", "--dry-run=server", "-f", "-"], &cluster.to_string()).await;
        let said = said.unwrap();
        assert!(said.contains(" created (server dry run)"), "{said}");
        for warning in answer.warnings {
            assert!(said.contains(&format!("Warning: {warning}")), "{warning}: {said}");
        }
    }
}

#[tokio::test]
async fn the_consequences_of_a_change_are_told_before_it_is_made() {
    let namespace = namespace("once-consequences").await;
    let mut cluster = sound();
    let spec = cluster["spec"].as_object_mut().unwrap();
    spec.retain(|field, _| !["paused", "databases"].contains(&field.as_str()));
    namespace.clusters().create(&cluster).await.allowed();
    cluster["spec"]["admin"] = json!({"spec": {"replicas": 3}});
    let dry = namespace.clusters().dry_run().update_spec("sound", &cluster["spec"]).await.allowed();
    dry.assert_warns("multiadmin: 1 → 3 pods");
    let real = namespace.clusters().update_spec("sound", &cluster["spec"]).await.allowed();
    assert_eq!(dry.warnings, real.warnings);
}
