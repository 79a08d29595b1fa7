//! Who is to look again when an object changes.

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::Resource;
use kube::runtime::reflector::{Lookup, ObjectRef};
use multigres_crds::labels;
use multigres_crds::v1alpha1::{MultiAdmin, MultiCell, MultiOrch, MultiShard, MultigresCluster, TopoServer};

use crate::observe::{Change, ObjectKey, Objects, Observed};

/// A way to wake each controller.
pub struct Wakers {
    clusters: UnboundedSender<ObjectRef<MultigresCluster>>,
    topo_servers: UnboundedSender<ObjectRef<TopoServer>>,
    admins: UnboundedSender<ObjectRef<MultiAdmin>>,
    orchs: UnboundedSender<ObjectRef<MultiOrch>>,
    cells: UnboundedSender<ObjectRef<MultiCell>>,
    shards: UnboundedSender<ObjectRef<MultiShard>>,
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

/// Connects what changes with who looks.
pub fn wakers() -> (Wakers, Wakes) {
    let (clusters, clusters_woken) = unbounded();
    let (topo_servers, topo_servers_woken) = unbounded();
    let (admins, admins_woken) = unbounded();
    let (orchs, orchs_woken) = unbounded();
    let (cells, cells_woken) = unbounded();
    let (shards, shards_woken) = unbounded();
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
        for observed in observed().filter(|observed| observed.owner.is_none()) {
            self.wake_by_labels(&change.key, observed, objects);
        }
    }

    /// Objects that nobody controls: standalone children, and data that outlives its shard.
    fn wake_by_labels(&self, key: &ObjectKey, observed: &Observed, objects: &Objects) {
        if let Some(cluster) = observed.labels.get(labels::CLUSTER) {
            self.send("MultigresCluster", &key.namespace, cluster);
        }
        if key.kind == "PersistentVolumeClaim" {
            let shard = [labels::CLUSTER, labels::DATABASE, labels::TABLE_GROUP, labels::SHARD];
            let same_shard = |candidate: &ObjectKey, other: &Observed| {
                candidate.kind == "MultiShard" && shard.iter().all(|key| other.labels.get(*key) == observed.labels.get(*key))
            };
            for (shard, _) in objects.select(&key.namespace, same_shard) {
                self.send(&shard.kind, &shard.namespace, &shard.name);
            }
        }
    }

    fn send(&self, kind: &str, namespace: &str, name: &str) {
        match kind {
            "MultigresCluster" => send(&self.clusters, namespace, name),
            "TopoServer" => send(&self.topo_servers, namespace, name),
            "MultiAdmin" => send(&self.admins, namespace, name),
            "MultiOrch" => send(&self.orchs, namespace, name),
            "MultiCell" => send(&self.cells, namespace, name),
            "MultiShard" => send(&self.shards, namespace, name),
            _ => {}
        }
    }
}

fn send<K>(waker: &UnboundedSender<ObjectRef<K>>, namespace: &str, name: &str)
where
    K: Resource<DynamicType = ()> + Lookup<DynamicType = ()>,
{
    // The receiver ends only with the process.
    let _ = waker.unbounded_send(ObjectRef::new(name).within(namespace));
}
