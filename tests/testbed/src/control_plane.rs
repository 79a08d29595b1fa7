//! Starting a control plane and reaching it.

use std::future::Future;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use futures::future::try_join_all;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, GetParams, ObjectMeta, PostParams};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::{Client, Resource, ResourceExt};
use serde::{Serialize, de::DeserializeOwned};

use crate::audit::{AUDIT_LOG, AuditLog};
use crate::background::Background;
use crate::binaries::{
    self, ETCD, KUBE_APISERVER, KUBE_CONTROLLER_MANAGER, KUBE_SCHEDULER, KUBECTL, KWOK, Tool,
};
use crate::components::{self, ADMIN, PROVISIONER, User};
use crate::fake_nodes::{self, PodReadiness};
use crate::kubeconfig::{Cluster, client_config};
use crate::kubectl::Kubectl;
use crate::namespaces::{self, Namespaces};
use crate::process::{ProcessEnded, ProcessGroup};
use crate::state::State;
use crate::volumes::{self, Storage};

/// Longer than any start on a busy machine; a start that hangs is reported, not waited for for ever.
const READY_TIMEOUT: Duration = Duration::from_mins(2);
const PROBE_INTERVAL: Duration = Duration::from_millis(50);
/// A port that was free when asked for may be taken before the API server listens on it.
const START_ATTEMPTS: usize = 5;
const TOKEN_LIFETIME_SECONDS: i64 = 24 * 60 * 60;

/// Options of a control plane.
#[derive(Debug, Clone)]
pub struct Options {
    /// Run the built-in controllers (garbage collection, namespaces, stateful sets and the like), and provision
    /// volumes for claims of the default storage class.
    pub controllers: bool,
    /// Custom resources to define before the controllers start. The garbage collector notices later ones only when
    /// it looks for new resources, which it does every 30 s.
    pub crds: Vec<CustomResourceDefinition>,
    /// Number of fake nodes to create, `fake-1` in zone `zone1` and so on. With any, there is a scheduler.
    pub fake_nodes: usize,
    /// Readiness of pods on fake nodes.
    pub pod_readiness: PodReadiness,
    /// Keep everything in this directory instead of one that is removed upon drop.
    pub dir: Option<PathBuf>,
    /// Write the audit log to this file, which stays, instead of into the directory.
    pub audit_log: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            controllers: true,
            crds: Vec::new(),
            fake_nodes: 0,
            pod_readiness: PodReadiness::Automatic,
            dir: None,
            audit_log: None,
        }
    }
}

/// A running control plane; dropping it ends its processes and removes its temporary directory.
pub struct ControlPlane {
    // In the order in which they are to be dropped: no client may outlive the API server, everything in the namespaces
    // is to be gone before the process that waits for it, and no process may write to a directory that is being removed.
    provisioner: Option<Background>,
    namespaces: Option<Namespaces>,
    processes: ProcessGroup,
    state: State,
    cluster: Cluster,
    kubeconfig: PathBuf,
    config: kube::Config,
}

impl ControlPlane {
    /// Starts a control plane and waits until it can be used.
    ///
    /// The first start on a machine builds the programs, which takes minutes.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        if options.fake_nodes > 0 && !options.controllers {
            bail!("fake nodes need the controllers, which let pods be scheduled to them");
        }
        let tools = options.tools();
        tokio::task::spawn_blocking(move || binaries::build(tools)).await??;
        for _ in 1..START_ATTEMPTS {
            match Box::pin(Self::try_start(&options)).await {
                Err(error) if port_was_taken(&error) => {}
                result => return result,
            }
        }
        Box::pin(Self::try_start(&options)).await
    }

    async fn try_start(options: &Options) -> anyhow::Result<Self> {
        let state = State::new(options.dir.as_deref())?;
        if let Some(path) = &options.audit_log {
            state.write_log_to(AUDIT_LOG, path)?;
        }
        let processes = ProcessGroup::new(state.to_remove())?;
        let port = free_port()?;
        let mut starting = Self::prepare(state, processes, port, &[]).await?;
        starting.start_apiserver(Ipv4Addr::LOCALHOST, port).await?;
        starting.define(&options.crds).await?;
        if options.controllers {
            starting.start_controllers(Storage::Nowhere).await?;
        }
        if options.fake_nodes > 0 {
            starting.start_fake_nodes(options).await?;
        }
        Ok(starting)
    }

    /// Everything but the processes, for an API server at a port of the loopback interface.
    pub(crate) async fn prepare(
        state: State,
        processes: ProcessGroup,
        port: u16,
        users: &[User],
    ) -> anyhow::Result<Self> {
        let server = format!("https://127.0.0.1:{port}");
        components::write_inputs(&state, &server, users)?;
        let authority = std::fs::read_to_string(state.pki("ca.crt"))?;
        let kubeconfig = state.kubeconfig(ADMIN);
        let config = client_config(&kubeconfig).await?;
        let cluster = Cluster { server, authority };
        Ok(Self { provisioner: None, namespaces: None, processes, state, cluster, kubeconfig, config })
    }

    /// Lets all further processes run in namespaces of their own.
    pub(crate) async fn isolate(&mut self, address: Ipv4Addr) -> anyhow::Result<()> {
        let (name, command) = namespaces::create(&self.state, address);
        self.spawn(name, command)?;
        let pid_file = namespaces::pid_file(self.dir());
        self.wait_for(name, until(|| pid_file.exists())).await?;
        self.namespaces = Some(Namespaces::open(&pid_file)?);
        Ok(())
    }

    pub(crate) async fn start_apiserver(&mut self, address: Ipv4Addr, port: u16) -> anyhow::Result<()> {
        self.spawn(ETCD.name(), components::etcd(&self.state)?)?;
        self.spawn(KUBE_APISERVER.name(), components::apiserver(&self.state, address, port)?)?;
        self.wait_for(KUBE_APISERVER.name(), is_ready(self.client())).await
    }

    pub(crate) async fn define(&mut self, crds: &[CustomResourceDefinition]) -> anyhow::Result<()> {
        self.wait_for(KUBE_APISERVER.name(), define(self.client(), crds)).await
    }

    pub(crate) async fn start_controllers(&mut self, storage: Storage) -> anyhow::Result<()> {
        self.spawn(KUBE_CONTROLLER_MANAGER.name(), components::controller_manager(&self.state)?)?;
        volumes::create_storage_classes(self.client()).await?;
        let provisioner = client_config(&self.state.kubeconfig(PROVISIONER)).await?;
        self.provisioner = Some(volumes::provision(provisioner, storage)?);
        self.wait_for(KUBE_CONTROLLER_MANAGER.name(), default_account_exists(self.client())).await
    }

    pub(crate) fn start_scheduler(&mut self) -> anyhow::Result<()> {
        self.spawn(KUBE_SCHEDULER.name(), components::scheduler(&self.state)?)
    }

    async fn start_fake_nodes(&mut self, options: &Options) -> anyhow::Result<()> {
        self.start_scheduler()?;
        self.spawn(KWOK.name(), fake_nodes::kubelets(&self.state, options.pod_readiness)?)?;
        self.wait_for(KWOK.name(), fake_nodes::create(self.client(), options.fake_nodes)).await
    }

    pub(crate) fn spawn(&mut self, name: &'static str, command: Command) -> anyhow::Result<()> {
        let command = match &self.namespaces {
            Some(namespaces) => namespaces.enter(&command),
            None => command,
        };
        self.processes.spawn(name, command, self.state.log(name))
    }

    /// Ends a process, abruptly, and starts it again by another command.
    pub(crate) fn restart(&mut self, name: &'static str, command: Command) -> anyhow::Result<()> {
        self.processes.kill(name)?;
        self.spawn(name, command)
    }

    /// Waits for what a process is to bring about, as long as all processes run.
    pub(crate) async fn wait_for(
        &mut self,
        name: &str,
        outcome: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        tokio::select! {
            result = outcome => result,
            error = self.processes.first_end() => Err(error),
            () = tokio::time::sleep(READY_TIMEOUT) => Err(anyhow!(
                "{name} was not ready after {READY_TIMEOUT:?}; the end of its log:\n{}",
                self.processes.last_lines(name)
            )),
        }
    }

    /// A new client with all rights; a client may not be used beyond the runtime in which it was made.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub fn client(&self) -> Client {
        #[expect(clippy::expect_used, reason = "the certificates in the configuration are the testbed's own")]
        Client::try_from(self.config.clone()).expect("the testbed's client configuration is valid")
    }

    /// A kubeconfig with all rights.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The directory that holds the control plane's state and logs.
    pub fn dir(&self) -> &Path {
        self.state.path()
    }

    /// The URL of the API server.
    pub fn server_url(&self) -> &str {
        &self.cluster.server
    }

    /// `kubectl` with all rights.
    pub fn kubectl(&self) -> Kubectl {
        self.kubectl_as(&self.kubeconfig)
    }

    /// `kubectl` as the user of a kubeconfig.
    pub fn kubectl_as(&self, kubeconfig: &Path) -> Kubectl {
        Kubectl::new(kubeconfig.to_owned(), self.dir().join("home").join("kubectl"))
    }

    /// The audit log of the API server.
    pub fn audit_log(&self) -> AuditLog {
        AuditLog::new(self.state.log(AUDIT_LOG))
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn namespaces(&self) -> anyhow::Result<&Namespaces> {
        self.namespaces.as_ref().context("the control plane shares the namespaces of this process")
    }

    /// The process ids of the control plane's processes.
    pub fn pids(&self) -> Vec<u32> {
        self.processes.pids()
    }

    /// A kubeconfig of a service account, valid for a day. The account and its namespace are created if need be.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> anyhow::Result<PathBuf> {
        let client = self.client();
        create_if_absent(&Api::<Namespace>::all(client.clone()), named(namespace)).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client, namespace);
        create_if_absent(&accounts, named(name)).await?;

        let request = TokenRequest {
            spec: TokenRequestSpec { expiration_seconds: Some(TOKEN_LIFETIME_SECONDS), ..Default::default() },
            ..Default::default()
        };
        let issued = accounts.create_token_request(name, &PostParams::default(), &request).await?;
        let token = issued.status.context("the API server issued no token")?.token;
        let path = self.state.kubeconfig(&format!("{namespace}.{name}"));
        self.cluster.write_with_token(&path, &token)?;
        Ok(path)
    }
}

impl Options {
    fn tools(&self) -> Vec<&'static Tool> {
        let mut tools = vec![&ETCD, &KUBE_APISERVER, &KUBECTL];
        if self.controllers {
            tools.push(&KUBE_CONTROLLER_MANAGER);
        }
        if self.fake_nodes > 0 {
            tools.extend([&KUBE_SCHEDULER, &KWOK]);
        }
        tools
    }
}

/// A port nobody listens on at the moment.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

fn port_was_taken(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ProcessEnded>().is_some_and(ProcessEnded::port_was_taken)
}

/// Waits for what can only be looked for.
pub async fn until(holds: impl Fn() -> bool) -> anyhow::Result<()> {
    while !holds() {
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
    Ok(())
}

/// Refused connections and failing checks are what a starting API server answers with.
async fn is_ready(client: Client) -> anyhow::Result<()> {
    loop {
        let request = kube::core::Request::new("").get("readyz", &GetParams::default())?;
        if client.request_text(request).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
}

async fn define(client: Client, crds: &[CustomResourceDefinition]) -> anyhow::Result<()> {
    let api = Api::all(client);
    try_join_all(crds.iter().map(async |crd| {
        api.create(&PostParams::default(), crd).await?;
        await_condition(api.clone(), &crd.name_any(), is_crd_established()).await?;
        anyhow::Ok(())
    }))
    .await?;
    Ok(())
}

/// No pod can be created in a namespace before it has this account.
async fn default_account_exists(client: Client) -> anyhow::Result<()> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client, "default");
    await_condition(accounts, "default", |account: Option<&ServiceAccount>| account.is_some()).await?;
    Ok(())
}

async fn create_if_absent<K>(api: &Api<K>, object: K) -> kube::Result<()>
where
    K: Resource + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    match api.create(&PostParams::default(), &object).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        result => result.map(drop),
    }
}

fn named<K: Resource<DynamicType = ()> + Default>(name: &str) -> K {
    let mut object = K::default();
    *object.meta_mut() = ObjectMeta { name: Some(name.to_owned()), ..Default::default() };
    object
}

impl AsRef<ControlPlane> for ControlPlane {
    fn as_ref(&self) -> &ControlPlane {
        self
    }
}
