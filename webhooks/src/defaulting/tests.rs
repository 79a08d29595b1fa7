use proptest::prelude::*;
use serde_json::{Map, Value, json, to_value};

use super::*;
use crate::testing::reviews::edited;
use crate::testing::{parsed, sample};

fn defaults_of(new: &Value, old: Option<&Value>) -> Defaults {
    cluster(parsed(&new["spec"]), old.map_or(Json::NULL, |old| parsed(&old["spec"])))
}

fn additions(new: &Value, old: Option<&Value>) -> Value {
    let patch = to_value(defaults_of(new, old).patch).unwrap();
    let entry = |op: &Value| {
        assert_eq!(op["op"], "add");
        (op["path"].as_str().unwrap().to_owned(), op["value"].clone())
    };
    patch.as_array().unwrap().iter().map(entry).collect::<Map<_, _>>().into()
}

fn minimal() -> Value {
    json!({"metadata": {"name": "c"}, "spec": {"globalTopoServer": {"rootPath": "/m"}, "cells": {"templates": []}}})
}

fn etcd() -> Value {
    json!({
        "image": defaults::ETCD_IMAGE,
        "replicas": 3,
        "dataVolumeClaimTemplate": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}
        }
    })
}

#[test]
fn what_a_minimal_cluster_is_given() {
    let component = json!({"managed": true, "spec": {"image": defaults::MULTIGRES_IMAGE}});
    assert_eq!(
        additions(&minimal(), None),
        json!({
            "/spec/globalTopoServer/managed": true,
            "/spec/globalTopoServer/managedSpec": etcd(),
            "/spec/admin": component,
            "/spec/orchestrator": component,
            "/spec/cells/managed": true,
            "/spec/cells/multiGatewayImage": defaults::MULTIGRES_IMAGE,
            "/spec/workloadRevision": defaults::WORKLOAD_REVISION,
        })
    );
    assert_eq!(defaults_of(&minimal(), None).fields, 11);
}

#[test]
fn the_sample_lacks_only_the_images_of_all_databases() {
    let images = json!({
        "postgres": defaults::POSTGRES_IMAGE,
        "multiPooler": defaults::MULTIGRES_IMAGE,
        "postgresExporter": defaults::POSTGRES_EXPORTER_IMAGE,
    });
    let revision = defaults::WORKLOAD_REVISION;
    let expected = json!({"/spec/databases/images": images, "/spec/workloadRevision": revision});
    assert_eq!(additions(&sample(), None), expected);
}

/// A revision is written once, when the cluster is made. No update raises it.
#[test]
fn an_update_keeps_the_revision() {
    let of = |revision: Option<i32>| {
        let mut cluster = minimal();
        if let Some(revision) = revision {
            cluster["spec"]["workloadRevision"] = json!(revision);
        }
        cluster
    };
    let newest = defaults::WORKLOAD_REVISION;
    for (new, old, added) in [
        (None, None, Some(newest)),
        (Some(1), None, None),
        (None, Some(None), None),
        (None, Some(Some(1)), Some(1)),
        (None, Some(Some(2)), Some(2)),
        // An older operator keeps what a newer one wrote.
        (None, Some(Some(newest + 1)), Some(newest + 1)),
        (Some(1), Some(Some(2)), None),
        (Some(2), Some(None), None),
    ] {
        let additions = additions(&of(new), old.map(of).as_ref());
        assert_eq!(
            additions.get("/spec/workloadRevision"),
            added.map(Value::from).as_ref(),
            "{new:?} {old:?}"
        );
    }
}

/// A change of the minimal cluster, and the additions it makes beside those of `admin` and `orchestrator`.
#[test]
fn sections() {
    let cells =
        || json!({"/spec/cells/managed": true, "/spec/cells/multiGatewayImage": defaults::MULTIGRES_IMAGE});
    let with_cells = |more: Value| {
        let mut all = cells();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let made = json!({"/spec/globalTopoServer/managed": true, "/spec/globalTopoServer/managedSpec": etcd()});
    for (pointer, value, expected) in [
        ("/globalTopoServer", json!({"rootPath": "/m", "external": {"address": "e:2379"}}), cells()),
        ("/globalTopoServer", json!({"managed": true, "external": {"address": "e:2379"}}), cells()),
        ("/globalTopoServer", json!({"managed": false}), cells()),
        ("/globalTopoServer", json!({"external": null}), with_cells(made)),
        (
            "/globalTopoServer",
            json!({"managedSpec": null}),
            with_cells(json!({
                "/spec/globalTopoServer/managed": true
            })),
        ),
        (
            "/globalTopoServer",
            json!({"managed": true, "managedSpec": {"replicas": 5, "image": "e:1"}}),
            with_cells(json!({
                "/spec/globalTopoServer/managedSpec/dataVolumeClaimTemplate": etcd()["dataVolumeClaimTemplate"]
            })),
        ),
        ("/globalTopoServer", json!("not a map"), cells()),
        (
            "/databases",
            json!({"managed": false, "images": {"multipooler": "p:1", "postgres": ""}}),
            with_cells(json!({
                "/spec/databases/images/postgresExporter": defaults::POSTGRES_EXPORTER_IMAGE
            })),
        ),
        ("/databases", json!(null), cells()),
        ("/databases", json!([]), cells()),
    ] {
        let mut new = minimal();
        new["spec"]["globalTopoServer"] = json!({"managed": false});
        new["spec"][&pointer[1..]] = value.clone();
        new["spec"]["admin"] = json!(null);
        new["spec"]["orchestrator"] = json!({"managed": true, "spec": {"image": "o:1"}});
        new["spec"]["workloadRevision"] = json!(1);
        assert_eq!(additions(&new, None), expected, "{pointer}: {value}");
    }
}

#[test]
fn a_component_that_is_turned_off_is_given_no_template() {
    let image = json!({"image": "a:1"});
    let kept = json!({"/spec/admin/spec": image});
    let default = json!({"/spec/admin/spec/image": defaults::MULTIGRES_IMAGE});
    for (new, old, expected) in [
        (json!({"managed": false}), json!({}), json!({})),
        (json!({"managed": false, "spec": {}}), json!({}), default),
        (json!({"managed": false}), json!({"spec": image}), kept),
    ] {
        let cluster = |admin: &Value| edited(&sample(), "/spec/admin", admin.clone());
        let mut additions = additions(&cluster(&new), Some(&cluster(&old)));
        additions.as_object_mut().unwrap().remove("/spec/databases/images");
        assert_eq!(additions, expected, "{new} after {old}");
    }
}

#[test]
fn an_update_keeps_the_images_that_it_leaves_out() {
    let mut new = minimal();
    new["spec"]["databases"] = json!({"templates": []});
    let mut old = new.clone();
    old["spec"]["globalTopoServer"]["managedSpec"] = json!({"image": "etcd:old", "replicas": 5});
    old["spec"]["admin"] = json!({"spec": {"image": "admin:old"}});
    old["spec"]["orchestrator"] = json!({"spec": {"image": 7}});
    old["spec"]["cells"]["multiGatewayImage"] = json!("gateway:old");
    old["spec"]["databases"]["images"] = json!({"postgres": "pg:old", "multipooler": "pooler:old"});
    let additions = additions(&new, Some(&old));
    for (pointer, kept) in [
        (
            "/spec/globalTopoServer/managedSpec",
            json!({"image": "etcd:old", "replicas": 3,
            "dataVolumeClaimTemplate": etcd()["dataVolumeClaimTemplate"]}),
        ),
        ("/spec/admin", json!({"managed": true, "spec": {"image": "admin:old"}})),
        ("/spec/orchestrator", json!({"managed": true, "spec": {"image": defaults::MULTIGRES_IMAGE}})),
        ("/spec/cells/multiGatewayImage", json!("gateway:old")),
        (
            "/spec/databases/images",
            json!({"postgres": "pg:old", "multiPooler": "pooler:old",
            "postgresExporter": defaults::POSTGRES_EXPORTER_IMAGE}),
        ),
    ] {
        assert_eq!(additions[pointer], kept, "{pointer}");
    }
}

#[test]
fn a_child_is_labelled_with_its_cluster() {
    for (metadata, spec, path) in [
        (json!({"name": "x"}), json!({"cluster": "c"}), Some("/metadata/labels")),
        (
            json!({"labels": {"a": "b"}}),
            json!({"cluster": "c"}),
            Some("/metadata/labels/multigres.com~1cluster"),
        ),
        (json!({"labels": {"multigres.com/cluster": "other"}}), json!({"cluster": "c"}), None),
        (json!({"name": "x"}), json!({"cluster": 7}), None),
        // The label would be refused in place of what was written.
        (json!({"name": "x"}), json!({"cluster": "prod-"}), None),
        (json!({"name": "x"}), json!(null), None),
    ] {
        let json = json!({"metadata": metadata, "spec": spec});
        let patch = to_value(child(&Object::read(Some(parsed(&json)))).patch).unwrap();
        assert_eq!(patch.pointer("/0/path").and_then(Value::as_str), path, "{json}");
    }
}

/// Pointers to all members of maps, lists not entered.
fn members(value: &Value, at: &str, pointers: &mut Vec<String>) {
    for (key, member) in value.as_object().into_iter().flatten() {
        let pointer = format!("{at}/{key}");
        members(member, &pointer, pointers);
        pointers.push(pointer);
    }
}

/// Whatever a manifest may hold where a section, an image or a flag is expected.
fn anything() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "managed",
        "spec",
        "image",
        "images",
        "external",
        "managedSpec",
        "multiPooler",
        "multipooler",
        "replicas",
    ]);
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z:.~/\"é]{0,6}".prop_map(Value::from),
        Just(json!(0.5)),
        Just(json!([{"managed": false}])),
    ];
    leaf.prop_recursive(3, 16, 4, move |inner| {
        prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..4)
            .prop_map(|map| map.into_iter().collect::<Map<_, _>>().into())
    })
}

fn remove(document: &mut Value, pointer: &str) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    if let Some(parent) = document.pointer_mut(parent).and_then(Value::as_object_mut) {
        parent.remove(key);
    }
}

/// The sample with some of its fields removed or replaced by anything.
fn clusters() -> impl Strategy<Value = Value> {
    let mut pointers = Vec::new();
    members(&sample()["spec"], "/spec", &mut pointers);
    pointers.extend(["/spec/databases/images".to_owned(), "/spec/globalTopoServer/external".to_owned()]);
    let edit = (prop::sample::select(pointers), prop::option::of(anything()));
    prop::collection::vec(edit, 0..8).prop_map(|edits| {
        let mut cluster = sample();
        for (pointer, value) in edits {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            match (value, cluster.pointer_mut(parent).and_then(Value::as_object_mut)) {
                (None, _) => remove(&mut cluster, &pointer),
                (Some(value), Some(parent)) => drop(parent.insert(key.to_owned(), value)),
                (Some(_), None) => {}
            }
        }
        cluster
    })
}

/// True if all of `written` is in `stored`, with lists and scalars unchanged.
fn survives(written: &Value, stored: &Value) -> bool {
    match (written, stored) {
        (Value::Object(written), Value::Object(stored)) => {
            written.iter().all(|(key, value)| stored.get(key).is_some_and(|stored| survives(value, stored)))
        }
        _ => serde_json::to_string(written).unwrap() == serde_json::to_string(stored).unwrap(),
    }
}

proptest! {
    #[test]
    fn whatever_was_written_stays_and_once_is_enough(written in clusters(), old in prop::option::of(clusters())) {
        let mut stored = written.clone();
        let defaults = defaults_of(&written, old.as_ref());
        json_patch::patch(&mut stored, &defaults.patch).unwrap();
        prop_assert!(survives(&written, &stored), "{}", stored);
        prop_assert_eq!(defaults.patch.is_empty(), defaults.fields == 0);
        prop_assert_eq!(defaults_of(&stored, old.as_ref()), Defaults::default());
        prop_assert_eq!(defaults_of(&stored, Some(&stored)), Defaults::default());
    }

    #[test]
    fn nothing_is_added_where_nothing_is_understood(spec in anything()) {
        let document = json!({"metadata": {"name": "c"}, "spec": spec});
        let mut stored = document.clone();
        json_patch::patch(&mut stored, &defaults_of(&document, None).patch).unwrap();
        prop_assert!(survives(&document, &stored));
    }
}
