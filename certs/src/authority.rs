//! The operator's own certificate authority.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls_pki_types::ServerName;

use crate::{Credentials, Error};

const DAY: Duration = Duration::from_hours(24);

/// Lifetime of an authority.
///
/// One year rather than ten: the operator replaces the authority by itself, and a replacement that happens every year
/// is known to work.
pub const AUTHORITY_LIFETIME: Duration = DAY.saturating_mul(365);

/// Lifetime of a serving certificate.
pub const LEAF_LIFETIME: Duration = DAY.saturating_mul(90);

/// Backdating of a certificate, for API servers whose clock is behind.
pub const BACKDATE: Duration = Duration::from_hours(1);

const AUTHORITY_NAME: &str = "multigres-operator-ca";
const LEAF_NAME: &str = "multigres-operator";

/// A certificate authority that signs the serving certificates of one installation.
#[derive(Debug)]
pub struct Authority {
    credentials: Credentials,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new authority, with a key of its own.
    pub fn generate(now: SystemTime) -> Result<Self, Error> {
        let mut params = params(AUTHORITY_NAME, now, now + AUTHORITY_LIFETIME);
        // It signs serving certificates, never another authority.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate()?;
        let credentials = credentials(&params.self_signed(&key)?, &key)?;
        Ok(Self { credentials, issuer: Issuer::new(params, key) })
    }

    /// Takes up an authority that was made before.
    pub fn from_credentials(credentials: Credentials) -> Result<Self, Error> {
        let key = KeyPair::from_pem(credentials.key_pem())?;
        let issuer = Issuer::from_ca_cert_pem(credentials.certificate_pem(), key)?;
        if !issuer.key_usages().contains(&KeyUsagePurpose::KeyCertSign) {
            return Err(Error::NotAnAuthority);
        }
        Ok(Self { credentials, issuer })
    }

    /// The authority's certificate and key; the certificate is what goes into a `caBundle`.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Issues a serving certificate, with a key of its own, for everything that the server is called by.
    pub fn issue(&self, names: &[ServerName<'_>], now: SystemTime) -> Result<Credentials, Error> {
        if names.is_empty() {
            return Err(Error::NoNames);
        }
        // Clients refuse a chain with an expired link, so a longer life would be a lie.
        let not_after = (now + LEAF_LIFETIME).min(self.credentials.not_after());
        let mut params = params(LEAF_NAME, now, not_after);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Tells two authorities of the same name apart while both are trusted.
        params.use_authority_key_identifier_extension = true;
        params.subject_alt_names = names.iter().map(alternative_name).collect::<Result<_, _>>()?;
        let key = KeyPair::generate()?;
        credentials(&params.signed_by(&key, &self.issuer)?, &key)
    }
}

fn credentials(certificate: &Certificate, key: &KeyPair) -> Result<Credentials, Error> {
    Credentials::from_pem(certificate.pem(), key.serialize_pem())
}

fn params(name: &str, now: SystemTime, not_after: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = (now - BACKDATE).into();
    params.not_after = not_after.into();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn alternative_name(name: &ServerName<'_>) -> Result<SanType, rcgen::Error> {
    match name {
        ServerName::IpAddress(address) => Ok(SanType::IpAddress((*address).into())),
        name => Ok(SanType::DnsName(name.to_str().as_ref().try_into()?)),
    }
}
