//! Bench of all scenarios: one node with the operator on it, and the cluster that most of them use.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use kube::runtime::conditions::is_deleted;
use kube::runtime::wait::await_condition;
use multigres_crds::schema;
use testbed::evidence::Evidence;
use testbed::{Image, Kubectl, Node, NodeOptions};
use tokio::time::{sleep, timeout};

use crate::cluster::{Cluster, INTERVAL, Manifest, PATIENCE, POSTGRES_LOG, is_ready};
use crate::report::Report;
use crate::scenarios::{bringup, etcd, external};

const OPERATOR: &str = env!("CARGO_BIN_EXE_multigres-operator");
const OPERATOR_NAMESPACE: &str = "multigres-system";
const OPERATOR_IMAGE: &str = "localhost/multigres/multigres-operator:dev";

pub struct Bench {
    // In the order in which they are to be dropped.
    cluster: Option<Cluster>,
    pub node: Node,
    pub report: Report,
    /// Interval at which to no cluster came online.
    failures: usize,
}

impl Bench {
    /// A node with the operator, installed from its own manifests.
    pub async fn start(report: Report) -> anyhow::Result<Self> {
        report.begin("A node and the operator");
        let began = Instant::now();
        let mut images = Image::cluster();
        images.push(Image::operator(PathBuf::from(OPERATOR)));
        // The check of a whole run reads it (`tests/conduct.rs`).
        let evidence = concat!(env!("CARGO_TARGET_TMPDIR"), "/evidence");
        let audit_log = Some(Evidence::of(Path::new(evidence), "e2e")?.log("audit"));
        let options = NodeOptions { images, crds: schema::crds(), audit_log, ..NodeOptions::default() };
        let node = Node::start(options).await?;
        let manifests = Command::new(OPERATOR).args(["manifests", "--image", OPERATOR_IMAGE]).output()?;
        ensure!(manifests.status.success(), "{manifests:?}");
        let kubectl = node.kubectl();
        kubectl.must_with_stdin(["apply", "-f", "-"], &String::from_utf8(manifests.stdout)?).await?;
        report.did("multigres-operator manifests | kubectl apply -f -", "");
        let bench = Self { cluster: None, node, report, failures: 0 };
        if let Err(error) = operator_is_scaled(&bench.node).await {
            bench.diagnose().await?;
            return Err(error);
        }
        bench.report.time("A node and the operator on it", began.elapsed());
        Ok(bench)
    }

    /// The cluster that most scenarios are about, online and whole.
    pub async fn cluster(&mut self) -> anyhow::Result<(&mut Cluster, &mut Node)> {
        if self.cluster.is_none() {
            ensure!(self.failures < 2, "no cluster came online before");
            self.failures += 1;
            let cluster = Cluster::online(&self.node, &self.report, two_cells()).await?;
            self.failures = 0;
            self.cluster = Some(cluster);
        }
        let cluster = self.cluster.as_mut().context("it was just made")?;
        cluster.settled().await?;
        Ok((cluster, &mut self.node))
    }

    /// After a failure nobody knows what state the cluster is in: the next scenario gets a new one.
    pub async fn abandon(&mut self) -> anyhow::Result<()> {
        self.cluster = None;
        let running = ["-n", "multigres-system", "scale", "deployment/multigres-operator", "--replicas=2"];
        self.node.kubectl().must(running).await?;
        operator_is_scaled(&self.node).await?;
        delete_namespace(&self.node, two_cells().namespace).await?;
        delete_namespace(&self.node, bringup::NAMESPACE).await?;
        delete_namespace(&self.node, etcd::NAMESPACE).await?;
        delete_namespace(&self.node, external::NAMESPACE).await
    }

    /// Shows the state that a person would look at after a failure. It is too long for the report.
    pub async fn diagnose(&self) -> anyhow::Result<()> {
        let kubectl = self.node.kubectl();
        for look in [
            &["describe", "nodes"][..],
            &["get", "pods,deployments,statefulsets", "-A"],
            &["get", "multigrescluster,multishard,toposerver", "-A", "-o", "yaml"],
            &[
                "-n",
                OPERATOR_NAMESPACE,
                "logs",
                "-l",
                "app.kubernetes.io/name=multigres-operator",
                "--tail=100",
            ],
        ] {
            show(&kubectl, look).await?;
        }
        for namespace in [two_cells().namespace, bringup::NAMESPACE, external::NAMESPACE] {
            diagnose_database(&kubectl, namespace).await?;
        }
        Ok(())
    }
}

async fn diagnose_database(kubectl: &Kubectl, namespace: &str) -> anyhow::Result<()> {
    let components = "multigres.com/component in (multiorch, multipooler)";
    let logs = ["-n", namespace, "logs", "-l", components, "--all-containers", "--prefix", "--tail=150"];
    show(kubectl, &logs).await?;
    // What PostgreSQL itself says is on the volumes only.
    let poolers = ["-n", namespace, "get", "pods", "-l", "multigres.com/component=multipooler", "-o", "name"];
    for pod in kubectl.run(poolers).await?.stdout.lines() {
        let log = ["-n", namespace, "exec", pod, "-c", "multipooler", "--", "tail", "-n", "60", POSTGRES_LOG];
        show(kubectl, &log).await?;
    }
    Ok(())
}

async fn show(kubectl: &Kubectl, look: &[&str]) -> anyhow::Result<()> {
    let said = kubectl.run(look).await?;
    eprintln!("$ kubectl {}\n{}{}", look.join(" "), said.stdout, said.stderr);
    Ok(())
}

/// Waits until the operator has the replicas that it is to have, and no other pod, not even one that ends.
pub async fn operator_is_scaled(node: &Node) -> anyhow::Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(node.client(), OPERATOR_NAMESPACE);
    let pods: Api<Pod> = Api::namespaced(node.client(), OPERATOR_NAMESPACE);
    let scaled = async {
        loop {
            let wanted = deployments.get("multigres-operator").await?.spec.and_then(|spec| spec.replicas);
            let pods = pods.list(&ListParams::default()).await?.items;
            if usize::try_from(wanted.unwrap_or(1))? == pods.len() && pods.iter().all(is_ready) {
                return anyhow::Ok(());
            }
            sleep(INTERVAL).await;
        }
    };
    timeout(PATIENCE, scaled).await.context("the operator does not run as it should")?
}

pub async fn delete_namespace(node: &Node, name: &str) -> anyhow::Result<()> {
    let namespaces: Api<Namespace> = Api::all(node.client());
    if let Some(namespace) = namespaces.get_opt(name).await? {
        namespaces.delete(name, &DeleteParams::default()).await?;
        let uid = namespace.uid().context("namespaces have uids")?;
        await_condition(namespaces, name, is_deleted(&uid)).await?;
    }
    Ok(())
}

/// The sample, with data on volumes that can become full.
pub fn two_cells() -> Manifest {
    let text = include_str!("../samples/two-cells.yaml");
    let claim = "{accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}}";
    let limited =
        "{accessModes: [ReadWriteOnce], storageClassName: limited, resources: {requests: {storage: 512Mi}}}";
    Manifest {
        file: "two-cells.yaml",
        namespace: "multigres",
        cluster: "two-cells",
        database: "users_db",
        text: text.replace(claim, limited),
        password: None,
    }
}
