//! Reviews for tests, and the stored objects that they are about.

use std::sync::Arc;

use multigres_crds::kind::{ChildKind, Kind};
use multigres_crds::v1alpha1::MultigresCluster;
use multigres_crds::{GROUP, resolve};
use serde_json::{Value, json, to_value};

use crate::lookup::Lookup;
use crate::review;
use crate::testing::{self, edit, sample, sharded_sample};

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

/// The proposal's cluster, as it is stored.
pub fn cluster() -> MultigresCluster {
    stored(&sample())
}

/// The same with databases in the full form.
pub fn sharded_cluster() -> MultigresCluster {
    let mut cluster = sample();
    cluster["spec"]["databases"] = sharded_sample()["spec"]["databases"].take();
    stored(&cluster)
}

fn stored(manifest: &Value) -> MultigresCluster {
    serde_json::from_value(edited(manifest, "/metadata/uid", json!("6f1b8a52"))).unwrap()
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

/// A value with one edit.
pub fn edited(value: &Value, pointer: &str, to: Value) -> Value {
    testing::edited(value.clone(), &[edit("", pointer, to)])
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
