//! Wakes the controllers that depend on a changed object.

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use multigres_crds::labels;
use multigres_crds::v1alpha1::{MultiAdmin, MultiCell, MultiOrch, MultiShard, MultigresCluster, TopoServer};
use tokio_util::sync::CancellationToken;

use crate::observe::{Change, ObjectKey, Objects, Observed};

/// A way to wake the controller of a kind. While this process does not lead, nobody listens and nothing is kept.
pub struct Waker<K: Resource<DynamicType = ()>> {
    sender: UnboundedSender<ObjectRef<K>>,
    leading: CancellationToken,
}

impl<K: Resource<DynamicType = ()>> Clone for Waker<K> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), leading: self.leading.clone() }
    }
}

impl<K: Resource<DynamicType = ()>> Waker<K> {
    /// Has an object looked at.
    pub fn wake(&self, object: ObjectRef<K>) {
        if self.leading.is_cancelled() {
            // The receiver ends only with the process.
            let _ = self.sender.unbounded_send(object);
        }
    }

    fn wake_named(&self, namespace: &str, name: &str) {
        self.wake(ObjectRef::new(name).within(namespace));
    }
}

/// A way to wake each controller.
#[derive(Clone)]
pub struct Wakers {
    pub clusters: Waker<MultigresCluster>,
    pub topo_servers: Waker<TopoServer>,
    pub admins: Waker<MultiAdmin>,
    pub orchs: Waker<MultiOrch>,
    pub cells: Waker<MultiCell>,
    pub shards: Waker<MultiShard>,
}

/// The other ends of [`Wakers`].
pub struct Wakes {
    pub clusters: UnboundedReceiver<ObjectRef<MultigresCluster>>,
    pub topo_servers: UnboundedReceiver<ObjectRef<TopoServer>>,
    pub admins: UnboundedReceiver<ObjectRef<MultiAdmin>>,
    pub orchs: UnboundedReceiver<ObjectRef<MultiOrch>>,
    pub cells: UnboundedReceiver<ObjectRef<MultiCell>>,
    pub shards: UnboundedReceiver<ObjectRef<MultiShard>>,
}

/// Connects what changes with who looks, from the time on at which this process leads.
pub fn wakers(leading: &CancellationToken) -> (Wakers, Wakes) {
    fn pair<K: Resource<DynamicType = ()>>(
        leading: &CancellationToken,
    ) -> (Waker<K>, UnboundedReceiver<ObjectRef<K>>) {
        let (sender, receiver) = unbounded();
        (Waker { sender, leading: leading.clone() }, receiver)
    }
    let (clusters, clusters_woken) = pair(leading);
    let (topo_servers, topo_servers_woken) = pair(leading);
    let (admins, admins_woken) = pair(leading);
    let (orchs, orchs_woken) = pair(leading);
    let (cells, cells_woken) = pair(leading);
    let (shards, shards_woken) = pair(leading);
    let wakes = Wakes {
        clusters: clusters_woken,
        topo_servers: topo_servers_woken,
        admins: admins_woken,
        orchs: orchs_woken,
        cells: cells_woken,
        shards: shards_woken,
    };
    (Wakers { clusters, topo_servers, admins, orchs, cells, shards }, wakes)
}

impl Wakers {
    /// Wakes whoever made the object, or tells of it.
    pub fn wake(&self, change: &Change, objects: &Objects) {
        if change.before == change.after {
            return;
        }
        let observed = || change.before.iter().chain(&change.after);
        for owner in observed().filter_map(|observed| observed.owner.as_ref()) {
            self.send(&owner.kind, &change.key.namespace, &owner.name);
        }
        let by_labels = |observed: &&Observed| observed.owner.is_none() || change.key.kind == "Pod";
        for observed in observed().filter(by_labels) {
            self.wake_by_labels(&change.key, observed, objects);
        }
    }

    /// Objects that no child controls: standalone children, data that outlives its shard, and instances of a shard.
    fn wake_by_labels(&self, key: &ObjectKey, observed: &Observed, objects: &Objects) {
        let Some(cluster) = observed.labels.get(labels::CLUSTER) else { return };
        if key.kind != "Pod" {
            self.send("MultigresCluster", &key.namespace, cluster);
        }
        if matches!(key.kind.as_str(), "PersistentVolumeClaim" | "Pod") {
            let shard = [labels::DATABASE, labels::TABLE_GROUP, labels::SHARD];
            let same_shard = |candidate: &ObjectKey, other: &Observed| {
                candidate.kind == "MultiShard"
                    && shard.iter().all(|key| other.labels.get(*key) == observed.labels.get(*key))
            };
            for (shard, _) in objects.of_cluster(&key.namespace, cluster, same_shard) {
                self.send(&shard.kind, &shard.namespace, &shard.name);
            }
        }
    }

    fn send(&self, kind: &str, namespace: &str, name: &str) {
        match kind {
            "MultigresCluster" => self.clusters.wake_named(namespace, name),
            "TopoServer" => self.topo_servers.wake_named(namespace, name),
            "MultiAdmin" => self.admins.wake_named(namespace, name),
            "MultiOrch" => self.orchs.wake_named(namespace, name),
            "MultiCell" => self.cells.wake_named(namespace, name),
            "MultiShard" => self.shards.wake_named(namespace, name),
            _ => {}
        }
    }
}
