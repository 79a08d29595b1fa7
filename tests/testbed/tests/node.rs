//! A real node does what needs a kubelet and a network, and leaves nothing behind.

mod common;
mod conditions;

use std::fs;
use std::iter::successors;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::Context;
use common::{Owner, PATIENCE, assert_all_end, assert_vanishes, hold, is_owner};
use conditions::{has_capacity, is_ready, phase};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::conditions::{is_deleted, is_pod_running};
use kube::runtime::wait::await_condition;
use serde_json::json;
use testbed::{Image, LIMITED_STORAGE_CLASS, Node, NodeOptions, STORAGE_CLASS, node};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const NAMESPACE: &str = "default";
/// The user and group that own what Multigres keeps.
const POSTGRES: u32 = 999;

fn etcd_claim(class: &str) -> serde_json::Result<PersistentVolumeClaim> {
    serde_json::from_value(json!({
        "metadata": { "name": "etcd" },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": class,
            "resources": { "requests": { "storage": "1Gi" } },
        },
    }))
}

fn etcd_pod() -> serde_json::Result<Pod> {
    serde_json::from_value(json!({
        "metadata": { "name": "etcd", "labels": { "app": "etcd" } },
        "spec": {
            "securityContext": { "runAsUser": POSTGRES, "runAsGroup": POSTGRES, "fsGroup": POSTGRES },
            "containers": [{
                "name": "etcd",
                "image": "localhost/multigres/etcd:v3.6.6",
                "command": [
                    "etcd",
                    "--data-dir=/data/etcd",
                    "--listen-client-urls=http://0.0.0.0:2379",
                    "--advertise-client-urls=http://etcd:2379",
                ],
                "readinessProbe": { "httpGet": { "path": "/readyz", "port": 2379 }, "periodSeconds": 1 },
                "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
            }],
            "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": "etcd" } }],
        },
    }))
}

fn etcd_service() -> serde_json::Result<Service> {
    serde_json::from_value(json!({
        "metadata": { "name": "etcd" },
        "spec": { "selector": { "app": "etcd" }, "ports": [{ "port": 2379 }] },
    }))
}

/// Ends well if it can resolve and reach etcd.
fn client_pod(name: &str) -> serde_json::Result<Pod> {
    let script = "getent hosts etcd.default && timeout 2 bash -c 'exec 3<>/dev/tcp/etcd/2379'";
    serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": {
            "restartPolicy": "Never",
            "containers": [{
                "name": "client",
                "image": "localhost/multigres/pgctld:v0.1.0-b",
                "command": ["bash", "-c", script],
            }],
        },
    }))
}

async fn create_etcd(client: kube::Client, class: &str) -> anyhow::Result<()> {
    let params = PostParams::default();
    Api::namespaced(client.clone(), NAMESPACE).create(&params, &etcd_claim(class)?).await?;
    Api::namespaced(client.clone(), NAMESPACE).create(&params, &etcd_pod()?).await?;
    Api::namespaced(client, NAMESPACE).create(&params, &etcd_service()?).await?;
    Ok(())
}

async fn health(port: u16) -> anyhow::Result<String> {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).await?;
    connection.write_all(b"GET /health HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// A ready pod is not at once behind its Service.
async fn answers(port: u16) {
    while !health(port).await.is_ok_and(|answer| answer.contains(r#""health":"true""#)) {
        sleep(Duration::from_millis(50)).await;
    }
}

/// Runs a client to its end.
async fn outcome_of_client(pods: &Api<Pod>, name: &str) -> anyhow::Result<Option<String>> {
    pods.create(&PostParams::default(), &client_pod(name)?).await?;
    let over = |pod: Option<&Pod>| matches!(phase(pod), Some("Succeeded" | "Failed"));
    let client = await_condition(pods.clone(), name, over).await?;
    Ok(phase(client.as_ref()).map(ToOwned::to_owned))
}

#[tokio::test]
async fn pods_are_reached_by_name_and_own_their_volumes() -> anyhow::Result<()> {
    if !node::is_wanted() {
        return Ok(());
    }
    let images = vec![Image::etcd(), Image::pgctld()];
    let node = Node::start(NodeOptions { images, ..NodeOptions::default() }).await?;
    let pods: Api<Pod> = Api::namespaced(node.client(), NAMESPACE);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(node.client(), NAMESPACE);
    create_etcd(node.client(), STORAGE_CLASS).await?;
    await_condition(pods.clone(), "etcd", is_ready).await?;

    let port = node.forward_service(NAMESPACE, "etcd", 2379).await?;
    timeout(PATIENCE, answers(port)).await.context("the Service leads nowhere")?;
    let name = "etcd.default.svc.cluster.local";
    assert!(node.exec(Command::new("getent").args(["hosts", name])).await?.contains(name));
    assert!(node.exec(Command::new("getent").args(["hosts", "example.com"])).await.is_err());

    assert_eq!(outcome_of_client(&pods, "client").await?.as_deref(), Some("Succeeded"));
    let log = node.kubectl().must(["logs", "client"]).await?;
    assert!(log.contains("etcd.default.svc.cluster.local"), "{log}");

    let claim = claims.get("etcd").await?;
    let volume = claim.spec.and_then(|spec| spec.volume_name).context("the claim is bound")?;
    let directory = node.control_plane().dir().join("volumes").join(volume);
    assert_eq!(fs::metadata(&directory)?.gid(), POSTGRES);
    assert_eq!(fs::metadata(directory.join("etcd/member"))?.uid(), POSTGRES);

    let grown = json!({ "spec": { "resources": { "requests": { "storage": "2Gi" } } } });
    claims.patch("etcd", &PatchParams::default(), &Patch::Merge(grown)).await?;
    await_condition(claims.clone(), "etcd", has_capacity("2Gi")).await?;

    let uid = pods.get("etcd").await?.uid().context("pods have uids")?;
    pods.delete("etcd", &DeleteParams::default()).await?;
    await_condition(pods, "etcd", is_deleted(&uid)).await?;
    claims.delete("etcd", &DeleteParams::default()).await?;
    assert_vanishes(&directory);
    Ok(())
}

/// Number of MiB a volume has, as its pod sees it.
async fn room(node: &Node, volume: &Path) -> anyhow::Result<String> {
    let sizes = node.exec(Command::new("df").args(["--block-size=M", "--output=size"]).arg(volume)).await?;
    Ok(sizes.lines().last().unwrap_or_default().trim().to_owned())
}

#[tokio::test]
async fn nodes_fail_in_the_ways_they_are_told_to() -> anyhow::Result<()> {
    if !node::is_wanted() {
        return Ok(());
    }
    let images = vec![Image::etcd(), Image::pgctld()];
    let mut node = Node::start(NodeOptions { images, ..NodeOptions::default() }).await?;
    let pods: Api<Pod> = Api::namespaced(node.client(), NAMESPACE);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(node.client(), NAMESPACE);
    create_etcd(node.client(), LIMITED_STORAGE_CLASS).await?;
    let etcd = await_condition(pods.clone(), "etcd", is_ready).await?.context("it is ready")?;
    let status = etcd.status.context("pods that run have a status")?;

    let claim = claims.get("etcd").await?;
    let volume = claim.spec.and_then(|spec| spec.volume_name).context("the claim is bound")?;
    let directory = node.control_plane().dir().join("volumes").join(volume);
    assert_eq!(room(&node, &directory).await?, "1024M");
    let grown = json!({ "spec": { "resources": { "requests": { "storage": "2Gi" } } } });
    claims.patch("etcd", &PatchParams::default(), &Patch::Merge(grown)).await?;
    await_condition(claims, "etcd", has_capacity("2Gi")).await?;
    assert_eq!(room(&node, &directory).await?, "2048M");

    node.cut_off(status.pod_ip.context("it has an address")?.parse()?).await?;
    assert_eq!(outcome_of_client(&pods, "cut-off").await?.as_deref(), Some("Failed"));
    node.reconnect().await?;
    assert_eq!(outcome_of_client(&pods, "reconnected").await?.as_deref(), Some("Succeeded"));

    node.restart_kubelet().await?;
    let container = status.container_statuses.and_then(|all| all.first()?.container_id.clone());
    let processes = node.processes(&container.context("it has a container")?).await?;
    assert_eq!(processes.iter().map(|process| &process.name).collect::<Vec<_>>(), ["etcd"]);
    node.signal("KILL", &processes[0]).await?;
    let restarted = |pod: Option<&Pod>| {
        let containers = pod.and_then(|pod| pod.status.as_ref()?.container_statuses.as_ref());
        containers.is_some_and(|all| all.iter().any(|container| container.restart_count == 1))
    };
    await_condition(pods, "etcd", restarted).await?;
    Ok(())
}

/// Every process of a node, in containers too, by the ids it has outside.
fn processes(state: &Path) -> anyhow::Result<Vec<u32>> {
    let node = process_namespace(fs::read_to_string(state.join("namespaces.pid"))?.trim().parse()?)?;
    // Containers have process namespaces of their own, but descend from the node's.
    let descends = |pid: &u32| {
        successors(Some(*pid), |pid| parent(*pid))
            .any(|pid| process_namespace(pid).is_ok_and(|own| own == node))
    };
    let running =
        fs::read_dir("/proc")?.filter_map(|process| process.ok()?.file_name().to_str()?.parse().ok());
    Ok(running.filter(descends).collect())
}

fn process_namespace(pid: u32) -> std::io::Result<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/pid"))
}

fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// The control groups of a node: those in which its containers are.
fn cgroups(processes: &[u32]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for pid in processes {
        // Some of a node's processes run for a moment only, such as a runtime's shims.
        let Ok(groups) = fs::read_to_string(format!("/proc/{pid}/cgroup")) else { continue };
        for line in groups.lines() {
            let path = line.rsplit(':').next().unwrap_or_default();
            if let Some(group) = path.split('/').nth(1).filter(|group| group.starts_with("testbed-")) {
                found.extend(hierarchies()?.into_iter().map(|hierarchy| hierarchy.join(group)));
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn hierarchies() -> anyhow::Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let groups = mounts.lines().filter(|line| line.starts_with("cgroup"));
    Ok(groups.filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from).collect())
}

#[tokio::test]
async fn two_nodes_do_not_meet_and_leave_nothing() -> anyhow::Result<()> {
    if !node::is_wanted() {
        return Ok(());
    }
    let options = NodeOptions { images: vec![Image::etcd()], ..NodeOptions::default() };
    let (one, other) = tokio::try_join!(Node::start(options.clone()), Node::start(options))?;
    create_etcd(one.client(), STORAGE_CLASS).await?;
    await_condition(Api::<Pod>::namespaced(one.client(), NAMESPACE), "etcd", is_pod_running()).await?;
    assert!(Api::<Pod>::namespaced(other.client(), NAMESPACE).get_opt("etcd").await?.is_none());

    let state = one.control_plane().dir().to_owned();
    let pids = processes(&state)?;
    let cgroups = cgroups(&pids)?;
    assert_eq!(cgroups.len(), hierarchies()?.len());
    let processes = hold(&pids)?;
    drop(one);
    assert_all_end(&processes)?;
    assert!(!state.exists());
    assert!(cgroups.iter().all(|group| !group.exists()), "{cgroups:?}");

    assert!(other.kubectl().must(["get", "--raw=/readyz"]).await.is_ok());
    Ok(())
}

#[test]
fn killing_the_owner_ends_everything() -> anyhow::Result<()> {
    if !node::is_wanted() {
        return Ok(());
    }
    let mut owner = Owner::of("own_a_node")?;
    let state = PathBuf::from(owner.value_of("dir ")?);
    let pids = processes(&state)?;
    let cgroups = cgroups(&pids)?;
    assert!(!cgroups.is_empty());
    let processes = hold(&pids)?;

    drop(owner);
    assert_all_end(&processes)?;
    assert_vanishes(&state);
    for group in cgroups {
        assert_vanishes(&group);
    }
    Ok(())
}

/// Runs for `killing_the_owner_ends_everything`, in a process of its own; not a test otherwise.
#[tokio::test]
async fn own_a_node() -> anyhow::Result<()> {
    if !is_owner() {
        return Ok(());
    }
    let node = Node::start(NodeOptions { images: vec![Image::etcd()], ..NodeOptions::default() }).await?;
    create_etcd(node.client(), STORAGE_CLASS).await?;
    await_condition(Api::<Pod>::namespaced(node.client(), NAMESPACE), "etcd", is_pod_running()).await?;
    // The test runner's own words are on the same line as the first of ours.
    println!("\ndir {}", node.control_plane().dir().display());
    std::future::pending().await
}

fn testbed(args: &[&str], dir: &Path) -> std::io::Result<Output> {
    let (command, args) = args.split_first().unwrap_or((&"--help", &[]));
    Command::new(env!("CARGO_BIN_EXE_testbed")).arg(command).arg("--dir").arg(dir).args(args).output()
}

#[test]
fn a_detached_node_runs_until_it_is_taken_down() -> anyhow::Result<()> {
    if !node::is_wanted() {
        return Ok(());
    }
    let parent = tempfile::tempdir()?;
    let dir = parent.path().join("demo");
    assert!(!testbed(&["exec", "--", "true"], &dir)?.status.success(), "there is no node yet");
    let up = testbed(&["up", "--real"], &dir)?;
    assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));

    let inside = testbed(&["exec", "--", "getent", "hosts", "kubernetes.default"], &dir)?;
    assert_eq!(String::from_utf8(inside.stdout)?.split_whitespace().next(), Some("10.96.0.1"));
    let processes = hold(&processes(&dir.join("control-plane"))?)?;

    assert!(testbed(&["down"], &dir)?.status.success());
    assert_all_end(&processes)?;
    assert!(!dir.exists());
    Ok(())
}
