//! Exchange with the running data plane: the records of cells and databases, the roles in shards, and if writes are
//! served.
//!
//! Records are in etcd ([`Etcd`]), under keys that are Multigres' own ([`desired`]). What poolers write there of
//! themselves is not always so, so they are asked themselves: see [`Roles`].

pub mod desired;
pub mod records;

mod client;
mod cohort;
mod credentials;
mod error;
mod etcd;
mod members;
pub mod merge;
mod orch;
mod poolers;
mod repair;
mod roles;
mod rpc;
#[cfg(test)]
mod testing;

use futures::future::BoxFuture;
use multigres_crds::v1alpha1::{MultiCellSpec, MultiShardSpec, TopologyReference, Truth};

pub use client::Client;
pub use credentials::Credentials;
pub use error::Error;
pub use etcd::{Etcd, KeyValue};
pub use members::{EtcdMember, EtcdState, MemberChange};
pub use merge::Malformed;
pub use roles::{Member, Role, Roles};

pub use records::Id;

/// A client of the topology.
///
/// Each call is bounded in time and answers with what was seen. What was not seen is unknown, never guessed.
pub trait Topology: Send + Sync + 'static {
    /// True if anything can be learned of the data plane at all.
    fn is_absent(&self) -> bool {
        false
    }

    /// True if a topology server answers.
    fn reachable<'a>(&'a self, topology: &'a Access) -> BoxFuture<'a, Truth>;

    /// Members and alarms of an etcd, as a quorum of it has them.
    fn etcd<'a>(&'a self, topology: &'a Access) -> BoxFuture<'a, Result<EtcdState, Error>>;

    /// Changes the members of an etcd.
    fn change_members<'a>(
        &'a self,
        topology: &'a Access,
        change: &'a MemberChange,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// The roles in a shard.
    fn roles<'a>(&'a self, global: &'a Access, shard: &'a MultiShardSpec) -> BoxFuture<'a, Roles>;

    /// Sees to the record of a cell.
    fn ensure_cell<'a>(
        &'a self,
        global: &'a Access,
        cell: &'a MultiCellSpec,
    ) -> BoxFuture<'a, Result<Written, Error>>;

    /// Sees to the record of a shard's database, if this shard is the one that writes it.
    fn ensure_database<'a>(
        &'a self,
        global: &'a Access,
        shard: &'a MultiShardSpec,
    ) -> BoxFuture<'a, Result<Written, Error>>;

    /// Removes the record of a cell, if it still says what the operator wrote.
    fn remove_cell<'a>(
        &'a self,
        global: &'a Access,
        cell: &'a MultiCellSpec,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// Removes the record of a shard's database, if this shard is the one that wrote it, and it still says so.
    fn remove_database<'a>(
        &'a self,
        global: &'a Access,
        shard: &'a MultiShardSpec,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// Removes a pooler that will not return: from the cohort, whose commits would go on counting on it, and its record.
    /// Nobody else does.
    fn remove_pooler<'a>(
        &'a self,
        global: &'a Access,
        shard: &'a MultiShardSpec,
        pooler: &'a Id,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// Has the leader of a shard no longer count the copies of a pooler, which stays registered.
    fn remove_from_cohort<'a>(
        &'a self,
        global: &'a Access,
        shard: &'a MultiShardSpec,
        pooler: &'a Id,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// Has a pooler discard the log that its primary does not have. Takes as long as that takes.
    fn rewind_pooler<'a>(
        &'a self,
        _global: &'a Access,
        _shard: &'a MultiShardSpec,
        _pooler: &'a Id,
    ) -> BoxFuture<'a, Result<(), Error>> {
        answer(Err(Error::Absent))
    }

    /// True if a backup of a shard is complete, by the word of an instance that follows.
    fn has_backup<'a>(
        &'a self,
        _global: &'a Access,
        _shard: &'a MultiShardSpec,
    ) -> BoxFuture<'a, Result<bool, Error>> {
        answer(Err(Error::Absent))
    }

    /// Has an orchestrator of a cell deal with a primary that is gone now, instead of after a grace. Answers with the
    /// problems that remain: call it again until there are none.
    fn trigger_recovery<'a>(
        &'a self,
        global: &'a Access,
        cell: &'a str,
    ) -> BoxFuture<'a, Result<Vec<String>, Error>>;
}

/// Access to a topology.
#[derive(Clone, Debug)]
pub struct Access {
    /// `host:port` of each endpoint, separated by commas.
    pub address: String,
    /// Prefix of all keys.
    pub root: String,
    /// Credentials, if it requires them.
    pub credentials: Option<Credentials>,
}

impl Access {
    /// To a topology, with what its Secrets hold.
    pub fn new(topology: &TopologyReference, credentials: Option<Credentials>) -> Self {
        Self { address: topology.address.clone(), root: topology.root_path.clone(), credentials }
    }
}

/// The write that a record needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Nothing: it says what it should.
    Unchanged,
    /// It was not there.
    Created,
    /// It said something else.
    Updated,
}

/// No topology client: everything is unknown, and nothing is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Absent;

fn answer<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, T> {
    Box::pin(std::future::ready(value))
}

impl Topology for Absent {
    fn is_absent(&self) -> bool {
        true
    }

    fn reachable<'a>(&'a self, _: &'a Access) -> BoxFuture<'a, Truth> {
        answer(Truth::Unknown)
    }

    fn etcd<'a>(&'a self, _: &'a Access) -> BoxFuture<'a, Result<EtcdState, Error>> {
        answer(Err(Error::Absent))
    }

    fn change_members<'a>(&'a self, _: &'a Access, _: &'a MemberChange) -> BoxFuture<'a, Result<(), Error>> {
        answer(Err(Error::Absent))
    }

    fn roles<'a>(&'a self, _: &'a Access, _: &'a MultiShardSpec) -> BoxFuture<'a, Roles> {
        answer(Roles::default())
    }

    fn ensure_cell<'a>(
        &'a self,
        _: &'a Access,
        _: &'a MultiCellSpec,
    ) -> BoxFuture<'a, Result<Written, Error>> {
        answer(Err(Error::Absent))
    }

    fn ensure_database<'a>(
        &'a self,
        _: &'a Access,
        _: &'a MultiShardSpec,
    ) -> BoxFuture<'a, Result<Written, Error>> {
        answer(Err(Error::Absent))
    }

    fn remove_cell<'a>(&'a self, _: &'a Access, _: &'a MultiCellSpec) -> BoxFuture<'a, Result<(), Error>> {
        answer(Err(Error::Absent))
    }

    fn remove_database<'a>(
        &'a self,
        _: &'a Access,
        _: &'a MultiShardSpec,
    ) -> BoxFuture<'a, Result<(), Error>> {
        answer(Err(Error::Absent))
    }

    fn remove_pooler<'a>(
        &'a self,
        _: &'a Access,
        _: &'a MultiShardSpec,
        _: &'a Id,
    ) -> BoxFuture<'a, Result<(), Error>> {
        answer(Err(Error::Absent))
    }

    fn remove_from_cohort<'a>(
        &'a self,
        _: &'a Access,
        _: &'a MultiShardSpec,
        _: &'a Id,
    ) -> BoxFuture<'a, Result<(), Error>> {
        answer(Err(Error::Absent))
    }

    fn trigger_recovery<'a>(
        &'a self,
        _: &'a Access,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        answer(Err(Error::Absent))
    }
}
