//! Files with which a client reaches the API server as a given user.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::{Engine, prelude::BASE64_STANDARD};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use crate::pki::Identity;

/// Address of the API server, and its authority.
#[derive(Clone)]
pub struct Cluster {
    /// The API server's URL.
    pub server: String,
    /// The authority's certificate, as PEM.
    pub authority: String,
}

impl Cluster {
    /// Writes a kubeconfig that identifies the client by a certificate.
    pub fn write_with_certificate(&self, path: &Path, identity: &Identity) -> io::Result<()> {
        self.write(
            path,
            &json!({
                "client-certificate-data": BASE64_STANDARD.encode(&identity.certificate),
                "client-key-data": BASE64_STANDARD.encode(&identity.key),
            }),
        )
    }

    /// Writes a kubeconfig that identifies the client by a token.
    pub fn write_with_token(&self, path: &Path, token: &str) -> io::Result<()> {
        self.write(path, &json!({ "token": token }))
    }

    /// JSON is YAML, so every client reads it; self-contained, so it may be copied anywhere.
    fn write(&self, path: &Path, user: &Value) -> io::Result<()> {
        let authority = BASE64_STANDARD.encode(&self.authority);
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "testbed",
                "cluster": { "server": self.server, "certificate-authority-data": authority },
            }],
            "users": [{ "name": "user", "user": user }],
            "contexts": [{ "name": "testbed", "context": { "cluster": "testbed", "user": "user" } }],
            "current-context": "testbed",
        });
        write_private(path, &format!("{kubeconfig:#}\n"))
    }
}

/// Writes a file that only its owner may read.
pub fn write_private(path: &Path, contents: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(contents.as_bytes())
}

/// The client configuration a kubeconfig stands for.
///
/// Requests are not retried: a test is to see what the API server says.
pub async fn client_config(path: &Path) -> anyhow::Result<kube::Config> {
    let kubeconfig = Kubeconfig::read_from(path)?;
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Ok(config)
}
