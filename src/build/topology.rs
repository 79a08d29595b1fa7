//! Arguments and mounts by which a component reaches the topology.

use k8s_openapi::api::core::v1::{Volume, VolumeMount};
use multigres_crds::v1alpha1::{TopologyReference, TopologyTls};

use super::volume;

const CA: &str = "topology-ca";
const CLIENT: &str = "topology-client";
const CA_PATH: &str = "/etc/multigres/topology/ca";
const CLIENT_PATH: &str = "/etc/multigres/topology/client";

/// Arguments of every component that reads the topology.
pub fn args(topology: &TopologyReference) -> Vec<String> {
    let mut args = vec![
        format!("--topo-global-server-addresses={}", topology.address),
        format!("--topo-global-root={}", topology.root_path),
    ];
    let (ca, client) = secrets(topology);
    if ca.is_some() {
        args.push(format!("--topo-etcd-tls-ca={CA_PATH}/ca.crt"));
    }
    if client.is_some() {
        args.push(format!("--topo-etcd-tls-cert={CLIENT_PATH}/tls.crt"));
        args.push(format!("--topo-etcd-tls-key={CLIENT_PATH}/tls.key"));
    }
    args
}

/// Volumes with the certificates that the arguments name.
pub fn volumes(topology: &TopologyReference) -> Vec<Volume> {
    let (ca, client) = secrets(topology);
    let ca = ca.map(|secret| volume::secret(CA, secret));
    let client = client.map(|secret| volume::secret(CLIENT, secret));
    ca.into_iter().chain(client).collect()
}

/// Mounts of the certificates that the arguments name.
pub fn mounts(topology: &TopologyReference) -> Vec<VolumeMount> {
    let (ca, client) = secrets(topology);
    let ca = ca.map(|_| volume::mount_read_only(CA, CA_PATH));
    let client = client.map(|_| volume::mount_read_only(CLIENT, CLIENT_PATH));
    ca.into_iter().chain(client).collect()
}

/// The Secrets with the authority and with the client's certificate.
fn secrets(topology: &TopologyReference) -> (Option<&str>, Option<&str>) {
    let tls = topology.tls.as_ref();
    let name = |of: fn(&TopologyTls) -> &Option<_>| tls.and_then(|tls| of(tls).as_ref());
    (
        name(|tls| &tls.ca_secret_ref).map(secret_name),
        name(|tls| &tls.client_cert_secret_ref).map(secret_name),
    )
}

fn secret_name(secret: &multigres_crds::v1alpha1::LocalObjectReference) -> &str {
    &secret.name
}
