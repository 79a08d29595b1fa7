//! Connects admission, which is pure, with the operator's caches, metrics and certificates.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use axum::Router;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::api::{Api, Patch, PatchParams};
use kube::core::ClusterResourceScope;
use kube::runtime::reflector::ObjectRef;
use kube::{Client, Resource};
use multigres_certs::{Authority, Resolver, ServerName, server_config};
use multigres_crds::v1alpha1::{MultigresCluster, StringMap};
use multigres_webhooks::admit::Admission;
use multigres_webhooks::configuration;
use multigres_webhooks::lookup::{Claim, Known, Lookup};
use multigres_webhooks::router::{AppState, router};
use rustls::ServerConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::build::Environment;
use crate::controllers::Caches;
use crate::impact::Workloads;
use crate::install;
use crate::metrics::Metrics;
use crate::observe::{ObjectKey, Observed};

/// How long to wait for the installer to apply the webhook configurations.
const RETRY: Duration = Duration::from_secs(1);

/// What the admission server presents, and what API servers must know to trust it.
pub struct Trust {
    /// TLS for the server.
    pub tls: ServerConfig,
    /// The authority of its certificate, PEM.
    pub ca_bundle: String,
}

/// Issues a certificate for the names under which the webhooks are called, by an authority that lives as long as
/// this process.
pub fn trust(namespace: &str, more_names: &[String]) -> anyhow::Result<Trust> {
    let names = install::service_names(namespace);
    let names =
        names.iter().chain(more_names).map(|name| server_name(name)).collect::<anyhow::Result<Vec<_>>>()?;
    let (now, resolver) = (SystemTime::now(), Arc::new(Resolver::default()));
    let authority = Authority::generate(now).context("certificate authority")?;
    resolver.present(&authority.issue(&names, now).context("serving certificate")?);
    let ca_bundle = authority.credentials().certificate_pem().to_owned();
    Ok(Trust { tls: server_config(resolver).context("TLS")?, ca_bundle })
}

fn server_name(name: &str) -> anyhow::Result<ServerName<'static>> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(address.into());
    }
    ServerName::try_from(name.to_owned())
        .with_context(|| format!("{name:?} is neither a DNS name nor an IP address"))
}

/// The webhooks, over the operator's caches.
pub fn webhooks(user: &str, caches: Vec<Caches>, environment: Environment, metrics: Arc<Metrics>) -> Router {
    let admission = Admission {
        lookup: Arc::new(Knowledge(caches)),
        impact: Some(Arc::new(Workloads { environment })),
        operator_user: user.to_owned(),
    };
    router(AppState { metrics, ..AppState::new(admission) })
}

/// What admission may know, from the operator's caches.
struct Knowledge(Vec<Caches>);

impl Lookup for Knowledge {
    fn synced(&self) -> bool {
        let complete = |caches: &Caches| caches.objects.is_complete("MultigresCluster");
        self.0.iter().all(complete)
    }

    fn cluster(&self, namespace: &str, name: &str) -> Option<Arc<MultigresCluster>> {
        let reference = ObjectRef::new(name).within(namespace);
        self.0.iter().find_map(|caches| caches.stores.clusters.get(&reference))
    }

    fn claims(&self, namespace: &str, labels: &StringMap) -> Known<Vec<Claim>> {
        const KIND: &str = "PersistentVolumeClaim";
        if !self.0.iter().all(|caches| caches.objects.is_complete(KIND)) {
            return Known::NotYet;
        }
        let matches = |key: &ObjectKey, object: &Observed| {
            key.kind == KIND && labels.iter().all(|(label, value)| object.has_label(label, value))
        };
        let found = self.0.iter().flat_map(|caches| caches.objects.select(namespace, matches));
        Known::Yes(found.filter_map(|(_, object)| object.claim.map(|claim| *claim)).collect())
    }
}

/// Writes the authority into both webhook configurations, once the installer has made them. They are never made here.
pub async fn inject_ca_bundle(client: &Client, ca_bundle: &str) -> anyhow::Result<()> {
    inject::<MutatingWebhookConfiguration>(client, ca_bundle).await?;
    inject::<ValidatingWebhookConfiguration>(client, ca_bundle).await
}

async fn inject<K>(client: &Client, ca_bundle: &str) -> anyhow::Result<()>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
    K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let (api, kind): (Api<K>, _) = (Api::all(client.clone()), K::kind(&()));
    loop {
        // Neither the configuration nor the right to read it may be there yet.
        let found = match api.get_opt(configuration::NAME).await {
            Ok(Some(found)) => found,
            missing => {
                let error = missing.err().map(|error| error.to_string());
                tracing::warn!(%kind, name = configuration::NAME, error, "not installed yet");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        let patch = ca_patch(&serde_json::to_value(&found)?, ca_bundle);
        let patch = Patch::Json::<()>(serde_json::from_value(patch)?);
        match api.patch(configuration::NAME, &PatchParams::default(), &patch).await {
            Ok(_) => return Ok(()),
            // It was replaced meanwhile.
            Err(kube::Error::Api(status)) if [404, 409, 422].contains(&status.code) => {}
            Err(error) => return Err(error).with_context(|| format!("{kind} {}", configuration::NAME)),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Sets the bundle of every webhook of the configuration that was read, and of no other.
fn ca_patch(configuration: &Value, ca_bundle: &str) -> Value {
    use k8s_openapi::ByteString;
    let version = &configuration["metadata"]["resourceVersion"];
    let mut patch = vec![json!({ "op": "test", "path": "/metadata/resourceVersion", "value": version })];
    let webhooks = configuration["webhooks"].as_array().map_or(0, Vec::len);
    let bundle = json!(ByteString(ca_bundle.as_bytes().to_vec()));
    patch.extend((0..webhooks).map(
        |i| json!({ "op": "add", "path": format!("/webhooks/{i}/clientConfig/caBundle"), "value": bundle }),
    ));
    patch.into()
}
