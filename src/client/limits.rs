//! A layer around a client that ends calls in time, and writes with leadership.

use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body as Answer, Bytes, HttpBody, to_bytes};
use axum::http::{Request, Response};
use futures::future::BoxFuture;
use kube::client::Body;
use tower::{BoxError, Layer, Service};

use crate::election::Fence;

/// The API server did not answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the API server did not answer within {} s", .0.as_secs())]
pub struct TimedOut(pub Duration);

/// This replica does not lead, and so writes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not written: this replica does not lead, or no longer")]
pub struct Fenced;

/// Limits of the calls of a client.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// Longest time of a call.
    pub(super) call: Duration,
    /// Writes happen inside of it only, where there is one.
    pub(super) fence: Option<Fence>,
}

impl<S> Layer<S> for Limits {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        Limited { inner, limits: self.clone() }
    }
}

/// A client's service inside of its limits.
#[derive(Clone, Debug)]
pub(super) struct Limited<S> {
    inner: S,
    limits: Limits,
}

impl<S, B> Service<Request<Body>> for Limited<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Answer>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let fence = self.limits.fence.clone().filter(|_| !request.method().is_safe());
        if fence.as_ref().is_some_and(|fence| !fence.is_open()) {
            return Box::pin(std::future::ready(Err(Fenced.into())));
        }
        let (limit, is_watch) = (self.limits.call, is_watch(&request));
        let answer = self.inner.call(request);
        let exchange = async move {
            let response = answer.await.map_err(Into::into)?.map(Answer::new);
            if is_watch {
                return Ok(response);
            }
            let (parts, body) = response.into_parts();
            let body = to_bytes(body, usize::MAX).await.map_err(axum::Error::into_inner)?;
            Ok(Response::from_parts(parts, Answer::from(body)))
        };
        Box::pin(async move {
            let exchange = tokio::time::timeout(limit, exchange);
            let Some(fence) = fence else { return exchange.await.map_err(|_| TimedOut(limit))? };
            tokio::select! {
                answer = exchange => answer.map_err(|_| TimedOut(limit))?,
                () = fence.closed() => Err(Fenced.into()),
            }
        })
    }
}

/// A watch answers for as long as it likes.
fn is_watch(request: &Request<Body>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"))
}
