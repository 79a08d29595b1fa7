//! `MultiOrch`: the orchestrators of a cluster, one set of pods per cell.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::*;
use super::status::MultiOrchStatus;

/// The orchestrators of a cluster, one set of pods per cell.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "multigres.com",
    version = "v1alpha1",
    kind = "MultiOrch",
    plural = "multiorches",
    shortname = "mgo",
    category = "multigres",
    namespaced,
    status = "MultiOrchStatus",
    derive = "PartialEq",
    doc = "The orchestrators of a cluster, one set of pods per cell.",
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.cluster"),
    printcolumn(name = "Available", type_ = "string", json_path = ".status.available"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".status.desiredReplicas"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct MultiOrchSpec {
    /// The cluster that this belongs to.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = ("self == oldSelf", "cluster cannot be changed"))]
    pub cluster: String,
    /// The global topology.
    pub global_topology: TopologyReference,
    /// Image of multiorch.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
    /// Number of pods in each cell. None run while there is no database: multiorch refuses to start without one.
    #[schemars(range(min = 0, max = 3))]
    pub replicas: i32,
    /// The cells to run in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    pub cells: Vec<OrchCell>,
    /// While set, one orchestrator runs in this cell and none in the others, so that no two of them set up replication
    /// at the same time. The operator sets it when it makes the object, and removes it once all instances have joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub bring_up_cell: Option<String>,
    /// The databases to look after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub databases: Vec<String>,
    /// CPU and memory of each pod.
    #[serde(default)]
    pub resources: ResourceRequirements,
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

/// A cell in which orchestrators run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrchCell {
    /// Name of the cell.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Constraints on the nodes that the cell's orchestrators may run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Box<Placement>>,
}
