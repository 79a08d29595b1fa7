//! A desired object, whatever its kind.

use kube::api::ApiResource;
use kube::{Resource, ResourceExt};
use multigres_crds::v1alpha1::{Retention, RetentionPolicy};
use serde::Serialize;
use serde_json::Value;

/// A desired object: exactly what is applied, except for the owner reference that [`Ownership`] asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The kind of the object.
    pub resource: ApiResource,
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Ownership of the object by the child that it was built from.
    pub ownership: Ownership,
    /// `apiVersion`, `kind`, `metadata` and content. No status, no owner references, no nulls.
    pub body: Value,
}

/// Ownership of an object by the child that it was built from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ownership {
    /// The child controls it: deleted with it.
    #[default]
    Controlled,
    /// Referred to without control, beside what else may own it: deleted with its last owner.
    Dependent,
    /// No owner: the data in it outlives the child.
    Retained,
}

impl Ownership {
    /// Of what holds data, or opens it: as long-lived as the volumes are.
    pub(super) fn of_data(policy: RetentionPolicy) -> Self {
        match policy.deleted() {
            Retention::Retain => Self::Retained,
            Retention::Delete => Self::Dependent,
        }
    }
}

impl Manifest {
    /// The manifest of an object that the child controls.
    pub fn new<K>(object: &K) -> Self
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        let resource = ApiResource::erase::<K>(&());
        // Plain data with string keys: there is nothing in it that JSON cannot hold.
        let body = serde_json::to_value(object).unwrap_or_default();
        Self {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            ownership: Ownership::Controlled,
            resource,
            body,
        }
    }

    /// The template of the pods, where the object makes some: two that differ are two generations of pods.
    pub fn pod_template(&self) -> Option<&Value> {
        self.body.pointer("/spec/template")
    }

    /// The same with another ownership.
    #[must_use]
    pub fn owned(self, ownership: Ownership) -> Self {
        Self { ownership, ..self }
    }
}
