//! Pods and claims live on fake nodes as they would on real ones, as far as the API shows.

mod conditions;

use conditions::{has_capacity, is_ready, phase};
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::conditions::is_deleted;
use kube::runtime::wait::await_condition;
use serde_json::json;
use testbed::{ControlPlane, Options, PodReadiness, STORAGE_CLASS, set_pod_ready};

const NAMESPACE: &str = "default";

fn claim() -> serde_json::Result<PersistentVolumeClaim> {
    serde_json::from_value(json!({
        "metadata": { "name": "data" },
        "spec": { "accessModes": ["ReadWriteMany"], "resources": { "requests": { "storage": "1Gi" } } },
    }))
}

fn pod_in_second_zone() -> serde_json::Result<Pod> {
    serde_json::from_value(json!({
        "metadata": { "name": "pod" },
        "spec": {
            "nodeSelector": { "topology.kubernetes.io/zone": "zone2" },
            "initContainers": [
                { "name": "prepare", "image": "none" },
                { "name": "sidecar", "image": "none", "restartPolicy": "Always" },
            ],
            "containers": [{
                "name": "main",
                "image": "none",
                "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
            }],
            "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": "data" } }],
        },
    }))
}

fn is_scheduled(pod: Option<&Pod>) -> bool {
    pod.and_then(|pod| pod.spec.as_ref()?.node_name.as_ref()).is_some()
}

#[tokio::test]
async fn pods_with_claims_become_ready_and_claims_free_their_volumes() -> anyhow::Result<()> {
    let control_plane = ControlPlane::start(Options { fake_nodes: 3, ..Options::default() }).await?;
    let client = control_plane.client();
    let nodes = Api::<Node>::all(client.clone()).list_metadata(&ListParams::default()).await?;
    let zones: Vec<_> =
        nodes.iter().map(|node| node.labels()["topology.kubernetes.io/zone"].as_str()).collect();
    assert_eq!(zones, ["zone1", "zone2", "zone3"]);

    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), NAMESPACE);
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    claims.create(&PostParams::default(), &claim()?).await?;
    pods.create(&PostParams::default(), &pod_in_second_zone()?).await?;
    let pod = await_condition(pods.clone(), "pod", is_ready).await?.unwrap();
    assert_eq!(phase(Some(&pod)), Some("Running"));
    assert_eq!(pod.spec.unwrap().node_name.as_deref(), Some("fake-2"));

    set_pod_ready(client.clone(), NAMESPACE, "pod", false).await?;
    assert!(!is_ready(Some(&pods.get("pod").await?)));

    let bound = await_condition(claims.clone(), "data", has_capacity("1Gi")).await?.unwrap();
    let bound = bound.spec.unwrap();
    assert_eq!(bound.storage_class_name.as_deref(), Some(STORAGE_CLASS));
    let grown = json!({ "spec": { "resources": { "requests": { "storage": "2Gi" } } } });
    claims.patch("data", &PatchParams::default(), &Patch::Merge(grown)).await?;
    await_condition(claims.clone(), "data", has_capacity("2Gi")).await?;

    let volumes: Api<PersistentVolume> = Api::all(client);
    let volume = volumes.get(&bound.volume_name.unwrap()).await?;
    pods.delete("pod", &DeleteParams::default()).await?;
    claims.delete("data", &DeleteParams::default()).await?;
    await_condition(volumes, &volume.name_any(), is_deleted(&volume.uid().unwrap())).await?;
    Ok(())
}

#[tokio::test]
async fn readiness_is_driven_by_hand() -> anyhow::Result<()> {
    let options = Options { fake_nodes: 2, pod_readiness: PodReadiness::ByHand, ..Options::default() };
    let control_plane = ControlPlane::start(options).await?;
    let client = control_plane.client();
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    Api::namespaced(client.clone(), NAMESPACE).create(&PostParams::default(), &claim()?).await?;
    pods.create(&PostParams::default(), &pod_in_second_zone()?).await?;

    let pod = await_condition(pods.clone(), "pod", is_scheduled).await?.unwrap();
    assert_eq!(phase(Some(&pod)), Some("Pending"));

    set_pod_ready(client.clone(), NAMESPACE, "pod", true).await?;
    let pod = pods.get("pod").await?;
    assert!(is_ready(Some(&pod)) && is_scheduled(Some(&pod)));
    let status = pod.status.clone().unwrap();
    assert!(status.pod_ip.is_some());
    let sidecar = &status.init_container_statuses.unwrap()[1];
    assert!(sidecar.ready && sidecar.state.as_ref().unwrap().running.is_some());

    set_pod_ready(client, NAMESPACE, "pod", false).await?;
    assert!(!is_ready(Some(&pods.get("pod").await?)));

    pods.delete("pod", &DeleteParams::default()).await?;
    await_condition(pods, "pod", is_deleted(&pod.uid().unwrap())).await?;
    Ok(())
}
