//! Everything that runs over one set of watched namespaces: the caches and the controllers that live on them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::channel::mpsc::unbounded;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use kube::core::NamespaceResourceScope;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::predicates;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{PredicateConfig, WatchStreamExt, watcher};
use kube::{Client, Resource};
use multigres_crds::v1alpha1::MultigresCluster;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::child::{self, Child, workload_kinds};
use super::cluster;
use super::context::{Context, Error, Failures, Stores};
use super::wake::{Wakers, Wakes, wakers};
use crate::apply::Applier;
use crate::build::Environment;
use crate::clock::Clock;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::observe::{Objects, Scope, observe_objects, observe_resources};
use crate::topology::Topology;

/// A burst of changes (a rollout, a restart) is looked at once.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// Objects of one kind that are reconciled at the same time: a restart must not storm the API server.
const CONCURRENCY: u16 = 16;

/// What an engine is given.
#[expect(missing_docs, reason = "the seams of the operator, see their types")]
#[derive(Clone)]
pub struct Seams {
    pub client: Client,
    pub environment: Environment,
    pub topology: Arc<dyn Topology>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
}

type Resources<K> = BoxStream<'static, Result<K, watcher::Error>>;

/// Caches and controllers over one set of watched namespaces.
pub struct Engine {
    context: Arc<Context>,
    streams: Streams,
    wakes: Wakes,
    watches: JoinSet<()>,
    synced: Vec<tokio::sync::oneshot::Receiver<()>>,
}

struct Streams {
    clusters: Resources<MultigresCluster>,
    topo_servers: Resources<multigres_crds::v1alpha1::TopoServer>,
    admins: Resources<multigres_crds::v1alpha1::MultiAdmin>,
    orchs: Resources<multigres_crds::v1alpha1::MultiOrch>,
    cells: Resources<multigres_crds::v1alpha1::MultiCell>,
    shards: Resources<multigres_crds::v1alpha1::MultiShard>,
}

impl Engine {
    /// Sets the caches up; they fill while [`Engine::run`] runs.
    pub fn new(scope: &Scope, seams: Seams) -> Self {
        let objects = Arc::new(Objects::default());
        let (changes, changed) = unbounded();
        let (wakers, wakes) = wakers();
        let mut watches = JoinSet::new();
        let mut synced = Vec::new();
        for resource in workload_kinds() {
            let (done, listed) = tokio::sync::oneshot::channel();
            let (client, objects, changes) = (seams.client.clone(), objects.clone(), changes.clone());
            watches.spawn(observe_objects(client, scope.clone(), resource, objects, changes, move || {
                // Nobody waits any more when the operator ends.
                let _ = done.send(());
            }));
            synced.push(listed);
        }
        watches.spawn(wake(changed, wakers, objects.clone()));
        macro_rules! observe {
            () => {{
                let (store, stream) = observe_resources(seams.client.clone(), scope, objects.clone(), changes.clone());
                (store, stream.boxed())
            }};
        }
        let (clusters, cluster_stream) = observe!();
        let (topo_servers, topo_server_stream) = observe!();
        let (admins, admin_stream) = observe!();
        let (orchs, orch_stream) = observe!();
        let (cells, cell_stream) = observe!();
        let (shards, shard_stream) = observe!();
        let context = Context {
            applier: Applier::new(seams.client.clone()),
            events: Events::new(seams.client.clone()),
            client: seams.client,
            objects,
            stores: Stores { clusters, topo_servers, admins, orchs, cells, shards },
            environment: seams.environment,
            topology: seams.topology,
            clock: seams.clock,
            metrics: seams.metrics,
            failures: Failures::default(),
        };
        let streams = Streams {
            clusters: cluster_stream,
            topo_servers: topo_server_stream,
            admins: admin_stream,
            orchs: orch_stream,
            cells: cell_stream,
            shards: shard_stream,
        };
        Self { context: Arc::new(context), streams, wakes, watches, synced }
    }

    /// The custom resources, for admission.
    pub fn stores(&self) -> Stores {
        self.context.stores.clone()
    }

    /// Runs until `shutdown`, and returns early only when a part of it ended, which is a defect.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { context, streams, wakes, mut watches, synced } = self;
        let (stores, mut controllers) = (context.stores.clone(), JoinSet::new());
        let ready = shared_when(synced);
        let run = |stream, store, woken| Wiring { stream, store, woken, ready: ready.clone(), shutdown: shutdown.clone() };
        let cx = || context.clone();
        controllers.spawn(run(streams.topo_servers, stores.topo_servers, wakes.topo_servers).children(cx()));
        controllers.spawn(run(streams.admins, stores.admins, wakes.admins).children(cx()));
        controllers.spawn(run(streams.orchs, stores.orchs, wakes.orchs).children(cx()));
        controllers.spawn(run(streams.cells, stores.cells, wakes.cells).children(cx()));
        controllers.spawn(run(streams.shards, stores.shards, wakes.shards).children(cx()));
        controllers.spawn(run(streams.clusters, stores.clusters, wakes.clusters).clusters(cx()));
        tokio::select! {
            // A controller that panicked ends the process, visibly, rather than leave its kind unattended.
            Some(ended) = controllers.join_next() => report(ended),
            Some(ended) = watches.join_next() => report(ended),
        }
        while let Some(ended) = controllers.join_next().await {
            report(ended);
        }
    }
}

/// What a controller is connected to.
struct Wiring<K: Resource<DynamicType = ()> + 'static, R> {
    stream: Resources<K>,
    store: Store<K>,
    woken: futures::channel::mpsc::UnboundedReceiver<ObjectRef<K>>,
    ready: R,
    shutdown: CancellationToken,
}

impl<K, R> Wiring<K, R>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    async fn run<F>(self, context: Arc<Context>, reconcile: impl Fn(Arc<K>, Arc<Context>) -> F + Send + 'static)
    where
        F: Future<Output = Result<Action, Error>> + Send + 'static,
    {
        // Until the caches are complete, what is missing from them means nothing.
        self.ready.await;
        let kind: &'static str = kind_of::<K>();
        let changed = predicates::generation
            .combine(predicates::labels)
            .combine(predicates::annotations)
            .combine(predicates::finalizers);
        let stream = self.stream.predicate_filter(changed, PredicateConfig::default());
        let metrics = context.metrics.clone();
        Controller::for_stream(stream, self.store)
            .with_config(Config::default().debounce(DEBOUNCE).concurrency(CONCURRENCY))
            .reconcile_on(self.woken)
            .graceful_shutdown_on(self.shutdown.cancelled_owned())
            .run(
                move |object, context| {
                    let (metrics, started) = (metrics.clone(), Instant::now());
                    let reconciled = reconcile(object, context);
                    async move {
                        let result = reconciled.await;
                        metrics.reconciled(kind, started.elapsed(), result.as_ref().map(|_| ()).map_err(|_| "status"));
                        result
                    }
                },
                |object, error, context| {
                    tracing::warn!(kind, name = object.name_any(), %error, "reconciliation failed");
                    Action::requeue(context.failures.backoff(&object.uid().unwrap_or_default()))
                },
                context,
            )
            .for_each(|_| std::future::ready(()))
            .await;
    }
}

impl<K: Child, R: Future<Output = ()> + Send + 'static> Wiring<K, R> {
    async fn children(self, context: Arc<Context>) {
        self.run(context, child::reconcile::<K>).await;
    }
}

impl<R: Future<Output = ()> + Send + 'static> Wiring<MultigresCluster, R> {
    async fn clusters(self, context: Arc<Context>) {
        self.run(context, cluster::reconcile).await;
    }
}

/// The kind's name, which the derived types hold as a constant.
fn kind_of<K: Resource<DynamicType = ()>>() -> &'static str {
    match K::kind(&()) {
        std::borrow::Cow::Borrowed(kind) => kind,
        std::borrow::Cow::Owned(_) => "unknown",
    }
}

/// Resolves, for everybody who waits, when all of the first lists are complete.
fn shared_when(lists: Vec<tokio::sync::oneshot::Receiver<()>>) -> impl Future<Output = ()> + Clone + Send + 'static {
    let all = async move {
        futures::future::join_all(lists).await;
    };
    all.boxed().shared()
}

async fn wake(
    mut changed: futures::channel::mpsc::UnboundedReceiver<crate::observe::Change>,
    wakers: Wakers,
    objects: Arc<Objects>,
) {
    while let Some(change) = changed.next().await {
        wakers.wake(&change, &objects);
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a part of the operator ended");
    }
}
