//! Objects of an installation of the operator, without the CRDs.
//!
//! There is one description of it: `multigres-operator manifests` prints it, and the Helm chart is the same with
//! Helm's expressions in place of values ([`chart`]), so that the two cannot drift apart.

pub mod chart;
mod rbac;
mod workload;

use std::io::{self, Write};

use multigres_crds::labels;
use multigres_webhooks::configuration::{self, Client, Settings};
use serde_json::{Value, json};

use workload::Pod;

/// Name of every object of the installation.
pub const NAME: &str = labels::OPERATOR;
/// Port of the Service that API servers call.
const SERVICE_PORT: i32 = 443;
/// Default namespace of the operator.
const NAMESPACE: &str = "multigres-system";
/// The image of this version.
const IMAGE: &str = concat!("ghcr.io/multigres/multigres-operator:v", env!("CARGO_PKG_VERSION"));

/// Arguments of the installation.
#[derive(Clone, Debug, clap::Args)]
pub struct ManifestsArgs {
    /// Namespace of the operator
    #[arg(long, default_value = NAMESPACE)]
    pub namespace: String,
    /// Image of the operator
    #[arg(long, default_value = IMAGE)]
    pub image: String,
    /// Pods of the operator; all of them answer admission, one reconciles
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(i32).range(1..))]
    pub replicas: i32,
    /// The operator runs outside the cluster: where API servers reach its webhooks (https://HOST:PORT)
    #[arg(long, value_name = "URL", value_parser = https_url)]
    pub webhook_url: Option<String>,
    /// The operator connects as this user instead of its ServiceAccount
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
}

impl ManifestsArgs {
    /// Writes the manifests as YAML.
    pub fn run(&self, out: &mut impl Write) -> io::Result<()> {
        crate::yaml::write(&manifests(self), out)
    }
}

fn https_url(url: &str) -> Result<String, &'static str> {
    let host = url.strip_prefix("https://").ok_or("API servers call webhooks over https:// only")?;
    if host.trim_end_matches('/').is_empty() || host.contains(['?', '#', '@']) {
        return Err("expected https://HOST:PORT");
    }
    Ok(url.to_owned())
}

/// The name by which API servers know an operator that uses its ServiceAccount.
pub fn service_account_user(namespace: &str) -> String {
    format!("system:serviceaccount:{namespace}:{NAME}")
}

/// The DNS names of the Service, for which the serving certificate is issued. API servers use the first.
pub fn service_names(namespace: &str) -> [String; 3] {
    [format!("{NAME}.{namespace}.svc"), format!("{NAME}.{namespace}"), NAME.to_owned()]
}

/// Everything that is to be applied, in an order in which it can be.
pub fn manifests(args: &ManifestsArgs) -> Vec<Value> {
    let service_account = service_account_user(&args.namespace);
    let installation = Installation {
        namespace: &args.namespace,
        user: args.user.as_deref().unwrap_or(&service_account),
        client: args.webhook_url.clone().map_or_else(|| service(&args.namespace), Client::Url),
        pod: args.webhook_url.is_none().then(|| Pod::new(&args.image, args.replicas)),
    };
    let mut objects = vec![namespace(&args.namespace)];
    objects.extend(installation.rbac());
    objects.extend(installation.workload());
    objects.extend(installation.webhooks());
    objects
}

/// Settings of the manifests.
struct Installation<'a> {
    namespace: &'a str,
    /// The name by which API servers know the operator.
    user: &'a str,
    client: Client,
    /// None: it runs outside the cluster.
    pod: Option<Pod>,
}

impl Installation<'_> {
    fn rbac(&self) -> Vec<Value> {
        rbac::objects(self.namespace, self.user)
    }

    fn workload(&self) -> Vec<Value> {
        self.pod.as_ref().map(|pod| workload::objects(self.namespace, pod)).unwrap_or_default()
    }

    /// Without a `caBundle`, which the operator injects.
    fn webhooks(&self) -> Vec<Value> {
        let settings =
            Settings { client: self.client.clone(), operator_user: self.user.to_owned(), ca_bundle: None };
        vec![json!(configuration::mutating(&settings)), json!(configuration::validating(&settings))]
    }
}

/// Address under which API servers reach an operator inside the cluster.
fn service(namespace: &str) -> Client {
    Client::Service { namespace: namespace.to_owned(), name: NAME.to_owned(), port: SERVICE_PORT }
}

/// Labels of every object of the installation; they also select its pods.
fn labels() -> Value {
    json!({ "app.kubernetes.io/name": NAME })
}

fn namespace(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": { "app.kubernetes.io/name": NAME, "pod-security.kubernetes.io/enforce": "restricted" },
        },
    })
}

#[cfg(test)]
mod tests;
