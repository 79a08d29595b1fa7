//! Footprints of all clusters.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use kube::runtime::watcher::Event;
use multigres_crds::v1alpha1::MultigresCluster;
use multigres_webhooks::footprint::{Footprint, Neighbour, Neighbours};

use crate::memory::Entries;

/// The watched clusters, wherever they are watched.
#[derive(Debug, Default)]
pub struct Neighbourhood(RwLock<Neighbours>);

impl Neighbourhood {
    /// The other clusters that may take up some of the same.
    pub fn neighbours(&self, of: &Footprint) -> Vec<Arc<Neighbour>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).of(of)
    }

    /// Returns the function that keeps it up to date: it takes the events of one watch, and forgets only what that
    /// watch saw.
    pub fn follow(self: Arc<Self>) -> impl FnMut(&Event<MultigresCluster>) + Send + 'static {
        let (mut seen, mut unlisted) = (HashSet::new(), HashSet::new());
        move |event| {
            let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
            match event {
                Event::Init => unlisted.clone_from(&seen),
                Event::InitApply(cluster) | Event::Apply(cluster) => {
                    let cluster = Neighbour::of(cluster);
                    let name = (cluster.footprint.namespace.clone(), cluster.footprint.name.clone());
                    unlisted.remove(&name);
                    seen.insert(name);
                    known.put(cluster);
                }
                Event::InitDone => {
                    for name in unlisted.drain() {
                        known.remove(&name.0, &name.1);
                        seen.remove(&name);
                    }
                }
                Event::Delete(cluster) => {
                    let part = |part: &Option<String>| Arc::from(part.as_deref().unwrap_or_default());
                    let name = (part(&cluster.metadata.namespace), part(&cluster.metadata.name));
                    known.remove(&name.0, &name.1);
                    seen.remove(&name);
                }
            }
        }
    }
}

/// A watch keeps it up to date.
impl Entries for Neighbourhood {
    fn forget(&self, _: &str) {}

    fn keep_only(&self, _: &dyn Fn(&str) -> bool) {}

    fn count(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).entries()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(name: &str) -> MultigresCluster {
        let text = include_str!("../../tests/samples/proposal-cluster.yaml");
        let mut cluster: MultigresCluster = serde_saphyr::from_str(text).unwrap();
        cluster.metadata.name = Some(name.to_owned());
        cluster
    }

    /// All of them use the same external etcd for a cell.
    #[test]
    fn it_follows_the_watch() {
        let known = Arc::new(Neighbourhood::default());
        let neighbours = || -> Vec<String> {
            let found = known.neighbours(&Footprint::of(&cluster("a"))).into_iter();
            found.map(|other| other.footprint.name.to_string()).collect()
        };
        let mut follow = known.clone().follow();
        follow(&Event::Apply(cluster("a")));
        for name in ["b", "c"] {
            follow(&Event::Apply(cluster(name)));
        }
        assert_eq!(neighbours(), ["b", "c"]);
        follow(&Event::Delete(cluster("b")));
        assert_eq!(neighbours(), ["c"]);
        // Another watch, of another namespace, has its own.
        let mut elsewhere = known.clone().follow();
        elsewhere(&Event::Apply(cluster("z")));
        follow(&Event::Init);
        follow(&Event::InitApply(cluster("d")));
        follow(&Event::InitDone);
        assert_eq!(neighbours(), ["d", "z"]);
    }
}
