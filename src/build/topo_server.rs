//! `TopoServer`: etcd.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::api::core::v1::{Container, PodTemplateSpec};
use kube::ResourceExt;
use kube::api::ObjectMeta;
use multigres_crds::defaults::{ETCD_CLIENT_PORT, ETCD_PEER_PORT};
use multigres_crds::labels::{Component, Labels};
use multigres_crds::names;
use multigres_crds::v1alpha1::{TopoServer, TopoServerSpec};

use super::container::{container, http_get, often, port, seldom, variables, with_read_only_root};
use super::object::{headless_service, metadata, one_may_be_missing, selector, service, service_port};
use super::pod::Pod;
use super::ports::ETCD_METRICS;
use super::{Build, Environment, Manifest, volume};

const DATA: &str = "data";
const DATA_PATH: &str = "/var/lib/etcd";

impl Build for TopoServer {
    fn build(&self, env: &Environment) -> Vec<Manifest> {
        let etcd = Etcd {
            spec: &self.spec,
            namespace: self.namespace().unwrap_or_default(),
            labels: Labels::new(&self.spec.cluster, Component::Etcd),
            env,
        };
        etcd.manifests()
    }
}

struct Etcd<'a> {
    spec: &'a TopoServerSpec,
    namespace: String,
    labels: Labels,
    env: &'a Environment,
}

impl Etcd<'_> {
    fn manifests(&self) -> Vec<Manifest> {
        let cluster = &self.spec.cluster;
        let client = service_port("client", ETCD_CLIENT_PORT, ETCD_CLIENT_PORT);
        let peer = service_port("peer", ETCD_PEER_PORT, ETCD_PEER_PORT);
        let selector = || self.labels.selector();
        vec![
            Manifest::new(&headless_service(
                self.metadata(names::etcd_peer(cluster)),
                selector(),
                vec![peer],
            )),
            Manifest::new(&service(self.metadata(names::etcd_client(cluster)), selector(), vec![client])),
            Manifest::new(&one_may_be_missing(self.metadata(self.name()), selector(), self.spec.replicas)),
            Manifest::new(&self.stateful_set()),
        ]
    }

    fn stateful_set(&self) -> StatefulSet {
        let spec = self.spec;
        let claim = ObjectMeta {
            name: Some(DATA.to_owned()),
            labels: Some(self.labels.object()),
            ..ObjectMeta::default()
        };
        StatefulSet {
            metadata: self.metadata(self.name()),
            spec: Some(StatefulSetSpec {
                replicas: Some(spec.replicas),
                selector: selector(self.labels.selector()),
                service_name: Some(names::etcd_peer(&spec.cluster)),
                // A member is not ready before it has a quorum, which the next members make.
                pod_management_policy: Some("Parallel".to_owned()),
                update_strategy: Some(StatefulSetUpdateStrategy {
                    type_: Some("RollingUpdate".to_owned()),
                    rolling_update: None,
                }),
                template: self.template(),
                volume_claim_templates: Some(vec![volume::claim(claim, &spec.data_volume_claim_template)]),
                persistent_volume_claim_retention_policy: Some(volume::retention(
                    spec.persistent_volume_claim_retention_policy,
                )),
                ..StatefulSetSpec::default()
            }),
            status: None,
        }
    }

    fn template(&self) -> PodTemplateSpec {
        let spec = self.spec;
        let pod = Pod {
            labels: &self.labels,
            spread: self.labels.selector(),
            settings: &spec.pods,
            placement: spec.placement.as_deref(),
            custom_labels: &spec.pod_labels,
            custom_annotations: &spec.pod_annotations,
            service_account: spec.service_account_name.as_ref(),
            sidecars: Vec::new(),
            containers: vec![self.container()],
            volumes: Vec::new(),
        };
        pod.template()
    }

    fn container(&self) -> Container {
        let args = self.args();
        with_read_only_root(Container {
            command: Some(vec!["etcd".to_owned()]),
            env: Some(variables(&args)),
            args: Some(args),
            ports: Some(vec![
                port("client", ETCD_CLIENT_PORT),
                port("peer", ETCD_PEER_PORT),
                port("metrics", ETCD_METRICS),
            ]),
            readiness_probe: Some(often(http_get("/readyz", ETCD_METRICS))),
            liveness_probe: Some(seldom(http_get("/livez", ETCD_METRICS))),
            volume_mounts: Some(vec![volume::mount(DATA, DATA_PATH)]),
            ..container("etcd", &self.spec.image, &self.spec.resources)
        })
    }

    fn args(&self) -> Vec<String> {
        let members = (0..self.spec.replicas).map(|ordinal| format!("{}-{ordinal}", self.name()));
        let members: Vec<String> =
            members.map(|pod| format!("{pod}={}", self.url(&pod, ETCD_PEER_PORT))).collect();
        vec![
            "--name=$(POD_NAME)".to_owned(),
            // A subdirectory: the root of a volume may hold `lost+found`.
            format!("--data-dir={DATA_PATH}/data"),
            format!("--listen-client-urls=http://0.0.0.0:{ETCD_CLIENT_PORT}"),
            format!("--advertise-client-urls={}", self.url("$(POD_NAME)", ETCD_CLIENT_PORT)),
            format!("--listen-peer-urls=http://0.0.0.0:{ETCD_PEER_PORT}"),
            format!("--initial-advertise-peer-urls={}", self.url("$(POD_NAME)", ETCD_PEER_PORT)),
            format!("--initial-cluster={}", members.join(",")),
            format!("--initial-cluster-token={}.{}", self.name(), self.namespace),
            "--initial-cluster-state=new".to_owned(),
            format!("--listen-metrics-urls=http://0.0.0.0:{ETCD_METRICS}"),
            // Nobody reads old revisions; without this the database grows to its quota.
            "--auto-compaction-mode=periodic".to_owned(),
            "--auto-compaction-retention=1h".to_owned(),
        ]
    }

    fn url(&self, pod: &str, port: i32) -> String {
        let peer = names::etcd_peer(&self.spec.cluster);
        format!("http://{pod}.{peer}.{}.svc.{}:{port}", self.namespace, self.env.cluster_domain)
    }

    fn name(&self) -> String {
        names::etcd(&self.spec.cluster)
    }

    fn metadata(&self, name: String) -> ObjectMeta {
        metadata(name, &self.namespace, self.labels.object())
    }
}
