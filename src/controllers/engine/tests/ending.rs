//! An engine ends when one of its tasks does, and when it is told to.

use kube::client::Body;
use tokio::time::timeout;

use super::super::*;
use crate::clock::SystemClock;
use crate::topology::Absent;

/// An engine in front of an API server that never answers.
fn engine() -> Engine {
    let silent = tower::service_fn(|_: axum::http::Request<Body>| {
        std::future::pending::<Result<axum::http::Response<Body>, kube::Error>>()
    });
    let client = Client::new(silent, "default");
    Engine::new(
        &Scope::All,
        Seams {
            client: client.clone(),
            watches: client,
            fence: Fence::for_tests().0,
            environment: Environment { cluster_domain: "cluster.local".to_owned() },
            topology: Arc::new(Absent),
            clock: Arc::new(SystemClock),
            metrics: Arc::new(Metrics::new()),
            neighbourhood: Arc::new(Neighbourhood::default()),
        },
    )
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_panics_or_ends_breaks_the_engine_of_a_candidate_and_of_a_leader() {
    let endless = || async { std::future::pending::<()>().await };
    let panics = || async { panic!("as a watch might") };
    let ends = || async {};
    let outcomes = [("", 0), ("a watch", 1), ("a watch ended", 2)];
    for leads in [false, true] {
        for (said, task) in outcomes {
            let mut engine = engine();
            match task {
                0 => engine.watches.spawn(endless()),
                1 => engine.watches.spawn(panics()),
                _ => engine.watches.spawn(ends()),
            };
            let (elected, finish) = (CancellationToken::new(), CancellationToken::new());
            if leads {
                elected.cancel();
            }
            let run = timeout(Duration::from_mins(10), engine.run(elected, finish)).await;
            match run {
                Ok(result) => assert_eq!(result.unwrap_err().to_string(), said, "leads: {leads}"),
                Err(_) => assert_eq!(said, "", "leads: {leads}: it goes on"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_ends_when_it_is_to_finish() {
    for leads in [false, true] {
        let (elected, finish) = (CancellationToken::new(), CancellationToken::new());
        if leads {
            elected.cancel();
        }
        let run = tokio::spawn(engine().run(elected, finish.clone()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!run.is_finished());
        finish.cancel();
        run.await.unwrap().unwrap();
    }
}
