//! Makes the API server's objects what they should be, with as few writes as there are differences.
//!
//! Server-side apply with a field manager of our own, after a comparison: an apply that changes nothing still costs
//! the API server a full write. What was compared once is not read again until its digest changes.

mod drift;
mod immutable;

use std::collections::HashMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::Client;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions,
};
use multigres_crds::labels;
use serde_json::{Value, json};

use crate::api_error;
use crate::build::{Manifest, Ownership};
use crate::client::timed_out;
use crate::memory::{Memories, PerObject};
use crate::observe::{ObjectKey, Observed, content};
pub use drift::Drift;

/// The field manager of everything that the operator applies.
pub const MANAGER: &str = "multigres-operator";

/// A version that no object has ever had: etcd's own first revision holds nothing.
const NEVER: &str = "1";

/// The owner of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerReference {
    /// API version of the owner.
    pub api_version: String,
    /// Kind of the owner.
    pub kind: String,
    /// Name of the owner.
    pub name: String,
    /// Identity of the owner over time.
    pub uid: String,
}

impl OwnerReference {
    /// The reference as it stands in an object's metadata.
    fn render(&self, controller: bool) -> Value {
        let mut reference = json!({
            "apiVersion": self.api_version, "kind": self.kind, "name": self.name, "uid": self.uid,
            "blockOwnerDeletion": true,
        });
        if controller {
            reference["controller"] = true.into();
        }
        reference
    }
}

/// An object as the caches know it.
#[derive(Clone, Copy, Debug)]
pub enum Cached<'a> {
    /// It was there a moment ago.
    Shown(&'a Observed),
    /// It was not there a moment ago, or is somebody else's.
    Missing,
    /// Nothing: objects of this kind are not watched.
    Nothing,
}

impl<'a> From<Option<&'a Observed>> for Cached<'a> {
    fn from(seen: Option<&'a Observed>) -> Self {
        seen.map_or(Self::Missing, Self::Shown)
    }
}

/// The write that an object needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing.
    Unchanged,
    /// It was made.
    Created,
    /// It was changed, since it should be something else than before.
    Updated,
    /// Somebody had edited these fields; they were put back.
    PutBack(String),
}

/// An object that was looked for.
enum Found {
    /// It was there.
    Live(Value),
    /// It was not, and was made.
    Made(Value),
}

/// Result of an apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The write that was made.
    pub outcome: Outcome,
    /// Fields that Kubernetes does not let change on an object that exists, and that should be otherwise.
    pub immutable: Vec<String>,
}

/// Reason why an object could not be made as it should be.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The name belongs to somebody else's object, which is left alone.
    #[error("{0} exists already and is not this cluster's; it is left alone")]
    NameTaken(ObjectKey),
    /// An object of that name is still on its way out.
    #[error("{0} is still being deleted")]
    Deleting(ObjectKey),
    /// Its namespace is being deleted, so that it cannot be created. Expected: the owner goes as well.
    #[error("{0} is not created: its namespace is being deleted")]
    NamespaceTerminating(ObjectKey),
    /// It differs again right after it was put back.
    #[error("{key} cannot be put back: {fields} differ again at once")]
    Stubborn {
        /// The object.
        key: ObjectKey,
        /// The fields that differ.
        fields: String,
    },
    /// The API server did not answer in time.
    #[error("{0}: the API server did not answer in time")]
    TimedOut(ObjectKey),
    /// The API server refused.
    #[error("{key}: {}", api_error::message(.source))]
    Api {
        /// The object.
        key: ObjectKey,
        /// The error of the API server.
        source: Box<kube::Error>,
    },
}

/// Applies manifests.
pub struct Applier {
    client: Client,
    /// Digests of (desired, live) that were found equal in meaning, by the owner of the objects.
    verified: PerObject<HashMap<ObjectKey, (u64, u64)>>,
}

impl Applier {
    /// Applies with the client's identity.
    pub fn new(client: Client, memories: &Memories) -> Self {
        Self { client, verified: PerObject::new(memories, "verified") }
    }

    /// Makes the object as it should be.
    pub async fn ensure(
        &self,
        manifest: &Manifest,
        owner: &OwnerReference,
        cached: Cached<'_>,
    ) -> Result<Applied, ApplyError> {
        let key = manifest.key();
        let desired = with_owner(manifest, owner);
        let digest = content(&desired);
        let verified = self.verified(&owner.uid, &key);
        if let (Cached::Shown(seen), Some(verified)) = (cached, verified)
            && verified == (digest, seen.content)
        {
            return Ok(Applied { outcome: Outcome::Unchanged, immutable: Vec::new() });
        }
        let api = self.api(&manifest.resource, &manifest.namespace);
        let is_new = matches!(cached, Cached::Missing) && verified.is_none();
        let live = match self.find_or_make(&api, &key, &desired, is_new).await? {
            Found::Live(live) => live,
            Found::Made(made) => {
                self.verify(&owner.uid, &key, digest, &made);
                return Ok(Applied { outcome: Outcome::Created, immutable: Vec::new() });
            }
        };
        check_ours(&key, manifest, owner, &live)?;
        let (desired, immutable) = immutable::pin(&manifest.resource.kind, desired, &live);
        let drift = Drift::between(&desired, &live, MANAGER);
        if drift.is_none() {
            self.note(&owner.uid, &key, digest, &live, &immutable);
            return Ok(Applied { outcome: Outcome::Unchanged, immutable });
        }
        let fixed = self.put_right(&api, &key, &desired, live, &drift).await?;
        self.note(&owner.uid, &key, digest, &fixed, &immutable);
        let same_desire = verified.is_some_and(|(desired, _)| desired == digest);
        let outcome = if same_desire { Outcome::PutBack(drift.paths()) } else { Outcome::Updated };
        Ok(Applied { outcome, immutable })
    }

    /// Deletes an object that is no longer wanted, unless another has taken its name meanwhile.
    pub async fn delete(
        &self,
        resource: &ApiResource,
        key: &ObjectKey,
        observed: &Observed,
    ) -> Result<(), ApplyError> {
        self.forget_of(observed, key);
        self.delete_identified(resource, key, &observed.uid).await
    }

    /// Deletes an object of which only the identity is known. A successor of the same name stays.
    pub async fn delete_identified(
        &self,
        resource: &ApiResource,
        key: &ObjectKey,
        uid: &str,
    ) -> Result<(), ApplyError> {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        let api = self.api(resource, &key.namespace);
        match self.call(key, api.delete(&key.name, &params)).await {
            Err(ApplyError::Api { source, .. }) if is_gone(&source) => Ok(()),
            result => result.map(|_| ()),
        }
    }

    /// Ends the control of an owner over an object without touching anything else of it.
    pub async fn release(
        &self,
        resource: &ApiResource,
        key: &ObjectKey,
        owner_uid: &str,
    ) -> Result<(), ApplyError> {
        self.forget(owner_uid, key);
        let api = self.api(resource, &key.namespace);
        let Some(live) = self.live(&api, key).await? else { return Ok(()) };
        let owners = live["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        let others: Vec<&Value> = owners.filter(|owner| owner["uid"] != owner_uid).collect();
        // Custom resources have no strategic merge: the list is written whole, guarded by the version that was read.
        let patch = json!({ "metadata": {
            "resourceVersion": live["metadata"]["resourceVersion"],
            "ownerReferences": others,
            "labels": { labels::MANAGED: "false" },
        }});
        let params =
            PatchParams { field_manager: Some(format!("{MANAGER}-release")), ..PatchParams::default() };
        self.call(key, api.patch(&key.name, &params, &Patch::Merge(patch))).await.map(|_| ())
    }

    /// Sets the replicas of a StatefulSet that nobody asks for any more, and touches nothing else of it.
    pub async fn scale(&self, key: &ObjectKey, observed: &Observed, replicas: i32) -> Result<(), ApplyError> {
        self.forget_of(observed, key);
        let api = self.api(&ApiResource::erase::<StatefulSet>(&()), &key.namespace);
        let params =
            PatchParams { field_manager: Some(format!("{MANAGER}-scale")), ..PatchParams::default() };
        let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
        self.call(key, api.patch(&key.name, &params, &patch)).await.map(|_| ())
    }

    /// Marks a child as paused, so that its controller writes nothing, and touches nothing else of it.
    pub async fn pause(
        &self,
        resource: &ApiResource,
        key: &ObjectKey,
        owner_uid: &str,
    ) -> Result<(), ApplyError> {
        self.forget(owner_uid, key);
        let api = self.api(resource, &key.namespace);
        let live = self.live(&api, key).await?;
        if live.is_none_or(|live| live["spec"]["paused"] == true) {
            return Ok(());
        }
        let params =
            PatchParams { field_manager: Some(format!("{MANAGER}-pause")), ..PatchParams::default() };
        let patch = Patch::Merge(json!({ "spec": { "paused": true } }));
        self.call(key, api.patch(&key.name, &params, &patch)).await.map(|_| ())
    }

    /// Puts an existing object right: by apply where that is enough, else by replacing it.
    async fn put_right(
        &self,
        api: &Api<DynamicObject>,
        key: &ObjectKey,
        desired: &Value,
        live: Value,
        drift: &Drift,
    ) -> Result<Value, ApplyError> {
        let mut live = live;
        if drift.added.is_empty() {
            match self.apply(api, key, desired).await {
                Ok(applied) => live = applied,
                // An edited key makes the merged list invalid (two ports of one name): replacing does not merge.
                Err(ApplyError::Api { source, .. }) if is_invalid(&source) => {}
                Err(error) => return Err(error),
            }
        }
        let rest = Drift::between(desired, &live, MANAGER);
        if rest.is_none() {
            return Ok(live);
        }
        let fixed = drift::repaired(desired, &live, &rest);
        self.replace(api, key, fixed).await?;
        let applied = self.apply(api, key, desired).await?;
        let applied = self.disown_updates(api, key, applied).await?;
        let rest = Drift::between(desired, &applied, MANAGER);
        if rest.is_none() {
            Ok(applied)
        } else {
            Err(ApplyError::Stubborn { key: key.clone(), fields: rest.paths() })
        }
    }

    async fn live(&self, api: &Api<DynamicObject>, key: &ObjectKey) -> Result<Option<Value>, ApplyError> {
        Ok(self.call(key, api.get_opt(&key.name)).await?.map(raw))
    }

    /// The object as it is, or as it was made. What is most likely not there is not looked for first, which would be
    /// one more request for every object of a new cluster.
    async fn find_or_make(
        &self,
        api: &Api<DynamicObject>,
        key: &ObjectKey,
        desired: &Value,
        is_new: bool,
    ) -> Result<Found, ApplyError> {
        if !is_new && let Some(live) = self.live(api, key).await? {
            return Ok(Found::Live(live));
        }
        if let Some(made) = self.create(api, key, desired).await? {
            return Ok(Found::Made(made));
        }
        // The caches lag behind, or it is somebody else's and they will never show it.
        let live = self.live(api, key).await?;
        live.map(Found::Live).ok_or_else(|| ApplyError::Deleting(key.clone()))
    }

    /// Applies what does not exist yet, in one request. Of an object that does exist nothing is touched or returned.
    async fn create(
        &self,
        api: &Api<DynamicObject>,
        key: &ObjectKey,
        desired: &Value,
    ) -> Result<Option<Value>, ApplyError> {
        let mut desired = desired.clone();
        desired["metadata"]["resourceVersion"] = NEVER.into();
        match self.apply(api, key, &desired).await {
            Ok(made) => Ok(Some(made)),
            Err(ApplyError::Api { source, .. }) if is_conflict(&source) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn apply(
        &self,
        api: &Api<DynamicObject>,
        key: &ObjectKey,
        desired: &Value,
    ) -> Result<Value, ApplyError> {
        let params = PatchParams::apply(MANAGER).force();
        self.call(key, api.patch(&key.name, &params, &Patch::Apply(desired))).await.map(raw)
    }

    async fn replace(
        &self,
        api: &Api<DynamicObject>,
        key: &ObjectKey,
        object: Value,
    ) -> Result<(), ApplyError> {
        let object: DynamicObject = serde_json::from_value(object).map_err(|error| ApplyError::Api {
            key: key.clone(),
            source: Box::new(kube::Error::SerdeError(error)),
        })?;
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        self.call(key, api.replace(&key.name, &params, &object)).await.map(|_| ())
    }

    /// After a replacement, what we apply is all that we own.
    async fn disown_updates(
        &self,
        api: &Api<DynamicObject>,
        key: &ObjectKey,
        live: Value,
    ) -> Result<Value, ApplyError> {
        let Some(entry) = drift::update_entry(&live, MANAGER) else { return Ok(live) };
        let patch: json_patch::Patch = serde_json::from_value(json!([
            { "op": "test", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"] },
            { "op": "remove", "path": format!("/metadata/managedFields/{entry}") },
        ]))
        .map_err(|error| ApplyError::Api { key: key.clone(), source: Box::new(kube::Error::SerdeError(error)) })?;
        self.call(key, api.patch(&key.name, &PatchParams::default(), &Patch::Json::<()>(patch)))
            .await
            .map(raw)
    }

    fn api(&self, resource: &ApiResource, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, resource)
    }

    async fn call<T>(
        &self,
        key: &ObjectKey,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ApplyError> {
        call.await.map_err(|source| {
            if timed_out(&source) {
                ApplyError::TimedOut(key.clone())
            } else if api_error::is_namespace_terminating(&source) {
                ApplyError::NamespaceTerminating(key.clone())
            } else {
                ApplyError::Api { key: key.clone(), source: Box::new(source) }
            }
        })
    }

    fn verified(&self, owner_uid: &str, key: &ObjectKey) -> Option<(u64, u64)> {
        self.verified.lock().get(owner_uid)?.get(key).copied()
    }

    /// With an immutable difference it is looked at again each time: the answer is part of the status.
    fn note(&self, owner_uid: &str, key: &ObjectKey, desired: u64, live: &Value, immutable: &[String]) {
        if immutable.is_empty() {
            self.verify(owner_uid, key, desired, live);
        } else {
            self.forget(owner_uid, key);
        }
    }

    /// True if what the caches have of an object is no older than what was last written of it.
    pub fn is_shown(&self, key: &ObjectKey, seen: &Observed) -> bool {
        let verified = seen.owner.as_ref().and_then(|owner| self.verified(&owner.uid, key));
        verified.is_none_or(|(_, live)| live == seen.content)
    }

    /// Forgets the objects of an owner that are no longer asked for. Those of a living owner would stay otherwise.
    pub fn keep_only(&self, owner_uid: &str, is_wanted: impl Fn(&ObjectKey) -> bool) {
        if let Some(verified) = self.verified.lock().get_mut(owner_uid) {
            verified.retain(|key, _| is_wanted(key));
        }
    }

    fn verify(&self, owner_uid: &str, key: &ObjectKey, desired: u64, live: &Value) {
        let pair = (desired, content(live));
        self.verified.update(owner_uid, |verified| verified.insert(key.clone(), pair));
    }

    /// Forgets what was verified of an object.
    fn forget(&self, owner_uid: &str, key: &ObjectKey) {
        if let Some(verified) = self.verified.lock().get_mut(owner_uid) {
            verified.remove(key);
        }
    }

    fn forget_of(&self, observed: &Observed, key: &ObjectKey) {
        if let Some(owner) = &observed.owner {
            self.forget(&owner.uid, key);
        }
    }
}

impl Manifest {
    /// Key of the object.
    pub fn key(&self) -> ObjectKey {
        ObjectKey::new(&self.resource.kind, &self.namespace, &self.name)
    }
}

/// The manifest with its owner reference.
pub fn with_owner(manifest: &Manifest, owner: &OwnerReference) -> Value {
    let mut body = manifest.body.clone();
    match manifest.ownership {
        Ownership::Controlled => body["metadata"]["ownerReferences"] = json!([owner.render(true)]),
        Ownership::Dependent => body["metadata"]["ownerReferences"] = json!([owner.render(false)]),
        Ownership::Retained => {}
    }
    body
}

/// An object is ours if we control it; or if nobody does and it carries the labels that we would give it, as after
/// an orphaning deletion or a restore.
fn check_ours(
    key: &ObjectKey,
    manifest: &Manifest,
    owner: &OwnerReference,
    live: &Value,
) -> Result<(), ApplyError> {
    let observed = Observed::project(live);
    let cluster = manifest.body["metadata"]["labels"][labels::CLUSTER].as_str();
    let same_cluster = cluster.is_some_and(|cluster| observed.has_label(labels::CLUSTER, cluster));
    match observed.owner {
        Some(controller) if controller.uid == owner.uid => {}
        // A predecessor of the owner's name: garbage collection is on its way.
        Some(controller) if controller.kind == owner.kind && controller.name == owner.name => {
            return Err(ApplyError::Deleting(key.clone()));
        }
        None if same_cluster => {}
        _ => return Err(ApplyError::NameTaken(key.clone())),
    }
    if observed.deleting { Err(ApplyError::Deleting(key.clone())) } else { Ok(()) }
}

fn raw(object: DynamicObject) -> Value {
    // Read from JSON, it is JSON again.
    serde_json::to_value(object).unwrap_or_default()
}

fn is_invalid(error: &kube::Error) -> bool {
    code(error) == Some(422)
}

fn is_conflict(error: &kube::Error) -> bool {
    code(error) == Some(409)
}

fn is_gone(error: &kube::Error) -> bool {
    // 409: the name is another object's now.
    matches!(code(error), Some(404 | 409))
}

/// The API server's answer, where it gave one.
fn code(error: &kube::Error) -> Option<u16> {
    if let kube::Error::Api(status) = error { Some(status.code) } else { None }
}
