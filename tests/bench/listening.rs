//! The operator's own server, on a free port, with a certificate of an authority of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use multigres_certs::{Authority, Resolver, ServerName, server_config};
use multigres_operator::metrics::Metrics;
use multigres_operator::server::{Readiness, Server, ServerArgs, Services};
use tokio_util::sync::CancellationToken;

/// A server that listens, but does not answer yet.
pub struct Listening {
    pub address: SocketAddr,
    /// PEM of the authority that its certificate is from.
    pub authority: String,
    server: Server,
    services: Services,
}

impl Listening {
    pub fn new(admission: Router, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let now = Duration::ZERO;
        let server =
            Server::bind(&ServerArgs { webhook_address: any, ops_address: any, drain: now, grace: now })?;
        let authority = Authority::generate(SystemTime::now())?;
        let resolver = Arc::new(Resolver::default());
        resolver.present(&authority.issue(&[ServerName::try_from("127.0.0.1")?], SystemTime::now())?);
        let services =
            Services { admission, tls: server_config(resolver)?, readiness: Readiness::default(), metrics };
        let authority = authority.credentials().certificate_pem().to_owned();
        Ok(Self { address: server.addresses().admission, authority, server, services })
    }

    /// Answers until it is told to stop.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        Ok(self.server.run(self.services, shutdown).await?)
    }
}
