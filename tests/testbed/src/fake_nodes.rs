//! Nodes without machines, for tests that need pods to be scheduled and to become ready, but not to run.
//!
//! KWOK plays the kubelets: it keeps the nodes ready, gives scheduled pods a status, and removes deleted ones.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{Node, NodeStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::runtime::wait::await_condition;

use crate::binaries::KWOK;
use crate::components::{self, FAKE_KUBELETS};
use crate::state::State;

/// Readiness of pods on fake nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PodReadiness {
    /// They are ready as soon as they are scheduled.
    #[default]
    Automatic,
    /// They stay pending until [`set_pod_ready`](crate::set_pod_ready) says otherwise.
    ByHand,
}

/// KWOK's own stages set pods ready and remove deleted ones. A configuration with any stage for pods replaces them
/// all, so this one leaves just the removal.
const REMOVAL_ONLY: &str = "\
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata:
  name: pod-delete
spec:
  resourceRef:
    apiGroup: v1
    kind: Pod
  selector:
    matchExpressions:
    - key: .metadata.deletionTimestamp
      operator: Exists
  next:
    finalizers:
      empty: true
    delete: true
";

/// The kubelets of all nodes. Without a node port they do not listen anywhere.
pub fn kubelets(state: &State, readiness: PodReadiness) -> anyhow::Result<Command> {
    let mut command = components::command(&KWOK, state)?;
    command.arg(format!("--kubeconfig={}", state.kubeconfig(FAKE_KUBELETS).display())).args([
        "--manage-all-nodes=true",
        "--node-ip=127.0.0.1",
        "--cidr=10.244.0.1/16",
        // Without leases the nodes would be taken for lost after a minute.
        "--node-lease-duration-seconds=40",
    ]);
    if readiness == PodReadiness::ByHand {
        let stages = state.path().join("home").join("stages.yaml");
        fs::write(&stages, REMOVAL_ONLY)?;
        command.arg("--config").arg(stages);
    }
    Ok(command)
}

/// Creates nodes, each in a zone of its own, and waits until pods can be scheduled to them.
pub async fn create(client: kube::Client, count: usize) -> anyhow::Result<()> {
    let nodes: Api<Node> = Api::all(client);
    try_join_all((1..=count).map(async |number| {
        nodes.create(&PostParams::default(), &node(number)).await?;
        await_condition(nodes.clone(), &name(number), is_schedulable).await?;
        anyhow::Ok(())
    }))
    .await?;
    Ok(())
}

fn name(number: usize) -> String {
    format!("fake-{number}")
}

fn node(number: usize) -> Node {
    let labels = [
        ("kubernetes.io/arch", "amd64".to_owned()),
        ("kubernetes.io/hostname", name(number)),
        ("kubernetes.io/os", "linux".to_owned()),
        ("topology.kubernetes.io/region", "region1".to_owned()),
        ("topology.kubernetes.io/zone", format!("zone{number}")),
    ];
    let resources = [("cpu", "64"), ("memory", "256Gi"), ("pods", "500")];
    let resources: BTreeMap<_, _> =
        resources.map(|(name, quantity)| (name.to_owned(), Quantity(quantity.to_owned()))).into();
    Node {
        metadata: ObjectMeta {
            name: Some(name(number)),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value)).into()),
            ..Default::default()
        },
        status: Some(NodeStatus {
            allocatable: Some(resources.clone()),
            capacity: Some(resources),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A new node is tainted until the node lifecycle controller has seen it ready.
pub fn is_schedulable(node: Option<&Node>) -> bool {
    let Some(node) = node else { return false };
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready =
        conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    ready && taints.count() == 0
}
