//! The HTTP side of admission.
//!
//! Reviews are decided on threads of their own, so that a large cluster holds up nobody else, a panic ends one
//! request, and the time that an answer may take has an end.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use tokio::task::spawn_blocking;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

use crate::admit::{Admission, Answer, NotAReview, Phase, handle, timed_out};
use crate::conversion;
use crate::metrics::{Metrics, Observation};

/// Where defaults are asked for.
pub const MUTATE_PATH: &str = "/mutate";
/// Where verdicts are asked for.
pub const VALIDATE_PATH: &str = "/validate";
/// Where conversions are asked for.
pub const CONVERT_PATH: &str = "/convert";

/// Largest body that is read: an update carries an object of at most 3 MiB twice, and what is around it.
pub const MAX_BODY_BYTES: usize = 7 << 20;
/// How long a decision may take: the API server gives up after 5 s, and then says less.
pub const DECISION_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a request may take as a whole, a slow body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// What the router's handlers share.
#[derive(Clone)]
pub struct AppState {
    /// What admission knows.
    pub admission: Admission,
    /// Where answers are counted.
    pub metrics: Arc<dyn Metrics>,
    /// How long a decision may take; [`DECISION_TIMEOUT`] but in tests.
    pub decision_timeout: Duration,
}

impl AppState {
    /// State that counts nothing.
    pub fn new(admission: Admission) -> Self {
        Self { admission, metrics: Arc::new(()), decision_timeout: DECISION_TIMEOUT }
    }
}

/// Serves admission.
pub fn router(state: AppState) -> Router {
    Router::new()
        .route(MUTATE_PATH, post(mutate))
        .route(VALIDATE_PATH, post(validate))
        .route(CONVERT_PATH, post(convert))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, REQUEST_TIMEOUT))
        .layer(CatchPanicLayer::new())
        .with_state(state)
}

async fn mutate(State(state): State<AppState>, body: Bytes) -> Response {
    review(Phase::Mutate, state, body).await
}

async fn validate(State(state): State<AppState>, body: Bytes) -> Response {
    review(Phase::Validate, state, body).await
}

async fn review(phase: Phase, state: AppState, body: Bytes) -> Response {
    let started = Instant::now();
    let (admission, task_body) = (state.admission, body.clone());
    let decision = spawn_blocking(move || handle(phase, &task_body, &admission));
    let answer = match tokio::time::timeout(state.decision_timeout, decision).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(panic)) => {
            tracing::error!(%panic, phase = phase.as_str(), "a review could not be decided");
            None
        }
        Err(_) => Some(timed_out(phase, &body)),
    };
    let (kind, operation) = match &answer {
        Some(Ok(answer)) => (answer.kind, answer.operation),
        _ => (None, None),
    };
    let (code, response) = respond(answer);
    state.metrics.answered(Observation { phase, kind, operation, code, duration: started.elapsed() });
    response
}

/// The answer, and the code to count it by: that of the verdict, not of the transport.
fn respond(answer: Option<Result<Answer, NotAReview>>) -> (u16, Response) {
    match answer {
        Some(Ok(answer)) => (answer.review.code(), Json(answer.review).into_response()),
        Some(Err(NotAReview(why))) => (400, (StatusCode::BAD_REQUEST, why).into_response()),
        None => (500, (StatusCode::INTERNAL_SERVER_ERROR, "the review could not be decided").into_response()),
    }
}

async fn convert(body: Bytes) -> Response {
    match conversion::refuse(&body) {
        Ok(review) => Json(review).into_response(),
        Err(conversion::NotAReview) => {
            (StatusCode::BAD_REQUEST, "the body is no ConversionReview").into_response()
        }
    }
}

async fn not_found(uri: Uri) -> Response {
    let paths = [MUTATE_PATH, VALIDATE_PATH, CONVERT_PATH].join(", ");
    (StatusCode::NOT_FOUND, format!("nothing is served at {}; try {paths}", uri.path())).into_response()
}

async fn not_allowed(method: Method, uri: Uri) -> Response {
    let message = format!("{} takes POST, not {method}", uri.path());
    (StatusCode::METHOD_NOT_ALLOWED, message).into_response()
}
