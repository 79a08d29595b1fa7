//! Handling of a connection before its first request.

use std::io;
use std::time::Duration;

use axum_server::accept::Accept;
use futures::FutureExt;
use futures::future::BoxFuture;
use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncRead, AsyncWrite};

use super::silence::Listened;

/// Accepts connections as `inner` does, counts those that fail, and gives up those that fall silent.
///
/// The silence matters because hyper's own timeouts only start once it knows which HTTP version is spoken
/// (hyperium/hyper#3756), and HTTP/2 has none: without a limit here, anybody who can reach the port could hold any
/// number of connections open at no cost.
#[derive(Clone, Debug)]
pub(super) struct Guarded<A> {
    pub(super) inner: A,
    pub(super) idle: Duration,
    pub(super) failures: Counter,
}

impl<A, I, S> Accept<I, S> for Guarded<A>
where
    A: Accept<I, S>,
    A::Stream: AsyncRead + AsyncWrite + Unpin,
    A::Future: Send + 'static,
{
    type Stream = Listened<A::Stream>;
    type Service = A::Service;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let accepting = self.inner.accept(stream, service);
        let (idle, failures) = (self.idle, self.failures.clone());
        async move {
            let (stream, service) = accepting.await.inspect_err(|error| {
                failures.inc();
                tracing::debug!(%error, "connection not accepted");
            })?;
            Ok((Listened::new(stream, idle), service))
        }
        .boxed()
    }
}
