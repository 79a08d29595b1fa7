//! Members and alarms of an etcd. The messages are written by hand after etcd's own, with the fields that are used.

use prost::Message;

/// Members and alarms of an etcd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EtcdState {
    /// Its members.
    pub members: Vec<EtcdMember>,
    /// The database has reached its quota: every write is refused until the alarm is disarmed.
    pub out_of_space: bool,
}

/// A member, as etcd lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EtcdMember {
    /// Its identity. A member that is removed and added again has another one.
    pub id: u64,
    /// URLs by which the other members reach it.
    pub peer_urls: Vec<String>,
    /// It has started at least once under this identity.
    pub started: bool,
    /// It has no vote.
    pub learner: bool,
}

/// A change of the members of an etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// Remove a member by its identity. Its data is worth nothing afterwards.
    Remove(u64),
    /// Add a member without a vote, by the URL at which the others reach it.
    AddLearner(String),
    /// Give a member its vote. etcd refuses while the member has not caught up.
    Promote(u64),
}

impl From<Member> for EtcdMember {
    fn from(member: Member) -> Self {
        Self {
            id: member.id,
            peer_urls: member.peer_urls,
            // A member publishes them when it first starts.
            started: !member.client_urls.is_empty(),
            learner: member.is_learner,
        }
    }
}

impl StatusResponse {
    /// True if an alarm for want of space is among the errors: `memberID:1 alarm:NOSPACE`.
    pub fn is_out_of_space(&self) -> bool {
        self.errors.iter().any(|error| error.contains("NOSPACE"))
    }
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct MemberListRequest {
    #[prost(bool, tag = "1")]
    pub linearizable: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct MemberListResponse {
    #[prost(message, repeated, tag = "2")]
    pub members: Vec<Member>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Member {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(string, repeated, tag = "3")]
    pub peer_urls: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    pub client_urls: Vec<String>,
    #[prost(bool, tag = "5")]
    pub is_learner: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct MemberAddRequest {
    #[prost(string, repeated, tag = "1")]
    pub peer_urls: Vec<String>,
    #[prost(bool, tag = "2")]
    pub is_learner: bool,
}

/// Of a removal, and of a promotion.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct MemberRequest {
    #[prost(uint64, tag = "1")]
    pub id: u64,
}

/// The result of a change is read from the list of members.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct MemberChangeResponse {}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct StatusRequest {}

#[derive(Clone, PartialEq, Message)]
pub struct StatusResponse {
    #[prost(string, repeated, tag = "8")]
    pub errors: Vec<String>,
}
