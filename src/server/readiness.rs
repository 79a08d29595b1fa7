//! True if this replica should be asked, and if not, why not.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

/// The gates that stand between this replica and its first request; it is ready when all of them are open.
///
/// Gates have names because "not ready" alone sends whoever is on call to the logs.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    gates: Arc<watch::Sender<BTreeMap<&'static str, bool>>>,
}

impl Readiness {
    /// Adds a gate, closed. Whoever asks for a name a second time gets the same gate.
    pub fn gate(&self, name: &'static str) -> Gate {
        self.gates.send_modify(|gates| {
            gates.entry(name).or_default();
        });
        Gate { name, readiness: self.clone() }
    }

    /// The names of the gates that are closed; none: ready.
    pub fn closed(&self) -> Vec<&'static str> {
        self.gates.borrow().iter().filter(|(_, open)| !**open).map(|(name, _)| *name).collect()
    }

    /// Waits until nothing, or only the named gates, stands in the way.
    #[cfg(test)]
    pub(crate) async fn closed_are(&self, names: &[&'static str]) {
        let closed = |gates: &BTreeMap<&'static str, bool>| {
            gates.iter().filter(|(_, open)| !**open).map(|(name, _)| *name).eq(names.iter().copied())
        };
        self.gates.subscribe().wait_for(closed).await.unwrap();
    }
}

/// One condition of readiness, held by whoever can tell whether it is met.
#[derive(Clone, Debug)]
pub struct Gate {
    name: &'static str,
    readiness: Readiness,
}

impl Gate {
    /// The condition is met.
    pub fn open(&self) {
        self.set(true);
    }

    /// The condition is not, or no longer, met.
    pub fn close(&self) {
        self.set(false);
    }

    fn set(&self, open: bool) {
        let changed =
            self.readiness.gates.send_if_modified(|gates| gates.insert(self.name, open) != Some(open));
        if changed {
            tracing::info!(gate = self.name, open, "readiness changed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_when_every_gate_is_open() {
        let readiness = Readiness::default();
        assert!(readiness.closed().is_empty());
        let identity = readiness.gate("identity");
        let caches = readiness.gate("caches-synced");
        assert_eq!(readiness.closed(), ["caches-synced", "identity"]);
        caches.open();
        assert_eq!(readiness.closed(), ["identity"]);
        identity.open();
        assert!(readiness.closed().is_empty());
        caches.close();
        assert_eq!(readiness.closed(), ["caches-synced"]);
    }

    #[test]
    fn a_name_is_one_gate() {
        let readiness = Readiness::default();
        readiness.gate("identity").open();
        let again = readiness.gate("identity");
        assert!(readiness.closed().is_empty());
        again.close();
        assert_eq!(readiness.closed(), ["identity"]);
    }
}
