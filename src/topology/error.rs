//! Reason why the topology did not do what it was asked for.

use tonic::Code;

use super::merge::Malformed;
use crate::reason::Reason;

/// Reason why the topology did not do what it was asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// There is no client.
    #[error("the operator runs without a topology client")]
    Absent,
    /// Nobody answered.
    #[error("{address} does not answer: {why}")]
    Unreachable {
        /// Address that was asked last.
        address: String,
        /// Text of the network error.
        why: String,
    },
    /// It was understood and not done.
    #[error("{address} refuses: {why}")]
    Refused {
        /// Address that was asked.
        address: String,
        /// Status code of the refusal.
        code: Code,
        /// Text of the server.
        why: String,
    },
    /// Somebody else wrote it, each time just before.
    #[error("{key} is being written by somebody else")]
    Conflict {
        /// Of the record.
        key: String,
    },
    /// The existing record must not be overwritten by the operator.
    #[error("{key}: {source}")]
    Unreadable {
        /// Of the record.
        key: String,
        /// The problem.
        source: Malformed,
    },
    /// It could not even be tried.
    #[error("{what}: {why}")]
    Invalid {
        /// The problem.
        what: String,
        /// Why.
        why: String,
    },
    /// It is not in the topology.
    #[error("{what} is not registered")]
    NotRegistered {
        /// The object that was looked up.
        what: String,
    },
}

impl Error {
    /// A stable word for conditions, events and metrics.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Absent | Self::NotRegistered { .. } => Reason::TopologyUnknown,
            Self::Unreachable { .. } => Reason::TopologyUnreachable,
            Self::Refused { .. } => Reason::TopologyRefused,
            Self::Conflict { .. } => Reason::TopologyConflict,
            Self::Unreadable { .. } => Reason::TopologyRecordUnreadable,
            Self::Invalid { .. } => Reason::TopologyInvalid,
        }
    }

    /// True if whoever was asked does not know what it was asked for, as another version may not.
    pub fn is_unimplemented(&self) -> bool {
        matches!(self, Self::Refused { code: Code::Unimplemented, .. })
    }

    /// True if it stays so until somebody changes something.
    pub fn is_lasting(&self) -> bool {
        const OF_THE_REQUEST: [Code; 4] =
            [Code::Unauthenticated, Code::PermissionDenied, Code::InvalidArgument, Code::Unimplemented];
        match self {
            Self::Refused { code, .. } => OF_THE_REQUEST.contains(code),
            Self::Unreadable { .. } | Self::Invalid { .. } => true,
            _ => false,
        }
    }
}
