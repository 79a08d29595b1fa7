//! The records of the topology: those that the operator writes, and those of the components that it reads.
//!
//! Written by hand after Multigres' own definitions, with the fields that are needed and no others.

use std::collections::BTreeMap;

use multigres_crds::v1alpha1::MultiShardSpec;
use prost::Message;

/// Location of a cell's topology.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Cell {
    /// Name of the cell.
    #[prost(string, tag = "1")]
    pub name: String,
    /// `host:port` of each endpoint.
    #[prost(string, repeated, tag = "2")]
    pub server_addresses: Vec<String>,
    /// Prefix of the cell's keys.
    #[prost(string, tag = "3")]
    pub root: String,
}

/// Settings that the poolers and orchestrators of a database share.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Database {
    /// Name of the database.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Location of its backups.
    #[prost(message, optional, tag = "2")]
    pub backup_location: Option<BackupLocation>,
    /// The cells that it is in.
    #[prost(string, repeated, tag = "3")]
    pub cells: Vec<String>,
    /// Read when a shard is bootstrapped, and never again.
    #[prost(message, optional, tag = "4")]
    pub bootstrap_durability_policy: Option<DurabilityPolicy>,
}

/// Location of backups.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct BackupLocation {
    /// One of the possible places.
    #[prost(oneof = "Location", tags = "1, 2")]
    pub location: Option<Location>,
}

/// The possible places of backups.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum Location {
    /// A directory that all poolers of a shard share.
    #[prost(message, tag = "1")]
    Filesystem(Filesystem),
    /// An S3 bucket.
    #[prost(message, tag = "2")]
    S3(S3),
}

/// A directory that all poolers of a shard share.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Filesystem {
    /// Path of the directory.
    #[prost(string, tag = "1")]
    pub path: String,
}

/// An S3 bucket.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct S3 {
    /// Name of the bucket.
    #[prost(string, tag = "1")]
    pub bucket: String,
    /// Region of the bucket.
    #[prost(string, tag = "2")]
    pub region: String,
    /// URL of an S3-compatible service.
    #[prost(string, tag = "3")]
    pub endpoint: String,
    /// Prefix of all keys.
    #[prost(string, tag = "4")]
    pub key_prefix: String,
    /// True if the credentials are in the environment of the components.
    #[prost(bool, tag = "5")]
    pub use_env_credentials: bool,
}

/// Copies of a commit that are needed.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DurabilityPolicy {
    /// Name of the policy.
    #[prost(string, tag = "1")]
    pub policy_name: String,
    /// The metrics.
    #[prost(enumeration = "QuorumType", tag = "3")]
    pub quorum_type: i32,
    /// Number of units.
    #[prost(int32, tag = "4")]
    pub required_count: i32,
    /// The policy in words.
    #[prost(string, tag = "5")]
    pub description: String,
}

/// Unit of a quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum QuorumType {
    /// Not said.
    Unknown = 0,
    /// Nodes.
    AtLeastN = 3,
    /// Nodes of different cells.
    MultiCellAtLeastN = 4,
}

/// Identity of a component.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Message)]
pub struct Id {
    /// Kind of the component.
    #[prost(enumeration = "ComponentType", tag = "1")]
    pub component: i32,
    /// The cell that it is in.
    #[prost(string, tag = "2")]
    pub cell: String,
    /// Its `--service-id`.
    #[prost(string, tag = "3")]
    pub name: String,
}

/// The kinds of components.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum ComponentType {
    /// Not said.
    Unknown = 0,
    /// A pooler.
    Multipooler = 1,
    /// A gateway.
    Multigateway = 2,
    /// An orchestrator.
    Multiorch = 3,
}

/// Identity of a shard.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ShardKey {
    /// Name of the database.
    #[prost(string, tag = "1")]
    pub database: String,
    /// Name of the table group.
    #[prost(string, tag = "2")]
    pub table_group: String,
    /// Key range.
    #[prost(string, tag = "3")]
    pub shard: String,
}

/// A pooler's registration. A re-created pooler may register as a primary for half a minute beside the real one.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Multipooler {
    /// Identity of the pooler.
    #[prost(message, optional, tag = "1")]
    pub id: Option<Id>,
    /// The shard that it belongs to.
    #[prost(message, optional, tag = "2")]
    pub shard_key: Option<ShardKey>,
    /// The role that it registers.
    #[prost(enumeration = "PoolerType", tag = "6")]
    pub r#type: i32,
    /// True if it takes queries.
    #[prost(enumeration = "ServingStatus", tag = "7")]
    pub serving_status: i32,
    /// Host name.
    #[prost(string, tag = "8")]
    pub hostname: String,
    /// Its ports, by name.
    #[prost(btree_map = "string, int32", tag = "9")]
    pub port_map: BTreeMap<String, i32>,
}

/// Role that a pooler registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum PoolerType {
    /// Not said.
    Unknown = 0,
    /// It takes writes.
    Primary = 1,
    /// It follows a primary.
    Replica = 2,
    /// It was shut down.
    Drained = 3,
}

/// True if a pooler takes queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum ServingStatus {
    /// It does.
    Serving = 0,
    /// It does not.
    NotServing = 1,
}

/// An orchestrator's registration.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Multiorch {
    /// Identity of the orchestrator.
    #[prost(message, optional, tag = "1")]
    pub id: Option<Id>,
    /// Host name.
    #[prost(string, tag = "2")]
    pub hostname: String,
    /// Its ports, by name.
    #[prost(btree_map = "string, int32", tag = "3")]
    pub port_map: BTreeMap<String, i32>,
}

impl Multipooler {
    /// The pod that it runs in: the first label of the name under which it can be reached.
    pub fn pod(&self) -> &str {
        self.hostname.split('.').next().unwrap_or_default()
    }

    /// True if it belongs to the shard.
    pub fn is_of(&self, shard: &MultiShardSpec) -> bool {
        self.shard_key.as_ref().is_some_and(|key| {
            key.database == shard.database && key.table_group == shard.table_group && key.shard == shard.shard
        })
    }
}
