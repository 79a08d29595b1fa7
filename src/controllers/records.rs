//! Records in a topology that outlives its cluster: removed before the child that wrote them goes.
//!
//! A topology server that the operator makes goes with the cluster, or is kept with the data that it knows; an external
//! one is other people's. Only there a finalizer holds a child until its record is removed, and never for good.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use multigres_crds::address::is_managed_etcd;
use multigres_crds::v1alpha1::TopologyReference;
use serde_json::json;
use tokio::time::Instant;

use super::child::Child;
use super::context::Context;
use super::topology;
use crate::api_error;
use crate::apply::MANAGER;
use crate::memory::{Memories, PerObject};
use crate::reason::Reason;
use crate::status::Trouble;

/// Holds a child until its record is removed.
pub const FINALIZER: &str = "multigres.com/topology";

/// Longest time that a topology which does not answer holds up a deletion.
const PATIENCE: Duration = Duration::from_mins(1);
/// Time between two attempts.
pub const AGAIN: Duration = Duration::from_secs(2);

/// A record that a child writes.
#[derive(Clone, Copy, Debug)]
pub struct RecordOf<'a> {
    /// Location of the topology.
    pub global: &'a TopologyReference,
    /// The cluster that the child belongs to.
    pub cluster: &'a str,
}

/// Holds a child that writes a record into an external topology.
pub async fn hold<K: Child>(child: &K, cx: &Context) -> Result<(), Trouble> {
    let namespace = child.namespace().unwrap_or_default();
    let external = child
        .record_of()
        .is_some_and(|record| !is_managed_etcd(&record.global.address, record.cluster, &namespace));
    if !external || is_held(child) {
        return Ok(());
    }
    let finalizers = child.finalizers().iter().map(String::as_str).chain([FINALIZER]).collect();
    set_finalizers(child, cx, finalizers).await.map_err(|error| Trouble {
        reason: Reason::ApiServerUnreachable,
        message: format!("finalizer of {}: {}", child.name_any(), api_error::message(&error)),
        lasting: false,
    })
}

/// The children whose deletion waits, each with the time at which this process saw that first. The time of the deletion
/// is another clock's, which may be minutes away from this one.
pub struct Partings(PerObject<Instant>);

impl Partings {
    /// Nothing waits yet.
    pub fn new(memories: &Memories) -> Self {
        Self(PerObject::new(memories, "partings"))
    }

    /// Time that a deletion has waited.
    fn waited(&self, uid: &str) -> Duration {
        self.0.lock().entry(uid.to_owned()).or_insert_with(Instant::now).elapsed()
    }

    fn is_first(&self, uid: &str) -> bool {
        !self.0.contains(uid)
    }
}

/// Progress of a child's deletion.
#[derive(Debug, PartialEq, Eq)]
pub enum Parting {
    /// Nothing holds it.
    Done,
    /// The API server did not take the finalizer away; it is tried again.
    Again,
    /// Its record is not removed yet; it is tried again.
    Waits(Trouble),
}

/// Removes the record of a child that is being deleted, as well as can be, and lets the child go.
pub async fn let_go<K: Child>(child: &K, cx: &Context) -> Parting {
    if !is_held(child) {
        return Parting::Done;
    }
    let uid = child.uid().unwrap_or_default();
    let is_first = cx.partings.is_first(&uid);
    let waited = cx.partings.waited(&uid);
    if let Err(trouble) = erase(child, cx).await {
        if waited <= PATIENCE {
            let waits = waits(child, &trouble);
            if is_first {
                let about = child.object_ref(&());
                cx.events.warning(&about, "DeletionWaits", "Delete", waits.message.clone()).await;
            }
            return Parting::Waits(waits);
        }
        let note = format!("The record in the topology was not removed: {}", trouble.message);
        cx.events.warning(&child.object_ref(&()), "TopologyRecordLeft", "Delete", note).await;
    }
    let finalizers =
        child.finalizers().iter().map(String::as_str).filter(|name| *name != FINALIZER).collect();
    match set_finalizers(child, cx, finalizers).await {
        Ok(()) => Parting::Done,
        Err(kube::Error::Api(status)) if status.code == 404 => Parting::Done,
        Err(error) => {
            let error = api_error::message(&error);
            tracing::warn!(child = child.name_any(), %error, "its finalizer is not removed yet");
            Parting::Again
        }
    }
}

/// Says why a deletion waits, and how a person lets go of the child at once.
fn waits<K: Child>(child: &K, trouble: &Trouble) -> Trouble {
    let (name, namespace) = (child.name_any(), child.namespace().unwrap_or_default());
    let message = format!(
        "The deletion waits for the record in the topology to be removed, for a minute at most: {}. To let go at once, and \
         leave the record: {}",
        trouble.message.trim_end_matches('.'),
        by_hand(&K::kind(&()).to_lowercase(), &namespace, &name)
    );
    Trouble { reason: trouble.reason, message, lasting: false }
}

/// The command that lets go of a child whatever holds it. `docs/deletion.md` gives it too.
fn by_hand(kind: &str, namespace: &str, name: &str) -> String {
    format!(
        r#"kubectl -n {namespace} patch {kind} {name} --type=merge -p '{{"metadata":{{"finalizers":null}}}}'"#
    )
}

async fn erase<K: Child>(child: &K, cx: &Context) -> Result<(), Trouble> {
    let Some(record) = child.record_of() else { return Ok(()) };
    let global = topology::access(cx, &child.namespace().unwrap_or_default(), record.global).await?;
    topology::erased(child.erase(cx, &global).await)
}

fn is_held<K: Child>(child: &K) -> bool {
    child.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

async fn set_finalizers<K: Child>(child: &K, cx: &Context, finalizers: Vec<&str>) -> kube::Result<()> {
    let api: Api<K> = Api::namespaced(cx.client.clone(), &child.namespace().unwrap_or_default());
    // The list is written whole, guarded by the version that was seen.
    let patch =
        json!({ "metadata": { "resourceVersion": child.resource_version(), "finalizers": finalizers } });
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    api.patch(&child.name_any(), &params, &Patch::Merge(patch)).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn patience_begins_when_this_process_sees_the_deletion() {
        let memories = Memories::default();
        let partings = Partings::new(&memories);
        assert!(partings.is_first("a"));
        assert_eq!(partings.waited("a"), Duration::ZERO);
        tokio::time::advance(PATIENCE).await;
        assert!(!partings.is_first("a") && partings.waited("a") <= PATIENCE);
        // Another one is waited for as long.
        assert_eq!(partings.waited("b"), Duration::ZERO);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(partings.waited("a") > PATIENCE && partings.waited("b") <= PATIENCE);
        memories.forget("a");
        assert!(partings.is_first("a"));
    }

    #[test]
    fn the_way_out_is_told() {
        let topology = json!({"address": "etcd:2379", "rootPath": "/r"});
        let cell: multigres_crds::v1alpha1::MultiCell = serde_json::from_value(json!({
            "metadata": {"name": "c-a", "namespace": "ns"},
            "spec": {"cluster": "c", "cell": "a", "globalTopology": topology, "topology": topology,
                     "multiGateway": {"image": "i", "replicas": 1}},
        }))
        .unwrap();
        let message = "etcd:2379 does not answer.".to_owned();
        let trouble = Trouble { reason: Reason::TopologyUnreachable, message, lasting: true };
        let Trouble { reason, message, lasting } = waits(&cell, &trouble);
        assert_eq!((reason, lasting), (Reason::TopologyUnreachable, false));
        let command =
            r#"kubectl -n ns patch multicell c-a --type=merge -p '{"metadata":{"finalizers":null}}'"#;
        assert!(message.contains("etcd:2379 does not answer. To let go at once"), "{message}");
        assert!(message.ends_with(command), "{message}");
    }
}
