//! What poolers say of themselves when they are asked.

use prost::Message;

use super::Error;
use super::records::{Id, Multipooler};
use super::rpc::Peer;

/// As of v0.1.0, and of the versions after it.
const STATUS: [&str; 2] =
    ["/multipoolermanager.MultiPoolerManager/Status", "/multipoolermanager.MultipoolerManager/Status"];

/// Asks a pooler for its status. Poolers speak gRPC without TLS.
pub async fn status(pooler: &Multipooler) -> Result<StatusResponse, Error> {
    Peer::registered(&pooler.hostname, &pooler.port_map)?.call_any(&STATUS, StatusRequest {}).await
}

#[derive(Clone, Copy, PartialEq, Message)]
struct StatusRequest {}

/// All that a pooler says.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StatusResponse {
    /// Of its PostgreSQL.
    #[prost(message, optional, tag = "1")]
    pub status: Option<PoolerStatus>,
    /// Of its shard, as far as it was told.
    #[prost(message, optional, tag = "4")]
    pub consensus_status: Option<ConsensusStatus>,
}

/// What a pooler says of its PostgreSQL.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PoolerStatus {
    /// How it follows its primary, where it does.
    #[prost(message, optional, tag = "3")]
    pub replication_status: Option<ReplicationStatus>,
    /// What it is.
    #[prost(enumeration = "PostgresStatus", tag = "7")]
    pub postgres_status: i32,
    /// Whether it accepts connections.
    #[prost(bool, tag = "14")]
    pub postgres_ready: bool,
}

/// How a standby follows its primary.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ReplicationStatus {
    /// PostgreSQL's own word for it; empty without a receiver.
    #[prost(string, tag = "8")]
    pub wal_receiver_status: String,
}

/// What a PostgreSQL is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum PostgresStatus {
    /// Not known.
    Unknown = 0,
    /// It starts.
    Starting = 1,
    /// In recovery.
    Standby = 2,
    /// On its way out of recovery.
    Promoting = 3,
    /// Not in recovery.
    Primary = 4,
}

/// What a pooler knows of the consensus in its shard.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ConsensusStatus {
    /// The newest that its PostgreSQL has written.
    #[prost(message, optional, tag = "2")]
    pub current_position: Option<PoolerPosition>,
    /// Which pooler speaks.
    #[prost(message, optional, tag = "4")]
    pub id: Option<Id>,
}

/// How far a PostgreSQL has come.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PoolerPosition {
    /// The newest rule that it has written.
    #[prost(message, optional, tag = "1")]
    pub rule: Option<ShardRule>,
}

/// Who leads a shard, and who takes part.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ShardRule {
    /// Later rules have higher ones.
    #[prost(message, optional, tag = "1")]
    pub rule_number: Option<RuleNumber>,
    /// Who leads.
    #[prost(message, optional, tag = "2")]
    pub leader_id: Option<Id>,
    /// Whose copies of a commit count.
    #[prost(message, repeated, tag = "3")]
    pub cohort_members: Vec<Id>,
}

/// The number of a rule, compared in the order of its fields.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Message)]
pub struct RuleNumber {
    /// Increases with every leader that is appointed.
    #[prost(int64, tag = "1")]
    pub coordinator_term: i64,
    /// Increases with every other change.
    #[prost(int64, tag = "2")]
    pub leader_subterm: i64,
}
