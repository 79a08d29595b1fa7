//! The limits of a client, in virtual time.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body as Answer, Bytes};
use axum::http::{Request, Response};
use futures::StreamExt;
use kube::Client;
use kube::client::Body;
use tokio::time::{Duration, Instant, sleep};
use tower::Layer;

use super::limits::{Fenced, Limits, TimedOut};
use crate::election::Fence;

const LIMIT: Duration = Duration::from_secs(20);

/// A server that answers so late, and then sends its answer in pieces with pauses between.
#[derive(Clone, Copy)]
struct Slow {
    head: Duration,
    pause: Duration,
    pieces: usize,
}

fn client(slow: Slow, fence: Option<Fence>, calls: Arc<AtomicUsize>) -> Client {
    let service = tower::service_fn(move |_: Request<Body>| {
        calls.fetch_add(1, Ordering::Relaxed);
        async move {
            sleep(slow.head).await;
            let pieces = futures::stream::iter(0..slow.pieces).then(move |_| async move {
                sleep(slow.pause).await;
                Ok::<_, Infallible>(Bytes::from_static(b"{}\n"))
            });
            Ok::<_, Infallible>(Response::new(Answer::from_stream(pieces)))
        }
    });
    Client::new(Limits { call: LIMIT, fence }.layer(service), "default")
}

fn request(method: &str, path: &str) -> Request<Vec<u8>> {
    Request::builder().method(method).uri(path).body(Vec::new()).unwrap()
}

async fn text(slow: Slow) -> (Result<String, kube::Error>, Duration) {
    let begun = Instant::now();
    (client(slow, None, Arc::default()).request_text(request("GET", "/api")).await, begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_in_time_whether_its_head_or_its_body_is_late() {
    let quick = Slow { head: LIMIT / 4, pause: LIMIT / 4, pieces: 2 };
    assert_eq!(text(quick).await.0.unwrap(), "{}\n{}\n");
    for slow in [Slow { head: LIMIT * 100, ..quick }, Slow { pause: LIMIT / 3, pieces: 100, ..quick }] {
        let (answer, took) = text(slow).await;
        let Err(kube::Error::Service(error)) = answer else { panic!("{answer:?}") };
        assert_eq!(error.downcast_ref(), Some(&TimedOut(LIMIT)));
        assert_eq!(took, LIMIT);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_for_as_long_as_it_likes_once_it_has_begun() {
    let begun = Instant::now();
    let slow = Slow { head: LIMIT / 2, pause: LIMIT * 3, pieces: 3 };
    let client = client(slow, None, Arc::default());
    let watch = request("GET", "/api/v1/pods?allowWatchBookmarks=true&watch=true");
    assert_eq!(client.request_text(watch).await.unwrap(), "{}\n{}\n{}\n");
    assert_eq!(begun.elapsed(), LIMIT / 2 + LIMIT * 9);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_does_not_begin_ends_in_time() {
    let slow = Slow { head: LIMIT * 3, pause: LIMIT, pieces: 1 };
    let watch = request("GET", "/api/v1/pods?watch=true");
    let answer = client(slow, None, Arc::default()).request_text(watch).await;
    assert!(matches!(answer, Err(kube::Error::Service(_))), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn writes_are_sent_while_the_fence_is_open_and_end_with_it() {
    // Shorter than the fence stays open without a renewal.
    let slow = Slow { head: LIMIT / 4, pause: Duration::ZERO, pieces: 1 };
    let (fence, gate) = Fence::for_tests();
    let calls = Arc::new(AtomicUsize::new(0));
    let client = client(slow, Some(fence), calls.clone());
    let is_fenced = |answer: Result<String, kube::Error>| match answer {
        Err(kube::Error::Service(error)) => error.is::<Fenced>(),
        _ => false,
    };
    assert!(is_fenced(client.request_text(request("PATCH", "/a")).await));
    assert_eq!(calls.load(Ordering::Relaxed), 0, "it was sent");
    // Reading is free.
    client.request_text(request("GET", "/a")).await.unwrap();
    gate.open();
    client.request_text(request("PATCH", "/a")).await.unwrap();
    let begun = Instant::now();
    let closing = async {
        sleep(LIMIT / 10).await;
        gate.close();
    };
    let (answer, ()) = tokio::join!(client.request_text(request("DELETE", "/a")), closing);
    assert!(is_fenced(answer));
    assert_eq!(begun.elapsed(), LIMIT / 10);
}
