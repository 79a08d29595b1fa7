//! Calls to etcd, poolers and orchestrators: each bounded in time, with an error that tells who did not answer.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::Duration;

use axum::http::uri::PathAndQuery;
use multigres_crds::address::Endpoint;
use prost::Message;
use tonic::client::Grpc;
use tonic::transport::{self, Certificate, Channel, ClientTlsConfig, Identity};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::Error;
use super::credentials::Credentials;

/// Longest time that one call may take, however many endpoints it tries.
pub const BOUND: Duration = Duration::from_secs(3);

/// A server, which is connected to when it is first called. Its connection ends with the value.
#[derive(Clone, Debug)]
pub struct Peer {
    address: String,
    channel: Channel,
}

impl Peer {
    /// The server at an endpoint. TLS is spoken to those for which there are credentials.
    pub fn new(endpoint: &Endpoint, credentials: Option<&Credentials>) -> Result<Self, Error> {
        let address = endpoint.to_string();
        let invalid = |error: transport::Error| Error::Invalid { what: address.clone(), why: causes(&error) };
        let scheme = if credentials.is_some() { "https" } else { "http" };
        let mut server =
            transport::Endpoint::from_shared(format!("{scheme}://{address}")).map_err(invalid)?;
        if let Some(credentials) = credentials {
            server = server.tls_config(tls(credentials, &endpoint.host)).map_err(invalid)?;
        }
        Ok(Self { channel: server.connect_lazy(), address })
    }

    /// The server that a component has registered.
    pub fn registered(hostname: &str, ports: &BTreeMap<String, i32>) -> Result<Self, Error> {
        let port = ports.get("grpc").and_then(|port| u16::try_from(*port).ok());
        let port = port.ok_or_else(|| Error::Invalid {
            what: hostname.to_owned(),
            why: "it is registered without a gRPC port".to_owned(),
        })?;
        Self::new(&Endpoint { host: hostname.to_owned(), port: port.into() }, None)
    }

    /// Calls a method of the server, for no longer than the time given.
    pub async fn call<Q, A>(&self, method: &'static str, request: Q, bound: Duration) -> Result<A, Error>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut request = Request::new(request);
        request.set_timeout(bound);
        match tokio::time::timeout(bound, unary(self.channel.clone(), method, request)).await {
            Ok(result) => result.map_err(|status| self.error(&status)),
            Err(_) => Err(self.unreachable("no answer in time".to_owned())),
        }
    }

    /// Calls the first of several spellings of a method that the server knows.
    pub async fn call_any<Q, A>(&self, spellings: &[&'static str], request: Q) -> Result<A, Error>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        self.call_any_within(spellings, request, BOUND).await
    }

    /// The same, for no longer than the time given.
    pub async fn call_any_within<Q, A>(
        &self,
        spellings: &[&'static str],
        request: Q,
        bound: Duration,
    ) -> Result<A, Error>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let mut result = Err(self.unreachable("no method to call".to_owned()));
        for method in spellings {
            result = self.call(method, request.clone(), bound).await;
            if !result.as_ref().is_err_and(Error::is_unimplemented) {
                break;
            }
        }
        result
    }

    fn error(&self, status: &Status) -> Error {
        // What the server itself answered has no cause on this side.
        let local = status.source().map(causes);
        match (status.code(), local) {
            (_, Some(why)) => self.unreachable(why),
            (Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled, None) => {
                self.unreachable(status.message().to_owned())
            }
            (code, None) => {
                Error::Refused { address: self.address.clone(), code, why: status.message().to_owned() }
            }
        }
    }

    fn unreachable(&self, why: String) -> Error {
        Error::Unreachable { address: self.address.clone(), why }
    }
}

async fn unary<Q, A>(channel: Channel, method: &'static str, request: Request<Q>) -> Result<A, Status>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let codec = ProstCodec::<Q, A>::default();
    let response = client.unary(request, PathAndQuery::from_static(method), codec).await?;
    Ok(response.into_inner())
}

fn tls(credentials: &Credentials, host: &str) -> ClientTlsConfig {
    let config = ClientTlsConfig::new()
        .domain_name(host)
        .identity(Identity::from_pem(&credentials.certificate, &credentials.key));
    match &credentials.authority {
        Some(authority) => config.ca_certificate(Certificate::from_pem(authority)),
        None => config.with_native_roots(),
    }
}

/// An error and what caused it, in words.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| (*error).source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::post;

    use super::super::testing::{self, echo, refusal};
    use super::*;

    const SPELLINGS: [&str; 2] = ["/p.OldName/Call", "/p.NewName/Call"];

    #[derive(Clone, PartialEq, Message)]
    struct Text {
        #[prost(string, tag = "1")]
        text: String,
    }

    fn text(text: &str) -> Text {
        Text { text: text.to_owned() }
    }

    async fn serve(methods: Router) -> Peer {
        let server = testing::serve(methods).await;
        Peer::registered(&server.hostname, &server.port_map).unwrap()
    }

    #[tokio::test]
    async fn either_spelling_is_understood() {
        for known in SPELLINGS {
            let server = serve(Router::new().route(known, post(echo))).await;
            let answer: Text = server.call_any(&SPELLINGS, text("hello")).await.unwrap();
            assert_eq!(answer, text("hello"), "{known}");
        }
        let error =
            serve(Router::new()).await.call_any::<_, Text>(&SPELLINGS, text("hello")).await.unwrap_err();
        assert!(matches!(error, Error::Refused { code: Code::Unimplemented, .. }), "{error}");
    }

    #[tokio::test]
    async fn a_refusal_is_not_asked_for_again() {
        let refuses = post(async || refusal(Code::FailedPrecondition, ""));
        let server = serve(Router::new().route(SPELLINGS[0], refuses).route(SPELLINGS[1], post(echo))).await;
        let error = server.call_any::<_, Text>(&SPELLINGS, text("hello")).await.unwrap_err();
        assert!(matches!(error, Error::Refused { code: Code::FailedPrecondition, .. }), "{error}");
    }

    #[tokio::test]
    async fn what_is_overloaded_may_be_tried_elsewhere() {
        let overloaded = post(async || refusal(Code::Unavailable, ""));
        let server = serve(Router::new().route(SPELLINGS[0], overloaded)).await;
        let error = server.call_any::<_, Text>(&SPELLINGS, text("hello")).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    }

    #[test]
    fn a_component_without_a_port_cannot_be_called() {
        for ports in [BTreeMap::new(), [("grpc".to_owned(), -1)].into(), [("http".to_owned(), 1)].into()] {
            let error = Peer::registered("pod.ns", &ports).unwrap_err();
            assert_eq!(error.to_string(), "pod.ns: it is registered without a gRPC port");
        }
    }
}
