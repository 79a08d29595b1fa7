//! The Secrets of a database: a password that is made once and never overwritten, and what a client needs to connect.
//!
//! Secrets are not listed, watched or cached. They are read by name, when needed.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, PostParams};
use multigres_crds::labels;
use multigres_crds::v1alpha1::MultiShard;
use rand::Rng;
use rand::distr::Alphanumeric;

use super::context::Context;
use crate::api_error;
use crate::apply::{ApplyError, Cached, OwnerReference};
use crate::build::{Manifest, secrets};
use crate::reason::Reason;
use crate::status::Trouble;

/// Length of a generated password: about 190 bits.
const PASSWORD_LENGTH: usize = 32;

/// Sees to it that the shard's password exists, and what a client needs where this shard is the one that writes it.
pub async fn ensure(shard: &MultiShard, cx: &Context, owner: &OwnerReference) -> Result<(), Trouble> {
    let password = if shard.spec.password.generated { Some(password(shard, cx, owner).await?) } else { None };
    if let Some(record) = &shard.spec.database_record {
        let manifest = secrets::connection(shard, record, password.as_deref());
        let applied = cx.applier.ensure(&manifest, owner, Cached::Nothing).await;
        let immutable = applied.map_err(|error| Trouble::from(&error))?.immutable;
        if !immutable.is_empty() {
            let message = format!(
                "{} was made immutable and holds something else than it should; delete it, and it is created anew",
                manifest.key()
            );
            return Err(Trouble { reason: Reason::ImmutableField, message, lasting: true });
        }
    }
    Ok(())
}

async fn password(shard: &MultiShard, cx: &Context, owner: &OwnerReference) -> Result<String, Trouble> {
    // Asked before the Secret is read: it is made before the first volume, so a volume without it has lost it.
    let initialised = has_volumes(shard, cx);
    let namespace = shard.namespace().unwrap_or_default();
    let reference = &shard.spec.password.secret_key_ref;
    let api: Api<Secret> = Api::namespaced(cx.client.clone(), &namespace);
    let found = api.get_opt(&reference.name).await.map_err(|error| unreadable(&reference.name, &error))?;
    let secret = match found {
        Some(secret) => secret,
        None if initialised => {
            let message = format!(
                "Secret {} is gone, but data that was initialised with its password exists; restore the Secret",
                reference.name
            );
            return Err(Trouble { reason: Reason::PasswordMissing, message, lasting: true });
        }
        None => make(shard, cx, owner, &namespace).await?,
    };
    let value = secret.data.as_ref().and_then(|data| data.get(&reference.key));
    value.and_then(|value| String::from_utf8(value.0.clone()).ok()).ok_or_else(|| {
        let message = format!("Secret {} has no readable key {}", reference.name, reference.key);
        Trouble { reason: Reason::PasswordMissing, message, lasting: true }
    })
}

fn has_volumes(shard: &MultiShard, cx: &Context) -> bool {
    let namespace = shard.namespace().unwrap_or_default();
    let volumes = cx.objects.of_cluster(&namespace, &shard.spec.cluster, |key, object| {
        key.kind == "PersistentVolumeClaim"
            && object.has_label(labels::DATABASE, &shard.spec.database)
            && object.labels.contains_key(labels::POOL)
    });
    !volumes.is_empty()
}

/// Creates, never overwrites: the first of the database's shards wins.
async fn make(
    shard: &MultiShard,
    cx: &Context,
    owner: &OwnerReference,
    namespace: &str,
) -> Result<Secret, Trouble> {
    let random: String =
        rand::rng().sample_iter(Alphanumeric).take(PASSWORD_LENGTH).map(char::from).collect();
    let manifest = secrets::password(shard, &random);
    let api: Api<Secret> = Api::namespaced(cx.client.clone(), namespace);
    let trouble = |error: &kube::Error| not_made(&manifest, error);
    let object: Secret = secret(&manifest, owner).map_err(|error| trouble(&error))?;
    let params =
        PostParams { field_manager: Some(crate::apply::MANAGER.to_owned()), ..PostParams::default() };
    match api.create(&params, &object).await {
        Ok(secret) => Ok(secret),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            api.get(&manifest.name).await.map_err(|e| trouble(&e))
        }
        Err(error) => Err(trouble(&error)),
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
