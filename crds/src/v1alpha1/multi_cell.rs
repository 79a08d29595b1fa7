//! `MultiCell`: a failure domain with a gateway of its own.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::*;
use super::status::MultiCellStatus;

/// A failure domain of a cluster, with a gateway of its own.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "multigres.com",
    version = "v1alpha1",
    kind = "MultiCell",
    plural = "multicells",
    shortname = "mgcell",
    category = "multigres",
    namespaced,
    status = "MultiCellStatus",
    derive = "PartialEq",
    doc = "A failure domain of a cluster, with a gateway of its own.",
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.cluster"),
    printcolumn(name = "Cell", type_ = "string", json_path = ".spec.cell"),
    printcolumn(name = "Gateway", type_ = "string", json_path = ".status.gatewayAvailable"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".spec.multiGateway.replicas"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct MultiCellSpec {
    /// The cluster that this belongs to.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = ("self == oldSelf", "cluster cannot be changed"))]
    pub cluster: String,
    /// Name of the cell.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = ("self == oldSelf", "cell cannot be changed"))]
    pub cell: String,
    /// The global topology.
    pub global_topology: TopologyReference,
    /// The topology of this cell: on the global etcd or on one of its own.
    pub topology: TopologyReference,
    /// The gateway, through which PostgreSQL clients connect.
    pub multi_gateway: Gateway,
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

/// A gateway, every value resolved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Gateway {
    /// Image of multigateway.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
    /// Number of pods.
    #[schemars(range(min = 0, max = 100))]
    pub replicas: i32,
    /// CPU and memory of each pod.
    #[serde(default)]
    pub resources: ResourceRequirements,
    /// Exposure of the gateway to clients.
    #[serde(default)]
    pub service: GatewayService,
    /// TLS for PostgreSQL clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<GatewayTls>,
}
