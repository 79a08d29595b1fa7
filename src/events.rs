//! Kubernetes Events: every step that a person would ask about, told once.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use crate::api_error;

/// The one recorder of the operator.
#[derive(Clone)]
pub struct Events(Recorder);

impl Events {
    /// Records in the operator's name.
    pub fn new(client: Client) -> Self {
        Self(Recorder::new(client, Reporter::from("multigres-operator")))
    }

    /// Tells of something that went as it should.
    pub async fn normal(&self, about: &ObjectReference, reason: &str, action: &str, note: String) {
        self.publish(EventType::Normal, about, None, reason, action, note).await;
    }

    /// Tells of something that went as it should with one of the pods of what it is about.
    pub async fn of_pod(&self, about: &ObjectReference, pod: &str, reason: &str, action: &str, note: String) {
        let pod = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(pod.to_owned()),
            namespace: about.namespace.clone(),
            ..ObjectReference::default()
        };
        self.publish(EventType::Normal, about, Some(pod), reason, action, note).await;
    }

    /// Tells of something that a person should look at.
    pub async fn warning(&self, about: &ObjectReference, reason: &str, action: &str, note: String) {
        self.publish(EventType::Warning, about, None, reason, action, note).await;
    }

    /// Events are told as well as can be: a lost one changes nothing. Those that differ in their notes alone are
    /// counted as one, which keeps the first note; so what happens to one pod after the other has to name the pod.
    async fn publish(
        &self,
        type_: EventType,
        about: &ObjectReference,
        secondary: Option<ObjectReference>,
        reason: &str,
        action: &str,
        note: String,
    ) {
        let note: String = note.chars().take(1000).collect();
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note),
            action: action.to_owned(),
            secondary,
        };
        if let Err(error) = self.0.publish(&event, about).await {
            if api_error::is_namespace_terminating(&error) {
                return;
            }
            let error = api_error::message(&error);
            tracing::warn!(reason, %error, "an event was lost");
        }
    }
}
