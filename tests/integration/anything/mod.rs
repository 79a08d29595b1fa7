//! Anything, in any order: whatever users, others and faults do, what is stored in the end is what there is.
//!
//! A round runs several sequences side by side, each with a seed, a namespace and a cluster of its own; they share the
//! operator, and so its faults. After twenty steps of each, the spec that is stored then is applied afresh in a second
//! namespace, and both must come to the same objects, after which nothing is written any more.
//!
//! `ANYTHING_SEQUENCES=200` runs as many sequences, `ANYTHING_SEEDS=1f,2e` those of these seeds. Seeds of sequences that
//! failed once stand in `regressions.txt` and are run each time.

mod compare;
mod drift;
mod edits;
mod faults;
mod namespaces;
mod objects;
mod report;
mod world;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};
use testbed::Options;
use testbed::audit::{AuditEntry, Marker};
use tokio::time::sleep;

use self::compare::{Comparison, compare, names};
use self::drift::set_running;
use self::faults::Operator;
use self::namespaces::delete_all;
use self::objects::{Objects, Requests};
use self::report::Report;
use self::world::{CLUSTER, World};
use crate::installation::{Installation, OPERATOR, eventually};

const STEPS: usize = 20;
/// Sequences of a round at most.
const MANY: usize = 12;
/// Seeds that `make test` runs beside the regressions. They are the same each time, so that a change fails by what it
/// changes; `make soak` draws new ones.
const BRIEF: [u64; 3] = [0xc5b5_d370_c640_7dcd, 0x7a0b_131e_b2b2_ba30, 0x10cf_0bc9_00e4_5d0d];
/// Longest time in which a round comes to rest; only one that fails takes so long.
const PATIENCE: Duration = Duration::from_mins(2);
/// Time without a write after which a round counts as at rest, and windows of it that may pass before.
const QUIET: Duration = Duration::from_secs(4);
const WINDOWS: usize = 8;
const REGRESSIONS: &str = include_str!("regressions.txt");

#[tokio::test]
async fn anything_in_any_order_comes_to_what_a_fresh_apply_gives() {
    let mut seeds = regressions();
    let asked = std::env::var("ANYTHING_SEQUENCES").ok().map(|count| count.parse::<usize>().unwrap());
    if let Ok(named) = std::env::var("ANYTHING_SEEDS") {
        seeds = named.split(',').map(seed).collect();
    } else if let Some(wanted) = asked {
        seeds.extend((seeds.len()..wanted).map(|_| rand::random::<u64>()));
    } else {
        seeds.extend(BRIEF);
    }
    let operator = operator().await;
    let requests = Requests(operator.installation.control_plane.client());
    let mut report = Report::default();
    for (index, seeds) in seeds.chunks(MANY).enumerate() {
        round(index, seeds, &operator, &requests, &mut report).await;
        report.print_progress();
    }
    report.print();
    report.assert_sound(asked.is_some());
}

fn regressions() -> Vec<u64> {
    let lines = REGRESSIONS.lines().map(|line| line.split('#').next().unwrap().trim());
    lines.filter(|line| !line.is_empty()).map(seed).collect()
}

fn seed(text: &str) -> u64 {
    u64::from_str_radix(text.trim(), 16).unwrap()
}

async fn operator() -> Operator {
    let installation = Installation::start(Options { fake_nodes: 3, ..Options::default() }).await.unwrap();
    let requests = Requests(installation.control_plane.client());
    Operator::new(installation, requests).await
}

/// Name of the namespace in which the spec of a sequence is applied afresh.
fn fresh(world: &World) -> String {
    world.namespace.replace("any-", "new-")
}

async fn create_namespace(requests: &Requests, name: &str) {
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    let (code, answer) = requests.create("/api/v1/namespaces", &namespace).await;
    assert_eq!(code, 201, "{answer}");
}

async fn round(index: usize, seeds: &[u64], operator: &Operator, requests: &Requests, report: &mut Report) {
    let audit = operator.installation.control_plane.audit_log();
    let (began, marker) = (Instant::now(), audit.marker().unwrap());
    let name = |number: usize| format!("any-{index:03}-{number:02}");
    let mut worlds: Vec<World> =
        seeds.iter().enumerate().map(|(number, seed)| World::new(*seed, name(number))).collect();
    for world in &mut worlds {
        create_namespace(requests, &world.namespace).await;
        world.create(requests, &mut report.counts).await;
    }
    for _ in 0..STEPS {
        for world in &mut worlds {
            world.step(operator, requests, &mut report.counts).await;
            report.restarts += usize::from(operator.revive().await);
        }
    }
    for (fault, times) in operator.applied() {
        report.counts.add("fault", fault.into(), times);
    }
    report.restarts += usize::from(operator.revive().await);
    let stepped = began.elapsed();
    let specs = apply_afresh(&mut worlds, requests).await;
    let outcome = rest(&worlds, &specs, requests).await;
    let writes = quiet(&worlds, operator).await;
    let deleted = deleted_data(&worlds, &audit.since(marker).unwrap());
    for (world, comparison) in worlds.iter().zip(outcome) {
        let mut wrong = comparison.differences.clone();
        let here =
            |entry: &&AuditEntry| entry.namespace == world.namespace || entry.namespace == fresh(world);
        wrong.extend(writes.iter().filter(here).map(|write| format!("written for ever: {write:?}")));
        wrong.extend(deleted.get(&world.namespace).into_iter().flatten().cloned());
        report.take(world, &comparison, &wrong);
    }
    let namespaces: Vec<String> =
        worlds.iter().flat_map(|world| [world.namespace.clone(), fresh(world)]).collect();
    report.namespaces += namespaces.len();
    report.finished += delete_all(requests, &namespaces, seeds[0]).await;
    let (sequences, rested) = (worlds.len(), began.elapsed().saturating_sub(stepped));
    println!(
        "round {index}: {sequences} sequences, {stepped:.0?} of steps, {rested:.0?} to rest and to delete"
    );
}

/// Applies what is stored in the end in namespaces of its own. Returns the specs.
async fn apply_afresh(worlds: &mut [World], requests: &Requests) -> Vec<Option<Value>> {
    let mut specs = Vec::new();
    for world in worlds {
        create_namespace(requests, &fresh(world)).await;
        let stored = world.finish(requests).await;
        if let Some(spec) = &stored {
            let own = spec.to_string().replace(&world.namespace, &fresh(world));
            let cluster = json!({
                "apiVersion": "multigres.com/v1alpha1", "kind": "MultigresCluster",
                "metadata": { "name": CLUSTER }, "spec": serde_json::from_str::<Value>(&own).unwrap(),
            });
            let at = format!("/apis/multigres.com/v1alpha1/namespaces/{}/multigresclusters", fresh(world));
            // Admission may not be served yet by an operator that has just been started.
            let created = || async {
                let (code, answer) = requests.create(&at, &cluster).await;
                (code < 500).then_some((code, answer))
            };
            let (code, answer) = eventually("admission answers", created).await.unwrap();
            world.log.push(format!("applied afresh: {code} {}", answer["message"]));
        }
        specs.push(stored);
    }
    specs
}

/// Waits until all is as it should be, or patience ends. Instances that a rollout waits for stop running: with fake
/// nodes nobody can tell what they are, so that the operator may replace no other.
async fn rest(worlds: &[World], specs: &[Option<Value>], requests: &Requests) -> Vec<Comparison> {
    let began = Instant::now();
    loop {
        let objects = requests.snapshot().await;
        let compared: Vec<Comparison> =
            worlds.iter().zip(specs).map(|(world, spec)| of_world(world, spec.as_ref(), &objects)).collect();
        let is_done = compared.iter().all(|comparison| comparison.differences.is_empty());
        if is_done || began.elapsed() > PATIENCE {
            return compared;
        }
        let stale = compared.iter().flat_map(|comparison| &comparison.stale_pods);
        join_all(stale.map(|pod| set_running(requests, pod, false))).await;
        sleep(Duration::from_secs(1)).await;
    }
}

fn of_world(world: &World, spec: Option<&Value>, objects: &BTreeMap<String, Objects>) -> Comparison {
    let none = Objects::new();
    let (there, afresh) =
        (objects.get(&world.namespace).unwrap_or(&none), objects.get(&fresh(world)).unwrap_or(&none));
    let mut comparison = compare((&world.namespace, there), (&fresh(world), afresh), &world.explained);
    // Two namespaces in which nothing was made would be alike, too.
    let expected = spec.map(|spec| names(&json!({ "metadata": { "name": CLUSTER }, "spec": spec })));
    // Claims are made by the StatefulSet controller, in its time and order.
    for (kind, name) in expected.into_iter().flatten().filter(|(kind, _)| kind != "PersistentVolumeClaim") {
        if !afresh.contains_key(&(kind.clone(), name.clone())) {
            comparison.differences.push(format!("{kind} {name} was not made by a fresh apply"));
        }
    }
    comparison
}

/// Writes that go on after everything is as it should be.
async fn quiet(worlds: &[World], operator: &Operator) -> Vec<AuditEntry> {
    let audit = operator.installation.control_plane.audit_log();
    let mut writes = Vec::new();
    for _ in 0..WINDOWS {
        let marker: Marker = audit.marker().unwrap();
        // Not a wait for something to happen: the statement is about this very time.
        sleep(QUIET).await;
        writes = audit.writes_since(marker, OPERATOR).unwrap();
        writes.retain(|write| {
            worlds.iter().any(|world| write.namespace == world.namespace || write.namespace == fresh(world))
        });
        if writes.is_empty() {
            break;
        }
    }
    writes
}

/// Volumes and passwords that somebody deleted although no spec ever said so, by namespace.
fn deleted_data(worlds: &[World], entries: &[AuditEntry]) -> BTreeMap<String, Vec<String>> {
    let mut deleted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.verb.starts_with("delete") && entry.code < 300) {
        let holds_data = match entry.resource.as_str() {
            "persistentvolumeclaims" => true,
            // What a client connects with is made of the password again.
            "secrets" => !entry.name.ends_with("-connection"),
            _ => false,
        };
        let is_kept = worlds.iter().any(|world| world.namespace == entry.namespace && !world.lets_data_go);
        if holds_data && is_kept {
            let what = format!("{} {} was deleted by {}", entry.resource, entry.name, entry.user);
            deleted.entry(entry.namespace.clone()).or_default().push(what);
        }
    }
    deleted
}
