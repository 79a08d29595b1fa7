//! `MultiAdmin`: multiadmin.

use kube::ResourceExt;
use multigres_crds::labels::{self, Labels};
use multigres_crds::names;
use multigres_crds::v1alpha1::MultiAdmin;

use super::container::{Component, with_read_only_root};
use super::object::{deployment, metadata, service, service_port};
use super::pod::Pod;
use super::ports::{ADMIN_GRPC, ADMIN_HTTP};
use super::{Build, Environment, Manifest, topology};

impl Build for MultiAdmin {
    fn build(&self, _: &Environment) -> Vec<Manifest> {
        let namespace = self.namespace().unwrap_or_default();
        let labels = Labels::new(&self.spec.cluster, labels::Component::MultiAdmin);
        let ports =
            vec![service_port("http", ADMIN_HTTP, ADMIN_HTTP), service_port("grpc", ADMIN_GRPC, ADMIN_GRPC)];
        let metadata = |name| metadata(name, &namespace, labels.object());
        let deployment = deployment(
            metadata(names::multiadmin(&self.spec.cluster)),
            self.spec.replicas,
            labels.selector(),
            pod(self, &labels).template(),
        );
        let service = service(metadata(names::admin(&self.spec.cluster)), labels.selector(), ports);
        vec![Manifest::new(&service), Manifest::new(&deployment)]
    }
}

fn pod<'a>(admin: &'a MultiAdmin, labels: &'a Labels) -> Pod<'a> {
    let spec = &admin.spec;
    let multiadmin = Component {
        name: "multiadmin",
        image: &spec.image,
        resources: &spec.resources,
        topology: &spec.global_topology,
        http: ADMIN_HTTP,
        grpc: ADMIN_GRPC,
        hostname: "$(POD_IP)",
        args: vec!["--service-map=grpc-multiadmin".to_owned()],
    };
    Pod {
        labels,
        spread: labels.selector(),
        settings: &spec.pods,
        placement: spec.placement.as_deref(),
        custom_labels: &spec.pod_labels,
        custom_annotations: &spec.pod_annotations,
        service_account: spec.service_account_name.as_ref(),
        sidecars: Vec::new(),
        containers: vec![with_read_only_root(multiadmin.container())],
        volumes: topology::volumes(&spec.global_topology),
    }
}
