//! Volumes for claims.
//!
//! Nothing provisions volumes on a bare control plane, and a pod whose claim is not bound is not scheduled. The
//! provisioner makes a volume for every pending claim of the classes [`STORAGE_CLASS`] and [`LIMITED_STORAGE_CLASS`],
//! grows it when its claim grows, and removes it when its claim is gone.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{
    HostPathVolumeSource, LocalVolumeSource, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm,
    ObjectReference, PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec, VolumeNodeAffinity,
};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::background::Background;
use crate::command::run;
use crate::namespaces;
use crate::state::absent_is_fine;

/// The default storage class. Its volumes have as much room as the machine.
pub const STORAGE_CLASS: &str = "standard";
/// A storage class whose volumes can become full. On a real node they are in memory, and hold what was asked for.
pub const LIMITED_STORAGE_CLASS: &str = "limited";

const STORAGE: &str = "storage";

/// Location of the contents of volumes.
#[derive(Debug, Clone)]
pub enum Storage {
    /// Nowhere: no pod runs that could look at them.
    Nowhere,
    /// In a directory of a node.
    Local {
        /// The directory, in which each volume has one.
        directory: PathBuf,
        /// The node's name.
        node: &'static str,
        /// The file with the id of the node's first process, among whose mounts volumes are.
        pid_file: PathBuf,
    },
}

/// Serves claims, present and future ones, until what it hands back is dropped.
pub fn provision(config: kube::Config, storage: Storage) -> anyhow::Result<Background> {
    Background::start("volumes", move || {
        let client = Client::try_from(config)?;
        Ok(serve(client, storage))
    })
}

/// Creates the classes. They name no provisioner, so that the controllers leave their claims alone.
pub async fn create_storage_classes(client: Client) -> anyhow::Result<()> {
    for (name, is_default) in [(STORAGE_CLASS, true), (LIMITED_STORAGE_CLASS, false)] {
        let is_default = ("storageclass.kubernetes.io/is-default-class".into(), is_default.to_string());
        let class = StorageClass {
            metadata: ObjectMeta {
                name: Some(name.into()),
                annotations: Some([is_default].into()),
                ..Default::default()
            },
            provisioner: "kubernetes.io/no-provisioner".into(),
            volume_binding_mode: Some("Immediate".into()),
            reclaim_policy: Some("Retain".into()),
            allow_volume_expansion: Some(true),
            ..Default::default()
        };
        Api::all(client.clone()).create(&PostParams::default(), &class).await?;
    }
    Ok(())
}

fn is_served(class: Option<&str>) -> bool {
    matches!(class, Some(STORAGE_CLASS | LIMITED_STORAGE_CLASS))
}

async fn serve(client: Client, storage: Storage) {
    let claims = Api::<PersistentVolumeClaim>::all(client.clone());
    let volumes = Api::<PersistentVolume>::all(client.clone());
    tokio::join!(
        for_each(watch(claims), |claim| provide(&client, &storage, claim)),
        for_each(watch(volumes.clone()), |volume| remove_if_released(&volumes, &storage, volume)),
    );
}

fn watch<K>(api: Api<K>) -> impl Stream<Item = watcher::Result<K>>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    watcher(api, watcher::Config::default()).default_backoff().applied_objects()
}

/// Failures are reported and passed over: what is wrong with one object must not stop the others.
async fn for_each<K>(
    objects: impl Stream<Item = watcher::Result<K>>,
    act: impl AsyncFn(K) -> anyhow::Result<()>,
) {
    let mut objects = std::pin::pin!(objects);
    while let Some(object) = objects.next().await {
        let done = match object {
            Ok(object) => act(object).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = done {
            tracing::warn!("serving volumes: {error:#}");
        }
    }
}

async fn provide(client: &Client, storage: &Storage, claim: PersistentVolumeClaim) -> anyhow::Result<()> {
    let Some(spec) = &claim.spec else { return Ok(()) };
    let Some(class) = spec.storage_class_name.as_deref().filter(|class| is_served(Some(class))) else {
        return Ok(());
    };
    if claim.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let requested = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()?.get(STORAGE));
    let capacity = claim.status.as_ref().and_then(|status| status.capacity.as_ref()?.get(STORAGE));
    match (&spec.volume_name, requested, capacity) {
        (None, Some(requested), _) => create(client, storage, &claim, class, requested).await,
        (Some(volume), Some(requested), Some(capacity)) if requested != capacity => {
            if class == LIMITED_STORAGE_CLASS {
                storage.limit(volume, requested, "remount,")?;
            }
            grow(client, &claim, volume, requested).await
        }
        _ => Ok(()),
    }
}

async fn create(
    client: &Client,
    storage: &Storage,
    claim: &PersistentVolumeClaim,
    class: &str,
    size: &Quantity,
) -> anyhow::Result<()> {
    let uid = claim.uid().context("the claim has no uid")?;
    let name = format!("pvc-{uid}");
    let volume = PersistentVolume {
        spec: Some(PersistentVolumeSpec {
            access_modes: claim.spec.as_ref().and_then(|spec| spec.access_modes.clone()),
            capacity: Some([(STORAGE.into(), size.clone())].into()),
            claim_ref: Some(ObjectReference {
                api_version: Some("v1".into()),
                kind: Some("PersistentVolumeClaim".into()),
                namespace: claim.namespace(),
                name: claim.metadata.name.clone(),
                uid: Some(uid),
                ..Default::default()
            }),
            persistent_volume_reclaim_policy: Some("Retain".into()),
            storage_class_name: Some(class.into()),
            ..storage.source(&name)
        }),
        metadata: ObjectMeta { name: Some(name.clone()), ..Default::default() },
        ..Default::default()
    };
    if storage.create(&name)? && class == LIMITED_STORAGE_CLASS {
        storage.limit(&name, size, "")?;
    }
    match Api::all(client.clone()).create(&PostParams::default(), &volume).await {
        // The claim was seen again before it was bound.
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        result => Ok(result.map(drop)?),
    }
}

/// Reports growth as a storage driver's resizer does: first of the volume, then of its claim.
async fn grow(
    client: &Client,
    claim: &PersistentVolumeClaim,
    volume: &str,
    size: &Quantity,
) -> anyhow::Result<()> {
    let capacity = json!({ "capacity": { STORAGE: size } });
    let params = PatchParams::default();
    let volumes = Api::<PersistentVolume>::all(client.clone());
    volumes.patch(volume, &params, &Patch::Merge(json!({ "spec": capacity }))).await?;
    let namespace = claim.namespace().context("the claim has no namespace")?;
    let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), &namespace);
    claims.patch_status(&claim.name_any(), &params, &Patch::Merge(json!({ "status": capacity }))).await?;
    Ok(())
}

async fn remove_if_released(
    volumes: &Api<PersistentVolume>,
    storage: &Storage,
    volume: PersistentVolume,
) -> anyhow::Result<()> {
    let class = volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    let ours = is_served(class);
    let released = volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Released");
    if ours && released && volume.metadata.deletion_timestamp.is_none() {
        let name = volume.name_any();
        volumes.delete(&name, &DeleteParams::default()).await?;
        if class == Some(LIMITED_STORAGE_CLASS) {
            storage.unmount(&name)?;
        }
        storage.remove(&name)?;
    }
    Ok(())
}

impl Storage {
    /// Location of a volume's contents, as the API describes it.
    ///
    /// On a real node it is a `local` volume: the kubelet gives it to the group of the pod, which it does not do with
    /// a `hostPath`.
    fn source(&self, volume: &str) -> PersistentVolumeSpec {
        match self {
            Self::Nowhere => PersistentVolumeSpec {
                host_path: Some(HostPathVolumeSource {
                    path: format!("/nonexistent/{volume}"),
                    type_: Some("DirectoryOrCreate".into()),
                }),
                ..Default::default()
            },
            Self::Local { directory, node, .. } => PersistentVolumeSpec {
                local: Some(LocalVolumeSource {
                    path: directory.join(volume).display().to_string(),
                    ..Default::default()
                }),
                node_affinity: Some(only_on(node)),
                ..Default::default()
            },
        }
    }

    /// Makes room for a volume, and says whether there was none.
    fn create(&self, volume: &str) -> io::Result<bool> {
        let Self::Local { directory, .. } = self else { return Ok(false) };
        let directory = directory.join(volume);
        let absent = !directory.exists();
        fs::create_dir_all(directory)?;
        Ok(absent)
    }

    /// Holds a volume to its size: by a file system of its own, which is of memory because growing any other that is
    /// in use takes more rights than root may have.
    fn limit(&self, volume: &str, size: &Quantity, options: &str) -> anyhow::Result<()> {
        // Its units are the binary ones, without the letter that says so.
        let size = size.0.trim_end_matches('i');
        let options = format!("{options}size={size},mode=755");
        self.on_node(volume, Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]))
    }

    fn unmount(&self, volume: &str) -> anyhow::Result<()> {
        self.on_node(volume, &mut Command::new("umount"))
    }

    /// Runs a command about a volume among the node's mounts, which are not seen outside.
    fn on_node(&self, volume: &str, command: &mut Command) -> anyhow::Result<()> {
        let Self::Local { directory, pid_file, .. } = self else { return Ok(()) };
        let command = command.arg(directory.join(volume));
        run(&mut namespaces::enter_others(pid_file, command)?).map(drop)
    }

    fn remove(&self, volume: &str) -> io::Result<()> {
        match self {
            Self::Nowhere => Ok(()),
            Self::Local { directory, .. } => absent_is_fine(fs::remove_dir_all(directory.join(volume))),
        }
    }
}

fn only_on(node: &str) -> VolumeNodeAffinity {
    let requirement = NodeSelectorRequirement {
        key: "kubernetes.io/hostname".into(),
        operator: "In".into(),
        values: Some(vec![node.to_owned()]),
    };
    let term = NodeSelectorTerm { match_expressions: Some(vec![requirement]), ..Default::default() };
    VolumeNodeAffinity { required: Some(NodeSelector { node_selector_terms: vec![term] }) }
}
