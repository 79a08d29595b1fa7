//! `MultiShard`: the pools of PostgreSQL instances that hold one key range.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::*;
use super::databases::PoolType;
use super::status::MultiShardStatus;

/// The pools of PostgreSQL instances that hold one key range of a table group.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "multigres.com",
    version = "v1alpha1",
    kind = "MultiShard",
    plural = "multishards",
    shortname = "mgs",
    category = "multigres",
    namespaced,
    status = "MultiShardStatus",
    derive = "PartialEq",
    doc = "The pools of PostgreSQL instances that hold one key range of a table group.",
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.cluster"),
    printcolumn(name = "Database", type_ = "string", json_path = ".spec.database"),
    printcolumn(name = "Group", type_ = "string", json_path = ".spec.tableGroup"),
    printcolumn(name = "Shard", type_ = "string", json_path = ".spec.shard"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyInstances"),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".status.desiredInstances"),
    printcolumn(name = "Writes", type_ = "string", json_path = ".status.servingWrites"),
    printcolumn(name = "Primary", type_ = "string", json_path = ".status.primary", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct MultiShardSpec {
    /// The cluster that this belongs to.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = ("self == oldSelf", "cluster cannot be changed"))]
    pub cluster: String,
    /// Name of the database.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = ("self == oldSelf", "database cannot be changed"))]
    pub database: String,
    /// Name of the table group.
    #[schemars(length(min = 1, max = 25))]
    #[x_kube(validation = ("self == oldSelf", "tableGroup cannot be changed"))]
    pub table_group: String,
    /// Key range of the shard, for example `0-inf` or `80-inf`.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(validation = ("self == oldSelf", "shard cannot be changed"))]
    pub shard: String,
    /// The global topology.
    pub global_topology: TopologyReference,
    /// The Database record of the topology and the connection Secret, where this shard is the one that writes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_record: Option<DatabaseRecord>,
    /// Copies of a commit that are needed before it is acknowledged. Multigres reads it when the shard is bootstrapped.
    #[serde(default)]
    #[x_kube(validation = ("self == oldSelf", "durabilityPolicy cannot be changed: it is read at bootstrap only"))]
    pub durability_policy: DurabilityPolicy,
    /// The password of the superuser `postgres`.
    pub password: Password,
    /// Location of this shard's backups.
    pub backup: Backup,
    /// Retention of data and backup volumes.
    #[serde(default)]
    pub persistent_volume_claim_retention_policy: RetentionPolicy,
    /// Whether the volume of an instance that cannot follow the primary any more is made anew from the backup.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replace_lost_instances: bool,
    /// The Prometheus exporter beside each PostgreSQL, where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres_exporter: Option<ResolvedContainer>,
    /// The pools of instances.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    pub pools: Vec<ShardPool>,
    /// Settings that all pods of the cluster share.
    #[serde(default)]
    pub pods: PodSettings,
    /// While true, the operator writes nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// For one hour from this time, pods are replaced although nobody is seen to lead: one at a time, and only after
    /// five minutes without a leader in which every instance is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_rollout_at: Option<Time>,
}

/// Settings that a database has once, over all its shards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseRecord {
    /// The cells of the database.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub cells: Vec<String>,
    /// DNS name of the gateway in the connection Secret.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Port of the gateway in the connection Secret.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
}

/// Location of the superuser's password.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Password {
    /// The Secret and its key.
    pub secret_key_ref: SecretKeyReference,
    /// Makes the operator create the Secret once, with a random password.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub generated: bool,
}

/// A pool of instances, every value resolved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShardPool {
    /// Name of the pool, unique in the shard.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The cell that the pool runs in.
    #[schemars(length(min = 1, max = 63))]
    pub cell: String,
    /// `replica` (primary-eligible) or `readOnly`.
    #[serde(rename = "type")]
    pub type_: PoolType,
    /// Prefers this pool for the primary. Multigres v0.1.0 does not support that; the status shows where the primary
    /// is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub primary_preferred: bool,
    /// Number of instances.
    #[schemars(range(min = 0, max = 100))]
    pub replicas: i32,
    /// The data volume of each instance.
    pub data_volume_claim_template: VolumeClaimTemplate,
    /// The PostgreSQL container.
    pub postgres: ResolvedContainer,
    /// The pooler container.
    pub multi_pooler: ResolvedContainer,
    /// Constraints on the nodes that the instances may run on.
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
