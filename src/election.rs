//! Leader election over a Lease: every replica answers admission, one reconciles.
//!
//! Each write is guarded by the version that was read, so that two cannot both succeed. A leader stops writing
//! [`DEADLINE`] after it began its last successful renewal; others take over [`DURATION`] after they saw its last change.
//! Both are judged on monotonic clocks ([`sighting`], [`tenure`]), and calls that hang move neither.

mod ballot;
mod sighting;
mod tenure;
#[cfg(test)]
mod tests;

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

pub use ballot::Ballot;
use sighting::{Seen, Sighting};
pub use tenure::Fence;
use tenure::Tenure;

use crate::api_error;
use crate::server::Gate;

/// Name of the Lease.
pub const LEASE: &str = "multigres-operator";

/// A leader that has not renewed for so long is taken for dead.
const DURATION: Duration = Duration::from_secs(15);
/// A leader that could not renew for so long stops leading, well before others take over.
const DEADLINE: Duration = Duration::from_secs(10);
/// Time between two renewals, or two looks at the Lease.
const PERIOD: Duration = Duration::from_secs(2);
/// Longest time that a renewal, or a look, may take: after one that hangs there is time for another before the deadline.
const ATTEMPT: Duration = Duration::from_secs(4);
/// A candidate that got no answer about the Lease for so long is not ready: it could not take over.
const UNANSWERED: Duration = Duration::from_secs(15);
/// A candidate whose calls all hang for so long ends: a new process connects anew.
const HUNG: Duration = Duration::from_mins(3);

/// A name that no other process has: the host's, for people, and 128 random bits.
pub fn identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_default();
    let host = if host.is_empty() { "multigres-operator" } else { &host };
    format!("{host}_{:032x}", rand::random::<u128>())
}

/// A replica that stands for election.
pub struct Election<B> {
    ballot: B,
    identity: String,
    tenure: Tenure,
}

/// Reason why a leader leads no more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// Somebody else wrote the Lease, or deleted it.
    #[error("the Lease {LEASE} was taken by {0}")]
    Taken(String),
    /// The API server took no renewal in time.
    #[error("the Lease {LEASE} was not renewed for {} s", DEADLINE.as_secs())]
    NotRenewed,
}

/// A candidate could not see the Lease for too long, because every call about it hung.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("calls about the Lease {LEASE} have hung for {} s", HUNG.as_secs())]
pub struct Hung;

/// Result of an attempt to renew.
enum Renewal {
    Done,
    /// The Lease changed between reading and writing it; the holder is read again.
    Raced,
    Lost(Loss),
}

impl<B: Ballot> Election<B> {
    /// Stands under a name that no other process has.
    pub fn new(ballot: B, identity: String) -> Self {
        Self { ballot, identity, tenure: Tenure::none() }
    }

    /// The fence that is open while this replica leads.
    pub fn fence(&self) -> Fence {
        self.tenure.fence()
    }

    /// Waits until this replica leads. The gate is open while the Lease can be seen.
    pub async fn stand(&self, gate: &Gate) -> Result<(), Hung> {
        let mut sighting = Sighting::default();
        let (mut answered, mut hanging) = (Instant::now(), None);
        loop {
            let begun = Instant::now();
            match timeout(ATTEMPT, self.try_acquire(&mut sighting)).await {
                Ok(Ok(true)) => {
                    gate.open();
                    self.tenure.renewed(begun);
                    tracing::info!(identity = self.identity, "leading");
                    return Ok(());
                }
                Ok(Ok(false)) => {
                    gate.open();
                    (answered, hanging) = (Instant::now(), None);
                }
                Ok(Err(error)) => {
                    tracing::warn!(
                        error = api_error::message(&error),
                        "the Lease could not be read or written"
                    );
                    hanging = None;
                }
                Err(_) => {
                    tracing::warn!("a call about the Lease hangs");
                    let since = *hanging.get_or_insert(begun);
                    if since.elapsed() >= HUNG {
                        return Err(Hung);
                    }
                }
            }
            if answered.elapsed() >= UNANSWERED {
                gate.close();
            }
            sleep(PERIOD).await;
        }
    }

    /// Renews for as long as it can; then closes the fence and says why. May be dropped at any time.
    pub async fn hold(&self) -> Loss {
        let loss = self.renew_while_possible().await;
        self.tenure.end();
        loss
    }

    async fn renew_while_possible(&self) -> Loss {
        let mut next = Instant::now() + PERIOD;
        while let Some(until) = self.tenure.until() {
            sleep_until(next.min(until)).await;
            let begun = Instant::now();
            if begun >= until {
                break;
            }
            next = begun + PERIOD;
            match timeout_at(until.min(begun + ATTEMPT), self.renew()).await {
                Ok(Ok(Renewal::Done)) => self.tenure.renewed(begun),
                Ok(Ok(Renewal::Raced)) => next = begun + PERIOD / 4,
                Ok(Ok(Renewal::Lost(loss))) => return loss,
                Ok(Err(error)) => {
                    tracing::warn!(error = api_error::message(&error), "the Lease was not renewed");
                    next = begun + PERIOD / 2;
                }
                Err(_) => tracing::warn!("the Lease was not renewed in time"),
            }
        }
        Loss::NotRenewed
    }

    /// Gives the Lease up, so that another takes over at once. Closes the fence first: nothing may be under way any more.
    pub async fn release(&self) {
        self.tenure.end();
        let released = async {
            while let Err(error) = self.try_release().await {
                tracing::warn!(error = api_error::message(&error), "the Lease was not given up yet");
                sleep(PERIOD / 4).await;
            }
        };
        if timeout(ATTEMPT, released).await.is_err() {
            tracing::warn!("the Lease was not given up; it runs out by itself");
        }
    }

    async fn try_acquire(&self, sighting: &mut Sighting) -> kube::Result<bool> {
        let lease = self.ballot.read().await?;
        let seen = lease.as_ref().map_or(Seen::Missing, seen);
        if !sighting.may_take(seen, &self.identity, Instant::now()) {
            return Ok(false);
        }
        let Some(mut lease) = lease else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() },
                spec: Some(self.claim(None)),
            };
            return conflict_is_no(self.ballot.create(&lease).await);
        };
        lease.spec = Some(self.claim(lease.spec.as_ref()));
        conflict_is_no(self.ballot.replace(&lease).await)
    }

    async fn renew(&self) -> kube::Result<Renewal> {
        let Some(mut lease) = self.ballot.read().await? else {
            return Ok(Renewal::Lost(Loss::Taken("somebody who deleted it".to_owned())));
        };
        if holder(&lease) != self.identity {
            return Ok(Renewal::Lost(Loss::Taken(format!("{:?}", holder(&lease)))));
        }
        if let Some(spec) = &mut lease.spec {
            spec.renew_time = Some(MicroTime(Timestamp::now()));
        }
        let renewed = conflict_is_no(self.ballot.replace(&lease).await)?;
        Ok(if renewed { Renewal::Done } else { Renewal::Raced })
    }

    /// Repeats a conflict: a renewal that was given up may have been written after the Lease was read.
    async fn try_release(&self) -> kube::Result<()> {
        let Some(mut lease) = self.ballot.read().await? else { return Ok(()) };
        if holder(&lease) != self.identity {
            return Ok(());
        }
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
        }
        self.ballot.replace(&lease).await.map(|_| ())
    }

    fn claim(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(if before.is_some() { transitions + 1 } else { 0 }),
            ..LeaseSpec::default()
        }
    }
}

fn holder(lease: &Lease) -> &str {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
}

fn seen(lease: &Lease) -> Seen {
    match holder(lease) {
        "" => Seen::GivenUp,
        holder => Seen::Held { holder: holder.to_owned(), version: lease.resource_version() },
    }
}

/// Somebody else was faster.
fn conflict_is_no<T>(result: kube::Result<T>) -> kube::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
