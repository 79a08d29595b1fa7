//! Why the topology did not do what it was asked for.

use tonic::Code;

use super::merge::Malformed;
use crate::reason::Reason;

/// Why the topology did not do what it was asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// There is no client.
    #[error("the operator runs without a topology client")]
    Absent,
    /// Nobody answered.
    #[error("{address} does not answer: {why}")]
    Unreachable {
        /// Who was asked last.
        address: String,
        /// What the network says.
        why: String,
    },
    /// It was understood and not done.
    #[error("{address} refuses: {why}")]
    Refused {
        /// Who was asked.
        address: String,
        /// What kind of refusal it is.
        code: Code,
        /// What the server says.
        why: String,
    },
    /// Somebody else wrote it, each time just before.
    #[error("{key} is being written by somebody else")]
    Conflict {
        /// Of the record.
        key: String,
    },
    /// What is there is not the operator's to overwrite.
    #[error("{key}: {source}")]
    Unreadable {
        /// Of the record.
        key: String,
        /// What is wrong with it.
        source: Malformed,
    },
    /// It could not even be tried.
    #[error("{what}: {why}")]
    Invalid {
        /// What is wrong.
        what: String,
        /// Why.
        why: String,
    },
    /// It is not in the topology.
    #[error("{what} is not registered")]
    NotRegistered {
        /// What was looked for.
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

    /// Whether whoever was asked does not know what it was asked for, as another version may not.
    pub fn is_unimplemented(&self) -> bool {
        matches!(self, Self::Refused { code: Code::Unimplemented, .. })
    }

    /// Whether it stays so until somebody changes something.
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
