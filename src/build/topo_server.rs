//! `TopoServer`: etcd.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, PodTemplateSpec};
use kube::ResourceExt;
use kube::api::ObjectMeta;
use multigres_crds::defaults::{ETCD_CLIENT_PORT, ETCD_PEER_PORT};
use multigres_crds::labels::{Component, Labels};
use multigres_crds::names;
use multigres_crds::quantity::Quantity;
use multigres_crds::v1alpha1::{TopoServer, TopoServerSpec};

use super::container::{
    config_env, container, http_get, often, port, seldom, variables, with_read_only_root,
};
use super::object::{headless_service, metadata, one_may_be_missing, selector, service, service_port};
use super::pod::Pod;
use super::ports::ETCD_METRICS;
use super::{Build, Environment, Manifest, volume};
use crate::etcd::{Bootstrap, INITIAL_CLUSTER, INITIAL_CLUSTER_STATE, Peer};

/// Variable, and key of the ConfigMap, with the bytes that the database may take.
const QUOTA: &str = "ETCD_QUOTA_BACKEND_BYTES";
/// Largest database that etcd is recommended for.
const LARGEST_QUOTA: i128 = 8 << 30;
const NANOS: i128 = 1_000_000_000;

const DATA: &str = "data";
const DATA_PATH: &str = "/var/lib/etcd";

impl Build for TopoServer {
    fn build(&self, env: &Environment) -> Vec<Manifest> {
        Etcd::of(self, env).manifests()
    }
}

/// The members of an etcd.
pub fn peers(server: &TopoServer, env: &Environment) -> Vec<Peer> {
    Etcd::of(server, env).peers()
}

/// The ConfigMap with what members read when they start.
pub fn etcd_settings(server: &TopoServer, env: &Environment, bootstrap: &Bootstrap) -> Manifest {
    Manifest::new(&Etcd::of(server, env).settings(bootstrap))
}

struct Etcd<'a> {
    spec: &'a TopoServerSpec,
    namespace: String,
    labels: Labels,
    env: &'a Environment,
}

impl<'a> Etcd<'a> {
    fn of(server: &'a TopoServer, env: &'a Environment) -> Self {
        Self {
            spec: &server.spec,
            namespace: server.namespace().unwrap_or_default(),
            labels: Labels::new(&server.spec.cluster, Component::Etcd),
            env,
        }
    }

    fn manifests(&self) -> Vec<Manifest> {
        let cluster = &self.spec.cluster;
        let client = service_port("client", ETCD_CLIENT_PORT, ETCD_CLIENT_PORT);
        let peer = service_port("peer", ETCD_PEER_PORT, ETCD_PEER_PORT);
        let selector = || self.labels.selector();
        let mut manifests = vec![
            Manifest::new(&headless_service(
                self.metadata(names::etcd_peer(cluster)),
                selector(),
                vec![peer],
            )),
            Manifest::new(&service(self.metadata(names::etcd_client(cluster)), selector(), vec![client])),
            Manifest::new(&one_may_be_missing(self.metadata(self.name()), selector(), self.spec.replicas)),
        ];
        if self.spec.replaces_members() {
            manifests.push(Manifest::new(&self.settings(&Bootstrap::forming(&self.peers()))));
        }
        manifests.push(Manifest::new(&self.stateful_set()));
        manifests
    }

    fn settings(&self, bootstrap: &Bootstrap) -> ConfigMap {
        let mut data = bootstrap.data();
        data.insert(QUOTA.to_owned(), self.quota().to_string());
        ConfigMap {
            metadata: self.metadata(names::etcd_settings(&self.spec.cluster)),
            data: Some(data),
            ..ConfigMap::default()
        }
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
            env: Some([variables(&args), self.settings_variables()].concat()),
            args: Some(args),
            ports: Some(vec![
                port("client", ETCD_CLIENT_PORT),
                port("peer", ETCD_PEER_PORT),
                port("metrics", ETCD_METRICS),
            ]),
            readiness_probe: Some(often(http_get("/readyz", ETCD_METRICS))),
            liveness_probe: Some(seldom(http_get("/livez", ETCD_METRICS))),
            volume_mounts: Some(vec![volume::mount(DATA, DATA_PATH)]),
            // The last words of an etcd that ended say whether it has found its data.
            termination_message_policy: self
                .spec
                .replaces_members()
                .then(|| "FallbackToLogsOnError".to_owned()),
            ..container("etcd", &self.spec.image, &self.spec.resources)
        })
    }

    /// Settings that the container reads anew each time it starts.
    fn settings_variables(&self) -> Vec<EnvVar> {
        if !self.spec.replaces_members() {
            return Vec::new();
        }
        let config_map = names::etcd_settings(&self.spec.cluster);
        [INITIAL_CLUSTER, INITIAL_CLUSTER_STATE, QUOTA].map(|key| config_env(key, &config_map)).into()
    }

    fn args(&self) -> Vec<String> {
        let mut args = vec![
            "--name=$(POD_NAME)".to_owned(),
            // A subdirectory: the root of a volume may hold `lost+found`.
            format!("--data-dir={DATA_PATH}/data"),
            format!("--listen-client-urls=http://0.0.0.0:{ETCD_CLIENT_PORT}"),
            format!("--advertise-client-urls={}", self.url("$(POD_NAME)", ETCD_CLIENT_PORT)),
            format!("--listen-peer-urls=http://0.0.0.0:{ETCD_PEER_PORT}"),
            format!("--initial-advertise-peer-urls={}", self.url("$(POD_NAME)", ETCD_PEER_PORT)),
        ];
        let token = format!("--initial-cluster-token={}.{}", self.name(), self.namespace);
        if self.spec.replaces_members() {
            args.push(token);
        } else {
            let members = self.peers().into_iter().map(|peer| format!("{}={}", peer.name, peer.url));
            args.extend([
                format!("--initial-cluster={}", members.collect::<Vec<_>>().join(",")),
                token,
                "--initial-cluster-state=new".to_owned(),
            ]);
        }
        args.extend([
            format!("--listen-metrics-urls=http://0.0.0.0:{ETCD_METRICS}"),
            // Nobody reads old revisions; without this the database grows to its quota.
            "--auto-compaction-mode=periodic".to_owned(),
            "--auto-compaction-retention=1h".to_owned(),
        ]);
        args
    }

    /// Bytes that the database may take: half of the volume, since the log, and a copy of the database while one is
    /// received or defragmented, are beside it. 0, etcd's own default, where the size of the volume is not known.
    fn quota(&self) -> i128 {
        let volume = self.spec.data_volume_claim_template.resources.requests.storage.as_ref();
        let volume = volume.and_then(Quantity::value).map_or(0, |volume| volume.0);
        (volume / NANOS / 2).clamp(0, LARGEST_QUOTA)
    }

    fn peers(&self) -> Vec<Peer> {
        let names = (0..self.spec.replicas).map(|ordinal| names::instance(&self.name(), ordinal));
        names.map(|name| Peer { url: self.url(&name, ETCD_PEER_PORT), name }).collect()
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
