//! Evictions that hang or are refused, asked for by the operator's own engine with a topology that a test makes up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};
use multigres_crds::v1alpha1::{MultiCellSpec, MultiShardSpec, Truth};
use multigres_operator::build::Environment;
use multigres_operator::client::Clients;
use multigres_operator::clock::SystemClock;
use multigres_operator::controllers::{Engine, Seams};
use multigres_operator::election::{self, Election};
use multigres_operator::leadership::{Team, lead};
use multigres_operator::metrics::Metrics;
use multigres_operator::observe::{Neighbourhood, Scope};
use multigres_operator::server::Readiness;
use multigres_operator::topology::{
    Access, Error, EtcdState, Id, Member, MemberChange, Role, Roles, Topology, Written,
};
use serde_json::{Value, json};
use testbed::{Answer, Options, Proxy};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::installation::{Installation, NAMESPACE, Namespace, OPERATOR, eventually};
use crate::leadership::holder;
use crate::samples::{SMALL, converged};

/// A topology in which every pod has joined, and the first leads.
struct Joined {
    client: Client,
    namespace: String,
}

fn nothing<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, T> {
    Box::pin(std::future::ready(value))
}

impl Topology for Joined {
    fn reachable<'a>(&'a self, _: &'a Access) -> BoxFuture<'a, Truth> {
        nothing(Truth::True)
    }

    fn roles<'a>(&'a self, _: &'a Access, _: &'a MultiShardSpec) -> BoxFuture<'a, Roles> {
        Box::pin(async {
            let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
            let pods = pods
                .list(&ListParams::default().labels("multigres.com/component=multipooler"))
                .await
                .unwrap();
            let mut names: Vec<String> = pods.items.iter().map(ResourceExt::name_any).collect();
            names.sort();
            let member = |(i, pod): (usize, &String)| {
                let role = if i == 0 { Role::Primary } else { Role::Standby };
                let id = Id { name: pod.clone(), cell: "a".to_owned(), ..Id::default() };
                let member =
                    Member { id, role: Some(role), streaming: true, in_cohort: true, ..Member::default() };
                (pod.clone(), member)
            };
            let members: BTreeMap<String, Member> = names.iter().enumerate().map(member).collect();
            Roles {
                primary: names.first().cloned(),
                serving_writes: Truth::True,
                initialized: Truth::True,
                members,
                ..Roles::default()
            }
        })
    }

    fn ensure_cell<'a>(
        &'a self,
        _: &'a Access,
        _: &'a MultiCellSpec,
    ) -> BoxFuture<'a, Result<Written, Error>> {
        nothing(Ok(Written::Unchanged))
    }

    fn ensure_database<'a>(
        &'a self,
        _: &'a Access,
        _: &'a MultiShardSpec,
    ) -> BoxFuture<'a, Result<Written, Error>> {
        nothing(Ok(Written::Unchanged))
    }

    fn remove_cell<'a>(&'a self, _: &'a Access, _: &'a MultiCellSpec) -> BoxFuture<'a, Result<(), Error>> {
        nothing(Ok(()))
    }

    fn remove_database<'a>(
        &'a self,
        _: &'a Access,
        _: &'a MultiShardSpec,
    ) -> BoxFuture<'a, Result<(), Error>> {
        nothing(Ok(()))
    }

    fn remove_pooler<'a>(
        &'a self,
        _: &'a Access,
        _: &'a MultiShardSpec,
        _: &'a Id,
    ) -> BoxFuture<'a, Result<(), Error>> {
        nothing(Ok(()))
    }

    fn remove_from_cohort<'a>(
        &'a self,
        _: &'a Access,
        _: &'a MultiShardSpec,
        _: &'a Id,
    ) -> BoxFuture<'a, Result<(), Error>> {
        nothing(Ok(()))
    }

    fn etcd<'a>(&'a self, _: &'a Access) -> BoxFuture<'a, Result<EtcdState, Error>> {
        nothing(Err(Error::Absent))
    }

    fn change_members<'a>(&'a self, _: &'a Access, _: &'a MemberChange) -> BoxFuture<'a, Result<(), Error>> {
        nothing(Err(Error::Absent))
    }

    fn trigger_recovery<'a>(
        &'a self,
        _: &'a Access,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        nothing(Ok(Vec::new()))
    }
}

/// The operator's engine in this process, which leads instead of the installed operator.
struct Leader {
    identity: String,
    shutdown: CancellationToken,
    end: JoinHandle<anyhow::Result<()>>,
}

impl Leader {
    async fn start(installation: &Installation, namespace: &Namespace<'_>, proxy: &Proxy) -> Self {
        // Whoever links this has several providers at hand.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = Kubeconfig::read_from(proxy.kubeconfig()).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        let identity = election::identity();
        let clients = Clients::new(config, &identity).unwrap();
        let leases = Api::<Lease>::namespaced(clients.lease_calls().unwrap(), NAMESPACE);
        let election = Election::new(leases, identity.clone());
        let seams = Seams {
            client: clients.fenced_calls(election.fence()).unwrap(),
            watches: clients.watches().unwrap(),
            fence: election.fence(),
            environment: Environment { cluster_domain: "cluster.local".to_owned() },
            topology: Arc::new(Joined {
                client: installation.control_plane.client(),
                namespace: namespace.name.clone(),
            }),
            clock: Arc::new(SystemClock),
            metrics: Arc::new(Metrics::new()),
            neighbourhood: Arc::new(Neighbourhood::default()),
        };
        let engine = Engine::new(&Scope::All, seams);
        let team = Team::start([|elected, finish| engine.run(elected, finish)]);
        let shutdown = CancellationToken::new();
        let gate = Readiness::default().gate("lease");
        let end = tokio::spawn(lead(election, team, gate, shutdown.clone()));
        let leads = || async { (holder(installation).await == identity).then_some(()) };
        eventually("the engine of the test leads", leads).await.unwrap();
        Self { identity, shutdown, end }
    }
}

/// A converged cluster, and the installed operator ended: nobody answers admission, so the namespace does without.
async fn cluster(installation: &Installation) -> Namespace<'_> {
    let namespace = installation.namespace("evictions").await;
    namespace.apply(SMALL).await.unwrap();
    converged(&namespace, "small").await;
    namespace.opt_out(true).await;
    installation.end_operator().await.unwrap();
    namespace
}

/// Changes the template of every instance.
async fn roll(namespace: &Namespace<'_>, restarted_at: &str) {
    let patch = json!({ "spec": { "restartedAt": restarted_at } });
    namespace.must(&["patch", "multigrescluster", "small", "--type=merge", "-p", &patch.to_string()]).await;
}

async fn start() -> Installation {
    Installation::start(Options { fake_nodes: 3, ..Options::default() }).await.unwrap()
}

#[tokio::test]
async fn the_lease_is_given_up_only_after_an_eviction_in_flight_has_ended() {
    let installation = start().await;
    let namespace = cluster(&installation).await;
    let proxy = Proxy::start(installation.operator_kubeconfig()).await.unwrap();
    let leader = Leader::start(&installation, &namespace, &proxy).await;
    let marker = installation.control_plane.audit_log().marker().unwrap();
    let eviction = proxy.inject_times(1, Answer::Stall, testbed::Request::is_eviction);
    roll(&namespace, "2026-01-02T03:04:05Z").await;
    tokio::time::timeout(crate::installation::PATIENCE, eviction.hit(1)).await.expect("no eviction");
    leader.shutdown.cancel();
    // The eviction ends within its limit of 20 s; the Lease is renewed meanwhile.
    let begun = Instant::now();
    let renewed = |entry: &testbed::audit::AuditEntry| {
        entry.resource == "leases" && entry.verb == "update" && entry.user_agent.contains(&leader.identity)
    };
    let marker_of_shutdown = installation.control_plane.audit_log().marker().unwrap();
    while begun.elapsed() < Duration::from_secs(7) {
        assert_eq!(holder(&installation).await, leader.identity);
        sleep(Duration::from_millis(500)).await;
    }
    let entries = installation.control_plane.audit_log().since(marker_of_shutdown).unwrap();
    assert!(entries.iter().any(renewed), "the Lease is not renewed: {entries:#?}");
    assert!(!leader.end.is_finished());
    eviction.release();
    leader.end.await.unwrap().unwrap();
    assert_eq!(holder(&installation).await, "");
    let entries = installation.control_plane.audit_log().since(marker).unwrap();
    let last = |wanted: &dyn Fn(&testbed::audit::AuditEntry) -> bool| {
        let times = entries.iter().filter(|entry| wanted(entry)).map(|entry| entry.stage_timestamp.as_str());
        times.max().map(str::to_owned)
    };
    let evicted = last(&|entry| entry.subresource == "eviction" && entry.code < 300);
    let given_up = last(&renewed);
    assert!(evicted.is_some() && evicted < given_up, "{evicted:?}, {given_up:?}");
    let wrote = last(&|entry| entry.is_write() && entry.user == OPERATOR && entry.resource != "leases");
    assert!(wrote < given_up, "it wrote at {wrote:?} without the Lease, given up at {given_up:?}");
}

#[tokio::test]
async fn a_refused_eviction_is_told_at_once_and_keeps_nothing_else_waiting() {
    /// Three times the bound that the operator is made for.
    const BOUND: Duration = Duration::from_secs(15);
    let installation = start().await;
    let namespace = cluster(&installation).await;
    let proxy = Proxy::start(installation.operator_kubeconfig()).await.unwrap();
    let leader = Leader::start(&installation, &namespace, &proxy).await;
    // As the API server refuses where a budget does not allow an eviction.
    let refused = proxy.inject(Answer::TooManyRequests(10), testbed::Request::is_eviction);
    roll(&namespace, "2026-01-02T03:04:05Z").await;
    tokio::time::timeout(crate::installation::PATIENCE, refused.hit(1)).await.expect("no eviction");
    let shard = namespace.must(&["get", "multishards", "-o", "jsonpath={.items[0].metadata.name}"]).await;
    let awaits = |shard: &Value| {
        let conditions = shard["status"]["conditions"].as_array().into_iter().flatten();
        conditions.into_iter().any(|condition| condition["reason"] == "AwaitingDisruptionBudget")
    };
    let begun = Instant::now();
    namespace.until("multishard", &shard, "awaits its budget", awaits).await;
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());

    // The shard goes on being looked after, and each look decides anew.
    let hits = refused.hits();
    roll(&namespace, "2026-01-02T03:04:06Z").await;
    let set = namespace.must(&["get", "statefulsets", "-l", "multigres.com/pool", "-o", "name"]).await;
    let set = set.lines().next().unwrap().trim_start_matches("statefulset.apps/").to_owned();
    let applied = |set: &Value| set["spec"]["template"].to_string().contains("2026-01-02T03:04:06Z");
    let begun = Instant::now();
    namespace.until("statefulset", &set, "the edit is applied", applied).await;
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    let again = || async { (refused.hits() > hits).then_some(()) };
    eventually("it is asked for again", again).await.unwrap();
    // Those that are refused do not come so far.
    let marker = installation.control_plane.audit_log().marker().unwrap();
    drop(refused);
    let evicted = || async {
        let entries = installation.control_plane.audit_log().writes_since(marker, OPERATOR).unwrap();
        entries.iter().any(|entry| entry.subresource == "eviction" && entry.code < 300).then_some(())
    };
    eventually("the eviction is made once it is allowed", evicted).await.unwrap();
    leader.shutdown.cancel();
    leader.end.await.unwrap().unwrap();
}
