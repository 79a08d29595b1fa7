//! Volumes, their mounts and their claims.

use k8s_openapi::api::apps::v1::StatefulSetPersistentVolumeClaimRetentionPolicy;
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EmptyDirVolumeSource, KeyToPath, PersistentVolumeClaim, PersistentVolumeClaimSpec,
    PersistentVolumeClaimVolumeSource, SecretVolumeSource, Volume, VolumeMount, VolumeResourceRequirements,
};
use kube::api::ObjectMeta;
use multigres_crds::quantity::Quantity;
use multigres_crds::v1alpha1::{AccessMode, RetentionPolicy, SecretKeyReference, VolumeClaimTemplate};

use super::object::unless_empty;

/// Secrets are for the pod's own user and group.
const SECRET_MODE: i32 = 0o440;

/// All keys of a Secret as files.
pub fn secret(name: &str, secret: &str) -> Volume {
    secret_source(
        name,
        SecretVolumeSource { secret_name: Some(secret.to_owned()), ..SecretVolumeSource::default() },
    )
}

/// One key of a Secret as the file `path`.
pub fn secret_key(name: &str, secret: &SecretKeyReference, path: &str) -> Volume {
    let item = KeyToPath { key: secret.key.clone(), path: path.to_owned(), mode: None };
    secret_source(
        name,
        SecretVolumeSource {
            secret_name: Some(secret.name.clone()),
            items: Some(vec![item]),
            ..SecretVolumeSource::default()
        },
    )
}

fn secret_source(name: &str, source: SecretVolumeSource) -> Volume {
    let source = SecretVolumeSource { default_mode: Some(SECRET_MODE), ..source };
    Volume { name: name.to_owned(), secret: Some(source), ..Volume::default() }
}

/// All keys of a ConfigMap as files.
pub fn config_map(name: &str, config_map: String) -> Volume {
    let source = ConfigMapVolumeSource { name: config_map, ..ConfigMapVolumeSource::default() };
    Volume { name: name.to_owned(), config_map: Some(source), ..Volume::default() }
}

/// A volume of an existing claim.
pub fn claimed(name: &str, claim: String) -> Volume {
    let source = PersistentVolumeClaimVolumeSource { claim_name: claim, read_only: None };
    Volume { name: name.to_owned(), persistent_volume_claim: Some(source), ..Volume::default() }
}

/// Memory that lives as long as the pod.
pub fn memory(name: &str, limit: Option<&Quantity>) -> Volume {
    let source =
        EmptyDirVolumeSource { medium: Some("Memory".to_owned()), size_limit: limit.map(Into::into) };
    Volume { name: name.to_owned(), empty_dir: Some(source), ..Volume::default() }
}

/// A volume at a path.
pub fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount { name: volume.to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() }
}

/// A volume at a path, not to be written.
pub fn mount_read_only(volume: &str, path: &str) -> VolumeMount {
    VolumeMount { read_only: Some(true), ..mount(volume, path) }
}

/// A claim, or the template of one.
pub fn claim(metadata: ObjectMeta, template: &VolumeClaimTemplate) -> PersistentVolumeClaim {
    let modes = template.access_modes.iter().copied().map(AccessMode::as_str).map(str::to_owned).collect();
    let storage = template.resources.requests.storage.as_ref();
    let spec = PersistentVolumeClaimSpec {
        access_modes: unless_empty(&modes),
        storage_class_name: template.storage_class_name.clone(),
        resources: Some(VolumeResourceRequirements {
            requests: storage.map(|storage| [("storage".to_owned(), storage.into())].into()),
            limits: None,
        }),
        ..PersistentVolumeClaimSpec::default()
    };
    PersistentVolumeClaim { metadata, spec: Some(spec), status: None }
}

/// Retention of a StatefulSet's claims.
pub fn retention(policy: RetentionPolicy) -> StatefulSetPersistentVolumeClaimRetentionPolicy {
    StatefulSetPersistentVolumeClaimRetentionPolicy {
        when_deleted: Some(policy.deleted().as_str().to_owned()),
        when_scaled: Some(policy.scaled().as_str().to_owned()),
    }
}
