//! Differences between a live object and the desired one, and the corrected object. Pure.
//!
//! A live object is never equal to what was applied: the API server fills in defaults and assigns addresses. So two
//! questions are asked. Does every desired value stand there, by meaning (`2048Mi` is `2Gi`)? And does any field
//! manager own a field that we do not want, be it another, or we ourselves from a time when we wanted it? The API
//! server keeps that record in `metadata.managedFields`, exactly: a default is owned by nobody, an addition by who
//! made it.

use multigres_crds::quantity;
use serde_json::{Map, Value};

/// Assigned by Kubernetes or the cloud, also inside something that a person re-created.
const ASSIGNED: [&str; 6] =
    ["clusterIP", "clusterIPs", "healthCheckNodePort", "nodePort", "volumeName", "loadBalancerClass"];

/// Filled in by the API server within maps that have one owner as a whole, such as a `fieldRef`.
const DEFAULTED: [&str; 2] = ["apiVersion", "divisor"];

/// Differences, as JSON pointers into the live object.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// Desired values that are missing or different.
    pub changed: Vec<String>,
    /// Fields that somebody added.
    pub added: Vec<String>,
    /// Fields that were applied and are not wanted any more.
    pub dropped: Vec<String>,
}

impl Drift {
    /// Compares; `manager` is the field manager whose applied fields are ours.
    pub fn between(desired: &Value, live: &Value, manager: &str) -> Self {
        let mut drift = Self::default();
        compare(desired, live, &mut Path::default(), &mut drift.changed);
        for entry in entries(live) {
            let is_ours = entry["manager"] == manager && entry["operation"] == "Apply";
            let found = if is_ours { &mut drift.dropped } else { &mut drift.added };
            for (key, inner) in entry["fieldsV1"].as_object().into_iter().flatten() {
                // Labels, annotations and the like may be added by anybody.
                let is_free = |name: &&str| *name == "status" || *name == "metadata" && !is_ours;
                if let Some(name) = key.strip_prefix("f:").filter(|name| !is_free(name)) {
                    collect_field(name, inner, desired, live, &mut Path::default(), found);
                }
            }
        }
        for found in [&mut drift.added, &mut drift.dropped] {
            found.sort_by_cached_key(|pointer| in_list_order(pointer));
            found.dedup();
        }
        drift
    }

    /// True if the live object is as it should be.
    pub fn is_none(&self) -> bool {
        self.changed.is_empty() && self.unwanted().next().is_none()
    }

    /// Everything that differs, for people.
    pub fn paths(&self) -> String {
        let fields = |pointers: &[String]| -> Vec<String> {
            pointers.iter().map(|pointer| pointer.trim_start_matches('/').replace('/', ".")).collect()
        };
        [fields(&self.changed), fields(&self.added), fields(&self.dropped)].concat().join(", ")
    }

    /// Paths that should not exist.
    fn unwanted(&self) -> impl Iterator<Item = &String> {
        self.added.iter().chain(&self.dropped)
    }
}

/// The live object without what should not be there and with every desired value: what a `PUT` puts back where
/// server-side apply cannot (a list item whose merge key was edited).
pub fn repaired(desired: &Value, live: &Value, drift: &Drift) -> Value {
    let mut object = live.clone();
    let mut unwanted: Vec<&String> = drift.unwanted().collect();
    unwanted.sort_by_cached_key(|pointer| in_list_order(pointer));
    unwanted.dedup();
    // From the end, so that the removal of a list item does not move the others.
    for pointer in unwanted.into_iter().rev() {
        remove(&mut object, pointer);
    }
    overlay(&mut object, desired);
    object
}

/// A JSON pointer under construction.
#[derive(Default)]
struct Path {
    pointer: String,
    in_quantities: bool,
}

impl Path {
    fn within<T>(&mut self, token: &str, f: impl FnOnce(&mut Self) -> T) -> T {
        let (length, in_quantities) = (self.pointer.len(), self.in_quantities);
        self.pointer.push('/');
        self.pointer.push_str(&token.replace('~', "~0").replace('/', "~1"));
        self.in_quantities |= token == "requests" || token == "limits";
        let result = f(self);
        self.pointer.truncate(length);
        self.in_quantities = in_quantities;
        result
    }
}

fn compare(desired: &Value, live: &Value, path: &mut Path, changed: &mut Vec<String>) {
    match (desired, live) {
        (Value::Object(desired), Value::Object(live)) => {
            for (key, value) in desired {
                path.within(key, |path| compare(value, live.get(key).unwrap_or(&Value::Null), path, changed));
            }
        }
        (Value::Array(desired), Value::Array(live)) if path.pointer == "/metadata/ownerReferences" => {
            if !desired.iter().all(|owner| live.iter().any(|other| same(owner, other))) {
                changed.push(path.pointer.clone());
            }
        }
        (Value::Array(desired), Value::Array(live)) if desired.len() == live.len() => {
            for (i, (desired, live)) in desired.iter().zip(live).enumerate() {
                path.within(&i.to_string(), |path| compare(desired, live, path, changed));
            }
        }
        (Value::String(desired), Value::String(live)) if desired != live && path.in_quantities => {
            if quantity::parse(desired).is_none() || quantity::parse(desired) != quantity::parse(live) {
                changed.push(path.pointer.clone());
            }
        }
        // An empty map or list that the API server dropped.
        (Value::Object(desired), Value::Null) if desired.is_empty() => {}
        (Value::Array(desired), Value::Null) if desired.is_empty() => {}
        _ if desired == live => {}
        _ => changed.push(path.pointer.clone()),
    }
}

fn same(desired: &Value, live: &Value) -> bool {
    let mut changed = Vec::new();
    compare(desired, live, &mut Path::default(), &mut changed);
    changed.is_empty()
}

/// Entries of field ownership of the object itself, without subresources.
fn entries(live: &Value) -> impl Iterator<Item = &Value> {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    entries.filter(|entry| entry.get("subresource").is_none_or(|subresource| subresource == ""))
}

/// Position of the entry that records our updates, as opposed to what we apply. It comes with a repair and must not
/// stay: a field that it owns would outlive its removal from what we apply.
pub fn update_entry(live: &Value, manager: &str) -> Option<usize> {
    let entries = live.pointer("/metadata/managedFields")?.as_array()?;
    entries.iter().position(|entry| {
        entry["manager"] == manager && entry["operation"] == "Update" && entry.get("subresource").is_none()
    })
}

fn collect(owned: &Value, desired: &Value, live: &Value, path: &mut Path, unwanted: &mut Vec<String>) {
    for (key, inner) in owned.as_object().into_iter().flatten() {
        match key.split_once(':') {
            Some(("f", name)) => collect_field(name, inner, desired, live, path, unwanted),
            Some(("k", keys)) => collect_item(keys, inner, desired, live, path, unwanted),
            Some(("v", value)) => collect_element(value, desired, live, path, unwanted),
            _ => {}
        }
    }
}

fn collect_field(
    name: &str,
    inner: &Value,
    desired: &Value,
    live: &Value,
    path: &mut Path,
    unwanted: &mut Vec<String>,
) {
    let Some(live) = live.get(name) else { return };
    path.within(name, |path| match desired.get(name) {
        Some(desired) if is_leaf(inner) => collect_atomic(desired, live, path, unwanted),
        Some(desired) => collect(inner, desired, live, path, unwanted),
        None if ASSIGNED.contains(&name) => {}
        None => unwanted.push(path.pointer.clone()),
    });
}

fn is_leaf(owned: &Value) -> bool {
    owned.as_object().is_some_and(Map::is_empty)
}

/// A map that has one owner as a whole, with the maps in it (the selector of a Service, or of a disruption budget).
/// Whatever is in it beyond what we want should not be there.
fn collect_atomic(desired: &Value, live: &Value, path: &mut Path, unwanted: &mut Vec<String>) {
    let (Value::Object(desired), Value::Object(live)) = (desired, live) else { return };
    for (key, live) in live.iter().filter(|(key, _)| !DEFAULTED.contains(&key.as_str())) {
        path.within(key, |path| match desired.get(key) {
            Some(desired) => collect_atomic(desired, live, path, unwanted),
            None => unwanted.push(path.pointer.clone()),
        });
    }
}

/// An item of a list that is merged by keys. An item that still has its name is the same one with a key edited.
fn collect_item(
    keys: &str,
    inner: &Value,
    desired: &Value,
    live: &Value,
    path: &mut Path,
    unwanted: &mut Vec<String>,
) {
    let Ok(Value::Object(keys)) = serde_json::from_str::<Value>(keys) else { return };
    let matches = |item: &&Value| keys.iter().all(|(key, value)| item.get(key) == Some(value));
    let Some(position) = live.as_array().and_then(|items| items.iter().position(|item| matches(&item)))
    else {
        return;
    };
    let live = &live[position];
    let wanted = desired.as_array().and_then(|items| {
        // A key with a default (`protocol: TCP`) is not in what we apply.
        let agrees =
            |item: &&Value| keys.iter().all(|(key, value)| item.get(key).is_none_or(|other| other == value));
        items.iter().find(agrees).or_else(|| named(items, live))
    });
    path.within(&position.to_string(), |path| match wanted {
        Some(desired) => collect(inner, desired, live, path, unwanted),
        None => unwanted.push(path.pointer.clone()),
    });
}

fn collect_element(value: &str, desired: &Value, live: &Value, path: &mut Path, unwanted: &mut Vec<String>) {
    let Ok(value) = serde_json::from_str::<Value>(value) else { return };
    let wanted = desired.as_array().is_some_and(|elements| elements.contains(&value));
    let position = live.as_array().and_then(|elements| elements.iter().position(|element| *element == value));
    if let Some(position) = position.filter(|_| !wanted) {
        unwanted.push(format!("{}/{position}", path.pointer));
    }
}

/// The item of the same name, where names tell the items apart.
fn named<'a>(items: &'a [Value], of: &Value) -> Option<&'a Value> {
    let name = of.get("name")?;
    let mut same_name = items.iter().filter(|item| item.get("name") == Some(name));
    let first = same_name.next();
    first.filter(|_| same_name.next().is_none())
}

/// Sorts pointers such that list items stand in the order of their positions.
fn in_list_order(pointer: &str) -> Vec<(usize, String)> {
    pointer.split('/').map(|token| (token.parse().unwrap_or(0), token.to_owned())).collect()
}

fn remove(object: &mut Value, pointer: &str) {
    let Some((parent, token)) = pointer.rsplit_once('/') else { return };
    match object.pointer_mut(parent) {
        Some(Value::Object(fields)) => {
            fields.remove(&token.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(items)) => {
            if let Ok(i) = token.parse::<usize>()
                && i < items.len()
            {
                items.remove(i);
            }
        }
        _ => {}
    }
}

fn overlay(live: &mut Value, desired: &Value) {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => {
            for (key, value) in desired {
                overlay(live.entry(key.as_str()).or_insert(Value::Null), value);
            }
        }
        (live @ Value::Array(_), Value::Array(desired)) => {
            if same(&Value::Array(desired.clone()), live) {
                return;
            }
            let before = live.as_array().cloned().unwrap_or_default();
            let items = desired.iter().map(|item| {
                let mut merged = named(&before, item).cloned().unwrap_or(Value::Null);
                overlay(&mut merged, item);
                merged
            });
            *live = items.collect();
        }
        (live, desired) => *live = desired.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const US: &str = "multigres-operator";

    fn live(spec: &Value, foreign: &Value) -> Value {
        let nothing = foreign.as_object().is_some_and(Map::is_empty);
        let owned = if nothing { json!({}) } else { json!({ "f:spec": foreign }) };
        json!({
            "metadata": { "managedFields": [
                { "manager": US, "operation": "Apply", "fieldsV1": { "f:spec": { "f:replicas": {} } } },
                { "manager": "kubectl-edit", "operation": "Update", "fieldsV1": owned },
                { "manager": "kubelet", "operation": "Update", "subresource": "status", "fieldsV1": { "f:status": {} } },
            ]},
            "spec": spec,
        })
    }

    fn drift(desired: &Value, spec: &Value, foreign: &Value) -> Drift {
        Drift::between(&json!({ "spec": desired }), &live(spec, foreign), US)
    }

    #[test]
    fn an_addition_deep_within_a_map_of_one_owner_is_found() {
        let desired = json!({ "spec": { "selector": { "matchLabels": { "a": "b" } } } });
        let live = |labels: Value| {
            let fields = json!({ "f:spec": { "f:selector": {} } });
            json!({
                "metadata": { "managedFields": [
                    { "manager": "kubectl", "operation": "Update", "fieldsV1": fields },
                ]},
                "spec": { "selector": { "matchLabels": labels } },
            })
        };
        for (labels, added) in [
            (json!({ "a": "b" }), &[][..]),
            (json!({ "a": "b", "extra": "label" }), &["/spec/selector/matchLabels/extra"]),
        ] {
            assert_eq!(Drift::between(&desired, &live(labels), "us").added, added);
        }
    }

    #[test]
    fn defaults_of_the_api_server_are_no_drift() {
        let desired =
            json!({ "replicas": 2, "resources": { "requests": { "memory": "2048Mi", "cpu": "0.5" } } });
        let spec = json!({
            "replicas": 2, "revisionHistoryLimit": 10,
            "resources": { "requests": { "memory": "2Gi", "cpu": "500m" } },
        });
        assert!(drift(&desired, &spec, &json!({})).is_none());
    }

    #[test]
    fn changed_and_removed_values() {
        let desired = json!({ "replicas": 2, "args": ["a", "b"], "cpu": "1", "limits": { "cpu": "1" } });
        let spec = json!({ "args": ["a", "c"], "cpu": "1000m", "limits": { "cpu": "2" } });
        let found = drift(&desired, &spec, &json!({}));
        assert_eq!(found.changed, ["/spec/replicas", "/spec/args/1", "/spec/cpu", "/spec/limits/cpu"]);
    }

    #[test]
    fn added_fields_are_known_by_their_owner() {
        let desired = json!({ "containers": [{ "name": "a", "image": "x" }], "labels": { "a": "1" } });
        let spec = json!({
            "containers": [{ "name": "a", "image": "x", "tty": true, "imagePullPolicy": "Always" }, { "name": "b" }],
            "labels": { "a": "1", "b/c": "2" }, "paused": true,
        });
        let owned = json!({
            "f:paused": {}, "f:labels": { "f:b/c": {} }, "f:gone": {},
            "f:containers": { "k:{\"name\":\"a\"}": { "f:tty": {} }, "k:{\"name\":\"b\"}": { ".": {}, "f:name": {} } },
        });
        let found = drift(&desired, &spec, &owned);
        assert_eq!(
            found.added,
            ["/spec/containers/0/tty", "/spec/containers/1", "/spec/labels/b~1c", "/spec/paused"]
        );
        assert_eq!(found.changed, ["/spec/containers"]);
        let fixed = repaired(&json!({ "spec": desired }), &live(&spec, &owned), &found);
        assert_eq!(
            fixed["spec"],
            json!({ "containers": [{ "name": "a", "image": "x", "imagePullPolicy": "Always" }], "labels": { "a": "1" } })
        );
    }

    #[test]
    fn what_was_applied_and_is_not_wanted_any_more_is_known() {
        let live = json!({
            "metadata": {
                "labels": { "a": "1", "b": "2", "c": "3" },
                "managedFields": [{ "manager": US, "operation": "Apply", "fieldsV1": {
                    "f:metadata": { "f:labels": { "f:a": {}, "f:b": {} } },
                    "f:spec": {
                        "f:limits": { "f:cpu": {}, "f:memory": {} },
                        "f:containers": { "k:{\"name\":\"a\"}": { ".": {}, "f:name": {} }, "k:{\"name\":\"b\"}": { ".": {} } },
                        "f:gone": {},
                    },
                }}],
            },
            "spec": {
                "limits": { "cpu": "1", "memory": "1Gi", "storage": "1Gi" },
                "containers": [{ "name": "a", "image": "x" }, { "name": "b" }],
            },
        });
        let desired = json!({
            "metadata": { "labels": { "a": "1" } },
            "spec": { "limits": { "cpu": "1" }, "containers": [{ "name": "a" }] },
        });
        let found = Drift::between(&desired, &live, US);
        assert_eq!(found.dropped, ["/metadata/labels/b", "/spec/containers/1", "/spec/limits/memory"]);
        assert!(found.added.is_empty());
        let fixed = repaired(&desired, &live, &found);
        assert_eq!(fixed["metadata"]["labels"], json!({ "a": "1", "c": "3" }));
        assert_eq!(
            fixed["spec"],
            json!({ "limits": { "cpu": "1", "storage": "1Gi" }, "containers": [{ "name": "a", "image": "x" }] })
        );
    }

    #[test]
    fn an_edited_port_number_keeps_its_node_port() {
        let desired = json!({ "ports": [{ "name": "pg", "port": 5432, "targetPort": 15432 }] });
        let spec = json!({
            "clusterIP": "10.0.0.1",
            "ports": [{ "name": "pg", "port": 5433, "targetPort": 15432, "protocol": "TCP", "nodePort": 30000 }],
        });
        let key = "k:{\"port\":5433,\"protocol\":\"TCP\"}";
        let owned = json!({ "f:clusterIP": {}, "f:ports": { key: { ".": {}, "f:port": {}, "f:nodePort": {}, "f:name": {} } } });
        let found = drift(&desired, &spec, &owned);
        assert_eq!(found, Drift { changed: vec!["/spec/ports/0/port".into()], ..Drift::default() });
        let fixed = repaired(&json!({ "spec": desired }), &live(&spec, &owned), &found);
        assert_eq!(fixed["spec"]["ports"][0]["port"], 5432);
        assert_eq!(fixed["spec"]["ports"][0]["nodePort"], 30000);
        assert_eq!(fixed["spec"]["clusterIP"], "10.0.0.1");
    }

    #[test]
    fn a_map_that_is_owned_as_a_whole_has_nothing_but_ours() {
        let desired = json!({ "selector": { "a": "1" } });
        let selector = json!({ "a": "1", "b": "2", "apiVersion": "filled in" });
        let found = drift(&desired, &json!({ "selector": selector }), &json!({ "f:selector": {} }));
        assert_eq!(found.added, ["/spec/selector/b"]);
    }

    #[test]
    fn the_owners_of_others_are_left_alone() {
        let desired = json!({ "metadata": { "ownerReferences": [{ "uid": "1", "controller": true }] } });
        let with = |owners: Value| json!({ "metadata": { "ownerReferences": owners } });
        let ours = json!({ "uid": "1", "controller": true, "kind": "MultiCell" });
        assert!(Drift::between(&desired, &with(json!([{ "uid": "2" }, ours])), US).is_none());
        assert!(!Drift::between(&desired, &with(json!([{ "uid": "2" }])), US).is_none());
    }

    #[test]
    fn our_updates_are_found() {
        let mut object = live(&json!({}), &json!({}));
        assert_eq!(update_entry(&object, US), None);
        object["metadata"]["managedFields"][1]["manager"] = US.into();
        assert_eq!(update_entry(&object, US), Some(1));
    }

    proptest::proptest! {
        /// Whatever became of an object, what is put back is as it should be.
        #[test]
        fn repairs_are_complete(replicas in 0..5_i32, names in proptest::collection::vec("[a-c]", 0..4), paused: bool) {
            let desired = json!({ "spec": { "replicas": 2, "items": [{ "name": "a", "x": 1 }, { "name": "b" }] } });
            let items: Vec<Value> = names.iter().map(|name| json!({ "name": name, "y": 1 })).collect();
            let mut owned = json!({ "f:replicas": {} });
            if paused {
                owned["f:paused"] = json!({});
            }
            let live = live(&json!({ "replicas": replicas, "items": items, "paused": paused }), &owned);
            let fixed = repaired(&desired, &live, &Drift::between(&desired, &live, US));
            proptest::prop_assert!(Drift::between(&desired, &fixed, US).is_none());
        }
    }
}
