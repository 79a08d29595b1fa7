//! State and clients that all controllers share.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::runtime::controller::Action;
use kube::runtime::reflector::Store;
use kube::runtime::reflector::store::WriterDropped;
use kube::{Resource, ResourceExt};
use multigres_crds::v1alpha1::{MultiAdmin, MultiCell, MultiOrch, MultiShard, MultigresCluster, TopoServer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::bring_up::BringUps;
use super::failover::Failovers;
use super::initialized::Initialized;
use super::lost::LostInstances;
use super::password::Passwords;
use super::records::Partings;
use super::rollout::Ended;
use super::stalled::Stalls;
use super::stranded::Watches;
use crate::api_error;
use crate::apply::{Applier, ApplyError, Outcome, OwnerReference};
use crate::build::Environment;
use crate::client::timed_out;
use crate::clock::Clock;
use crate::election::Fence;
use crate::events::Events;
use crate::memory::{Memories, PerObject};
use crate::metrics::Metrics;
use crate::observe::{Change, Neighbourhood, ObjectKey, Objects, Observed};
use crate::reason::Reason;
use crate::rollout::{Leaderless, Readiness};
use crate::status::Trouble;
use crate::topology::Topology;

/// State and clients that all controllers share.
pub struct Context {
    /// The API server, as the operator.
    pub client: Client,
    /// Open while this replica leads; what outlives a reconciliation ends with it.
    pub fence: Fence,
    /// Makes objects what they should be.
    pub applier: Applier,
    /// The observed objects.
    pub objects: Arc<Objects>,
    /// The custom resources.
    pub stores: Stores,
    /// The footprints of all clusters.
    pub neighbourhood: Arc<Neighbourhood>,
    /// Settings that apply to everything that is built.
    pub environment: Environment,
    /// The running data plane.
    pub topology: Arc<dyn Topology>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Publishes Events.
    pub events: Events,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Memories of objects.
    pub memories: Memories,
    /// Failures in a row, by object.
    pub failures: Failures,
    /// Statuses that were written last.
    pub statuses: Statuses,
    /// Reasons by which clusters were reported as stalled.
    pub stalls: Stalls,
    /// Shards that were seen to have data.
    pub initialized: Initialized,
    /// Clusters whose shards have been brought up.
    pub bring_ups: BringUps,
    /// Standbys that an abandoned recruitment has stranded.
    pub stranded: Watches,
    /// Pods that the operator has just ended.
    pub ended: Ended,
    /// For how long pods have been ready.
    pub readiness: Readiness,
    /// For how long shards have been seen without a leader.
    pub leaderless: Leaderless,
    /// Children whose deletion waits.
    pub partings: Partings,
    /// Passwords that PostgreSQL accepts.
    pub passwords: Passwords,
    /// The leaders of the shards.
    pub failovers: Failovers,
    /// Instances that do not follow.
    pub lost: Arc<LostInstances>,
}

/// The custom resources of all kinds, as the caches have them.
#[derive(Clone)]
#[expect(missing_docs, reason = "one store for each kind")]
pub struct Stores {
    pub clusters: Store<MultigresCluster>,
    pub topo_servers: Store<TopoServer>,
    pub admins: Store<MultiAdmin>,
    pub orchs: Store<MultiOrch>,
    pub cells: Store<MultiCell>,
    pub shards: Store<MultiShard>,
}

impl Stores {
    /// Waits until every cache is complete. For one task only: a store wakes the last of those who wait for it.
    pub async fn synced(&self) -> Result<(), WriterDropped> {
        self.clusters.wait_until_ready().await?;
        self.topo_servers.wait_until_ready().await?;
        self.admins.wait_until_ready().await?;
        self.orchs.wait_until_ready().await?;
        self.cells.wait_until_ready().await?;
        self.shards.wait_until_ready().await
    }
}

/// The status is its own concern, with a field manager of its own.
const STATUS_MANAGER: &str = "multigres-operator-status";

/// Nothing is missed, but a second look from time to time costs no write.
const RESYNC: Duration = Duration::from_mins(10);

/// Reason why a reconciliation did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The status could not be written.
    #[error("status of {0}: {text}", text = api_error::message(.1))]
    Status(String, #[source] Box<kube::Error>),
    /// The API server did not answer in time.
    #[error("status of {0}: the API server did not answer in time")]
    StatusTimedOut(String),
}

impl Context {
    /// Forgets the object that a change says is gone, or is another one of its name now.
    pub fn forget_gone(&self, change: &Change) {
        let Some(before) = &change.before else { return };
        if change.after.as_ref().is_none_or(|after| after.uid != before.uid) {
            self.memories.forget(&before.uid);
        }
    }

    /// Forgets everything that does not exist.
    pub fn sweep(&self) {
        let existing = self.objects.uids();
        self.memories.sweep(|uid| existing.contains(uid));
    }

    /// An object as the caches have it. Of what was just changed they may have a workload's account of the time before.
    pub fn observed(&self, key: &ObjectKey) -> Option<Observed> {
        let mut observed = self.objects.get(key)?;
        observed.workload.current &= self.applier.is_shown(key, &observed);
        Some(observed)
    }

    /// Writes a status as a whole, unless it is what the caches have and what was written last. The caches alone would
    /// not do: they may not yet have what was written a moment ago.
    pub async fn write_status<K, S>(&self, object: &K, before: Option<&S>, status: &S) -> Result<(), Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
        S: Serialize + PartialEq,
    {
        let uid = object.uid().unwrap_or_default();
        if before == Some(status) && self.statuses.last_is(&uid, status) {
            return Ok(());
        }
        let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
        let patch = json!({
            "apiVersion": K::api_version(&()), "kind": K::kind(&()),
            // The identity guards against a successor of the same name.
            "metadata": { "name": name, "uid": object.uid() },
            "status": status,
        });
        let params = PatchParams::apply(STATUS_MANAGER).force();
        let api: Api<K> = Api::namespaced(self.client.clone(), &namespace);
        let patch = Patch::Apply(&patch);
        match api.patch_status(&name, &params, &patch).await {
            Err(error) if timed_out(&error) => Err(Error::StatusTimedOut(name)),
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
            Err(error) => Err(Error::Status(name, Box::new(error))),
            Ok(_) => {
                self.statuses.note(&uid, status);
                Ok(())
            }
        }
    }

    /// When to look again, after what went wrong.
    pub fn next_look(&self, uid: &str, troubles: &[Trouble]) -> Action {
        if troubles.is_empty() {
            self.failures.reset(uid);
            Action::requeue(RESYNC)
        } else {
            Action::requeue(self.failures.backoff(uid))
        }
    }
}

impl Outcome {
    /// Counts the write that was made, if any.
    pub fn count(&self, metrics: &Metrics, kind: &str) {
        match self {
            Self::Unchanged => {}
            Self::Created => metrics.wrote(kind, "create"),
            Self::Updated => metrics.wrote(kind, "update"),
            Self::PutBack(_) => metrics.wrote(kind, "put-back"),
        }
    }
}

impl OwnerReference {
    /// A reference to a custom resource.
    pub fn to<K: Resource<DynamicType = ()>>(object: &K) -> Self {
        Self {
            api_version: K::api_version(&()).into_owned(),
            kind: K::kind(&()).into_owned(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
        }
    }
}

impl From<&ApplyError> for Trouble {
    fn from(error: &ApplyError) -> Self {
        let (reason, lasting) = match error {
            ApplyError::NameTaken(_) => (Reason::NameTaken, true),
            ApplyError::Deleting(_) | ApplyError::NamespaceTerminating(_) => {
                (Reason::AwaitingDeletion, false)
            }
            ApplyError::Stubborn { .. } => (Reason::ApplyFailed, true),
            ApplyError::TimedOut(_) => (Reason::ApiServerUnreachable, false),
            ApplyError::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(status) if [400, 403, 422].contains(&status.code) => {
                    (Reason::ApplyFailed, true)
                }
                kube::Error::Api(status) if status.code == 409 => (Reason::Conflict, false),
                _ => (Reason::ApiServerUnreachable, false),
            },
        };
        Self { reason, message: error.to_string(), lasting }
    }
}

/// Digests of the statuses that were written last, and when, by object.
pub struct Statuses(PerObject<(u64, Instant)>);

impl Statuses {
    /// None was written yet.
    pub fn new(memories: &Memories) -> Self {
        Self(PerObject::new(memories, "statuses"))
    }

    /// True if this was written last, or nothing was.
    fn last_is(&self, uid: &str, status: &impl Serialize) -> bool {
        self.0.get(uid).is_none_or(|(last, _)| last == digest(status))
    }

    /// Time since the last one was written, by this process.
    pub fn age(&self, uid: &str) -> Option<Duration> {
        self.0.get(uid).map(|(_, written)| written.elapsed())
    }

    fn note(&self, uid: &str, status: &impl Serialize) {
        self.0.insert(uid, (digest(status), Instant::now()));
    }
}

fn digest(status: &impl Serialize) -> u64 {
    let mut hasher = DefaultHasher::new();
    // A status is plain data: it has a text.
    serde_json::to_string(status).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

/// Failures in a row, by object, each waiting twice as long as the one before.
pub struct Failures(PerObject<u32>);

impl Failures {
    const FIRST: Duration = Duration::from_millis(250);
    const LONGEST: Duration = Duration::from_mins(1);

    /// Nothing failed yet.
    pub fn new(memories: &Memories) -> Self {
        Self(PerObject::new(memories, "failures"))
    }

    /// One more failure: how long to wait.
    pub fn backoff(&self, uid: &str) -> Duration {
        let before = self.0.update(uid, |count| std::mem::replace(count, count.saturating_add(1)));
        Self::FIRST.saturating_mul(1 << before.min(10)).min(Self::LONGEST)
    }

    /// It went well, or the object is gone.
    pub fn reset(&self, uid: &str) {
        self.0.remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_last_counts_although_the_caches_lag() {
        let memories = Memories::default();
        let statuses = Statuses::new(&memories);
        assert!(statuses.last_is("a", &"as found"));
        statuses.note("a", &"written");
        assert!(statuses.last_is("a", &"written"));
        assert!(!statuses.last_is("a", &"as found"));
        memories.forget("a");
        assert!(statuses.last_is("a", &"as found"));
    }

    #[test]
    fn failures_wait_longer_and_longer_but_not_for_ever() {
        let failures = Failures::new(&Memories::default());
        let waits: Vec<u128> = (0..12).map(|_| failures.backoff("a").as_millis()).collect();
        assert_eq!(waits[..3], [250, 500, 1000]);
        assert_eq!(waits[11], 60_000);
        failures.reset("a");
        assert_eq!(failures.backoff("a"), Failures::FIRST);
    }
}
