//! `MultigresCluster`: the one manifest that a user writes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::*;
use super::databases::DatabasesSection;
use super::status::MultigresClusterStatus;

/// A horizontally scaled PostgreSQL: cells with gateways, databases with shards, and the topology they share.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "multigres.com",
    version = "v1alpha1",
    kind = "MultigresCluster",
    plural = "multigresclusters",
    shortname = "mgc",
    category = "multigres",
    namespaced,
    status = "MultigresClusterStatus",
    derive = "PartialEq",
    doc = "A horizontally scaled PostgreSQL: cells with gateways, databases with shards, and the topology they share.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(
        name = "Progressing",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Progressing')].status",
        priority = 1
    ),
    printcolumn(name = "Paused", type_ = "boolean", json_path = ".spec.paused", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct MultigresClusterSpec {
    /// The topology server of the whole cluster.
    pub global_topo_server: GlobalTopoServer,
    /// The admin server. Made with defaults when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<AdminSection>,
    /// The orchestrator, which elects primaries. Made with defaults when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orchestrator: Option<OrchestratorSection>,
    /// The cells: failure domains, each with a gateway of its own.
    pub cells: CellsSection,
    /// The databases and their shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub databases: Option<DatabasesSection>,
    /// Location of backups, for every database that does not set its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// Secrets with registry credentials, in the same namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// When the kubelet pulls images. Kubernetes' own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Retention of data, backup and etcd volumes. They are retained when this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim_retention_policy: Option<RetentionPolicy>,
    /// While true, neither the cluster nor a database, table group or pool of it can be deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_protection: Option<bool>,
    /// While true, the operator writes nothing and children may be edited by hand (break-glass).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// A new value replaces every pod of the cluster, safely and one at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarted_at: Option<Time>,
    /// Revision of the pod templates that the operator builds. A new cluster gets the newest one; absent means 1. A
    /// higher one brings the changes that `docs/revisions.md` lists, and replaces the pods that they concern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub workload_revision: Option<i32>,
    /// For one hour from this time, pods are replaced although nobody is seen to lead their shard: one at a time, and
    /// only after five minutes without a leader in which every instance is ready. For a rollout that waits with the
    /// reason `AwaitingTopology` and holds the cure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_rollout_at: Option<Time>,
}

/// The topology server of the whole cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GlobalTopoServer {
    /// Makes the operator create and manage an etcd. True when absent, unless `external` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<bool>,
    /// The key prefix of this cluster's topology, for example `/multigres/global`. Cannot be changed.
    #[schemars(length(min = 1, max = 200))]
    #[x_kube(validation = ("self == oldSelf", "rootPath cannot be changed: the topology would be lost"))]
    pub root_path: String,
    /// The etcd that the operator makes while `managed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_spec: Option<ManagedTopoServerSpec>,
    /// An etcd that exists already. While set, the operator makes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalTopoServer>,
}

/// The etcd that the operator makes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedTopoServerSpec {
    /// Image of etcd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Members of etcd: 1, 3, 5 or 7. 3 when absent. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 7), extend("enum" = [1, 3, 5, 7]))]
    #[x_kube(validation = ("self == oldSelf", "replicas cannot be changed: changing etcd's membership is not implemented"))]
    pub replicas: Option<i32>,
    /// The volume of each member. 10Gi, `ReadWriteOnce`, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_volume_claim_template: Option<VolumeClaimTemplate>,
    /// CPU and memory of each member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
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
}

/// An etcd that exists already.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExternalTopoServer {
    /// `host:port` of each endpoint, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub address: Option<String>,
    /// Client certificates, where etcd wants them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TopologyTls>,
}

/// The admin server: whether it is managed, and its template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AdminSection {
    /// Makes the operator create and manage a MultiAdmin. True when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<bool>,
    /// Template of the MultiAdmin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<AdminTemplate>,
}

/// Template of the MultiAdmin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdminTemplate {
    /// Image of multiadmin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Number of pods. 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10))]
    pub replicas: Option<i32>,
    /// CPU and memory of each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
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
}

/// The orchestrator: whether it is managed, and its template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrchestratorSection {
    /// Makes the operator create and manage a MultiOrch. True when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<bool>,
    /// Template of the MultiOrch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<OrchestratorTemplate>,
}

/// Template of the MultiOrch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrchestratorTemplate {
    /// Image of multiorch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Number of pods in each cell. 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3))]
    pub replicas: Option<i32>,
    /// CPU and memory of each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Constraints on the nodes that the pods may run on. Each field that is absent is taken from the cell's placement.
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
}

/// The cells of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CellsSection {
    /// Makes the operator create and manage a MultiCell for each template. True when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<bool>,
    /// Image of the gateways, unless a cell has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub multi_gateway_image: Option<String>,
    /// One template per cell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    pub templates: Vec<CellTemplate>,
}

/// Template of a MultiCell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellTemplate {
    /// Name of the cell, unique in the cluster.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The cell's settings.
    #[serde(default)]
    pub spec: CellTemplateSpec,
}

/// Settings of a cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CellTemplateSpec {
    /// The gateway, through which PostgreSQL clients connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multi_gateway: Option<GatewayTemplate>,
    /// A topology server of the cell's own. The global one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topo_server: Option<CellTopoServer>,
    /// Constraints on the nodes that the cell's pods may run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Box<Placement>>,
    /// Labels of the gateway's pods, beside the operator's own.
    #[serde(default, skip_serializing_if = "StringMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub pod_labels: StringMap,
    /// Annotations of the gateway's pods.
    #[serde(default, skip_serializing_if = "StringMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub pod_annotations: StringMap,
    /// Service account of the gateway's pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,
}

/// Template of a cell's gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GatewayTemplate {
    /// Image of multigateway; `cells.multiGatewayImage` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Number of gateway pods. 2 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: Option<i32>,
    /// CPU and memory of each gateway pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Exposure of the gateway to clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<GatewayService>,
    /// TLS for PostgreSQL clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<GatewayTls>,
}

/// A cell's own topology server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellTopoServer {
    /// An etcd that exists already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<CellExternalTopoServer>,
}

/// An etcd that exists already and serves one cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CellExternalTopoServer {
    /// `host:port` of each endpoint, separated by commas.
    #[schemars(length(max = 2048))]
    pub address: String,
    /// The key prefix of this cell's topology.
    #[schemars(length(max = 200))]
    pub root_path: String,
    /// Client certificates, where etcd wants them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TopologyTls>,
}
