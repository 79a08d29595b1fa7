//! The operator's conduct in all tests before this one: it does what its rules grant, everything that they grant, and
//! speaks of it in plain words.
//!
//! Integration and end-to-end tests leave audit logs and the operator's own logs (`testbed::evidence`). The tests here
//! read them, so they are run last, by `make test`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use k8s_openapi::api::rbac::v1::PolicyRule;
use multigres_operator::install::{ManifestsArgs, manifests};
use serde_json::Value;
use testbed::audit::{AuditEntry, AuditLog};
use testbed::evidence::logs;

const EVIDENCE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/evidence");
const NAMESPACE: &str = "multigres-system";
const USER: &str = "system:serviceaccount:multigres-system:multigres-operator";

/// Rights that no audit log shows, as (verb, group, what the resource ends with, why).
const UNSEEN: [(&str, &str, &str, &str); 1] = [(
    "update",
    "multigres.com",
    "/finalizers",
    "checked only where OwnerReferencesPermissionEnforcement is on",
)];

/// A verb, a group and a resource, with its subresource if it has one.
type Right = (String, String, String);

/// A rule, and the namespace that it holds in; nothing if it holds in all of them.
struct Granted {
    rule: PolicyRule,
    namespace: Option<String>,
}

impl Granted {
    fn rights(&self) -> impl Iterator<Item = Right> {
        let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
        let (groups, resources) = (list(&self.rule.api_groups), list(&self.rule.resources));
        let mut rights = BTreeSet::new();
        for verb in &self.rule.verbs {
            for group in &groups {
                rights
                    .extend(resources.iter().map(|resource| (verb.clone(), group.clone(), resource.clone())));
            }
        }
        rights.into_iter()
    }

    fn covers(&self, right: &Right, entry: &AuditEntry) -> bool {
        self.rights().any(|granted| granted == *right)
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == entry.namespace)
            && self.rule.resource_names.as_ref().is_none_or(|names| names.contains(&entry.name))
    }
}

/// The rules of the installation itself.
fn granted() -> Vec<Granted> {
    let args = ManifestsArgs {
        namespace: NAMESPACE.to_owned(),
        image: "operator".to_owned(),
        replicas: 1,
        webhook_url: None,
        user: None,
    };
    let mut granted = Vec::new();
    for object in manifests(&args) {
        if object["kind"] == "ClusterRole" || object["kind"] == "Role" {
            let namespace = object["metadata"]["namespace"].as_str().map(str::to_owned);
            let rules: Vec<PolicyRule> = serde_json::from_value(object["rules"].clone()).unwrap();
            granted.extend(rules.into_iter().map(|rule| Granted { rule, namespace: namespace.clone() }));
        }
    }
    granted
}

/// The rights that a request takes. An apply that creates takes both.
fn taken(entry: &AuditEntry) -> Vec<Right> {
    let subresource = if entry.subresource.is_empty() { "" } else { "/" };
    let resource = format!("{}{subresource}{}", entry.resource, entry.subresource);
    let verbs = if (entry.verb.as_str(), entry.code) == ("patch", 201) {
        vec!["patch", "create"]
    } else {
        vec![entry.verb.as_str()]
    };
    verbs.into_iter().map(|verb| (verb.to_owned(), entry.group.clone(), resource.clone())).collect()
}

/// All requests of the operator for resources. Some tests lend its identity to kubectl.
fn requests() -> Vec<AuditEntry> {
    let logs = logs(Path::new(EVIDENCE), "audit").unwrap();
    assert!(!logs.is_empty(), "the other tests are to be run before: no audit log is in {EVIDENCE}");
    let mut requests = Vec::new();
    for log in logs {
        let mut entries = AuditLog::new(log).entries().unwrap();
        entries.retain(|entry| {
            entry.user == USER && !entry.resource.is_empty() && !entry.user_agent.starts_with("kubectl")
        });
        requests.extend(entries);
    }
    requests
}

#[test]
#[ignore = "reads what the other tests left: run by make test"]
fn everything_that_is_done_is_granted() {
    let granted = granted();
    let mut excess = BTreeMap::new();
    for entry in requests() {
        for right in taken(&entry) {
            if !granted.iter().any(|granted| granted.covers(&right, &entry)) {
                excess.entry(right).or_insert(entry.clone());
            }
        }
    }
    assert!(excess.is_empty(), "used, but not granted in src/install/rbac.rs: {excess:#?}");
}

#[test]
#[ignore = "reads what all other tests left: run by make test"]
fn everything_that_is_granted_is_used() {
    let used: BTreeSet<Right> = requests().iter().flat_map(taken).collect();
    let is_unseen = |(verb, group, resource): &Right| {
        UNSEEN.iter().any(|(v, g, ending, _)| verb == v && group == g && resource.ends_with(ending))
    };
    let mut unused: BTreeSet<Right> = granted().iter().flat_map(Granted::rights).collect();
    unused.retain(|right| !used.contains(right) && !is_unseen(right));
    assert!(unused.is_empty(), "granted in src/install/rbac.rs, but not used by any test: {unused:#?}");
}

#[test]
#[ignore = "reads what the other tests left: run by make test"]
fn people_are_told_everything_in_plain_words() {
    let mut wrong = BTreeSet::new();
    for log in logs(Path::new(EVIDENCE), "operator").unwrap() {
        let text = fs::read_to_string(&log).unwrap();
        wrong.extend(text.lines().filter(|line| shows_a_type(line)).map(str::to_owned));
    }
    let mut told = 0;
    for entry in requests() {
        told += usize::from(!entry.request.is_null());
        each_text(&entry.request, &mut |text| {
            if shows_a_type(text) {
                wrong.insert(format!("{} {}: {text}", entry.resource, entry.name));
            }
        });
    }
    assert!(told > 0, "no audit log shows a status or an Event");
    assert!(wrong.is_empty(), "the debug form of a type: {wrong:#?}");
}

fn each_text(value: &Value, see: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(items) => items.iter().for_each(|item| each_text(item, see)),
        Value::Object(fields) => fields.values().for_each(|field| each_text(field, see)),
        _ => {}
    }
}

/// Enumerations of the library that come before what they hold, and names of its errors.
const OF_TYPES: [&str; 8] =
    ["Some(", "Ok(", "Err(", "Error(", "ApiError", "HyperError", "ServiceError", "status: Failure"];

/// True if a text holds the debug form of a type: `Some(…)`, or `Status { code: …`.
fn shows_a_type(text: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let is_struct = |(at, _): (usize, &str)| {
        let name = text[..at].rsplit(|c| !is_word(c)).next().unwrap_or_default();
        let field = text[at + 3..].split(|c| !is_word(c)).next().unwrap_or_default();
        let after = &text[at + 3 + field.len()..];
        name.starts_with(char::is_uppercase) && !field.is_empty() && after.starts_with(": ")
    };
    OF_TYPES.iter().any(|part| text.contains(part)) || text.match_indices(" { ").any(is_struct)
}

#[test]
fn debug_forms_are_told_from_plain_words() {
    for (text, expected) in [
        ("ApiError: no: Forbidden (Status { status: Some(Failure), code: 403 })", true),
        ("took a step action=Evict { pod: \"a\", why: \"old\" }", true),
        ("reason=Some(\"x\")", true),
        ("secrets \"a\" is forbidden: User \"b\" cannot get resource", false),
        ("put back fields=\"spec.replicas\"", false),
        ("{\"a\": {\"b\": 1}}, or Text { without a field }", false),
        ("", false),
    ] {
        assert_eq!(shows_a_type(text), expected, "{text}");
    }
}

#[test]
fn a_right_is_granted_in_its_namespace_and_to_its_names_only() {
    let request = |verb: &str, group: &str, resource: &str, namespace: &str, name: &str| -> AuditEntry {
        let reference = serde_json::json!({
            "apiGroup": group, "resource": resource, "namespace": namespace, "name": name,
        });
        let event = serde_json::json!({
            "verb": verb, "user": {}, "objectRef": reference, "responseStatus": { "code": 200 },
            "stageTimestamp": "",
        });
        serde_json::from_value(event).unwrap()
    };
    let webhooks = ("admissionregistration.k8s.io", "mutatingwebhookconfigurations");
    for (entry, expected) in [
        (request("update", "coordination.k8s.io", "leases", NAMESPACE, "multigres-operator"), true),
        (request("update", "coordination.k8s.io", "leases", "default", "multigres-operator"), false),
        (request("patch", webhooks.0, webhooks.1, "", "multigres-operator"), true),
        (request("get", webhooks.0, webhooks.1, "", "another"), false),
        (request("patch", "apps", "deployments", "shop", "a"), true),
        (request("patch", "apps", "daemonsets", "shop", "a"), false),
        (request("deletecollection", "apps", "deployments", "shop", ""), false),
    ] {
        let is_granted = |right: Right| granted().iter().any(|granted| granted.covers(&right, &entry));
        assert_eq!(taken(&entry).into_iter().all(is_granted), expected, "{entry:?}");
    }
    let mut applied = request("patch", "apps", "deployments", "shop", "a");
    assert_eq!(taken(&applied).len(), 1);
    applied.code = 201;
    let verbs: Vec<String> = taken(&applied).into_iter().map(|(verb, ..)| verb).collect();
    assert_eq!(verbs, ["patch", "create"]);
}
