//! An authority, its certificates and their replacement, as a client sees them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use multigres_certs::{
    AUTHORITY_LIFETIME, Authority, BACKDATE, Credentials, Error, LEAF_LIFETIME, Resolver, ServerName,
    server_config,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore, ServerConnection};
use rustls_pki_types::{CertificateDer, UnixTime};

const HOUR: Duration = Duration::from_hours(1);

fn names() -> [ServerName<'static>; 2] {
    ["operator.multigres.svc", "127.0.0.1"].map(|name| ServerName::try_from(name).unwrap())
}

fn trusting(authorities: &[&Authority]) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(certificate(authority.credentials())).unwrap();
    }
    Arc::new(roots)
}

fn certificate(credentials: &Credentials) -> CertificateDer<'static> {
    credentials.certificates()[0].clone()
}

/// The verdict of a client that trusts `authority` and connects to `name` at `now`.
fn verify(
    leaf: &Credentials,
    authority: &Authority,
    name: &str,
    now: SystemTime,
) -> Result<(), rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(trusting(&[authority]), provider).build().unwrap();
    let name = ServerName::try_from(name).unwrap();
    let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap());
    verifier.verify_server_cert(&certificate(leaf), &[], &name, &[], now).map(drop)
}

fn invalid(result: Result<(), rustls::Error>) -> CertificateError {
    match result {
        Err(rustls::Error::InvalidCertificate(error)) => error,
        other => panic!("expected an invalid certificate, got {other:?}"),
    }
}

/// Runs a handshake in memory; the protocol that was agreed on, and the certificate that was presented.
fn connect(
    resolver: &Arc<Resolver>,
    roots: Arc<RootCertStore>,
    alpn: &[&[u8]],
) -> Result<(Vec<u8>, CertificateDer<'static>), rustls::Error> {
    let mut client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let mut client = ClientConnection::new(Arc::new(client), names()[0].clone())?;
    let mut server = ServerConnection::new(Arc::new(server_config(Arc::clone(resolver)).unwrap()))?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut flight = Vec::new();
        client.write_tls(&mut flight).unwrap();
        server.read_tls(&mut flight.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut flight = Vec::new();
        server.write_tls(&mut flight).unwrap();
        client.read_tls(&mut flight.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    let protocol = client.alpn_protocol().unwrap_or_default().to_vec();
    Ok((protocol, client.peer_certificates().unwrap()[0].clone().into_owned()))
}

#[test]
fn a_leaf_is_trusted_through_its_authority_under_each_of_its_names() {
    let now = SystemTime::now();
    let authority = Authority::generate(now).unwrap();
    let leaf = authority.issue(&names(), now).unwrap();
    for name in ["operator.multigres.svc", "127.0.0.1"] {
        verify(&leaf, &authority, name, now).unwrap();
    }
    assert!(matches!(
        invalid(verify(&leaf, &authority, "elsewhere.svc", now)),
        CertificateError::NotValidForNameContext { .. }
    ));
    let stranger = Authority::generate(now).unwrap();
    verify(&leaf, &stranger, "127.0.0.1", now).unwrap_err();
}

#[test]
fn certificates_are_valid_from_a_little_before_their_issue_until_the_end_of_their_life() {
    let now = SystemTime::now();
    let authority = Authority::generate(now).unwrap();
    let leaf = authority.issue(&names(), now).unwrap();
    for (at, valid) in [
        (now - BACKDATE - HOUR, false),
        (now - BACKDATE + HOUR / 2, true),
        (now + LEAF_LIFETIME - HOUR, true),
        (now + LEAF_LIFETIME + HOUR, false),
    ] {
        assert_eq!(verify(&leaf, &authority, "127.0.0.1", at).is_ok(), valid, "at {at:?}");
    }
}

#[test]
fn a_leaf_does_not_outlive_its_authority() {
    let now = SystemTime::now();
    let authority = Authority::generate(now).unwrap();
    let leaf = authority.issue(&names(), now + AUTHORITY_LIFETIME - HOUR).unwrap();
    assert_eq!(leaf.not_after(), authority.credentials().not_after());
    assert!(authority.issue(&names(), now).unwrap().not_after() < leaf.not_after());
}

#[test]
fn an_authority_is_no_server() {
    let now = SystemTime::now();
    let authority = Authority::generate(now).unwrap();
    let error = invalid(verify(authority.credentials(), &authority, "127.0.0.1", now));
    assert!(format!("{error:?}").contains("CaUsedAsEndEntity"), "{error:?}");
}

#[test]
fn a_server_is_no_authority() {
    let now = SystemTime::now();
    let authority = Authority::generate(now).unwrap();
    let leaf = authority.issue(&names(), now).unwrap();
    assert!(matches!(Authority::from_credentials(leaf), Err(Error::NotAnAuthority)));
}

#[test]
fn an_authority_that_was_stored_issues_as_before() {
    let now = SystemTime::now();
    let authority = Authority::generate(now).unwrap();
    let (certificate, key) = (authority.credentials().certificate_pem(), authority.credentials().key_pem());
    let restored = Authority::from_credentials(Credentials::from_pem(certificate, key).unwrap()).unwrap();
    let leaf = restored.issue(&names(), now).unwrap();
    verify(&leaf, &authority, "127.0.0.1", now).unwrap();
}

#[test]
fn a_certificate_needs_a_name() {
    let now = SystemTime::now();
    let authority = Authority::generate(now).unwrap();
    assert!(matches!(authority.issue(&[], now), Err(Error::NoNames)));
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let now = SystemTime::now();
    let authority = Authority::generate(now).unwrap();
    let [one, other] = [(); 2].map(|()| authority.issue(&names(), now).unwrap());
    let mixed = Credentials::from_pem(one.certificate_pem(), other.key_pem());
    assert!(matches!(mixed, Err(Error::Tls(rustls::Error::InconsistentKeys(_)))));
    assert!(matches!(Credentials::from_pem("", one.key_pem()), Err(Error::NoCertificate)));
    assert!(matches!(Credentials::from_pem(one.certificate_pem(), "no key"), Err(Error::Pem(_))));
}

#[test]
fn a_key_is_never_printed() {
    let authority = Authority::generate(SystemTime::now()).unwrap();
    assert!(!format!("{authority:?}").contains("PRIVATE"));
}

#[test]
fn the_server_speaks_http_2_and_1() {
    let now = SystemTime::now();
    let authority = Authority::generate(now).unwrap();
    let resolver = Arc::new(Resolver::default());
    resolver.present(&authority.issue(&names(), now).unwrap());
    let agreed = |alpn: &[&[u8]]| connect(&resolver, trusting(&[&authority]), alpn).unwrap().0;
    assert_eq!(agreed(&[b"http/1.1"]), b"http/1.1");
    assert_eq!(agreed(&[b"http/1.1", b"h2"]), b"h2");
}

#[test]
fn a_server_without_a_certificate_refuses() {
    let authority = Authority::generate(SystemTime::now()).unwrap();
    connect(&Arc::new(Resolver::default()), trusting(&[&authority]), &[]).unwrap_err();
}

/// The authority and its certificate are replaced without a moment in which a client is refused: clients trust both
/// authorities first, then the certificate changes.
#[test]
fn new_connections_get_the_new_certificate() {
    let now = SystemTime::now();
    let [old, new] = [(); 2].map(|()| Authority::generate(now).unwrap());
    let [old_leaf, new_leaf] = [&old, &new].map(|authority| authority.issue(&names(), now).unwrap());
    let resolver = Arc::new(Resolver::default());
    let both = trusting(&[&old, &new]);

    resolver.present(&old_leaf);
    assert_eq!(connect(&resolver, Arc::clone(&both), &[]).unwrap().1, certificate(&old_leaf));
    resolver.present(&new_leaf);
    assert_eq!(connect(&resolver, both, &[]).unwrap().1, certificate(&new_leaf));
    connect(&resolver, trusting(&[&old]), &[]).unwrap_err();
}
