//! Namespaces that are deleted with everything in them.

use std::time::Duration;

use futures::future::join_all;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use tokio::time::{sleep, timeout};

use super::edits::cluster;
use super::objects::{CLUSTERS, Requests, STATEFUL_SETS, path};
use super::{create_namespace, operator};
use crate::installation::eventually;

/// Longest time in which a namespace goes; only one that hangs takes so long.
const PATIENCE: Duration = Duration::from_mins(2);

/// Deletes namespaces in an order of the seed, and returns how many of them are gone in the end.
pub async fn delete_all(requests: &Requests, namespaces: &[String], seed: u64) -> usize {
    let mut order: Vec<&String> = namespaces.iter().collect();
    order.shuffle(&mut StdRng::seed_from_u64(seed));
    for namespace in &order {
        requests.delete(&format!("/api/v1/namespaces/{namespace}"), "Background").await;
    }
    let gone = order.iter().map(|namespace| async move {
        let at = format!("/api/v1/namespaces/{namespace}");
        let gone = async {
            while requests.get(&at).await.0 != 404 {
                sleep(Duration::from_millis(500)).await;
            }
        };
        let is_gone = timeout(PATIENCE, gone).await.is_ok();
        if !is_gone {
            println!("namespace {namespace} is left: {}", requests.get(&at).await.1["status"]);
        }
        is_gone
    });
    join_all(gone).await.into_iter().filter(|gone| *gone).count()
}

/// Each is deleted at another moment of its cluster's life: just made, half made, made, deleted itself, released.
#[tokio::test]
async fn namespaces_with_everything_in_them_go() {
    const COUNT: usize = 10;
    let operator = operator().await;
    let requests = Requests(operator.installation.control_plane.client());
    let namespaces: Vec<String> = (0..COUNT).map(|number| format!("goes-{number}")).collect();
    for (number, namespace) in namespaces.iter().enumerate() {
        create_namespace(&requests, namespace).await;
        let mut cluster = cluster("any");
        if number % 2 == 1 {
            // Its records are kept elsewhere, and its children have a finalizer.
            let address = format!("etcd.{namespace}.example.com:2379");
            cluster["spec"]["globalTopoServer"] = serde_json::json!({
                "rootPath": "/multigres/global", "external": { "address": address },
            });
        }
        let at = path(CLUSTERS, namespace, "any");
        let (code, answer) = requests.create(at.rsplit_once('/').unwrap().0, &cluster).await;
        assert_eq!(code, 201, "{answer}");
    }
    // The first ones are made by then, the last ones are not.
    let made = || async { (!requests.list(STATEFUL_SETS, Some("goes-0")).await.is_empty()).then_some(()) };
    eventually("some are made", made).await.unwrap();
    requests.delete(&path(CLUSTERS, "goes-2", "any"), "Background").await;
    requests.delete(&path(CLUSTERS, "goes-3", "any"), "Foreground").await;
    let orphaned = requests.delete(&path(CLUSTERS, "goes-4", "any"), "Orphan").await;
    assert_eq!(orphaned.0, 200, "{}", orphaned.1);
    assert_eq!(delete_all(&requests, &namespaces, rand::random()).await, COUNT);
}
