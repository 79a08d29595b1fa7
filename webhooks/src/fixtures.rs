//! What tests of several modules begin with.

use std::sync::Arc;

use multigres_crds::v1alpha1::MultigresCluster;
use multigres_crds::{GROUP, resolve};
use serde_json::{Value, json, to_value};

use crate::kind::{ChildKind, Kind};
use crate::lookup::Lookup;
use crate::review;

/// The user under whose name the operator writes.
pub const OPERATOR: &str = "system:serviceaccount:multigres-system:multigres-operator";

/// At most one cluster, as the caches know it.
pub struct Clusters {
    pub synced: bool,
    pub cluster: Option<Arc<MultigresCluster>>,
}

impl Clusters {
    pub fn with(cluster: MultigresCluster) -> Self {
        Self { synced: true, cluster: Some(Arc::new(cluster)) }
    }
}

impl Lookup for Clusters {
    fn synced(&self) -> bool {
        self.synced
    }

    fn cluster(&self, namespace: &str, name: &str) -> Option<Arc<MultigresCluster>> {
        let metadata = |cluster: &Arc<MultigresCluster>| {
            cluster.metadata.namespace.as_deref() == Some(namespace)
                && cluster.metadata.name.as_deref() == Some(name)
        };
        self.cluster.clone().filter(metadata)
    }
}

/// The proposal's cluster, as it is written.
pub fn manifest() -> Value {
    serde_saphyr::from_str(include_str!("../../tests/samples/proposal-cluster.yaml")).unwrap()
}

/// The proposal's cluster, as it is stored.
pub fn cluster() -> MultigresCluster {
    let mut manifest = manifest();
    manifest["metadata"]["uid"] = json!("6f1b8a52");
    serde_json::from_value(manifest).unwrap()
}

/// The same with the databases of the proposal's other sample, in the full form.
pub fn cluster_in_full_form() -> MultigresCluster {
    let fragment = include_str!("../../tests/samples/proposal-tablegroups-fragment.yaml");
    let fragment: Value = serde_saphyr::from_str(fragment).unwrap();
    let mut cluster = to_value(cluster()).unwrap();
    cluster["spec"]["databases"] = fragment["spec"]["databases"].clone();
    serde_json::from_value(cluster).unwrap()
}

/// The children of a kind, as the operator writes them.
pub fn children(kind: ChildKind, cluster: &MultigresCluster) -> Vec<Value> {
    let children = resolve::children(cluster);
    let values = match kind {
        ChildKind::TopoServer => to_value(Vec::from_iter(children.topo_server)),
        ChildKind::MultiAdmin => to_value(Vec::from_iter(children.admin)),
        ChildKind::MultiOrch => to_value(Vec::from_iter(children.orch)),
        ChildKind::MultiCell => to_value(children.cells),
        ChildKind::MultiShard => to_value(children.shards),
    };
    let Value::Array(mut values) = values.unwrap() else { panic!("no list") };
    for child in &mut values {
        child["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "multigres.com/v1alpha1", "kind": "MultigresCluster", "controller": true,
            "name": cluster.metadata.name, "uid": cluster.metadata.uid, "blockOwnerDeletion": true,
        }]);
    }
    values
}

/// A value with something else at a JSON pointer, or with nothing where that is null.
pub fn edited(value: &Value, pointer: &str, to: Value) -> Value {
    let mut edited = value.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/");
    match edited.pointer_mut(parent).unwrap() {
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = to,
        Value::Object(fields) if to.is_null() => drop(fields.remove(&key)),
        object => object[key] = to,
    }
    edited
}

/// The request of a review by an ordinary user: CREATE of `new`, DELETE of `old`, or UPDATE of one to the other.
pub fn request(kind: Kind, old: Option<&Value>, new: Option<&Value>) -> Value {
    let operation = match (old, new) {
        (None, _) => "CREATE",
        (Some(_), Some(_)) => "UPDATE",
        (Some(_), None) => "DELETE",
    };
    json!({
        "uid": "705ab4f5",
        "kind": {"group": GROUP, "version": "v1alpha1", "kind": kind.as_str()},
        "resource": {"group": GROUP, "version": "v1alpha1", "resource": kind.plural()},
        "name": old.or(new).unwrap()["metadata"]["name"],
        "namespace": "multigres",
        "operation": operation,
        "userInfo": {"username": "jane"},
        "object": new,
        "oldObject": old,
    })
}

/// The review of a request.
pub fn review(request: &Value) -> Vec<u8> {
    let review = json!({"apiVersion": review::API_VERSION, "kind": review::KIND, "request": request});
    review.to_string().into_bytes()
}
