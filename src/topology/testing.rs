//! gRPC servers of a few methods, for tests.

use std::net::Ipv4Addr;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::IntoResponse;
use http_body_util::{BodyExt, Full};
use tokio::net::TcpListener;
use tonic::Code;

use super::records::Multipooler;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Answers with the message that it was sent.
pub async fn echo(message: Bytes) -> impl IntoResponse {
    let ok = HeaderMap::from_iter([(STATUS, HeaderValue::from_static("0"))]);
    let message = Full::new(message).with_trailers(std::future::ready(Some(Ok(ok))));
    ([(CONTENT_TYPE, "application/grpc")], Body::new(message))
}

/// Answers with a message.
pub fn reply(message: &[u8]) -> impl IntoResponse + use<> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let frame = [&[0][..], &length, message].concat();
    let ok = HeaderMap::from_iter([(STATUS, HeaderValue::from_static("0"))]);
    let frame = Full::new(Bytes::from(frame)).with_trailers(std::future::ready(Some(Ok(ok))));
    ([(CONTENT_TYPE, "application/grpc")], Body::new(frame))
}

/// Refuses.
pub fn refusal(code: Code, message: &'static str) -> impl IntoResponse {
    let (grpc, code) = ("application/grpc".to_owned(), (code as i32).to_string());
    [(CONTENT_TYPE, grpc), (STATUS, code), (MESSAGE, message.to_owned())]
}

/// A pooler that is registered with a server of these methods alone.
pub async fn serve(methods: Router) -> Multipooler {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let methods = methods.fallback(async || refusal(Code::Unimplemented, ""));
    tokio::spawn(async move { axum::serve(listener, methods).await });
    Multipooler {
        hostname: "127.0.0.1".to_owned(),
        port_map: [("grpc".to_owned(), i32::from(port))].into(),
        ..Multipooler::default()
    }
}
