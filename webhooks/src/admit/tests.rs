use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use multigres_crds::kind::ChildKind;
use proptest::prelude::*;
use serde_json::{Value, json, to_value};

use super::Phase::{Mutate, Validate};
use super::*;
use crate::exemption::{GARBAGE_COLLECTOR, KUBE_CONTROLLER_MANAGER, NAMESPACE_CONTROLLER};
use crate::testing::reviews::{self, Clusters, OPERATOR, children, edited, request};
use crate::testing::sample;

const CLUSTER: Kind = Kind::Cluster;
const CELL: Kind = Kind::Child(ChildKind::MultiCell);

fn admission() -> Admission {
    let lookup = Arc::new(Clusters::with(reviews::cluster()));
    Admission { lookup, impact: None, operator_user: OPERATOR.to_owned() }
}

/// The response to a request.
fn respond(phase: Phase, request: &Value) -> Value {
    let answer = handle(phase, &reviews::review(request), &admission()).unwrap();
    let response = to_value(answer.review).unwrap()["response"].take();
    assert_eq!(response["uid"], request["uid"]);
    response
}

/// The check that decided a request, and the code of the decision.
fn decision(phase: Phase, request: &Value) -> (String, u64) {
    let response = respond(phase, request);
    let decided_by = response["auditAnnotations"]["decided-by"].as_str().unwrap().to_owned();
    (decided_by, if response["allowed"] == true { 200 } else { response["status"]["code"].as_u64().unwrap() })
}

fn patch(response: &Value) -> Value {
    let bytes = STANDARD.decode(response["patch"].as_str().unwrap()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn fields(response: &Value) -> Vec<&str> {
    let causes = response["status"]["details"]["causes"].as_array().unwrap();
    causes.iter().map(|cause| cause["field"].as_str().unwrap()).collect()
}

/// A request by someone else.
fn by(user: &str, request: &Value) -> Value {
    edited(request, "/userInfo/username", json!(user))
}

fn terminating(object: &Value) -> Value {
    edited(object, "/metadata/deletionTimestamp", json!("2025-10-08T12:00:00Z"))
}

/// A cluster that breaks the schema and a rule.
fn broken() -> Value {
    let broken = edited(&sample(), "/spec/imagePullPolicy", json!("Sometimes"));
    edited(&broken, "/spec/databases/templates/0/name", json!("template0"))
}

/// A child that no cluster manages.
fn standalone() -> Value {
    edited(&children(ChildKind::MultiCell, &reviews::cluster())[0], "/metadata/ownerReferences", json!(null))
}

#[test]
fn the_sample_is_given_its_defaults_and_admitted() {
    let create = request(CLUSTER, None, Some(&sample()));
    let response = respond(Mutate, &create);
    assert_eq!(response["allowed"], true);
    assert_eq!(response["auditAnnotations"], json!({"decided-by": "defaulting", "defaulted-fields": "4"}));
    let mut stored = sample();
    json_patch::patch(&mut stored, &serde_json::from_value::<json_patch::Patch>(patch(&response)).unwrap())
        .unwrap();

    let create = request(CLUSTER, None, Some(&stored));
    assert!(respond(Mutate, &create).get("patch").is_none());
    assert_eq!(decision(Validate, &create), ("cluster".to_owned(), 200));
}

#[test]
fn what_would_never_reach_validation_is_told_everything_before() {
    let create = request(CLUSTER, None, Some(&broken()));
    for phase in [Mutate, Validate] {
        let response = respond(phase, &create);
        assert_eq!(
            fields(&response),
            ["spec.databases.templates[0].name", "spec.imagePullPolicy"],
            "{phase:?}"
        );
        assert_eq!(response["status"]["code"], 422);
    }
    // What the API server lets through is judged when it is complete.
    let create = request(CLUSTER, None, Some(&edited(&broken(), "/spec/imagePullPolicy", json!(null))));
    assert_eq!(decision(Mutate, &create), ("defaulting".to_owned(), 200));
    assert_eq!(decision(Validate, &create), ("cluster".to_owned(), 422));
}

/// To check a large cluster against the schema takes a sixth of the time, and has been done twice by then.
#[test]
fn what_the_api_server_has_checked_is_only_read() {
    let unsound = edited(&sample(), "/spec/cells/templates/0/spec/multiGateway/replicas", json!(101));
    let create = request(CLUSTER, None, Some(&unsound));
    assert_eq!(decision(Mutate, &create), ("cluster".to_owned(), 422));
    assert_eq!(decision(Validate, &create), ("cluster".to_owned(), 200));
    let update = request(CLUSTER, Some(&sample()), Some(&unsound));
    for phase in [Mutate, Validate] {
        assert_eq!(decision(phase, &update), ("cluster".to_owned(), 422), "{phase:?}");
    }
}

#[test]
fn what_is_let_go_whatever_is_in_it() {
    let old = broken();
    let labelled = edited(&old, "/metadata/labels", json!({"team": "payments"}));
    let grown = edited(&old, "/spec/cells/templates/1/spec/multiGateway/replicas", json!(-1));
    let update = |old: &Value, new: &Value| request(CLUSTER, Some(old), Some(new));
    for (request, decided_by, code) in [
        (update(&old, &labelled), "metadata", 200),
        (update(&terminating(&old), &terminating(&grown)), "termination", 200),
        (by(OPERATOR, &update(&old, &grown)), "exemption", 200),
        (by(KUBE_CONTROLLER_MANAGER, &update(&old, &grown)), "exemption", 200),
        (update(&old, &grown), "cluster", 422),
        (by(GARBAGE_COLLECTOR, &update(&old, &grown)), "cluster", 422),
    ] {
        for phase in [Mutate, Validate] {
            assert_eq!(decision(phase, &request), (decided_by.to_owned(), code), "{phase:?} {request}");
        }
    }
}

#[test]
fn a_protected_cluster_is_not_deleted() {
    let protected = edited(&sample(), "/spec/deletionProtection", json!(true));
    let unreadable = edited(&sample(), "/spec/deletionProtection", json!("true"));
    let delete = |old: &Value| request(CLUSTER, Some(old), None);
    for (request, code) in [
        (delete(&sample()), 200),
        (delete(&unreadable), 200),
        (delete(&protected), 403),
        (by(GARBAGE_COLLECTOR, &delete(&protected)), 403),
        (by(NAMESPACE_CONTROLLER, &delete(&protected)), 200),
        (by(OPERATOR, &delete(&protected)), 200),
    ] {
        assert_eq!(decision(Validate, &request).1, code, "{request}");
        assert_eq!(decision(Mutate, &request).1, 200, "{request}");
    }
    let response = respond(Validate, &delete(&protected));
    assert_eq!(fields(&response), ["spec.deletionProtection"]);
    assert_eq!(
        response["status"]["message"],
        "MultigresCluster \"example-multigres-cluster\" is protected from deletion: \
         set spec.deletionProtection to false first"
    );
}

#[test]
fn a_dry_run_is_decided_alike() {
    for cluster in [sample(), broken()] {
        let create = request(CLUSTER, None, Some(&cluster));
        for phase in [Mutate, Validate] {
            assert_eq!(respond(phase, &create), respond(phase, &edited(&create, "/dryRun", json!(true))));
        }
    }
}

#[test]
fn a_name_that_is_still_to_be_generated_is_named() {
    let mut cluster = edited(&broken(), "/metadata/name", json!(null));
    cluster["metadata"]["generateName"] = json!("preview-");
    let create = edited(&request(CLUSTER, None, Some(&cluster)), "/name", json!(""));
    let response = respond(Validate, &create);
    assert_eq!(response["status"]["details"]["name"], "preview-");
    assert!(response["status"]["message"].as_str().unwrap().starts_with(
        "MultigresCluster \"preview-\" is invalid: 2 errors\nspec.databases.templates[0].name: "
    ));
}

#[test]
fn requests_that_are_not_decided_here() {
    let create = request(CLUSTER, None, Some(&sample()));
    let update = request(CLUSTER, Some(&sample()), Some(&sample()));
    for (request, code) in [
        (edited(&create, "/resource/resource", json!("pods")), 400),
        (edited(&create, "/resource/group", json!("apps")), 400),
        (edited(&create, "/operation", json!("CONNECT")), 400),
        (edited(&create, "/operation", json!("PATCH")), 422),
        (edited(&create, "/object", json!(null)), 422),
        (edited(&update, "/oldObject", json!(null)), 422),
        (edited(&update, "/userInfo", json!(7)), 422),
    ] {
        for phase in [Mutate, Validate] {
            assert_eq!(decision(phase, &request), ("review".to_owned(), code), "{phase:?} {request}");
        }
    }
    assert!(handle(Validate, b"{}", &admission()).is_err());
    let late = timed_out(Validate, &reviews::review(&create)).unwrap();
    assert_eq!(late.review.code(), 504);
}

#[test]
fn an_object_that_cannot_be_read_is_pointed_at() {
    for (pointer, value, field) in [
        ("/object", json!(5), "request.object"),
        ("/object", json!([]), "request.object"),
        ("/object/spec", json!([]), "spec"),
        ("/object/metadata/labels", json!(7), "metadata.labels"),
    ] {
        for (kind, object) in [(CLUSTER, sample()), (CELL, standalone())] {
            let create = edited(&request(kind, None, Some(&object)), pointer, value.clone());
            for phase in [Mutate, Validate] {
                let response = respond(phase, &create);
                assert_eq!(response["status"]["code"], 422, "{phase:?} {kind:?} {pointer}");
                assert_eq!(fields(&response), [field], "{phase:?} {kind:?} {pointer}");
            }
        }
    }
}

#[test]
fn a_standalone_child_is_labelled() {
    let unlabelled = edited(&standalone(), "/metadata/labels", json!(null));
    let response = respond(Mutate, &request(CELL, None, Some(&unlabelled)));
    assert_eq!(
        patch(&response),
        json!([{
            "op": "add", "path": "/metadata/labels",
            "value": {"multigres.com/cluster": "example-multigres-cluster"},
        }])
    );
    let labelled = request(CELL, None, Some(&standalone()));
    assert_eq!(decision(Mutate, &labelled), ("defaulting".to_owned(), 200));
    assert_eq!(decision(Validate, &labelled), ("child".to_owned(), 200));
}

#[test]
fn whose_a_child_is_comes_before_what_is_in_it() {
    let managed = &children(ChildKind::MultiCell, &reviews::cluster())[0];
    let unsound = |child: &Value| edited(child, "/spec/multiGateway/replicas", json!("many"));
    let update = |old: &Value, new: &Value| request(CELL, Some(old), Some(new));
    let drift = edited(managed, "/spec/multiGateway/replicas", json!(7));
    for (phase, request, decided_by, code) in [
        (Validate, update(managed, &drift), "child-protection", 403),
        (Mutate, update(managed, &drift), "defaulting", 200),
        (Mutate, update(managed, &unsound(managed)), "child-protection", 403),
        (Mutate, update(&standalone(), &unsound(&standalone())), "child", 422),
        (Validate, update(&standalone(), &unsound(&standalone())), "child", 422),
        (Validate, by(OPERATOR, &update(managed, &drift)), "exemption", 200),
        (Validate, by(GARBAGE_COLLECTOR, &update(managed, &drift)), "exemption", 200),
        (Validate, update(&terminating(managed), &terminating(&drift)), "termination", 200),
        (Validate, request(CELL, Some(managed), None), "child-protection", 403),
        (Validate, by(GARBAGE_COLLECTOR, &request(CELL, Some(managed), None)), "exemption", 200),
        (Validate, request(CELL, Some(&standalone()), None), "child-protection", 200),
    ] {
        assert_eq!(decision(phase, &request), (decided_by.to_owned(), code), "{phase:?} {request}");
    }
}

/// JSON of any shape, with names that mean something.
fn anything() -> impl Strategy<Value = Value> {
    let key =
        prop::sample::select(vec!["metadata", "spec", "name", "labels", "cells", "templates", "cluster"]);
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the objects are, the uid comes back and nothing breaks.
    #[test]
    fn every_request_is_answered(object in anything(), old in anything()) {
        for kind in [CLUSTER, CELL] {
            let template = request(kind, Some(&sample()), Some(&sample()));
            let request = edited(&edited(&template, "/object", object.clone()), "/oldObject", old.clone());
            for phase in [Mutate, Validate] {
                respond(phase, &request);
            }
        }
    }

    #[test]
    fn every_body_is_read(body in prop::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(handle(Mutate, &body, &admission()).is_err());
    }
}
