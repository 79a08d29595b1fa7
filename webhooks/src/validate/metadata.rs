//! Labels and annotations of what is made.

use multigres_crds::v1alpha1::StringMap;

use super::{Reporter, rule};
use crate::path::Path;
use crate::report::{Reason, quote};

/// Prefixes of keys by which the operator, kubectl and GitOps tools know what is whose.
const RESERVED: [&str; 3] = ["multigres.com", "kubectl.kubernetes.io", "app.kubernetes.io"];

rule!(
    /// Labels and annotations of pods and Services do not use the keys by which the operator and other tools find objects.
    C22 since "0.1.0" = { labels: reserved_keys, annotations: reserved_keys }
);

fn reserved_keys(path: &Path<'_>, map: &StringMap, report: &mut Reporter<'_>) {
    for key in map.keys() {
        let prefix = key.split_once('/').map(|(prefix, _)| prefix);
        if let Some(prefix) = prefix.filter(|prefix| RESERVED.contains(prefix)) {
            let message = format!(
                "keys that begin with {} are reserved; choose another key",
                quote(&format!("{prefix}/"))
            );
            report.error(&path.key(key), Reason::Forbidden, key, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::{Edit, FULL, SHORT, edit};
    use crate::validate::testing::create;

    #[test]
    fn reserved_keys() {
        let admin = |field: &str, keys: Value| vec![edit("/spec", "/admin", json!({"spec": {field: keys}}))];
        let at = |at: &str, value: Value| -> Vec<Edit> { vec![edit(at, "", value)] };
        let service = |annotations: Value| json!({"multiGateway": {"service": {"annotations": annotations}}});
        create(
            "C22",
            &[
                (admin("podLabels", json!({"team": "a", "example.com/multigres.com": "b"})), &[]),
                (
                    admin("podLabels", json!({"multigres.com/shard": "b"})),
                    &["Forbidden spec.admin.spec.podLabels[multigres.com/shard]"],
                ),
                (
                    admin(
                        "podAnnotations",
                        json!({"kubectl.kubernetes.io/restartedAt": "now", "app.kubernetes.io/name": "x"}),
                    ),
                    &[
                        "Forbidden spec.admin.spec.podAnnotations[app.kubernetes.io/name]",
                        "Forbidden spec.admin.spec.podAnnotations[kubectl.kubernetes.io/restartedAt]",
                    ],
                ),
                (
                    at(
                        "/spec/cells/templates/0/spec",
                        service(json!({"service.beta.kubernetes.io/aws-load-balancer-type": "nlb"})),
                    ),
                    &[],
                ),
                (
                    at("/spec/cells/templates/0/spec", service(json!({"app.kubernetes.io/instance": "x"}))),
                    &[
                        "Forbidden spec.cells.templates[0].spec.multiGateway.service.annotations[app.kubernetes.io/instance]",
                    ],
                ),
                (
                    at(
                        &format!("{SHORT}/spec/pools/0/replica/podLabels"),
                        json!({"multigres.com/pool": "x"}),
                    ),
                    &[
                        "Forbidden spec.databases.templates[0].spec.pools[0].replica.podLabels[multigres.com/pool]",
                    ],
                ),
                (
                    at(
                        &format!("{FULL}/spec/tableGroups/0/shardTemplate/pools/0/podAnnotations"),
                        json!({"multigres.com/pool": "x"}),
                    ),
                    &[
                        "Forbidden spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools[0].podAnnotations[multigres.com/pool]",
                    ],
                ),
            ],
        );
    }
}
