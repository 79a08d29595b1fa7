//! Affinity of pods, part of what [`legality`](super::legality) passes on.

use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm,
    WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use multigres_crds::names::is_dns_label;

use super::Reporter;
use super::legality::{check_labels, label_value, refuse};
use crate::path::Path;
use crate::report::Reason;
use crate::syntax::{is_key, is_subdomain};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Number of values that an operator compares with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arity {
    None,
    One,
    Some,
}

/// The operators of a selector.
type Operators = &'static [(&'static str, Arity)];

const OF_NODES: Operators = &[
    ("In", Arity::Some),
    ("NotIn", Arity::Some),
    ("Exists", Arity::None),
    ("DoesNotExist", Arity::None),
    ("Gt", Arity::One),
    ("Lt", Arity::One),
];
/// Of a node only the name can be asked for.
const OF_FIELDS: Operators = &[("In", Arity::One), ("NotIn", Arity::One)];
const OF_PODS: Operators = OF_NODES.split_at(4).0;

pub(super) fn check(path: &Path<'_>, affinity: &Affinity, report: &mut Reporter<'_>) {
    if let Some(nodes) = &affinity.node_affinity {
        of_nodes(&path.field("nodeAffinity"), nodes, report);
    }
    if let Some(pods) = &affinity.pod_affinity {
        let required = pods.required_during_scheduling_ignored_during_execution.as_deref();
        let preferred = pods.preferred_during_scheduling_ignored_during_execution.as_deref();
        of_pods(&path.field("podAffinity"), required, preferred, report);
    }
    if let Some(pods) = &affinity.pod_anti_affinity {
        let required = pods.required_during_scheduling_ignored_during_execution.as_deref();
        let preferred = pods.preferred_during_scheduling_ignored_during_execution.as_deref();
        of_pods(&path.field("podAntiAffinity"), required, preferred, report);
    }
}

fn of_nodes(path: &Path<'_>, affinity: &NodeAffinity, report: &mut Reporter<'_>) {
    if let Some(required) = &affinity.required_during_scheduling_ignored_during_execution {
        let path = path.field(REQUIRED);
        let path = path.field("nodeSelectorTerms");
        if required.node_selector_terms.is_empty() {
            report.error(
                &path,
                Reason::Required,
                "",
                "needs at least one term: an empty list matches no node",
            );
        }
        each(&path, &required.node_selector_terms, |path, term| {
            node_term(path, term, report);
            label_values(path, term, report);
        });
    }
    let preferred = affinity.preferred_during_scheduling_ignored_during_execution.as_deref();
    each(&path.field(PREFERRED), preferred.unwrap_or_default(), |path, term| {
        weight(path, term.weight, report);
        node_term(&path.field("preference"), &term.preference, report);
    });
}

fn node_term(path: &Path<'_>, term: &NodeSelectorTerm, report: &mut Reporter<'_>) {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    each(&path.field("matchExpressions"), expressions, |path, expression| {
        key(&path.field("key"), &expression.key, report);
        requirement(path, expression, OF_NODES, report);
    });
    each(&path.field("matchFields"), term.match_fields.as_deref().unwrap_or_default(), |path, field| {
        if field.key != "metadata.name" {
            refuse(
                &path.field("key"),
                &field.key,
                "is not a field to select by; write metadata.name",
                report,
            );
        }
        requirement(path, field, OF_FIELDS, report);
        each(&path.field("values"), field.values.as_deref().unwrap_or_default(), |path, name| {
            if !is_subdomain(name) {
                refuse(
                    path,
                    name,
                    "is not a valid node name; use lowercase letters, digits, '-' and '.'",
                    report,
                );
            }
        });
    });
}

/// Of preferred terms Kubernetes takes any: on no node they would hold.
fn label_values(path: &Path<'_>, term: &NodeSelectorTerm, report: &mut Reporter<'_>) {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    each(&path.field("matchExpressions"), expressions, |path, expression| {
        let values = expression.values.as_deref().unwrap_or_default();
        each(&path.field("values"), values, |path, value| label_value(path, value, report));
    });
}

fn requirement(
    path: &Path<'_>,
    requirement: &NodeSelectorRequirement,
    operators: Operators,
    report: &mut Reporter<'_>,
) {
    operator(path, &requirement.operator, requirement.values.as_deref(), operators, report);
}

fn operator(
    path: &Path<'_>,
    name: &str,
    values: Option<&[String]>,
    operators: Operators,
    report: &mut Reporter<'_>,
) {
    let Some((_, arity)) = operators.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = operators.iter().map(|(known, _)| *known).collect();
        let problem = format!("is not an operator here; write one of {}", known.join(", "));
        return refuse(&path.field("operator"), name, &problem, report);
    };
    let (path, count) = (path.field("values"), values.unwrap_or_default().len());
    let mut wrong =
        |reason, message| report.error(&path, reason, count.to_string(), format!("{name} {message}"));
    match arity {
        Arity::None if count > 0 => wrong(Reason::Forbidden, "takes no values; remove them"),
        Arity::One if count != 1 => wrong(Reason::Required, "takes exactly one value; write one"),
        Arity::Some if count == 0 => wrong(Reason::Required, "needs at least one value; write one"),
        _ => {}
    }
}

fn of_pods(
    path: &Path<'_>,
    required: Option<&[PodAffinityTerm]>,
    preferred: Option<&[WeightedPodAffinityTerm]>,
    report: &mut Reporter<'_>,
) {
    each(&path.field(REQUIRED), required.unwrap_or_default(), |path, term| pod_term(path, term, report));
    each(&path.field(PREFERRED), preferred.unwrap_or_default(), |path, term| {
        weight(path, term.weight, report);
        pod_term(&path.field("podAffinityTerm"), &term.pod_affinity_term, report);
    });
}

fn pod_term(path: &Path<'_>, term: &PodAffinityTerm, report: &mut Reporter<'_>) {
    let topology = path.field("topologyKey");
    if term.topology_key.is_empty() {
        let message = "topologyKey is missing; write for example kubernetes.io/hostname";
        report.error(&topology, Reason::Required, "", message);
    } else {
        key(&topology, &term.topology_key, report);
    }
    each(&path.field("namespaces"), term.namespaces.as_deref().unwrap_or_default(), |path, name| {
        if !is_dns_label(name) {
            refuse(
                path,
                name,
                "is not a valid namespace name; use lowercase letters, digits and '-'",
                report,
            );
        }
    });
    let selectors =
        [("labelSelector", &term.label_selector), ("namespaceSelector", &term.namespace_selector)];
    for (field, selector) in selectors {
        if let Some(selector) = selector {
            check_selector(&path.field(field), selector, report);
        }
    }
    label_keys(path, term, report);
}

fn label_keys(path: &Path<'_>, term: &PodAffinityTerm, report: &mut Reporter<'_>) {
    let matched = term.match_label_keys.as_deref().unwrap_or_default();
    let mismatched = term.mismatch_label_keys.as_deref().unwrap_or_default();
    for (field, keys) in [("matchLabelKeys", matched), ("mismatchLabelKeys", mismatched)] {
        let path = path.field(field);
        if !keys.is_empty() && term.label_selector.is_none() {
            report.error(&path, Reason::Forbidden, "", "needs labelSelector; write that as well");
        }
        each(&path, keys, |path, name| key(path, name, report));
    }
    each(&path.field("matchLabelKeys"), matched, |path, name| {
        if mismatched.contains(name) {
            refuse(path, name, "is in mismatchLabelKeys too; keep one of the two", report);
        }
    });
}

fn check_selector(path: &Path<'_>, selector: &LabelSelector, report: &mut Reporter<'_>) {
    if let Some(labels) = &selector.match_labels {
        check_labels(&path.field("matchLabels"), labels, report);
    }
    let expressions = selector.match_expressions.as_deref().unwrap_or_default();
    each(&path.field("matchExpressions"), expressions, |path, expression| {
        key(&path.field("key"), &expression.key, report);
        operator(path, &expression.operator, expression.values.as_deref(), OF_PODS, report);
        let values = expression.values.as_deref().unwrap_or_default();
        each(&path.field("values"), values, |path, value| label_value(path, value, report));
    });
}

fn key(path: &Path<'_>, key: &str, report: &mut Reporter<'_>) {
    if !is_key(key) {
        refuse(path, key, "is not a valid label key; write a name, or a domain, '/' and a name", report);
    }
}

fn weight(path: &Path<'_>, weight: i32, report: &mut Reporter<'_>) {
    if !(1..=100).contains(&weight) {
        let (path, weight) = (path.field("weight"), weight.to_string());
        report.error(
            &path,
            Reason::Invalid,
            &weight,
            format!("{weight} is not a valid weight; write 1 to 100"),
        );
    }
}

fn each<T>(path: &Path<'_>, items: &[T], mut check: impl FnMut(&Path<'_>, &T)) {
    for (index, item) in items.iter().enumerate() {
        check(&path.item(index, ""), item);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::edit;
    use crate::validate::testing::create;

    /// Asserts the findings in an affinity, without the path to it.
    fn found(affinity: &Value, expected: &[(&str, &str)]) {
        let at =
            |(reason, field): &(&str, &str)| format!("{reason} spec.admin.spec.placement.affinity.{field}");
        let expected: Vec<String> = expected.iter().map(at).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        let admin = json!({"spec": {"placement": {"affinity": affinity}}});
        create("C23", &[(vec![edit("/spec", "/admin", admin)], &expected)]);
    }

    #[test]
    fn of_nodes() {
        const TERM: &str = "nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
        let required = |terms: Value| json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}});
        found(&required(json!([])), &[("Required", TERM)]);
        for (expression, wrong) in [
            (json!({"key": "a/b", "operator": "In", "values": ["c", "d"]}), None),
            (json!({"key": "a", "operator": "NotIn", "values": ["c"]}), None),
            (json!({"key": "a", "operator": "Exists"}), None),
            (json!({"key": "a", "operator": "Gt", "values": ["5"]}), None),
            (json!({"key": "a", "operator": "In"}), Some(("Required", "values"))),
            (json!({"key": "a", "operator": "NotIn", "values": []}), Some(("Required", "values"))),
            (json!({"key": "a", "operator": "DoesNotExist", "values": ["c"]}), Some(("Forbidden", "values"))),
            (json!({"key": "a", "operator": "Lt", "values": ["1", "2"]}), Some(("Required", "values"))),
            (json!({"key": "a", "operator": "Equal", "values": ["1"]}), Some(("Invalid", "operator"))),
            (json!({"key": "a b", "operator": "Exists"}), Some(("Invalid", "key"))),
            (json!({"key": "a", "operator": "In", "values": ["b c"]}), Some(("Invalid", "values[0]"))),
            (json!({"key": "a", "operator": "Gt", "values": ["-5"]}), Some(("Invalid", "values[0]"))),
        ] {
            let wrong =
                wrong.map(|(reason, field)| (reason, format!("{TERM}[0].matchExpressions[0].{field}")));
            let wrong: Vec<_> = wrong.iter().map(|(reason, field)| (*reason, field.as_str())).collect();
            found(&required(json!([{"matchExpressions": [expression]}])), &wrong);
        }
        let field = |key: &str, operator: &str, value: &str| {
            required(json!([{"matchFields": [{"key": key, "operator": operator, "values": [value]}]}]))
        };
        let at = |name: &str| format!("{TERM}[0].matchFields[0].{name}");
        found(&field("metadata.name", "In", "n.example.com"), &[]);
        found(&field("metadata.name", "In", "N"), &[("Invalid", &at("values[0]"))]);
        found(
            &field("metadata.uid", "Exists", "n"),
            &[("Invalid", &at("key")), ("Invalid", &at("operator"))],
        );
        // What is only preferred may be what no node has.
        let preference = json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b c"]}]});
        let preferred = json!([{"weight": 1, "preference": preference}]);
        found(&json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}), &[]);
    }

    #[test]
    fn of_weights() {
        for (weight, is_legal) in [(1, true), (100, true), (0, false), (101, false)] {
            let term = json!({"weight": weight, "preference": {}});
            let path = "nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight";
            let wrong = [("Invalid", path)];
            let affinity =
                json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}});
            found(&affinity, if is_legal { &[] } else { &wrong });
        }
    }

    #[test]
    fn of_pods() {
        const TERM: &str = "podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]";
        let anti = |term: Value| json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
        let selector = |selector: Value| json!({"topologyKey": "zone", "labelSelector": selector});
        let expression = |expression: Value| selector(json!({"matchExpressions": [expression]}));
        for (term, wrong) in [
            (
                json!({"topologyKey": "kubernetes.io/hostname", "namespaces": ["n"], "namespaceSelector": {}}),
                vec![],
            ),
            (selector(json!({"matchLabels": {"a": "b"}})), vec![]),
            (json!({"topologyKey": ""}), vec![("Required", "topologyKey")]),
            (json!({"topologyKey": "a b"}), vec![("Invalid", "topologyKey")]),
            (json!({"topologyKey": "a", "namespaces": ["N"]}), vec![("Invalid", "namespaces[0]")]),
            (
                selector(json!({"matchLabels": {"a": "b c"}})),
                vec![("Invalid", "labelSelector.matchLabels[a]")],
            ),
            (
                expression(json!({"key": "a", "operator": "Gt", "values": ["1"]})),
                vec![("Invalid", "labelSelector.matchExpressions[0].operator")],
            ),
            (
                expression(json!({"key": "a", "operator": "In", "values": ["b c"]})),
                vec![("Invalid", "labelSelector.matchExpressions[0].values[0]")],
            ),
            (json!({"topologyKey": "a", "matchLabelKeys": ["b"]}), vec![("Forbidden", "matchLabelKeys")]),
            (
                json!({"topologyKey": "a", "labelSelector": {}, "matchLabelKeys": ["b"], "mismatchLabelKeys": ["b"]}),
                vec![("Invalid", "matchLabelKeys[0]")],
            ),
        ] {
            let wrong: Vec<_> =
                wrong.iter().map(|(reason, field)| (*reason, format!("{TERM}.{field}"))).collect();
            let wrong: Vec<_> = wrong.iter().map(|(reason, field)| (*reason, field.as_str())).collect();
            found(&anti(term), &wrong);
        }
        let preferred = json!([{"weight": 0, "podAffinityTerm": {"topologyKey": ""}}]);
        let path = "podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0]";
        found(
            &json!({"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}),
            &[
                ("Invalid", &format!("{path}.weight")),
                ("Required", &format!("{path}.podAffinityTerm.topologyKey")),
            ],
        );
    }
}
