//! The server as its clients see it: over loopback, with real TLS.

use std::net::Ipv4Addr;
use std::time::SystemTime;

use axum::body::Body;
use axum::http::StatusCode;
use axum::routing::{get, post};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use multigres_certs::{Authority, Resolver, ServerName, server_config};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

const LONG: Duration = Duration::from_hours(1);

/// A server that runs, and everything that a client needs to know of it.
struct Running {
    addresses: Addresses,
    readiness: Readiness,
    shutdown: CancellationToken,
    roots: RootCertStore,
    slow: Arc<Slow>,
    task: JoinHandle<Result<(), Error>>,
}

/// A request to `/slow`, which is answered when it is told to.
#[derive(Default)]
struct Slow {
    arrived: Notify,
    answer: Notify,
}

/// Starts a server after `adjust`; by default it stops without delay, and waits for requests as long as they take.
fn start(adjust: impl FnOnce(&mut Server)) -> Running {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let args = ServerArgs { webhook_address: any, ops_address: any, drain: Duration::ZERO, grace: LONG };
    let mut server = Server::bind(&args).unwrap();
    adjust(&mut server);

    let authority = Authority::generate(SystemTime::now()).unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let resolver = Arc::new(Resolver::default());
    resolver.present(&authority.issue(&[name], SystemTime::now()).unwrap());
    let mut roots = RootCertStore::empty();
    roots.add(authority.credentials().certificates()[0].clone()).unwrap();

    let slow = Arc::new(Slow::default());
    let answer = |State(slow): State<Arc<Slow>>| async move {
        slow.arrived.notify_one();
        slow.answer.notified().await;
    };
    let admission = Router::new()
        .route("/echo", post(|body: String| async { body }))
        .route("/slow", get(answer).with_state(Arc::clone(&slow)));
    let (readiness, shutdown) = (Readiness::default(), CancellationToken::new());
    let services = Services {
        admission,
        tls: server_config(resolver).unwrap(),
        readiness: readiness.clone(),
        metrics: Arc::new(Metrics::new()),
    };
    let addresses = server.addresses();
    let task = tokio::spawn(server.run(services, shutdown.clone()));
    Running { addresses, readiness, shutdown, roots, slow, task }
}

impl Running {
    async fn connect(&self, protocol: &[u8]) -> TlsStream<TcpStream> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let tcp = TcpStream::connect(self.addresses.admission).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(protocol));
        tls
    }

    /// An HTTP/1.1 client; the second value ends when the connection does.
    async fn http1(&self) -> (http1::SendRequest<Body>, JoinHandle<hyper::Result<()>>) {
        let stream = TokioIo::new(self.connect(b"http/1.1").await);
        let (client, connection) = http1::handshake(stream).await.unwrap();
        (client, tokio::spawn(connection))
    }

    /// Status and body of an answer of the plain port.
    async fn ops(&self, path: &str) -> (StatusCode, String) {
        let stream = TokioIo::new(TcpStream::connect(self.addresses.ops).await.unwrap());
        let (mut client, connection) = http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let response = client.send_request(request(path, "")).await.unwrap();
        (response.status(), text(response.into_body()).await)
    }

    async fn stopped(self) {
        self.task.await.unwrap().unwrap();
    }
}

fn request(path: &str, body: &'static str) -> Request {
    let method = if body.is_empty() { "GET" } else { "POST" };
    Request::builder().method(method).uri(path).header("host", "operator").body(Body::from(body)).unwrap()
}

async fn text(body: hyper::body::Incoming) -> String {
    let bytes = axum::body::to_bytes(Body::new(body), usize::MAX).await.unwrap();
    String::from_utf8(bytes.into()).unwrap()
}

#[tokio::test]
async fn admission_answers_over_tls_and_keeps_the_connection() {
    let server = start(|_| {});
    let (mut client, _connection) = server.http1().await;
    for body in ["one", "two"] {
        let response = client.send_request(request("/echo", body)).await.unwrap();
        assert_eq!(response.headers().get(CONNECTION), None);
        assert_eq!(text(response.into_body()).await, body);
    }
}

#[tokio::test]
async fn admission_answers_over_http_2() {
    let server = start(|_| {});
    let stream = TokioIo::new(server.connect(b"h2").await);
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let mut request = request("/echo", "two");
    *request.uri_mut() = "https://operator/echo".parse().unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(text(response.into_body()).await, "two");
}

#[tokio::test]
async fn readiness_names_what_it_waits_for() {
    let server = start(|_| {});
    let identity = server.readiness.gate("identity");
    server.readiness.closed_are(&["identity"]).await;
    assert_eq!(server.ops("/livez").await, (StatusCode::OK, "ok\n".to_owned()));
    let refused = (StatusCode::SERVICE_UNAVAILABLE, "not ready: identity\n".to_owned());
    assert_eq!(server.ops("/readyz").await, refused);
    identity.open();
    assert_eq!(server.ops("/readyz").await, (StatusCode::OK, "ok\n".to_owned()));
}

#[tokio::test]
async fn failed_handshakes_are_counted() {
    let server = start(|_| {});
    let mut plain = TcpStream::connect(server.addresses.admission).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    plain.read_to_end(&mut Vec::new()).await.unwrap();
    let (status, metrics) = server.ops("/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert!(metrics.contains("multigres_operator_tls_failures_total 1\n"), "{metrics}");
}

#[tokio::test]
async fn silence_ends_a_connection() {
    for (protocol, hello) in
        [(b"http/1.1".as_slice(), ""), (b"http/1.1", "POST /echo"), (b"h2", "PRI * HTTP/2.0")]
    {
        let server = start(|server| server.idle = Duration::from_millis(10));
        let mut stream = server.connect(protocol).await;
        // It ends, in whichever way.
        let _ = stream.write_all(hello.as_bytes()).await;
        let ended = timeout(Duration::from_mins(1), stream.read_to_end(&mut Vec::new())).await;
        assert!(ended.is_ok(), "{hello:?} over {} holds a connection", protocol.escape_ascii());
    }
}

#[tokio::test]
async fn while_draining_it_answers_but_is_not_ready_and_lets_connections_go() {
    let server = start(|server| server.drain = LONG);
    let (mut client, connection) = server.http1().await;
    server.shutdown.cancel();
    server.readiness.closed_are(&["serving"]).await;
    assert_eq!(server.ops("/readyz").await.1, "not ready: serving\n");

    let response = client.send_request(request("/echo", "kept")).await.unwrap();
    assert_eq!(response.headers()[CONNECTION], "close");
    assert_eq!(text(response.into_body()).await, "kept");
    connection.await.unwrap().unwrap();

    let (mut latecomer, _connection) = server.http1().await;
    assert!(latecomer.send_request(request("/echo", "late")).await.unwrap().status().is_success());
    server.task.abort();
}

#[tokio::test]
async fn requests_in_flight_are_answered_before_it_ends() {
    let server = start(|_| {});
    let (mut client, connection) = server.http1().await;
    let response = client.send_request(request("/slow", ""));
    server.slow.arrived.notified().await;
    server.shutdown.cancel();
    server.readiness.closed_are(&["serving"]).await;
    server.slow.answer.notify_one();
    assert_eq!(response.await.unwrap().status(), StatusCode::OK);
    connection.await.unwrap().unwrap();
    server.stopped().await;
}

#[tokio::test]
async fn a_request_that_takes_too_long_does_not_keep_it_from_ending() {
    let server = start(|server| server.grace = Duration::from_millis(10));
    let (mut client, _connection) = server.http1().await;
    let response = client.send_request(request("/slow", ""));
    server.slow.arrived.notified().await;
    server.shutdown.cancel();
    response.await.unwrap_err();
    server.stopped().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let taken = start(|_| {}).addresses.admission;
    let args = ServerArgs { webhook_address: taken, ops_address: taken, drain: LONG, grace: LONG };
    let error = Server::bind(&args).unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot listen on {taken}: ")), "{error}");
}

#[test]
fn durations_are_written_as_people_write_them() {
    assert_eq!(duration("5s").unwrap(), Duration::from_secs(5));
    assert_eq!(duration("1m30s").unwrap(), Duration::from_secs(90));
    assert!(duration("-5s").is_err() && duration("5").is_err());
}
