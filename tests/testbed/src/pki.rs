//! The certificates of one control plane, made afresh for every start.

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

/// The names under which clients reach the API server, the first address of the service network among them.
const SERVER_NAMES: [&str; 7] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "127.0.0.1",
    "10.96.0.1",
];

/// A demo may run for months; a test cluster's authority has no reason to outlive it by decades.
const VALIDITY: Duration = Duration::days(365);

/// The certificate authority that every certificate of a control plane descends from.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its private key, as PEM.
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// The keys that sign and verify service account tokens, as PEM.
pub struct ServiceAccountKeys {
    /// Signs tokens.
    pub private: String,
    /// Verifies tokens.
    pub public: String,
}

impl Authority {
    /// Creates an authority with a new key.
    pub fn new() -> anyhow::Result<Self> {
        let mut params = params("testbed-ca", &[], &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// The authority itself: its certificate and signing key.
    pub fn identity(&self) -> Identity {
        Identity { certificate: self.0.pem(), key: self.0.key().serialize_pem() }
    }

    /// The identity with which the API server serves.
    pub fn server(&self) -> anyhow::Result<Identity> {
        self.issue(params("kube-apiserver", &[], &SERVER_NAMES)?, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// The identity of a client: Kubernetes reads the user from the common name and groups from organisations.
    pub fn client(&self, user: &str, groups: &[&str]) -> anyhow::Result<Identity> {
        self.issue(params(user, groups, &[])?, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(
        &self,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> anyhow::Result<Identity> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.0)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

impl ServiceAccountKeys {
    /// Generates a pair.
    pub fn generate() -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        Ok(Self { private: key.serialize_pem(), public: key.public_key_pem() })
    }
}

fn params(common_name: &str, organisations: &[&str], names: &[&str]) -> anyhow::Result<CertificateParams> {
    let names: Vec<String> = names.iter().copied().map(String::from).collect();
    let mut params = CertificateParams::new(names).context("names of a certificate")?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    for organisation in organisations {
        params.distinguished_name.push(DnType::OrganizationName, *organisation);
    }
    // Backdated, so that a clock that is stepped back a little does not make it invalid.
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::hours(1);
    params.not_after = now + VALIDITY;
    Ok(params)
}
