//! The webhook configurations: which requests the API server sends here.
//!
//! Every field is explicit, so that the API server adds no default that GitOps tools would see as a difference; only
//! `caBundle` is injected later. The conditions keep what must work while the operator is down from ever needing it:
//! garbage collection, the end of a namespace or of an unprotected cluster, and the operator's own writes.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ServiceReference,
    ValidatingWebhook, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::api::ObjectMeta;
use multigres_crds::kind::{ChildKind, Kind};
use multigres_crds::v1alpha1::VERSION;
use multigres_crds::{GROUP, labels};

use crate::exemption::kubernetes_users;
use crate::router::{MUTATE_PATH, VALIDATE_PATH};

/// Name of both configurations.
pub const NAME: &str = "multigres-operator";
/// Label of a namespace; with value [`OPT_OUT`] nothing in it is sent here. For emergencies.
pub const OPT_OUT_LABEL: &str = "multigres.com/admission";
/// Value of [`OPT_OUT_LABEL`].
pub const OPT_OUT: &str = "disabled";
/// Time that the API server waits for an answer, in seconds.
pub const TIMEOUT_SECONDS: u8 = 5;

/// Address under which the API server reaches this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Client {
    /// A URL without a path, for a server outside the cluster.
    Url(String),
    /// A Service.
    Service {
        /// Namespace of the Service.
        namespace: String,
        /// Name of the Service.
        name: String,
        /// Port of the Service.
        port: i32,
    },
}

/// Settings of the webhook configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Address under which the API server reaches this server.
    pub client: Client,
    /// The name under which the operator writes.
    pub operator_user: String,
    /// Authorities of the server's certificate, PEM.
    pub ca_bundle: Option<Vec<u8>>,
}

/// The mutating webhook runs before anything is checked: it sets defaults and reports all errors at once.
pub fn mutating(settings: &Settings) -> MutatingWebhookConfiguration {
    let entries =
        [Group::Clusters, Group::Children].map(|group| group.entry("defaulting", &["CREATE", "UPDATE"]));
    MutatingWebhookConfiguration {
        metadata: metadata(),
        webhooks: Some(entries.iter().map(|entry| entry.mutating(settings)).collect()),
    }
}

/// The validating webhook runs once the API server has checked the schema.
pub fn validating(settings: &Settings) -> ValidatingWebhookConfiguration {
    let operations = ["CREATE", "UPDATE", "DELETE"];
    let [mut clusters, mut children] =
        [Group::Clusters, Group::Children].map(|group| group.entry("validation", &operations));
    clusters.conditions.push(condition("deletion-protected", DELETED_ONLY_IF_PROTECTED));
    for subresource in ["status", "scale"] {
        children.resources.extend(ChildKind::ALL.map(|kind| format!("{}/{subresource}", kind.plural())));
    }
    ValidatingWebhookConfiguration {
        metadata: metadata(),
        webhooks: Some([clusters, children].iter().map(|entry| entry.validating(settings)).collect()),
    }
}

/// Finalizers can always be removed.
const NOT_TERMINATING: &str = "!(request.operation == 'UPDATE' && has(oldObject.metadata.deletionTimestamp))";
/// A cluster that is not protected goes without being asked about.
const DELETED_ONLY_IF_PROTECTED: &str = "request.operation != 'DELETE' || (has(oldObject.spec) \
     && has(oldObject.spec.deletionProtection) && oldObject.spec.deletionProtection == true)";

/// Kinds that are treated alike.
#[derive(Clone, Copy)]
enum Group {
    Clusters,
    Children,
}

impl Group {
    fn entry(self, phase: &str, operations: &[&str]) -> Entry {
        let (name, kinds) = match self {
            Self::Clusters => ("clusters", vec![Kind::Cluster]),
            Self::Children => ("children", ChildKind::ALL.map(Kind::Child).into()),
        };
        Entry {
            name: format!("{name}.{phase}.{GROUP}"),
            operations: operations.iter().map(ToString::to_string).collect(),
            exempt: kubernetes_users(kinds[0]),
            resources: kinds.into_iter().map(|kind| kind.plural().into_owned()).collect(),
            conditions: vec![condition("not-terminating", NOT_TERMINATING)],
        }
    }
}

/// One entry of a configuration: a group of kinds in a phase.
struct Entry {
    name: String,
    operations: Vec<String>,
    resources: Vec<String>,
    exempt: &'static [&'static str],
    conditions: Vec<MatchCondition>,
}

impl Entry {
    fn mutating(&self, settings: &Settings) -> MutatingWebhook {
        MutatingWebhook {
            rules: Some(vec![self.rule()]),
            match_conditions: Some(self.match_conditions(&settings.operator_user)),
            name: self.name.clone(),
            admission_review_versions: vec!["v1".to_owned()],
            client_config: client_config(settings, MUTATE_PATH),
            failure_policy: Some("Fail".to_owned()),
            match_policy: Some("Equivalent".to_owned()),
            namespace_selector: Some(namespace_selector()),
            object_selector: Some(LabelSelector::default()),
            reinvocation_policy: Some("IfNeeded".to_owned()),
            side_effects: "None".to_owned(),
            timeout_seconds: Some(TIMEOUT_SECONDS.into()),
        }
    }

    fn validating(&self, settings: &Settings) -> ValidatingWebhook {
        ValidatingWebhook {
            rules: Some(vec![self.rule()]),
            match_conditions: Some(self.match_conditions(&settings.operator_user)),
            name: self.name.clone(),
            admission_review_versions: vec!["v1".to_owned()],
            client_config: client_config(settings, VALIDATE_PATH),
            failure_policy: Some("Fail".to_owned()),
            match_policy: Some("Equivalent".to_owned()),
            namespace_selector: Some(namespace_selector()),
            object_selector: Some(LabelSelector::default()),
            side_effects: "None".to_owned(),
            timeout_seconds: Some(TIMEOUT_SECONDS.into()),
        }
    }

    fn rule(&self) -> RuleWithOperations {
        RuleWithOperations {
            api_groups: Some(vec![GROUP.to_owned()]),
            api_versions: Some(vec![VERSION.to_owned()]),
            operations: Some(self.operations.clone()),
            resources: Some(self.resources.clone()),
            scope: Some("Namespaced".to_owned()),
        }
    }

    fn match_conditions(&self, operator_user: &str) -> Vec<MatchCondition> {
        let users = [operator_user].into_iter().chain(self.exempt.iter().copied());
        let users: Vec<String> = users.map(cel_string).collect();
        let asked_by_others = format!("!(request.userInfo.username in [{}])", users.join(", "));
        let mut conditions = vec![condition("asked-by-others", &asked_by_others)];
        conditions.extend(self.conditions.iter().cloned());
        conditions
    }
}

fn condition(name: &str, expression: &str) -> MatchCondition {
    MatchCondition { name: name.to_owned(), expression: expression.to_owned() }
}

/// A string literal of CEL.
fn cel_string(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

fn client_config(settings: &Settings, path: &str) -> WebhookClientConfig {
    let ca_bundle = settings.ca_bundle.clone().map(ByteString);
    match &settings.client {
        Client::Url(base) => {
            let url = format!("{}{path}", base.trim_end_matches('/'));
            WebhookClientConfig { ca_bundle, service: None, url: Some(url) }
        }
        Client::Service { namespace, name, port } => {
            let service = ServiceReference {
                namespace: namespace.clone(),
                name: name.clone(),
                path: Some(path.to_owned()),
                port: Some(*port),
            };
            WebhookClientConfig { ca_bundle, service: Some(service), url: None }
        }
    }
}

fn namespace_selector() -> LabelSelector {
    let opted_out = LabelSelectorRequirement {
        key: OPT_OUT_LABEL.to_owned(),
        operator: "NotIn".to_owned(),
        values: Some(vec![OPT_OUT.to_owned()]),
    };
    LabelSelector { match_expressions: Some(vec![opted_out]), match_labels: None }
}

fn metadata() -> ObjectMeta {
    let labels = [(labels::APP_NAME, labels::OPERATOR), (labels::APP_COMPONENT, "admission")];
    ObjectMeta {
        name: Some(NAME.to_owned()),
        labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, to_value};

    use super::*;

    fn settings(client: Client) -> Settings {
        let operator_user = "system:serviceaccount:multigres-system:multigres-operator".to_owned();
        Settings { client, operator_user, ca_bundle: None }
    }

    fn service() -> Client {
        Client::Service {
            namespace: "multigres-system".to_owned(),
            name: "multigres-operator".to_owned(),
            port: 443,
        }
    }

    #[test]
    fn golden() {
        let settings = settings(service());
        let pretty = |value: Value| serde_json::to_string_pretty(&value).unwrap();
        insta::assert_snapshot!("mutating", pretty(to_value(mutating(&settings)).unwrap()));
        insta::assert_snapshot!("validating", pretty(to_value(validating(&settings)).unwrap()));
    }

    #[test]
    fn a_server_outside_the_cluster_is_reached_by_url() {
        for base in ["https://127.0.0.1:9443", "https://127.0.0.1:9443/"] {
            let settings =
                Settings { ca_bundle: Some(b"PEM".to_vec()), ..settings(Client::Url(base.to_owned())) };
            let configuration = to_value(validating(&settings)).unwrap();
            for webhook in configuration["webhooks"].as_array().unwrap() {
                assert_eq!(
                    webhook["clientConfig"],
                    serde_json::json!({"caBundle": "UEVN", "url": "https://127.0.0.1:9443/validate"})
                );
            }
        }
    }

    #[test]
    fn a_user_name_cannot_end_its_literal() {
        assert_eq!(cel_string("a'b\\c"), r"'a\'b\\c'");
        let settings = Settings { operator_user: "o'hara".to_owned(), ..settings(service()) };
        let configuration = to_value(mutating(&settings)).unwrap();
        let conditions = configuration["webhooks"][0]["matchConditions"][0]["expression"].as_str().unwrap();
        assert!(conditions.contains(r"['o\'hara', "), "{conditions}");
    }
}
