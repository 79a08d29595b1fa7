//! Clients that behave as API servers do: HTTP/1.1 over TLS, connections kept, one request at a time on each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::served::Served;

/// A request, and the expected answer.
#[derive(Clone)]
pub struct Call {
    pub path: &'static str,
    pub body: Bytes,
    pub allowed: bool,
}

/// Sends `requests` over `connections`, and tells how long each took, in nanoseconds.
///
/// # Errors
/// When one is not answered as expected.
pub async fn load(
    served: &Served,
    call: &Call,
    connections: usize,
    requests: usize,
) -> anyhow::Result<Histogram<u64>> {
    let left = Arc::new(AtomicUsize::new(requests));
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let (sender, call, left) = (connect(served).await?, call.clone(), left.clone());
        clients.spawn(client(sender, call, left));
    }
    let mut all = Histogram::new(3)?;
    while let Some(client) = clients.join_next().await {
        all.add(client??)?;
    }
    ensure!(all.len() == requests as u64, "{} of {requests} requests were answered", all.len());
    Ok(all)
}

async fn client(
    mut sender: SendRequest<Full<Bytes>>,
    call: Call,
    left: Arc<AtomicUsize>,
) -> anyhow::Result<Histogram<u64>> {
    let mut durations = Histogram::new(3)?;
    while take(&left) {
        let request = Request::post(call.path)
            .header(HOST, "127.0.0.1")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(call.body.clone()))?;
        let began = Instant::now();
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let answer = response.into_body().collect().await?.to_bytes();
        durations.record(u64::try_from(began.elapsed().as_nanos())?)?;
        ensure!(status == 200, "{status}: {}", answer.escape_ascii());
        // Decoding each answer would cost the clients more than sending the request.
        if durations.len() == 1 {
            let review: Value = serde_json::from_slice(&answer).context("the answer")?;
            ensure!(review["response"]["allowed"] == call.allowed, "{review}");
        }
    }
    Ok(durations)
}

fn take(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

async fn connect(served: &Served) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let mut roots = RootCertStore::empty();
    roots.add(served.authority.clone())?;
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let tcp = TcpStream::connect(served.address).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from("127.0.0.1")?;
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    let (sender, connection) = handshake(TokioIo::new(tls)).await?;
    tokio::spawn(connection);
    Ok(sender)
}
