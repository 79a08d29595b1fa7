//! A proxy between a client and the API server that a test makes fail.
//!
//! The client is given [`Proxy::kubeconfig`] and speaks plain HTTP to a loopback port; the proxy speaks TLS to the API
//! server and passes the client's bearer token on. Watches pass through as they arrive.
//!
//! Two kinds of failure can be had. [`Proxy::set`] and [`Proxy::cut`] act on the network: connections are refused, go
//! black, or break. [`Proxy::inject`] acts on single requests: a predicate chooses them, an [`Answer`] replaces theirs.

mod connection;
mod fault;
mod request;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kube::Client;
use kube::config::AuthInfo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::background::Background;
use crate::kubeconfig::{client_config, write_private};

pub use fault::{Answer, Fault};
pub use request::Request;

use connection::Connection;
use fault::Faults;

/// Time between attempts to listen again on a port that was given up for a while.
const REBIND_INTERVAL: Duration = Duration::from_millis(20);

/// State of the network between the client and the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Everything passes.
    Pass,
    /// Nobody listens on the port, and existing connections break.
    Refuse,
    /// Connections are accepted, and existing ones stay open, but no byte passes in either direction.
    Stall,
}

/// A proxy in front of the API server; it ends when it is dropped.
pub struct Proxy {
    kubeconfig: PathBuf,
    shared: Arc<Shared>,
    _thread: Background,
}

/// State that the test changes and the connections follow.
struct Shared {
    network: watch::Sender<Network>,
    /// Increased to break all connections.
    cuts: watch::Sender<u64>,
    faults: Faults,
}

impl Proxy {
    /// Starts a proxy for the user of a kubeconfig, who must be identified by a token: certificates would identify the
    /// proxy instead.
    pub async fn start(kubeconfig: &Path) -> anyhow::Result<Self> {
        let mut config = client_config(kubeconfig).await?;
        config.auth_info = AuthInfo::default();
        config.read_timeout = None;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let proxied = kubeconfig.with_extension(format!("proxy-{}", address.port()));
        write_private(&proxied, &redirected(kubeconfig, address)?)?;
        let shared = Arc::new(Shared {
            network: watch::Sender::new(Network::Pass),
            cuts: watch::Sender::new(0),
            faults: Faults::default(),
        });
        let served = Arc::clone(&shared);
        let thread = Background::start("proxy", move || {
            let upstream = Client::try_from(config)?;
            let listener = TcpListener::from_std(listener)?;
            Ok(async move {
                let Err(error) = serve(served, upstream, listener, address).await;
                tracing::warn!("the proxy ended: {error}");
            })
        })?;
        Ok(Self { kubeconfig: proxied, shared, _thread: thread })
    }

    /// Kubeconfig of the same user that leads through the proxy.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Changes the network from now on.
    pub fn set(&self, network: Network) {
        self.shared.network.send_replace(network);
    }

    /// Breaks all connections, once.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Ends the answers of all watches in the middle, once. Connections of other requests are left alone.
    pub fn drop_watches(&self) {
        self.shared.faults.drop_watches();
    }

    /// Answers requests that `applies` chooses in another way, until the returned fault is dropped. The first injected
    /// fault that applies decides.
    pub fn inject(
        &self,
        answer: Answer,
        applies: impl Fn(&Request) -> bool + Send + Sync + 'static,
    ) -> Fault {
        self.shared.faults.inject(answer, None, applies)
    }

    /// The same for the next `times` requests only.
    pub fn inject_times(
        &self,
        times: usize,
        answer: Answer,
        applies: impl Fn(&Request) -> bool + Send + Sync + 'static,
    ) -> Fault {
        self.shared.faults.inject(answer, Some(times), applies)
    }
}

/// A kubeconfig with another server.
fn redirected(kubeconfig: &Path, address: SocketAddr) -> anyhow::Result<String> {
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(kubeconfig)?)?;
    config
        .pointer("/users/0/user/token")
        .context("the proxy takes a kubeconfig with a token: it cannot pass a certificate on")?;
    config["clusters"][0]["cluster"] = serde_json::json!({ "server": format!("http://{address}") });
    Ok(format!("{config:#}\n"))
}

async fn serve(
    shared: Arc<Shared>,
    upstream: Client,
    listener: TcpListener,
    address: SocketAddr,
) -> anyhow::Result<Infallible> {
    let mut network = shared.network.subscribe();
    let mut listener = listener;
    loop {
        let refused = async {
            // The sender is held by `shared`.
            let _ = network.wait_for(|network| *network == Network::Refuse).await;
        };
        tokio::select! {
            accepted = listener.accept() => {
                let stream = accepted?.0;
                stream.set_nodelay(true)?;
                let connection = Connection::new(Arc::clone(&shared), upstream.clone());
                tokio::spawn(connection.serve(stream));
                continue;
            }
            () = refused => {}
        }
        drop(listener);
        let _ = network.wait_for(|network| *network != Network::Refuse).await;
        listener = bind(address).await;
    }
}

/// Listens on a port again, which a client's outgoing connection may hold for a moment.
async fn bind(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(REBIND_INTERVAL).await,
        }
    }
}
