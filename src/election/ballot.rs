//! The Lease as the API server keeps it, as a seam: elections are tested in virtual time.

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, PostParams};

use super::LEASE;

/// Reads and writes the one Lease.
pub trait Ballot: Send + Sync {
    /// The Lease, if it exists.
    fn read(&self) -> impl Future<Output = kube::Result<Option<Lease>>> + Send;

    /// Makes it where it does not exist.
    fn create(&self, lease: &Lease) -> impl Future<Output = kube::Result<Lease>> + Send;

    /// Writes it where it has not changed since it was read.
    fn replace(&self, lease: &Lease) -> impl Future<Output = kube::Result<Lease>> + Send;
}

impl Ballot for Api<Lease> {
    async fn read(&self) -> kube::Result<Option<Lease>> {
        self.get_opt(LEASE).await
    }

    async fn create(&self, lease: &Lease) -> kube::Result<Lease> {
        Api::create(self, &PostParams::default(), lease).await
    }

    async fn replace(&self, lease: &Lease) -> kube::Result<Lease> {
        Api::replace(self, LEASE, &PostParams::default(), lease).await
    }
}
