//! Fields that are passed on to Kubernetes as written.
//!
//! Without these rules the API server would refuse the built objects long after the cluster was admitted.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Toleration;
use multigres_crds::quantity::{self, Nanos, Quantity};
use multigres_crds::v1alpha1::{
    AccessMode, Backup, Placement, ResourceRequirements, StringMap, VolumeClaimTemplate,
};

use super::{Reporter, affinity, rule};
use crate::path::Path;
use crate::report::{Reason, quote};
use crate::syntax::{is_key, is_label_value, is_object_name};

const EFFECTS: [&str; 4] = ["", "NoSchedule", "PreferNoSchedule", "NoExecute"];

rule!(
    /// Fields that are passed on to Kubernetes are legal there: object names, labels, tolerations, affinity, address ranges.
    C23 since "0.1.0" = {
        name: object_name,
        secret_key: secret_key,
        labels: check_labels,
        annotations: check_annotations,
        placement: check_placement,
        resources: check_resources,
        ranges: check_ranges,
        claim: check_claim,
        backup: check_backup,
    }
);

pub(super) fn refuse(path: &Path<'_>, value: &str, problem: &str, report: &mut Reporter<'_>) {
    report.error(path, Reason::Invalid, value, format!("{} {problem}", quote(value)));
}

fn object_name(path: &Path<'_>, name: &str, report: &mut Reporter<'_>) {
    if !is_object_name(name) {
        refuse(path, name, "is not a valid object name; use lowercase letters, digits, '-' and '.'", report);
    }
}

fn class(path: &Path<'_>, name: Option<&str>, report: &mut Reporter<'_>) {
    // An empty one asks for a volume of no class.
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        object_name(&path.field("storageClassName"), name, report);
    }
}

fn secret_key(path: &Path<'_>, key: &str, report: &mut Reporter<'_>) {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if key.is_empty() || key.starts_with("..") || key == "." || !key.chars().all(legal) {
        refuse(path, key, "is not a valid key of a Secret; use letters, digits, '-', '_' and '.'", report);
    }
}

fn check_key(path: &Path<'_>, key: &str, report: &mut Reporter<'_>) {
    if !is_key(key) {
        refuse(&path.key(key), key, "is not a valid key; write a name, or a domain, '/' and a name", report);
    }
}

pub(super) fn check_labels(path: &Path<'_>, labels: &StringMap, report: &mut Reporter<'_>) {
    for (key, value) in labels {
        check_key(path, key, report);
        label_value(&path.key(key), value, report);
    }
}

pub(super) fn label_value(path: &Path<'_>, value: &str, report: &mut Reporter<'_>) {
    if !is_label_value(value) {
        let problem = "is not a valid label value; use at most 63 letters, digits, '-', '_' and '.'";
        refuse(path, value, problem, report);
    }
}

fn check_annotations(path: &Path<'_>, annotations: &StringMap, report: &mut Reporter<'_>) {
    for key in annotations.keys() {
        check_key(path, &key.to_lowercase(), report);
    }
}

fn check_claim(path: &Path<'_>, claim: &VolumeClaimTemplate, report: &mut Reporter<'_>) {
    class(path, claim.storage_class_name.as_deref(), report);
    let modes = &claim.access_modes;
    if modes.len() > 1 && modes.contains(&AccessMode::ReadWriteOncePod) {
        let message = "ReadWriteOncePod excludes other modes; keep one of them";
        report.error(&path.field("accessModes"), Reason::Forbidden, format!("{modes:?}"), message);
    }
}

fn check_placement(path: &Path<'_>, placement: &Placement, report: &mut Reporter<'_>) {
    if let Some(zone) = &placement.zone {
        label_value(&path.field("zone"), zone, report);
    }
    check_labels(&path.field("nodeSelector"), &placement.node_selector, report);
    let list = path.field("tolerations");
    for (index, toleration) in placement.tolerations.iter().enumerate() {
        check_toleration(&list.item(index, ""), toleration, report);
    }
    if let Some(affinity) = &placement.affinity {
        affinity::check(&path.field("affinity"), affinity, report);
    }
    if let Some(class) = &placement.priority_class_name {
        object_name(&path.field("priorityClassName"), class, report);
    }
}

fn check_toleration(path: &Path<'_>, toleration: &Toleration, report: &mut Reporter<'_>) {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (key, operator) = (text(&toleration.key), text(&toleration.operator));
    let (value, effect) = (text(&toleration.value), text(&toleration.effect));
    match operator.as_str() {
        "" | "Equal" if key.is_empty() => {
            refuse(&path.field("operator"), &operator, "needs a key; only Exists works without one", report);
        }
        "" | "Equal" => label_value(&path.field("value"), &value, report),
        "Exists" if !value.is_empty() => {
            refuse(&path.field("value"), &value, "is ignored by Exists; remove it", report);
        }
        "Exists" => {}
        _ => refuse(&path.field("operator"), &operator, "is not an operator; write Exists or Equal", report),
    }
    if !key.is_empty() && !is_key(&key) {
        refuse(
            &path.field("key"),
            &key,
            "is not a valid taint key; write a name, or a domain, '/' and a name",
            report,
        );
    }
    if !EFFECTS.contains(&effect.as_str()) {
        let problem = "is not an effect; write NoSchedule, PreferNoSchedule or NoExecute";
        refuse(&path.field("effect"), &effect, problem, report);
    } else if toleration.toleration_seconds.is_some() && effect != "NoExecute" {
        refuse(
            &path.field("effect"),
            &effect,
            "does not allow tolerationSeconds; write NoExecute, or remove tolerationSeconds",
            report,
        );
    }
}

fn check_resources(path: &Path<'_>, resources: &ResourceRequirements, report: &mut Reporter<'_>) {
    for (field, amounts) in [("requests", &resources.requests), ("limits", &resources.limits)] {
        let path = path.field(field);
        for (name, amount) in amounts {
            let name: &str = name;
            if matches!(name, "cpu" | "memory" | "ephemeral-storage") {
                continue;
            }
            let path = path.key(name);
            match unit(name) {
                None => refuse(&path, name, "is not a container resource; write for example cpu", report),
                Some(unit) => whole_and_equal(&path, name, amount, unit, resources, report),
            }
        }
    }
}

/// The smallest unit of a resource, if it is an extended resource.
fn unit(resource: &str) -> Option<Nanos> {
    let of_pages = || quantity::parse(resource.strip_prefix("hugepages-")?).filter(|page| page.0 > 0);
    let one = || (resource.contains('/') && is_key(resource)).then(|| quantity::parse("1"))?;
    of_pages().or_else(one)
}

/// Such a resource is neither split nor overcommitted, and huge pages come with other memory or CPU.
fn whole_and_equal(
    path: &Path<'_>,
    name: &str,
    amount: &Quantity,
    unit: Nanos,
    resources: &ResourceRequirements,
    report: &mut Reporter<'_>,
) {
    let (request, limit) = (resources.requests.get(name), resources.limits.get(name));
    let values = request.map(|request| (request.value(), limit.and_then(Quantity::value)));
    if amount.value().is_some_and(|amount| amount.0 % unit.0 != 0) {
        refuse(
            path,
            &amount.0,
            "is not a whole number of units; write a multiple of the resource's unit",
            report,
        );
    } else if values.is_some_and(|(request, limit)| request != limit) {
        let message = format!("{name} cannot be overcommitted; write the same limit and request");
        report.error(path, Reason::Invalid, &amount.0, message);
    } else if name.starts_with("hugepages-") && !["cpu", "memory"].iter().any(|other| resources.names(other))
    {
        refuse(path, &amount.0, "needs cpu or memory beside it; add one of them", report);
    }
}

fn check_ranges(path: &Path<'_>, ranges: &[String], report: &mut Reporter<'_>) {
    for (index, range) in ranges.iter().enumerate() {
        if !is_range(range.trim()) {
            refuse(
                &path.item(index, range),
                range,
                "is not a CIDR range; write for example \"10.0.0.0/8\"",
                report,
            );
        }
    }
}

fn is_range(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let most = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.bytes().all(|c| c.is_ascii_digit()) && bits.parse().is_ok_and(|bits: u8| bits <= most)
}

fn check_backup(path: &Path<'_>, backup: &Backup, report: &mut Reporter<'_>) {
    if let Some(filesystem) = &backup.filesystem {
        check_claim(&path.field("filesystem.volumeClaimTemplate"), &filesystem.volume_claim_template, report);
    }
    if let Some(secret) = backup.s3.as_ref().and_then(|s3| s3.credentials_secret_ref.as_ref()) {
        object_name(&path.field("s3.credentialsSecretRef.name"), &secret.name, report);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::{Edit, SHORT, edit};
    use crate::validate::testing::create;

    const GATEWAY: &str = "spec.cells.templates[0].spec.multiGateway";

    #[test]
    fn of_pods() {
        let admin =
            |field: &str, value: Value| vec![edit("/spec", "/admin", json!({"spec": {field: value}}))];
        let placement = |field: &str, value: Value| admin("placement", json!({field: value}));
        let tolerates = |toleration: Value| placement("tolerations", json!([toleration]));
        let at = |field: &str| format!("Invalid spec.admin.spec.{field}");
        let toleration = |field: &str| at(&format!("placement.tolerations[0].{field}"));
        let table = [
            (admin("podLabels", json!({"example.com/A_b": "", "c": "D.e"})), vec![]),
            (admin("podLabels", json!({"a b": "c"})), vec![at("podLabels[a b]")]),
            (admin("podLabels", json!({"a": "b c"})), vec![at("podLabels[a]")]),
            (admin("podLabels", json!({"a": "b".repeat(64)})), vec![at("podLabels[a]")]),
            (admin("podAnnotations", json!({"Example.com/a": "anything at all"})), vec![]),
            (admin("podAnnotations", json!({"/a": ""})), vec![at("podAnnotations[/a]")]),
            (admin("serviceAccountName", json!("Admin")), vec![at("serviceAccountName")]),
            (
                admin(
                    "resources",
                    json!({"limits": {"cpu": 1, "example.com/gpu": 1, "hugepages-2Mi": "4Mi"}}),
                ),
                vec![],
            ),
            (
                admin(
                    "resources",
                    json!({"requests": {"a.b/c": "2"}, "limits": {"a.b/c": 2, "d.e/f": "1k"}}),
                ),
                vec![],
            ),
            (admin("resources", json!({"requests": {"a.b/c": 1}})), vec![at("resources.requests[a.b/c]")]),
            (
                admin("resources", json!({"requests": {"a.b/c": 1}, "limits": {"a.b/c": 2}})),
                vec![at("resources.requests[a.b/c]"), at("resources.limits[a.b/c]")],
            ),
            (admin("resources", json!({"limits": {"a.b/c": "500m"}})), vec![at("resources.limits[a.b/c]")]),
            (
                admin("resources", json!({"limits": {"cpu": 1, "hugepages-2Mi": "3Mi"}})),
                vec![at("resources.limits[hugepages-2Mi]")],
            ),
            (
                admin("resources", json!({"limits": {"hugepages-1Gi": "1Gi"}})),
                vec![at("resources.limits[hugepages-1Gi]")],
            ),
            (
                admin("resources", json!({"limits": {"cpu": 1, "hugepages-0": 1, "hugepages-x": 1}})),
                vec![at("resources.limits[hugepages-0]"), at("resources.limits[hugepages-x]")],
            ),
            (admin("resources", json!({"limits": {"gpu": 1}})), vec![at("resources.limits[gpu]")]),
            (placement("zone", json!("eu/west")), vec![at("placement.zone")]),
            (placement("nodeSelector", json!({"disk": "s s d"})), vec![at("placement.nodeSelector[disk]")]),
            (placement("priorityClassName", json!("High")), vec![at("placement.priorityClassName")]),
            (tolerates(json!({"operator": "Exists"})), vec![]),
            (tolerates(json!({"key": "a/b", "effect": "NoExecute", "tolerationSeconds": 5})), vec![]),
            (tolerates(json!({"value": "c"})), vec![toleration("operator")]),
            (tolerates(json!({"key": "a", "operator": "In"})), vec![toleration("operator")]),
            (
                tolerates(json!({"key": "/", "operator": "Exists", "value": "c", "effect": "Never"})),
                vec![toleration("value"), toleration("key"), toleration("effect")],
            ),
            (
                tolerates(json!({"key": "a", "operator": "Exists", "tolerationSeconds": 5})),
                vec![toleration("effect")],
            ),
        ];
        for (edits, expected) in table {
            let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
            create("C23", &[(edits, &expected)]);
        }
    }

    #[test]
    fn of_other_objects() {
        let gateway = |gateway: Value| -> Vec<Edit> {
            vec![edit("/spec/cells/templates/0", "/spec", json!({"multiGateway": gateway}))]
        };
        let ranges = |ranges: Value| gateway(json!({"service": {"loadBalancerSourceRanges": ranges}}));
        let credentials = json!({"bucket": "b", "region": "r", "credentialsSecretRef": {"name": "C"}});
        let tls = json!({"address": "e:1", "tls": {"caSecretRef": {"name": "C"}}});
        let primary = "/spec/pools/0/primary/dataVolumeClaimTemplate/storageClassName";
        create(
            "C23",
            &[
                (ranges(json!(["10.0.0.0/8", "2001:db8::/32"])), &[]),
                (
                    ranges(json!(["10.0.0.0/8", "10.0.0.1", "::/129"])),
                    &[
                        &format!("Invalid {GATEWAY}.service.loadBalancerSourceRanges[1]"),
                        &format!("Invalid {GATEWAY}.service.loadBalancerSourceRanges[2]"),
                    ],
                ),
                (
                    gateway(json!({"tls": {"secretRef": {"name": "a_b"}}})),
                    &[&format!("Invalid {GATEWAY}.tls.secretRef.name")],
                ),
                (
                    vec![edit("/spec", "/imagePullSecrets", json!([{"name": "a"}, {"name": "B"}]))],
                    &["Invalid spec.imagePullSecrets[1].name"],
                ),
                (
                    vec![edit(SHORT, "/spec/passwordSecretRef", json!({"name": "A", "key": "a b"}))],
                    &[
                        "Invalid spec.databases.templates[0].spec.passwordSecretRef.name",
                        "Invalid spec.databases.templates[0].spec.passwordSecretRef.key",
                    ],
                ),
                (
                    vec![edit(SHORT, primary, json!("Fast"))],
                    &[
                        "Invalid spec.databases.templates[0].spec.pools[0].primary.dataVolumeClaimTemplate.storageClassName",
                    ],
                ),
                (vec![edit(SHORT, primary, json!(""))], &[]),
                (
                    vec![edit(
                        "/spec",
                        "/backup",
                        json!({"filesystem": {"volumeClaimTemplate": {"accessModes": ["ReadWriteOncePod", "ReadWriteMany"]}}}),
                    )],
                    &["Forbidden spec.backup.filesystem.volumeClaimTemplate.accessModes"],
                ),
                (
                    vec![edit("/spec", "/backup", json!({"s3": credentials}))],
                    &["Invalid spec.backup.s3.credentialsSecretRef.name"],
                ),
                (
                    vec![edit("/spec/globalTopoServer", "/external", tls)],
                    &["Invalid spec.globalTopoServer.external.tls.caSecretRef.name"],
                ),
            ],
        );
    }
}
