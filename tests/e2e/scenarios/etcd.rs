//! The operator's own etcd: members that lose their volumes, and a database that is full.

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim};
use kube::ResourceExt;
use kube::api::{Api, PostParams};
use multigres_crds::v1alpha1::{TopoServer, Truth};
use serde_json::{Value, json};
use testbed::Kubectl;
use tokio::time::{sleep, timeout};

use crate::bench::{Bench, delete_namespace};
use crate::cluster::{INTERVAL, PATIENCE};
use crate::report::Report;

pub const NAMESPACE: &str = "members";

/// Without databases: members are what it is about.
const MANIFEST: &str = r#"
apiVersion: multigres.com/v1alpha1
kind: MultigresCluster
metadata: {name: trio, namespace: members}
spec:
  globalTopoServer:
    rootPath: /multigres/global
    managedSpec:
      image: localhost/multigres/etcd:v3.6.6
      replicas: 3
      dataVolumeClaimTemplate: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
      resources: {requests: {cpu: 10m, memory: 32Mi}}
  admin: {managed: false}
  orchestrator: {spec: {image: "localhost/multigres/multigres:v0.1.0"}}
  cells:
    multiGatewayImage: localhost/multigres/multigres:v0.1.0
    templates:
    - {name: zone-a, spec: {multiGateway: {replicas: 0, service: {type: ClusterIP}}}}
"#;

/// The namespace of the cluster, and its etcd.
struct Trio {
    kubectl: Kubectl,
    report: Report,
    servers: Api<TopoServer>,
    claims: Api<PersistentVolumeClaim>,
}

/// A disk is gone: the member is replaced without help. An alarm, and a quorum that is lost, are said. Without any
/// volume left the members form the etcd anew.
pub async fn a_member_that_lost_its_volume_is_replaced(bench: &mut Bench) -> anyhow::Result<()> {
    let client = bench.node.client();
    let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": NAMESPACE } }))?;
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    let trio = Trio {
        kubectl: bench.node.kubectl(),
        report: bench.report.clone(),
        servers: Api::namespaced(client.clone(), NAMESPACE),
        claims: Api::namespaced(client, NAMESPACE),
    };
    let applied = trio.kubectl.must_with_stdin(["apply", "-f", "-"], MANIFEST).await?;
    trio.report.did("kubectl apply -f trio.yaml", &applied);
    trio.until("all members serve", whole).await?;

    let before = trio.members().await?;
    trio.lose(&[1]).await?;
    trio.until("a member does not serve", |server| !whole(server)).await?;
    trio.until("all members serve again", whole).await?;
    let after = trio.members().await?;
    ensure!(before.len() == 3 && after.len() == 3, "{before:?} {after:?}");
    let kept = after.iter().filter(|member| before.contains(member)).count();
    ensure!(kept == 2, "one member has another identity: {before:?} {after:?}");

    trio.alarm("ACTIVATE").await?;
    let full = trio.until("the alarm is said", |server| says(server, "TopologyOutOfSpace")).await?;
    ensure!(full.status.is_some_and(|status| status.available == Truth::False), "writes are refused");
    trio.alarm("DEACTIVATE").await?;
    trio.until("the alarm is over", whole).await?;

    trio.lose(&[0, 1]).await?;
    trio.until("the lost quorum is said to last", |server| {
        says(server, "TopologyQuorumLost") && message(server).is_some_and(|said| said.contains("are empty"))
    })
    .await?;
    trio.lose(&[2]).await?;
    trio.until("a new etcd serves", whole).await?;
    delete_namespace(&bench.node, NAMESPACE).await
}

impl Trio {
    /// Deletes the claims and pods of members at once, and waits for other claims.
    async fn lose(&self, members: &[usize]) -> anyhow::Result<()> {
        let mut lost = Vec::new();
        for member in members {
            let claim = format!("data-trio-etcd-{member}");
            lost.push((self.claims.get(&claim).await?.uid(), claim));
        }
        for member in members {
            let (pod, claim) = (format!("trio-etcd-{member}"), format!("data-trio-etcd-{member}"));
            self.did(&["delete", "pvc", &claim, "--wait=false"]).await?;
            self.did(&["delete", "pod", &pod, "--wait=false"]).await?;
        }
        for (uid, claim) in lost {
            let replaced = async {
                while self.claims.get_opt(&claim).await?.is_none_or(|claim| claim.uid() == uid) {
                    sleep(INTERVAL).await;
                }
                anyhow::Ok(())
            };
            timeout(PATIENCE, replaced).await.with_context(|| format!("{claim} is still there"))??;
        }
        Ok(())
    }

    async fn did(&self, args: &[&str]) -> anyhow::Result<()> {
        let said = self.kubectl.must(["-n", NAMESPACE].iter().chain(args)).await?;
        self.report.did(&format!("kubectl -n {NAMESPACE} {}", args.join(" ")), &said);
        Ok(())
    }

    async fn until(&self, what: &str, holds: impl Fn(&TopoServer) -> bool) -> anyhow::Result<TopoServer> {
        let mut last = None;
        let seen = async {
            loop {
                let server = self.servers.get_opt("trio-etcd").await?;
                if let Some(server) = server.as_ref().filter(|server| holds(server)) {
                    return anyhow::Ok(server.clone());
                }
                last = server;
                sleep(INTERVAL).await;
            }
        };
        let seen = timeout(PATIENCE, seen).await;
        let seen = seen.with_context(|| format!("not in {PATIENCE:?}: {what}; {last:?}"))??;
        self.report.saw(what);
        Ok(seen)
    }

    /// Identities of the members.
    async fn members(&self) -> anyhow::Result<Vec<String>> {
        let answer = self.ask("cluster/member/list", &json!({})).await?;
        let members = answer["members"].as_array().context("a list of members")?;
        Ok(members.iter().map(|member| member["ID"].as_str().unwrap_or_default().to_owned()).collect())
    }

    async fn alarm(&self, action: &str) -> anyhow::Result<()> {
        let alarm = json!({ "action": action, "memberID": "1", "alarm": "NOSPACE" });
        self.ask("maintenance/alarm", &alarm).await?;
        self.report.did(&format!("etcd: alarm NOSPACE {action}"), "");
        Ok(())
    }

    async fn ask(&self, method: &str, request: &Value) -> anyhow::Result<Value> {
        let path =
            format!("/api/v1/namespaces/{NAMESPACE}/services/trio-etcd-client:client/proxy/v3/{method}");
        let args = ["create", "--raw", &path, "-f", "-"];
        Ok(serde_json::from_str(&self.kubectl.must_with_stdin(args, &request.to_string()).await?)?)
    }
}

fn whole(server: &TopoServer) -> bool {
    server.status.as_ref().is_some_and(|status| {
        status.formed && status.ready_replicas == 3 && status.available == Truth::True && !replaces(server)
    }) && is(server, "Ready", "True")
}

fn replaces(server: &TopoServer) -> bool {
    says(server, "ReplacingMember")
}

fn is(server: &TopoServer, type_: &str, status: &str) -> bool {
    let mut conditions = server.status.iter().flat_map(|said| &said.conditions);
    conditions.any(|condition| condition.type_ == type_ && condition.status == status)
}

fn says(server: &TopoServer, reason: &str) -> bool {
    server.status.iter().flat_map(|said| &said.conditions).any(|condition| condition.reason == reason)
}

fn message(server: &TopoServer) -> Option<&str> {
    let mut conditions = server.status.iter().flat_map(|said| &said.conditions);
    conditions.find(|condition| condition.type_ == "Ready").map(|condition| condition.message.as_str())
}
