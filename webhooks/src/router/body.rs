//! Bodies, taken in as a whole.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use crate::configuration::TIMEOUT_SECONDS;

/// Largest body that is read: an update carries an object of at most 3 MiB twice, and what is around it.
const MAX_BYTES: usize = 7 << 20;
/// How long a body may take to arrive: then the API server gives up.
const TIMEOUT: Duration = Duration::from_secs(TIMEOUT_SECONDS as u64);

/// A body, of which all has arrived.
pub struct Whole(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Whole {
    type Rejection = Response;

    /// The timer is set only where there is something to wait for, which with small bodies there hardly ever is.
    async fn from_request(mut request: Request, state: &S) -> Result<Self, Response> {
        DefaultBodyLimit::max(MAX_BYTES).apply(&mut request);
        match timeout(TIMEOUT, Bytes::from_request(request, state)).await {
            Ok(body) => body.map(Self).map_err(IntoResponse::into_response),
            Err(_) => Err(StatusCode::REQUEST_TIMEOUT.into_response()),
        }
    }
}
