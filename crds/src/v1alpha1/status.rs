//! Status of each kind. Every status is a pure function of observations, so that the status of an idle cluster never
//! changes.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A fact as far as it was observed; `Unknown` until it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "variant docs would replace the enum by a `oneOf` in the schema")]
pub enum Truth {
    True,
    False,
    #[default]
    Unknown,
}

impl Truth {
    /// The Kubernetes spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }

    /// True where one is true, else unknown where one is unknown. False of nothing.
    pub fn any(truths: impl IntoIterator<Item = Self>) -> Self {
        truths.into_iter().fold(Self::False, |any, truth| match (any, truth) {
            (Self::True, _) | (_, Self::True) => Self::True,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::False, Self::False) => Self::False,
        })
    }

    /// False where one is false, else unknown where one is unknown. True of nothing.
    pub fn all(truths: impl IntoIterator<Item = Self>) -> Self {
        truths.into_iter().fold(Self::True, |all, truth| match (all, truth) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::True, Self::True) => Self::True,
        })
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// Status of a MultigresCluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MultigresClusterStatus {
    /// The generation of the spec that this status describes; -1 until it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Available, Progressing, Reconciling, Stalled and, where they apply, others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_string()]))]
    pub conditions: Vec<Condition>,
    /// The global topology.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_topo_server: Option<GlobalTopoServerStatus>,
    /// Each cell, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cells: BTreeMap<String, CellStatus>,
    /// Each database, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub databases: BTreeMap<String, DatabaseStatus>,
    /// The admin server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<AdminStatus>,
    /// The orchestrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orchestrator: Option<OrchestratorStatus>,
    /// The objects that the cluster was made into.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 70_000))]
    pub children: Vec<ChildReference>,
    /// Progress of a change of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
}

/// The global topology.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GlobalTopoServerStatus {
    /// The etcd that holds it.
    #[serde(default)]
    pub etcd: EtcdStatus,
}

/// The etcd of a topology.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EtcdStatus {
    /// `True` if a quorum of its members is ready (managed), or if it answers (external).
    #[serde(default)]
    pub available: Truth,
}

/// A cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CellStatus {
    /// `True` if a gateway pod is ready.
    #[serde(default)]
    pub gateway_available: Truth,
    /// `True` if the cell's own topology server answers; absent if the cell uses the global one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topo_server_available: Option<Truth>,
}

/// A database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseStatus {
    /// Number of instances that the spec asks for, over all shards.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub desired_instances: i32,
    /// Number of instances whose PostgreSQL accepts connections.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub ready_instances: i32,
    /// `True` only when a primary that serves was seen in every shard.
    #[serde(default)]
    pub serving_writes: Truth,
    /// `True` for good once a shard was seen to be initialized with data, `False` only while it is known that none ever
    /// was. While it is `False`, the major version of PostgreSQL can be changed.
    #[serde(default)]
    pub initialized: Truth,
}

/// The admin server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdminStatus {
    /// `True` if a pod is ready.
    #[serde(default)]
    pub available: Truth,
    /// The Service of the admin server.
    #[serde(default)]
    pub service_name: String,
}

/// The orchestrator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrchestratorStatus {
    /// `True` if a pod is ready in every cell.
    #[serde(default)]
    pub available: Truth,
}

/// An object that a cluster was made into.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ChildReference {
    /// Kind of the object.
    pub kind: String,
    /// Name of the object.
    pub name: String,
}

/// Progress of a change of pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// Pods that are as the spec wants them.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub updated: i32,
    /// All pods.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub total: i32,
    /// Reason why the next step waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
}

/// Status of a TopoServer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopoServerStatus {
    /// The generation of the spec that this status describes; -1 until it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Progressing, Reconciling, Stalled and, where they apply, others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_string()]))]
    pub conditions: Vec<Condition>,
    /// `True` if a quorum of members is ready.
    #[serde(default)]
    pub available: Truth,
    /// Whether all members have started. From then on, a member whose volume is empty has to be replaced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub formed: bool,
    /// Members that are ready.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub ready_replicas: i32,
    /// Progress of a change of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
}

/// Status of a MultiAdmin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MultiAdminStatus {
    /// The generation of the spec that this status describes; -1 until it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Progressing, Reconciling, Stalled and, where they apply, others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_string()]))]
    pub conditions: Vec<Condition>,
    /// `True` if a pod is ready.
    #[serde(default)]
    pub available: Truth,
    /// Pods that are ready.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub ready_replicas: i32,
    /// The Service of the admin server.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service_name: String,
    /// Progress of a change of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
}

/// Status of a MultiOrch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MultiOrchStatus {
    /// The generation of the spec that this status describes; -1 until it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Progressing, Reconciling, Stalled and, where they apply, others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_string()]))]
    pub conditions: Vec<Condition>,
    /// `True` if a pod is ready in every cell.
    #[serde(default)]
    pub available: Truth,
    /// Pods that are ready, over all cells.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub ready_replicas: i32,
    /// Pods that are wanted, over all cells.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub desired_replicas: i32,
    /// Progress of a change of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
}

/// Status of a MultiCell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MultiCellStatus {
    /// The generation of the spec that this status describes; -1 until it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Progressing, Reconciling, Stalled and, where they apply, others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_string()]))]
    pub conditions: Vec<Condition>,
    /// `True` if a gateway pod is ready.
    #[serde(default)]
    pub gateway_available: Truth,
    /// `True` if the cell's own topology server answers; absent if the cell uses the global one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topo_server_available: Option<Truth>,
    /// Gateway pods that are ready.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub ready_replicas: i32,
    /// The Service of the gateway.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service_name: String,
    /// Progress of a change of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
}

/// Status of a MultiShard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MultiShardStatus {
    /// The generation of the spec that this status describes; -1 until it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Progressing, Reconciling, Stalled and, where they apply, others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_string()]))]
    pub conditions: Vec<Condition>,
    /// Number of instances that the spec asks for.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub desired_instances: i32,
    /// Number of instances whose PostgreSQL accepts connections.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub ready_instances: i32,
    /// `True` only when a primary that serves was seen.
    #[serde(default)]
    pub serving_writes: Truth,
    /// `True` for good once the shard was seen to be initialized with data, `False` only while it is known that it
    /// never was. While it is `False`, the major version of PostgreSQL can be changed.
    #[serde(default)]
    pub initialized: Truth,
    /// The pod of the primary, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// Each pool, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pools: BTreeMap<String, PoolStatus>,
    /// Progress of a change of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
}

/// A pool of instances.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolStatus {
    /// Number of instances that the spec asks for.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub desired_instances: i32,
    /// Number of instances whose PostgreSQL accepts connections.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub ready_instances: i32,
}
