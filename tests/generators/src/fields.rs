//! Blocks that mean the same wherever they stand.

use proptest::collection::btree_map;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// A field that is there or not.
pub type Field = (&'static str, Option<Value>);

/// An object of the fields that are there.
pub fn object<const N: usize>(fields: [Field; N]) -> Value {
    let there = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect::<Map<_, _>>())
}

/// An object with one more field.
fn with(mut object: Value, field: &str, value: &Value) -> Value {
    object[field] = value.clone();
    object
}

/// There or not. On the heap, as all of a cluster at once is more than a test's stack holds.
pub fn maybe<S: Strategy<Value = Value> + 'static>(value: S) -> BoxedStrategy<Option<Value>> {
    option::of(value).boxed()
}

/// One of several values.
pub fn one_of<V: Into<Value> + Clone + std::fmt::Debug + 'static>(
    values: &'static [V],
) -> impl Strategy<Value = Value> {
    select(values).prop_map(Into::into)
}

/// A whole number of a range.
pub fn number(range: std::ops::Range<i32>) -> impl Strategy<Value = Value> {
    range.prop_map(Value::from)
}

pub fn image() -> impl Strategy<Value = Value> {
    one_of(&[
        "multigres:v1",
        "ghcr.io/multigres/multigres:v0.1.0",
        "registry:5000/a/b@sha256:0123456789abcdef0123456789abcdef",
    ])
}

pub fn resources() -> impl Strategy<Value = Value> {
    let requests = (maybe(one_of(&["100m", "0.5"])), maybe(one_of(&["128Mi", "1G", "1073741824"])));
    let limits = (maybe(one_of(&["1", "2"])), maybe(one_of(&["2Gi", "2048Mi"])));
    let amounts = |(cpu, memory)| object([("cpu", cpu), ("memory", memory)]);
    let devices = maybe(one_of(&["1", "2k"]));
    (maybe(requests.prop_map(amounts)), maybe(limits.prop_map(amounts)), devices).prop_map(
        |(requests, limits, devices)| {
            let with_devices = |amounts: Value| match &devices {
                Some(devices) => with(amounts, "example.com/gpu", devices),
                None => amounts,
            };
            // A request alone is refused, a limit alone is a request as well.
            let requests =
                requests.map(|requests| if limits.is_some() { with_devices(requests) } else { requests });
            object([("requests", requests), ("limits", limits.map(with_devices))])
        },
    )
}

/// A volume claim.
pub fn claim() -> impl Strategy<Value = Value> {
    let size = one_of(&["1Gi", "2048Mi", "10G"]);
    (one_of(&["ReadWriteOnce", "ReadWriteMany"]), size, maybe(one_of(&["fast"]))).prop_map(
        |(mode, size, class)| {
            let storage = json!({ "requests": { "storage": size } });
            object([
                ("accessModes", Some(json!([mode]))),
                ("storageClassName", class),
                ("resources", Some(storage)),
            ])
        },
    )
}

/// Labels or annotations of a user's own.
pub fn keys() -> impl Strategy<Value = Value> {
    btree_map(select(&["team", "example.com/owner", "a.b/c-d"][..]), select(&["", "x", "Y_z.1"][..]), 0..3)
        .prop_map(|keys| keys.into_iter().map(|(key, value)| (key.to_owned(), Value::from(value))).collect())
}

pub fn placement() -> impl Strategy<Value = Value> {
    let toleration = json!({ "key": "dedicated", "operator": "Exists", "effect": "NoSchedule" });
    let term = json!({ "matchExpressions": [{ "key": "disk", "operator": "In", "values": ["ssd"] }] });
    let required =
        json!({ "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [term] } });
    (
        maybe(one_of(&["zone-1", "eu-west-1a"])),
        maybe(keys()),
        maybe(Just(json!([toleration]))),
        maybe(Just(json!({ "nodeAffinity": required }))),
        maybe(one_of(&["high"])),
    )
        .prop_map(|(zone, node_selector, tolerations, affinity, priority)| {
            object([
                ("zone", zone),
                ("nodeSelector", node_selector),
                ("tolerations", tolerations),
                ("affinity", affinity),
                ("priorityClassName", priority),
            ])
        })
}

/// An image and what it may use.
pub fn container() -> impl Strategy<Value = Value> {
    (maybe(image()), maybe(resources()))
        .prop_map(|(image, resources)| object([("image", image), ("resources", resources)]))
}

pub fn backup() -> impl Strategy<Value = Value> {
    let filesystem = claim().prop_map(|claim| json!({ "filesystem": { "volumeClaimTemplate": claim } }));
    let s3 = (
        maybe(one_of(&["https://s3.example.com", "minio:9000"])),
        maybe(one_of(&["clusters/a"])),
        maybe(Just(json!({ "name": "s3-credentials" }))),
    );
    let s3 = s3.prop_map(|(endpoint, prefix, credentials)| {
        let s3 = object([
            ("bucket", Some(json!("backups"))),
            ("region", Some(json!("us-east-1"))),
            ("endpoint", endpoint),
            ("keyPrefix", prefix),
            ("credentialsSecretRef", credentials),
        ]);
        json!({ "s3": s3 })
    });
    prop_oneof![filesystem, s3]
}
