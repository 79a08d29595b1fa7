//! The databases of a cluster, as a user writes them: in a short form by cell, or by table group and shard.

use compact_str::CompactString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::*;

/// The databases of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct DatabasesSection {
    /// Makes the operator create and manage MultiShards from the templates. True when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<bool>,
    /// Images of every database, unless it has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<DatabaseImages>,
    /// One template per database.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    pub templates: Vec<DatabaseTemplate>,
}

/// Images of the containers of a pooler pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseImages {
    /// Image with PostgreSQL, pgBackRest and pgctld.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub postgres: Option<String>,
    /// Image of multipooler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub multi_pooler: Option<String>,
    /// Image of multipooler, as one of the proposal's samples spells it. Never both spellings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub multipooler: Option<String>,
    /// Image of the Prometheus exporter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub postgres_exporter: Option<String>,
}

impl DatabaseImages {
    /// The pooler's image under either spelling.
    pub fn pooler(&self) -> Option<&String> {
        self.multi_pooler.as_ref().or(self.multipooler.as_ref())
    }
}

/// Template of a database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DatabaseTemplate {
    /// Name of the database, an unquoted PostgreSQL identifier, unique in the cluster.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The database's settings.
    pub spec: DatabaseTemplateSpec,
}

/// Settings of a database. Exactly one of `pools` and `tableGroups` is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseTemplateSpec {
    /// Images of this database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<DatabaseImages>,
    /// Copies of a commit that are needed before it is acknowledged. `AT_LEAST_2` when absent. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durability_policy: Option<DurabilityPolicy>,
    /// The password of the superuser `postgres`. A random one is generated when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeyReference>,
    /// Location of this database's backups. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// Whether the operator deletes the data volume of an instance that cannot follow the primary any more, and fills a
    /// new one from the backup. It does so only after a rewind has not helped, while the primary and another instance
    /// have every commit, and one instance at a time. What only such an instance has was acknowledged to nobody, and is
    /// gone. False when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace_lost_instances: Option<bool>,
    /// The Prometheus exporter beside each PostgreSQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres_exporter: Option<PostgresExporter>,
    /// The short form: one table group `default` with one shard, its pools by cell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub pools: Vec<CellPools>,
    /// The full form: table groups, each cut into shards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    pub table_groups: Vec<TableGroup>,
}

/// The Prometheus exporter beside each PostgreSQL.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PostgresExporter {
    /// Runs the exporter beside each instance. False when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Image of the exporter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// CPU and memory of the exporter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
}

/// The pools of one cell in the short form. Both are primary-eligible, since MultiOrch elects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellPools {
    /// The cell that the pools run in.
    #[schemars(with = "String", length(max = 63))]
    pub cell: CompactString,
    /// The pool in which the primary is preferred; in exactly one entry of a database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<Member>,
    /// A pool of replicas. What it leaves out, except `replicas`, it inherits from `primary` of this entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<Member>,
}

/// A pool of the short form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Number of instances. 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: Option<i32>,
    /// The data volume of each instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_volume_claim_template: Option<VolumeClaimTemplate>,
    /// The PostgreSQL container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<Container>,
    /// The pooler container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multi_pooler: Option<Container>,
    /// The pooler container, as one of the proposal's samples spells it. Never both spellings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multipooler: Option<Box<Container>>,
    /// Constraints on the nodes that the instances may run on. Each field that is absent is taken from the cell's
    /// placement.
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
    /// Service account of the pods, for example for access to S3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,
}

impl Member {
    /// The pooler container under either spelling.
    pub fn pooler(&self) -> Option<&Container> {
        self.multi_pooler.as_ref().or(self.multipooler.as_deref())
    }
}

/// A table group of the full form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TableGroup {
    /// Name of the table group, unique in the database.
    #[schemars(length(max = 25))]
    pub name: String,
    /// Partitioning of the table group into shards.
    pub partitioning: Partitioning,
    /// Settings of each shard.
    pub shard_template: ShardTemplate,
}

/// Partitioning of a table group into shards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct Partitioning {
    /// Number of shards, of equal key ranges. Cannot be changed.
    #[schemars(range(min = 1, max = 64))]
    #[x_kube(validation = ("self == oldSelf", "shards cannot be changed: resharding is not implemented"))]
    pub shards: i32,
}

/// Settings of each shard of a table group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShardTemplate {
    /// The pools of each shard.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub pools: Vec<Pool>,
}

/// Type of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "variant docs would replace the enum by a `oneOf` in the schema")]
pub enum PoolType {
    #[default]
    Replica,
    ReadOnly,
}

impl PoolType {
    /// The API's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replica => "replica",
            Self::ReadOnly => "readOnly",
        }
    }
}

/// A pool of the full form.
///
/// The fields of [`Member`] are repeated, not flattened: `serde` loses the path of an error inside a flattened
/// struct, and the schema is the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    // A large cluster has thousands of pools: what hardly any of them has is kept in a `Box`.
    /// Name of the pool, unique in the shard. `<cell>-<type>` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub name: Option<String>,
    /// `replica` (primary-eligible) or `readOnly`.
    #[serde(rename = "type")]
    pub type_: PoolType,
    /// The cell that the pool runs in.
    #[schemars(with = "String", length(max = 63))]
    pub cell: CompactString,
    /// Number of instances in each shard. 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: Option<i32>,
    /// The data volume of each instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_volume_claim_template: Option<VolumeClaimTemplate>,
    /// The PostgreSQL container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<Container>,
    /// The pooler container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multi_pooler: Option<Container>,
    /// The pooler container, as one of the proposal's samples spells it. Never both spellings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multipooler: Option<Box<Container>>,
    /// Constraints on the nodes that the instances may run on. Each field that is absent is taken from the cell's
    /// placement.
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
    /// Service account of the pods, for example for access to S3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,
}

impl Pool {
    /// The pool's name, or what stands for it when it has none.
    pub fn resolved_name(&self) -> CompactString {
        let default = || CompactString::from_iter([&*self.cell, "-", self.type_.as_str()]);
        self.name.as_deref().map_or_else(default, CompactString::from)
    }
}
