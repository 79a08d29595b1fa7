//! Topology servers that somebody else runs, the full form of the spec, and a password that a user brings.

use std::time::Duration;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use testbed::{Kubectl, Node};
use tokio::time::{sleep, timeout};

use crate::bench::{Bench, delete_namespace};
use crate::cluster::{Cluster, Manifest, PATIENCE};
use crate::episode::Episode;
use crate::report::Report;

pub const NAMESPACE: &str = "orders";
const SECRET: &str = "orders-password";
const PASSWORD: &str = "correct horse battery staple";
const RECORDS: [&str; 3] = [
    "/multigres/global/cells/us-east-1/Cell",
    "/multigres/global/cells/us-west-2/Cell",
    "/multigres/global/databases/orders_db/Database",
];

/// A password under another key than the spec names keeps the database from starting, and is all that does. The
/// cluster leaves nothing of the operator's in topology servers that outlive it.
pub async fn the_full_form_runs_on_external_topologies(bench: &mut Bench) -> anyhow::Result<()> {
    let kubectl = bench.node.kubectl();
    kubectl.must_with_stdin(["apply", "-f", "-"], include_str!("../etcd.yaml")).await?;
    bench.report.did("kubectl apply -f etcd.yaml", "");
    kubectl.must(["-n", "etcd", "wait", "--for=condition=Ready", "pod", "--all", "--timeout=4m"]).await?;
    kubectl.must(["create", "namespace", NAMESPACE]).await?;
    bring_password(&kubectl, &bench.report, "pasword").await?;

    let cluster = Cluster::applied(&bench.node, &bench.report, manifest());
    let correct = async {
        refused(&bench.node, &bench.report).await?;
        bring_password(&kubectl, &bench.report, "password").await
    };
    let (cluster, ()) = tokio::try_join!(cluster, correct)?;
    cluster.show(&["get", "multigres"]).await?;
    let seen = cluster.see().await?;
    let cells = seen.cluster.status.as_ref().map(|status| status.cells.clone()).unwrap_or_default();
    let local = cells.get("us-east-1").and_then(|cell| cell.topo_server_available);
    ensure!(local == Some(multigres_crds::v1alpha1::Truth::True), "topoServerAvailable: {local:?}");

    let keys = keys(&kubectl, "etcd-us-east-1").await?;
    let of_poolers = keys.iter().filter(|key| key.starts_with("/multigres/us-east-1/poolers/")).count();
    ensure!(of_poolers == 2, "in the cell's own topology: {keys:?}");
    Episode::begin(&cluster, "online with external topologies").disrupting_none().end(&cluster).await?;

    cluster.show(&["delete", "multigrescluster", cluster.manifest.cluster]).await?;
    let removed = async {
        while self::keys(&kubectl, "etcd-global").await?.iter().any(|key| RECORDS.contains(&key.as_str())) {
            sleep(Duration::from_millis(250)).await;
        }
        anyhow::Ok(())
    };
    let removed = timeout(PATIENCE, removed).await;
    let left = self::keys(&kubectl, "etcd-global").await?;
    bench.report.did("etcdctl get --prefix --keys-only /", &left.join("\n"));
    removed.context("the operator's records are still in the external topology")??;
    drop(cluster);
    delete_namespace(&bench.node, NAMESPACE).await
}

fn manifest() -> Manifest {
    Manifest {
        file: "table-groups.yaml",
        namespace: NAMESPACE,
        cluster: "table-groups",
        database: "orders_db",
        text: include_str!("../../samples/table-groups.yaml").to_owned(),
        password: Some(PASSWORD.to_owned()),
    }
}

/// Makes the Secret, with the password under a key.
async fn bring_password(kubectl: &Kubectl, report: &Report, key: &str) -> anyhow::Result<()> {
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": SECRET, "namespace": NAMESPACE },
        "stringData": { key: PASSWORD },
    });
    let said = kubectl.must_with_stdin(["apply", "-f", "-"], &secret.to_string()).await?;
    report.did(&format!("kubectl apply -f secret.yaml   # stringData: {{{key}: …}}"), &said);
    Ok(())
}

/// Waits until somebody says what is wrong with the Secret.
async fn refused(node: &Node, report: &Report) -> anyhow::Result<()> {
    let events: Api<Event> = Api::namespaced(node.client(), NAMESPACE);
    let told = async {
        loop {
            let about_it = |event: &Event| {
                let message = event.message.as_deref().unwrap_or_default();
                (event.type_.as_deref() == Some("Warning") && message.contains("secret key"))
                    .then(|| message.to_owned())
            };
            if let Some(message) = events.list(&ListParams::default()).await?.iter().find_map(about_it) {
                return anyhow::Ok(message);
            }
            sleep(Duration::from_millis(250)).await;
        }
    };
    let told = timeout(PATIENCE, told).await.context("nobody says that the Secret is wrong")??;
    report.saw(&format!("event of the kubelet: {told}"));
    Ok(())
}

/// The keys in one of the topology servers.
async fn keys(kubectl: &Kubectl, etcd: &str) -> anyhow::Result<Vec<String>> {
    let range = json!({ "key": BASE64_STANDARD.encode("/"), "range_end": BASE64_STANDARD.encode("0"), "keys_only": true });
    let path = format!("/api/v1/namespaces/etcd/services/{etcd}:http/proxy/v3/kv/range");
    let answer = kubectl.must_with_stdin(["create", "--raw", &path, "-f", "-"], &range.to_string()).await?;
    let answer: Value = serde_json::from_str(&answer)?;
    let pairs = answer["kvs"].as_array().into_iter().flatten();
    pairs
        .map(|pair| {
            let key = BASE64_STANDARD.decode(pair["key"].as_str().unwrap_or_default())?;
            Ok(String::from_utf8_lossy(&key).into_owned())
        })
        .collect()
}
