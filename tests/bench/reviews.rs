//! Measured reviews, as API servers send them, from a small cluster to the largest that can be stored.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use multigres_crds::kind::{ChildKind, Kind};
use multigres_crds::resolve;
use multigres_crds::v1alpha1::{MultigresCluster, StringMap};
use multigres_operator::build::Environment;
use multigres_operator::impact::Workloads;
use multigres_webhooks::admit::{Admission, Phase, handle};
use multigres_webhooks::footprint::{Footprint, Neighbour};
use multigres_webhooks::lookup::{Claim, Existing, Known, Lookup, StorageClass};
use serde_json::{Value, from_value, json, to_value};
use std::sync::Arc;

/// One object that is written, in both phases of admission.
pub struct Subject {
    pub name: &'static str,
    kind: Kind,
    pub mutate: Bytes,
    pub validate: Bytes,
}

impl Subject {
    pub fn body(&self, phase: Phase) -> Bytes {
        match phase {
            Phase::Mutate => self.mutate.clone(),
            Phase::Validate => self.validate.clone(),
        }
    }

    /// True if it is admitted: edits of children are not, which the mutating webhook leaves to the other.
    pub fn is_allowed(&self, phase: Phase) -> bool {
        self.kind == Kind::Cluster || phase == Phase::Mutate
    }
}

/// Every subject, by size.
pub fn subjects() -> Vec<Subject> {
    vec![
        created("small cluster", sample(include_str!("../samples/two-cells.yaml"))),
        created("the proposal's cluster", sample(include_str!("../samples/proposal-cluster.yaml"))),
        edited_child("denied edit of a child"),
        created("cluster of 250 KB", cluster_of(250_000)),
        created("cluster of 620 KB", cluster_of(620_000)),
        updated("update of 2 × 660 KB", cluster_of(660_000)),
    ]
}

/// A Kubernetes cluster in which there is the small cluster, and nothing else that a rule could run into.
struct Small(Arc<MultigresCluster>);

impl Lookup for Small {
    fn synced(&self) -> bool {
        true
    }

    fn cluster(&self, namespace: &str, name: &str) -> Option<Arc<MultigresCluster>> {
        let metadata = &self.0.metadata;
        let is_asked_for =
            metadata.namespace.as_deref() == Some(namespace) && metadata.name.as_deref() == Some(name);
        is_asked_for.then(|| self.0.clone())
    }

    fn neighbours(&self, _: &Footprint) -> Known<Vec<Arc<Neighbour>>> {
        Known::Yes(Vec::new())
    }

    fn child(&self, _: ChildKind, _: &str, _: &str) -> Known<Option<Existing>> {
        Known::Yes(None)
    }

    fn has_others_children(&self, _: &str, _: &str) -> Known<bool> {
        Known::Yes(false)
    }

    fn storage_classes(&self) -> Known<Vec<StorageClass>> {
        Known::Yes(vec![StorageClass { name: "standard".to_owned(), default: true, expandable: true }])
    }

    fn claims(&self, _: &str, _: &StringMap) -> Known<Vec<Claim>> {
        Known::Yes(Vec::new())
    }
}

/// Admission as in a running operator, but for the size of its caches.
pub fn admission() -> Admission {
    let small = from_value(sample(include_str!("../samples/two-cells.yaml"))).unwrap();
    Admission {
        lookup: Arc::new(Small(Arc::new(small))),
        impact: Some(Arc::new(Workloads { environment: Environment::default() })),
        operator_user: "system:serviceaccount:multigres-system:multigres-operator".to_owned(),
    }
}

fn sample(yaml: &str) -> Value {
    let mut cluster: Value = serde_saphyr::from_str(yaml).unwrap();
    cluster["metadata"]["uid"] = json!("6f1b8a52-8d0f-4d53-b8d3-02d1f3a2c4b1");
    cluster["metadata"]["generation"] = json!(1);
    cluster["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    cluster
}

/// A cluster with as many databases, table groups and pools as it takes to be of a size, in bytes; of more than
/// 660 KB it would have too many table groups.
fn cluster_of(size: usize) -> Value {
    const DATABASES: usize = 50;
    let mut cluster = sample(include_str!("../samples/table-groups.yaml"));
    let template = cluster["spec"]["databases"]["templates"][0].take();
    let group = template["spec"]["tableGroups"][0].clone();
    let mut databases: Vec<Value> = (0..DATABASES).map(|_| template.clone()).collect();
    for (index, database) in databases.iter_mut().enumerate() {
        database["name"] = json!(format!("orders_{index}"));
    }
    let base = cluster.to_string().len() + databases.iter().map(|d| d.to_string().len() + 1).sum::<usize>();
    let groups = size.saturating_sub(base) / (group.to_string().len() + 3);
    for index in 0..groups {
        let mut group = group.clone();
        group["name"] = json!(format!("tg{}", index / DATABASES));
        if let Some(groups) = databases[index % DATABASES]["spec"]["tableGroups"].as_array_mut() {
            groups.push(group);
        }
    }
    cluster["spec"]["databases"]["templates"] = Value::Array(databases);
    cluster
}

fn created(name: &'static str, cluster: Value) -> Subject {
    subject(name, Kind::Cluster, None, cluster)
}

/// More gateways, which every shard has to be compared for.
fn updated(name: &'static str, cluster: Value) -> Subject {
    let old = defaulted(Kind::Cluster, None, cluster);
    let mut new = old.clone();
    new["spec"]["cells"]["templates"][0]["spec"]["multiGateway"]["replicas"] = json!(3);
    subject(name, Kind::Cluster, Some(&old), new)
}

/// Somebody scales a pool of a shard that belongs to a cluster.
fn edited_child(name: &'static str) -> Subject {
    let cluster = defaulted(Kind::Cluster, None, sample(include_str!("../samples/two-cells.yaml")));
    let cluster: MultigresCluster = from_value(cluster).unwrap();
    let mut old = to_value(&resolve::children(&cluster).shards[0]).unwrap();
    old["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "multigres.com/v1alpha1", "kind": "MultigresCluster", "controller": true,
        "name": cluster.metadata.name, "uid": cluster.metadata.uid, "blockOwnerDeletion": true,
    }]);
    let mut new = old.clone();
    new["spec"]["pools"][0]["replicas"] = json!(9);
    subject(name, Kind::Child(ChildKind::MultiShard), Some(&old), new)
}

fn subject(name: &'static str, kind: Kind, old: Option<&Value>, new: Value) -> Subject {
    let mutate = review(kind, old, &new);
    let new = defaulted(kind, old, new);
    let validate = review(kind, old, &new);
    Subject { name, kind, mutate: mutate.into(), validate: validate.into() }
}

/// The object as the mutating webhook passes it on.
fn defaulted(kind: Kind, old: Option<&Value>, mut object: Value) -> Value {
    let verdict = answer(Phase::Mutate, &review(kind, old, &object));
    if let Some(patch) = verdict["response"]["patch"].as_str() {
        let patch: json_patch::Patch =
            serde_json::from_slice(&BASE64_STANDARD.decode(patch).unwrap()).unwrap();
        json_patch::patch(&mut object, &patch).unwrap();
    }
    object
}

fn answer(phase: Phase, body: &[u8]) -> Value {
    let answer = handle(phase, body, &admission()).unwrap();
    to_value(answer.review).unwrap()
}

fn review(kind: Kind, old: Option<&Value>, new: &Value) -> Vec<u8> {
    // To the API server these objects are maps without an order, which are written sorted.
    let sorted = |object: &Value| {
        let mut object = object.clone();
        object.sort_all_objects();
        object
    };
    let (old, new) = (old.map(sorted), sorted(new));
    let of_kind = json!({"group": multigres_crds::GROUP, "version": "v1alpha1", "kind": kind.as_str()});
    let resource = json!({"group": multigres_crds::GROUP, "version": "v1alpha1", "resource": kind.plural()});
    let review = json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": of_kind,
            "resource": resource,
            "requestKind": of_kind,
            "requestResource": resource,
            "name": new["metadata"]["name"],
            "namespace": new["metadata"]["namespace"],
            "operation": if old.is_some() { "UPDATE" } else { "CREATE" },
            "userInfo": {
                "username": "jane@example.com",
                "groups": ["engineers", "system:authenticated"],
                "extra": {"authentication.kubernetes.io/credential-id": ["X509SHA256=4a5c"]},
            },
            "object": new,
            "oldObject": old,
            "dryRun": false,
            "options": {
                "kind": if old.is_some() { "UpdateOptions" } else { "CreateOptions" },
                "apiVersion": "meta.k8s.io/v1",
                "fieldManager": "kubectl-client-side-apply",
                "fieldValidation": "Strict",
            },
        },
    });
    review.to_string().into_bytes()
}
