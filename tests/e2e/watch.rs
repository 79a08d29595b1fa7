//! Watches a namespace: pods that come and go, the status, events.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::watcher;
use kube::runtime::{WatchStreamExt, watcher::Event as Change};
use kube::{Api, Client, ResourceExt};
use multigres_crds::labels;
use multigres_crds::v1alpha1::{MultigresCluster, MultigresClusterStatus, Truth};
use tokio::task::JoinSet;

use crate::cluster::is_ready;
use crate::report::Report;

/// Watches a cluster until it is dropped.
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    _watchers: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    pods: BTreeMap<String, PodState>,
    /// The instances that were there at the last mark: those that can be disrupted.
    members: BTreeSet<String>,
    disrupted: usize,
    /// History of `servingWrites` in the status.
    serving: Vec<(Instant, Truth)>,
}

#[derive(Clone, PartialEq, Eq)]
enum PodState {
    Ready,
    NotReady(Option<String>),
    Terminating,
}

impl Watch {
    pub fn start(client: &Client, namespace: &str, cluster: &str, report: &Report) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let config = watcher::Config::default().labels(&format!("{}={cluster}", labels::CLUSTER));
        let mut watchers = JoinSet::new();
        let pods = watcher(Api::namespaced(client.clone(), namespace), config).default_backoff();
        watchers.spawn(watch_pods(pods, Arc::clone(&seen), report.clone()));
        let named = watcher::Config::default().fields(&format!("metadata.name={cluster}"));
        let clusters = watcher(Api::namespaced(client.clone(), namespace), named).default_backoff();
        watchers.spawn(watch_status(clusters, Arc::clone(&seen), report.clone()));
        let ours = watcher::Config::default().fields("reportingController=multigres-operator");
        let events = watcher(Api::namespaced(client.clone(), namespace), ours).default_backoff();
        watchers.spawn(watch_events(events, report.clone()));
        Self { seen, _watchers: watchers }
    }

    /// From here on disruptions are counted anew: of the instances that are there now.
    pub fn mark(&self) {
        let mut seen = lock(&self.seen);
        seen.members = seen.pods.keys().filter(|pod| is_instance(pod)).cloned().collect();
        seen.disrupted = 0;
    }

    /// Number of of the instances were not ready at the same time, at most.
    pub fn disrupted(&self) -> usize {
        lock(&self.seen).disrupted
    }

    /// History of `servingWrites` in the status.
    pub fn serving(&self) -> Vec<(Instant, Truth)> {
        lock(&self.seen).serving.clone()
    }
}

/// By its name: that of the pool, and an ordinal.
fn is_instance(pod: &str) -> bool {
    pod.rsplit_once('-').is_some_and(|(set, _)| set.ends_with("-pg"))
}

impl Seen {
    fn count_disrupted(&mut self) {
        let ready = |pod: &&String| self.pods.get(*pod) == Some(&PodState::Ready);
        let disrupted = self.members.iter().filter(|pod| !ready(pod)).count();
        self.disrupted = self.disrupted.max(disrupted);
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn watch_pods(
    pods: impl Stream<Item = watcher::Result<Change<Pod>>>,
    seen: Arc<Mutex<Seen>>,
    report: Report,
) {
    let mut pods = std::pin::pin!(pods);
    while let Some(change) = pods.next().await {
        let told = {
            let mut seen = lock(&seen);
            let told = match change {
                Ok(Change::Apply(pod) | Change::InitApply(pod)) => {
                    let (name, state) = (pod.name_any(), PodState::of(&pod));
                    let before = seen.pods.insert(name.clone(), state.clone());
                    (before.as_ref() != Some(&state)).then(|| format!("pod {name}: {state}"))
                }
                Ok(Change::Delete(pod)) => {
                    seen.pods.remove(&pod.name_any());
                    Some(format!("pod {}: gone", pod.name_any()))
                }
                Ok(Change::Init | Change::InitDone) | Err(_) => None,
            };
            seen.count_disrupted();
            told
        };
        if let Some(told) = told {
            report.saw(&told);
        }
    }
}

async fn watch_status(
    clusters: impl Stream<Item = watcher::Result<Change<MultigresCluster>>>,
    seen: Arc<Mutex<Seen>>,
    report: Report,
) {
    let mut said = String::new();
    let mut clusters = std::pin::pin!(clusters.applied_objects());
    while let Some(cluster) = clusters.next().await {
        let Ok(MultigresCluster { status: Some(status), .. }) = cluster else { continue };
        let serving = Truth::all(status.databases.values().map(|database| database.serving_writes));
        lock(&seen).serving.push((Instant::now(), serving));
        let says = summary(&status);
        if says != said {
            report.saw(&format!("status: {says}"));
            said = says;
        }
    }
}

async fn watch_events(events: impl Stream<Item = watcher::Result<Change<Event>>>, report: Report) {
    let mut events = std::pin::pin!(events.applied_objects());
    while let Some(event) = events.next().await {
        let Ok(event) = event else { continue };
        let about = event.regarding.unwrap_or_default();
        let (kind, name) = (about.kind.unwrap_or_default(), about.name.unwrap_or_default());
        let (type_, reason) = (event.type_.unwrap_or_default(), event.reason.unwrap_or_default());
        report.saw(&format!("event: {type_} {reason} {kind}/{name}: {}", event.note.unwrap_or_default()));
    }
}

/// The parts of a status that a person looks at first.
fn summary(status: &MultigresClusterStatus) -> String {
    let databases = status.databases.iter().map(|(name, database)| {
        format!(
            "{name} {}/{} servingWrites={}",
            database.ready_instances,
            database.desired_instances,
            database.serving_writes.as_str()
        )
    });
    let etcd = status.global_topo_server.as_ref().map(|topology| topology.etcd.available).unwrap_or_default();
    let topology = format!("etcd={}", etcd.as_str());
    let conditions = status.conditions.iter().filter(|condition| condition.type_ != "Reconciling");
    let conditions = conditions.map(|condition| {
        let reason =
            if condition.reason == condition.type_ || condition.message.is_empty() || is_fine(condition) {
                String::new()
            } else {
                format!(" ({}: {})", condition.reason, condition.message)
            };
        format!("{}={}{reason}", condition.type_, condition.status)
    });
    databases.chain([topology]).chain(conditions).collect::<Vec<_>>().join(" ")
}

fn is_fine(condition: &Condition) -> bool {
    let wanted = matches!(condition.type_.as_str(), "Ready" | "Available");
    (condition.status == "True") == wanted && condition.status != "Unknown"
}

impl PodState {
    fn of(pod: &Pod) -> Self {
        if pod.metadata.deletion_timestamp.is_some() {
            return Self::Terminating;
        }
        if is_ready(pod) {
            return Self::Ready;
        }
        let containers = pod.status.iter().flat_map(|status| {
            let all = [&status.init_container_statuses, &status.container_statuses];
            all.into_iter().flatten().flatten()
        });
        let reason = containers
            .filter_map(|container| container.state.as_ref()?.waiting.as_ref()?.reason.clone())
            .find(|reason| reason != "PodInitializing" && reason != "ContainerCreating");
        Self::NotReady(reason)
    }
}

impl fmt::Display for PodState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::NotReady(None) => f.write_str("not ready"),
            Self::NotReady(Some(reason)) => write!(f, "not ready: {reason}"),
            Self::Terminating => f.write_str("terminating"),
        }
    }
}
