//! Pods: what all of them have in common.

use k8s_openapi::api::core::v1::{
    Container, LocalObjectReference, PodSecurityContext, PodSpec, PodTemplateSpec, SeccompProfile,
    TopologySpreadConstraint, Volume,
};
use kube::api::ObjectMeta;
use multigres_crds::labels::Labels;
use multigres_crds::v1alpha1::{ImagePullPolicy, Placement, PodSettings, StringMap};

use super::object::{selector, unless_empty};

/// Annotation of pods: when the user last asked for new ones.
pub const RESTARTED_AT: &str = "multigres.com/restarted-at";

/// `postgres` in the images: initdb wants a user that has a name, and pgctld and multipooler the same one.
const USER: i64 = 999;
/// Enough for a component to drain, and for a pooler to stop PostgreSQL in good order.
const TERMINATION_GRACE_SECONDS: i64 = 60;

/// The pods of one workload.
pub struct Pod<'a> {
    /// Labels of the operator.
    pub labels: &'a Labels,
    /// Labels of the pods that are better not on one node.
    pub spread: StringMap,
    /// Settings that all pods of the cluster share.
    pub settings: &'a PodSettings,
    /// Constraints on the nodes that the pods may run on.
    pub placement: Option<&'a Placement>,
    /// Labels that the user adds.
    pub custom_labels: &'a StringMap,
    /// Annotations that the user adds.
    pub custom_annotations: &'a StringMap,
    /// Service account of the pods.
    pub service_account: Option<&'a String>,
    /// Containers that start first, and run as long as the others.
    pub sidecars: Vec<Container>,
    /// Containers.
    pub containers: Vec<Container>,
    /// Volumes that are not claimed for each pod.
    pub volumes: Vec<Volume>,
}

impl Pod<'_> {
    /// The template of the pods.
    pub fn template(self) -> PodTemplateSpec {
        PodTemplateSpec { metadata: Some(self.metadata()), spec: Some(self.spec()) }
    }

    fn metadata(&self) -> ObjectMeta {
        let mut annotations = self.custom_annotations.clone();
        if let Some(time) = &self.settings.restarted_at {
            annotations.insert(RESTARTED_AT.to_owned(), time.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        }
        ObjectMeta {
            labels: Some(self.labels.pod(self.custom_labels)),
            annotations: unless_empty(&annotations),
            ..ObjectMeta::default()
        }
    }

    fn spec(self) -> PodSpec {
        let pull_secrets = self.settings.image_pull_secrets.iter();
        let pull_secrets = pull_secrets.map(|secret| LocalObjectReference { name: secret.name.clone() });
        let pull = |container| with_pull_policy(container, self.settings.image_pull_policy);
        let spec = PodSpec {
            automount_service_account_token: Some(false),
            // The variables of services collide with the components' own configuration.
            enable_service_links: Some(false),
            image_pull_secrets: unless_empty(&pull_secrets.collect()),
            security_context: Some(security_context()),
            service_account_name: self.service_account.cloned(),
            termination_grace_period_seconds: Some(TERMINATION_GRACE_SECONDS),
            topology_spread_constraints: Some(vec![spread_over_nodes(self.spread)]),
            init_containers: unless_empty(&self.sidecars.into_iter().map(pull).collect()),
            containers: self.containers.into_iter().map(pull).collect(),
            volumes: unless_empty(&self.volumes),
            ..PodSpec::default()
        };
        place(spec, self.placement)
    }
}

fn with_pull_policy(container: Container, policy: Option<ImagePullPolicy>) -> Container {
    Container { image_pull_policy: policy.map(|policy| policy.as_str().to_owned()), ..container }
}

/// The restricted Pod Security Standard. The kubelet leaves a volume's files alone where its root fits already: it
/// would open PostgreSQL's password file to the group, and libpq would then ignore it.
fn security_context() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

fn spread_over_nodes(labels: StringMap) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        label_selector: Some(selector(labels)),
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        ..TopologySpreadConstraint::default()
    }
}

fn place(spec: PodSpec, placement: Option<&Placement>) -> PodSpec {
    let Some(placement) = placement else { return spec };
    let mut nodes = placement.node_selector.clone();
    if let Some(zone) = &placement.zone {
        nodes.insert("topology.kubernetes.io/zone".to_owned(), zone.clone());
    }
    PodSpec {
        node_selector: unless_empty(&nodes),
        tolerations: unless_empty(&placement.tolerations),
        affinity: placement.affinity.clone(),
        priority_class_name: placement.priority_class_name.clone(),
        ..spec
    }
}
