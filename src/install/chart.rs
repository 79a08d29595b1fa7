//! The Helm chart's generated files: the same manifests, with Helm's expressions in place of values.
//!
//! They are committed, so that the chart can be installed from a checkout, and a test compares.

use std::io;

use kube::ResourceExt;
use multigres_crds::schema::crds;
use serde::Serialize;
use serde_json::{Value, json};

use super::workload::Pod;
use super::{Installation, service, service_account_user};

const NAMESPACE: &str = "{{ .Release.Namespace }}";
const HEADER: &str = "# Generated from the operator's own manifests; `make generate` writes it anew.\n";

/// A generated file of the chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Path within the chart.
    pub path: String,
    /// Its text.
    pub content: String,
}

/// All generated files.
pub fn files() -> io::Result<Vec<File>> {
    let user = service_account_user(NAMESPACE);
    let installation =
        Installation { namespace: NAMESPACE, user: &user, client: service(NAMESPACE), pod: Some(pod()) };
    let mut files = vec![
        template("rbac", &installation.rbac())?,
        template("workload", &installation.workload())?,
        template("webhooks", &installation.webhooks())?,
    ];
    for crd in crds() {
        let path = format!("crds/{}.yaml", crd.name_any());
        files.push(File { path, content: yaml(&[crd])? });
    }
    Ok(files)
}

fn pod() -> Pod {
    let value = |name: &str| expression(&format!(".Values.{name}"));
    Pod {
        replicas: value("replicas"),
        image: value("image"),
        args: expression("concat (list `run`) .Values.extraArgs"),
        resources: value("resources"),
        image_pull_secrets: value("imagePullSecrets"),
        node_selector: value("nodeSelector"),
        tolerations: value("tolerations"),
        affinity: value("affinity"),
    }
}

/// JSON is YAML: whatever the expression evaluates to fits where it stands.
fn expression(value: &str) -> Value {
    json!(format!("{{{{ {value} | toJson }}}}"))
}

fn template(name: &str, objects: &[Value]) -> io::Result<File> {
    let yaml = yaml(objects)?;
    let content = yaml.lines().fold(HEADER.to_owned(), |content, line| content + &unquoted(line) + "\n");
    Ok(File { path: format!("templates/{name}.yaml"), content })
}

fn yaml(objects: &[impl Serialize]) -> io::Result<String> {
    let mut yaml = Vec::new();
    crate::yaml::write(objects, &mut yaml)?;
    String::from_utf8(yaml).map_err(io::Error::other)
}

/// To the serializer an expression is text that needs quotes; to Helm it is not text.
fn unquoted(line: &str) -> String {
    match line.split_once("\"{{ ").and_then(|(key, rest)| Some((key, rest.strip_suffix(" | toJson }}\"")?))) {
        Some((key, value)) => format!("{key}{{{{ {value} | toJson }}}}"),
        None => line.to_owned(),
    }
}
