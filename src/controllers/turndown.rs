//! Deletion protection, once admission was gone round: what a protected cluster no longer asks for stays as it is.

use std::collections::BTreeSet;

use kube::runtime::reflector::Store;
use kube::{Resource, ResourceExt};
use multigres_crds::kind::ChildKind;
use multigres_crds::resolve::{self, Children};
use multigres_crds::v1alpha1::{MultiOrch, MultiShard, MultigresCluster};

use super::context::Stores;
use crate::observe::ObjectKey;
use crate::reason::Reason;
use crate::status::Trouble;

/// Objects that stay although the spec does not ask for them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Children as a whole.
    children: BTreeSet<ObjectKey>,
    /// Pools of shards that are asked for, each with its shard.
    pools: BTreeSet<(String, String)>,
}

impl Kept {
    /// True if a child stays.
    pub fn contains(&self, key: &ObjectKey) -> bool {
        self.children.contains(key)
    }
}

/// Finds what a protected cluster would lose, and has the other children go on serving it.
pub fn keep(cluster: &MultigresCluster, stores: &Stores, children: &mut Children) -> Kept {
    let mut kept = Kept::default();
    if cluster.spec.deletion_protection != Some(true) {
        return kept;
    }
    if resolve::section_is_managed(&cluster.spec, ChildKind::MultiShard) {
        for shard in controlled(&stores.shards, cluster) {
            let is_it = |wanted: &&mut MultiShard| wanted.name_any() == shard.name_any();
            if let Some(wanted) = children.shards.iter_mut().find(is_it) {
                keep_pools(wanted, &shard, &mut kept);
            } else {
                kept.children.insert(key(&shard));
                watch_over(children.orch.as_mut(), &shard);
            }
        }
    }
    if resolve::section_is_managed(&cluster.spec, ChildKind::MultiCell) {
        let orch = controlled(&stores.orchs, cluster).pop();
        for cell in controlled(&stores.cells, cluster) {
            if children.cells.iter().any(|wanted| wanted.name_any() == cell.name_any()) {
                continue;
            }
            kept.children.insert(key(&cell));
            run_in(children.orch.as_mut(), orch.as_ref(), &cell.spec.cell);
        }
    }
    kept
}

/// The condition that reports objects that stay.
pub fn trouble(kept: &Kept) -> Option<Trouble> {
    let children = kept.children.iter().map(ToString::to_string);
    let pools = kept.pools.iter().map(|(shard, pool)| format!("pool {pool} of MultiShard {shard}"));
    let parts: Vec<String> = children.chain(pools).collect();
    if parts.is_empty() {
        return None;
    }
    let message = format!(
        "The spec no longer asks for {}, and spec.deletionProtection is true: nothing is removed. Put back what is \
         missing in the spec, or set spec.deletionProtection to false to have it removed.",
        parts.join(", ")
    );
    Some(Trouble { reason: Reason::TurndownBlocked, message, lasting: true })
}

/// The children of a kind that a cluster controls and that are not on their way out, by name.
fn controlled<K>(store: &Store<K>, cluster: &MultigresCluster) -> Vec<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let uid = cluster.uid().unwrap_or_default();
    let is_controlled = |child: &K| {
        child.meta().deletion_timestamp.is_none()
            && child.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.uid == uid)
    };
    let children = store.state();
    let found = children.iter().filter(|child| is_controlled(child.as_ref()));
    let mut found: Vec<K> = found.map(|child| child.as_ref().clone()).collect();
    found.sort_by_key(ResourceExt::name_any);
    found
}

fn key<K: Resource<DynamicType = ()>>(child: &K) -> ObjectKey {
    ObjectKey::new(&K::kind(&()), &child.namespace().unwrap_or_default(), &child.name_any())
}

fn keep_pools(wanted: &mut MultiShard, is: &MultiShard, kept: &mut Kept) {
    for pool in &is.spec.pools {
        if !wanted.spec.pools.iter().any(|other| other.name == pool.name) {
            wanted.spec.pools.push(pool.clone());
            kept.pools.insert((is.name_any(), pool.name.clone()));
        }
    }
}

/// Has the orchestrators go on looking after a database.
fn watch_over(orch: Option<&mut MultiOrch>, shard: &MultiShard) {
    if let Some(orch) = orch.filter(|orch| !orch.spec.databases.contains(&shard.spec.database)) {
        orch.spec.databases.push(shard.spec.database.clone());
    }
}

/// Has orchestrators go on running in a cell.
fn run_in(orch: Option<&mut MultiOrch>, is: Option<&MultiOrch>, cell: &str) {
    let before = is.and_then(|is| is.spec.cells.iter().find(|other| other.name == cell));
    if let (Some(orch), Some(before)) = (orch, before)
        && !orch.spec.cells.iter().any(|other| other.name == cell)
    {
        orch.spec.cells.push(before.clone());
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector;
    use kube::runtime::watcher::Event;
    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use serde_json::json;

    use super::*;

    const SAMPLE: &str = include_str!("../../tests/samples/two-cells.yaml");

    fn store<K>(cluster: &MultigresCluster, children: &[K]) -> Store<K>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Serialize + 'static,
    {
        let (store, mut writer) = reflector::store();
        for child in children {
            let mut child = child.clone();
            let owner = json!([{"apiVersion": "v1", "kind": "MultigresCluster", "name": cluster.name_any(),
                "uid": cluster.uid(), "controller": true}]);
            child.meta_mut().owner_references = serde_json::from_value(owner).unwrap();
            writer.apply_watcher_event(&Event::Apply(child));
        }
        std::mem::forget(writer);
        store
    }

    /// Objects that are kept, and the remaining children, after the sample cluster was edited.
    fn kept(edit: impl Fn(&mut MultigresCluster)) -> (Kept, Children) {
        let mut cluster: MultigresCluster = serde_saphyr::from_str(SAMPLE).unwrap();
        cluster.metadata.uid = Some("u".to_owned());
        cluster.spec.deletion_protection = Some(true);
        let before = resolve::children(&cluster);
        let stores = Stores {
            clusters: store(&cluster, std::slice::from_ref(&cluster)),
            topo_servers: store(&cluster, &[]),
            admins: store(&cluster, &[]),
            orchs: store(&cluster, before.orch.as_slice()),
            cells: store(&cluster, &before.cells),
            shards: store(&cluster, &before.shards),
        };
        edit(&mut cluster);
        let mut children = resolve::children(&cluster);
        let kept = keep(&cluster, &stores, &mut children);
        (kept, children)
    }

    #[test]
    fn a_protected_cluster_loses_nothing_and_is_served_as_before() {
        let (nothing, before) = kept(|_| {});
        assert_eq!((nothing, trouble(&Kept::default())), (Kept::default(), None));
        let orch = before.orch.as_ref().map(|orch| orch.spec.clone());

        let remove_all = |cluster: &mut MultigresCluster| {
            cluster.spec.databases = None;
            cluster.spec.cells.templates.pop();
        };
        let (all, after) = kept(remove_all);
        let shards = before.shards.iter().map(key);
        let expected: BTreeSet<ObjectKey> = shards.chain(before.cells.last().map(key)).collect();
        assert!(expected.len() >= 2 && after.shards.is_empty());
        assert_eq!(all.children, expected);
        assert_eq!(after.orch.map(|orch| orch.spec), orch, "orchestrators run where and for what they did");
        let said = trouble(&all).unwrap();
        assert_eq!((said.reason, said.lasting), (Reason::TurndownBlocked, true));
        assert!(expected.iter().all(|key| said.message.contains(&key.to_string())), "{}", said.message);

        let unprotected = |cluster: &mut MultigresCluster| {
            remove_all(cluster);
            cluster.spec.deletion_protection = Some(false);
        };
        assert_eq!(kept(unprotected).0, Kept::default());
        let released = |cluster: &mut MultigresCluster| {
            cluster.spec.databases.as_mut().unwrap().managed = Some(false);
        };
        assert_eq!(kept(released).0, Kept::default(), "a release removes nothing");
    }

    #[test]
    fn pools_are_protected_with_their_shard() {
        let (_, before) = kept(|_| {});
        let (pools, after) = kept(|cluster| {
            let database = &mut cluster.spec.databases.as_mut().unwrap().templates[0];
            database.spec.pools.pop();
        });
        assert!(!pools.pools.is_empty() && pools.children.is_empty(), "{pools:?}");
        let names = |children: &Children| {
            let pools = children.shards[0].spec.pools.iter().map(|pool| pool.name.clone());
            pools.collect::<BTreeSet<String>>()
        };
        assert_eq!(names(&after), names(&before));
        assert!(trouble(&pools).unwrap().message.contains("pool "));
    }
}
