//! The HTTP side of admission.
//!
//! Large reviews are decided on threads of their own, so that they hold up nobody else and the time that an answer may
//! take has an end; as many at a time as there are cores, as more would take memory and be no sooner. Small ones take
//! less than handing them over. A panic ends one request.
//!
//! There are no layers around the handlers: each is copied for each request, and its future is moved.

#[cfg(test)]
mod tests;

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures::FutureExt;
use tokio::sync::Semaphore;
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::timeout;

use crate::admit::{Admission, Answer, NotAReview, Phase, handle, timed_out};
use crate::configuration::TIMEOUT_SECONDS;
use crate::conversion;
use crate::metrics::{Metrics, Observation};

/// Path of the mutating webhook.
pub const MUTATE_PATH: &str = "/mutate";
/// Path of the validating webhook.
pub const VALIDATE_PATH: &str = "/validate";
/// Path of the conversion webhook.
pub const CONVERT_PATH: &str = "/convert";

/// Largest body that is read: an update carries an object of at most 3 MiB twice, and what is around it.
pub const MAX_BODY_BYTES: usize = 7 << 20;
/// Time limit of a whole request, including a slow body. The API server gives up after it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(TIMEOUT_SECONDS as u64);
/// Time limit of a decision. It is shorter than the API server's, because an answer in time can explain more.
pub const DECISION_TIMEOUT: Duration = Duration::from_secs(TIMEOUT_SECONDS as u64 - 1);
/// Largest body that is decided where it was read, in well under a millisecond.
const SMALL_BODY_BYTES: usize = 16 << 10;

/// State that the router's handlers share.
pub struct AppState {
    /// The state of admission.
    pub admission: Admission,
    /// Receives the metrics of answers.
    pub metrics: Arc<dyn Metrics>,
    /// Time limit of the decision on a large review; [`DECISION_TIMEOUT`] outside of tests.
    pub decision_timeout: Duration,
    /// Largest body of a review that is decided where it was read, in bytes.
    pub small_body: usize,
    /// A permit for each larger review that may be decided on at the same time.
    pub large_reviews: Arc<Semaphore>,
}

impl AppState {
    /// State that counts nothing.
    pub fn new(admission: Admission) -> Self {
        let cores = available_parallelism().map_or(1, NonZero::get);
        Self {
            admission,
            metrics: Arc::new(()),
            decision_timeout: DECISION_TIMEOUT,
            small_body: SMALL_BODY_BYTES,
            large_reviews: Arc::new(Semaphore::new(cores)),
        }
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
        .with_state(Arc::new(state))
}

/// Ends a request that takes too long, or panics. The timer is set only where there is something to wait for, which
/// small reviews hardly ever are.
async fn guarded(answer: impl Future<Output = Response>) -> Response {
    let response = match timeout(REQUEST_TIMEOUT, AssertUnwindSafe(answer).catch_unwind()).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Err(_) => StatusCode::GATEWAY_TIMEOUT.into_response(),
    };
    // What arrived together is answered together: to wake a client costs as much as to decide, and this wakes it once.
    yield_now().await;
    response
}

/// The body of a request, once all of it has arrived.
async fn body(mut request: Request) -> Result<Bytes, Response> {
    DefaultBodyLimit::max(MAX_BODY_BYTES).apply(&mut request);
    Bytes::from_request(request, &()).await.map_err(IntoResponse::into_response)
}

async fn mutate(State(state): State<Arc<AppState>>, request: Request) -> Response {
    guarded(review(Phase::Mutate, state, request)).await
}

async fn validate(State(state): State<Arc<AppState>>, request: Request) -> Response {
    guarded(review(Phase::Validate, state, request)).await
}

async fn convert(request: Request) -> Response {
    guarded(refuse(request)).await
}

async fn review(phase: Phase, state: Arc<AppState>, request: Request) -> Response {
    let body = match body(request).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let started = Instant::now();
    let answer = if body.len() <= state.small_body {
        decide_here(phase, &state.admission, &body)
    } else {
        decide_elsewhere(phase, &state, body).await
    };
    let (kind, operation) = match &answer {
        Some(Ok(answer)) => (answer.kind, answer.operation),
        _ => (None, None),
    };
    let (code, response) = respond(answer);
    state.metrics.answered(Observation { phase, kind, operation, code, duration: started.elapsed() });
    response
}

/// Nothing after a panic, of which its hook has told.
type Decision = Option<Result<Answer, NotAReview>>;

fn decide_here(phase: Phase, admission: &Admission, body: &[u8]) -> Decision {
    // A decision only reads: a panic leaves nothing half done.
    catch_unwind(AssertUnwindSafe(|| handle(phase, body, admission))).ok()
}

async fn decide_elsewhere(phase: Phase, state: &Arc<AppState>, body: Bytes) -> Decision {
    let decision = async {
        let permit = state.large_reviews.clone().acquire_owned().await;
        let (state, body) = (state.clone(), body.clone());
        // It is given back after the decision, also where nobody waits for that any more.
        let decide = move || (decide_here(phase, &state.admission, &body), permit).0;
        spawn_blocking(decide).await.ok().flatten()
    };
    match timeout(state.decision_timeout, decision).await {
        Ok(decision) => decision,
        Err(_) => Some(timed_out(phase, &body)),
    }
}

/// The answer, and the code to count it by: that of the verdict, not of the transport.
fn respond(answer: Decision) -> (u16, Response) {
    match answer {
        Some(Ok(answer)) => (answer.review.code(), Json(answer.review).into_response()),
        Some(Err(NotAReview(why))) => (400, (StatusCode::BAD_REQUEST, why).into_response()),
        None => (500, (StatusCode::INTERNAL_SERVER_ERROR, "the review could not be decided").into_response()),
    }
}

async fn refuse(request: Request) -> Response {
    match body(request).await.map(|body| conversion::refuse(&body)) {
        Ok(Ok(review)) => Json(review).into_response(),
        Ok(Err(conversion::NotAReview)) => {
            (StatusCode::BAD_REQUEST, "the body is not a ConversionReview").into_response()
        }
        Err(refusal) => refusal,
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
