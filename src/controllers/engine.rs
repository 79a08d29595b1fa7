//! Everything that runs over one set of watched namespaces: the caches and the controllers that live on them.

use std::borrow::Cow;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use futures::{Stream, StreamExt};
use kube::core::NamespaceResourceScope;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::predicates;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{PredicateConfig, WatchStreamExt, watcher};
use kube::{Client, Resource, ResourceExt};
use multigres_crds::v1alpha1::{MultiAdmin, MultiCell, MultiOrch, MultiShard, MultigresCluster, TopoServer};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::bring_up::BringUps;
use super::child::{self, watched_kinds};
use super::cluster;
use super::context::{Context, Error, Failures, Statuses, Stores};
use super::failover::{self, Failovers};
use super::initialized::Initialized;
use super::lost::LostInstances;
use super::password::Passwords;
use super::records::Partings;
use super::rollout::Ended;
use super::stalled::Stalls;
use super::stranded::Watches;
use super::wake::{Waker, Wakers, wakers};
use crate::apply::Applier;
use crate::build::Environment;
use crate::clock::Clock;
use crate::election::Fence;
use crate::events::Events;
use crate::memory::Memories;
use crate::metrics::Metrics;
use crate::observe::{Change, Neighbourhood, Objects, Scope, observe_objects, observe_resources};
use crate::rollout::{Leaderless, Readiness};
use crate::topology::Topology;

/// A burst of changes (a rollout, a restart) is looked at once.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// Objects of one kind that are reconciled at the same time: a restart must not storm the API server.
const CONCURRENCY: u16 = 16;

/// Caches of an engine.
#[derive(Clone)]
pub struct Caches {
    /// The custom resources.
    pub stores: Stores,
    /// The observed objects.
    pub objects: Arc<Objects>,
    /// Cancelled once all of this is complete. Until then what is missing from it means nothing.
    pub complete: CancellationToken,
}

/// Dependencies of an engine.
#[expect(missing_docs, reason = "the seams of the operator, see their types")]
#[derive(Clone)]
pub struct Seams {
    /// For single calls, of which the writes end with leadership.
    pub client: Client,
    pub watches: Client,
    /// Open while this replica leads.
    pub fence: Fence,
    pub environment: Environment,
    pub topology: Arc<dyn Topology>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
    pub neighbourhood: Arc<Neighbourhood>,
}

/// The custom resources of a kind, and those to look at again.
struct Watched<K: Resource<DynamicType = ()> + 'static> {
    store: Store<K>,
    woken: UnboundedReceiver<ObjectRef<K>>,
}

/// Caches and controllers over one set of watched namespaces.
///
/// The caches run on every replica, since admission asks them; the controllers on the leader.
pub struct Engine {
    context: Arc<Context>,
    clusters: Watched<MultigresCluster>,
    topo_servers: Watched<TopoServer>,
    admins: Watched<MultiAdmin>,
    orchs: Watched<MultiOrch>,
    cells: Watched<MultiCell>,
    shards: Watched<MultiShard>,
    leading: CancellationToken,
    complete: CancellationToken,
    watches: JoinSet<()>,
}

impl Engine {
    /// Begins to fill the caches.
    pub fn new(scope: &Scope, seams: Seams) -> Self {
        let objects = Arc::new(Objects::default());
        let (changes, noted) = unbounded();
        let leading = CancellationToken::new();
        let (wakers, woken) = wakers(&leading);
        let mut watches = JoinSet::new();
        let mut listed = Vec::new();
        for watched in watched_kinds() {
            let (done, first_list) = oneshot::channel();
            let (client, objects, changes) = (seams.watches.clone(), objects.clone(), changes.clone());
            watches.spawn(observe_objects(client, scope.clone(), watched, objects, changes, move || {
                // Nobody waits any more when the operator ends.
                let _ = done.send(());
            }));
            listed.push(first_list);
        }
        macro_rules! watched {
            ($waker:expr, $woken:expr, $seen:expr) => {{
                let (client, objects, changes) = (seams.watches.clone(), objects.clone(), changes.clone());
                let (store, stream) = observe_resources(client, scope, objects, changes, $seen);
                watches.spawn(pass_on(stream, $waker));
                Watched { store, woken: $woken }
            }};
        }
        let neighbours = seams.neighbourhood.clone().follow();
        let clusters = watched!(wakers.clusters.clone(), woken.clusters, neighbours);
        let topo_servers = watched!(wakers.topo_servers.clone(), woken.topo_servers, |_| {});
        let admins = watched!(wakers.admins.clone(), woken.admins, |_| {});
        let orchs = watched!(wakers.orchs.clone(), woken.orchs, |_| {});
        let cells = watched!(wakers.cells.clone(), woken.cells, |_| {});
        let shards = watched!(wakers.shards.clone(), woken.shards, |_| {});
        let stores = Stores {
            clusters: clusters.store.clone(),
            topo_servers: topo_servers.store.clone(),
            admins: admins.store.clone(),
            orchs: orchs.store.clone(),
            cells: cells.store.clone(),
            shards: shards.store.clone(),
        };
        let complete = CancellationToken::new();
        watches.spawn(announce(listed, stores.clone(), complete.clone()));
        let memories = Memories::default();
        memories.include("objects", objects.clone());
        memories.include("neighbourhood", seams.neighbourhood.clone());
        seams.metrics.census().add(memories.clone());
        let context = Context {
            applier: Applier::new(seams.client.clone(), &memories),
            events: Events::new(seams.client.clone()),
            client: seams.client,
            fence: seams.fence,
            objects,
            stores,
            neighbourhood: seams.neighbourhood,
            environment: seams.environment,
            topology: seams.topology,
            clock: seams.clock,
            metrics: seams.metrics,
            failures: Failures::new(&memories),
            statuses: Statuses::new(&memories),
            stalls: Stalls::new(&memories),
            initialized: Initialized::new(&memories),
            bring_ups: BringUps::new(&memories),
            stranded: Watches::new(&memories),
            ended: Ended::new(&memories),
            readiness: Readiness::new(&memories),
            leaderless: Leaderless::new(&memories),
            partings: Partings::new(&memories),
            passwords: Passwords::new(&memories),
            failovers: Failovers::new(&memories, wakers.shards.clone()),
            lost: Arc::new(LostInstances::new(&memories, wakers.shards.clone())),
            memories,
        };
        let context = Arc::new(context);
        watches.spawn(wake(noted, wakers, context.clone()));
        Self { context, clusters, topo_servers, admins, orchs, cells, shards, leading, complete, watches }
    }

    /// The caches, for admission.
    pub fn caches(&self) -> Caches {
        Caches {
            stores: self.context.stores.clone(),
            objects: self.context.objects.clone(),
            complete: self.complete.clone(),
        }
    }

    /// Runs the controllers from `elected` to `finish`, when they finish what they have begun. Fails as soon as one of
    /// its tasks ends, which is a defect; dropping it ends all of them.
    pub async fn run(self, elected: CancellationToken, finish: CancellationToken) -> anyhow::Result<()> {
        let mut watches = self.watches;
        tokio::select! {
            () = elected.cancelled() => {}
            () = finish.cancelled() => return Ok(()),
            Some(ended) = watches.join_next() => return Err(broken("a watch", ended)),
        }
        // From here on changes are passed on; what came before is looked at as a whole.
        self.leading.cancel();
        let life = Life { complete: self.complete, shutdown: finish.clone() };
        let cx = || self.context.clone();
        let mut controllers = JoinSet::new();
        controllers.spawn(attend(self.clusters, life.clone(), cx(), cluster::reconcile));
        controllers.spawn(attend(self.topo_servers, life.clone(), cx(), child::reconcile));
        controllers.spawn(attend(self.admins, life.clone(), cx(), child::reconcile));
        controllers.spawn(attend(self.orchs, life.clone(), cx(), child::reconcile));
        controllers.spawn(attend(self.cells, life.clone(), cx(), child::reconcile));
        controllers.spawn(attend(self.shards, life, cx(), child::reconcile));
        tokio::select! {
            biased;
            () = finish.cancelled() => {}
            // A controller that panicked ends the process, visibly, rather than leave its kind unattended.
            Some(ended) = controllers.join_next() => return Err(broken("a controller", ended)),
            Some(ended) = watches.join_next() => return Err(broken("a watch", ended)),
        }
        while let Some(ended) = controllers.join_next().await {
            ended.context("a controller")?;
        }
        Ok(())
    }
}

/// When a controller begins and ends.
#[derive(Clone)]
struct Life {
    complete: CancellationToken,
    shutdown: CancellationToken,
}

/// Runs the controller of a kind.
async fn attend<K, F>(
    watched: Watched<K>,
    life: Life,
    context: Arc<Context>,
    reconcile: fn(Arc<K>, Arc<Context>) -> F,
) where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    F: Future<Output = Result<Action, Error>> + Send + 'static,
{
    tokio::select! {
        () = life.complete.cancelled() => {}
        () = life.shutdown.cancelled() => return,
    }
    let kind = kind_of::<K>();
    let metrics = context.metrics.clone();
    Controller::for_stream(futures::stream::pending(), watched.store)
        .with_config(Config::default().debounce(DEBOUNCE).concurrency(CONCURRENCY))
        .reconcile_on(watched.woken)
        .reconcile_all_on(futures::stream::once(std::future::ready(())).chain(futures::stream::pending()))
        .graceful_shutdown_on(life.shutdown.cancelled_owned())
        .run(
            move |object, context| {
                let metrics = metrics.clone();
                async move {
                    let started = Instant::now();
                    let result = reconcile(object, context).await;
                    metrics.reconciled(
                        kind,
                        started.elapsed(),
                        result.as_ref().map(|_| ()).map_err(|_| "status"),
                    );
                    result
                }
            },
            move |object, error, context| {
                tracing::warn!(kind, name = object.name_any(), %error, "reconciliation failed");
                Action::requeue(context.failures.backoff(&object.uid().unwrap_or_default()))
            },
            context,
        )
        .for_each(|_| std::future::ready(()))
        .await;
}

/// Wakes the controller of what was created or changed.
async fn pass_on<K>(stream: impl Stream<Item = Result<K, watcher::Error>>, waker: Waker<K>)
where
    K: Resource<DynamicType = ()> + 'static,
{
    // What is said of an object is no reason to look at it again.
    let changed = |object: &K| {
        let parts = [
            predicates::generation(object),
            predicates::labels(object),
            predicates::annotations(object),
            predicates::finalizers(object),
        ];
        let mut hasher = DefaultHasher::new();
        parts.hash(&mut hasher);
        Some(hasher.finish())
    };
    let mut stream = pin!(stream.predicate_filter(changed, PredicateConfig::default()));
    while let Some(object) = stream.next().await {
        if let Ok(object) = object {
            waker.wake(ObjectRef::from_obj(&object));
        }
    }
}

/// The kind's name, which the derived types hold as a constant.
fn kind_of<K: Resource<DynamicType = ()>>() -> &'static str {
    match K::kind(&()) {
        Cow::Borrowed(kind) => kind,
        Cow::Owned(_) => "unknown",
    }
}

/// Tells everybody when all of the first lists are complete. A store wakes only the last of those who wait for it, so
/// nobody else may.
async fn announce(listed: Vec<oneshot::Receiver<()>>, stores: Stores, complete: CancellationToken) {
    futures::future::join_all(listed).await;
    if stores.synced().await.is_ok() {
        complete.cancel();
        std::future::pending::<()>().await;
    }
}

/// Time after which what is gone is forgotten at the latest.
const SWEEP: Duration = Duration::from_secs(10);

/// Passes on what became of objects. That a leader's pod ends is passed on before anything else.
async fn wake(mut noted: UnboundedReceiver<Change>, wakers: Wakers, context: Arc<Context>) {
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            change = noted.next() => {
                let Some(change) = change else { return };
                failover::notice(&context, &change);
                context.ended.notice(&change);
                context.readiness.notice(&change);
                context.forget_gone(&change);
                wakers.wake(&change, &context.objects);
            }
            _ = sweep.tick() => context.sweep(),
        }
    }
}

fn broken(what: &'static str, ended: Result<(), JoinError>) -> anyhow::Error {
    match ended {
        Ok(()) => anyhow!("{what} ended"),
        Err(error) => anyhow::Error::new(error).context(what),
    }
}

#[cfg(test)]
mod tests;
