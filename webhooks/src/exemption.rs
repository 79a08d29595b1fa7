//! Users that may always write.
//!
//! The same users are exempt in the webhook configurations, so that they need no answer while the operator is down;
//! here they are exempt for requests that come all the same.

use multigres_crds::kind::Kind;

/// Deletes what an owner left behind, and edits owner references and finalizers on the way.
pub const GARBAGE_COLLECTOR: &str = "system:serviceaccount:kube-system:generic-garbage-collector";
/// Deletes what is in a namespace that is being deleted, which cannot be undone.
pub const NAMESPACE_CONTROLLER: &str = "system:serviceaccount:kube-system:namespace-controller";
/// Both of them, where Kubernetes' controllers share one credential.
pub const KUBE_CONTROLLER_MANAGER: &str = "system:kube-controller-manager";

/// Kubernetes' own users that are exempt for a kind. Garbage collection is not, for clusters: deletion protection
/// holds against an owner that goes.
pub fn kubernetes_users(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Cluster => &[NAMESPACE_CONTROLLER, KUBE_CONTROLLER_MANAGER],
        Kind::Child(_) => &[GARBAGE_COLLECTOR, NAMESPACE_CONTROLLER, KUBE_CONTROLLER_MANAGER],
    }
}

/// True if a user is exempt for a kind.
pub fn is_exempt(kind: Kind, user: &str, operator_user: &str) -> bool {
    user == operator_user || kubernetes_users(kind).contains(&user)
}

#[cfg(test)]
mod tests {
    use super::*;
    use multigres_crds::kind::ChildKind;

    #[test]
    fn exemptions() {
        const OPERATOR: &str = "system:serviceaccount:multigres-system:multigres-operator";
        let child = Kind::Child(ChildKind::MultiShard);
        for (user, of_clusters, of_children) in [
            (OPERATOR, true, true),
            (NAMESPACE_CONTROLLER, true, true),
            (KUBE_CONTROLLER_MANAGER, true, true),
            (GARBAGE_COLLECTOR, false, true),
            ("system:serviceaccount:default:generic-garbage-collector", false, false),
            ("kubernetes-admin", false, false),
            ("", false, false),
        ] {
            assert_eq!(is_exempt(Kind::Cluster, user, OPERATOR), of_clusters, "{user}");
            assert_eq!(is_exempt(child, user, OPERATOR), of_children, "{user}");
        }
    }
}
