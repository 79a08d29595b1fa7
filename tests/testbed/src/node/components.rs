//! The command lines and configurations of what a node runs beside its control plane.

use std::fs;
use std::io;
use std::process::Command;

use serde_json::{Value, json};

use super::{ADDRESS, NAME};
use crate::binaries::{COREDNS, KUBE_PROXY, KUBECTL, KUBELET};
use crate::components::{ADMIN, ALL_RIGHTS, User, command};
use crate::images::PAUSE;
use crate::state::State;

const POD_NETWORK: &str = "10.89.0.0/16";
const CLUSTER_DOMAIN: &str = "cluster.local";
/// The conventional path of containerd's socket.
pub const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";

const KUBELET_USER: &str = "system:node:node";
const KUBE_PROXY_USER: &str = "system:kube-proxy";
const COREDNS_USER: &str = "coredns";

/// Those who need to reach the API server.
pub const USERS: [User; 3] =
    [(KUBELET_USER, &["system:nodes"]), (KUBE_PROXY_USER, &[]), (COREDNS_USER, ALL_RIGHTS)];

/// Lets programs inside resolve the names of Services as pods in the default namespace do.
pub fn write_resolver(state: &State) -> io::Result<()> {
    let resolver = format!(
        "nameserver {ADDRESS}\n\
         search default.svc.{CLUSTER_DOMAIN} svc.{CLUSTER_DOMAIN} {CLUSTER_DOMAIN}\n\
         options ndots:5\n"
    );
    fs::write(state.config("resolv.conf"), resolver)
}

/// The container runtime, which connects every pod to the node by a pair of interfaces.
pub fn containerd(state: &State) -> anyhow::Result<Command> {
    let network = json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [{
            "type": "ptp",
            "ipam": {
                "type": "host-local",
                "dataDir": "/run/cni",
                "ranges": [[{ "subnet": POD_NETWORK }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    });
    fs::create_dir_all(state.config("cni"))?;
    fs::write(state.config("cni/10-pods.conflist"), network.to_string())?;

    let configuration = format!(
        r#"version = 2
root = "{root}"
state = "/run/containerd"
disabled_plugins = [
    "io.containerd.internal.v1.opt",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
]

[grpc]
address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
# What the machine outside may not have, or does not let us do.
disable_apparmor = true
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{cni}"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
"#,
        root = state.path().join("containerd").display(),
        cni = state.config("cni").display(),
    );
    let file = state.config("containerd.toml");
    fs::write(&file, configuration)?;
    let mut command = Command::new("containerd");
    command.arg("--config").arg(file).current_dir(state.path());
    Ok(command)
}

/// Imports an archive of images, from standard input, into the container runtime.
pub fn import() -> Command {
    let mut command = Command::new("ctr");
    command.arg("--address").arg(CONTAINERD_SOCKET).args(["--namespace=k8s.io", "images", "import", "-"]);
    command
}

/// The kubelet. Its pods are in the control group `cgroup`.
pub fn kubelet(state: &State, cgroup: &str, labels: &[(String, String)]) -> anyhow::Result<Command> {
    write(
        state,
        "kubelet.json",
        &json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": ADDRESS,
            "authentication": { "x509": { "clientCAFile": state.pki("ca.crt") } },
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": format!("/{cgroup}"),
            "clusterDNS": [ADDRESS],
            "clusterDomain": CLUSTER_DOMAIN,
            "containerRuntimeEndpoint": format!("unix://{CONTAINERD_SOCKET}"),
            // A disk of the machine outside that is nearly full is no reason to evict pods or to admit none, nor to
            // collect images that nobody can pull again: 0 % asks for nothing.
            "evictionHard": { "memory.available": "100Mi", "nodefs.available": "0%", "imagefs.available": "0%" },
            "imageGCHighThresholdPercent": 100,
            "failCgroupV1": false,
            "failSwapOn": false,
            "nodeStatusUpdateFrequency": "5s",
            "resolvConf": "",
            "syncFrequency": "10s",
        }),
    )?;
    let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut command = command(&KUBELET, state)?;
    command.args([
        "--config=config/kubelet.json",
        &format!("--kubeconfig=kubeconfigs/{KUBELET_USER}"),
        &format!("--hostname-override={NAME}"),
        &format!("--node-ip={ADDRESS}"),
        &format!("--node-labels={}", labels.join(",")),
        // Absolute, since containers are told paths below it.
        &format!("--root-dir={}", state.path().join("kubelet").display()),
        "--cert-dir=kubelet/pki",
    ]);
    Ok(command)
}

/// Leads the addresses of Services to pods. Connection tracking has limits that only the machine outside may set.
pub fn kube_proxy(state: &State) -> anyhow::Result<Command> {
    write(
        state,
        "kube-proxy.json",
        &json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": { "kubeconfig": state.kubeconfig(KUBE_PROXY_USER) },
            "clusterCIDR": POD_NETWORK,
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpCloseWaitTimeout": "0s",
                "tcpEstablishedTimeout": "0s",
            },
            "hostnameOverride": NAME,
            "mode": "nftables",
            "nftables": { "minSyncPeriod": "100ms" },
            "nodePortAddresses": [format!("{ADDRESS}/32")],
            "oomScoreAdj": 0,
        }),
    )?;
    let mut command = command(&KUBE_PROXY, state)?;
    command.arg("--config=config/kube-proxy.json");
    Ok(command)
}

/// Resolves the names of Services and pods. There are no others: nothing leads to the world outside.
pub fn coredns(state: &State) -> anyhow::Result<Command> {
    let corefile = format!(
        "{CLUSTER_DOMAIN} in-addr.arpa {{
    bind {ADDRESS}
    errors
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa {{
        kubeconfig {kubeconfig}
        ttl 1
    }}
}}

. {{
    bind {ADDRESS}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
",
        kubeconfig = state.kubeconfig(COREDNS_USER).display(),
    );
    fs::write(state.config("Corefile"), corefile)?;
    let mut command = command(&COREDNS, state)?;
    command.args(["-conf", "config/Corefile"]);
    Ok(command)
}

/// Succeeds as soon as Services can be reached by their names.
pub fn probe(state: &State) -> anyhow::Result<Command> {
    let mut command = command(&KUBECTL, state)?;
    command.args([
        &format!("--kubeconfig=kubeconfigs/{ADMIN}"),
        &format!("--server=https://kubernetes.default.svc.{CLUSTER_DOMAIN}"),
        "--request-timeout=1s",
        "get",
        "--raw=/readyz",
    ]);
    Ok(command)
}

fn write(state: &State, file: &str, configuration: &Value) -> io::Result<()> {
    fs::write(state.config(file), format!("{configuration:#}"))
}
