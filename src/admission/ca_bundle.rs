//! Has API servers trust the authority: its certificate is kept in the webhook configurations.

use std::time::Duration;

use anyhow::Context;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::api::{Api, Patch, PatchParams};
use kube::core::ClusterResourceScope;
use kube::{Client, Resource};
use multigres_webhooks::configuration;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api_error;

/// Interval of looking at the webhook configurations: until the installer has applied them, and afterwards for
/// replacements.
const LOOK: Duration = Duration::from_secs(2);

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
        tracing::warn!(error = %api_error::chain(&**error), "API servers do not trust the webhooks");
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
