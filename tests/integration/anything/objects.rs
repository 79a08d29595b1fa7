//! Objects as the API server has them, all of a namespace at a time.

use std::collections::BTreeMap;

use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// A resource by the path of its API, its plural name and its kind.
pub type Resource = (&'static str, &'static str, &'static str);

const MULTIGRES: &str = "/apis/multigres.com/v1alpha1";
pub const STATEFUL_SETS: Resource = ("/apis/apps/v1", "statefulsets", "StatefulSet");
pub const DEPLOYMENTS: Resource = ("/apis/apps/v1", "deployments", "Deployment");
pub const SERVICES: Resource = ("/api/v1", "services", "Service");
pub const CONFIG_MAPS: Resource = ("/api/v1", "configmaps", "ConfigMap");
pub const BUDGETS: Resource = ("/apis/policy/v1", "poddisruptionbudgets", "PodDisruptionBudget");
pub const CLAIMS: Resource = ("/api/v1", "persistentvolumeclaims", "PersistentVolumeClaim");
pub const SECRETS: Resource = ("/api/v1", "secrets", "Secret");
pub const PODS: Resource = ("/api/v1", "pods", "Pod");
pub const CHILDREN: [Resource; 5] = [
    (MULTIGRES, "toposervers", "TopoServer"),
    (MULTIGRES, "multiadmins", "MultiAdmin"),
    (MULTIGRES, "multiorches", "MultiOrch"),
    (MULTIGRES, "multicells", "MultiCell"),
    (MULTIGRES, "multishards", "MultiShard"),
];
pub const CLUSTERS: Resource = (MULTIGRES, "multigresclusters", "MultigresCluster");
/// Objects that the operator makes directly.
pub const WORKLOADS: [Resource; 5] = [STATEFUL_SETS, DEPLOYMENTS, SERVICES, CONFIG_MAPS, BUDGETS];
const DATA: [Resource; 3] = [CLAIMS, SECRETS, PODS];

/// Kind and name.
pub type Key = (String, String);

/// Everything of one namespace that carries the cluster's label.
pub type Objects = BTreeMap<Key, Value>;

/// Answer of the API server: code and body.
pub type Answer = (u16, Value);

/// Requests of the tests' own user.
#[derive(Clone)]
pub struct Requests(pub Client);

impl Requests {
    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None, Value::Null).await
    }

    pub async fn create(&self, path: &str, object: &Value) -> Answer {
        self.send("POST", path, Some("application/json"), object.clone()).await
    }

    pub async fn merge(&self, at: &str, patch: Value) -> Answer {
        self.send("PATCH", at, Some("application/merge-patch+json"), patch).await
    }

    pub async fn patch(&self, at: &str, patch: Value) -> Answer {
        self.send("PATCH", at, Some("application/json-patch+json"), patch).await
    }

    pub async fn delete(&self, path: &str, propagation: &str) -> Answer {
        let options = json!({ "propagationPolicy": propagation });
        self.send("DELETE", path, Some("application/json"), options).await
    }

    async fn send(&self, method: &str, path: &str, type_: Option<&str>, body: Value) -> Answer {
        let mut request = hyper::Request::builder().method(method).uri(path);
        if let Some(type_) = type_ {
            request = request.header("content-type", type_);
        }
        let body = if type_.is_some() { body.to_string().into_bytes() } else { Vec::new() };
        let response = self.0.send(request.body(Body::from(body)).unwrap()).await.unwrap();
        let code = response.status().as_u16();
        let body = response.into_body().collect_bytes().await.unwrap();
        (code, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Objects of a kind, in one namespace or in all of them, by the selector of labels.
    pub async fn list(&self, resource: Resource, namespace: Option<&str>) -> Vec<Value> {
        let (api, plural, kind) = resource;
        let within = namespace.map(|namespace| format!("/namespaces/{namespace}")).unwrap_or_default();
        let path = format!("{api}{within}/{plural}?labelSelector=multigres.com%2Fcluster");
        let (code, mut list) = self.get(&path).await;
        assert_eq!(code, 200, "{list}");
        let mut items = match list["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        for item in &mut items {
            item["kind"] = kind.into();
        }
        items
    }

    /// All objects of clusters, by namespace.
    pub async fn snapshot(&self) -> BTreeMap<String, Objects> {
        let mut all: BTreeMap<String, Objects> = BTreeMap::new();
        for resource in CHILDREN.into_iter().chain(WORKLOADS).chain(DATA) {
            for object in self.list(resource, None).await {
                let namespace = text(&object["metadata"]["namespace"]);
                all.entry(namespace).or_default().insert(key(&object), object);
            }
        }
        all
    }
}

pub fn path(resource: Resource, namespace: &str, name: &str) -> String {
    let (api, plural, _) = resource;
    format!("{api}/namespaces/{namespace}/{plural}/{name}")
}

pub fn key(object: &Value) -> Key {
    (text(&object["kind"]), text(&object["metadata"]["name"]))
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
