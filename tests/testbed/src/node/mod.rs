//! A real node: pods run, have addresses and names, and write to volumes.

mod components;
mod faults;

pub use faults::Process;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::{Node as ApiNode, Service};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::Api;
use kube::runtime::wait::await_condition;

use components::CONTAINERD_SOCKET;

use crate::audit::AUDIT_LOG;
use crate::binaries::{self, CONTROL_PLANE, COREDNS, KUBE_PROXY, KUBELET, Tool};
use crate::cache;
use crate::cgroups::Cgroups;
use crate::command::succeeded;
use crate::control_plane::{ControlPlane, until};
use crate::fake_nodes::is_schedulable;
use crate::images::{BuiltImages, Image};
use crate::kubectl::Kubectl;
use crate::namespaces;
use crate::packages;
use crate::process::ProcessGroup;
use crate::state::State;
use crate::tunnel::{self, Tunnel};
use crate::volumes::Storage;

/// The node's name.
const NAME: &str = "node";
/// Its address; nodes do not see each other, so all of them have the same.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 10);

const CONTAINERD: &str = "containerd";
const PROBE_INTERVAL: Duration = Duration::from_millis(50);

/// Options of a node.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// The images that its pods can use; nothing is ever pulled.
    pub images: Vec<Image>,
    /// Custom resources to define before the controllers start.
    pub crds: Vec<CustomResourceDefinition>,
    /// The node's labels, beside the usual ones.
    pub labels: Vec<(String, String)>,
    /// Keep everything in this directory instead of one that is removed upon drop.
    pub dir: Option<PathBuf>,
    /// Write the audit log to this file, which stays, instead of into the directory.
    pub audit_log: Option<PathBuf>,
}

impl Default for NodeOptions {
    fn default() -> Self {
        let labels = [("topology.kubernetes.io/region", "region1"), ("topology.kubernetes.io/zone", "zone1")];
        Self {
            images: Image::cluster(),
            crds: Vec::new(),
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(),
            dir: None,
            audit_log: None,
        }
    }
}

/// A running node with a control plane of its own; dropping it ends everything on it.
pub struct Node {
    // In the order in which they are to be dropped.
    tunnel: Tunnel,
    control_plane: ControlPlane,
    _cgroups: Cgroups,
    cgroup: String,
    labels: Vec<(String, String)>,
}

/// True if tests on real nodes are asked for and possible. If not, it says so, past the test runner: a test that was
/// not run must not look like one that was.
pub fn is_wanted() -> bool {
    let Some(reason) = why_not() else { return true };
    let test = std::thread::current();
    cache::report(&format!("{}: skipped: {reason}", test.name().unwrap_or("a test")));
    false
}

/// Reason why no test on a real node is to be run: nobody asked for it, by the environment variable `TESTBED_REAL`, or
/// it is
/// not possible.
pub fn why_not() -> Option<&'static str> {
    if std::env::var_os("TESTBED_REAL").is_none_or(|asked| asked.is_empty()) {
        Some("TESTBED_REAL is not set")
    } else if !is_root() {
        Some("needs root")
    } else {
        None
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Builds and installs everything that nodes with some images need; blocks meanwhile.
pub fn prepare(images: &[Image]) -> anyhow::Result<()> {
    prepare_images(images).map(drop)
}

fn prepare_images(images: &[Image]) -> anyhow::Result<BuiltImages> {
    if !is_root() {
        bail!("a real node needs root");
    }
    packages::install()?;
    binaries::build(tools())?;
    BuiltImages::build(&[&[Image::pause()], images].concat())
}

fn tools() -> impl Iterator<Item = &'static Tool> {
    CONTROL_PLANE.into_iter().chain(binaries::NODE)
}

impl Node {
    /// Starts a node and waits until pods can run on it.
    ///
    /// The first start on a machine installs Debian packages and builds programs and images, which takes minutes.
    pub async fn start(options: NodeOptions) -> anyhow::Result<Self> {
        let images = options.images.clone();
        let images = tokio::task::spawn_blocking(move || prepare_images(&images)).await??;

        let state = State::new(options.dir.as_deref())?;
        if let Some(path) = &options.audit_log {
            state.write_log_to(AUDIT_LOG, path)?;
        }
        let cgroup = format!("testbed-{}", cache::key([state.path().as_os_str().as_encoded_bytes()]));
        let cgroups = Cgroups::create(&cgroup)?;
        let processes = ProcessGroup::with_cgroups(state.to_remove(), cgroups.paths())?;
        // The API server has the same port inside, so that clients find it under the same URL.
        let listener = tunnel::listen()?;
        let port = listener.local_addr()?.port();
        components::write_resolver(&state)?;
        let mut control_plane = ControlPlane::prepare(state, processes, port, &components::USERS).await?;
        control_plane.isolate(ADDRESS).await?;
        let tunnel = Tunnel::into(control_plane.namespaces()?.network()?)?;
        tunnel.forward(listener, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;

        let mut starting = Self { tunnel, control_plane, _cgroups: cgroups, cgroup, labels: options.labels };
        Box::pin(starting.start_everything(&options.crds, images, port)).await?;
        Ok(starting)
    }

    /// Images take the longest; all else is started meanwhile.
    async fn start_everything(
        &mut self,
        crds: &[CustomResourceDefinition],
        images: BuiltImages,
        port: u16,
    ) -> anyhow::Result<()> {
        let control_plane = &mut self.control_plane;
        control_plane.spawn(CONTAINERD, components::containerd(control_plane.state())?)?;
        let socket = control_plane.namespaces()?.path(CONTAINERD_SOCKET);
        control_plane.wait_for(CONTAINERD, until(|| socket.exists())).await?;
        let import = control_plane.namespaces()?.enter(&components::import());
        let import = tokio::task::spawn_blocking(move || pipe(&images, import));

        control_plane.start_apiserver(ADDRESS, port).await?;
        control_plane.define(crds).await?;
        control_plane.start_scheduler()?;
        let state = control_plane.state();
        let storage = Storage::Local {
            directory: state.path().join("volumes"),
            node: NAME,
            pid_file: namespaces::pid_file(state.path()),
        };
        let kubelet = components::kubelet(state, &self.cgroup, &self.labels)?;
        control_plane.spawn(KUBELET.name(), kubelet)?;
        control_plane.spawn(COREDNS.name(), components::coredns(control_plane.state())?)?;
        control_plane.start_controllers(storage).await?;
        control_plane.wait_for(KUBELET.name(), is_ready(control_plane.client())).await?;

        // Only now, since it waits in long steps for the node to be there.
        control_plane.spawn(KUBE_PROXY.name(), components::kube_proxy(control_plane.state())?)?;
        let probe = control_plane.namespaces()?.enter(&components::probe(control_plane.state())?);
        control_plane.wait_for(KUBE_PROXY.name(), succeeds(probe)).await?;
        control_plane.wait_for(CONTAINERD, async { import.await? }).await
    }

    /// Gives the node more images than it was started with.
    pub async fn load(&self, images: Vec<Image>) -> anyhow::Result<()> {
        let import = self.enter(&components::import())?;
        tokio::task::spawn_blocking(move || pipe(&BuiltImages::build(&images)?, import)).await?
    }

    /// A new client with all rights; a client may not be used beyond the runtime in which it was made.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub fn client(&self) -> kube::Client {
        self.control_plane.client()
    }

    /// A kubeconfig with all rights. It is good inside the node as well.
    pub fn kubeconfig(&self) -> &Path {
        self.control_plane.kubeconfig()
    }

    /// `kubectl` with all rights.
    pub fn kubectl(&self) -> Kubectl {
        self.control_plane.kubectl()
    }

    /// The node's control plane, for its audit log, service accounts and the like.
    pub fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    /// A port of the loopback interface that leads to a port of a pod, a Service or the node itself.
    pub fn forward(&self, host: IpAddr, port: u16) -> anyhow::Result<u16> {
        let listener = tunnel::listen()?;
        let local = listener.local_addr()?.port();
        self.tunnel.forward(listener, SocketAddr::from((host, port)))?;
        Ok(local)
    }

    /// The same for a Service with an address of its own.
    pub async fn forward_service(&self, namespace: &str, name: &str, port: u16) -> anyhow::Result<u16> {
        let service = Api::<Service>::namespaced(self.client(), namespace).get(name).await?;
        let address = service.spec.and_then(|spec| spec.cluster_ip).context("the Service has no address")?;
        let address = address.parse().with_context(|| format!("{address} is no address"))?;
        self.forward(address, port)
    }

    /// The command that runs `command` on the node: in its network, with its names, and among its processes.
    pub fn enter(&self, command: &Command) -> anyhow::Result<Command> {
        Ok(self.control_plane.namespaces()?.enter(command))
    }

    /// Runs a command on the node, which must succeed, and hands back its standard output.
    pub async fn exec(&self, command: &Command) -> anyhow::Result<String> {
        let entered = self.enter(command)?;
        succeeded(command, output(entered).await?)
    }
}

impl AsRef<ControlPlane> for Node {
    fn as_ref(&self) -> &ControlPlane {
        &self.control_plane
    }
}

/// Runs a command that ends if nobody waits for it any more.
async fn output(command: Command) -> std::io::Result<Output> {
    tokio::process::Command::from(command).stdin(Stdio::null()).kill_on_drop(true).output().await
}

/// Writes images to the standard input of a command. Its own words are the better ones if it ends too early.
fn pipe(images: &BuiltImages, mut command: Command) -> anyhow::Result<()> {
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let written = process.stdin.take().map(|stdin| images.write(stdin)).transpose();
    succeeded(&command, process.wait_with_output()?)?;
    written.map(drop)
}

async fn is_ready(client: kube::Client) -> anyhow::Result<()> {
    await_condition(Api::<ApiNode>::all(client), NAME, is_schedulable).await?;
    Ok(())
}

/// Waits until a command succeeds.
async fn succeeds(command: Command) -> anyhow::Result<()> {
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::null()).kill_on_drop(true);
    while !command.output().await?.status.success() {
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
    Ok(())
}
