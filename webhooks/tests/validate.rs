//! Clusters as a whole: everything at once, in order, and no more than is new.

#![allow(clippy::unwrap_used, reason = "a test may")]

use multigres_crds::v1alpha1::{MultiCell, MultigresCluster};
use multigres_webhooks::document::decode;
use multigres_webhooks::impact::Impact;
use multigres_webhooks::report::Report;
use multigres_webhooks::schema::Strictness;
use multigres_webhooks::validate::{self, Context, RULES, WARNINGS};
use serde_json::{Value, json};

const SAMPLES: [&str; 2] = [
    include_str!("../../tests/samples/proposal-cluster.yaml"),
    include_str!("../../tests/samples/tablegroups-cluster.yaml"),
];

fn sample() -> Value {
    serde_saphyr::from_str(SAMPLES[0]).unwrap()
}

fn edited(mut object: Value, edits: &[(&str, Value)]) -> Value {
    for (pointer, value) in edits {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match object.pointer_mut(parent).unwrap() {
            Value::Object(fields) => drop(fields.insert(key.to_owned(), value.clone())),
            items => items[key.parse::<usize>().unwrap()] = value.clone(),
        }
    }
    object
}

fn judge(new: &Value, old: Option<&Value>, cx: &Context<'_>) -> Report {
    decode(new, old, Strictness::Offline, |new, old| validate::cluster(new, old, cx)).unwrap()
}

fn fields(report: &Report) -> Vec<&str> {
    report.errors.iter().map(|cause| cause.field.as_str()).collect()
}

#[test]
fn the_proposals_samples_are_admitted() {
    for sample in SAMPLES {
        let report = judge(&serde_saphyr::from_str(sample).unwrap(), None, &Context::OFFLINE);
        assert_eq!(report.errors, []);
        assert!(
            report.warnings.iter().all(|warning| warning.message.chars().count() <= 120),
            "{:#?}",
            report.warnings
        );
        assert!(
            report.warnings[0].message.contains("pgctld")
                && report.warnings[0].message.contains("pgBackRest")
        );
    }
}

#[test]
fn a_bad_enum_a_repeated_name_and_an_unknown_cell_are_three_causes() {
    let new = edited(
        sample(),
        &[
            ("/spec/imagePullPolicy", json!("Sometimes")),
            ("/spec/cells/templates/1/name", json!("us-east-1")),
            ("/spec/databases/templates/0/spec/pools/1/cell", json!("us-est-1")),
        ],
    );
    let report = judge(&new, None, &Context::OFFLINE);
    let causes: Vec<String> = report.errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        causes,
        [
            "spec.cells.templates[1].name: Duplicate value: \"us-east-1\"",
            "spec.databases.templates[0].spec.pools[1].cell: \"us-est-1\" is not a cell of this cluster; did you mean \
             \"us-east-1\"?",
            "spec.imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"IfNotPresent\", \
             \"Never\"",
        ]
    );
}

#[test]
fn errors_stand_in_document_order() {
    let new = edited(
        sample(),
        &[
            ("/spec/databases/templates/0/name", json!("Users")),
            ("/spec/cells/templates/1/name", json!(1)),
            ("/spec/cells/templates/0/name", json!("global")),
            ("/spec/globalTopoServer/rootPath", json!("relative")),
            ("/spec/globalTopoServer/managedSpec/replicas", json!(2)),
            ("/metadata/name", json!("-")),
        ],
    );
    assert_eq!(
        fields(&judge(&new, None, &Context::OFFLINE)),
        [
            "metadata.name",
            "spec.globalTopoServer.rootPath",
            "spec.globalTopoServer.managedSpec.replicas",
            "spec.cells.templates[0].name",
            "spec.cells.templates[1].name",
            "spec.databases.templates[0].name",
        ]
    );
}

#[test]
fn what_was_wrong_before_is_a_warning() {
    let old = edited(sample(), &[("/spec/databases/templates/0/name", json!("Users"))]);
    let elsewhere = edited(old.clone(), &[("/spec/paused", json!(true))]);
    let report = judge(&elsewhere, Some(&old), &Context::OFFLINE);
    assert_eq!(report.errors, []);
    assert!(
        report.warnings[0].message.starts_with("spec.databases.templates[0].name: \"Users\""),
        "{report:?}"
    );

    let otherwise = edited(old.clone(), &[("/spec/databases/templates/0/name", json!("USERS"))]);
    assert_eq!(
        fields(&judge(&otherwise, Some(&old), &Context::OFFLINE)),
        ["spec.databases.templates[0].name"]
    );
}

#[test]
fn metadata_and_deletion_are_no_occasion_to_judge() {
    let old = edited(sample(), &[("/spec/databases/templates/0/name", json!("Users"))]);
    let labelled = edited(old.clone(), &[("/metadata/labels", json!({"a": "b"}))]);
    assert_eq!(judge(&labelled, Some(&old), &Context::OFFLINE), Report::default());

    let deleted = edited(sample(), &[("/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z"))]);
    let broken = edited(deleted.clone(), &[("/spec/globalTopoServer/rootPath", json!(1))]);
    assert_eq!(judge(&broken, Some(&deleted), &Context::OFFLINE), Report::default());
}

#[test]
fn what_does_not_reach_validation() {
    let reaches = |new: &Value, old: Option<&Value>| {
        decode(new, old, Strictness::Server, validate::reaches_validation).unwrap()
    };
    let root = |path: Value| edited(sample(), &[("/spec/globalTopoServer/rootPath", path)]);
    assert!(reaches(&sample(), None));
    assert!(reaches(&root(json!("not absolute")), None), "a rule of the webhooks alone");
    assert!(!reaches(&root(json!(1)), None), "the schema");
    assert!(!reaches(&root(json!("/other")), Some(&sample())), "a transition that the CRD forbids");
    assert!(!reaches(&edited(sample(), &[("/metadata/labels", json!({"a": " "}))]), None), "ObjectMeta");
    assert!(reaches(&root(json!(1)), Some(&root(json!(1)))), "unchanged");
}

#[test]
fn consequences_come_first() {
    struct Restart;
    impl Impact for Restart {
        fn consequences(&self, _: &MultigresCluster, _: &MultigresCluster) -> Vec<String> {
            vec!["users_db/0-inf: 6 pods restart".to_owned()]
        }
    }
    let cx = Context { impact: Some(&Restart), ..Context::OFFLINE };
    let paused = edited(sample(), &[("/spec/paused", json!(true))]);
    assert_eq!(judge(&paused, Some(&sample()), &cx).warnings[0].message, "users_db/0-inf: 6 pods restart");
    assert!(judge(&paused, None, &cx).warnings.iter().all(|warning| !warning.message.contains("restart")));
}

#[test]
fn children_are_held_to_their_schema() {
    let child = json!({
        "apiVersion": "multigres.com/v1alpha1",
        "kind": "MultiCell",
        "metadata": {"name": "c-a", "namespace": "ns"},
        "spec": {"cluster": "c", "cell": "a", "globalTopology": {"address": "e:1"}, "multiGateway": {"image": "i"}},
    });
    let report = decode::<MultiCell, _>(&child, None, Strictness::Server, |new, old| {
        validate::child(new, old, &Context::OFFLINE)
    })
    .unwrap();
    assert_eq!(
        fields(&report),
        ["spec.globalTopology.rootPath", "spec.multiGateway.replicas", "spec.topology"]
    );
}

#[test]
fn rules_are_known_by_distinct_ids_and_say_what_they_demand() {
    let rules = || RULES.iter().chain(WARNINGS);
    let mut ids: Vec<&str> = rules().map(|rule| rule.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), rules().count());
    for rule in rules() {
        assert!(rule.summary().ends_with('.') && !rule.summary().contains("  "), "{}", rule.summary());
    }
}
