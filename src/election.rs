//! Leader election over a Lease: every replica answers admission, one reconciles.
//!
//! Each write is guarded by the version that was read, so that two cannot both succeed. Whether the leader is alive
//! is judged by whether its Lease changed while we watched, on our own clock: the clocks of nodes need not agree.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use tokio_util::sync::CancellationToken;

use crate::api_error;

/// Name of the Lease.
pub const LEASE: &str = "multigres-operator";

/// A leader that has not renewed for so long is taken for dead.
const DURATION: Duration = Duration::from_secs(15);
/// A leader that could not renew for so long stops leading, well before others take over.
const DEADLINE: Duration = Duration::from_secs(10);
/// How often the Lease is renewed, or looked at.
const PERIOD: Duration = Duration::from_secs(2);

/// A candidate.
pub struct Election {
    api: Api<Lease>,
    identity: String,
}

/// What was last seen of somebody else's Lease, and when it last changed.
struct Sighting {
    version: Option<String>,
    at: Instant,
}

impl Election {
    /// Stands under a name that no other process has.
    pub fn new(client: Client, namespace: &str, identity: String) -> Self {
        Self { api: Api::namespaced(client, namespace), identity }
    }

    /// Waits until this process leads.
    pub async fn won(&self) {
        let mut sighting = Sighting { version: None, at: Instant::now() };
        loop {
            match self.try_acquire(&mut sighting).await {
                Ok(true) => {
                    tracing::info!(identity = self.identity, "leading");
                    return;
                }
                Ok(false) => {}
                Err(error) => {
                    let error = api_error::message(&error);
                    tracing::warn!(%error, "the lease could not be read or written");
                }
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Renews until it cannot, or until `shutdown`; then gives the Lease up. Returns whether leadership was lost.
    pub async fn hold(&self, shutdown: CancellationToken) -> bool {
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => {
                    if let Err(error) = self.release().await {
                        let error = api_error::message(&error);
                        tracing::warn!(%error, "the lease was not given up; it runs out by itself");
                    }
                    return false;
                }
                () = tokio::time::sleep(PERIOD) => {}
            }
            match tokio::time::timeout(DEADLINE.saturating_sub(renewed.elapsed()), self.renew()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return true,
                Ok(Err(error)) => {
                    let error = api_error::message(&error);
                    tracing::warn!(%error, "the lease was not renewed");
                }
                Err(_) => tracing::warn!("the lease was not renewed in time"),
            }
            if renewed.elapsed() >= DEADLINE {
                return true;
            }
        }
    }

    async fn try_acquire(&self, sighting: &mut Sighting) -> kube::Result<bool> {
        let Some(mut lease) = self.api.get_opt(LEASE).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() },
                spec: Some(self.claim(None)),
            };
            return conflict_is_no(self.api.create(&PostParams::default(), &lease).await);
        };
        if sighting.version != lease.resource_version() {
            *sighting = Sighting { version: lease.resource_version(), at: Instant::now() };
        }
        let holder = holder(&lease);
        if !holder.is_empty() && holder != self.identity && sighting.at.elapsed() < DURATION {
            return Ok(false);
        }
        lease.spec = Some(self.claim(lease.spec.as_ref()));
        conflict_is_no(self.api.replace(LEASE, &PostParams::default(), &lease).await)
    }

    async fn renew(&self) -> kube::Result<bool> {
        let mut lease = self.api.get(LEASE).await?;
        if holder(&lease) != self.identity {
            return Ok(false);
        }
        if let Some(spec) = &mut lease.spec {
            spec.renew_time = Some(MicroTime(Timestamp::now()));
        }
        conflict_is_no(self.api.replace(LEASE, &PostParams::default(), &lease).await)
    }

    async fn release(&self) -> kube::Result<()> {
        let mut lease = self.api.get(LEASE).await?;
        if holder(&lease) == self.identity {
            if let Some(spec) = &mut lease.spec {
                spec.holder_identity = None;
            }
            conflict_is_no(self.api.replace(LEASE, &PostParams::default(), &lease).await)?;
        }
        Ok(())
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

/// Somebody else was faster.
fn conflict_is_no<T>(result: kube::Result<T>) -> kube::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
