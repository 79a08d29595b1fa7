//! Projection of an object.

use std::hash::{DefaultHasher, Hash, Hasher};

use compact_str::CompactString;
use litemap::LiteMap;
use multigres_crds::labels;
use multigres_crds::quantity::Quantity;
use multigres_crds::v1alpha1::StringMap;
use multigres_webhooks::lookup::Claim;
use serde_json::Value;

use super::instance::Instance;

/// The projection of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Its identity over time.
    pub uid: String,
    /// Its controller.
    pub owner: Option<Owner>,
    /// Its labels of the operator's own prefix.
    pub labels: LiteMap<CompactString, CompactString>,
    /// Digest of everything but its status and what the API server counts.
    pub content: u64,
    /// True if it is being deleted.
    pub deleting: bool,
    /// Its pods, where it is a workload.
    pub workload: Workload,
    /// Revision of the template that a pod was made from, or that a StatefulSet makes pods from.
    pub revision: Option<String>,
    /// Facts about the pod, if it is one.
    pub instance: Option<Box<Instance>>,
    /// The volume, where it is a claim.
    pub claim: Option<Box<Claim>>,
    /// Digest of what is said of it, where the operator says it: a cluster tells of its children's status.
    pub said: u64,
}

/// A controller, as in an owner reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Kind of the owner.
    pub kind: CompactString,
    /// Name of the owner.
    pub name: CompactString,
    /// Identity of the owner over time.
    pub uid: CompactString,
}

/// The pods of a Deployment or StatefulSet, by their controller's account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// True if that account is of the current spec.
    pub current: bool,
    /// Pods that are wanted.
    pub desired: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// Pods that are of the current template.
    pub updated: i32,
    /// Pods that exist.
    pub existing: i32,
}

impl Workload {
    /// True if every pod is there, of the current template, and ready.
    pub fn complete(&self) -> bool {
        self.rolled_out() && self.ready >= self.desired
    }

    /// True if every pod is there and of the current template.
    pub fn rolled_out(&self) -> bool {
        self.current && self.updated >= self.desired && self.existing == self.desired
    }
}

impl Observed {
    /// The cluster that controls the object; an empty name where none does.
    pub fn cluster_in_control(&self) -> &str {
        let owner = self.owner.as_ref().filter(|owner| owner.kind == "MultigresCluster");
        owner.map_or("", |owner| &owner.name)
    }

    /// Projects an object as the API server has it.
    pub fn project(object: &Value) -> Self {
        let metadata = &object["metadata"];
        let labels = metadata["labels"].as_object().into_iter().flatten();
        let labels = labels.filter(|(key, _)| key.starts_with(labels::PREFIX));
        Self {
            uid: text(&metadata["uid"]),
            owner: controller(metadata),
            labels: labels.map(|(key, value)| (key.into(), text(value))).collect(),
            content: content(object),
            deleting: metadata.get("deletionTimestamp").is_some(),
            workload: workload(object),
            revision: revision(object),
            instance: (object["kind"] == "Pod").then(|| Box::new(Instance::project(object))),
            claim: (object["kind"] == "PersistentVolumeClaim").then(|| Box::new(claim(object))),
            said: said(object),
        }
    }

    /// True if a label has a value.
    pub fn has_label(&self, key: &str, value: &str) -> bool {
        self.labels.get(key).is_some_and(|label| label == value)
    }

    /// True if all of these labels have these values.
    pub fn has_labels(&self, labels: &StringMap) -> bool {
        labels.iter().all(|(key, value)| self.has_label(key, value))
    }
}

/// Digest of everything but the status and what the API server counts.
pub fn content(object: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (key, value) in object.as_object().into_iter().flatten() {
        match key.as_str() {
            "status" | "apiVersion" | "kind" => {}
            "metadata" => {
                for key in ["labels", "annotations", "ownerReferences", "uid"] {
                    (key, value.get(key).map(Value::to_string)).hash(&mut hasher);
                }
            }
            _ => (key, value.to_string()).hash(&mut hasher),
        }
    }
    hasher.finish()
}

fn claim(object: &Value) -> Claim {
    let (spec, status) = (&object["spec"], &object["status"]);
    let modes = spec["accessModes"].as_array().into_iter().flatten();
    Claim {
        name: text(&object["metadata"]["name"]),
        created: object["metadata"]["creationTimestamp"].as_str().and_then(|time| time.parse().ok()),
        pool: object["metadata"]["labels"][labels::POOL].as_str().map(str::to_owned),
        bound: status["phase"] == "Bound",
        capacity: status["capacity"]["storage"].as_str().map(Quantity::from),
        storage_class: spec["storageClassName"].as_str().map(str::to_owned),
        access_modes: modes.filter_map(|mode| serde_json::from_value(mode.clone()).ok()).collect(),
    }
}

fn said(object: &Value) -> u64 {
    let ours =
        object["apiVersion"].as_str().is_some_and(|version| version.starts_with(multigres_crds::GROUP));
    let status = object.get("status").filter(|_| ours);
    status.map_or(0, |status| {
        let mut hasher = DefaultHasher::new();
        status.to_string().hash(&mut hasher);
        hasher.finish()
    })
}

fn controller(metadata: &Value) -> Option<Owner> {
    let owner = metadata["ownerReferences"].as_array()?.iter().find(|owner| owner["controller"] == true)?;
    Some(Owner { kind: text(&owner["kind"]), name: text(&owner["name"]), uid: text(&owner["uid"]) })
}

fn workload(object: &Value) -> Workload {
    let (spec, status) = (&object["spec"], &object["status"]);
    let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
    Workload {
        current: status["observedGeneration"].as_i64().is_some_and(|observed| observed >= generation),
        desired: number(spec.get("replicas")).unwrap_or(1),
        ready: number(status.get("readyReplicas")).unwrap_or(0),
        updated: number(status.get("updatedReplicas")).unwrap_or(0),
        existing: number(status.get("replicas")).unwrap_or(0),
    }
}

fn revision(object: &Value) -> Option<String> {
    let of_pod = object["metadata"]["labels"]["controller-revision-hash"].as_str();
    of_pod.or_else(|| object["status"]["updateRevision"].as_str()).map(str::to_owned)
}

fn number(value: Option<&Value>) -> Option<i32> {
    value?.as_i64().and_then(|number| i32::try_from(number).ok())
}

fn text<'a, T: From<&'a str>>(value: &'a Value) -> T {
    value.as_str().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_digest_is_of_what_people_can_edit() {
        let object = |edit: fn(&mut Value)| {
            let mut object = json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": { "uid": "1", "resourceVersion": "5", "labels": { "a": "b" }, "managedFields": [] },
                "spec": { "replicas": 1 }, "status": { "readyReplicas": 0 },
            });
            edit(&mut object);
            content(&object)
        };
        let original = object(|_| {});
        assert_eq!(original, object(|o| o["status"]["readyReplicas"] = 1.into()));
        assert_eq!(original, object(|o| o["metadata"]["resourceVersion"] = "6".into()));
        assert_ne!(original, object(|o| o["spec"]["replicas"] = 2.into()));
        assert_ne!(original, object(|o| o["metadata"]["labels"]["a"] = "c".into()));
        assert_ne!(original, object(|o| o["data"] = json!({ "a": "b" })));
    }

    #[test]
    fn the_account_of_an_older_spec_is_not_current() {
        let workload = |observed| {
            Observed::project(&json!({
                "metadata": { "generation": 2 }, "spec": { "replicas": 2 },
                "status": { "observedGeneration": observed, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2 },
            }))
            .workload
        };
        assert!(workload(2).complete());
        assert!(!workload(1).complete());
    }

    #[test]
    fn only_the_controller_is_the_owner() {
        let observed = Observed::project(&json!({ "metadata": { "ownerReferences": [
            { "kind": "A", "name": "a", "uid": "1" }, { "kind": "B", "name": "b", "uid": "2", "controller": true },
        ]}}));
        assert_eq!(observed.owner, Some(Owner { kind: "B".into(), name: "b".into(), uid: "2".into() }));
    }

    #[test]
    fn a_claim_is_known_by_its_age_and_its_pool() {
        let claim = |labels: Value| {
            let metadata =
                json!({ "name": "c", "creationTimestamp": "2026-01-02T03:04:05Z", "labels": labels });
            let object = json!({ "kind": "PersistentVolumeClaim", "metadata": metadata });
            *Observed::project(&object).claim.unwrap()
        };
        let of_pool = claim(json!({ labels::DATABASE: "app", labels::POOL: "p" }));
        assert_eq!(of_pool.pool.as_deref(), Some("p"));
        assert_eq!(of_pool.created, "2026-01-02T03:04:05Z".parse().ok());
        assert!(of_pool.created.is_some());
        assert_eq!(claim(json!({ labels::DATABASE: "app" })).pool, None);
    }
}
