//! CPU, memory, and other amounts.

use multigres_crds::v1alpha1::ResourceRequirements;

use super::{Reporter, rule};
use crate::path::Path;
use crate::report::{Reason, quote};

rule!(
    /// An amount is a Kubernetes quantity and not negative, and a limit is not below its request.
    C14 since "0.1.0" = { resources: amounts }
);

fn amounts(path: &Path<'_>, resources: &ResourceRequirements, report: &mut Reporter<'_>) {
    for (field, amounts) in [("requests", &resources.requests), ("limits", &resources.limits)] {
        let path = path.field(field);
        for (resource, amount) in amounts {
            let problem = match amount.value() {
                None => "is not a quantity; write for example \"500m\", \"2Gi\" or 1",
                Some(value) if value.0 < 0 => "is negative; write 0 or more",
                Some(_) => continue,
            };
            let message = format!("{} {problem}", quote(&amount.0));
            report.error(&path.key(resource), Reason::Invalid, &amount.0, message);
        }
    }
    limits_hold_requests(path, resources, report);
}

fn limits_hold_requests(path: &Path<'_>, resources: &ResourceRequirements, report: &mut Reporter<'_>) {
    let path = path.field("limits");
    for (resource, limit) in &resources.limits {
        let Some(request) = resources.requests.get(resource) else { continue };
        // A negative limit is reported as such.
        let comparable = limit.value().zip(request.value()).filter(|(limit, _)| limit.0 >= 0);
        if comparable.is_some_and(|(limit, request)| limit < request) {
            let (limit, request) = (quote(&limit.0), quote(&request.0));
            let message =
                format!("{limit} is below the request of {request}; raise the limit or lower the request");
            report.error(&path.key(resource), Reason::Invalid, format!("{limit} {request}"), message);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::{Edit, FULL, SHORT, edit};
    use crate::validate::testing::create;

    const PATH: &str = "spec.admin.spec.resources";

    #[test]
    fn amounts() {
        let admin =
            |resources: Value| vec![edit("", "/spec/admin", json!({"spec": {"resources": resources}}))];
        let at = |at: &str, pointer: &str| -> Vec<Edit> {
            let value = json!({"resources": {"requests": {"cpu": "x"}}});
            vec![edit(at, pointer, value)]
        };
        create(
            "C14",
            &[
                (admin(json!({"requests": {"cpu": "500m", "memory": 1}, "limits": {"cpu": 1}})), &[]),
                (admin(json!({"requests": {"memory": "2Gi"}, "limits": {"memory": "2048Mi"}})), &[]),
                (admin(json!({"requests": {"cpu": "1 core"}})), &[&format!("Invalid {PATH}.requests[cpu]")]),
                (admin(json!({"limits": {"cpu": -1}})), &[&format!("Invalid {PATH}.limits[cpu]")]),
                (
                    admin(json!({"requests": {"memory": "1025Mi"}, "limits": {"memory": "1Gi"}})),
                    &[&format!("Invalid {PATH}.limits[memory]")],
                ),
                (admin(json!({"requests": {"cpu": true}})), &[]),
                (
                    at("/spec/globalTopoServer", "/managedSpec"),
                    &["Invalid spec.globalTopoServer.managedSpec.resources.requests[cpu]"],
                ),
                (
                    at("/spec/cells/templates/0", "/spec")
                        .into_iter()
                        .chain(at("/spec/cells/templates/0/spec", "/multiGateway"))
                        .collect(),
                    &["Invalid spec.cells.templates[0].spec.multiGateway.resources.requests[cpu]"],
                ),
                (
                    at(FULL, "/spec/postgresExporter"),
                    &["Invalid spec.databases.templates[1].spec.postgresExporter.resources.requests[cpu]"],
                ),
                (
                    at(SHORT, "/spec/pools/0/replica/multipooler"),
                    &[
                        "Invalid spec.databases.templates[0].spec.pools[0].replica.multipooler.resources.requests[cpu]",
                    ],
                ),
                (
                    at(FULL, "/spec/tableGroups/0/shardTemplate/pools/1/postgres"),
                    &[
                        "Invalid spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools[1].postgres.resources.requests[cpu]",
                    ],
                ),
            ],
        );
    }
}
