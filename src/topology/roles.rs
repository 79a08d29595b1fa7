//! Roles in a shard, from the status of its poolers.
//!
//! Pure. Records alone do not tell: a re-created old primary registers as a primary beside the real one. What counts
//! is the consensus, of which every pooler knows as much as its PostgreSQL has written.

use std::collections::BTreeMap;

use multigres_crds::v1alpha1::{DurabilityPolicy, Truth};

use super::cohort::Leader;
use super::poolers::{PoolerStatus, PostgresStatus, RuleNumber, ShardRule, StatusResponse};
use super::records::{Id, Multipooler, PoolerType, ServingStatus};

/// The roles in a shard, as far as they were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// The pod of the primary.
    pub primary: Option<String>,
    /// The term that it leads in.
    pub term: Option<i64>,
    /// True if that primary serves writes, and somebody acknowledges them. Where none was seen: false if every pooler
    /// was seen and none could, else unknown.
    pub serving_writes: Truth,
    /// True if the shard has data: false only where no pooler was ever registered, since then nothing has run.
    pub initialized: Truth,
    /// The poolers that are registered, by pod.
    pub members: BTreeMap<String, Member>,
    /// Topologies, cells and poolers that did not answer, sorted.
    pub unseen: Vec<String>,
}

/// A pooler of a shard.
#[expect(clippy::struct_excessive_bools, reason = "what a pooler tells of itself is one bit each")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Identity in the topology.
    pub id: Id,
    /// The DNS name under which it is registered.
    pub hostname: String,
    /// Its role; not known where it did not answer, or could not read the rule in its PostgreSQL.
    pub role: Option<Role>,
    /// True if it receives what the primary writes.
    pub streaming: bool,
    /// True if the primary counts its copy of a commit.
    pub in_cohort: bool,
    /// True if its PostgreSQL refuses the password that it was started with.
    pub locked_out: bool,
    /// True if it has taken part in the consensus with the data that it has: it has promised to ignore older terms,
    /// has heard of no later one than the primary's, and is neither being restored nor initialized.
    pub has_taken_part: bool,
    /// True if it follows nobody, since it has promised to follow a later leader than there is.
    pub abandoned: bool,
}

/// Role of a pooler under the newest rule that any pooler knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one that takes writes.
    Primary,
    /// One of the others, whatever state it is in.
    Standby,
}

impl Roles {
    /// True if the pooler of a pod takes its full part, as a pod that was replaced must before the next one is.
    pub fn has_joined(&self, pod: &str) -> bool {
        self.members.get(pod).is_some_and(|member| {
            member.role == Some(Role::Primary)
                || (member.role.is_some() && member.streaming && member.in_cohort)
        })
    }

    /// The cell of the primary.
    pub fn primary_cell(&self) -> Option<&str> {
        let member = self.members.get(self.primary.as_ref()?)?;
        Some(&member.id.cell)
    }
}

/// A pooler that is registered, with what it said when it was asked.
#[derive(Clone, Debug)]
pub struct Sighting {
    record: Multipooler,
    answer: Option<StatusResponse>,
    locked_out: bool,
}

impl Sighting {
    /// An answer counts only if it comes from the pooler that was asked, not from a successor of the same name.
    pub fn new(record: Multipooler, answer: Option<StatusResponse>) -> Self {
        let speaker = |answer: &StatusResponse| answer.consensus_status.as_ref()?.id.clone();
        let answer = answer.filter(|answer| speaker(answer) == record.id);
        Self { record, answer, locked_out: false }
    }

    /// The same, and whether its PostgreSQL refuses its password.
    pub fn with_lock(self, locked_out: bool) -> Self {
        Self { locked_out, ..self }
    }

    /// Its registration.
    pub fn record(&self) -> &Multipooler {
        &self.record
    }

    fn id(&self) -> Id {
        self.record.id.clone().unwrap_or_default()
    }

    fn status(&self) -> Option<&PoolerStatus> {
        self.answer.as_ref()?.status.as_ref()
    }

    fn rule(&self) -> Option<&ShardRule> {
        self.answer.as_ref()?.consensus_status.as_ref()?.current_position.as_ref()?.rule.as_ref()
    }

    /// True if its PostgreSQL has data. It may be down, and yet its pooler know.
    fn has_data(&self) -> bool {
        self.rule().is_some()
            || self.serves_writes()
            || self.status().is_some_and(|status| status.is_initialized)
    }

    fn leads_by_its_own_word(&self) -> bool {
        self.rule().is_some_and(|rule| rule.leader_id.is_some() && rule.leader_id == self.record.id)
    }

    fn serves_writes(&self) -> bool {
        self.record.serving_status() == ServingStatus::Serving
            && self.status().is_some_and(|status| {
                status.postgres_ready && status.postgres_status() == PostgresStatus::Primary
            })
    }

    /// True if it receives what its primary writes.
    pub fn streams(&self) -> bool {
        let replication = self.status().and_then(|status| status.replication_status.as_ref());
        replication.is_some_and(|replication| replication.wal_receiver_status == "streaming")
    }

    /// The term of the newest rule that it has written.
    fn term(&self) -> Option<i64> {
        self.rule()?.rule_number.map(term)
    }

    /// True if it has taken part in the consensus with the data that it has.
    fn is_member(&self) -> bool {
        let promise = |answer: &StatusResponse| answer.consensus_status.as_ref()?.term_revocation;
        let promised = self.answer.as_ref().and_then(promise);
        promised.is_some_and(|promise| promise.revoked_below_term > 0)
            && self.status().is_some_and(|status| status.is_initialized && !status.is_being_filled())
    }

    /// True if it is a standby that was recruited for a later term than the leader's, and was never told whom to
    /// follow.
    /// It refuses to follow the leader that there is. Orchestrators restart its PostgreSQL meanwhile, in vain, so that
    /// may be down.
    fn is_abandoned(&self, leader_term: i64) -> bool {
        let consensus = self.answer.as_ref().and_then(|answer| answer.consensus_status.as_ref());
        let revocation = consensus.and_then(|consensus| consensus.term_revocation);
        let leads = self.status().is_some_and(|status| {
            matches!(status.postgres_status(), PostgresStatus::Promoting | PostgresStatus::Primary)
        });
        let replication = self.status().and_then(|status| status.replication_status.as_ref());
        let primary = replication.and_then(|replication| replication.primary_conn_info.as_ref());
        revocation.is_some_and(|revocation| revocation.revoked_below_term > leader_term)
            && !leads
            && primary.is_none_or(|primary| primary.host.is_empty())
            && !self.streams()
    }

    /// True if it was shut down: nothing is to be expected of it.
    fn has_ended(&self) -> bool {
        self.answer.is_none() && self.record.r#type() == PoolerType::Drained
    }

    fn is_missing(&self) -> bool {
        self.answer.is_none() && !self.has_ended()
    }
}

/// The roles in a shard, and what else could not be asked about it.
pub fn roles(
    sightings: &[Sighting],
    unseen: impl IntoIterator<Item = String>,
    durability: DurabilityPolicy,
) -> Roles {
    let missing = sightings.iter().filter(|sighting| sighting.is_missing());
    let missing = missing.map(|sighting| format!("pooler {}", sighting.record.pod()));
    let mut unseen: Vec<String> = unseen.into_iter().chain(missing).collect();
    unseen.sort();

    let leader = leader(sightings);
    let serving_writes = match leader {
        Some(leader) if leader.serves_writes() => acknowledged(leader, sightings, durability),
        Some(_) => false.into(),
        // One may take writes and not be able, or not be in time, to prove that it leads.
        None if !unseen.is_empty() || sightings.iter().any(Sighting::serves_writes) => Truth::Unknown,
        None => Truth::False,
    };
    Roles {
        primary: leader.map(|leader| leader.record.pod().to_owned()),
        term: leader.and_then(Sighting::term),
        serving_writes,
        initialized: initialized(sightings, &unseen),
        members: members(sightings, leader),
        unseen,
    }
}

/// True if a shard has data, from what is seen at the moment. What has run and is gone leaves its record.
fn initialized(sightings: &[Sighting], unseen: &[String]) -> Truth {
    if sightings.iter().any(Sighting::has_data) {
        Truth::True
    } else if sightings.is_empty() && unseen.is_empty() {
        Truth::False
    } else {
        Truth::Unknown
    }
}

/// True if anybody acknowledges what a leader writes: by every policy a commit waits for a second copy, which a member
/// of its cohort makes. One that lives and is not seen to make any may have begun just now.
fn acknowledged(leader: &Sighting, sightings: &[Sighting], durability: DurabilityPolicy) -> Truth {
    let id = leader.id();
    let counts =
        |member: &&Id| **member != id && (durability == DurabilityPolicy::AtLeast2 || member.cell != id.cell);
    let cohort = leader.rule().map_or(&[][..], |rule| &rule.cohort_members);
    let seen = |member: &Id| sightings.iter().find(|sighting| sighting.id() == *member);
    let others: Vec<Option<&Sighting>> = cohort.iter().filter(counts).map(seen).collect();
    if others.iter().flatten().any(|other| other.streams()) {
        return Truth::True;
    }
    // While members come and go there are moments in which the rule names nobody.
    let all_ended = !others.is_empty() && others.iter().all(|other| other.is_some_and(Sighting::has_ended));
    if all_ended { Truth::False } else { Truth::Unknown }
}

/// The leader, with what it leads by.
pub fn led(sightings: &[Sighting]) -> Option<Leader<'_>> {
    let leader = leader(sightings)?;
    Some(Leader { pooler: &leader.record, rule: leader.rule()? })
}

/// The one that names itself as the leader in the newest term that anyone has heard of. One that has been replaced
/// names itself in an older term.
fn leader(sightings: &[Sighting]) -> Option<&Sighting> {
    let number = |sighting: &Sighting| sighting.rule()?.rule_number;
    let newest = sightings.iter().filter_map(number).max()?;
    let candidates = sightings.iter().filter(|sighting| sighting.leads_by_its_own_word());
    let leader = candidates.max_by_key(|sighting| number(sighting))?;
    // The subterm may be behind: a standby that was asked later has heard of a later change under the same leader.
    (number(leader).map(term) == Some(term(newest))).then_some(leader)
}

fn term(number: RuleNumber) -> i64 {
    number.coordinator_term
}

fn members(sightings: &[Sighting], leader: Option<&Sighting>) -> BTreeMap<String, Member> {
    let cohort = leader.and_then(Sighting::rule).map_or(&[][..], |rule| &rule.cohort_members);
    let leader_term = leader.and_then(Sighting::term);
    let leader = leader.map(Sighting::id);
    let member = |sighting: &Sighting| {
        let id = sighting.id();
        let role = if leader.as_ref() == Some(&id) { Role::Primary } else { Role::Standby };
        Member {
            role: sighting.rule().map(|_| role),
            streaming: sighting.streams(),
            in_cohort: cohort.contains(&id),
            locked_out: sighting.locked_out,
            has_taken_part: sighting.is_member() && sighting.term() <= leader_term,
            abandoned: role == Role::Standby && leader_term.is_some_and(|term| sighting.is_abandoned(term)),
            hostname: sighting.record.hostname.clone(),
            id,
        }
    };
    // The record of a predecessor in another cell may bear the name of a pod that lives: what answers comes last.
    let mut sightings: Vec<&Sighting> = sightings.iter().collect();
    sightings.sort_by_key(|sighting| (sighting.answer.is_some(), sighting.id()));
    sightings.into_iter().map(|sighting| (sighting.record.pod().to_owned(), member(sighting))).collect()
}

#[cfg(test)]
mod tests;
