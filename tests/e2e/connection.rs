//! Connection to a database, from the operator's connection Secret.

use anyhow::Context;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, ListParams};
use multigres_crds::labels;
use tokio::time::{sleep, timeout};

use crate::cluster::{INTERVAL, Manifest, PATIENCE};

/// Content of the connection Secret.
pub struct Connection {
    pub host: String,
    pub service: String,
    pub password: Option<String>,
}

impl Connection {
    pub async fn made(client: &Client, manifest: &Manifest) -> anyhow::Result<Self> {
        let api: Api<Secret> = Api::namespaced(client.clone(), manifest.namespace);
        let database = ListParams::default().labels(&format!(
            "{}={},{}={}",
            labels::CLUSTER,
            manifest.cluster,
            labels::DATABASE,
            manifest.database
        ));
        let find = async {
            loop {
                let secrets = api.list(&database).await?;
                let uri = |secret: &&Secret| value(secret, "uri").is_some();
                if let Some(secret) = secrets.iter().find(uri) {
                    return anyhow::Ok(secret.clone());
                }
                sleep(INTERVAL).await;
            }
        };
        let secret = timeout(PATIENCE, find).await.context("there is no connection Secret")??;
        let host = value(&secret, "host").context("the connection Secret names no host")?;
        let service = host.split('.').next().unwrap_or_default().to_owned();
        Ok(Self { service, password: value(&secret, "password"), host })
    }
}

fn value(secret: &Secret, key: &str) -> Option<String> {
    String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).ok()
}
