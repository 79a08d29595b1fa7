//! A client of etcd, with the few operations that records need.
//!
//! Its messages are written by hand after etcd's own, with the fields that are used.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use multigres_crds::address;
use prost::Message;

use super::Error;
use super::credentials::Credentials;
use super::members::{
    EtcdMember, EtcdState, MemberAddRequest, MemberChangeResponse, MemberListRequest, MemberListResponse,
    MemberRequest, StatusRequest, StatusResponse,
};
use super::rpc::{BOUND, Peer};

/// An etcd, by any of its endpoints. It is connected to when it is first asked.
#[derive(Debug)]
pub struct Etcd {
    endpoints: Vec<Peer>,
    /// The endpoint that answered last.
    answering: AtomicUsize,
}

impl Etcd {
    /// The etcd at `host:port[,host:port…]`.
    pub fn new(addresses: &str, credentials: Option<&Credentials>) -> Result<Self, Error> {
        let endpoints = address::parse(addresses)
            .map_err(|error| Error::Invalid { what: addresses.to_owned(), why: error.to_string() })?;
        let endpoints =
            endpoints.iter().map(|endpoint| Peer::new(endpoint, credentials)).collect::<Result<_, _>>()?;
        Ok(Self { endpoints, answering: AtomicUsize::default() })
    }

    /// The value under a key.
    pub async fn get(&self, key: &str) -> Result<Option<KeyValue>, Error> {
        let request = RangeRequest { key: key.into(), ..RangeRequest::default() };
        let response: RangeResponse = self.call("/etcdserverpb.KV/Range", request).await?;
        Ok(response.kvs.into_iter().next())
    }

    /// Values under all keys with a prefix, in key order.
    pub async fn list(&self, prefix: &str) -> Result<Vec<KeyValue>, Error> {
        let request = RangeRequest { key: prefix.into(), range_end: prefix_end(prefix) };
        let response: RangeResponse = self.call("/etcdserverpb.KV/Range", request).await?;
        Ok(response.kvs)
    }

    /// Writes what is under a key, if nobody else did since that revision: 0 stands for a key that is not there.
    /// Tells whether it was written.
    pub async fn put_if(&self, key: &str, value: Vec<u8>, revision: i64) -> Result<bool, Error> {
        let put = PutRequest { key: key.into(), value };
        self.transact(key, revision, Request::Put(put)).await
    }

    /// Deletes a key, if nobody wrote it since that revision. Tells whether it was deleted.
    pub async fn delete_if(&self, key: &str, revision: i64) -> Result<bool, Error> {
        let delete = DeleteRangeRequest { key: key.into() };
        self.transact(key, revision, Request::DeleteRange(delete)).await
    }

    /// Deletes a key, whether or not it is there.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        let request = DeleteRangeRequest { key: key.into() };
        let _: DeleteRangeResponse = self.call("/etcdserverpb.KV/DeleteRange", request).await?;
        Ok(())
    }

    /// Members and alarms, as a quorum has them.
    pub async fn state(&self) -> Result<EtcdState, Error> {
        let request = MemberListRequest { linearizable: true };
        let list = self.call::<_, MemberListResponse>("/etcdserverpb.Cluster/MemberList", request);
        let status = self.call::<_, StatusResponse>("/etcdserverpb.Maintenance/Status", StatusRequest {});
        let (list, status) = tokio::try_join!(list, status)?;
        Ok(EtcdState {
            members: list.members.into_iter().map(EtcdMember::from).collect(),
            out_of_space: status.is_out_of_space(),
        })
    }

    /// Adds a member without a vote, which has yet to start.
    pub async fn add_learner(&self, peer_url: &str) -> Result<(), Error> {
        let request = MemberAddRequest { peer_urls: vec![peer_url.to_owned()], is_learner: true };
        self.call("/etcdserverpb.Cluster/MemberAdd", request).await.map(|_: MemberChangeResponse| ())
    }

    /// Gives a member its vote. etcd refuses while the member has not caught up.
    pub async fn promote_member(&self, id: u64) -> Result<(), Error> {
        let request = MemberRequest { id };
        self.call("/etcdserverpb.Cluster/MemberPromote", request).await.map(|_: MemberChangeResponse| ())
    }

    /// Removes a member. Its data is worth nothing afterwards.
    pub async fn remove_member(&self, id: u64) -> Result<(), Error> {
        let request = MemberRequest { id };
        self.call("/etcdserverpb.Cluster/MemberRemove", request).await.map(|_: MemberChangeResponse| ())
    }

    async fn transact(&self, key: &str, revision: i64, request: Request) -> Result<bool, Error> {
        let unchanged = Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Mod.into(),
            key: key.into(),
            mod_revision: Some(revision),
        };
        let request =
            TxnRequest { compare: vec![unchanged], success: vec![RequestOp { request: Some(request) }] };
        let response: TxnResponse = self.call("/etcdserverpb.KV/Txn", request).await?;
        Ok(response.succeeded)
    }

    /// Asks each endpoint until one answers, first the one that did before. Each gets its share of what is left of the
    /// time, so that one that swallows all packets does not keep the others from being asked.
    ///
    /// A write may so be made twice, which does no harm: all but a deletion depend on what was there.
    async fn call<Q, A>(&self, method: &'static str, request: Q) -> Result<A, Error>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let deadline = Instant::now() + BOUND;
        let (first, count) = (self.answering.load(Ordering::Relaxed), self.endpoints.len());
        let mut result =
            Err(Error::Invalid { what: "etcd".to_owned(), why: "it has no endpoint".to_owned() });
        for (left, index) in (1..=count).rev().zip((0..count).map(|offset| (first + offset) % count)) {
            let share =
                deadline.saturating_duration_since(Instant::now()) / u32::try_from(left).unwrap_or(u32::MAX);
            result = self.endpoints[index].call(method, request.clone(), share).await;
            if !matches!(result, Err(Error::Unreachable { .. })) {
                self.answering.store(index, Ordering::Relaxed);
                break;
            }
        }
        result
    }
}

/// The first key after all that start with the prefix.
fn prefix_end(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    // A byte of UTF-8 is never 0xff.
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// The value under a key.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct KeyValue {
    /// The key.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// Changes with every write.
    #[prost(int64, tag = "3")]
    pub mod_revision: i64,
    /// The value.
    #[prost(bytes = "vec", tag = "5")]
    pub value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    range_end: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    kvs: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct DeleteRangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct DeleteRangeResponse {
    #[prost(int64, tag = "2")]
    deleted: i64,
}

#[derive(Clone, PartialEq, Message)]
struct TxnRequest {
    #[prost(message, repeated, tag = "1")]
    compare: Vec<Compare>,
    #[prost(message, repeated, tag = "2")]
    success: Vec<RequestOp>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct TxnResponse {
    #[prost(bool, tag = "2")]
    succeeded: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Compare {
    #[prost(enumeration = "CompareResult", tag = "1")]
    result: i32,
    #[prost(enumeration = "CompareTarget", tag = "2")]
    target: i32,
    #[prost(bytes = "vec", tag = "3")]
    key: Vec<u8>,
    /// One of several things to compare with: written even if it is 0.
    #[prost(int64, optional, tag = "6")]
    mod_revision: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum CompareResult {
    Equal = 0,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum CompareTarget {
    Version = 0,
    Mod = 2,
}

#[derive(Clone, PartialEq, Message)]
struct RequestOp {
    #[prost(oneof = "Request", tags = "2, 3")]
    request: Option<Request>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Request {
    #[prost(message, tag = "2")]
    Put(PutRequest),
    #[prost(message, tag = "3")]
    DeleteRange(DeleteRangeRequest),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_its_next_neighbour() {
        let end = prefix_end("/root/cells/");
        assert!(b"/root/cells/zzz".as_slice() < &end[..] && &end[..] <= b"/root/cells0".as_slice());
    }
}
