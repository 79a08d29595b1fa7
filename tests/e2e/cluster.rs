//! A cluster with its database, and a client that writes to it all the time.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, ResourceExt};
use multigres_crds::labels;
use multigres_crds::v1alpha1::{DatabaseStatus, MultiShard, MultigresCluster, Truth};
use testbed::{Kubectl, Node};
use tokio::time::{sleep, timeout};

use crate::connection::Connection;
use crate::consensus::Consensus;
use crate::journal::{Gateway, Journal};
use crate::report::Report;
use crate::watch::Watch;

/// For what takes half a minute on an idle machine.
pub const PATIENCE: Duration = Duration::from_mins(4);
/// Time by which a status may lag behind the beginning or end of an outage.
pub const NOTICE: Duration = Duration::from_secs(5);
pub const INTERVAL: Duration = Duration::from_millis(250);
const POSTGRES: u16 = 5432;
/// Log of PostgreSQL, which is on its volume only.
pub const POSTGRES_LOG: &str = "/data/pg_data/postgresql.log";

/// With the password that pods of the database have.
const PSQL: &str = r#"PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE") psql "$@""#;

/// Changes something, so that it counts as a write, and nothing that a client wrote.
const WRITE: &str = "insert into journal values (-1) on conflict (number) do update set number = -1";

/// A manifest under its file's name.
pub struct Manifest {
    pub file: &'static str,
    pub namespace: &'static str,
    pub cluster: &'static str,
    pub database: &'static str,
    pub text: String,
    /// The password, if the operator does not make it.
    pub password: Option<String>,
}

pub struct Cluster {
    pub manifest: Manifest,
    pub report: Report,
    pub watch: Watch,
    pub journal: Journal,
    client: Client,
    kubectl: Kubectl,
}

/// Everything there is to see of a cluster at one moment.
pub struct Seen {
    pub cluster: MultigresCluster,
    pub shards: Vec<MultiShard>,
    /// Of the shard, by name.
    pub pods: Vec<Pod>,
}

impl Cluster {
    /// Applies a manifest, and nothing else, until a client can write.
    pub async fn online(node: &Node, report: &Report, manifest: Manifest) -> anyhow::Result<Self> {
        let client = node.client();
        let namespace: Namespace =
            serde_json::from_value(serde_json::json!({ "metadata": { "name": manifest.namespace } }))?;
        Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
        Self::applied(node, report, manifest).await
    }

    /// The same in a namespace that is there.
    pub async fn applied(node: &Node, report: &Report, manifest: Manifest) -> anyhow::Result<Self> {
        let (client, kubectl) = (node.client(), node.kubectl());
        let watch = Watch::start(&client, manifest.namespace, manifest.cluster, report);
        let began = Instant::now();
        apply(&kubectl, report, &manifest, "").await?;

        let connection = Connection::made(&client, &manifest).await?;
        let port = node.forward_service(manifest.namespace, &connection.service, POSTGRES).await?;
        let password = manifest.password.clone().or(connection.password);
        let password = password.context("the connection Secret has no password")?;
        let gateway = Gateway { port, database: manifest.database.to_owned(), password };
        let journal = Journal::start(gateway);
        let cluster = Self { manifest, report: report.clone(), watch, journal, client, kubectl };
        let applied = cluster.report.clone();
        let serves = async {
            cluster.until("servingWrites is True", |seen| seen.database().serving_writes == Truth::True).await
        };
        let writes = async {
            cluster.advance(1).await?;
            applied.time(
                &format!("{}: from apply to the first write", cluster.manifest.cluster),
                began.elapsed(),
            );
            anyhow::Ok(())
        };
        tokio::try_join!(serves, writes)?;
        cluster.settled().await?;
        applied.time(&format!("{}: from apply to Ready", cluster.manifest.cluster), began.elapsed());
        Ok(cluster)
    }

    /// Changes the manifest by replacing text, and applies it.
    pub async fn change(&mut self, changes: &[(&str, &str)]) -> anyhow::Result<()> {
        for (from, to) in changes {
            ensure!(self.manifest.text.contains(from), "{from:?} is not in the manifest");
            self.manifest.text = self.manifest.text.replace(from, to);
        }
        let told: Vec<String> =
            changes.iter().map(|(from, to)| format!("   # {} → {}", one_line(from), one_line(to))).collect();
        apply(&self.kubectl, &self.report, &self.manifest, &told.concat()).await
    }

    /// `kubectl` in the cluster's namespace, which must succeed.
    pub async fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        self.kubectl.must(["-n", self.manifest.namespace].iter().chain(args)).await
    }

    /// The same, told in the report.
    pub async fn show(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.kubectl(args).await?;
        self.report.did(&format!("kubectl -n {} {}", self.manifest.namespace, args.join(" ")), &output);
        Ok(output)
    }

    /// SQL by psql in a pod, through the gateway's Service, told in the report.
    pub async fn psql(&self, pod: &str, sql: &str) -> anyhow::Result<String> {
        let connection = Connection::made(&self.client, &self.manifest).await?;
        let url = format!("postgresql://postgres@{}/{}", connection.host, self.manifest.database);
        let output = self.exec(pod, &["sh", "-c", PSQL, "psql", &url, "-c", sql]).await?;
        self.report.did(&format!("psql {url} -c \"{sql}\""), &output);
        Ok(output)
    }

    /// SQL in the PostgreSQL of a pod itself, past the gateways.
    pub async fn local_sql(&self, pod: &str, sql: &str) -> anyhow::Result<String> {
        let url = format!("postgresql://postgres@/{}?host=/data/pg_sockets", self.manifest.database);
        self.exec(pod, &["sh", "-c", PSQL, "psql", &url, "-c", sql]).await
    }

    pub async fn exec(&self, pod: &str, command: &[&str]) -> anyhow::Result<String> {
        self.kubectl(&[&["exec", pod, "-c", "multipooler", "--"], command].concat()).await
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), self.manifest.namespace)
    }

    pub async fn see(&self) -> anyhow::Result<Seen> {
        let of_cluster =
            ListParams::default().labels(&format!("{}={}", labels::CLUSTER, self.manifest.cluster));
        let of_pools = of_cluster.clone().labels(&format!(
            "{}={},{}={}",
            labels::CLUSTER,
            self.manifest.cluster,
            labels::COMPONENT,
            labels::Component::MultiPooler.as_str()
        ));
        Ok(Seen {
            cluster: self.api::<MultigresCluster>().get(self.manifest.cluster).await?,
            shards: self.api::<MultiShard>().list(&of_cluster).await?.items,
            pods: self.api::<Pod>().list(&of_pools).await?.items,
        })
    }

    /// Waits until something is seen.
    pub async fn until(&self, what: &str, holds: impl Fn(&Seen) -> bool) -> anyhow::Result<Seen> {
        let mut last = None;
        let seen = async {
            loop {
                match self.see().await {
                    Ok(seen) if holds(&seen) => return seen,
                    Ok(seen) => {
                        self.doubt(&seen).await;
                        last = Some(seen);
                    }
                    Err(error) => self.report.saw(&format!("the API server: {error:#}")),
                }
                sleep(INTERVAL).await;
            }
        };
        let seen = timeout(PATIENCE, seen).await;
        seen.map_err(|_| {
            let status = last.map(|seen| seen.in_words()).unwrap_or_default();
            anyhow!("not in {PATIENCE:?}: {what}; the status: {status}")
        })
    }

    /// Waits until so many more writes were acknowledged.
    pub async fn advance(&self, by: i64) -> anyhow::Result<()> {
        let until = self.journal.acknowledged() + by;
        let what = format!("{by} more writes");
        let advanced = self.until(&what, |_| self.journal.acknowledged() >= until).await;
        advanced.map(drop).with_context(|| format!("{:?}", self.journal.record()))
    }

    /// Tells in the report from where an instance has what others wrote.
    pub async fn show_recovery(&self, pod: &str) -> anyhow::Result<()> {
        let says = "restored log file|left out|ends after|started streaming";
        self.show(&["exec", pod, "-c", "multipooler", "--", "grep", "-E", says, POSTGRES_LOG]).await.map(drop)
    }

    /// Waits until all that was acknowledged so far is on an instance itself.
    pub async fn copied_to(&self, pod: &str) -> anyhow::Result<()> {
        let acknowledged = self.journal.acknowledged();
        let count = format!("select count(*) from journal where number >= 0 and number < {acknowledged}");
        let copied = async {
            loop {
                let output = self.local_sql(pod, &count).await?;
                if output.split_whitespace().any(|word| word == acknowledged.to_string()) {
                    return anyhow::Ok(());
                }
                sleep(INTERVAL).await;
            }
        };
        timeout(PATIENCE, copied).await.with_context(|| format!("{pod} has not all that was acknowledged"))?
    }

    /// Asks the primary itself if the status says that writes are served and the client has made none. A gateway that
    /// has lost a pooler retries after pauses that double from 5 s up to a minute (v0.1.0).
    async fn doubt(&self, seen: &Seen) {
        let outage = self.journal.outage().filter(|outage| outage.length > NOTICE);
        let primary = seen.primary().filter(|_| seen.database().serving_writes == Truth::True);
        let Some((outage, primary)) = outage.zip(primary) else { return };
        if let Ok(Ok(_)) = timeout(NOTICE, self.local_sql(primary, WRITE)).await {
            if self.journal.direct().last().is_none_or(|last| *last < outage.from) {
                self.report.saw("the primary takes writes, and gateways do not see it yet");
            }
            self.journal.took_directly();
        }
    }

    /// Waits until everything is as the spec wants it, every instance takes its full part, and the status tells who
    /// leads: one that nobody wrote for a while may still name another.
    pub async fn settled(&self) -> anyhow::Result<Seen> {
        let mut seen = self.until("the cluster is Ready", Seen::is_settled).await?;
        let agreed = async {
            loop {
                match Consensus::ask(self).await {
                    Ok(consensus) if seen.agrees_with(&consensus) => break,
                    _ => sleep(INTERVAL).await,
                }
                seen = self.until("the cluster is Ready", Seen::is_settled).await?;
            }
            anyhow::Ok(())
        };
        timeout(PATIENCE, agreed).await.context("the status is not what the poolers say")??;
        // Meanwhile something may have changed.
        self.until("the cluster is Ready", Seen::is_settled).await
    }

    pub fn client(&self) -> &Client {
        &self.client
    }
}

impl Seen {
    pub fn shard(&self) -> Option<&MultiShard> {
        self.shards.first()
    }

    /// The primary by the operator's word.
    pub fn primary(&self) -> Option<&str> {
        self.shard()?.status.as_ref()?.primary.as_deref()
    }

    /// True if there is data, by the operator's word.
    pub fn is_initialized(&self) -> bool {
        let databases = self.cluster.status.iter().flat_map(|status| status.databases.values());
        Truth::all(databases.map(|database| database.initialized)) == Truth::True && self.shard().is_some()
    }

    /// A pod that is not the primary.
    pub fn standby(&self) -> Option<String> {
        self.pods.iter().map(ResourceExt::name_any).find(|pod| Some(pod.as_str()) != self.primary())
    }

    pub fn pod(&self, name: &str) -> Option<&Pod> {
        self.pods.iter().find(|pod| pod.metadata.name.as_deref() == Some(name))
    }

    /// All databases in one.
    pub fn database(&self) -> DatabaseStatus {
        let mut databases = self.cluster.status.iter().flat_map(|status| status.databases.values());
        databases.next().cloned().unwrap_or_default()
    }

    pub fn condition(&self, type_: &str) -> Option<(&str, &str, &str)> {
        let conditions = &self.cluster.status.as_ref()?.conditions;
        let condition = conditions.iter().find(|condition| condition.type_ == type_)?;
        Some((&condition.status, &condition.reason, &condition.message))
    }

    pub fn is(&self, type_: &str, status: &str) -> bool {
        self.condition(type_).is_some_and(|(is, ..)| is == status)
    }

    fn is_settled(&self) -> bool {
        let status = self.cluster.status.as_ref();
        let database = self.database();
        let pods = i32::try_from(self.pods.len()).ok();
        status.and_then(|status| status.observed_generation) == self.cluster.metadata.generation
            && self.is("Ready", "True")
            && database.serving_writes == Truth::True
            && database.ready_instances == database.desired_instances
            && pods == Some(database.desired_instances)
            && self.pods.iter().all(is_ready)
    }

    /// True if the leader is the one that the status names, and all instances are its cohort.
    fn agrees_with(&self, consensus: &Consensus) -> bool {
        consensus.leader.is_some()
            && consensus.leader.as_deref() == self.primary()
            && i32::try_from(consensus.members).ok() == Some(self.database().desired_instances)
    }

    fn in_words(&self) -> String {
        serde_json::to_string(&self.cluster.status).unwrap_or_default()
    }
}

pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

async fn apply(kubectl: &Kubectl, report: &Report, manifest: &Manifest, change: &str) -> anyhow::Result<()> {
    let output = kubectl.run_with_stdin(["apply", "-f", "-"], &manifest.text).await?;
    let said = format!("{}{}", output.stdout, output.stderr);
    report.did(&format!("kubectl apply -f {}{change}", manifest.file), &said);
    ensure!(output.status.success(), "kubectl apply: {said}");
    Ok(())
}
