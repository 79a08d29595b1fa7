//! The Secrets of a database: a password that is made once and never overwritten, and what a client needs to connect.
//!
//! Secrets are not listed, watched or cached. They are read by name, when needed.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ListParams, PostParams};
use kube::{Resource, ResourceExt};
use multigres_crds::labels::{self, Labels};
use multigres_crds::names;
use multigres_crds::v1alpha1::{MultiShard, SecretKeyReference};
use rand::Rng;
use rand::distr::Alphanumeric;

use super::child::Prepared;
use super::context::Context;
use super::password::{self, Held, Opinion, Verdict, judge};
use super::rollout::{self, Course};
use super::volumes;
use crate::api_error;
use crate::apply::{ApplyError, Cached, OwnerReference};
use crate::build::{Build, Manifest, secrets, shard_names};
use crate::reason::Reason;
use crate::status::Trouble;

/// Length of a generated password: about 190 bits.
const PASSWORD_LENGTH: usize = 32;

/// Sees to it that the shard's password exists, and what a client needs where this shard is the one that writes it.
pub async fn ensure(shard: &MultiShard, cx: &Context, owner: &OwnerReference, course: &Course) -> Prepared {
    if !shard.spec.password.generated {
        return Prepared { troubles: connection(shard, cx, owner, None).await, ..Prepared::default() };
    }
    let has_data = has_volumes(shard, cx);
    let verdict = match verdict(shard, cx, course, has_data).await {
        Ok(verdict) => verdict,
        // Pods that ever ran had their Secret. Others would make volumes without one, which look like lost data.
        Err(trouble) => return Prepared { troubles: vec![trouble], may_start: has_data, may_replace: false },
    };
    let reference = &shard.spec.password.secret_key_ref;
    match verdict {
        Verdict::Right(password) => right(shard, cx, owner, &password).await,
        Verdict::Make => match make(shard, cx, owner, &random()).await {
            Ok(password) => right(shard, cx, owner, &password).await,
            Err(trouble) => Prepared { troubles: vec![trouble], may_start: false, may_replace: false },
        },
        Verdict::Restore(password) => match make(shard, cx, owner, &password).await {
            Ok(password) => {
                tell_restored(shard, cx).await;
                right(shard, cx, owner, &password).await
            }
            Err(trouble) => Prepared { troubles: vec![trouble], may_start: true, may_replace: false },
        },
        Verdict::Changed(former) => {
            let mut troubles = vec![changed(shard, reference)];
            troubles.extend(connection(shard, cx, owner, Some(&former)).await);
            Prepared { troubles, may_start: true, may_replace: false }
        }
        Verdict::Missing => missing(format!(
            "Secret {} is gone, and no other Secret has the password that the data was initialized with. Restore the \
             Secret: nothing else opens the data. What runs goes on, and no pod is replaced meanwhile.",
            reference.name
        )),
        Verdict::Unreadable => {
            missing(format!("Secret {} has no readable key {}. Restore it.", reference.name, reference.key))
        }
    }
}

fn missing(message: String) -> Prepared {
    let trouble = Trouble { reason: Reason::PasswordMissing, message, lasting: true };
    Prepared { troubles: vec![trouble], may_start: true, may_replace: false }
}

fn changed(shard: &MultiShard, reference: &SecretKeyReference) -> Trouble {
    let message = format!(
        "Key {} of Secret {} was changed, and PostgreSQL is not seen to accept the new password: it has the one that its \
         data was initialized with. Secret {} keeps the former one: put that back. Where the password was changed in \
         PostgreSQL too, delete one pod: once it works with the new password, clients are told.",
        reference.key,
        reference.name,
        names::connection(&shard.spec.cluster, &shard.spec.database)
    );
    Trouble { reason: Reason::PasswordMismatch, message, lasting: true }
}

async fn right(shard: &MultiShard, cx: &Context, owner: &OwnerReference, password: &str) -> Prepared {
    cx.passwords.note(&owner.uid, password);
    Prepared { troubles: connection(shard, cx, owner, Some(password)).await, ..Prepared::default() }
}

/// Sees to it that clients find what they need, where this shard is the one that writes it.
async fn connection(
    shard: &MultiShard,
    cx: &Context,
    owner: &OwnerReference,
    password: Option<&str>,
) -> Vec<Trouble> {
    let Some(record) = &shard.spec.database_record else { return Vec::new() };
    let manifest = secrets::connection(shard, record, password);
    match cx.applier.ensure(&manifest, owner, Cached::Nothing).await {
        Ok(applied) if applied.immutable.is_empty() => Vec::new(),
        Ok(_) => {
            let message = format!(
                "{} was made immutable and holds something else than it should; delete it, and it is created anew",
                manifest.key()
            );
            vec![Trouble { reason: Reason::ImmutableField, message, lasting: true }]
        }
        Err(error) => vec![Trouble::from(&error)],
    }
}

async fn tell_restored(shard: &MultiShard, cx: &Context) {
    let note = format!(
        "Secret {} was gone; it has the password of Secret {} again",
        shard.spec.password.secret_key_ref.name,
        names::connection(&shard.spec.cluster, &shard.spec.database)
    );
    cx.events.warning(&shard.object_ref(&()), "PasswordRestored", "Reconcile", note).await;
}

/// Judges the password by as little as is enough: as a rule by one Secret.
async fn verdict(
    shard: &MultiShard,
    cx: &Context,
    course: &Course,
    has_data: bool,
) -> Result<Verdict, Trouble> {
    let reference = &shard.spec.password.secret_key_ref;
    let mut secret = read(shard, cx, &reference.name).await?;
    let mut held = Held::of(secret.as_ref(), &reference.key);
    if let Held::Password(password) = &held
        && cx.passwords.is_right(&shard.uid().unwrap_or_default(), password)
    {
        return Ok(Verdict::Right(password.clone()));
    }
    let has_data = has_data || has_unlabelled_volumes(shard, cx).await?;
    if held == Held::Nothing && has_data {
        // Another shard of the database may have made it, and volumes, since it was read.
        secret = read(shard, cx, &reference.name).await?;
        held = Held::of(secret.as_ref(), &reference.key);
    }
    let told = if has_data { told(shard, cx).await? } else { None };
    let opinion = match (&held, &told) {
        (Held::Password(held), Some(told)) if held != told => {
            opinion(shard, cx, course, secret.as_ref().and_then(password::changed)).await?
        }
        _ => Opinion::None,
    };
    Ok(judge(held, told, has_data, opinion))
}

async fn told(shard: &MultiShard, cx: &Context) -> Result<Option<String>, Trouble> {
    let connection = read(shard, cx, &names::connection(&shard.spec.cluster, &shard.spec.database)).await?;
    let label =
        |secret: &Secret, key: &str, value: &str| secret.labels().get(key).is_some_and(|is| is == value);
    let of_database = |secret: &Secret| {
        label(secret, labels::CLUSTER, &shard.spec.cluster)
            && label(secret, labels::DATABASE, &shard.spec.database)
    };
    Ok(connection.filter(of_database).as_ref().and_then(password::told))
}

async fn opinion(
    shard: &MultiShard,
    cx: &Context,
    course: &Course,
    changed: Option<Timestamp>,
) -> Result<Opinion, Trouble> {
    let roles = match &course.roles {
        Some(roles) => roles.clone(),
        None => rollout::roles(shard, cx).await,
    };
    let labels = Labels::of_shard(&shard_names(&shard.spec)).selector();
    let selector: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let api: Api<Pod> = Api::namespaced(cx.client.clone(), &shard.namespace().unwrap_or_default());
    let found = api.list_metadata(&ListParams::default().labels(&selector.join(","))).await;
    let found = found.map_err(|error| unreachable("the pods", &error))?;
    let made = |pod: &kube::core::PartialObjectMeta<Pod>| Some((pod.name_any(), pod.creation_timestamp()?.0));
    let pods: Vec<(String, Timestamp)> = found.iter().filter_map(made).collect();
    Ok(password::opinion(&roles, &pods, changed))
}

async fn read(shard: &MultiShard, cx: &Context, name: &str) -> Result<Option<Secret>, Trouble> {
    let api: Api<Secret> = Api::namespaced(cx.client.clone(), &shard.namespace().unwrap_or_default());
    api.get_opt(name).await.map_err(|error| unreadable(name, &error))
}

/// True if a volume of the database is seen. A backup has the password that its data had.
fn has_volumes(shard: &MultiShard, cx: &Context) -> bool {
    let namespace = shard.namespace().unwrap_or_default();
    let volumes = cx.objects.of_cluster(&namespace, &shard.spec.cluster, |key, object| {
        key.kind == "PersistentVolumeClaim" && object.has_label(labels::DATABASE, &shard.spec.database)
    });
    !volumes.is_empty()
}

/// True if there is a claim of a name that one of the database's shards gives. It may have lost its labels, by hand or
/// in
/// a restore.
async fn has_unlabelled_volumes(shard: &MultiShard, cx: &Context) -> Result<bool, Trouble> {
    let namespace = shard.namespace().unwrap_or_default();
    let of_database = |other: &&MultiShard| {
        other.namespace().unwrap_or_default() == namespace
            && (&other.spec.cluster, &other.spec.database) == (&shard.spec.cluster, &shard.spec.database)
    };
    let state = cx.stores.shards.state();
    let others = state.iter().map(AsRef::as_ref).filter(of_database);
    let manifests: Vec<Manifest> =
        others.chain([shard]).flat_map(|shard| shard.build(&cx.environment)).collect();
    let api: Api<PersistentVolumeClaim> = Api::namespaced(cx.client.clone(), &namespace);
    let found = api.list_metadata(&ListParams::default()).await;
    let found = found.map_err(|error| unreachable("the volume claims", &error))?;
    Ok(found.iter().any(|claim| volumes::is_made_by(&manifests, &claim.name_any())))
}

fn random() -> String {
    rand::rng().sample_iter(Alphanumeric).take(PASSWORD_LENGTH).map(char::from).collect()
}

/// Creates the password Secret and never overwrites it: the first of the database's shards wins. Returns what it has.
async fn make(
    shard: &MultiShard,
    cx: &Context,
    owner: &OwnerReference,
    password: &str,
) -> Result<String, Trouble> {
    let manifest = secrets::password(shard, password);
    let api: Api<Secret> = Api::namespaced(cx.client.clone(), &manifest.namespace);
    let trouble = |error: &kube::Error| not_made(&manifest, error);
    let object: Secret = secret(&manifest, owner).map_err(|error| trouble(&error))?;
    let params =
        PostParams { field_manager: Some(crate::apply::MANAGER.to_owned()), ..PostParams::default() };
    let made = match api.create(&params, &object).await {
        Err(kube::Error::Api(status)) if status.code == 409 => api.get(&manifest.name).await,
        made => made,
    };
    let key = &shard.spec.password.secret_key_ref.key;
    match Held::of(Some(&made.map_err(|error| trouble(&error))?), key) {
        Held::Password(password) => Ok(password),
        _ => Err(Trouble {
            reason: Reason::PasswordMissing,
            message: format!("Secret {} has no readable key {key}. Restore it.", manifest.name),
            lasting: true,
        }),
    }
}

fn secret(manifest: &Manifest, owner: &OwnerReference) -> Result<Secret, kube::Error> {
    serde_json::from_value(crate::apply::with_owner(manifest, owner)).map_err(kube::Error::SerdeError)
}

fn not_made(manifest: &Manifest, error: &kube::Error) -> Trouble {
    if api_error::is_namespace_terminating(error) {
        return Trouble::from(&ApplyError::NamespaceTerminating(manifest.key()));
    }
    unreadable(&manifest.name, error)
}

fn unreadable(name: &str, error: &kube::Error) -> Trouble {
    let message = format!("Secret {name}: {}", api_error::message(error));
    Trouble { reason: Reason::SecretUnavailable, message, lasting: false }
}

fn unreachable(what: &str, error: &kube::Error) -> Trouble {
    let message = format!("{what} cannot be listed: {error}");
    Trouble { reason: Reason::ApiServerUnreachable, message, lasting: false }
}
