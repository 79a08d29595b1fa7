//! Properties that hold for every cluster.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use generators::{admissible, broken};
use multigres_crds::kind::ChildKind;
use multigres_crds::v1alpha1::{MultigresCluster, StringMap};
use multigres_webhooks::admit::{Admission, Phase, handle};
use multigres_webhooks::document;
use multigres_webhooks::footprint::{Footprint, Neighbour};
use multigres_webhooks::lookup::{Claim, Existing, Known, Lookup, Offline, StorageClass};
use multigres_webhooks::report::Report;
use multigres_webhooks::schema::Strictness;
use multigres_webhooks::validate::{self, Context};
use proptest::prelude::*;
use serde_json::{Value, json, to_value};

fn judge(new: &Value, old: Option<&Value>, lookup: &dyn Lookup) -> Report {
    let cx = Context { lookup, impact: None };
    document::decode(new, old, Strictness::Server, |new, old| validate::cluster(new, old, &cx)).unwrap()
}

/// Caches that are complete, of a Kubernetes cluster in which there is nothing but a class of volumes.
struct Empty;

impl Lookup for Empty {
    fn synced(&self) -> bool {
        true
    }

    fn cluster(&self, _: &str, _: &str) -> Option<Arc<MultigresCluster>> {
        None
    }

    fn neighbours(&self, _: &Footprint) -> Known<Vec<Arc<Neighbour>>> {
        Known::Yes(Vec::new())
    }

    fn child(&self, _: ChildKind, _: &str, _: &str) -> Known<Option<Existing>> {
        Known::Yes(None)
    }

    fn cells(&self, _: &str, _: &str) -> Known<BTreeSet<String>> {
        Known::Yes(BTreeSet::new())
    }

    fn storage_classes(&self) -> Known<Vec<StorageClass>> {
        let class = |name: &str, default| StorageClass { name: name.to_owned(), default, expandable: true };
        Known::Yes(vec![class("standard", true), class("fast", false)])
    }

    fn claims(&self, _: &str, _: &StringMap) -> Known<Vec<Claim>> {
        Known::Yes(Vec::new())
    }
}

/// The manifest as defaulted by the mutating webhook; none if it refuses it.
fn defaulted(cluster: &Value) -> Option<Value> {
    let request = json!({
        "uid": "1", "operation": "CREATE", "namespace": "n", "name": cluster["metadata"]["name"], "userInfo": {"username": "u"},
        "kind": {"group": "multigres.com", "version": "v1alpha1", "kind": "MultigresCluster"},
        "resource": {"group": "multigres.com", "version": "v1alpha1", "resource": "multigresclusters"},
        "object": cluster,
    });
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
    let admission =
        Admission { lookup: Arc::new(Offline), impact: None, operator_user: "operator".to_owned() };
    let answer = handle(Phase::Mutate, review.to_string().as_bytes(), &admission).unwrap();
    let response = to_value(answer.review).unwrap()["response"].take();
    let mut defaulted = (response["allowed"] == true).then(|| cluster.clone())?;
    if let Some(patch) = response["patch"].as_str() {
        let patch: json_patch::Patch = serde_json::from_slice(&STANDARD.decode(patch).unwrap()).unwrap();
        json_patch::patch(&mut defaulted, &patch).unwrap();
    }
    Some(defaulted)
}

/// True if all of `written` is in `stored`, with lists and scalars byte for byte.
fn survives(written: &Value, stored: &Value) -> bool {
    match (written, stored) {
        (Value::Object(written), Value::Object(stored)) => {
            written.iter().all(|(key, value)| stored.get(key).is_some_and(|stored| survives(value, stored)))
        }
        _ => serde_json::to_string(written).unwrap() == serde_json::to_string(stored).unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_made_to_be_admitted_is(cluster in admissible()) {
        let report = judge(&cluster, None, &Empty);
        prop_assert!(report.errors.is_empty(), "{:#?}", report.errors);
    }

    #[test]
    fn defaults_are_added_once_and_change_nothing(cluster in admissible()) {
        let stored = defaulted(&cluster).unwrap();
        prop_assert!(survives(&cluster, &stored), "{}", stored);
        prop_assert_eq!(defaulted(&stored).unwrap(), stored);
    }

    /// A default is what would hold anyway: with or without it, the same is admitted.
    #[test]
    fn defaults_decide_nothing(cluster in broken()) {
        if let Some(stored) = defaulted(&cluster) {
            let errors = |cluster: &Value| judge(cluster, None, &Empty).errors;
            prop_assert_eq!(errors(&cluster), errors(&stored));
        }
    }

    /// Whatever is written is judged, in the same way each time, and the same where nothing else is known.
    #[test]
    fn judgement_is_total_and_repeatable(new in broken(), old in prop::option::of(broken())) {
        let report = judge(&new, old.as_ref(), &Offline);
        prop_assert_eq!(&judge(&new, old.as_ref(), &Offline), &report);
        if old.is_none() {
            prop_assert_eq!(&judge(&new, None, &Empty).errors, &report.errors);
        }
        let fields: Vec<&String> = report.errors.iter().map(|cause| &cause.field).collect();
        prop_assert!(fields.iter().all(|field| !field.is_empty()), "{:?}", fields);
        for cause in &report.errors {
            prop_assert!(!cause.message.is_empty() && !cause.message.starts_with(&cause.field), "{:?}", cause);
        }
        prop_assert!(report.warnings.iter().all(|warning| warning.message.chars().count() <= Report::MAX_WARNING));
    }

    /// Stored objects stay editable: a violation that existed before is not an error.
    #[test]
    fn an_update_that_changes_nothing_else_is_admitted(old in broken(), label in "[a-z]{1,5}") {
        let mut new = old.clone();
        new["spec"]["restartedAt"] = json!("2026-02-03T04:05:06Z");
        new["metadata"]["labels"] = json!({ "team": label });
        // What the schema has against an object as a whole is new where anything in it is.
        if defaulted(&old).is_some() {
            let report = judge(&new, Some(&old), &Offline);
            prop_assert!(report.errors.is_empty(), "{:#?}", report.errors);
        }
    }
}
