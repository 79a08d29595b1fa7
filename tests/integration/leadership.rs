//! One replica writes at a time, whatever becomes of the Lease, of the network, or of the leader.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use testbed::audit::{AuditEntry, Marker};
use testbed::{Network, Options, ProcessGroup, Proxy};
use tokio::time::{Instant, sleep};

use crate::installation::{Installation, NAMESPACE, Namespace, OPERATOR, Ports, eventually, until_ended};
use crate::samples::{SMALL, converged};

/// The Deployment that the tests edit, for the operator to put back.
pub const EDITED: &str = "small-multiadmin";
/// A time after which a leader that cannot renew writes no more.
const DEADLINE: Duration = Duration::from_secs(10);
/// A time after which another replica may take over.
const LEASE_DURATION: Duration = Duration::from_secs(15);

/// The holder of the Lease, or nothing.
pub async fn holder(installation: &Installation) -> String {
    let arguments = ["-n", NAMESPACE, "get", "lease", "multigres-operator", "--ignore-not-found", "-o"];
    let arguments = arguments.into_iter().chain(["jsonpath={.spec.holderIdentity}"]);
    installation.control_plane.kubectl().must(arguments).await.unwrap()
}

/// Edits a Deployment so that the operator has to put it back.
pub async fn edit(client: &Client, namespace: &str) {
    let deployments: Api<k8s_openapi::api::apps::v1::Deployment> = Api::namespaced(client.clone(), namespace);
    let patch = Patch::Merge(json!({ "spec": { "replicas": 3 } }));
    deployments.patch(EDITED, &PatchParams::default(), &patch).await.unwrap();
}

/// Waits until the edit is put back.
pub async fn put_back(namespace: &Namespace<'_>) {
    let is_back = |deployment: &Value| deployment.pointer("/spec/replicas") != Some(&3.into());
    namespace.until("deployment", EDITED, "put back", is_back).await;
}

/// Writes of leaders after a marker, by their user agents: without the Lease and the webhook configurations, which
/// candidates write as well, and without refused ones.
fn led(installation: &Installation, marker: Marker) -> BTreeMap<String, Vec<AuditEntry>> {
    let mut writers = BTreeMap::<String, Vec<AuditEntry>>::new();
    for entry in installation.control_plane.audit_log().writes_since(marker, OPERATOR).unwrap() {
        let others = entry.resource == "leases" || entry.resource.ends_with("webhookconfigurations");
        if !others && entry.code < 300 {
            writers.entry(entry.user_agent.clone()).or_default().push(entry);
        }
    }
    writers
}

async fn start() -> Installation {
    Installation::start(Options { fake_nodes: 2, ..Options::default() }).await.unwrap()
}

/// A second replica.
struct Standby {
    group: ProcessGroup,
    ports: Ports,
}

impl Standby {
    async fn start(installation: &Installation, kubeconfig: &std::path::Path) -> Self {
        let ports = Ports::free().unwrap();
        let log = installation.control_plane.dir().join("standby.log");
        let (group, started) = installation.start_replica(ports, kubeconfig, log).await.unwrap();
        started.unwrap();
        Self { group, ports }
    }

    async fn is_ready(&self) -> bool {
        let answer = crate::installation::get(self.ports.ops, "/readyz").await;
        answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }
}

#[tokio::test]
async fn an_operator_that_lost_its_lease_ends_and_writes_no_more() {
    let installation = start().await;
    let namespace = installation.namespace("stolen").await;
    namespace.apply(SMALL).await.unwrap();
    converged(&namespace, "small").await;
    let (pid, identity) = (installation.operator_pid().unwrap(), holder(&installation).await);
    let stolen = json!({ "spec": { "holderIdentity": "somebody" } }).to_string();
    let steal = ["-n", NAMESPACE, "patch", "lease", "multigres-operator", "--type=merge", "-p", &stolen];
    installation.control_plane.kubectl().must(steal).await.unwrap();
    let begun = Instant::now();
    until_ended(pid).await.unwrap();
    assert!(begun.elapsed() < LEASE_DURATION * 3, "{:?}", begun.elapsed());
    assert_eq!(holder(&installation).await, "somebody");
    let said = std::fs::read_to_string(installation.log()).unwrap();
    assert!(said.contains("was taken by") && said.contains("somebody"), "{said}");

    let marker = installation.control_plane.audit_log().marker().unwrap();
    edit(&installation.control_plane.client(), &namespace.name).await;
    // Not a wait for something to happen: the statement is about this time, in which nobody leads.
    sleep(Duration::from_secs(5)).await;
    let entries = installation.control_plane.audit_log().writes_since(marker, OPERATOR).unwrap();
    assert!(!entries.iter().any(|entry| entry.user_agent.contains(&identity)), "{entries:#?}");
    let deployment = namespace.get("deployment", EDITED).await.unwrap();
    assert_eq!(deployment.pointer("/spec/replicas"), Some(&3.into()));
}

#[tokio::test]
async fn while_the_api_server_is_away_from_the_leader_another_takes_over_and_never_do_two_write() {
    let installation = start().await;
    let namespace = installation.namespace("away").await;
    namespace.apply(SMALL).await.unwrap();
    converged(&namespace, "small").await;
    installation.end_operator().await.unwrap();
    let proxy = Proxy::start(installation.operator_kubeconfig()).await.unwrap();
    installation.start_operator_with(proxy.kubeconfig()).await.unwrap();
    let leads = || async { Some(holder(&installation).await).filter(|holder| !holder.is_empty()) };
    let first = eventually("it leads", leads).await.unwrap();
    let standby = Standby::start(&installation, installation.operator_kubeconfig()).await;
    assert!(standby.is_ready().await);

    // Somebody edits all the time, so that whoever leads has something to write.
    let marker = installation.control_plane.audit_log().marker().unwrap();
    let edits = tokio::spawn({
        let (client, name) = (installation.control_plane.client(), namespace.name.clone());
        async move {
            loop {
                edit(&client, &name).await;
                sleep(Duration::from_millis(300)).await;
            }
        }
    });
    put_back(&namespace).await;
    let pid = installation.operator_pid().unwrap();
    proxy.set(Network::Refuse);
    sleep(LEASE_DURATION).await;
    proxy.set(Network::Pass);
    let ended = Instant::now();
    until_ended(pid).await.unwrap();
    assert!(ended.elapsed() < DEADLINE * 3, "{:?}", ended.elapsed());
    let other = || async { Some(holder(&installation).await).filter(|holder| *holder != first) };
    let second = eventually("another leads", other).await.unwrap();
    let writes = || async {
        let identities = led(&installation, marker);
        let wrote = identities.iter().any(|(agent, writes)| agent.contains(&second) && writes.len() > 3);
        wrote.then_some(identities)
    };
    let identities = eventually("the other one writes", writes).await.unwrap();
    edits.abort();

    assert_eq!(identities.len(), 2, "{identities:#?}");
    let times = |identity: &str| {
        let (_, writes) = identities.iter().find(|(agent, _)| agent.contains(identity)).unwrap();
        let mut times: Vec<&str> = writes.iter().map(|write| write.stage_timestamp.as_str()).collect();
        times.sort_unstable();
        times
    };
    let (before, after) = (times(&first), times(&second));
    assert!(before.last().unwrap() < after.first().unwrap(), "two wrote at once: {before:?}, {after:?}");
    println!("{} writes of {first}, then {} of {second}", before.len(), after.len());
    drop(standby.group);
}

#[tokio::test]
async fn after_a_minute_in_which_no_byte_passed_a_standby_leads_and_an_edit_is_put_back() {
    const BLACK: Duration = Duration::from_mins(1);
    /// Three times the bound that the operator is made for.
    const BOUND: Duration = Duration::from_secs(90);
    let installation = start().await;
    let namespace = installation.namespace("black").await;
    namespace.apply(SMALL).await.unwrap();
    converged(&namespace, "small").await;
    installation.end_operator().await.unwrap();
    let proxy = Proxy::start(installation.operator_kubeconfig()).await.unwrap();
    installation.start_operator_with(proxy.kubeconfig()).await.unwrap();
    let leads = || async { Some(holder(&installation).await).filter(|holder| !holder.is_empty()) };
    let first = eventually("it leads", leads).await.unwrap();
    let standby = Standby::start(&installation, proxy.kubeconfig()).await;
    edit(&installation.control_plane.client(), &namespace.name).await;
    put_back(&namespace).await;

    proxy.set(Network::Stall);
    let pid = installation.operator_pid().unwrap();
    let begun = Instant::now();
    until_ended(pid).await.unwrap();
    assert!(begun.elapsed() < LEASE_DURATION * 3, "the leader: {:?}", begun.elapsed());
    edit(&installation.control_plane.client(), &namespace.name).await;
    let unready = || async { (!standby.is_ready().await).then_some(()) };
    eventually("a candidate that does not see the Lease is not ready", unready).await.unwrap();
    sleep(BLACK.saturating_sub(begun.elapsed())).await;
    proxy.set(Network::Pass);
    let begun = Instant::now();
    let within_bound = async {
        let other = || async { Some(holder(&installation).await).filter(|holder| *holder != first) };
        eventually("the standby leads", other).await.unwrap();
        let led = begun.elapsed();
        put_back(&namespace).await;
        println!("the standby led after {led:?}, and the edit was put back after {:?}", begun.elapsed());
    };
    tokio::time::timeout(BOUND, within_bound).await.expect("the standby is late");
    eventually("it is ready again", || async { standby.is_ready().await.then_some(()) }).await.unwrap();
    drop(standby.group);
}
