//! Permissions of the operator. Each rule is needed, and its comment gives the reason.

use kube::Resource;
use multigres_crds::GROUP;
use multigres_crds::kind::ChildKind;
use multigres_crds::v1alpha1::MultigresCluster;
use serde_json::{Value, json};

use super::{NAME, configuration, labels, service_account_user};

const RBAC: &str = "rbac.authorization.k8s.io";
/// Verbs for keeping objects in the desired state: server-side apply creates with `create` and changes with `patch`;
/// objects that apply cannot correct are replaced with `update`.
const KEEP: &[&str] = &["get", "list", "watch", "create", "update", "patch"];
/// The same for objects that an owner may cease to ask for while it stays.
const KEEP_AND_PRUNE: &[&str] = &["get", "list", "watch", "create", "update", "patch", "delete"];
const WATCH: &[&str] = &["list", "watch"];

/// ServiceAccount, roles and bindings of the operator, which API servers know as `user`.
pub(super) fn objects(namespace: &str, user: &str) -> Vec<Value> {
    let subject = if user == service_account_user(namespace) {
        json!({ "kind": "ServiceAccount", "name": NAME, "namespace": namespace })
    } else {
        json!({ "apiGroup": RBAC, "kind": "User", "name": user })
    };
    vec![
        json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": { "name": NAME, "namespace": namespace, "labels": labels() },
        }),
        json!({
            "apiVersion": format!("{RBAC}/v1"),
            "kind": "ClusterRole",
            "metadata": { "name": NAME, "labels": labels() },
            "rules": cluster_rules(),
        }),
        json!({
            "apiVersion": format!("{RBAC}/v1"),
            "kind": "ClusterRoleBinding",
            "metadata": { "name": NAME, "labels": labels() },
            "roleRef": { "apiGroup": RBAC, "kind": "ClusterRole", "name": NAME },
            "subjects": [subject],
        }),
        json!({
            "apiVersion": format!("{RBAC}/v1"),
            "kind": "Role",
            "metadata": { "name": NAME, "namespace": namespace, "labels": labels() },
            // The lease of the leader.
            "rules": [rule("coordination.k8s.io", &["leases"], &["get", "create", "update"])],
        }),
        json!({
            "apiVersion": format!("{RBAC}/v1"),
            "kind": "RoleBinding",
            "metadata": { "name": NAME, "namespace": namespace, "labels": labels() },
            "roleRef": { "apiGroup": RBAC, "kind": "Role", "name": NAME },
            "subjects": [subject],
        }),
    ]
}

fn cluster_rules() -> Vec<Value> {
    let clusters = vec![MultigresCluster::plural(&())];
    let children = ChildKind::ALL.map(ChildKind::plural).to_vec();
    let kinds = [clusters.clone(), children.clone()].concat();
    let subresource = |name: &str| kinds.iter().map(|kind| format!("{kind}/{name}")).collect::<Vec<_>>();
    vec![
        // Clusters are the user's: the operator writes their status, and nothing else of them.
        rule(GROUP, &clusters, WATCH),
        rule(GROUP, &children, KEEP),
        // Those that a cluster has several of; any other is released or goes with its cluster.
        rule(GROUP, &[ChildKind::MultiCell.plural(), ChildKind::MultiShard.plural()], &["delete"]),
        rule(GROUP, &subresource("status"), &["patch"]),
        // Owner references that block deletion, where OwnerReferencesPermissionEnforcement is on.
        rule(GROUP, &subresource("finalizers"), &["update"]),
        rule("apps", &["deployments"], KEEP),
        rule("apps", &["statefulsets"], KEEP_AND_PRUNE),
        rule("", &["services", "configmaps"], KEEP_AND_PRUNE),
        // The claim of a lost instance is deleted where the user allows it (`replaceLostInstances`); no other claim is.
        rule("", &["persistentvolumeclaims"], &["get", "list", "watch", "create", "patch", "delete"]),
        rule("policy", &["poddisruptionbudgets"], KEEP),
        // By name only: passwords, connection Secrets and the operator's own certificate. None is ever deleted.
        rule("", &["secrets"], &["get", "create", "update", "patch"]),
        // Rollouts: a healthy pod is evicted, one that serves nothing is deleted.
        rule("", &["pods"], &["list", "watch", "delete"]),
        rule("", &["pods/eviction"], &["create"]),
        rule("events.k8s.io", &["events"], &["create", "patch"]),
        // Whether a volume's class exists and can grow.
        rule("storage.k8s.io", &["storageclasses"], WATCH),
        // Who am I: must be the user whom the webhooks let pass.
        rule("authentication.k8s.io", &["selfsubjectreviews"], &["create"]),
        own_webhooks(),
    ]
}

/// The `caBundle` of the operator's own configurations, and of no other.
fn own_webhooks() -> Value {
    let resources = ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"];
    let mut rule = rule("admissionregistration.k8s.io", &resources, &["get", "patch"]);
    rule["resourceNames"] = json!([configuration::NAME]);
    rule
}

fn rule(group: &str, resources: &[impl AsRef<str>], verbs: &[&str]) -> Value {
    let resources: Vec<&str> = resources.iter().map(AsRef::as_ref).collect();
    json!({ "apiGroups": [group], "resources": resources, "verbs": verbs })
}
