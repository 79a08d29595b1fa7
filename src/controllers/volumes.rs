//! Volumes that grow. Kubernetes does not let a StatefulSet's claim templates change, so the claims are grown one by
//! one, and the StatefulSet is made anew around the pods it had. The claim of a backup volume is grown as it is.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use multigres_crds::labels::{self, Labels};
use multigres_crds::quantity::Quantity;
use multigres_crds::v1alpha1::MultiShard;
use serde_json::{Value, json};

use super::context::Context;
use crate::api_error;
use crate::apply::MANAGER;
use crate::build::{DATA, Manifest, shard_names};
use crate::observe::{ObjectKey, Observed};
use crate::reason::Reason;
use crate::status::Trouble;

/// Makes the volumes of an object what they should be, as far as Kubernetes lets them change. Returns false where that is
/// not what differs.
pub async fn grow(cx: &Context, manifest: &Manifest) -> Result<bool, Trouble> {
    match manifest.resource.kind.as_str() {
        "StatefulSet" => grow_set(cx, manifest).await,
        "PersistentVolumeClaim" => grow_claim(cx, manifest).await,
        _ => Ok(false),
    }
}

/// Grows a claim that is asked for by itself.
async fn grow_claim(cx: &Context, manifest: &Manifest) -> Result<bool, Trouble> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(cx.client.clone(), &manifest.namespace);
    let live = claims.get_opt(&manifest.name).await.map_err(|error| unreachable(manifest, &error))?;
    let wanted = serde_json::from_value(manifest.body.clone()).ok().and_then(|wanted| requested(&wanted));
    let Some((live, wanted)) = live.zip(wanted) else { return Ok(false) };
    if !is_smaller(&live, &wanted) {
        return Ok(false);
    }
    request(&claims, &manifest.name, &wanted).await?;
    Ok(true)
}

/// Grows the claims of a StatefulSet whose templates ask for more than they did, and then has it made anew; also where
/// its templates differ in what no claim is made otherwise in.
async fn grow_set(cx: &Context, manifest: &Manifest) -> Result<bool, Trouble> {
    let sets: Api<StatefulSet> = Api::namespaced(cx.client.clone(), &manifest.namespace);
    let Some(live) = sets.get_opt(&manifest.name).await.map_err(|error| unreachable(manifest, &error))?
    else {
        return Ok(false);
    };
    let changes = changes(manifest, &live);
    if changes.is_empty() {
        return Ok(false);
    }
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(cx.client.clone(), &manifest.namespace);
    let selector = selector(manifest);
    let found = claims.list(&ListParams::default().labels(&selector)).await;
    let found = found.map_err(|error| unreachable(manifest, &error))?;
    // What a claim is made otherwise in stays as it is, and so does what further ones are made from.
    if !changes.iter().all(|change| found.iter().all(|claim| change.suits(claim))) {
        return Ok(false);
    }
    for change in &changes {
        let Some(storage) = &change.growth else { continue };
        for claim in found.iter().filter(|claim| change.is_of(claim) && is_smaller(claim, storage)) {
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
    let kind = if changes.iter().any(|change| change.growth.is_some()) { "larger" } else { "other" };
    match sets.delete(&manifest.name, &params).await {
        Ok(_) => Err(Trouble {
            reason: Reason::AwaitingVolumeGrowth,
            message: format!("StatefulSet {} is made anew for {kind} volumes", manifest.name),
            lasting: false,
        }),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(true),
        Err(error) => Err(unreachable(manifest, &error)),
    }
}

/// The reason to wait for a shard's volumes, while one has not grown to its size yet.
pub fn growing(shard: &MultiShard, cx: &Context) -> Option<(Reason, String)> {
    of_shard(shard, cx).iter().find_map(|(key, claim)| {
        let template = match claim.labels.get(labels::POOL) {
            Some(pool) => {
                &shard.spec.pools.iter().find(|other| other.name == *pool)?.data_volume_claim_template
            }
            None => &shard.spec.backup.filesystem.as_ref()?.volume_claim_template,
        };
        let wanted = template.resources.requests.storage.as_ref()?;
        let capacity = claim.claim.as_ref()?.capacity.as_ref()?;
        (capacity.value() < wanted.value()).then(|| {
            (Reason::AwaitingVolumeGrowth, format!("volume {} has {} of {}", key.name, capacity.0, wanted.0))
        })
    })
}

/// True if whatever holds data of a shard was made for it, so that it cannot be that of an earlier one. What a bucket
/// holds is not seen.
pub fn are_new(shard: &MultiShard, cx: &Context, manifests: &[Manifest]) -> bool {
    let made = shard.creation_timestamp().map(|time| time.0);
    shard.spec.backup.filesystem.is_some()
        && made.is_some_and(|made| are_all_since(made, &expected_claims(manifests), &of_shard(shard, cx)))
}

/// True if all these claims are seen, and they and the others that are seen were made since. One that is not seen may
/// be there without the labels that it should have.
fn are_all_since(time: Timestamp, expected: &[String], seen: &[(ObjectKey, Observed)]) -> bool {
    let created = |claim: &Observed| claim.claim.as_ref()?.created;
    expected.iter().all(|name| seen.iter().any(|(key, _)| key.name == *name))
        && seen.iter().all(|(_, claim)| created(claim).is_some_and(|created| created >= time))
}

/// Names of the claims that objects come to have.
fn expected_claims(manifests: &[Manifest]) -> Vec<String> {
    let mut names = Vec::new();
    for manifest in manifests {
        match manifest.resource.kind.as_str() {
            "PersistentVolumeClaim" => names.push(manifest.name.clone()),
            "StatefulSet" => {
                let pods = manifest.body["spec"]["replicas"].as_u64().unwrap_or(1);
                let prefixes = templates(manifest).into_iter().map(|template| prefix(manifest, &template));
                names.extend(prefixes.flat_map(|prefix| (0..pods).map(move |pod| format!("{prefix}{pod}"))));
            }
            _ => {}
        }
    }
    names
}

/// The claim of the data volume of a pod of a shard.
pub fn data_claim(shard: &MultiShard, cx: &Context, pod: &str) -> Option<(ObjectKey, Observed)> {
    let name = format!("{DATA}-{pod}");
    of_shard(shard, cx).into_iter().find(|(key, _)| key.name == *name)
}

/// True if a claim has a name that these objects give, with any ordinal: there may have been more pods than now.
pub fn is_made_by(manifests: &[Manifest], claim: &str) -> bool {
    manifests.iter().any(|manifest| match manifest.resource.kind.as_str() {
        "PersistentVolumeClaim" => manifest.name == claim,
        "StatefulSet" => templates(manifest).iter().any(|template| is_of(claim, &prefix(manifest, template))),
        _ => false,
    })
}

/// The claims of a shard, as far as they are labelled as such.
fn of_shard(shard: &MultiShard, cx: &Context) -> Vec<(ObjectKey, Observed)> {
    let labels = Labels::of_shard(&shard_names(&shard.spec)).selector();
    let namespace = shard.namespace().unwrap_or_default();
    cx.objects.labelled(&namespace, "PersistentVolumeClaim", &labels)
}

/// Change of the claims that are made from a template.
struct Change {
    /// Prefix of their names.
    prefix: String,
    /// The size that they are to have, where it is more than it was.
    growth: Option<Quantity>,
    /// Class and access modes of further claims, if they differ from before.
    make: Option<Make>,
}

/// Immutable settings of a claim: its class and access modes.
type Make = (Option<String>, Vec<String>);

impl Change {
    fn is_of(&self, claim: &PersistentVolumeClaim) -> bool {
        is_of(&claim.name_any(), &self.prefix)
    }

    fn suits(&self, claim: &PersistentVolumeClaim) -> bool {
        !self.is_of(claim) || self.make.as_ref().is_none_or(|make| make_of(claim) == *make)
    }
}

/// The templates of a StatefulSet from which claims are to be made otherwise than before; none where one came or went.
fn changes(manifest: &Manifest, live: &StatefulSet) -> Vec<Change> {
    let current =
        live.spec.as_ref().and_then(|spec| spec.volume_claim_templates.as_deref()).unwrap_or_default();
    let change = |wanted: &PersistentVolumeClaim| {
        let is = current.iter().find(|is| is.name_any() == wanted.name_any())?;
        let (growth, make) = (requested(wanted).filter(|wanted| is_smaller(is, wanted)), make_of(wanted));
        let make = (make != make_of(is)).then_some(make);
        Some(Change { prefix: prefix(manifest, wanted), growth, make })
    };
    let changes: Option<Vec<Change>> = templates(manifest).iter().map(change).collect();
    let mut changes = changes.unwrap_or_default();
    changes.retain(|change| change.growth.is_some() || change.make.is_some());
    changes
}

fn templates(manifest: &Manifest) -> Vec<PersistentVolumeClaim> {
    serde_json::from_value(manifest.body["spec"]["volumeClaimTemplates"].clone()).unwrap_or_default()
}

/// Prefix of the claims' names that a StatefulSet makes from a template.
fn prefix(set: &Manifest, template: &PersistentVolumeClaim) -> String {
    format!("{}-{}-", template.name_any(), set.name)
}

fn make_of(claim: &PersistentVolumeClaim) -> Make {
    let spec = claim.spec.as_ref();
    let mut modes = spec.and_then(|spec| spec.access_modes.clone()).unwrap_or_default();
    modes.sort_unstable();
    (spec.and_then(|spec| spec.storage_class_name.clone()), modes)
}

/// True if a claim asks for less than that.
fn is_smaller(claim: &PersistentVolumeClaim, storage: &Quantity) -> bool {
    requested(claim).is_none_or(|is| is.value() < storage.value())
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
            message: format!("volume {name}: {}", api_error::message(&error)),
            lasting: false,
        }),
    }
}

/// The size that a claim asks for.
fn requested(claim: &PersistentVolumeClaim) -> Option<Quantity> {
    let Amount(storage) = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?.get("storage")?;
    Some(Quantity::from(storage.as_str()))
}

/// True if a claim is one of a StatefulSet's: the prefix, and an ordinal.
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
        message: format!("{}: {}", manifest.key(), api_error::message(error)),
        lasting: false,
    }
}

#[cfg(test)]
mod tests {
    use kube::api::ApiResource;

    use super::*;

    fn claim(name: &str, storage: &str, class: Option<&str>, modes: &[&str]) -> Value {
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
            "spec": {
                "storageClassName": class, "accessModes": modes, "resources": {"requests": {"storage": storage}},
            },
        })
    }

    fn set(templates: &[Value]) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "set"},
            "spec": {"replicas": 2, "volumeClaimTemplates": templates},
        })
    }

    fn manifest<K: kube::Resource<DynamicType = ()>>(body: Value) -> Manifest {
        let name = body["metadata"]["name"].as_str().unwrap().to_owned();
        let (resource, ownership) = (ApiResource::erase::<K>(&()), crate::build::Ownership::Controlled);
        Manifest { resource, namespace: "ns".to_owned(), name, body, ownership }
    }

    /// Change of claims made from the first template when it becomes the second.
    fn change(was: &Value, is: Value) -> Option<Change> {
        let live = serde_json::from_value(set(std::slice::from_ref(was))).unwrap();
        let mut changes = changes(&manifest::<StatefulSet>(set(&[is])), &live);
        assert!(changes.len() < 2);
        changes.pop()
    }

    #[test]
    fn claims_grow_and_do_not_shrink() {
        let of = |storage: &str| claim("data", storage, None, &["ReadWriteOnce"]);
        let growth = |was: &str, is: &str| change(&of(was), of(is))?.growth;
        assert_eq!(growth("10Gi", "20Gi"), Some("20Gi".into()));
        assert_eq!(growth("10Gi", "10240Mi"), None);
        assert_eq!(growth("10Gi", "9Gi"), None);
        assert!(change(&of("10Gi"), claim("other", "20Gi", None, &[])).is_none(), "another template");
    }

    #[test]
    fn a_template_changes_where_no_claim_is_made_otherwise() {
        let was = claim("data", "10Gi", None, &["ReadWriteOnce"]);
        let fast = change(&was, claim("data", "10Gi", Some("fast"), &["ReadWriteOnce"])).unwrap();
        let suits = |change: &Change, name: &str, class: Option<&str>, modes: &[&str]| {
            change.suits(&serde_json::from_value(claim(name, "1Gi", class, modes)).unwrap())
        };
        assert_eq!(fast.growth, None);
        assert!(suits(&fast, "data-set-0", Some("fast"), &["ReadWriteOnce"]));
        assert!(!suits(&fast, "data-set-0", Some("slow"), &["ReadWriteOnce"]));
        assert!(!suits(&fast, "data-set-0", Some("fast"), &["ReadWriteMany"]));
        // Of another set, or of none.
        assert!(suits(&fast, "data-set-a-0", Some("slow"), &["ReadWriteOnce"]));
        // Whatever else claims are, they can grow.
        let larger = change(&was, claim("data", "20Gi", None, &["ReadWriteOnce"])).unwrap();
        assert!(suits(&larger, "data-set-0", Some("slow"), &["ReadWriteOnce"]));
        // The order of modes is no difference.
        let modes = |modes: &[&str]| claim("data", "10Gi", None, modes);
        assert!(change(&modes(&["a", "b"]), modes(&["b", "a"])).is_none());
    }

    #[test]
    fn what_is_older_than_its_shard_may_have_data() {
        let template = claim("data", "10Gi", None, &["ReadWriteOnce"]);
        let manifests = [
            manifest::<StatefulSet>(set(&[template])),
            manifest::<PersistentVolumeClaim>(claim("backup", "10Gi", None, &["ReadWriteMany"])),
        ];
        let expected = expected_claims(&manifests);
        assert_eq!(expected, ["data-set-0", "data-set-1", "backup"]);
        assert!(expected.iter().all(|claim| is_made_by(&manifests, claim)));
        assert!(is_made_by(&manifests, "data-set-7"), "of a pod that there is no more");
        for other in ["data-set", "data-set-a-0", "data-other-0", "backup-0", "set-0"] {
            assert!(!is_made_by(&manifests, other), "{other}");
        }
        let seen = |name: &str, created: Option<&str>| {
            let mut claim = claim(name, "10Gi", None, &[]);
            claim["metadata"]["creationTimestamp"] = json!(created);
            (ObjectKey::new("PersistentVolumeClaim", "ns", name), Observed::project(&claim))
        };
        let made: Timestamp = "2026-01-01T00:00:10Z".parse().unwrap();
        let (before, since) = ("2026-01-01T00:00:09Z", "2026-01-01T00:00:10Z");
        let are_new = |changed: (ObjectKey, Observed)| {
            let mut claims: Vec<_> = expected.iter().map(|name| seen(name, Some(since))).collect();
            claims.retain(|(key, _)| *key != changed.0);
            claims.push(changed);
            are_all_since(made, &expected, &claims)
        };
        assert!(are_new(seen("backup", Some(since))));
        assert!(!are_new(seen("backup", Some(before))));
        assert!(!are_new(seen("data-set-1", Some(before))));
        assert!(!are_new(seen("data-set-1", None)));
        // One that is left over from more instances counts as well.
        assert!(are_new(seen("data-set-2", Some(since))) && !are_new(seen("data-set-2", Some(before))));
        // What is not seen may be somebody's.
        let all_but_one: Vec<_> = expected[1..].iter().map(|name| seen(name, Some(since))).collect();
        assert!(!are_all_since(made, &expected, &all_but_one));
    }
}
