use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};

use axum::body::{Body, to_bytes};
use axum::http::Request;
use multigres_crds::kind::{ChildKind, Kind};
use multigres_crds::v1alpha1::MultigresCluster;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::lookup::{Lookup, Offline};
use crate::review::Operation;
use crate::testing::reviews::{self, OPERATOR, children, request};
use crate::testing::sample;

#[derive(Default)]
struct Recorder(Mutex<Vec<Observation>>);

impl Metrics for Recorder {
    fn answered(&self, observation: Observation) {
        self.0.lock().unwrap().push(Observation { duration: Duration::ZERO, ..observation });
    }
}

fn state(lookup: impl Lookup) -> AppState {
    let admission = Admission { lookup: Arc::new(lookup), impact: None, operator_user: OPERATOR.to_owned() };
    AppState::new(admission)
}

async fn send(router: &Router, method: Method, path: &str, body: Vec<u8>) -> (StatusCode, Vec<u8>) {
    let request = Request::builder().method(method).uri(path).body(Body::from(body)).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    (status, to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec())
}

async fn review(router: &Router, path: &str, request: &Value) -> Value {
    let (status, body) = send(router, Method::POST, path, reviews::review(request)).await;
    assert_eq!(status, StatusCode::OK);
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn both_phases_are_served_and_counted() {
    let recorder = Arc::new(Recorder::default());
    let router = router(AppState { metrics: recorder.clone(), ..state(Offline) });
    let create = request(Kind::Cluster, None, Some(&sample()));
    let mutated = review(&router, MUTATE_PATH, &create).await;
    assert_eq!(mutated["response"]["patchType"], "JSONPatch");
    let validated = review(&router, VALIDATE_PATH, &create).await;
    assert_eq!(validated["response"]["allowed"], true);
    send(&router, Method::POST, VALIDATE_PATH, b"{}".to_vec()).await;

    let observation =
        |phase, kind, operation, code| Observation { phase, kind, operation, code, duration: Duration::ZERO };
    let (cluster, create) = (Some(Kind::Cluster), Some(Operation::Create));
    assert_eq!(
        *recorder.0.lock().unwrap(),
        [
            observation(Phase::Mutate, cluster, create, 200),
            observation(Phase::Validate, cluster, create, 200),
            observation(Phase::Validate, None, None, 400),
        ]
    );
}

#[tokio::test]
async fn what_is_no_review_is_refused() {
    let router = router(state(Offline));
    let conversion = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "ConversionReview",
        "request": {"uid": "u", "desiredAPIVersion": "multigres.com/v2", "objects": []},
    });
    for (method, path, body, status, says) in [
        (Method::POST, MUTATE_PATH, b"not JSON".to_vec(), 400, "the body is not an AdmissionReview"),
        (Method::POST, VALIDATE_PATH, b"".to_vec(), 400, "the body is not an AdmissionReview"),
        (Method::POST, CONVERT_PATH, b"{}".to_vec(), 400, "the body is not a ConversionReview"),
        (Method::POST, CONVERT_PATH, conversion.to_string().into_bytes(), 200, "\"status\":\"Failure\""),
        (Method::POST, VALIDATE_PATH, vec![b' '; 10 << 20], 413, "length limit exceeded"),
        (Method::GET, VALIDATE_PATH, vec![], 405, "/validate takes POST, not GET"),
        (Method::POST, "/", vec![], 404, "nothing is served at /; try /mutate, /validate, /convert"),
    ] {
        let (code, answer) = send(&router, method, path, body).await;
        let answer = String::from_utf8(answer).unwrap();
        assert_eq!(code.as_u16(), status, "{path}: {answer}");
        assert!(answer.contains(says), "{path}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_given_up() {
    let body = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    let request = Request::builder().method(Method::POST).uri(VALIDATE_PATH).body(body).unwrap();
    let response = router(state(Offline)).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
}

/// The update of a child, which asks the caches for its cluster.
fn update_of_a_child() -> Value {
    let child = &children(ChildKind::MultiCell, &reviews::cluster())[0];
    request(Kind::Child(ChildKind::MultiCell), Some(child), Some(child))
}

/// Fails as no code is expected to.
struct Broken;

impl Lookup for Broken {
    fn synced(&self) -> bool {
        true
    }

    fn cluster(&self, _: &str, _: &str) -> Option<Arc<MultigresCluster>> {
        panic!("on purpose")
    }
}

#[tokio::test]
async fn a_panic_ends_one_request() {
    for small_body in [0, usize::MAX] {
        let recorder = Arc::new(Recorder::default());
        let router = router(AppState { metrics: recorder.clone(), small_body, ..state(Broken) });
        let body = reviews::review(&update_of_a_child());
        let (status, answer) = send(&router, Method::POST, VALIDATE_PATH, body).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer, b"the review could not be decided");
        assert_eq!(recorder.0.lock().unwrap()[0].code, 500);
        let create = request(Kind::Cluster, None, Some(&sample()));
        assert_eq!(review(&router, VALIDATE_PATH, &create).await["response"]["allowed"], true);
    }
}

impl Metrics for Broken {
    fn answered(&self, _: Observation) {
        panic!("on purpose")
    }
}

#[tokio::test]
async fn a_panic_beside_the_decision_ends_one_request() {
    let router = router(AppState { metrics: Arc::new(Broken), ..state(Offline) });
    let body = reviews::review(&request(Kind::Cluster, None, Some(&sample())));
    let (status, _) = send(&router, Method::POST, VALIDATE_PATH, body).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
}

/// Answers only once the other end is gone.
struct Stuck(Mutex<Receiver<()>>);

impl Lookup for Stuck {
    fn synced(&self) -> bool {
        true
    }

    fn cluster(&self, _: &str, _: &str) -> Option<Arc<MultigresCluster>> {
        self.0.lock().unwrap().recv().unwrap_err();
        None
    }
}

#[tokio::test]
async fn a_decision_that_takes_too_long_is_given_up() {
    let (release, stuck) = mpsc::channel();
    let state =
        AppState { decision_timeout: Duration::ZERO, small_body: 0, ..state(Stuck(Mutex::new(stuck))) };
    let response = review(&router(state), VALIDATE_PATH, &update_of_a_child()).await["response"].take();
    assert_eq!(response["uid"], "705ab4f5");
    assert_eq!(response["allowed"], false);
    assert_eq!(
        (&response["status"]["code"], &response["status"]["reason"]),
        (&json!(504), &json!("Timeout"))
    );
    drop(release);
}
