//! `TopoServer`: the etcd of a cluster's topology.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::common::*;
use super::status::TopoServerStatus;

/// The etcd of a cluster's topology.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "multigres.com",
    version = "v1alpha1",
    kind = "TopoServer",
    plural = "toposervers",
    shortname = "mgts",
    category = "multigres",
    namespaced,
    status = "TopoServerStatus",
    derive = "PartialEq",
    doc = "The etcd of a cluster's topology.",
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.cluster"),
    printcolumn(name = "Available", type_ = "string", json_path = ".status.available"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct TopoServerSpec {
    /// The cluster that this belongs to.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = ("self == oldSelf", "cluster cannot be changed"))]
    pub cluster: String,
    /// Image of etcd.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
    /// Members of etcd: 1, 3, 5 or 7. Cannot be changed.
    #[schemars(range(min = 1, max = 7), extend("enum" = [1, 3, 5, 7]))]
    #[x_kube(validation = ("self == oldSelf", "replicas cannot be changed: changing etcd's membership is not implemented"))]
    pub replicas: i32,
    /// The volume of each member.
    pub data_volume_claim_template: VolumeClaimTemplate,
    /// CPU and memory of each member.
    #[serde(default)]
    pub resources: ResourceRequirements,
    /// Retention of the volumes.
    #[serde(default)]
    pub persistent_volume_claim_retention_policy: RetentionPolicy,
    /// Constraints on the nodes that the members may run on.
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

impl TopoServerSpec {
    /// Revision of the pod template since which a member that lost its volume is replaced.
    pub const REPLACES_MEMBERS: i32 = 2;

    /// Whether a member that lost its volume is replaced.
    pub fn replaces_members(&self) -> bool {
        self.pods.revision() >= Self::REPLACES_MEMBERS
    }
}
