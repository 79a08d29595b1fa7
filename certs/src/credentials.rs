//! A certificate and the key that proves it.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::ring;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::Error;

/// A certificate and its private key, in the form in which a `kubernetes.io/tls` Secret keeps them.
///
/// That the two can be read and belong together is known from the moment they exist, so that a Secret edited by hand
/// is reported as such and not as a failure of every handshake.
#[derive(Clone)]
pub struct Credentials {
    certificate: String,
    key: String,
    certified: Arc<CertifiedKey>,
    not_after: SystemTime,
}

impl Credentials {
    /// Reads a PEM certificate, possibly followed by its intermediates, and its PEM private key.
    pub fn from_pem(certificate: impl Into<String>, key: impl Into<String>) -> Result<Self, Error> {
        let (certificate, key) = (certificate.into(), key.into());
        let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let not_after = not_after(chain.first().ok_or(Error::NoCertificate)?)?;
        let private = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
        let certified = CertifiedKey::from_der(chain, private, &ring::default_provider())?;
        Ok(Self { certificate, key, certified: Arc::new(certified), not_after })
    }

    /// The certificate as PEM: `tls.crt`.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// The private key as PEM: `tls.key`. A secret.
    pub fn key_pem(&self) -> &str {
        &self.key
    }

    /// The certificate and its intermediates as DER; never empty.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// When the certificate ends to be valid.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// The form in which rustls presents them.
    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

fn not_after(certificate: &[u8]) -> Result<SystemTime, Error> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate)?;
    Ok(certificate.validity().not_after.to_datetime().into())
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("certificate", &self.certificate)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}
