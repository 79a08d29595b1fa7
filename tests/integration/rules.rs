//! Every rule of admission, through the real API server: what it refuses, with exactly these causes, and what it lets
//! pass that is nearly the same.

mod amounts;
pub mod children;
mod documentation;
mod naming;
mod offline;
mod shards;
mod sharing;
mod update;
mod warnings;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testbed::Options;

use crate::answers::Cause;
use crate::installation::{Installation, NAMESPACE, Namespace, eventually};
use crate::samples::{SMALL, condition, converged};

/// A sound cluster with a database of each form. It is paused, so that storing it makes nothing.
const SOUND: &str = "
apiVersion: multigres.com/v1alpha1
kind: MultigresCluster
metadata: {name: sound}
spec:
  paused: true
  globalTopoServer: {rootPath: /multigres/sound}
  cells:
    templates:
    - {name: zone-a, spec: {multiGateway: {service: {type: ClusterIP}}}}
    - {name: zone-b, spec: {multiGateway: {service: {type: ClusterIP}}}}
  databases:
    templates:
    - name: short
      spec:
        pools:
        - cell: zone-a
          primary: {replicas: 2, dataVolumeClaimTemplate: &volume {accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Gi}}}}
          replica: {}
        - {cell: zone-b, replica: {dataVolumeClaimTemplate: *volume}}
    - name: full
      spec:
        tableGroups:
        - name: default
          partitioning: {shards: 1}
          shardTemplate:
            pools:
            - {type: replica, cell: zone-a, replicas: 2, dataVolumeClaimTemplate: *volume}
            - {type: readOnly, cell: zone-b, name: reports, dataVolumeClaimTemplate: *volume}
";

/// An edit of a cluster, and what is then wrong with it.
type Case = (&'static str, fn(&mut Value), &'static [Cause]);

/// Cases of clusters that are created.
fn creations() -> impl Iterator<Item = &'static Case> {
    naming::CASES.iter().chain(shards::CASES).chain(amounts::CASES).chain(sharing::CASES)
}

pub fn sound() -> Value {
    serde_saphyr::from_str(SOUND).unwrap()
}

/// The sound cluster under another name.
fn sound_as(name: &str) -> Value {
    let mut cluster = sound();
    cluster["metadata"]["name"] = name.into();
    cluster
}

fn edited(mut cluster: Value, edit: fn(&mut Value)) -> Value {
    edit(&mut cluster);
    cluster
}

/// The entries of the short form.
pub fn entries(cluster: &mut Value) -> &mut Value {
    &mut cluster["spec"]["databases"]["templates"][0]["spec"]["pools"]
}

/// The only table group of the full form.
pub fn group(cluster: &mut Value) -> &mut Value {
    &mut cluster["spec"]["databases"]["templates"][1]["spec"]["tableGroups"][0]
}

/// A pool of the full form.
pub fn pool(cluster: &mut Value, index: usize) -> &mut Value {
    &mut group(cluster)["shardTemplate"]["pools"][index]
}

fn topology(cluster: &mut Value) -> &mut Value {
    &mut cluster["spec"]["globalTopoServer"]
}

/// The template of the first cell.
fn cell(cluster: &mut Value) -> &mut Value {
    &mut cluster["spec"]["cells"]["templates"][0]
}

fn database(cluster: &mut Value, index: usize) -> &mut Value {
    &mut cluster["spec"]["databases"]["templates"][index]
}

/// The volume of the primary of the short form, which its replica inherits.
fn volume(cluster: &mut Value) -> &mut Value {
    &mut entries(cluster)[0]["primary"]["dataVolumeClaimTemplate"]
}

fn push(list: &mut Value, item: Value) {
    list.as_array_mut().unwrap().push(item);
}

/// Repeats the last item of a list under new names until there are so many.
fn fill(list: &mut Value, count: usize) {
    let items = list.as_array_mut().unwrap();
    let mut copy = items.last().unwrap().clone();
    for index in items.len()..count {
        copy["name"] = format!("n{index}").into();
        items.push(copy.clone());
    }
}

fn rename(cluster: &mut Value, name: &str) {
    cluster["metadata"] = json!({"name": name});
}

fn generate(cluster: &mut Value, prefix: &str) {
    cluster["metadata"] = json!({"generateName": prefix});
}

/// Removes a field.
fn without(object: &mut Value, field: &str) {
    object.as_object_mut().unwrap().remove(field).unwrap();
}

#[tokio::test]
async fn of_clusters_that_are_made() {
    let namespace = Installation::shared().await.namespace("rules-create").await;
    sharing::settle_neighbour(&namespace).await;
    sharing::settle_etcd_volume(&namespace).await;
    let clusters = namespace.clusters().dry_run();
    for (rule, edit, causes) in creations() {
        let answer = clusters.create(&edited(sound(), *edit)).await;
        eprintln!("{rule} {causes:?}");
        match *causes {
            [] => drop(answer.allowed()),
            causes => answer.assert_invalid(causes),
        }
    }
}

#[tokio::test]
async fn of_clusters_that_are_changed() {
    let namespace = Installation::shared().await.namespace("rules-update").await;
    let names = (0..update::CASES.len()).map(|index| format!("stored-{index}"));
    update::settle_volumes(&namespace, names).await;
    let clusters = namespace.clusters();
    for (index, (stored, cases)) in update::CASES.iter().enumerate() {
        let name = format!("stored-{index}");
        let before = edited(sound_as(&name), *stored);
        clusters.create(&before).await.allowed();
        let clusters = namespace.clusters().dry_run();
        for (rule, edit, causes) in *cases {
            let after = edited(before.clone(), *edit);
            let answer = clusters.update_spec(&name, &after["spec"]).await;
            eprintln!("{rule} {causes:?}");
            match *causes {
                [] => drop(answer.allowed()),
                causes => answer.assert_invalid(causes),
            }
        }
    }
}

#[tokio::test]
async fn of_what_should_be_known() {
    let namespace = Installation::shared().await.namespace("rules-warnings").await;
    update::settle_volumes(&namespace, std::iter::once("made".to_owned())).await;
    namespace.clusters().create(&sound()).await.allowed();
    let clusters = namespace.clusters().dry_run();
    let made = sound_as("made");
    for (rule, warned, says, silent) in warnings::CREATED {
        eprintln!("{rule} {says}");
        clusters.create(&edited(made.clone(), *warned)).await.allowed().assert_warns(says);
        clusters.create(&edited(made.clone(), *silent)).await.allowed().assert_silent(says);
    }
    for (rule, warned, says, silent) in warnings::CHANGED {
        eprintln!("{rule} {says}");
        let update =
            async |edit| clusters.update_spec("sound", &edited(sound(), edit)["spec"]).await.allowed();
        update(*warned).await.assert_warns(says);
        update(*silent).await.assert_silent(says);
    }
}

/// A rule that nobody tries on an API server may not work there: whatever the table lacks fails this test.
#[test]
fn all_of_them_are_tried_both_ways() {
    let updates = update::CASES.iter().flat_map(|(_, cases)| *cases);
    let (mut refused, mut passed) = (BTreeSet::new(), BTreeSet::new());
    for (rule, _, causes) in creations().chain(updates) {
        let tried = if causes.is_empty() { &mut passed } else { &mut refused };
        tried.insert(*rule);
    }
    for (rule, _, _, causes) in children::all() {
        let tried = if causes.is_empty() { &mut passed } else { &mut refused };
        tried.insert(*rule);
    }
    for rule in multigres_webhooks::validate::RULES {
        assert!(refused.contains(rule.id), "{}: no case that is refused", rule.id);
        assert!(passed.contains(rule.id), "{}: no case that passes", rule.id);
    }
    let of_clusters = warnings::CREATED.iter().chain(warnings::CHANGED).map(|(rule, ..)| *rule);
    let of_children = children::WARNED.iter().map(|(rule, ..)| *rule);
    let warned: BTreeSet<&str> = of_clusters.chain(of_children).collect();
    for rule in multigres_webhooks::validate::WARNINGS {
        assert!(warned.contains(rule.id), "{}: no case that is warned of", rule.id);
    }
}

/// The storage request of the primary's volume in [`SMALL`].
fn small_of(storage: &str) -> String {
    SMALL.replace("storage: 2048Mi", &format!("storage: {storage}"))
}

async fn apply(namespace: &Namespace<'_>, storage: &str) -> Result<String, String> {
    namespace.apply(&small_of(storage)).await
}

/// U05 asks what the volumes really are. While the cluster is paused nobody grows any, as if it had failed.
#[tokio::test]
async fn a_growth_that_failed_can_be_taken_back() {
    let namespace = Installation::shared().await.namespace("rules-growth").await;
    apply(&namespace, "2Gi").await.unwrap();
    converged(&namespace, "small").await;
    namespace.clusters().merge("small", json!({"spec": {"paused": true}})).await.allowed();
    apply(&namespace, "4Gi").await.unwrap();
    let refused = apply(&namespace, "1Gi").await.unwrap_err();
    assert!(refused.contains("\"1Gi\" is less than the \"4Gi\" of now"), "{refused}");
    apply(&namespace, "2Gi").await.unwrap();
}

/// [`SMALL`] after an edit of what is in it.
fn small(edit: impl FnOnce(&mut Value)) -> String {
    let mut cluster = serde_saphyr::from_str(SMALL).unwrap();
    edit(&mut cluster);
    cluster.to_string()
}

/// Backup volumes grow as announced, as the others do.
#[tokio::test]
async fn the_volume_of_backups_grows_and_a_failed_growth_can_be_taken_back() {
    let namespace = Installation::shared().await.namespace("rules-backups").await;
    let of = |storage: &str| {
        small(|cluster| {
            let claim =
                json!({"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": storage}}});
            cluster["spec"]["backup"] = json!({"filesystem": {"volumeClaimTemplate": claim}});
        })
    };
    let pods = async || namespace.must(&["get", "pods", "-o", "jsonpath={.items[*].metadata.uid}"]).await;
    namespace.apply(&of("10Gi")).await.unwrap();
    converged(&namespace, "small").await;
    let before = pods().await;
    let said = namespace.apply(&of("20Gi")).await.unwrap();
    assert!(said.contains("app/0-inf backups: volume grows 10Gi → 20Gi online, no restart"), "{said}");
    let has = |claim: &Value, storage: &str| {
        let sizes = ["/spec/resources/requests/storage", "/status/capacity/storage"];
        sizes.iter().all(|size| claim.pointer(size) == Some(&storage.into()))
    };
    let claim = "small-app-default-0-inf-backup";
    namespace.until("pvc", claim, "grown", |claim| has(claim, "20Gi")).await;
    converged(&namespace, "small").await;
    let shard = namespace.get("multishard", "small-app-default-0-inf").await.unwrap();
    assert_eq!((condition(&shard, "ImmutableField"), pods().await), (None, before));

    // While the cluster is paused nobody grows any, as if it had failed.
    namespace.clusters().merge("small", json!({"spec": {"paused": true}})).await.allowed();
    namespace.apply(&of("40Gi")).await.unwrap();
    let refused = namespace.apply(&of("10Gi")).await.unwrap_err();
    assert!(refused.contains("\"10Gi\" is less than the \"40Gi\" of now"), "{refused}");
    namespace.apply(&of("20Gi")).await.unwrap();
}

/// U06 is about claims: where none was made, the next one is made as the spec then asks for.
#[tokio::test]
async fn what_was_never_made_can_be_made_otherwise() {
    let namespace = Installation::shared().await.namespace("rules-unmade").await;
    let of = |class: &str, replicas: i32| {
        small(|cluster| {
            let pools = &mut cluster["spec"]["databases"]["templates"][0]["spec"]["pools"][0];
            pools["primary"]["replicas"] = json!(2);
            let mut claim = pools["primary"]["dataVolumeClaimTemplate"].clone();
            claim["storageClassName"] = json!(class);
            pools["replica"] = json!({"replicas": replicas, "dataVolumeClaimTemplate": claim});
        })
    };
    namespace.apply(&of("standard", 0)).await.unwrap();
    converged(&namespace, "small").await;
    namespace.apply(&of("limited", 0)).await.unwrap();
    let set = "small-app-default-0-inf-a-replica-pg";
    let class = "/spec/volumeClaimTemplates/0/spec/storageClassName";
    let is_made_anew = |set: &Value| set.pointer(class) == Some(&"limited".into());
    namespace.until("statefulset", set, "made anew", is_made_anew).await;
    namespace.apply(&of("limited", 1)).await.unwrap();
    let claim = format!("data-{set}-0");
    namespace
        .until("pvc", &claim, "of the class", |claim| claim["spec"]["storageClassName"] == "limited")
        .await;
    let known = || async { namespace.apply(&of("standard", 1)).await.err() };
    let refused = crate::installation::eventually("admission knows of the claim", known).await.unwrap();
    assert!(refused.contains("cannot change from \"limited\" to \"standard\""), "{refused}");
}

/// Has another replica lead, which does nothing: what this test says of clusters stays.
async fn lead_in_name(installation: &Installation, term: usize) {
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "multigres-operator", "namespace": NAMESPACE},
        "spec": {"holderIdentity": "nobody", "leaseTransitions": term},
    });
    let kubectl = installation.control_plane.kubectl();
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    kubectl.must_with_stdin(apply, &lease.to_string()).await.unwrap();
}

/// U07 asks whether there ever was data, of the status.
#[tokio::test]
async fn the_major_version_changes_where_no_shard_was_ever_initialized() {
    let options = Options { controllers: false, ..Options::default() };
    let installation = Installation::start(options).await.unwrap();
    installation.end_operator().await.unwrap();
    lead_in_name(&installation, 0).await;
    installation.start_operator().await.unwrap();
    let namespace = installation.namespace("rules-major").await;
    let clusters = namespace.clusters();
    let of_major = |name: &str, major: &str| {
        let mut cluster = sound_as(name);
        cluster["spec"]["databases"]["images"] = json!({"postgres": format!("example.com/postgres:{major}")});
        cluster
    };
    let both = |initialized: &str| {
        let said = json!({"initialized": initialized});
        json!({"short": said, "full": said})
    };
    for (term, (databases, is_allowed)) in [
        (both("False"), true),
        (both("True"), false),
        (both("Unknown"), false),
        (json!({"short": {"initialized": "False"}}), false),
        (json!({}), false),
    ]
    .into_iter()
    .enumerate()
    {
        // A leader that does not renew its lease is taken for dead.
        lead_in_name(&installation, term + 1).await;
        let name = format!("major-{term}");
        // An operator that has just begun may be late for the first one.
        let create = || async { clusters.create(&of_major(&name, "16")).await.is_allowed().then_some(()) };
        eventually("a cluster is made", create).await.unwrap();
        let status = json!({"status": {"databases": databases}});
        clusters.merge_subresource("status", &name, status).await.allowed();
        let answer = clusters.update_spec(&name, &of_major(&name, "17")["spec"]).await;
        if is_allowed {
            answer.allowed();
        } else {
            let message = "is PostgreSQL 17, which cannot read the data of 16";
            answer.assert_invalid(&[("Forbidden", "spec.databases.images.postgres", message)]);
        }
    }
}
