//! Databases that come online: real kubelet, real PostgreSQL, SQL through the gateway. Runs where `make e2e` asks for it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::process::Command;
use std::time::{Duration, Instant};

use multigres_crds::schema;
use serde_json::Value;
use testbed::{Image, Kubectl, Node, NodeOptions, node};

const CLUSTER: &str = include_str!("../samples/two-cells.yaml");
const OPERATOR: &str = env!("CARGO_BIN_EXE_multigres-operator");
const PATIENCE: Duration = Duration::from_mins(3);

/// A cluster in its namespace, and SQL through its gateway.
struct Database {
    kubectl: Kubectl,
    password: String,
}

impl Database {
    const HOST: &'static str = "two-cells-multigateway-us-east-1";

    async fn must(&self, args: &[&str]) -> String {
        self.kubectl.must(["-n", "multigres"].iter().chain(args)).await.unwrap()
    }

    async fn shard(&self) -> Value {
        let list: Value =
            serde_json::from_str(&self.must(&["get", "multishard", "-o", "json"]).await).unwrap();
        list["items"][0].clone()
    }

    /// Waits until the shard is ready, with a primary other than `not`, and returns that.
    async fn primary(&self, not: Option<&str>) -> String {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            let status = self.shard().await["status"].clone();
            let primary = status["primary"].as_str().filter(|primary| Some(*primary) != not);
            if let Some(primary) =
                primary.filter(|_| status["servingWrites"] == "True" && status["readyInstances"] == 3)
            {
                return primary.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        panic!("no other primary than {not:?}: {}", self.shard().await["status"]);
    }

    /// Runs SQL from an orchestrator's pod, whose image has psql.
    async fn sql(&self, sql: &str) -> Result<String, String> {
        let (password, host) = (format!("PGPASSWORD={}", self.password), Self::HOST);
        let client =
            ["env", &password, "PGCONNECT_TIMEOUT=2", "psql", "-h", host, "-U", "postgres", "-d", "users_db"];
        let exec = ["-n", "multigres", "exec", "two-cells-multiorch-us-east-1-0", "--"];
        let args = exec.into_iter().chain(client).chain(["-v", "ON_ERROR_STOP=1", "-qAtc", sql]);
        let output = self.kubectl.run(args).await.unwrap();
        if output.status.success() { Ok(output.stdout) } else { Err(output.stderr) }
    }
}

async fn install(node: &Node) {
    let image = ["manifests", "--image", "localhost/multigres/multigres-operator:dev"];
    let manifests = Command::new(OPERATOR).args(image).output().unwrap();
    assert!(manifests.status.success(), "{manifests:?}");
    let manifests = String::from_utf8(manifests.stdout).unwrap();
    node.kubectl().must_with_stdin(["apply", "-f", "-"], &manifests).await.unwrap();
    let rollout =
        ["-n", "multigres-system", "rollout", "status", "deployment/multigres-operator", "--timeout=2m"];
    node.kubectl().must(rollout).await.unwrap();
}

#[tokio::test]
async fn a_cluster_comes_online_and_keeps_every_acknowledged_write() {
    if !node::is_wanted() {
        return;
    }
    let mut images = Image::cluster();
    images.push(Image::operator(OPERATOR.into()));
    let options = NodeOptions { images, crds: schema::crds(), ..NodeOptions::default() };
    let node = Node::start(options).await.unwrap();
    install(&node).await;
    node.kubectl().must(["create", "namespace", "multigres"]).await.unwrap();
    let applied = Instant::now();
    node.kubectl().must_with_stdin(["apply", "-f", "-"], CLUSTER).await.unwrap();
    let mut database = Database { kubectl: node.kubectl(), password: String::new() };
    let ready = ["wait", "--for=condition=Ready", "multigrescluster/two-cells", "--timeout=3m"];
    database.must(&ready).await;
    database.password = password(&database).await;
    database.sql("create table journal (i int)").await.unwrap();
    println!("first write after {:.1?}", applied.elapsed());

    let primary = database.primary(None).await;
    database.must(&["delete", "pod", &primary, "--wait=false"]).await;
    let (mut acknowledged, mut longest, mut last) = (Vec::new(), Duration::ZERO, Instant::now());
    let successor = {
        let mut successor = std::pin::pin!(database.primary(Some(&primary)));
        let mut next = 0;
        loop {
            let insert = format!("insert into journal values ({next})");
            tokio::select! {
                biased;
                successor = &mut successor => break successor,
                result = database.sql(&insert) => {
                    if result.is_ok() {
                        acknowledged.push(next);
                        longest = longest.max(last.elapsed());
                        last = Instant::now();
                    }
                    next += 1;
                }
            }
        }
    };
    println!("{primary} → {successor}: longest time without a write {longest:.1?}");
    assert!(!acknowledged.is_empty());
    let kept = database.sql("select i from journal").await.unwrap();
    let kept: Vec<i32> = kept.lines().map(|line| line.parse().unwrap()).collect();
    let missing: Vec<&i32> = acknowledged.iter().filter(|i| !kept.contains(i)).collect();
    assert!(missing.is_empty(), "acknowledged and lost: {missing:?}");
}

/// The password that the operator made, from the connection Secret.
async fn password(database: &Database) -> String {
    let selector = ["get", "secret", "-l", "multigres.com/database=users_db", "-o"];
    let template =
        "go-template={{range .items}}{{if .data.uri}}{{.data.password | base64decode}}{{end}}{{end}}";
    database.must(&[selector.as_slice(), &[template]].concat()).await
}
