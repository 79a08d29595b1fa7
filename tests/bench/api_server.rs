//! What admission adds to a request to a real API server: a small cluster is created again and again, as a dry run, in
//! turns in a namespace that the operator's webhooks are for, and in others whose webhooks look at nothing: they allow
//! everything, and in one of them they answer with the same patch, which is for the API server to apply. The cluster is
//! as a user writes it, and with the defaults that the webhooks would add.
//!
//! As a test, that is without the `--bench` that cargo adds to a benchmark, it is tried a few times.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails by panicking")]

mod listening;
#[expect(dead_code, reason = "the reviews are made by the API server here")]
mod reviews;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use axum::body::Bytes;
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use multigres_crds::schema;
use multigres_crds::v1alpha1::MultigresCluster;
use multigres_operator::metrics::Metrics;
use multigres_webhooks::configuration::{self, Settings};
use multigres_webhooks::review;
use multigres_webhooks::router::{AppState, MUTATE_PATH, VALIDATE_PATH, router};
use serde_json::{json, to_value};
use testbed::{ControlPlane, Options};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use listening::Listening;

/// Time that it may take until the API server has heard of webhooks, and how often it is seen whether it has.
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(100);

const DECIDED: &str = "decided";
const UNSEEN: &str = "unseen";
const PATCHED: &str = "patched";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let requests = if std::env::args().any(|arg| arg == "--bench") { 2000 } else { 3 };
    let control_plane = Options { controllers: false, crds: schema::crds(), ..Options::default() };
    let control_plane = ControlPlane::start(control_plane).await?;
    let client = control_plane.client();

    let (shutdown, seen) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    serve(&client, DECIDED, router(AppState::new(reviews::admission())), &shutdown).await?;
    serve(&client, UNSEEN, looking_at_nothing(seen.clone(), None), &shutdown).await?;
    let written = cluster()?;
    let defaulted = until_patched(&client, DECIDED).await?;
    until_asked(&client, &seen).await?;
    let patch = json_patch::diff(&to_value(&written)?, &to_value(&defaulted)?);
    let patch = BASE64_STANDARD.encode(serde_json::to_vec(&patch)?);
    serve(&client, PATCHED, looking_at_nothing(seen, Some(patch)), &shutdown).await?;
    ensure!(until_patched(&client, PATCHED).await? == defaulted, "it is not the same patch");

    let case = |manifest, webhooks, namespace, cluster| {
        Ok::<_, anyhow::Error>((manifest, webhooks, namespace, cluster, Histogram::<u64>::new(3)?))
    };
    let mut cases = [
        case("as it is written", "the operator's", DECIDED, &written)?,
        case("as it is written", "that patch unseen", PATCHED, &written)?,
        case("as it is written", "that allow unseen", UNSEEN, &written)?,
        case("with all defaults", "the operator's", DECIDED, &defaulted)?,
        case("with all defaults", "that allow unseen", UNSEEN, &defaulted)?,
    ];
    // A first round, so that connections and caches are what they are later.
    for measured in [false, true] {
        for _ in 0..requests {
            for (_, _, namespace, cluster, durations) in &mut cases {
                let took = create(&client, namespace, cluster).await?;
                if measured {
                    durations.record(u64::try_from(took.as_nanos())?)?;
                }
            }
        }
    }
    shutdown.cancel();
    println!("| cluster | webhooks | p50 µs | p95 µs | p99 µs |\n|---|---|--:|--:|--:|");
    for (manifest, webhooks, _, _, durations) in &cases {
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|quantile| durations.value_at_quantile(quantile) / 1000);
        println!("| {manifest} | {webhooks} | {p50} | {p95} | {p99} |");
    }
    Ok(())
}

/// Has a server decide on what is written in a namespace of its own.
async fn serve(
    client: &Client,
    namespace: &str,
    admission: Router,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let server = Listening::new(admission, Arc::new(Metrics::new()))?;
    let settings = Settings {
        client: configuration::Client::Url(format!("https://{}", server.address)),
        operator_user: "system:serviceaccount:multigres-system:multigres-operator".to_owned(),
        ca_bundle: Some(server.authority.clone().into_bytes()),
    };
    tokio::spawn(server.run(shutdown.clone()));

    let object = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &object).await?;
    let selector = || {
        let labels = [("kubernetes.io/metadata.name".to_owned(), namespace.to_owned())];
        Some(LabelSelector { match_labels: Some(labels.into()), ..LabelSelector::default() })
    };
    let mut mutating = configuration::mutating(&settings);
    mutating.metadata.name = Some(format!("{namespace}-{}", mutating.name_any()));
    for webhook in mutating.webhooks.iter_mut().flatten() {
        webhook.namespace_selector = selector();
    }
    let mut validating = configuration::validating(&settings);
    validating.metadata.name = Some(format!("{namespace}-{}", validating.name_any()));
    for webhook in validating.webhooks.iter_mut().flatten() {
        webhook.namespace_selector = selector();
    }
    Api::all(client.clone()).create(&PostParams::default(), &mutating).await?;
    Api::all(client.clone()).create(&PostParams::default(), &validating).await?;
    Ok(())
}

/// Allows everything, with the same patch if any, and counts.
fn looking_at_nothing(seen: Arc<AtomicUsize>, patch: Option<String>) -> Router {
    let allow = move |patch: Option<String>| {
        let seen = seen.clone();
        move |body: Bytes| async move {
            seen.fetch_add(1, Ordering::Relaxed);
            let uid = review::decode(&body, |request| {
                request.map(|request| request.uid.to_string()).unwrap_or_default()
            });
            let mut response = json!({"uid": uid, "allowed": true});
            if let Some(patch) = patch {
                response["patchType"] = json!("JSONPatch");
                response["patch"] = json!(patch);
            }
            Json(json!({"apiVersion": review::API_VERSION, "kind": review::KIND, "response": response}))
        }
    };
    Router::new().route(MUTATE_PATH, post(allow(patch))).route(VALIDATE_PATH, post(allow(None)))
}

/// The API server takes a while to hear of webhooks.
async fn until_asked(client: &Client, seen: &AtomicUsize) -> anyhow::Result<()> {
    let written = cluster()?;
    let asked = async {
        while seen.load(Ordering::Relaxed) == 0 {
            create(client, UNSEEN, &written).await?;
            sleep(PAUSE).await;
        }
        Ok(())
    };
    timeout(PATIENCE, asked).await.context("the webhooks are not asked")?
}

/// The cluster as the webhooks of a namespace make it.
async fn until_patched(client: &Client, namespace: &str) -> anyhow::Result<MultigresCluster> {
    let clusters: Api<MultigresCluster> = Api::namespaced(client.clone(), namespace);
    let written = cluster()?;
    let patched = async {
        loop {
            let made = clusters.create(&dry_run(), &written).await?;
            if made.spec != written.spec {
                return Ok(MultigresCluster { metadata: written.metadata, ..made });
            }
            sleep(PAUSE).await;
        }
    };
    timeout(PATIENCE, patched).await.context("the webhooks are not asked")?
}

async fn create(client: &Client, namespace: &str, cluster: &MultigresCluster) -> anyhow::Result<Duration> {
    let clusters: Api<MultigresCluster> = Api::namespaced(client.clone(), namespace);
    let parameters = dry_run();
    let began = Instant::now();
    clusters.create(&parameters, cluster).await?;
    Ok(began.elapsed())
}

fn dry_run() -> PostParams {
    PostParams { dry_run: true, ..PostParams::default() }
}

fn cluster() -> anyhow::Result<MultigresCluster> {
    let mut cluster: MultigresCluster = serde_saphyr::from_str(include_str!("../samples/two-cells.yaml"))?;
    cluster.metadata.namespace = None;
    Ok(cluster)
}
