//! The server that is measured: a process of its own, so that its time and its memory are its own.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::Context;
use axum::Json;
use axum::body::Bytes;
use axum::routing::post;
use multigres_operator::metrics::Metrics;
use multigres_webhooks::router::{AppState, router};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::listening::Listening;
use crate::reviews::admission;
use crate::usage::Usage;

/// Cores of the server and of its clients. One core serves both on machines that have no more.
const SERVER_CORE: usize = 0;
pub const CLIENT_CORE: usize = 1;

/// Path at which reviews are read and allowed without inspection: the baseline of TLS, HTTP and the body on this
/// machine.
pub const UNSEEN_PATH: &str = "/unseen";

/// Facts about a server that its clients need.
#[derive(Deserialize, Serialize)]
struct Hello {
    address: SocketAddr,
    authority: String,
}

/// Keeps this process, as it is so far, to one core.
pub fn pin(core: usize) -> anyhow::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core % std::thread::available_parallelism()?.get());
    sched_setaffinity(None, &cores).context("cannot be pinned to a core")
}

/// Serves admission as the operator does, but without a cluster to know anything of, until its parent ends.
pub fn serve() -> anyhow::Result<()> {
    pin(SERVER_CORE)?;
    // As `tokio::main` makes it for the operator.
    tokio::runtime::Runtime::new()?.block_on(async {
        let metrics = Arc::new(Metrics::new());
        let state = AppState { metrics: metrics.clone(), ..AppState::new(admission()) };
        let admission = router(state).route(UNSEEN_PATH, post(unseen));
        let server = Listening::new(admission, metrics)?;
        let hello = Hello { address: server.address, authority: server.authority.clone() };
        println!("{}", serde_json::to_string(&hello)?);
        std::io::stdout().flush()?;

        let shutdown = CancellationToken::new();
        let parent = shutdown.clone();
        std::thread::spawn(move || {
            // Nothing is ever written: this ends with the parent.
            let _ = std::io::stdin().read_line(&mut String::new());
            parent.cancel();
        });
        server.run(shutdown).await
    })
}

async fn unseen(_: Bytes) -> Json<Value> {
    Json(json!({"response": {"allowed": true}}))
}

/// A server that runs until this is dropped.
pub struct Served {
    process: Child,
    pub address: SocketAddr,
    pub authority: CertificateDer<'static>,
}

impl Served {
    pub fn start() -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the server does not start")?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("no output")?).read_line(&mut line)?;
        let hello: Hello = serde_json::from_str(&line).context("the server says something else")?;
        let authority = CertificateDer::from_pem_slice(hello.authority.as_bytes())?;
        Ok(Self { process, address: hello.address, authority })
    }

    /// Its usage so far.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of(self.process.id())
    }

    /// Counts the peak of memory from here on.
    pub fn forget_peak(&self) -> anyhow::Result<()> {
        fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5").context("clear_refs")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
