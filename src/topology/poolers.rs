//! Status of poolers, as they report it.

use prost::Message;

use super::Error;
use super::records::{Id, Multipooler};
use super::rpc::Peer;

/// As of v0.1.0, and of the versions after it.
const STATUS: [&str; 2] =
    ["/multipoolermanager.MultiPoolerManager/Status", "/multipoolermanager.MultipoolerManager/Status"];

/// Has a pooler log in to its PostgreSQL.
const CREDENTIALS: [&str; 2] = [
    "/multipoolerservice.MultiPoolerService/GetAuthCredentials",
    "/multipoolerservice.MultipoolerService/GetAuthCredentials",
];
/// PostgreSQL's text for a wrong password (SQLSTATE 28P01); a pooler passes on only the text.
const REFUSED: &str = "password authentication failed";

/// Asks a pooler for its status. Poolers speak gRPC without TLS.
pub async fn status(pooler: &Multipooler) -> Result<StatusResponse, Error> {
    Peer::registered(&pooler.hostname, &pooler.port_map)?.call_any(&STATUS, StatusRequest {}).await
}

/// True if the PostgreSQL of a pooler refuses its password. A status leaves out what could not be read, but not why.
pub async fn is_locked_out(pooler: &Multipooler) -> bool {
    let database = pooler.shard_key.as_ref().map(|shard| shard.database.clone()).unwrap_or_default();
    // There is no such role: it is only to be looked for.
    let role = CredentialsRequest { database, role: "multigres-operator".to_owned() };
    let answer = async {
        let peer = Peer::registered(&pooler.hostname, &pooler.port_map)?;
        peer.call_any::<_, Credentials>(&CREDENTIALS, role).await
    };
    answer.await.is_err_and(|error| error.to_string().contains(REFUSED))
}

#[derive(Clone, Copy, PartialEq, Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, Eq, Message)]
struct CredentialsRequest {
    #[prost(string, tag = "1")]
    database: String,
    #[prost(string, tag = "2")]
    role: String,
}

/// Ignored: no credentials are of such a role.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct Credentials {}

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

/// Status of a pooler's PostgreSQL.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PoolerStatus {
    /// Its replication from the primary, if it follows one.
    #[prost(message, optional, tag = "3")]
    pub replication_status: Option<ReplicationStatus>,
    /// True if it has data, of its own making or restored.
    #[prost(bool, tag = "4")]
    pub is_initialized: bool,
    /// Its state.
    #[prost(enumeration = "PostgresStatus", tag = "7")]
    pub postgres_status: i32,
    /// The long-running action on it.
    #[prost(enumeration = "PostgresAction", tag = "11")]
    pub postgres_action: i32,
    /// True if it accepts connections.
    #[prost(bool, tag = "14")]
    pub postgres_ready: bool,
}

impl PoolerStatus {
    /// True if its PostgreSQL accepts connections, and yet tells it nothing.
    pub fn is_kept_out(&self) -> bool {
        self.postgres_ready
            && matches!(self.postgres_status(), PostgresStatus::Unknown | PostgresStatus::Starting)
    }

    /// True if it is getting its data.
    pub fn is_being_filled(&self) -> bool {
        matches!(self.postgres_action(), PostgresAction::Restoring | PostgresAction::CreatingFirstBackup)
    }
}

/// Replication of a standby from its primary.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ReplicationStatus {
    /// Its primary, as it is configured; nothing where it is told to follow nobody.
    #[prost(message, optional, tag = "7")]
    pub primary_conn_info: Option<PrimaryConnInfo>,
    /// PostgreSQL's own word for it; empty without a receiver.
    #[prost(string, tag = "8")]
    pub wal_receiver_status: String,
}

/// The primary that a standby connects to.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PrimaryConnInfo {
    /// Its host.
    #[prost(string, tag = "1")]
    pub host: String,
}

/// State of a PostgreSQL.
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

/// Long-running action on a PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum PostgresAction {
    /// Nothing.
    None = 0,
    /// It is being started.
    Starting = 1,
    /// It is being restored from a backup.
    Restoring = 2,
    /// It is being initialized, and its first backup made.
    CreatingFirstBackup = 3,
}

/// A pooler's knowledge of the consensus in its shard.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ConsensusStatus {
    /// The promise that it gave to an orchestrator that recruited it.
    #[prost(message, optional, tag = "1")]
    pub term_revocation: Option<TermRevocation>,
    /// The newest that its PostgreSQL has written.
    #[prost(message, optional, tag = "2")]
    pub current_position: Option<PoolerPosition>,
    /// Identity of the pooler.
    #[prost(message, optional, tag = "4")]
    pub id: Option<Id>,
}

/// A promise to follow nobody who leads by a lower term.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct TermRevocation {
    /// The lowest term that may still lead.
    #[prost(int64, tag = "1")]
    pub revoked_below_term: i64,
}

/// Position of a PostgreSQL.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PoolerPosition {
    /// The newest rule that it has written.
    #[prost(message, optional, tag = "1")]
    pub rule: Option<ShardRule>,
}

/// Leader and cohort of a shard.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ShardRule {
    /// Later rules have higher ones.
    #[prost(message, optional, tag = "1")]
    pub rule_number: Option<RuleNumber>,
    /// The leader.
    #[prost(message, optional, tag = "2")]
    pub leader_id: Option<Id>,
    /// Members whose copies of a commit count.
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

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::post;
    use tonic::Code;

    use super::super::testing::{refusal, serve};
    use super::*;

    /// As v0.1.0 answers.
    #[tokio::test]
    async fn a_wrong_password_is_told_from_other_failures() {
        for (code, message, expected) in [
            (
                Code::Unavailable,
                "failed to get admin connection: failed to create admin connection: startup failed: SCRAM \
                 server-final failed: FATAL: password authentication failed for user \"postgres\"",
                true,
            ),
            (
                Code::Unavailable,
                "failed to get admin connection: FATAL: sorry, too many clients already",
                false,
            ),
            (Code::NotFound, "user \"multigres-operator\" not found", false),
            (Code::Unimplemented, "", false),
        ] {
            let answer = post(async move || refusal(code, message));
            let pooler = serve(Router::new().route(CREDENTIALS[0], answer)).await;
            assert_eq!(is_locked_out(&pooler).await, expected, "{message}");
        }
    }

    #[test]
    fn what_a_running_postgresql_does_not_tell_is_asked_for() {
        for (postgres_ready, status, expected) in [
            (true, PostgresStatus::Unknown, true),
            (true, PostgresStatus::Starting, true),
            (true, PostgresStatus::Standby, false),
            (true, PostgresStatus::Primary, false),
            (false, PostgresStatus::Unknown, false),
            (false, PostgresStatus::Starting, false),
        ] {
            let status =
                PoolerStatus { postgres_ready, postgres_status: status.into(), ..PoolerStatus::default() };
            assert_eq!(status.is_kept_out(), expected, "{status:?}");
        }
    }
}
