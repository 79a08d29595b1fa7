//! One connection of a client.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use anyhow::{anyhow, bail};
use futures::{StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyDataStream, BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER, TRANSFER_ENCODING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::fault::Answer;
use super::{Network, Request, Shared};

type AnyBody = UnsyncBoxBody<Bytes, anyhow::Error>;

/// Ends when a connection is to break.
type End = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection of a client.
pub struct Connection {
    shared: Arc<Shared>,
    upstream: Client,
    end: End,
}

impl Connection {
    pub fn new(shared: Arc<Shared>, upstream: Client) -> Self {
        let end = Box::pin(end(&shared));
        Self { shared, upstream, end }
    }

    /// Answers its requests until one side ends it or it is cut.
    pub async fn serve(self, stream: TcpStream) {
        let gated = Gated { stream, network: self.shared.network.subscribe(), opening: None };
        let service = service_fn(|request| answer(&self.shared, &self.upstream, request));
        let serving = http1::Builder::new().serve_connection(TokioIo::new(gated), service);
        tokio::select! {
            // The client sees for itself how its connection ended.
            _ = serving => {}
            () = self.end => {}
        }
    }
}

fn end(shared: &Shared) -> impl Future<Output = ()> + Send + use<> {
    let (mut network, mut cuts) = (shared.network.subscribe(), shared.cuts.subscribe());
    async move {
        tokio::select! {
            _ = network.wait_for(|network| *network == Network::Refuse) => {}
            _ = cuts.changed() => {}
        }
    }
}

async fn answer(
    shared: &Shared,
    upstream: &Client,
    request: hyper::Request<Incoming>,
) -> anyhow::Result<Response<AnyBody>> {
    let (parts, body) = request.into_parts();
    let seen = Request::new(&parts);
    let body = body.collect().await?.to_bytes();
    let decision = shared.faults.decide(&seen);
    match decision.answer() {
        Answer::Status(code) => return refusal(code, None),
        Answer::TooManyRequests(seconds) => return refusal(429, Some(seconds)),
        Answer::Cut => bail!("cut"),
        Answer::Stall if !decision.released().await => bail!("cut after it was held"),
        Answer::Delay(time) => tokio::time::sleep(time).await,
        Answer::Pass | Answer::Stall | Answer::Lose => {}
    }
    let mut forwarded = hyper::Request::from_parts(parts, Body::from(body.to_vec()));
    for hop in [HOST, CONNECTION, TRANSFER_ENCODING] {
        forwarded.headers_mut().remove(hop);
    }
    // Before the request is on its way: whoever drops watches means this one, too.
    let dropped = seen.is_watch().then(|| shared.faults.watches_dropped());
    let response = upstream.send(forwarded).await?;
    if decision.answer() == Answer::Lose {
        // What was asked may be under way as long as the answer is not complete.
        response.into_body().collect().await?;
        bail!("the answer is lost");
    }
    let (mut parts, body) = response.into_parts();
    for hop in [CONNECTION, TRANSFER_ENCODING] {
        parts.headers.remove(hop);
    }
    Ok(Response::from_parts(parts, passing(body, dropped)))
}

/// A body as it arrives, until it is to be dropped.
fn passing(body: Body, dropped: Option<impl Future<Output = ()> + Send + 'static>) -> AnyBody {
    let Some(dropped) = dropped else { return body.map_err(Into::into).boxed_unsync() };
    let data = BodyDataStream::new(body).map(|data| data.map(Frame::data).map_err(anyhow::Error::from));
    let broken = stream::once(async move {
        dropped.await;
        Err(anyhow!("the watch was dropped"))
    });
    // The end of the data is the end of the body, as is the error.
    let ended = data.map(Some).chain(stream::once(async { None }));
    let either = stream::select(ended, broken.map(Some));
    let body = either.take_while(|item| std::future::ready(item.is_some())).filter_map(std::future::ready);
    BodyExt::boxed_unsync(StreamBody::new(body))
}

/// An answer in the API server's form.
fn refusal(code: u16, retry_after: Option<u64>) -> anyhow::Result<Response<AnyBody>> {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "",
    };
    let mut status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": format!("{code} injected by the proxy"),
        "reason": reason,
        "code": code,
    });
    let mut response = Response::builder().status(StatusCode::from_u16(code)?);
    if let Some(seconds) = retry_after {
        status["details"] = json!({ "retryAfterSeconds": seconds });
        response = response.header(RETRY_AFTER, seconds);
    }
    let body = Full::new(Bytes::from(status.to_string())).map_err(|never| match never {});
    Ok(response.header(CONTENT_TYPE, "application/json").body(body.boxed_unsync())?)
}

/// A stream that passes no byte while the network stalls.
struct Gated {
    stream: TcpStream,
    network: watch::Receiver<Network>,
    opening: Option<End>,
}

impl Gated {
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.opening.is_none() && *self.network.borrow() != Network::Stall {
            return Poll::Ready(());
        }
        let opening = self.opening.get_or_insert_with(|| {
            let mut network = self.network.clone();
            Box::pin(async move {
                let _ = network.wait_for(|network| *network != Network::Stall).await;
            })
        });
        ready!(opening.as_mut().poll(cx));
        self.opening = None;
        Poll::Ready(())
    }
}

impl AsyncRead for Gated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx));
        // A read that waits is not woken by the gate; what it reads afterwards passes only if the gate is open.
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Gated {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx));
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx));
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
