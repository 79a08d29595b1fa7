//! Certificate of the admission server, signed by an authority that all replicas share and that outlives them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use multigres_certs::{Authority, Credentials, LEAF_LIFETIME, Resolver, ServerName, server_config};
use rustls::ServerConfig;
use serde_json::json;

use crate::install;

/// Certificate of the admission server, and the bundle by which API servers trust it.
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
