//! Many clusters at once: how long until all that they are made into exists, and who pays for it.
//!
//! `cargo bench --bench scale` measures and prints a table of `docs/performance.md`, `-- --clusters 1000` with as many
//! clusters. As a test, that is without the `--bench` that cargo adds to the former, it goes through all of it with few.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]
#![allow(clippy::cast_precision_loss, reason = "what is measured is far less precise")]

#[path = "../integration/installation.rs"]
#[allow(dead_code, reason = "the tests do more with it")]
mod installation;
mod usage;

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use futures::{StreamExt, TryStreamExt, stream};
use kube::Client;
use kube::api::{Api, PostParams};
use multigres_crds::v1alpha1::MultigresCluster;
use serde_json::Value;
use testbed::Options;
use testbed::audit::{AuditEntry, AuditLog};
use tokio::time::{sleep, timeout};

use installation::{Installation, OPERATOR, binary};
use usage::Usage;

/// Namespaces that the clusters are spread over.
const NAMESPACES: usize = 10;
/// Clusters that are created at a time.
const AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_mins(30);
/// Without a write: everything is said, and what was freed was given back, which takes the allocator five seconds.
const QUIET: Duration = Duration::from_secs(10);
/// The same where nothing is measured.
const BRIEFLY: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_millis(200);
/// Time for which writes at rest are counted.
const COUNTED: Duration = Duration::from_mins(1);
/// Name of the operator's process, as the kernel shortens it.
const PROGRAM: &str = "multigres-opera";
const SAMPLE: &str = "tests/samples/two-cells.yaml";

/// Measures many clusters at once
#[derive(Parser)]
struct Args {
    /// Measures; without it everything is tried with few clusters
    #[arg(long)]
    bench: bool,
    /// Number of clusters
    #[arg(long, default_value_t = 200)]
    clusters: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let (clusters, quiet, counted) =
        if args.bench { (args.clusters, QUIET, COUNTED) } else { (3, BRIEFLY, BRIEFLY) };
    let installation = Installation::start(Options { controllers: false, ..Options::default() }).await?;
    let kubectl = installation.control_plane.kubectl();
    for index in 0..NAMESPACES {
        kubectl.must(["create", "namespace", &namespace(index)]).await?;
    }
    let audit = installation.control_plane.audit_log();
    let (marker, before, began) = (audit.marker()?, usage_by_program(&installation)?, Instant::now());
    let client = installation.control_plane.client();
    stream::iter(0..clusters)
        .map(|index| create(&client, index))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    let admitted = began.elapsed();
    let expected = expected(clusters)?;
    timeout(PATIENCE, until_made(&client, &expected)).await.context("not everything is made")??;
    println!("{clusters} clusters: admitted after {admitted:.1?}, made after {:.1?}\n", began.elapsed());

    timeout(PATIENCE, until_quiet(&audit, quiet)).await.context("the operator does not come to rest")??;
    println!("| program | CPU s | memory at rest, MB | at most |\n|---|--:|--:|--:|");
    for (program, after) in usage_by_program(&installation)? {
        print_usage(&program, after, before.get(&program).map_or(Duration::ZERO, |before| before.cpu));
    }
    let requests = requests(&audit.since(marker)?);
    print_rest(
        &installation,
        before.get(PROGRAM).context("the operator was not measured")?,
        clusters,
        counted,
    )
    .await?;

    // All of it is listed at once then.
    installation.stop_operator();
    installation.start_operator().await?;
    timeout(PATIENCE, until_quiet(&audit, quiet)).await.context("the operator does not come to rest")??;
    let pid = installation.operator_pid().context("it does not run")?;
    print_usage("the operator, started anew", Usage::of(pid)?, Duration::ZERO);

    println!("\n| the operator's requests | for each cluster |\n|---|--:|");
    for (request, count) in requests {
        println!("| {request} | {:.2} |", count as f64 / clusters as f64);
    }
    Ok(())
}

fn print_usage(program: &str, usage: Usage, before: Duration) {
    let cpu = usage.cpu.saturating_sub(before).as_secs_f64();
    println!(
        "| {program} | {cpu:.1} | {:.0} | {:.0} |",
        usage.resident as f64 / 1e6,
        usage.peak as f64 / 1e6
    );
}

/// Prints the memory that a cluster takes, and the writes of a fleet at rest.
async fn print_rest(
    installation: &Installation,
    before: &Usage,
    clusters: usize,
    counted: Duration,
) -> anyhow::Result<()> {
    let after = Usage::of(installation.operator_pid().context("it does not run")?)?;
    let each = after.resident.saturating_sub(before.resident) as f64 / 1e3 / clusters as f64;
    let audit = installation.control_plane.audit_log();
    let marker = audit.marker()?;
    sleep(counted).await;
    let written = audit.writes_since(marker, OPERATOR)?;
    let of_lease = written.iter().filter(|entry| entry.resource == "leases").count();
    let a_minute = |count: usize| count as f64 * 60.0 / counted.as_secs_f64();
    println!("\n| at rest | |\n|---|--:|");
    println!("| memory of the operator for each cluster, KB | {each:.0} |");
    println!("| writes a minute, but for the Lease | {:.1} |", a_minute(written.len() - of_lease));
    println!("| writes a minute to the Lease | {:.1} |", a_minute(of_lease));
    Ok(())
}

/// Number of requests the operator made of each sort.
fn requests(entries: &[AuditEntry]) -> BTreeMap<String, usize> {
    let mut requests = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.user == OPERATOR) {
        let slash = if entry.subresource.is_empty() { "" } else { "/" };
        let request = format!("{} {}{slash}{} {}", entry.verb, entry.resource, entry.subresource, entry.code);
        *requests.entry(request).or_default() += 1;
    }
    requests
}

fn namespace(index: usize) -> String {
    format!("scale-{}", index % NAMESPACES)
}

async fn create(client: &Client, index: usize) -> anyhow::Result<()> {
    let mut cluster: MultigresCluster = serde_saphyr::from_str(include_str!("../samples/two-cells.yaml"))?;
    cluster.metadata.name = Some(format!("cluster-{index}"));
    cluster.metadata.namespace = Some(namespace(index));
    Api::namespaced(client.clone(), &namespace(index)).create(&PostParams::default(), &cluster).await?;
    Ok(())
}

/// Number of objects of each kind there are to be, by the paths of their lists.
fn expected(clusters: usize) -> anyhow::Result<BTreeMap<String, usize>> {
    let output = binary().args(["render", "-f", SAMPLE]).output()?;
    let mut expected = BTreeMap::new();
    for object in serde_saphyr::from_multiple::<Value>(&String::from_utf8(output.stdout)?)? {
        let (version, kind) = (
            object["apiVersion"].as_str().context("no version")?,
            object["kind"].as_str().context("no kind")?,
        );
        let root = if version.contains('/') { "apis" } else { "api" };
        let plural =
            kube::core::discovery::ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk("", "", kind))
                .plural;
        *expected.entry(format!("/{root}/{version}/{plural}")).or_default() += clusters;
    }
    Ok(expected)
}

async fn until_made(client: &Client, expected: &BTreeMap<String, usize>) -> anyhow::Result<()> {
    for (path, count) in expected {
        loop {
            let request = hyper::Request::get(format!("{path}?limit=1")).body(Vec::new())?;
            let list: Value = client.request(request).await?;
            let first = list["items"].as_array().map_or(0, Vec::len) as u64;
            let there = first + list["metadata"]["remainingItemCount"].as_u64().unwrap_or_default();
            if there >= *count as u64 {
                break;
            }
            sleep(INTERVAL).await;
        }
    }
    Ok(())
}

/// Waits until the operator has not written for a while. That nothing happens no watch can tell.
async fn until_quiet(audit: &AuditLog, quiet: Duration) -> anyhow::Result<()> {
    loop {
        let marker = audit.marker()?;
        sleep(quiet).await;
        let written = audit.writes_since(marker, OPERATOR)?;
        // The lease of the one that leads is renewed for ever.
        if written.iter().all(|entry| entry.resource == "leases") {
            return Ok(());
        }
    }
}

/// Usage by program.
fn usage_by_program(installation: &Installation) -> anyhow::Result<BTreeMap<String, Usage>> {
    let pids = installation.control_plane.pids().into_iter().chain(installation.operator_pid());
    let of_pid = |pid| {
        let program = fs::read_to_string(format!("/proc/{pid}/comm"))?;
        Ok((program.trim().to_owned(), Usage::of(pid)?))
    };
    pids.map(of_pid).collect()
}
