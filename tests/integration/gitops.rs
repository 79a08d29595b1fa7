//! Clusters as GitOps tools see them, by their own libraries: a client of Argo CD's and Flux's is built with the
//! testbed.

mod differences;
mod health;
mod states;
mod tracking;

use serde::Deserialize;
use serde_json::Value;
use testbed::{Kubectl, binaries};

/// A tool's answer about an object.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// In the tool's own words.
    pub result: String,
    /// Of a difference, what the tool would change.
    #[serde(default)]
    pub message: String,
}

/// Has a tool do something with some objects; an answer for each, in the same order.
pub async fn ask(kubectl: Kubectl, what: &[&str], objects: &[Value]) -> Vec<Answer> {
    let said = kubectl.with_program(&binaries::GITOPS).must_with_stdin(what, &stream(objects)).await.unwrap();
    let answers: Vec<Answer> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), objects.len());
    answers
}

/// Objects one after the other, as every client reads them.
pub fn stream(objects: &[Value]) -> String {
    objects.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")
}

/// Adds the labels and annotations by which GitOps tools and Helm track their objects.
pub fn tracked(mut object: Value) -> Value {
    let (kind, namespace, name) = (
        object["kind"].as_str().unwrap().to_owned(),
        object["metadata"]["namespace"].as_str().unwrap().to_owned(),
        object["metadata"]["name"].as_str().unwrap().to_owned(),
    );
    let metadata = &mut object["metadata"];
    metadata["labels"]["app.kubernetes.io/instance"] = "application".into();
    metadata["labels"]["app.kubernetes.io/managed-by"] = "Helm".into();
    metadata["labels"]["kustomize.toolkit.fluxcd.io/name"] = "application".into();
    metadata["labels"]["kustomize.toolkit.fluxcd.io/namespace"] = "flux-system".into();
    metadata["labels"]["helm.toolkit.fluxcd.io/name"] = "application".into();
    metadata["annotations"]["argocd.argoproj.io/tracking-id"] =
        format!("application:multigres.com/{kind}:{namespace}/{name}").into();
    metadata["annotations"]["argocd.argoproj.io/sync-wave"] = "5".into();
    metadata["annotations"]["meta.helm.sh/release-name"] = "application".into();
    object
}
