//! Errors of certificates.

/// Reason why a certificate could not be issued, read or presented.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate for nothing would be trusted by nobody.
    #[error("a serving certificate needs at least one DNS name or IP address")]
    NoNames,
    /// The certificate was not made to sign others, as an authority's is.
    #[error("the certificate does not belong to a certificate authority")]
    NotAnAuthority,
    /// There is no certificate in the PEM text.
    #[error("the PEM text contains no certificate")]
    NoCertificate,
    /// The text is not PEM, or not of the kind that is wanted.
    #[error("reading PEM: {0}")]
    Pem(#[from] rustls_pki_types::pem::Error),
    /// The PEM text is well-formed, the certificate in it is not.
    #[error("reading a certificate: {0}")]
    X509(#[from] x509_parser::nom::Err<x509_parser::error::X509Error>),
    /// A certificate could not be made, or an authority's not be understood.
    #[error("issuing a certificate: {0}")]
    Issue(#[from] rcgen::Error),
    /// The key does not fit the certificate, or TLS could not be set up with them.
    #[error("setting up TLS: {0}")]
    Tls(#[from] rustls::Error),
}
