//! Whatever reaches the webhook's port is answered, and costs the operator nothing.

use std::sync::Arc;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::Api;
use multigres_webhooks::configuration;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::installation::{Installation, PATIENCE, get};
use crate::rules::sound;

/// Somebody who can reach the port, and trusts what API servers are told to trust.
struct Peer {
    port: u16,
    tls: TlsConnector,
}

impl Peer {
    async fn of(installation: &Installation) -> Self {
        let configurations: Api<ValidatingWebhookConfiguration> =
            Api::all(installation.control_plane.client());
        let webhooks = configurations.get(configuration::NAME).await.unwrap().webhooks.unwrap();
        let bundle = webhooks[0].client_config.ca_bundle.as_ref().unwrap();
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(&bundle.0) {
            roots.add(authority.unwrap()).unwrap();
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { port: installation.ports.admission, tls: TlsConnector::from(Arc::new(config)) }
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        self.tls.connect(ServerName::try_from("127.0.0.1").unwrap(), tcp).await.unwrap()
    }

    /// Sends bytes, and reads until there is no more to come.
    async fn send(&self, bytes: &[u8], then: Then) -> String {
        let (mut from, mut to) = tokio::io::split(self.connect().await);
        let writing = async {
            // An answer may come, and the connection end, before everything is written.
            let _ = to.write_all(bytes).await;
            if then == Then::Leave {
                let _ = to.shutdown().await;
            }
        };
        let mut answer = Vec::new();
        let reading = async {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = from.read(&mut buffer).await {
                answer.extend(&buffer[..length]);
            }
        };
        timeout(PATIENCE, async { tokio::join!(writing, reading) }).await.expect("an end");
        String::from_utf8(answer).unwrap()
    }

    async fn request(&self, method: &str, path: &str, body: &[u8]) -> String {
        self.send(&[&head(method, path, body.len()), body].concat(), Then::Stay).await
    }

    /// The answer to a review, or to an almost valid one.
    async fn review(&self, body: &[u8]) -> Value {
        let answer = self.request("POST", "/validate", body).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str::<Value>(body).unwrap()["response"].take()
    }
}

/// Behavior of a client after it has sent everything.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Stay,
    Leave,
}

fn head(method: &str, path: &str, length: usize) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    head.into_bytes()
}

/// A review that creates the sound cluster.
fn review() -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "the-uid", "name": "sound", "namespace": "default", "operation": "CREATE",
            "kind": {"group": "multigres.com", "version": "v1alpha1", "kind": "MultigresCluster"},
            "resource": {"group": "multigres.com", "version": "v1alpha1", "resource": "multigresclusters"},
            "userInfo": {"username": "somebody"}, "object": sound(), "oldObject": null,
        },
    })
}

/// Lists in lists, as no parser that recurses survives them.
fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

async fn assert_alive(installation: &Installation) {
    for path in ["/livez", "/readyz"] {
        let answer = get(installation.ports.ops, path).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok\n"), "{path}: {answer}");
    }
    let peer = Peer::of(installation).await;
    assert_eq!(peer.review(&review().to_string().into_bytes()).await["allowed"], true);
}

#[tokio::test]
async fn what_is_no_review_is_refused() {
    let installation = Installation::shared().await;
    let peer = Peer::of(installation).await;
    let review = review().to_string();
    let no_review = "the body is not an AdmissionReview";
    let deep = nested(10_000);
    let huge = " ".repeat(10 << 20);
    for (method, path, body, status, says) in [
        ("POST", "/validate", &b""[..], 400, no_review),
        ("POST", "/mutate", b"apiVersion: v1", 400, no_review),
        ("POST", "/validate", b"{}", 400, no_review),
        ("POST", "/validate", b"[1]", 400, no_review),
        ("POST", "/validate", b"null", 400, no_review),
        ("POST", "/validate", br#"{"kind":"Pod","apiVersion":"v1"}"#, 400, no_review),
        ("POST", "/validate", br#"{"kind":"AdmissionReview","request":null}"#, 400, no_review),
        ("POST", "/validate", b"{\"request\":{\"uid\":\"\xff\xfe\"}}", 400, no_review),
        ("POST", "/validate", &review.as_bytes()[..review.len() / 2], 400, no_review),
        ("POST", "/validate", deep.as_bytes(), 400, no_review),
        ("POST", "/convert", deep.as_bytes(), 400, "the body is not a ConversionReview"),
        ("POST", "/validate", huge.as_bytes(), 413, "length limit exceeded"),
        ("POST", "/mutate", huge.as_bytes(), 413, "length limit exceeded"),
        ("GET", "/validate", b"", 405, "/validate takes POST, not GET"),
        ("POST", "/metrics", b"", 404, "nothing is served at /metrics"),
        ("POST", "/", review.as_bytes(), 404, "nothing is served at /"),
    ] {
        let answer = peer.request(method, path, body).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {answer}");
        assert!(answer.contains(says), "{method} {path}: {answer}");
    }
    assert_alive(installation).await;
}

#[tokio::test]
async fn a_review_that_makes_no_sense_is_answered_with_its_uid() {
    let installation = Installation::shared().await;
    let peer = Peer::of(installation).await;
    for (pointer, value, code, field) in [
        ("/request/operation", json!("DANCE"), 422, "request.operation"),
        ("/request/resource/resource", json!("pods"), 400, ""),
        ("/request/resource/group", json!("apps"), 400, ""),
        ("/request/userInfo", json!(7), 422, "request.userInfo"),
        ("/request/object", json!(null), 422, "request.object"),
        ("/request/object", json!("a cluster"), 422, "request.object"),
        ("/request/object/spec", json!(7), 422, "spec"),
        ("/request/object/metadata", json!([]), 422, "metadata"),
        (
            "/request/object/spec/cells/templates",
            json!("\u{0}\u{feff}\u{1f41f}"),
            422,
            "spec.cells.templates",
        ),
        ("/request/object/spec/paused", serde_json::from_str(&nested(100)).unwrap(), 422, "spec.paused"),
    ] {
        let mut review = review();
        *review.pointer_mut(pointer).unwrap() = value;
        let response = peer.review(review.to_string().as_bytes()).await;
        assert_eq!(response["uid"], "the-uid", "{pointer}");
        assert_eq!(response["allowed"], false, "{pointer}");
        assert_eq!(response["status"]["code"], code, "{pointer}: {response:#}");
        let causes = response["status"]["details"]["causes"].as_array().unwrap();
        assert!(field.is_empty() || causes[0]["field"] == field, "{pointer}: {response:#}");
    }
    // Deeper than any parser here goes.
    for depth in [200, 10_000] {
        let text = review().to_string().replace("\"paused\":true", &format!("\"paused\":{}", nested(depth)));
        let response = peer.review(text.as_bytes()).await;
        assert_eq!(
            (&response["uid"], &response["allowed"]),
            (&json!("the-uid"), &json!(false)),
            "{response:#}"
        );
        assert_eq!(response["status"]["code"], 422, "{response:#}");
    }
    assert_alive(installation).await;
}

/// API servers become newer than this operator.
#[tokio::test]
async fn unknown_fields_of_a_review_are_passed_over() {
    let peer = Peer::of(Installation::shared().await).await;
    let mut review = review();
    review["request"]["newInLaterVersions"] = json!({"a": [1]});
    review["request"]["userInfo"]["extra"] = json!({"b": ["c"]});
    review["alsoNew"] = json!(true);
    assert_eq!(peer.review(review.to_string().as_bytes()).await["allowed"], true);
}

#[tokio::test]
async fn nobody_holds_a_request_open() {
    let installation = Installation::shared().await;
    let peer = Peer::of(installation).await;
    let unfinished = [head("POST", "/validate", 1000), b"{\"apiVersion\":".to_vec()].concat();
    // The first does not wait for an answer; the second sends no more, but stays.
    let (left, stayed, noise) = tokio::join!(
        peer.send(&unfinished, Then::Leave),
        peer.send(&unfinished, Then::Stay),
        peer.send(b"\x16\x03\x01 no HTTP at all\r\n\r\n", Then::Stay),
    );
    assert!(left.is_empty() || left.starts_with("HTTP/1.1 400 "), "{left}");
    assert!(stayed.starts_with("HTTP/1.1 504 "), "{stayed}");
    assert!(noise.is_empty() || noise.starts_with("HTTP/1.1 400 "), "{noise}");
    assert_alive(installation).await;
}

#[tokio::test]
async fn plain_text_is_not_answered_but_counted() {
    let installation = Installation::shared().await;
    let mut stream = TcpStream::connect(("127.0.0.1", installation.ports.admission)).await.unwrap();
    stream.write_all(b"GET /validate HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end");
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    let metrics = get(installation.ports.ops, "/metrics").await.unwrap();
    let failures =
        metrics.lines().find_map(|line| line.strip_prefix("multigres_operator_tls_failures_total "));
    assert_ne!(failures.unwrap(), "0");
}

#[tokio::test]
async fn what_was_answered_is_counted() {
    let installation = Installation::shared().await;
    let peer = Peer::of(installation).await;
    peer.request("POST", "/mutate", b"{}").await;
    let mut wrong = review();
    wrong["request"]["object"]["spec"]["imagePullPolicy"] = json!("Sometimes");
    for review in [wrong, review()] {
        peer.review(review.to_string().as_bytes()).await;
    }
    let metrics = get(installation.ports.ops, "/metrics").await.unwrap();
    let cluster = r#"phase="validate",kind="MultigresCluster",operation="CREATE""#;
    for labels in [
        r#"phase="mutate",kind="unknown",operation="unknown",code="400""#,
        &format!("{cluster},code=\"422\""),
        &format!("{cluster},code=\"200\""),
    ] {
        let line = format!("multigres_operator_admission_reviews_total{{{labels}}} ");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    assert!(metrics.contains(r#"admission_review_duration_seconds_count{phase="validate"} "#), "{metrics}");
}
