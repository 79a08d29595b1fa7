//! Clusters: resolved into children, which are made, put back, released or deleted; their word becomes the cluster's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};
use multigres_crds::kind::ChildKind;
use multigres_crds::labels;
use multigres_crds::resolve::{self, Children};
use multigres_crds::v1alpha1::*;
use multigres_webhooks::footprint::{Conflict, Neighbour};

use super::bring_up;
use super::child::apply;
use super::children::reachable;
use super::context::{Context, Error};
use super::turndown::Kept;
use super::{stalled, turndown};
use crate::build::{self, Manifest};
use crate::observe::{Neighbourhood, ObjectKey, Observed};
use crate::reason::Reason;
use crate::status::{ClusterView, Trouble, cluster_status, conditions};

/// Makes a cluster's children what they should be and says what became of them.
pub async fn reconcile(cluster: Arc<MultigresCluster>, cx: Arc<Context>) -> Result<Action, Error> {
    let uid = cluster.uid().unwrap_or_default();
    if cluster.metadata.deletion_timestamp.is_some() {
        // Garbage collection does the rest, also without the operator.
        return Ok(Action::await_change());
    }
    let mut children = resolve::children(&cluster);
    let left = if paused(&cluster) { None } else { bring_up::settle(&cluster, &cx, &mut children).await };
    let kept = turndown::keep(&cluster, &cx.stores, &mut children);
    let manifests = build::manifests(&children);
    let mut troubles = contested(&cluster, &cx.neighbourhood);
    if paused(&cluster) {
        troubles.extend(pause_children(&cx, &uid).await);
    } else if troubles.is_empty() {
        troubles = apply(cluster.as_ref(), &cx, &manifests).await.troubles;
        troubles.extend(settle(&cluster, &cx, &manifests, &kept, &uid).await);
        troubles.extend(turndown::trouble(&kept));
    }
    let view = view(&cluster, &cx, &children, &manifests, &troubles).await;
    if let Some(wait) = hearing(&cluster, &view, cx.statuses.age(&uid)) {
        return Ok(Action::requeue(wait));
    }
    say(&cluster, &cx, &view).await?;
    let look = cx.next_look(&uid, &troubles);
    Ok(left.filter(|_| troubles.is_empty()).map_or(look, Action::requeue))
}

/// Longest time for which children are waited for that have said nothing of their present spec.
const HEARING: Duration = Duration::from_secs(10);

/// Time left to wait for the statuses of children before the cluster's status is written again: each child reports soon
/// after it was made or changed, and status writes cost the API server most. A new spec and new problems are reported
/// at once.
fn hearing(cluster: &MultigresCluster, view: &ClusterView, silent: Option<Duration>) -> Option<Duration> {
    let said = cluster.status.as_ref().and_then(|status| status.observed_generation);
    let has_news = said != cluster.metadata.generation || !view.troubles.is_empty() || view.is_complete();
    if has_news { None } else { HEARING.checked_sub(silent?).filter(|wait| !wait.is_zero()) }
}

fn paused(cluster: &MultigresCluster) -> bool {
    cluster.spec.paused.unwrap_or(false)
}

/// Conflicts with an older cluster. Admission refuses them, but two clusters that are created at the same moment do not
/// see each other: then the younger one is not made.
fn contested(cluster: &MultigresCluster, neighbourhood: &Neighbourhood) -> Vec<Trouble> {
    let own = Neighbour::of(cluster);
    let others = neighbourhood.neighbours(&own.footprint).into_iter();
    let older = others.filter(|other| own.footprint.is_younger_than(&other.footprint));
    let trouble = |other: Arc<Neighbour>| {
        let other_name = format!("MultigresCluster {}/{}", other.footprint.namespace, other.footprint.name);
        let (reason, message) = match own.conflict(&other)? {
            Conflict::Topology => {
                (Reason::TopologyConflict, format!("{other_name} is older and uses the same topology"))
            }
            Conflict::Name => {
                (Reason::NameTaken, format!("{other_name} is older and makes objects of the same names"))
            }
        };
        Some(Trouble { reason, message, lasting: true })
    };
    older.filter_map(trouble).collect()
}

/// The one thing that is still written while a cluster is paused.
async fn pause_children(cx: &Context, uid: &str) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    for (key, _) in cx.objects.controlled_by(uid) {
        if let Some(kind) = ChildKind::named(&key.kind)
            && let Err(error) = cx.applier.pause(&kind.resource(), &key, uid).await
        {
            troubles.push(Trouble::from(&error));
        }
    }
    troubles
}

/// Children that are controlled and not asked for: released where their section is no longer managed, else deleted.
async fn settle(
    cluster: &MultigresCluster,
    cx: &Context,
    manifests: &[Manifest],
    kept: &Kept,
    uid: &str,
) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let is_wanted =
        |key: &ObjectKey| kept.contains(key) || manifests.iter().any(|manifest| manifest.key() == *key);
    cx.applier.keep_only(uid, is_wanted);
    for (key, observed) in cx.objects.controlled_by(uid) {
        let Some(kind) = ChildKind::named(&key.kind) else { continue };
        if observed.deleting || is_wanted(&key) {
            continue;
        }
        if let Err(error) = part_with(cluster, cx, kind, &key, &observed, uid).await {
            troubles.push(error);
        }
    }
    troubles
}

async fn part_with(
    cluster: &MultigresCluster,
    cx: &Context,
    kind: ChildKind,
    key: &ObjectKey,
    observed: &Observed,
    uid: &str,
) -> Result<(), Trouble> {
    let resource = kind.resource();
    let (reason, note, result) = if resolve::section_is_managed(&cluster.spec, kind) {
        let note = format!(
            "The spec does not ask for {key} any more, so it was deleted; its volumes are retained unless the spec says otherwise"
        );
        ("Deleted", note, cx.applier.delete(&resource, key, observed).await)
    } else {
        let note = format!("{key} was released: it stays as it is and can be edited");
        ("Released", note, cx.applier.release(&resource, key, uid).await)
    };
    result.map_err(|error| Trouble::from(&error))?;
    cx.events.normal(&cluster.object_ref(&()), reason, "Reconcile", note).await;
    Ok(())
}

async fn say(cluster: &MultigresCluster, cx: &Context, view: &ClusterView) -> Result<(), Error> {
    let (mut status, facts) = cluster_status(view);
    let before = cluster.status.as_ref();
    status.observed_generation = cluster.metadata.generation;
    let earlier = before.map_or(&[][..], |status| &status.conditions);
    status.conditions = conditions(earlier, cluster.metadata.generation, &cx.clock.now(), facts);
    cx.write_status(cluster, before, &status).await?;
    stalled::tell(cluster, cx, earlier, &status.conditions).await;
    Ok(())
}

async fn view(
    cluster: &MultigresCluster,
    cx: &Context,
    children: &Children,
    manifests: &[Manifest],
    troubles: &[Trouble],
) -> ClusterView {
    let (spec, stores) = (&cluster.spec, &cx.stores);
    let topology_managed = resolve::topology_is_managed(spec);
    let external_topology = if topology_managed {
        Truth::Unknown
    } else {
        reachable(cx, cluster, &resolve::global_topology(cluster)).await
    };
    let of_cluster = Belonging { cluster };
    let missing = manifests.iter().map(Manifest::key).filter(|key| cx.objects.get(key).is_none());
    ClusterView {
        topology_managed,
        topo_server: find(&stores.topo_servers, children.topo_server.as_ref()),
        external_topology,
        admin: find(&stores.admins, children.admin.as_ref())
            .or_else(|| of_cluster.first(&stores.admins, |admin| &admin.spec.cluster)),
        orch: find(&stores.orchs, children.orch.as_ref())
            .or_else(|| of_cluster.first(&stores.orchs, |orch| &orch.spec.cluster)),
        cells: if resolve::section_is_managed(spec, ChildKind::MultiCell) {
            children.cells.iter().filter_map(|cell| find(&stores.cells, Some(cell))).collect()
        } else {
            of_cluster.all(&stores.cells, |cell| &cell.spec.cluster)
        },
        shards: if resolve::section_is_managed(spec, ChildKind::MultiShard) {
            children.shards.iter().filter_map(|shard| find(&stores.shards, Some(shard))).collect()
        } else {
            of_cluster.all(&stores.shards, |shard| &shard.spec.cluster)
        },
        expected_cells: children.cells.iter().map(|cell| cell.spec.cell.clone()).collect(),
        expected_databases: expected_databases(children),
        initialized_databases: initialized_databases(cluster),
        missing: missing.map(|key| ChildReference { kind: key.kind.into(), name: key.name.into() }).collect(),
        troubles: troubles.to_vec(),
        paused: paused(cluster),
    }
}

/// The databases of which the status says already that they were initialised.
fn initialized_databases(cluster: &MultigresCluster) -> BTreeSet<String> {
    let said = cluster.status.iter().flat_map(|status| &status.databases);
    said.filter(|(_, database)| database.initialized == Truth::True).map(|(name, _)| name.clone()).collect()
}

fn expected_databases(children: &Children) -> BTreeMap<String, i32> {
    let mut databases = BTreeMap::new();
    for shard in &children.shards {
        let instances: i32 = shard.spec.pools.iter().map(|pool| pool.replicas).sum();
        *databases.entry(shard.spec.database.clone()).or_default() += instances;
    }
    databases
}

/// The child as the API server has it, unless it is another cluster's that came to the same name.
pub(super) fn find<K>(store: &Store<K>, child: Option<&K>) -> Option<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let found = store.get(&ObjectRef::from_obj(child?))?;
    let cluster = |child: &K| child.labels().get(labels::CLUSTER).cloned();
    (cluster(&found) == cluster(child?)).then(|| found.as_ref().clone())
}

/// Standalone children, which may have any name.
struct Belonging<'a> {
    cluster: &'a MultigresCluster,
}

impl Belonging<'_> {
    fn all<K>(&self, store: &Store<K>, cluster: fn(&K) -> &String) -> Vec<K>
    where
        K: Resource<DynamicType = ()> + Clone + 'static,
    {
        let belongs = |child: &&Arc<K>| {
            child.namespace() == self.cluster.namespace()
                && *cluster(child.as_ref()) == self.cluster.name_any()
        };
        let mut children: Vec<K> =
            store.state().iter().filter(belongs).map(|child| child.as_ref().clone()).collect();
        children.sort_by_key(ResourceExt::name_any);
        children
    }

    fn first<K>(&self, store: &Store<K>, cluster: fn(&K) -> &String) -> Option<K>
    where
        K: Resource<DynamicType = ()> + Clone + 'static,
    {
        self.all(store, cluster).into_iter().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../tests/samples/two-cells.yaml");

    #[test]
    fn children_are_heard_before_more_is_said() {
        let cluster = |said: Option<i64>| {
            let mut cluster: MultigresCluster = serde_saphyr::from_str(SAMPLE).unwrap();
            cluster.metadata.generation = Some(2);
            cluster.status = said.map(|generation| MultigresClusterStatus {
                observed_generation: Some(generation),
                ..MultigresClusterStatus::default()
            });
            cluster
        };
        let child = ChildReference { kind: "MultiCell".to_owned(), name: "c-a".to_owned() };
        let complete = ClusterView::default();
        let incomplete = ClusterView { missing: vec![child], ..ClusterView::default() };
        let refused = Trouble { reason: Reason::ApplyFailed, message: "refused".to_owned(), lasting: true };
        let troubled = ClusterView {
            troubles: vec![refused],
            missing: incomplete.missing.clone(),
            ..ClusterView::default()
        };
        let (second, left) = (Some(Duration::from_secs(1)), HEARING.checked_sub(Duration::from_secs(1)));
        for (what, said, view, silent, expected) in [
            ("a new cluster", None, &incomplete, None, None),
            ("a new spec", Some(1), &incomplete, second, None),
            ("a child is not there", Some(2), &incomplete, second, left),
            ("it has been waited for", Some(2), &incomplete, Some(HEARING), None),
            ("nothing was said by this process", Some(2), &incomplete, None, None),
            ("all have spoken", Some(2), &complete, second, None),
            ("trouble", Some(2), &troubled, second, None),
        ] {
            assert_eq!(hearing(&cluster(said), view, silent), expected, "{what}");
        }
    }
}
