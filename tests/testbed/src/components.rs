//! The command lines of the control plane's processes.
//!
//! They run in the state directory, and paths on their command lines are relative to it. Where others share the
//! network, they listen on loopback alone, or not at all.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::process::Command;

use serde_json::json;

use crate::binaries::{ETCD, KUBE_APISERVER, KUBE_CONTROLLER_MANAGER, KUBE_SCHEDULER, Tool};
use crate::kubeconfig::{Cluster, write_private};
use crate::pki::{Authority, ServiceAccountKeys};
use crate::state::State;

/// A socket in the working directory: one port less to be taken, and no API server can reach another's database.
const ETCD_SOCKET: &str = "unix://etcd.sock:0";

/// The user tests act as.
pub const ADMIN: &str = "admin";
/// The testbed's own servants have all rights too, but names of their own, so that the audit log tells them apart.
pub const FAKE_KUBELETS: &str = "fake-kubelets";
/// The user that provisions volumes.
pub const PROVISIONER: &str = "volume-provisioner";
const CONTROLLER_MANAGER_USER: &str = "system:kube-controller-manager";
const SCHEDULER_USER: &str = "system:kube-scheduler";

/// The API server's own user, when it asks kubelets for logs and the like.
const KUBELET_CLIENT: &str = "kube-apiserver-kubelet-client";

/// A user and the groups it is in.
pub type User = (&'static str, &'static [&'static str]);

/// The group that may do everything.
pub const ALL_RIGHTS: &[&str] = &["system:masters"];

const USERS: [User; 5] = [
    (ADMIN, ALL_RIGHTS),
    (FAKE_KUBELETS, ALL_RIGHTS),
    (PROVISIONER, ALL_RIGHTS),
    (CONTROLLER_MANAGER_USER, &[]),
    (SCHEDULER_USER, &[]),
];

/// Writes the certificates, keys and kubeconfigs that the processes read, those of `more` users among them.
pub fn write_inputs(state: &State, server: &str, more: &[User]) -> anyhow::Result<()> {
    let authority = Authority::new()?;
    let ca = authority.identity();
    let serving = authority.server()?;
    let kubelet_client = authority.client(KUBELET_CLIENT, ALL_RIGHTS)?;
    let tokens = ServiceAccountKeys::generate()?;
    for (file, contents) in [
        ("ca.crt", &ca.certificate),
        ("ca.key", &ca.key),
        ("apiserver.crt", &serving.certificate),
        ("apiserver.key", &serving.key),
        ("kubelet-client.crt", &kubelet_client.certificate),
        ("kubelet-client.key", &kubelet_client.key),
        ("sa.key", &tokens.private),
        ("sa.pub", &tokens.public),
    ] {
        write_private(&state.pki(file), contents)?;
    }
    write_audit_policy(state)?;

    let cluster = Cluster { server: server.to_owned(), authority: ca.certificate };
    for (user, groups) in USERS.iter().chain(more) {
        cluster.write_with_certificate(&state.kubeconfig(user), &authority.client(user, groups)?)?;
    }
    Ok(())
}

/// Writes the audit policy: each request once, with the bodies of Events and statuses of custom resources only, and
/// without probes.
fn write_audit_policy(state: &State) -> io::Result<()> {
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted", "Panic"],
        "rules": [
            { "level": "None", "nonResourceURLs": ["/readyz*", "/livez*", "/healthz*", "/openapi*", "/version"] },
            {
                "level": "Request",
                "verbs": ["create", "patch"],
                "resources": [
                    { "group": "events.k8s.io", "resources": ["events"] },
                    { "group": "multigres.com", "resources": ["*/status"] },
                ],
            },
            { "level": "Metadata" },
        ],
    });
    fs::write(state.config("audit-policy.json"), policy.to_string())
}

/// The database; it need not survive a crash of the machine, so it does not wait for the disk.
pub fn etcd(state: &State) -> anyhow::Result<Command> {
    let mut command = command(&ETCD, state)?;
    command.args([
        "--data-dir=etcd",
        "--unsafe-no-fsync",
        &format!("--listen-client-urls={ETCD_SOCKET}"),
        &format!("--advertise-client-urls={ETCD_SOCKET}"),
        "--listen-peer-urls=http://127.0.0.1:0",
        "--log-level=warn",
    ]);
    Ok(command)
}

/// The API server, at an address that is published as the endpoint of the Service `kubernetes`. Endpoints may not hold
/// loopback addresses, so a loopback address is not.
pub fn apiserver(state: &State, address: Ipv4Addr, port: u16) -> anyhow::Result<Command> {
    let mut command = command(&KUBE_APISERVER, state)?;
    if address.is_loopback() {
        command.args(["--bind-address=127.0.0.1", "--endpoint-reconciler-type=none"]);
    }
    command.args([
        &format!("--etcd-servers={ETCD_SOCKET}"),
        &format!("--secure-port={port}"),
        &format!("--advertise-address={address}"),
        "--tls-cert-file=pki/apiserver.crt",
        "--tls-private-key-file=pki/apiserver.key",
        "--client-ca-file=pki/ca.crt",
        "--kubelet-client-certificate=pki/kubelet-client.crt",
        "--kubelet-client-key=pki/kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP",
        "--requestheader-client-ca-file=pki/ca.crt",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-account-key-file=pki/sa.pub",
        "--service-account-signing-key-file=pki/sa.key",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        "--audit-policy-file=config/audit-policy.json",
        "--audit-log-path=logs/audit.log",
        // In MiB. The log is read by offset, so it must not be rotated.
        "--audit-log-maxsize=100000",
        "--v=1",
    ]);
    Ok(command)
}

/// The built-in controllers, with limits raised so that tests do not wait for the client's own throttling.
pub fn controller_manager(state: &State) -> anyhow::Result<Command> {
    let mut command = command(&KUBE_CONTROLLER_MANAGER, state)?;
    command.args(client_flags(CONTROLLER_MANAGER_USER)).args([
        "--use-service-account-credentials=true",
        "--service-account-private-key-file=pki/sa.key",
        "--root-ca-file=pki/ca.crt",
        "--cluster-signing-cert-file=pki/ca.crt",
        "--cluster-signing-key-file=pki/ca.key",
        "--controllers=*",
        "--concurrent-namespace-syncs=20",
        "--pvclaimbinder-sync-period=2s",
    ]);
    Ok(command)
}

/// The scheduler.
pub fn scheduler(state: &State) -> anyhow::Result<Command> {
    let mut command = command(&KUBE_SCHEDULER, state)?;
    command.args(client_flags(SCHEDULER_USER));
    Ok(command)
}

/// Flags of every client of the API server. Port 0 means "do not serve".
fn client_flags(user: &str) -> [String; 8] {
    let kubeconfig = format!("kubeconfigs/{user}");
    [
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--secure-port=0".into(),
        "--leader-elect=false".into(),
        "--kube-api-qps=1000".into(),
        "--kube-api-burst=2000".into(),
        "--v=1".into(),
    ]
}

/// A tool that runs in the state directory and does not read the settings in the user's own home.
pub fn command(tool: &Tool, state: &State) -> anyhow::Result<Command> {
    let mut command = Command::new(tool.path()?);
    command.current_dir(state.path()).env("HOME", state.path().join("home"));
    Ok(command)
}
