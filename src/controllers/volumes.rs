//! Volumes that grow. Kubernetes does not let a StatefulSet's claim templates change, so the claims are grown one by
//! one, and the StatefulSet is made anew around the pods it had.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use multigres_crds::labels;
use multigres_crds::quantity::Quantity;
use multigres_crds::v1alpha1::MultiShard;
use serde_json::{Value, json};

use super::context::Context;
use crate::apply::MANAGER;
use crate::build::Manifest;
use crate::reason::Reason;
use crate::status::Trouble;

/// Grows the claims of a StatefulSet whose templates ask for more than they did, and then has it made anew. Returns
/// false where that is not what differs.
pub async fn grow(cx: &Context, manifest: &Manifest) -> Result<bool, Trouble> {
    if manifest.resource.kind != "StatefulSet" {
        return Ok(false);
    }
    let sets: Api<StatefulSet> = Api::namespaced(cx.client.clone(), &manifest.namespace);
    let Some(live) = sets.get_opt(&manifest.name).await.map_err(|error| unreachable(manifest, &error))?
    else {
        return Ok(false);
    };
    let Some(growth) = growth(manifest, &live) else { return Ok(false) };
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(cx.client.clone(), &manifest.namespace);
    let selector = selector(manifest);
    let found = claims.list(&ListParams::default().labels(&selector)).await;
    for claim in found.map_err(|error| unreachable(manifest, &error))? {
        let wanted = growth.iter().find(|(prefix, _)| is_of(&claim.name_any(), prefix));
        if let Some((_, storage)) =
            wanted.filter(|(_, storage)| requested(&claim).is_none_or(|is| is.value() < storage.value()))
        {
            request(&claims, &claim.name_any(), storage).await?;
        }
    }
    // The pods stay as they are, and become those of the successor.
    let preconditions = Preconditions { uid: live.metadata.uid, resource_version: None };
    let params = DeleteParams {
        preconditions: Some(preconditions),
        propagation_policy: Some(PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    match sets.delete(&manifest.name, &params).await {
        Ok(_) => Err(Trouble {
            reason: Reason::AwaitingVolumeGrowth,
            message: format!("StatefulSet {} is made anew for larger volumes", manifest.name),
            lasting: false,
        }),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(true),
        Err(error) => Err(unreachable(manifest, &error)),
    }
}

/// What a shard's volumes are waited for, where one has not grown to its size yet.
pub fn growing(shard: &MultiShard, cx: &Context) -> Option<(Reason, String)> {
    let identity = [
        (labels::DATABASE, &shard.spec.database),
        (labels::TABLE_GROUP, &shard.spec.table_group),
        (labels::SHARD, &shard.spec.shard),
    ];
    let namespace = shard.namespace().unwrap_or_default();
    let claims = cx.objects.of_cluster(&namespace, &shard.spec.cluster, |key, claim| {
        key.kind == "PersistentVolumeClaim"
            && identity.iter().all(|(label, value)| claim.has_label(label, value))
    });
    claims.iter().find_map(|(key, claim)| {
        let pool = shard.spec.pools.iter().find(|pool| claim.has_label(labels::POOL, &pool.name))?;
        let wanted = pool.data_volume_claim_template.resources.requests.storage.as_ref()?;
        let capacity = claim.claim.as_ref()?.capacity.as_ref()?;
        (capacity.value() < wanted.value()).then(|| {
            (Reason::AwaitingVolumeGrowth, format!("volume {} has {} of {}", key.name, capacity.0, wanted.0))
        })
    })
}

/// What the names of claims start with, and the size that they are to have, where nothing but the size differs.
fn growth(manifest: &Manifest, live: &StatefulSet) -> Option<Vec<(String, Quantity)>> {
    let wanted: Vec<PersistentVolumeClaim> =
        serde_json::from_value(manifest.body["spec"]["volumeClaimTemplates"].clone()).ok()?;
    let current = live.spec.as_ref()?.volume_claim_templates.as_deref().unwrap_or_default();
    let mut growth = Vec::new();
    for template in &wanted {
        let name = template.name_any();
        let (is, wanted) =
            (requested(current.iter().find(|claim| claim.name_any() == name)?)?, requested(template)?);
        if is.value() < wanted.value() {
            growth.push((format!("{name}-{}-", manifest.name), wanted));
        }
    }
    (!growth.is_empty()).then_some(growth)
}

async fn request(claims: &Api<PersistentVolumeClaim>, name: &str, storage: &Quantity) -> Result<(), Trouble> {
    let patch = json!({ "spec": { "resources": { "requests": { "storage": storage } } } });
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    match claims.patch(name, &params, &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if [403, 422].contains(&status.code) => Err(Trouble {
            reason: Reason::VolumeNotExpandable,
            message: format!("volume {name} cannot grow to {}: {}", storage.0, status.message),
            lasting: true,
        }),
        Err(error) => Err(Trouble {
            reason: Reason::ApiServerUnreachable,
            message: format!("volume {name}: {error}"),
            lasting: false,
        }),
    }
}

/// The size that a claim asks for.
fn requested(claim: &PersistentVolumeClaim) -> Option<Quantity> {
    let Amount(storage) = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?.get("storage")?;
    Some(Quantity::from(storage.as_str()))
}

/// Whether a claim is one of a StatefulSet's: the prefix, and an ordinal.
fn is_of(claim: &str, prefix: &str) -> bool {
    claim.strip_prefix(prefix).is_some_and(|ordinal| ordinal.parse::<u32>().is_ok())
}

fn selector(manifest: &Manifest) -> String {
    let labels = manifest.body["spec"]["selector"]["matchLabels"].as_object().into_iter().flatten();
    let equal = |(key, value): (&String, &Value)| format!("{key}={}", value.as_str().unwrap_or_default());
    labels.map(equal).collect::<Vec<_>>().join(",")
}

fn unreachable(manifest: &Manifest, error: &kube::Error) -> Trouble {
    Trouble {
        reason: Reason::ApiServerUnreachable,
        message: format!("StatefulSet {}: {error}", manifest.name),
        lasting: false,
    }
}
