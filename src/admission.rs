//! Connects admission, which is pure, with the operator's caches, metrics and certificates.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use axum::Router;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::ClusterResourceScope;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, Resource, ResourceExt};
use multigres_certs::{Authority, Credentials, LEAF_LIFETIME, Resolver, ServerName, server_config};
use multigres_crds::labels;
use multigres_crds::v1alpha1::{MultigresCluster, StringMap};
use multigres_webhooks::admit::Admission;
use multigres_webhooks::configuration;
use multigres_webhooks::footprint::{Footprint, Neighbour};
use multigres_webhooks::kind::ChildKind;
use multigres_webhooks::lookup::{Claim, Existing, Known, Lookup, StorageClass};
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
use crate::observe::{Neighbourhood, ObjectKey, Observed, StorageClasses};

/// How often to look for the webhook configurations: until the installer has applied them, and afterwards whether
/// somebody has replaced them.
const LOOK: Duration = Duration::from_secs(2);

/// What the admission server presents, and what API servers must know to trust it.
pub struct Trust {
    /// TLS for the server.
    pub tls: ServerConfig,
    /// The authority of its certificate, PEM.
    pub ca_bundle: String,
    /// Issues the certificate anew, for as long as the authority is valid.
    pub renewal: Renewal,
}

/// Issues certificates anew while the server runs.
pub struct Renewal {
    authority: Authority,
    names: Vec<ServerName<'static>>,
    resolver: Arc<Resolver>,
}

impl Renewal {
    /// A certificate is replaced long before it runs out, so that a failure can be tried again for weeks.
    const INTERVAL: Duration = Duration::from_hours(24);

    /// Never ends.
    pub async fn run(self) {
        loop {
            tokio::time::sleep(Self::INTERVAL).await;
            match self.authority.issue(&self.names, SystemTime::now()) {
                Ok(credentials) => self.resolver.present(&credentials),
                Err(error) => {
                    tracing::error!(%error, "the serving certificate was not renewed; it is tried again");
                }
            }
        }
    }
}

/// Issues a certificate for the names under which the webhooks are called, by the authority that all replicas share.
pub async fn trust(client: &Client, namespace: &str, more_names: &[String]) -> anyhow::Result<Trust> {
    let names = install::service_names(namespace);
    let names =
        names.iter().chain(more_names).map(|name| server_name(name)).collect::<anyhow::Result<Vec<_>>>()?;
    let resolver = Arc::new(Resolver::default());
    let authority = authority(client, namespace).await?;
    resolver.present(&authority.issue(&names, SystemTime::now()).context("serving certificate")?);
    let ca_bundle = authority.credentials().certificate_pem().to_owned();
    let tls = server_config(resolver.clone()).context("TLS")?;
    Ok(Trust { tls, ca_bundle, renewal: Renewal { authority, names, resolver } })
}

/// The Secret of the authority.
const AUTHORITY: &str = "multigres-operator-ca";

/// The authority, made by the first replica that looks for it. It outlives restarts: API servers go on trusting what
/// they trusted before.
async fn authority(client: &Client, namespace: &str) -> anyhow::Result<Authority> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = || format!("Secret {AUTHORITY}");
    if let Some(found) = api.get_opt(AUTHORITY).await.with_context(secret)? {
        let kept = stored(&found).with_context(secret)?;
        if kept.credentials().not_after() > SystemTime::now() + LEAF_LIFETIME {
            return Ok(kept);
        }
        tracing::info!("the certificate authority runs out and is replaced");
        let made = Authority::generate(SystemTime::now()).context("certificate authority")?;
        let version = found.resource_version();
        let patch = json!({ "metadata": { "resourceVersion": version }, "stringData": pem(&made) });
        let patched = api.patch(AUTHORITY, &PatchParams::default(), &Patch::Merge(patch)).await;
        return made_or_kept(&api, made, patched).await.with_context(secret);
    }
    let made = Authority::generate(SystemTime::now()).context("certificate authority")?;
    let new = Secret {
        metadata: ObjectMeta { name: Some(AUTHORITY.to_owned()), ..ObjectMeta::default() },
        type_: Some("kubernetes.io/tls".to_owned()),
        string_data: Some(pem(&made)),
        ..Secret::default()
    };
    let created = api.create(&PostParams::default(), &new).await;
    made_or_kept(&api, made, created).await.with_context(secret)
}

/// The authority that was just made, unless another replica was faster.
async fn made_or_kept(
    api: &Api<Secret>,
    made: Authority,
    written: kube::Result<Secret>,
) -> anyhow::Result<Authority> {
    match written {
        Ok(_) => Ok(made),
        Err(kube::Error::Api(status)) if status.code == 409 => stored(&api.get(AUTHORITY).await?),
        Err(error) => Err(error.into()),
    }
}

fn pem(authority: &Authority) -> BTreeMap<String, String> {
    let credentials = authority.credentials();
    let parts = [("tls.crt", credentials.certificate_pem()), ("tls.key", credentials.key_pem())];
    parts.map(|(key, pem)| (key.to_owned(), pem.to_owned())).into()
}

fn stored(secret: &Secret) -> anyhow::Result<Authority> {
    let text = |key: &str| {
        let value =
            secret.data.as_ref().and_then(|data| data.get(key)).with_context(|| format!("no key {key}"))?;
        String::from_utf8(value.0.clone()).with_context(|| format!("key {key}"))
    };
    Ok(Authority::from_credentials(Credentials::from_pem(text("tls.crt")?, text("tls.key")?)?)?)
}

fn server_name(name: &str) -> anyhow::Result<ServerName<'static>> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(address.into());
    }
    ServerName::try_from(name.to_owned())
        .with_context(|| format!("{name:?} is neither a DNS name nor an IP address"))
}

/// The webhooks, over the operator's caches.
pub fn webhooks(
    user: &str,
    caches: Vec<Caches>,
    neighbourhood: Arc<Neighbourhood>,
    classes: Arc<StorageClasses>,
    environment: Environment,
    metrics: Arc<Metrics>,
) -> Router {
    let admission = Admission {
        lookup: Arc::new(Knowledge { caches, neighbourhood, classes }),
        impact: Some(Arc::new(Workloads { environment })),
        operator_user: user.to_owned(),
    };
    router(AppState { metrics, ..AppState::new(admission) })
}

/// What admission may know, from the operator's caches.
struct Knowledge {
    caches: Vec<Caches>,
    neighbourhood: Arc<Neighbourhood>,
    classes: Arc<StorageClasses>,
}

impl Knowledge {
    /// Whether all caches of a kind are complete.
    fn knows(&self, kind: &str) -> bool {
        self.caches.iter().all(|caches| caches.objects.is_complete(kind))
    }
}

impl Lookup for Knowledge {
    fn synced(&self) -> bool {
        self.knows("MultigresCluster")
    }

    fn cluster(&self, namespace: &str, name: &str) -> Option<Arc<MultigresCluster>> {
        let reference = ObjectRef::new(name).within(namespace);
        self.caches.iter().find_map(|caches| caches.stores.clusters.get(&reference))
    }

    fn neighbours(&self, of: &Footprint) -> Known<Vec<Arc<Neighbour>>> {
        if !self.synced() {
            return Known::NotYet;
        }
        Known::Yes(self.neighbourhood.neighbours(of))
    }

    fn child(&self, kind: ChildKind, namespace: &str, name: &str) -> Known<Option<Existing>> {
        if !self.knows(kind.as_str()) {
            return Known::NotYet;
        }
        let find = |Caches { stores, .. }: &Caches| match kind {
            ChildKind::TopoServer => existing(&stores.topo_servers, namespace, name),
            ChildKind::MultiAdmin => existing(&stores.admins, namespace, name),
            ChildKind::MultiOrch => existing(&stores.orchs, namespace, name),
            ChildKind::MultiCell => existing(&stores.cells, namespace, name),
            ChildKind::MultiShard => existing(&stores.shards, namespace, name),
        };
        Known::Yes(self.caches.iter().find_map(find))
    }

    fn has_others_children(&self, namespace: &str, cluster: &str) -> Known<bool> {
        if !ChildKind::ALL.iter().all(|kind| self.knows(kind.as_str())) {
            return Known::NotYet;
        }
        Known::Yes(self.caches.iter().any(|caches| caches.objects.has_others_children(namespace, cluster)))
    }

    fn cells(&self, namespace: &str, cluster: &str) -> Known<BTreeSet<String>> {
        if !self.knows(ChildKind::MultiCell.as_str()) {
            return Known::NotYet;
        }
        let all = self.caches.iter().flat_map(|caches| caches.stores.cells.state());
        let of_cluster =
            all.filter(|cell| cell.spec.cluster == cluster && cell.namespace().as_deref() == Some(namespace));
        Known::Yes(of_cluster.map(|cell| cell.spec.cell.clone()).collect())
    }

    fn has_topo_server(&self, namespace: &str, cluster: &str) -> Known<bool> {
        if !self.knows(ChildKind::TopoServer.as_str()) {
            return Known::NotYet;
        }
        let mut all = self.caches.iter().flat_map(|caches| caches.stores.topo_servers.state());
        Known::Yes(
            all.any(|etcd| etcd.spec.cluster == cluster && etcd.namespace().as_deref() == Some(namespace)),
        )
    }

    fn storage_classes(&self) -> Known<Vec<StorageClass>> {
        self.classes.known()
    }

    fn claims(&self, namespace: &str, of: &StringMap) -> Known<Vec<Claim>> {
        const KIND: &str = "PersistentVolumeClaim";
        if !self.knows(KIND) {
            return Known::NotYet;
        }
        // Only what is labelled as some cluster's is watched.
        let Some(cluster) = of.get(labels::CLUSTER) else { return Known::Yes(Vec::new()) };
        let matches = |key: &ObjectKey, object: &Observed| {
            key.kind == KIND && of.iter().all(|(label, value)| object.has_label(label, value))
        };
        let found =
            self.caches.iter().flat_map(|caches| caches.objects.of_cluster(namespace, cluster, matches));
        Known::Yes(found.filter_map(|(_, object)| object.claim.map(|claim| *claim)).collect())
    }
}

/// A child as a cache has it.
fn existing<K>(store: &Store<K>, namespace: &str, name: &str) -> Option<Existing>
where
    K: Resource<DynamicType = ()> + Clone + Serialize,
{
    let object = store.get(&ObjectRef::new(name).within(namespace))?;
    let owners = object.meta().owner_references.iter().flatten();
    let controller = owners.into_iter().find(|owner| owner.controller == Some(true)).cloned();
    let spec = serde_json::to_value(object.as_ref()).ok()?.get_mut("spec")?.take();
    Some(Existing { controller, spec })
}

/// Waits until both webhook configurations name the authority. They are applied by an installer, never made here.
pub async fn become_trusted(client: &Client, ca_bundle: &str) {
    while !is_trusted(client, ca_bundle).await {
        tokio::time::sleep(LOOK).await;
    }
}

/// Names the authority again whenever a configuration was replaced by one that does not. Never ends.
pub async fn stay_trusted(client: &Client, ca_bundle: &str) {
    loop {
        tokio::time::sleep(LOOK).await;
        is_trusted(client, ca_bundle).await;
    }
}

/// Writes the authority into both configurations where it is missing. Whether it stands in both.
async fn is_trusted(client: &Client, ca_bundle: &str) -> bool {
    let mutating = inject::<MutatingWebhookConfiguration>(client, ca_bundle).await;
    let validating = inject::<ValidatingWebhookConfiguration>(client, ca_bundle).await;
    for error in [&mutating, &validating].into_iter().filter_map(|result| result.as_ref().err()) {
        tracing::warn!(error = format!("{error:#}"), "API servers do not trust the webhooks");
    }
    mutating.is_ok() && validating.is_ok()
}

async fn inject<K>(client: &Client, ca_bundle: &str) -> anyhow::Result<()>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
    K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let (api, name): (Api<K>, _) = (Api::all(client.clone()), configuration::NAME);
    let found = api.get(name).await.with_context(|| format!("{} {name}", K::kind(&())))?;
    let Some(patch) = ca_patch(&serde_json::to_value(&found)?, ca_bundle) else { return Ok(()) };
    let patch = Patch::Json::<()>(serde_json::from_value(patch)?);
    let patched = api.patch(name, &PatchParams::default(), &patch).await;
    patched.map(|_| ()).with_context(|| format!("{} {name}", K::kind(&())))
}

/// Sets the bundle of every webhook of the configuration that was read, and of no other. Nothing where it is set.
fn ca_patch(configuration: &Value, ca_bundle: &str) -> Option<Value> {
    let bundle = json!(ByteString(ca_bundle.as_bytes().to_vec()));
    let webhooks = configuration["webhooks"].as_array().into_iter().flatten().enumerate();
    let untrusting = webhooks.filter(|(_, webhook)| webhook["clientConfig"]["caBundle"] != bundle);
    let additions: Vec<Value> = untrusting
        .map(|(i, _)| json!({ "op": "add", "path": format!("/webhooks/{i}/clientConfig/caBundle"), "value": bundle }))
        .collect();
    if additions.is_empty() {
        return None;
    }
    let version = &configuration["metadata"]["resourceVersion"];
    let guard = json!({ "op": "test", "path": "/metadata/resourceVersion", "value": version });
    Some(std::iter::once(guard).chain(additions).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_does_not_trust_is_patched() {
        let bundle = json!(ByteString(b"ca".to_vec()));
        let webhook = |client: Value| json!({ "clientConfig": client });
        let configuration =
            |webhooks: Value| json!({ "metadata": { "resourceVersion": "7" }, "webhooks": webhooks });
        let trusting = webhook(json!({ "caBundle": bundle }));
        assert_eq!(ca_patch(&configuration(json!([trusting])), "ca"), None);
        let mixed = configuration(json!([
            trusting,
            webhook(json!({ "url": "u" })),
            webhook(json!({ "caBundle": "" }))
        ]));
        let patch = ca_patch(&mixed, "ca").unwrap();
        let paths: Vec<&Value> = patch.as_array().unwrap().iter().map(|op| &op["path"]).collect();
        assert_eq!(
            paths,
            [
                "/metadata/resourceVersion",
                "/webhooks/1/clientConfig/caBundle",
                "/webhooks/2/clientConfig/caBundle"
            ]
        );
    }
}
