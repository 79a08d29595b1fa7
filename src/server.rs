//! The two ports of the operator: admission over TLS, and plain HTTP for the kubelet and Prometheus.
//!
//! An API server that finds no webhook refuses its users' changes, so the way out matters as much as the way in:
//! at the end of its life a replica is first not ready, goes on answering while endpoints are updated, asks clients
//! to connect elsewhere, and only then stops, within a bounded time.

mod accept;
mod ops;
mod readiness;
mod silence;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Version};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum_server::Handle;
use axum_server::accept::DefaultAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use prometheus_client::metrics::counter::Counter;
use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

pub use readiness::{Gate, Readiness};

use crate::metrics::Metrics;
use accept::Guarded;

/// Time limit of a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Time for which a connection may be silent. It is longer than the 90 s for which Kubernetes' clients keep idle
/// connections, so that clients close first: a request sent on a connection that the server just closed fails.
const IDLE: Duration = Duration::from_mins(2);

/// Arguments of the servers: addresses and time limits of a shutdown.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerArgs {
    /// Address of the admission webhooks (HTTPS); port 0 takes any that is free
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:9443")]
    pub webhook_address: SocketAddr,
    /// Address of /livez, /readyz and /metrics (HTTP); port 0 takes any that is free
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:8080")]
    pub ops_address: SocketAddr,
    /// Time to go on answering after SIGTERM, until no API server sends requests here any more
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub drain: Duration,
    /// Time that requests in flight may take after that
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub grace: Duration,
}

fn duration(text: &str) -> Result<Duration, jiff::Error> {
    text.parse::<jiff::SignedDuration>()?.try_into()
}

/// Reason why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// A listener that worked does not any more.
    #[error("serving: {0}")]
    Serve(#[from] io::Error),
}

/// Both servers, listening but not yet answering.
#[derive(Debug)]
pub struct Server {
    admission: TcpListener,
    ops: TcpListener,
    addresses: Addresses,
    drain: Duration,
    grace: Duration,
    idle: Duration,
}

/// Addresses of the servers, with the ports that the system chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Admission, over TLS.
    pub admission: SocketAddr,
    /// Probes and metrics.
    pub ops: SocketAddr,
}

/// Services behind the servers.
#[derive(Debug)]
pub struct Services {
    /// The webhooks.
    pub admission: Router,
    /// TLS in front of the webhooks.
    pub tls: ServerConfig,
    /// Readiness as `/readyz` reports it; the server adds the gate `serving`.
    pub readiness: Readiness,
    /// Metrics as `/metrics` reports them.
    pub metrics: Arc<Metrics>,
}

impl Server {
    /// Listens on both addresses. From here on connections queue up until [`Server::run`].
    pub fn bind(args: &ServerArgs) -> Result<Self, Error> {
        let (admission, ops) = (listen(args.webhook_address)?, listen(args.ops_address)?);
        let addresses = Addresses { admission: admission.local_addr()?, ops: ops.local_addr()? };
        Ok(Self { admission, ops, addresses, drain: args.drain, grace: args.grace, idle: IDLE })
    }

    /// Addresses of the servers.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Answers until `shutdown`, and then for as long as it takes to leave without refusing anybody.
    pub async fn run(self, services: Services, shutdown: CancellationToken) -> Result<(), Error> {
        let Services { admission, tls, readiness, metrics } = services;
        let serving = readiness.gate("serving");
        let (admission_handle, ops_handle) = (Handle::new(), Handle::new());

        let tls = RustlsAcceptor::new(RustlsConfig::from_config(Arc::new(tls))).handshake_timeout(HANDSHAKE);
        let tls = Guarded { inner: tls, idle: self.idle, failures: metrics.tls_failures() };
        let plain = Guarded { inner: DefaultAcceptor, idle: self.idle, failures: Counter::default() };
        let admission = admission.layer(from_fn_with_state(shutdown.clone(), ask_to_leave));
        let admission = server(self.admission, tls, &admission_handle)?.serve(admission.into_make_service());
        let ops = ops::router(readiness, metrics).into_make_service();
        let ops = server(self.ops, plain, &ops_handle)?.serve(ops);

        serving.open();
        tracing::info!(admission = %self.addresses.admission, ops = %self.addresses.ops, "listening");
        let stopping = async {
            shutdown.cancelled().await;
            serving.close();
            tracing::info!(drain = ?self.drain, grace = ?self.grace, "stopping");
            tokio::time::sleep(self.drain).await;
            admission_handle.graceful_shutdown(Some(self.grace));
            Ok(())
        };
        // The kubelet reads that the replica is not ready until there is nothing left to be ready for.
        let admission = async {
            let served = admission.await;
            ops_handle.shutdown();
            served
        };
        tokio::try_join!(admission, ops, stopping)?;
        Ok(())
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    let listener = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|source| Error::Bind { address, source })
}

fn server<A>(
    listener: TcpListener,
    acceptor: Guarded<A>,
    handle: &Handle<SocketAddr>,
) -> io::Result<axum_server::Server<SocketAddr, Guarded<A>>> {
    let idle = acceptor.idle;
    let mut server = axum_server::from_tcp(listener)?.acceptor(acceptor).handle(handle.clone());
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(idle);
    Ok(server)
}

/// HTTP/1.1 clients keep connections and would come back to a server that is about to leave. HTTP/2 has a frame of
/// its own for it, and forbids the header.
async fn ask_to_leave(State(leaving): State<CancellationToken>, request: Request, next: Next) -> Response {
    let version = request.version();
    let mut response = next.run(request).await;
    if version <= Version::HTTP_11 && leaving.is_cancelled() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
