//! The running operator: servers, caches, controllers, and what must hold before it says that it is ready.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::build::Environment;
use crate::client::Clients;
use crate::clock::SystemClock;
use crate::controllers::{Caches, Engine, Seams};
use crate::election::{self, Election};
use crate::leadership::{Team, lead};
use crate::metrics::Metrics;
use crate::observe::{Neighbourhood, Scope, StorageClasses};
use crate::server::{Gate, Readiness, Server, ServerArgs, Services};
use crate::topology::{self, Topology};
use crate::{admission, api_error, install, signal};

/// Arguments of the running operator.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Kubeconfig for the API server. Without it: KUBECONFIG, or the ServiceAccount of the pod
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Namespace of the operator itself, where its Lease is
    #[arg(long, env = "POD_NAMESPACE", default_value = "multigres-system")]
    namespace: String,
    /// Watch only this namespace; repeat for more. All of them when absent. Admission does not know of clusters
    /// elsewhere, and so not whether they use the same etcd
    #[arg(long = "watch-namespace", value_name = "NAMESPACE")]
    watch_namespaces: Vec<String>,
    /// The user as whom the operator must be known to the API server. Its ServiceAccount when absent
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Names and addresses, beside those of its Service, under which API servers reach the webhooks
    #[arg(long = "webhook-name", value_name = "NAME|IP")]
    webhook_names: Vec<String>,
    /// Client of the topology and the poolers. `absent` suits pods that run nothing
    #[arg(long, value_enum, default_value = "multigres")]
    topology: TopologyClient,
    /// DNS domain of the Kubernetes cluster
    #[arg(long, default_value = "cluster.local")]
    cluster_domain: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TopologyClient {
    /// Write the records of cells and databases, and ask the poolers for their roles
    Multigres,
    /// Neither write nor ask: what pods do not tell is unknown
    Absent,
}

impl TopologyClient {
    fn connect(self) -> Arc<dyn Topology> {
        match self {
            Self::Multigres => Arc::new(topology::Client),
            Self::Absent => Arc::new(topology::Absent),
        }
    }
}

/// Runs until it is asked to end.
pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let asked = signal::termination().context("signals")?;
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            asked.await;
            tracing::info!("asked to end");
            shutdown.cancel();
        }
    });
    let identity = election::identity();
    let clients = Clients::configure(args.kubeconfig.as_deref(), &identity).await?;
    let (client, watches) = (clients.calls()?, clients.watches()?);
    let election = Election::new(Api::<Lease>::namespaced(clients.lease_calls()?, &args.namespace), identity);
    let (metrics, readiness) = (Arc::new(Metrics::new()), Readiness::default());
    let server = Server::bind(&args.server)?;
    let user = args.user.clone().unwrap_or_else(|| install::service_account_user(&args.namespace));

    let neighbourhood = Arc::new(Neighbourhood::default());
    let seams = Seams {
        client: clients.fenced_calls(election.fence())?,
        watches: watches.clone(),
        fence: election.fence(),
        environment: Environment { cluster_domain: args.cluster_domain.clone() },
        topology: args.topology.connect(),
        clock: Arc::new(SystemClock),
        metrics: metrics.clone(),
        neighbourhood: neighbourhood.clone(),
    };
    let engines: Vec<Engine> = scopes(&args).iter().map(|scope| Engine::new(scope, seams.clone())).collect();
    let caches: Vec<Caches> = engines.iter().map(Engine::caches).collect();
    let classes = Arc::new(StorageClasses::default());
    let router = admission::webhooks(
        &user,
        caches.clone(),
        neighbourhood,
        classes.clone(),
        seams.environment,
        metrics.clone(),
    );
    let trust = admission::trust(&client, &args.namespace, &args.webhook_names).await?;
    let services = Services { admission: router, tls: trust.tls, readiness: readiness.clone(), metrics };

    // Closed before anybody can ask.
    let gates = Gates::new(&readiness);
    let electable = readiness.gate("lease");
    tokio::spawn(trust.renewal.run());
    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    tasks.spawn({
        let shutdown = shutdown.clone();
        async move { Ok(server.run(services, shutdown).await?) }
    });
    tasks.spawn({
        let (classes, shutdown) = (classes.clone(), shutdown.clone());
        async move {
            tokio::select! {
                prepared = prepare(client, gates, user, trust.ca_bundle, caches, classes) => prepared,
                () = shutdown.cancelled() => Ok(()),
            }
        }
    });
    tasks.spawn({
        let shutdown = shutdown.clone();
        async move {
            shutdown.run_until_cancelled(classes.observe(watches)).await;
            Ok(())
        }
    });
    let team = Team::start(engines.into_iter().map(|engine| |elected, finish| engine.run(elected, finish)));
    tasks.spawn(lead(election, team, electable, shutdown.clone()));

    let mut result = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.context("a part of the operator panicked").and_then(|result| result);
        if let Err(error) = ended {
            tracing::error!(error = %api_error::chain(&*error), "ending");
            shutdown.cancel();
            result = Err(error);
        }
    }
    result
}

fn scopes(args: &RunArgs) -> Vec<Scope> {
    if args.watch_namespaces.is_empty() {
        return vec![Scope::All];
    }
    args.watch_namespaces.iter().cloned().map(Scope::Namespace).collect()
}

/// Readiness gates of a replica.
struct Gates {
    identity: Gate,
    trust: Gate,
    caches: Gate,
}

impl Gates {
    fn new(readiness: &Readiness) -> Self {
        Self {
            identity: readiness.gate("identity"),
            trust: readiness.gate("ca-bundle"),
            caches: readiness.gate("caches"),
        }
    }
}

/// Opens the gates of readiness, each when what it stands for holds, and from then on keeps the webhooks trusted.
async fn prepare(
    client: Client,
    gates: Gates,
    user: String,
    ca_bundle: String,
    caches: Vec<Caches>,
    classes: Arc<StorageClasses>,
) -> anyhow::Result<()> {
    check_identity(&client, &user).await?;
    gates.identity.open();
    admission::become_trusted(&client, &ca_bundle).await;
    gates.trust.open();
    for caches in &caches {
        caches.complete.cancelled().await;
    }
    classes.are_complete().await;
    gates.caches.open();
    tracing::info!("ready");
    admission::stay_trusted(&client, &ca_bundle).await;
    Ok(())
}

/// The webhook configurations exempt one user: were the operator another, it would be denied its own writes.
async fn check_identity(client: &Client, expected: &str) -> anyhow::Result<()> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let review =
        api.create(&PostParams::default(), &SelfSubjectReview::default()).await.context("who am I")?;
    let user =
        review.status.and_then(|status| status.user_info).and_then(|user| user.username).unwrap_or_default();
    if user != expected {
        bail!(
            "connected as {user:?}, but the webhook configurations exempt {expected:?}: use that identity, or --user"
        );
    }
    Ok(())
}
