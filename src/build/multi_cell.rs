//! `MultiCell`: multigateway, through which PostgreSQL clients connect.

use k8s_openapi::api::core::v1::{Container, Lifecycle, LifecycleHandler, Service, ServiceSpec, SleepAction};
use kube::ResourceExt;
use kube::api::ObjectMeta;
use multigres_crds::labels::{self, Labels};
use multigres_crds::v1alpha1::{MultiCell, ServiceType};
use multigres_crds::{defaults, names};

use super::container::{Component, port, with_read_only_root};
use super::object::{deployment, metadata, service, service_port, unless_empty};
use super::pod::Pod;
use super::ports::{GATEWAY_GRPC, GATEWAY_HTTP, GATEWAY_POSTGRES};
use super::{Build, Environment, Manifest, topology, volume};

const TLS: &str = "tls";
const TLS_PATH: &str = "/etc/multigres/tls";
/// Time in seconds that a gateway still accepts connections while its address is removed from the Service.
const DEREGISTRATION_SECONDS: i64 = 5;

impl Build for MultiCell {
    fn build(&self, _: &Environment) -> Vec<Manifest> {
        let spec = &self.spec;
        let labels =
            Labels::new(&spec.cluster, labels::Component::MultiGateway).with(labels::CELL, &spec.cell);
        let metadata = metadata(
            names::multigateway(&spec.cluster, &spec.cell),
            &self.namespace().unwrap_or_default(),
            labels.object(),
        );
        let deployment = deployment(
            metadata.clone(),
            spec.multi_gateway.replicas,
            labels.selector(),
            pod(self, &labels).template(),
        );
        vec![Manifest::new(&gateway_service(self, metadata, &labels)), Manifest::new(&deployment)]
    }
}

fn gateway_service(cell: &MultiCell, metadata: ObjectMeta, labels: &Labels) -> Service {
    let wanted = &cell.spec.multi_gateway.service;
    let type_ = wanted.type_.unwrap_or_default();
    let port = wanted.port.unwrap_or(defaults::GATEWAY_SERVICE_PORT);
    let metadata = ObjectMeta { annotations: unless_empty(&wanted.annotations), ..metadata };
    let ports = vec![service_port("postgres", port, GATEWAY_POSTGRES)];
    let mut service = service(metadata, labels.selector(), ports);
    service.spec = service.spec.map(|spec| ServiceSpec {
        type_: Some(type_.as_str().to_owned()),
        // The API server refuses them on any other type.
        load_balancer_source_ranges: unless_empty(&wanted.load_balancer_source_ranges)
            .filter(|_| type_ == ServiceType::LoadBalancer),
        ..spec
    });
    service
}

fn pod<'a>(cell: &'a MultiCell, labels: &'a Labels) -> Pod<'a> {
    let spec = &cell.spec;
    let tls = spec.multi_gateway.tls.as_ref().map(|tls| volume::secret(TLS, &tls.secret_ref.name));
    Pod {
        labels,
        spread: labels.selector(),
        settings: &spec.pods,
        placement: spec.placement.as_deref(),
        custom_labels: &spec.pod_labels,
        custom_annotations: &spec.pod_annotations,
        service_account: spec.service_account_name.as_ref(),
        sidecars: Vec::new(),
        containers: vec![with_read_only_root(gateway(cell))],
        volumes: topology::volumes(&spec.global_topology).into_iter().chain(tls).collect(),
    }
}

fn gateway(cell: &MultiCell) -> Container {
    let spec = &cell.spec;
    let gateway = &spec.multi_gateway;
    let mut args = vec![
        format!("--cell={}", spec.cell),
        "--service-id=$(POD_NAME)".to_owned(),
        format!("--pg-port={GATEWAY_POSTGRES}"),
        // Queries wait for a failover instead of failing.
        "--buffer-enabled=true".to_owned(),
    ];
    if gateway.tls.is_some() {
        args.push(format!("--pg-tls-cert-file={TLS_PATH}/tls.crt"));
        args.push(format!("--pg-tls-key-file={TLS_PATH}/tls.key"));
        args.push("--pg-require-ssl=true".to_owned());
    }
    let multigateway = Component {
        name: "multigateway",
        image: &gateway.image,
        resources: &gateway.resources,
        topology: &spec.global_topology,
        http: GATEWAY_HTTP,
        grpc: GATEWAY_GRPC,
        hostname: "$(POD_IP)",
        args,
    };
    let mut container = multigateway.container();
    container.ports.get_or_insert_default().push(port("postgres", GATEWAY_POSTGRES));
    if gateway.tls.is_some() {
        container.volume_mounts.get_or_insert_default().push(volume::mount_read_only(TLS, TLS_PATH));
    }
    let sleep = LifecycleHandler {
        sleep: Some(SleepAction { seconds: DEREGISTRATION_SECONDS }),
        ..LifecycleHandler::default()
    };
    Container { lifecycle: Some(Lifecycle { pre_stop: Some(sleep), ..Lifecycle::default() }), ..container }
}
