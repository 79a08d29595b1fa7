//! Certificates of the admission server.
//!
//! The API server trusts the webhooks through a `caBundle`, so nobody else has to know the authority that signs
//! their certificate: the operator is its own. An [`Authority`] issues [`Credentials`], and the [`Resolver`] presents
//! them to whoever connects next, so that a renewal needs no restart and cuts no connection.
//!
//! Nothing here reads a clock or the network: times are arguments, and PEM comes in and goes out.

mod authority;
mod credentials;
mod error;
mod resolver;

pub use authority::{AUTHORITY_LIFETIME, Authority, BACKDATE, LEAF_LIFETIME};
pub use credentials::Credentials;
pub use error::Error;
pub use resolver::{Resolver, server_config};
/// A DNS name or an IP address that a certificate is issued for.
pub use rustls_pki_types::ServerName;
