//! `MultiAdmin`: the admin server of a cluster.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::common::*;
use super::status::MultiAdminStatus;

/// The admin server of a cluster.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "multigres.com",
    version = "v1alpha1",
    kind = "MultiAdmin",
    plural = "multiadmins",
    shortname = "mga",
    category = "multigres",
    namespaced,
    status = "MultiAdminStatus",
    derive = "PartialEq",
    doc = "The admin server of a cluster.",
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.cluster"),
    printcolumn(name = "Available", type_ = "string", json_path = ".status.available"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct MultiAdminSpec {
    /// The cluster that this belongs to.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = ("self == oldSelf", "cluster cannot be changed"))]
    pub cluster: String,
    /// The global topology.
    pub global_topology: TopologyReference,
    /// Image of multiadmin.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
    /// Number of pods.
    #[schemars(range(min = 0, max = 10))]
    pub replicas: i32,
    /// CPU and memory of each pod.
    #[serde(default)]
    pub resources: ResourceRequirements,
    /// Constraints on the nodes that the pods may run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Box<Placement>>,
    /// Labels of the pods, beside the operator's own.
    #[serde(default, skip_serializing_if = "StringMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub pod_labels: StringMap,
    /// Annotations of the pods.
    #[serde(default, skip_serializing_if = "StringMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub pod_annotations: StringMap,
    /// Service account of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,
    /// Settings that all pods of the cluster share.
    #[serde(default)]
    pub pods: PodSettings,
    /// While true, the operator writes nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}
