//! Writes, and all that the API server answers to them: what clients of single types throw away, the warnings above
//! all, is here.

use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::core::Request;
use serde_json::{Value, json};

use crate::installation::Namespace;

/// One resource of a namespace, to be written to.
pub struct Resource {
    client: Client,
    path: String,
    dry_run: bool,
}

/// The API server's answer.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    /// The object as it is now, or a Status.
    pub body: Value,
    pub warnings: Vec<String>,
}

/// The problem of one field: reason without `FieldValue`, field, part of the message.
pub type Cause = (&'static str, &'static str, &'static str);

impl Namespace<'_> {
    /// The clusters of this namespace.
    pub fn clusters(&self) -> Resource {
        self.resource("multigresclusters")
    }

    /// A resource of this API in this namespace.
    pub fn resource(&self, plural: &str) -> Resource {
        let path = format!("/apis/multigres.com/v1alpha1/namespaces/{}/{plural}", self.name);
        Resource { client: self.client(), path, dry_run: false }
    }

    /// Has admission skip this namespace, or not any more, and waits until the API server does so.
    pub async fn opt_out(&self, out: bool) {
        let label = format!("multigres.com/admission{}", if out { "=disabled" } else { "-" });
        self.kubectl().must(["label", "namespace", &self.name, &label]).await.unwrap();
        let nonsense = json!({
            "apiVersion": "multigres.com/v1alpha1", "kind": "MultigresCluster", "metadata": {"name": "probe"},
            "spec": {"globalTopoServer": {"rootPath": "relative"}, "cells": {}},
        });
        let clusters = self.clusters().dry_run();
        let seen = || async { (clusters.create(&nonsense).await.is_allowed() == out).then_some(()) };
        crate::installation::eventually("the label is seen", seen).await.unwrap();
    }
}

impl Resource {
    /// The same, but nothing is stored.
    pub fn dry_run(self) -> Self {
        Self { dry_run: true, ..self }
    }

    /// The same as another user.
    pub fn by(self, client: Client) -> Self {
        Self { client, ..self }
    }

    pub async fn create(&self, object: &Value) -> Answer {
        let params = PostParams { dry_run: self.dry_run, ..PostParams::default() };
        self.send(self.request().create(&params, object.to_string().into_bytes()).unwrap()).await
    }

    /// Changes an object by a JSON patch.
    pub async fn patch(&self, name: &str, patch: Value) -> Answer {
        self.patched(name, Patch::Json::<Value>(serde_json::from_value(patch).unwrap())).await
    }

    /// Replaces the whole spec, whatever the version of the object is.
    pub async fn update_spec(&self, name: &str, spec: &Value) -> Answer {
        self.patch(name, json!([{"op": "replace", "path": "/spec", "value": spec}])).await
    }

    /// Changes an object by a merge patch.
    pub async fn merge(&self, name: &str, patch: Value) -> Answer {
        self.patched(name, Patch::Merge(patch)).await
    }

    /// Server-side apply.
    pub async fn apply(&self, object: &Value) -> Answer {
        self.patched(object["metadata"]["name"].as_str().unwrap(), Patch::Apply(object.clone())).await
    }

    /// Changes a subresource by a merge patch.
    pub async fn merge_subresource(&self, subresource: &str, name: &str, patch: Value) -> Answer {
        let patch = Patch::Merge(patch);
        self.send(
            self.request().patch_subresource(subresource, name, &self.patching(&patch), &patch).unwrap(),
        )
        .await
    }

    pub async fn delete(&self, name: &str) -> Answer {
        let params = DeleteParams { dry_run: self.dry_run, ..DeleteParams::default() };
        self.send(self.request().delete(name, &params).unwrap()).await
    }

    async fn patched(&self, name: &str, patch: Patch<Value>) -> Answer {
        self.send(self.request().patch(name, &self.patching(&patch), &patch).unwrap()).await
    }

    fn patching(&self, patch: &Patch<Value>) -> PatchParams {
        let field_manager = matches!(patch, Patch::Apply(_)).then(|| "tests".to_owned());
        PatchParams { dry_run: self.dry_run, field_manager, ..PatchParams::default() }
    }

    fn request(&self) -> Request {
        Request::new(&self.path)
    }

    async fn send(&self, request: hyper::Request<Vec<u8>>) -> Answer {
        let response = self.client.send(request.map(Body::from)).await.unwrap();
        let (head, body) = response.into_parts();
        let warnings = head.headers.get_all("warning").iter().map(|warning| warning_text(warning.as_bytes()));
        let warnings = warnings.collect();
        let body = body.collect_bytes().await.unwrap();
        Answer { code: head.status.as_u16(), body: serde_json::from_slice(&body).unwrap(), warnings }
    }
}

/// The text of `299 - "text"`.
fn warning_text(header: &[u8]) -> String {
    let header = str::from_utf8(header).unwrap();
    let text = header.strip_prefix("299 - ").unwrap_or_else(|| panic!("{header}"));
    serde_json::from_str(text).unwrap()
}

/// Reason and field of each cause, as in `Invalid spec.paused`.
fn outlines(causes: &[Value]) -> Vec<String> {
    let outline = |cause: &Value| {
        let reason = cause["reason"].as_str().unwrap();
        format!("{} {}", reason.strip_prefix("FieldValue").unwrap(), cause["field"].as_str().unwrap())
    };
    causes.iter().map(outline).collect()
}

/// Fails the test unless what was said are exactly these causes.
#[track_caller]
pub fn assert_causes(said: &[Value], causes: &[Cause]) {
    let expected: Vec<String> = causes.iter().map(|(reason, field, _)| format!("{reason} {field}")).collect();
    assert_eq!(outlines(said), expected, "{said:#?}");
    for ((_, field, part), cause) in causes.iter().zip(said) {
        let message = cause["message"].as_str().unwrap();
        assert!(message.contains(part), "{field}: {message}");
        assert!(!message.starts_with(field), "kubectl repeats the field: {message}");
    }
}

impl Answer {
    pub fn is_allowed(&self) -> bool {
        self.code < 300
    }

    /// The same, but a refusal ends the test.
    #[track_caller]
    pub fn allowed(self) -> Self {
        assert!(self.is_allowed(), "{self:#?}");
        self
    }

    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    fn all_causes(&self) -> &[Value] {
        self.body["details"]["causes"].as_array().map_or(&[], Vec::as_slice)
    }

    /// Reason and field of each cause, as in `Invalid spec.paused`.
    pub fn causes(&self) -> Vec<String> {
        outlines(self.all_causes())
    }

    /// Fails the test unless this is an answer of admission that refuses an object for exactly these causes.
    #[track_caller]
    pub fn assert_invalid(&self, causes: &[Cause]) {
        self.assert_invalid_of("MultigresCluster", causes);
    }

    /// The same of another kind.
    #[track_caller]
    pub fn assert_invalid_of(&self, kind: &str, causes: &[Cause]) {
        assert_causes(self.all_causes(), causes);
        assert_eq!((self.code, &self.body["reason"]), (422, &json!("Invalid")), "{self:#?}");
        let details = &self.body["details"];
        assert_eq!((&details["group"], &details["kind"]), (&json!("multigres.com"), &json!(kind)));
        assert_ne!(details["name"].as_str().unwrap_or_default(), "", "{self:#?}");
        for cause in self.all_causes() {
            let line =
                format!("\n{}: {}", cause["field"].as_str().unwrap(), cause["message"].as_str().unwrap());
            assert!(self.message().contains(&line), "{line:?} is not in {:?}", self.message());
        }
        let (first, count) = (self.message().lines().next().unwrap(), causes.len());
        let errors = if count == 1 { "1 error".to_owned() } else { format!("{count} errors") };
        assert!(first.ends_with(&format!(" is invalid: {errors}")), "{first}");
    }

    /// True if no warning says this.
    pub fn is_silent(&self, part: &str) -> bool {
        !self.warnings.iter().any(|warning| warning.contains(part))
    }

    /// Fails the test if a warning says this.
    #[track_caller]
    pub fn assert_silent(&self, part: &str) {
        assert!(self.is_silent(part), "{part:?}: {:#?}", self.warnings);
    }

    /// Fails the test unless a warning says this, and all of them can be read.
    #[track_caller]
    pub fn assert_warns(&self, part: &str) {
        assert!(self.warnings.iter().any(|warning| warning.contains(part)), "{part:?}: {:#?}", self.warnings);
        for warning in &self.warnings {
            assert!(warning.chars().count() <= 120 && !warning.starts_with("Warning"), "{warning}");
        }
    }
}
