//! The operator inside the cluster.

use serde_json::{Value, json};

use super::{NAME, SERVICE_PORT, labels};

const WEBHOOK_PORT: u16 = 9443;
const OPS_PORT: u16 = 8080;

/// Settings of an installation. They are values rather than types, because in the Helm chart they are Helm's
/// expressions. Null means not set.
pub(super) struct Pod {
    pub(super) replicas: Value,
    pub(super) image: Value,
    pub(super) args: Value,
    pub(super) resources: Value,
    pub(super) image_pull_secrets: Value,
    pub(super) node_selector: Value,
    pub(super) tolerations: Value,
    pub(super) affinity: Value,
}

impl Pod {
    pub(super) fn new(image: &str, replicas: i32) -> Self {
        Self {
            replicas: json!(replicas),
            image: json!(image),
            args: json!(["run"]),
            resources: json!({ "requests": { "cpu": "100m", "memory": "128Mi" }, "limits": { "memory": "512Mi" } }),
            image_pull_secrets: Value::Null,
            node_selector: Value::Null,
            tolerations: Value::Null,
            affinity: Value::Null,
        }
    }
}

/// Service, Deployment and disruption budget.
pub(super) fn objects(namespace: &str, pod: &Pod) -> Vec<Value> {
    let metadata = json!({ "name": NAME, "namespace": namespace, "labels": labels() });
    vec![
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {
                "selector": labels(),
                "ports": [{ "name": "webhooks", "port": SERVICE_PORT, "targetPort": "webhooks", "protocol": "TCP" }],
            },
        }),
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": pod.replicas,
                "selector": { "matchLabels": labels() },
                "template": { "metadata": { "labels": labels() }, "spec": pod_spec(pod) },
            },
        }),
        // Without a replica nobody can change a cluster.
        json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata,
            "spec": { "maxUnavailable": 1, "selector": { "matchLabels": labels() } },
        }),
    ]
}

fn pod_spec(pod: &Pod) -> Value {
    let mut spec = json!({
        "serviceAccountName": NAME,
        // Longer than draining and finishing take together.
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "topologySpreadConstraints": [{
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": labels() },
        }],
        "containers": [container(pod)],
        "imagePullSecrets": pod.image_pull_secrets,
        "nodeSelector": pod.node_selector,
        "tolerations": pod.tolerations,
        "affinity": pod.affinity,
    });
    if let Some(fields) = spec.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    spec
}

fn container(pod: &Pod) -> Value {
    json!({
        "name": "operator",
        "image": pod.image,
        "args": pod.args,
        "env": [{ "name": "POD_NAMESPACE", "valueFrom": field("metadata.namespace") }],
        "ports": [
            { "name": "webhooks", "containerPort": WEBHOOK_PORT, "protocol": "TCP" },
            { "name": "ops", "containerPort": OPS_PORT, "protocol": "TCP" },
        ],
        "livenessProbe": { "httpGet": { "path": "/livez", "port": "ops" } },
        // Asked often: a replica that leaves, or has just come, should be known as such at once.
        "readinessProbe": { "httpGet": { "path": "/readyz", "port": "ops" }, "periodSeconds": 2 },
        "resources": pod.resources,
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
    })
}

/// The version is written because a default beside what was applied would be a conflict for other appliers.
fn field(path: &str) -> Value {
    json!({ "fieldRef": { "apiVersion": "v1", "fieldPath": path } })
}
