//! The controllers on an API server that is a map: everything else is real, from the watches to the writes.

use std::time::Instant;

use serde_json::{Value, json};

use self::server::Server;
use super::*;
use crate::clock::SystemClock;
use crate::topology::Absent;

mod ending;
mod server;

const CLUSTERS: usize = 2000;
/// Clusters that exist at a time.
const AT_ONCE: usize = 100;
const PATIENCE: Duration = Duration::from_mins(10);

/// A cluster that has one of everything.
fn cluster(name: &str) -> Value {
    let text = include_str!("../../../tests/samples/two-cells.yaml");
    let mut cluster: Value = serde_saphyr::from_str(text).unwrap();
    cluster["metadata"] = json!({"name": name, "namespace": name});
    cluster["spec"]["cells"]["templates"].as_array_mut().unwrap().truncate(1);
    let pools = &mut cluster["spec"]["databases"]["templates"][0]["spec"]["pools"];
    pools.as_array_mut().unwrap().truncate(1);
    cluster
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// As many clusters as a busy CI makes in two days come and go. Each is deleted in the middle of whatever the controllers
/// do about it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_remembered_of_what_is_gone() {
    let server = Server::default();
    let metrics = Arc::new(Metrics::new());
    let seams = Seams {
        client: server.client(),
        watches: server.client(),
        fence: Fence::for_tests().0,
        environment: Environment::default(),
        topology: Arc::new(Absent),
        clock: Arc::new(SystemClock),
        metrics: metrics.clone(),
        neighbourhood: Arc::default(),
    };
    let engine = Engine::new(&Scope::All, seams);
    let caches = engine.caches();
    let (elected, shutdown) = (CancellationToken::new(), CancellationToken::new());
    elected.cancel();
    let running = tokio::spawn(engine.run(elected, shutdown.clone()));
    let mut most = std::collections::BTreeMap::new();
    for wave in 0..CLUSTERS / AT_ONCE {
        let names: Vec<String> = (0..AT_ONCE).map(|number| format!("c{wave}-{number}")).collect();
        for name in &names {
            server.create("multigresclusters", cluster(name));
        }
        // The shard's StatefulSet comes last of what is made for a cluster.
        let is_made = |name: &String| server.count("statefulsets", name) >= 3;
        eventually("all clusters are made", || names.iter().all(is_made)).await;
        for (memory, count) in metrics.census().counts() {
            let known: &mut usize = most.entry(memory).or_default();
            *known = count.max(*known);
        }
        for name in &names {
            server.delete_namespace(name);
        }
    }
    let left = || metrics.census().counts().into_iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>();
    eventually("nothing is remembered", || left().is_empty() || running.is_finished()).await;
    assert_eq!(left(), []);
    let stores = &caches.stores;
    assert!(stores.clusters.state().is_empty() && stores.shards.state().is_empty());
    assert!(stores.cells.state().is_empty() && stores.orchs.state().is_empty());
    // There was something to forget.
    for memory in ["objects", "statuses", "verified", "stalls", "passwords", "neighbourhood"] {
        assert!(most[memory] >= AT_ONCE / 2, "{memory}: {most:?}");
    }
    shutdown.cancel();
    running.await.unwrap().unwrap();
}
