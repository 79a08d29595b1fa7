//! Kubernetes Events: every step that a person would ask about, told once.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

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
        self.publish(EventType::Normal, about, reason, action, note).await;
    }

    /// Tells of something that a person should look at.
    pub async fn warning(&self, about: &ObjectReference, reason: &str, action: &str, note: String) {
        self.publish(EventType::Warning, about, reason, action, note).await;
    }

    /// Events are told as well as can be: a lost one changes nothing.
    async fn publish(
        &self,
        type_: EventType,
        about: &ObjectReference,
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
            secondary: None,
        };
        if let Err(error) = self.0.publish(&event, about).await {
            tracing::warn!(reason, %error, "an event was lost");
        }
    }
}
