//! The cohort of a shard: the members whose copies of a commit count, as its leader records them.
//!
//! Multiorch adds whoever follows, and removes whoever says that it leaves. One that is gone without a word stays: its
//! copies would go on counting, and a failover would wait for it.

use prost::Message;

use super::Error;
use super::poolers::{RuleNumber, ShardRule};
use super::records::{Id, Multipooler};
use super::rpc::Peer;

/// As of v0.1.0, and of the versions after it.
const UPDATE_CONSENSUS_RULE: [&str; 2] = [
    "/consensus.MultiPoolerConsensus/UpdateConsensusRule",
    "/consensus.MultipoolerConsensus/UpdateConsensusRule",
];

/// The leader of a shard, with the rule that it leads by.
#[derive(Clone, Copy, Debug)]
pub struct Leader<'a> {
    /// The leader itself.
    pub pooler: &'a Multipooler,
    /// The newest rule that it has written.
    pub rule: &'a ShardRule,
}

impl Leader<'_> {
    /// Has a pooler's copies no longer counted. The leader does it only while its rule is the one that was seen.
    pub async fn remove(&self, member: &Id) -> Result<(), Error> {
        if !self.rule.cohort_members.contains(member) {
            return Ok(());
        }
        let request = UpdateConsensusRuleRequest {
            operation: Operation::Remove.into(),
            standby_ids: vec![member.clone()],
            expected_outgoing_rule: self.rule.rule_number,
        };
        let peer = Peer::registered(&self.pooler.hostname, &self.pooler.port_map)?;
        let _: UpdateConsensusRuleResponse = peer.call_any(&UPDATE_CONSENSUS_RULE, request).await?;
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
enum Operation {
    Unspecified = 0,
    Add = 1,
    Remove = 2,
}

#[derive(Clone, PartialEq, Message)]
struct UpdateConsensusRuleRequest {
    #[prost(enumeration = "Operation", tag = "1")]
    operation: i32,
    #[prost(message, repeated, tag = "2")]
    standby_ids: Vec<Id>,
    /// The change is refused when the rule is another one by now.
    #[prost(message, optional, tag = "4")]
    expected_outgoing_rule: Option<RuleNumber>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct UpdateConsensusRuleResponse {}
