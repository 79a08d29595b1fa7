//! Other objects as rules may know them, from the operator's caches.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};
use multigres_crds::kind::ChildKind;
use multigres_crds::v1alpha1::{MultigresCluster, StringMap};
use multigres_webhooks::footprint::{Footprint, Neighbour};
use multigres_webhooks::lookup::{Claim, Existing, Known, Lookup, StorageClass};
use serde::Serialize;

use crate::controllers::Caches;
use crate::observe::{Neighbourhood, StorageClasses};

/// Knowledge of admission, from the operator's caches.
pub(super) struct Knowledge {
    pub caches: Vec<Caches>,
    pub neighbourhood: Arc<Neighbourhood>,
    pub classes: Arc<StorageClasses>,
}

impl Knowledge {
    /// True if all caches of a kind are complete.
    fn knows(&self, kind: &str) -> bool {
        self.caches.iter().all(|caches| caches.objects.is_complete(kind))
    }
}

impl Lookup for Knowledge {
    fn synced(&self) -> bool {
        self.knows("MultigresCluster")
    }

    fn cluster(&self, namespace: &str, name: &str) -> Option<Arc<MultigresCluster>> {
        let reference = ObjectRef::new(name).within(namespace);
        self.caches.iter().find_map(|caches| caches.stores.clusters.get(&reference))
    }

    fn neighbours(&self, of: &Footprint) -> Known<Vec<Arc<Neighbour>>> {
        if !self.synced() {
            return Known::NotYet;
        }
        Known::Yes(self.neighbourhood.neighbours(of))
    }

    fn child(&self, kind: ChildKind, namespace: &str, name: &str) -> Known<Option<Existing>> {
        if !self.knows(kind.as_str()) {
            return Known::NotYet;
        }
        let find = |Caches { stores, .. }: &Caches| match kind {
            ChildKind::TopoServer => existing(&stores.topo_servers, namespace, name),
            ChildKind::MultiAdmin => existing(&stores.admins, namespace, name),
            ChildKind::MultiOrch => existing(&stores.orchs, namespace, name),
            ChildKind::MultiCell => existing(&stores.cells, namespace, name),
            ChildKind::MultiShard => existing(&stores.shards, namespace, name),
        };
        Known::Yes(self.caches.iter().find_map(find))
    }

    fn has_others_children(&self, namespace: &str, cluster: &str) -> Known<bool> {
        if !ChildKind::ALL.iter().all(|kind| self.knows(kind.as_str())) {
            return Known::NotYet;
        }
        Known::Yes(self.caches.iter().any(|caches| caches.objects.has_others_children(namespace, cluster)))
    }

    fn cells(&self, namespace: &str, cluster: &str) -> Known<BTreeSet<String>> {
        if !self.knows(ChildKind::MultiCell.as_str()) {
            return Known::NotYet;
        }
        let all = self.caches.iter().flat_map(|caches| caches.stores.cells.state());
        let of_cluster =
            all.filter(|cell| cell.spec.cluster == cluster && cell.namespace().as_deref() == Some(namespace));
        Known::Yes(of_cluster.map(|cell| cell.spec.cell.clone()).collect())
    }

    fn has_topo_server(&self, namespace: &str, cluster: &str) -> Known<bool> {
        if !self.knows(ChildKind::TopoServer.as_str()) {
            return Known::NotYet;
        }
        let mut all = self.caches.iter().flat_map(|caches| caches.stores.topo_servers.state());
        Known::Yes(
            all.any(|etcd| etcd.spec.cluster == cluster && etcd.namespace().as_deref() == Some(namespace)),
        )
    }

    fn storage_classes(&self) -> Known<Vec<StorageClass>> {
        self.classes.known()
    }

    fn claims(&self, namespace: &str, of: &StringMap) -> Known<Vec<Claim>> {
        const KIND: &str = "PersistentVolumeClaim";
        if !self.knows(KIND) {
            return Known::NotYet;
        }
        let found = self.caches.iter().flat_map(|caches| caches.objects.labelled(namespace, KIND, of));
        Known::Yes(found.filter_map(|(_, object)| object.claim.map(|claim| *claim)).collect())
    }
}

/// A child as a cache has it.
fn existing<K>(store: &Store<K>, namespace: &str, name: &str) -> Option<Existing>
where
    K: Resource<DynamicType = ()> + Clone + Serialize,
{
    let object = store.get(&ObjectRef::new(name).within(namespace))?;
    let owners = object.meta().owner_references.iter().flatten();
    let controller = owners.into_iter().find(|owner| owner.controller == Some(true)).cloned();
    let spec = serde_json::to_value(object.as_ref()).ok()?.get_mut("spec")?.take();
    Some(Existing { controller, spec })
}
