//! Bodies that no client of the API server sends.

use multigres_crds::kind::Kind;
use serde_json::{Value, json};

use super::{Entry, review};

/// A review whose object is this text, and whose operation is that.
fn around(operation: &str, object: &str) -> Vec<u8> {
    let review = review(operation, Kind::Cluster, Some(&json!("OBJECT")), None).to_string();
    review.replace("\"OBJECT\"", object).into_bytes()
}

fn cluster(spec: &str) -> String {
    format!(
        r#"{{"apiVersion":"multigres.com/v1alpha1","kind":"MultigresCluster","metadata":{{"name":"c"}},"spec":{spec}}}"#
    )
}

/// Reviews that are wrong in form, and objects that are.
pub fn reviews() -> Vec<Entry> {
    let whole = String::from_utf8(super::smallest()).unwrap();
    let entry = |(name, body): (&str, Vec<u8>)| (name.to_owned(), body);
    let bodies = [
        ("empty", Vec::new()),
        ("null", b"null".to_vec()),
        ("list", b"[]".to_vec()),
        ("nul-bytes", vec![0; 16]),
        ("byte-order-mark", [b"\xef\xbb\xbf", whole.as_bytes()].concat()),
        ("two-reviews", format!("{whole}{whole}").into_bytes()),
        ("surrounded-by-space", format!(" \r\n\t{whole}\n\n").into_bytes()),
        ("two-uids", whole.replacen("\"uid\"", r#""uid":"1","uid""#, 1).into_bytes()),
        ("two-objects", whole.replacen("\"object\"", r#""object":{},"object""#, 1).into_bytes()),
        ("two-requests", whole.replacen("\"request\"", r#""request":null,"request""#, 1).into_bytes()),
        ("uid-of-escapes", whole.replacen("705ab4f5", r#"\u0000\n\"\ud83d\ude00"#, 1).into_bytes()),
        ("lone-surrogate-in-uid", whole.replacen("705ab4f5", r"\ud800", 1).into_bytes()),
        ("of-another-group", whole.replace("multigres.com", "example.com").into_bytes()),
        ("conversion", whole.replace("AdmissionReview", "ConversionReview").into_bytes()),
        ("number-for-user", whole.replace(r#"{"username":"jane"}"#, "7").into_bytes()),
    ];
    let objects = objects().into_iter().flat_map(|(name, object)| {
        [("CREATE", name.to_owned()), ("UPSERT", format!("{name}-malformed"))].map(|(operation, name)| {
            // Not all of them are text.
            let (before, after) = ("BEFORE", around(operation, "BEFORE"));
            let at = after.windows(before.len()).position(|window| window == before.as_bytes()).unwrap();
            (name, [&after[..at], &object, &after[at + before.len()..]].concat())
        })
    });
    bodies.into_iter().map(entry).chain(objects).collect()
}

fn objects() -> Vec<(&'static str, Vec<u8>)> {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let many_pools = || -> Value {
        let pool = |n: usize| json!({"cell": format!("nowhere-{n}"), "primary": {"replicas": -1}});
        let pools: Vec<Value> = (0..60).map(pool).collect();
        json!({"databases": {"templates": [{"name": "A", "spec": {"pools": pools}}]}})
    };
    [
        ("deep", deep(500)),
        ("deep-spec", cluster(&format!(r#"{{"cells":{}}}"#, deep(130)))),
        ("deep-unknown", cluster(&format!(r#"{{"unknown":{}}}"#, deep(130)))),
        ("huge-number", cluster(r#"{"admin":{"spec":{"replicas":1e999}}}"#)),
        ("long-number", cluster(r#"{"admin":{"spec":{"replicas":123456789012345678901234567890}}}"#)),
        ("negative-zero", cluster(r#"{"admin":{"spec":{"replicas":-0.0}}}"#)),
        ("two-specs", cluster(r#"{},"spec":{"paused":true}"#)),
        ("two-replicas", cluster(r#"{"admin":{"spec":{"replicas":1,"replicas":"1"}}}"#)),
        ("lone-surrogate", cluster(r#"{"globalTopoServer":{"rootPath":"\ud800"}}"#)),
        ("nul-in-text", cluster(r#"{"globalTopoServer":{"rootPath":"/a\u0000b"}}"#)),
        (
            "odd-keys",
            cluster(r#"{"admin":{"spec":{"podLabels":{"":"","a]b[0].c":"d e","5":"é é","\u0000":""}}}}"#),
        ),
        (
            "long-key",
            cluster(&format!(r#"{{"admin":{{"spec":{{"podLabels":{{"{}":" "}}}}}}}}"#, "k".repeat(3000))),
        ),
        ("many-errors", cluster(&many_pools().to_string())),
        (
            "null-everywhere",
            r#"{"apiVersion":null,"kind":null,"metadata":null,"spec":null,"status":null}"#.to_owned(),
        ),
        ("status-of-another-type", cluster(r#"{},"status":[1]"#)),
        (
            "metadata-of-another-type",
            r#"{"metadata":{"name":7,"labels":[],"ownerReferences":{}},"spec":{}}"#.to_owned(),
        ),
        ("not-json", r#"{"metadata":{"#.to_owned()),
    ]
    .map(|(name, object)| (name, object.into_bytes()))
    .into_iter()
    .chain([("not-utf8", b"{\"metadata\":{\"name\":\"\xff\xfe\"}}".to_vec())])
    .collect()
}
