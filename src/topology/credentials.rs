//! Credentials for an etcd that requires certificates.

use std::fmt;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use super::Error;

/// The certificate that identifies the client, and the authority of the server's. All of it PEM.
///
/// The components of Multigres speak TLS to etcd if they have a client certificate, whether or not they are told the
/// authority. So does the operator: it must not reach what they cannot.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Authority of the server's certificate; those of the system when absent.
    pub authority: Option<Vec<u8>>,
    /// Certificate of the client.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
}

impl Credentials {
    /// From the Secrets that a topology refers to.
    pub fn new(authority: Option<&Secret>, client: &Secret) -> Result<Self, Error> {
        Ok(Self {
            authority: authority.map(|secret| value(secret, "ca.crt")).transpose()?,
            certificate: value(client, "tls.crt")?,
            key: value(client, "tls.key")?,
        })
    }
}

fn value(secret: &Secret, key: &str) -> Result<Vec<u8>, Error> {
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    value.map(|ByteString(value)| value.clone()).ok_or_else(|| Error::Invalid {
        what: format!("Secret {}", secret.metadata.name.as_deref().unwrap_or_default()),
        why: format!("it has no key {key}"),
    })
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(keys: &[&str]) -> Secret {
        let data = keys.iter().map(|key| ((*key).to_owned(), ByteString(key.as_bytes().to_vec())));
        let mut secret = Secret { data: Some(data.collect()), ..Secret::default() };
        secret.metadata.name = Some("s".to_owned());
        secret
    }

    #[test]
    fn what_is_missing_is_named() {
        let (authority, client) = (secret(&["ca.crt"]), secret(&["tls.crt", "tls.key"]));
        let found = Credentials::new(Some(&authority), &client).unwrap();
        assert_eq!(found.authority.as_deref(), Some(&b"ca.crt"[..]));
        assert_eq!((&found.certificate[..], &found.key[..]), (&b"tls.crt"[..], &b"tls.key"[..]));
        assert_eq!(Credentials::new(None, &client).unwrap().authority, None);
        for (authority, client, problem) in [
            (Some(secret(&[])), client.clone(), "Secret s: it has no key ca.crt"),
            (None, secret(&["tls.crt"]), "Secret s: it has no key tls.key"),
            (None, secret(&["tls.key"]), "Secret s: it has no key tls.crt"),
        ] {
            assert_eq!(Credentials::new(authority.as_ref(), &client).unwrap_err().to_string(), problem);
        }
    }

    #[test]
    fn a_private_key_is_not_printed() {
        let credentials = Credentials::new(None, &secret(&["tls.crt", "tls.key"])).unwrap();
        assert_eq!(format!("{credentials:?}"), "Credentials { .. }");
    }
}
