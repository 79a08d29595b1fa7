//! The operator's clients of the API server: their time limits, their name, and the fence around what they write.
//!
//! Time limits and retries are chosen here for every call; callers need none of their own. A call that fails is not
//! repeated inside of the client: the caller decides anew, on what is known by then.

mod limits;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use axum::http::HeaderValue;
use axum::http::header::USER_AGENT;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::election::Fence;
use limits::Limits;
pub use limits::{Fenced, TimedOut};

/// Longest time that one call may take, from its start to the end of its answer. Of a watch: to the start of its answer.
const CALL: Duration = Duration::from_secs(20);
/// The same for calls about the Lease: two of them fit between a renewal and its deadline.
const LEASE_CALL: Duration = Duration::from_secs(4);
/// Longest time that it may take to connect.
const CONNECT: Duration = Duration::from_secs(5);

/// True where a call ended because the API server did not answer in time.
pub fn timed_out(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Service(cause) if cause.is::<TimedOut>())
}

/// Makes clients that share a configuration, and no connections.
#[derive(Clone, Debug)]
pub struct Clients {
    config: Config,
}

impl Clients {
    /// Reads how to connect: from the file if there is one, else from KUBECONFIG or the pod's ServiceAccount. The user
    /// agent of every request carries the identity under which this process stands for election.
    pub async fn configure(kubeconfig: Option<&Path>, identity: &str) -> anyhow::Result<Self> {
        Self::new(read(kubeconfig).await?, identity)
    }

    /// The same, for a configuration that was read before.
    pub fn new(mut config: Config, identity: &str) -> anyhow::Result<Self> {
        let agent = format!("multigres-operator/{} ({identity})", env!("CARGO_PKG_VERSION"));
        let agent = HeaderValue::from_str(&agent).with_context(|| format!("user agent {agent:?}"))?;
        config.headers.push((USER_AGENT, agent));
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT);
        Ok(Self { config })
    }

    /// A client for single calls that does not depend on leadership.
    pub fn calls(&self) -> anyhow::Result<Client> {
        self.build(CALL, Some(CALL), None)
    }

    /// A client for single calls whose writes end with leadership.
    pub fn fenced_calls(&self, fence: Fence) -> anyhow::Result<Client> {
        self.build(CALL, Some(CALL), Some(fence))
    }

    /// A client for calls about the Lease. It has a connection of its own, so that no other call delays them.
    pub fn lease_calls(&self) -> anyhow::Result<Client> {
        self.build(LEASE_CALL, Some(LEASE_CALL), None)
    }

    /// A client for watches, whose connections may be silent for as long as a watch lasts.
    pub fn watches(&self) -> anyhow::Result<Client> {
        self.build(CALL, None, None)
    }

    fn build(&self, call: Duration, read: Option<Duration>, fence: Option<Fence>) -> anyhow::Result<Client> {
        // A connection without an answer is closed after this time, also while it is idle: after a failure of the
        // network no call is sent into a dead one. The time counts from each request on.
        let mut config = self.config.clone();
        config.read_timeout = read;
        config.reset_reader_on_write = true;
        config.write_timeout = Some(call);
        let builder = ClientBuilder::try_from(config).context("Kubernetes client")?;
        Ok(builder.with_layer(&Limits { call, fence }).build())
    }
}

async fn read(path: Option<&Path>) -> anyhow::Result<Config> {
    let Some(path) = path else {
        return Config::infer().await.context("no kubeconfig and not in a cluster");
    };
    let kubeconfig = Kubeconfig::read_from(path).with_context(|| path.display().to_string())?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    config.with_context(|| path.display().to_string())
}
