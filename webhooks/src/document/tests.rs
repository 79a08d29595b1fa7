use multigres_crds::kind::ChildKind;
use multigres_crds::v1alpha1::{MultiAdmin, MultiCell, MultiOrch, MultiShard, MultigresCluster, TopoServer};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::json::Parsed;
use crate::testing::reviews::{self, children};
use crate::testing::{Edit, SHORT, decode, edit, edited, parsed, sample, sharded_sample, small};

const CELLS: &str = "/spec/cells/templates";

fn causes(shape: Vec<Violation>) -> Vec<String> {
    let cause = |violation| {
        let Cause { reason, field, message, .. } = Cause::from(violation);
        format!("{} {field}: {message}", reason.as_str())
    };
    shape.into_iter().map(cause).collect()
}

fn violations(edits: &[Edit]) -> Vec<String> {
    let text = edited(small(), edits).to_string();
    causes(shape(&decode(&text), None).new)
}

fn is_read<T: DeserializeOwned>(kind: ChildKind) {
    for child in children(kind, &reviews::cluster()) {
        let schema = Schema::of(kind.as_str()).unwrap();
        assert!(schema.read::<T>(parsed(&child), Strictness::Server).is_some(), "{child}");
    }
}

/// Nothing but time would be lost, so that nothing else would tell.
#[test]
fn sound_objects_are_read_in_one_pass() {
    for cluster in [sample(), sharded_sample(), small()] {
        let json = parsed(&cluster);
        let schema = Schema::of("MultigresCluster").unwrap();
        assert!(schema.read::<MultigresCluster>(json, Strictness::Server).is_some(), "{cluster}");
        assert!(sound_spec::<MultigresCluster>(json).is_some(), "{cluster}");
    }
    is_read::<TopoServer>(ChildKind::TopoServer);
    is_read::<MultiAdmin>(ChildKind::MultiAdmin);
    is_read::<MultiOrch>(ChildKind::MultiOrch);
    is_read::<MultiCell>(ChildKind::MultiCell);
    is_read::<MultiShard>(ChildKind::MultiShard);
}

/// Texts as Kubernetes 1.34 writes them, without the path.
#[test]
fn the_api_servers_words() {
    let cell = |field: &str, value: Value| edit(CELLS, &format!("/0{field}"), value);
    let gateway = |value: Value| cell("/spec", json!({"multiGateway": value}));
    for (edit, expected) in [
        (
            edit("/spec/globalTopoServer", "/rootPath", json!(null)),
            "FieldValueRequired spec.globalTopoServer.rootPath: Required value",
        ),
        (edit("/spec", "/cells", json!(null)), "FieldValueRequired spec.cells: Required value"),
        (
            gateway(json!({"replicas": "2"})),
            "FieldValueTypeInvalid spec.cells.templates[0].spec.multiGateway.replicas: Invalid value: \"string\": \
             must be of type integer: \"string\"",
        ),
        (
            gateway(json!({"replicas": 101})),
            "FieldValueInvalid spec.cells.templates[0].spec.multiGateway.replicas: Invalid value: 101: should be less \
             than or equal to 100",
        ),
        (
            gateway(json!({"image": ""})),
            "FieldValueInvalid spec.cells.templates[0].spec.multiGateway.image: Invalid value: \"\": should be at \
             least 1 chars long",
        ),
        (
            gateway(json!({"service": {"type": "Loadbalancer"}})),
            "FieldValueNotSupported spec.cells.templates[0].spec.multiGateway.service.type: Unsupported value: \
             \"Loadbalancer\": supported values: \"ClusterIP\", \"NodePort\", \"LoadBalancer\"",
        ),
        (
            gateway(json!({"service": {"type": null}})),
            "FieldValueNotSupported spec.cells.templates[0].spec.multiGateway.service.type: Unsupported value: null: \
             supported values: \"ClusterIP\", \"NodePort\", \"LoadBalancer\"",
        ),
        (
            cell("/name", json!("a".repeat(64))),
            "FieldValueTooLong spec.cells.templates[0].name: Too long: may not be more than 63 bytes",
        ),
        (
            cell("/name", json!("b")),
            "FieldValueDuplicate spec.cells.templates[1].name: Duplicate value: \"b\"",
        ),
        (
            edit(SHORT, "/spec/pools", json!(vec![json!({"cell": "a"}); 21])),
            "FieldValueTooMany spec.databases.templates[0].spec.pools: Too many: 21: must have at most 20 items",
        ),
        (
            edit("/spec", "/restartedAt", json!("now")),
            "FieldValueTypeInvalid spec.restartedAt: Invalid value: \"now\": must be of type date-time: \"now\"",
        ),
        (
            edit("/spec", "/forceRolloutAt", json!("soon")),
            "FieldValueTypeInvalid spec.forceRolloutAt: Invalid value: \"soon\": must be of type date-time: \"soon\"",
        ),
        (
            gateway(json!({"resources": {"requests": {"cpu": 0.5}}})),
            "FieldValueTypeInvalid spec.cells.templates[0].spec.multiGateway.resources.requests.cpu: Invalid value: \
             \"number\": must be of type integer,string: \"number\"",
        ),
    ] {
        assert_eq!(violations(std::slice::from_ref(&edit)), [expected]);
    }
}

#[test]
fn one_value_is_one_violation() {
    let found = violations(&[edit("/spec/globalTopoServer", "/managedSpec", json!({"replicas": 9}))]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("FieldValueNotSupported"), "{found:?}");
}

#[test]
fn read_as_the_api_server_reads() {
    for edits in [
        // Null in a field that cannot be null is no value.
        vec![edit("/spec/cells/templates/0", "/spec", json!({"podLabels": null}))],
        vec![
            edit(SHORT, "/spec/tableGroups", json!({"x": 1})),
            edit(SHORT, "/spec", json!({"pools": [], "x": 1})),
        ],
        vec![edit("/spec", "/databases", json!({"managed": null, "templates": []}))],
        // A whole number is an integer, however it is written.
        vec![edit("/spec/globalTopoServer", "/managedSpec", json!({"replicas": 3.0}))],
    ] {
        assert!(violations(&edits).is_empty(), "{edits:?}");
    }
    let text = small().to_string().replace("\"managed\"", "\"m\"").replace("\"c\"", "\"c\",\"labels\":null");
    assert!(shape(&decode(&text), None).new.is_empty());
}

#[test]
fn what_cannot_be_used_is_unknown() {
    let text = edited(
        small(),
        &[edit("", "/spec/cells/templates/0/name", json!(1)), edit("", "/spec/backup", json!("s3"))],
    )
    .to_string();
    let document = decode(&text);
    assert_eq!(document.object.spec.cells.templates[1].name, "b");
    let unknown = |path: &str| document.unknown().covers(&FieldPath::default().fields(path));
    assert!(unknown("spec.backup") && !unknown("spec.cells"));
    let name = FieldPath::default().fields("spec.cells.templates").item(0, "").field("name");
    assert!(document.unknown().covers(&name));
}

#[test]
fn a_broken_status_is_not_the_authors() {
    let status = edit("", "/status", json!({"observedGeneration": "one", "conditions": 1}));
    assert!(violations(&[status]).is_empty());
}

#[test]
fn metadata_that_cannot_be_typed() {
    let found = violations(&[edit("/metadata", "/labels", json!({"a": 1}))]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("FieldValueInvalid metadata.labels.a: Invalid value: 1"), "{found:?}");
}

#[test]
fn unknown_fields_are_errors_offline_only() {
    let text = edited(
        small(),
        &[edit("/spec/cells/templates/0", "/nmae", json!("a")), edit("", "/spce", json!({}))],
    )
    .to_string();
    let found = |strictness| {
        let document = Document::<MultigresCluster>::decode(parsed(&text), strictness).unwrap();
        causes(shape(&document, None).new)
    };
    assert!(found(Strictness::Server).is_empty());
    let mut offline = found(Strictness::Offline);
    offline.sort();
    assert_eq!(
        offline,
        [
            "FieldValueInvalid spce: unknown field",
            "FieldValueInvalid spec.cells.templates[0].nmae: unknown field"
        ]
    );
}

fn is_decoded(text: &str) -> bool {
    Parsed::parse(&mut Vec::from(text))
        .is_ok_and(|parsed| Document::<MultigresCluster>::decode(parsed.json(), Strictness::Server).is_ok())
}

#[test]
fn what_is_no_object_is_refused() {
    let nested = ["[", "]"].map(|end| end.repeat(100_000)).concat();
    let spec = format!(r#"{{"spec":{nested}}}"#);
    for text in ["", "{", "[]", "1", "null", "\"x\"", "{\"spec\":1}", &"[".repeat(10_000), &nested, &spec] {
        assert!(!is_decoded(text), "{text:.20}");
    }
}

/// As `CRDValidationRatcheting`: what an update leaves as it was, it may keep.
#[test]
fn old_violations_are_kept() {
    let cell = |index: usize, field: &str, value: Value| edit(CELLS, &format!("/{index}{field}"), value);
    let replicas = |count: Value| json!({"multiGateway": {"replicas": count}});
    let long = || json!("a".repeat(64));
    for (before, edits, new, kept) in [
        // Unchanged, elsewhere something else.
        (vec![cell(0, "/spec", replicas(json!(200)))], vec![cell(1, "/name", json!("z"))], 0, 1),
        // Moved: a key says which is which.
        (
            vec![cell(0, "/spec", replicas(json!(200)))],
            vec![
                edit(CELLS, "/-", json!({"name": "first"})),
                cell(0, "", json!(null)),
                cell(1, "", json!({"name": "a", "spec": replicas(json!(200))})),
            ],
            0,
            1,
        ),
        // Another wrong value.
        (vec![cell(0, "/spec", replicas(json!(200)))], vec![cell(0, "/spec", replicas(json!(300)))], 1, 0),
        // A missing field is kept while what lacks it is unchanged.
        (vec![cell(0, "/name", json!(null))], vec![edit("/spec", "/paused", json!(true))], 0, 1),
        (
            vec![edit("/spec", "/globalTopoServer", json!({"managed": true}))],
            vec![edit("/spec/globalTopoServer", "/managed", json!(false))],
            1,
            0,
        ),
        // Items without a key are compared as a whole list.
        (vec![edit(SHORT, "/spec/pools/0/cell", long())], vec![edit("/spec", "/paused", json!(true))], 0, 1),
        (
            vec![edit(SHORT, "/spec/pools/0/cell", long())],
            vec![edit(SHORT, "/spec/pools/1/replica/replicas", json!(2))],
            1,
            0,
        ),
        // Repeated keys are kept as long as there were any.
        (vec![cell(0, "/name", json!("b"))], vec![edit("/spec", "/paused", json!(true))], 0, 1),
        (vec![], vec![cell(0, "/name", json!("b"))], 1, 0),
    ] {
        let old = edited(small(), &before);
        let (new_text, old_text) = (edited(old.clone(), &edits).to_string(), old.to_string());
        let shape = shape(&decode(&new_text), Some(&decode(&old_text)));
        assert_eq!((shape.new.len(), shape.kept.len()), (new, kept), "{before:?} {edits:?} {shape:?}");
    }
}

/// Lists, maps and texts of any length are judged in one go.
#[test]
fn a_hostile_object() {
    let cells: Vec<Value> = (0..100_000).map(|_| json!({"name": 1})).collect();
    let pools: Vec<Value> = (0..20_000).map(|i| json!({"cell": "x".repeat(i % 100)})).collect();
    let requests: serde_json::Map<String, Value> =
        (0..50_000).map(|i| (format!("r{i}"), json!(true))).collect();
    let text = edited(
        sample(),
        &[
            edit("", "/spec/cells/templates", json!(cells)),
            edit(SHORT, "/spec/pools", json!(pools)),
            edit("", "/spec/admin/spec/resources/requests", json!(requests)),
        ],
    )
    .to_string();
    let document = decode(&text);
    assert!(document.object.spec.cells.templates.is_empty());
    let found = shape(&document, Some(&decode(&sample().to_string()))).new.len();
    assert!(found > 150_000, "{found}");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    let names = prop_oneof![
        Just("spec".to_owned()),
        Just("metadata".to_owned()),
        Just("name".to_owned()),
        Just("cells".to_owned()),
        Just("templates".to_owned()),
        Just("pools".to_owned()),
        Just("affinity".to_owned()),
        ".{0,4}",
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((names.clone(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_object_is_decoded_or_refused(
        spec in any_json(), metadata in any_json(), cells in any_json(), templates in any_json()
    ) {
        for kind_spec in [&spec, &json!({"cells": cells, "databases": {"templates": templates}})] {
            let text =
                json!({"apiVersion": "multigres.com/v1alpha1", "kind": "X", "metadata": metadata, "spec": kind_spec});
            let text = text.to_string();
            for strictness in [Strictness::Server, Strictness::Offline] {
                if let Ok(document) = Document::<MultigresCluster>::decode(parsed(&text), strictness) {
                    let _ = shape(&document, Some(&document));
                }
                let _ = Document::<MultiShard>::decode(parsed(&text), strictness);
            }
        }
    }

    #[test]
    fn any_text_is_decoded_or_refused(text in ".{0,64}") {
        prop_assert!(!is_decoded(&text));
    }
}
