//! Records in a topology that outlives its cluster: removed before the child that wrote them goes.
//!
//! A topology server that the operator makes goes with the cluster, or is kept with the data that it knows; an external
//! one is other people's. Only there a finalizer holds a child until its record is removed, and never for good.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::controller::Action;
use multigres_crds::address::is_managed_etcd;
use multigres_crds::v1alpha1::TopologyReference;
use serde_json::json;

use super::child::Child;
use super::context::{Context, Error};
use super::topology;
use crate::api_error;
use crate::apply::MANAGER;
use crate::reason::Reason;
use crate::status::Trouble;

/// Holds a child until its record is removed.
pub const FINALIZER: &str = "multigres.com/topology";

/// Longest time that a topology which does not answer holds up a deletion.
const PATIENCE: Duration = Duration::from_mins(1);
/// Time between two attempts.
const AGAIN: Duration = Duration::from_secs(2);

/// A record that a child writes.
#[derive(Clone, Copy, Debug)]
pub struct RecordOf<'a> {
    /// Where it is.
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

/// Removes the record of a child that is being deleted, as well as can be, and lets the child go.
pub async fn let_go<K: Child>(child: &K, cx: &Context) -> Result<Action, Error> {
    if !is_held(child) {
        return Ok(Action::await_change());
    }
    if let Err(trouble) = erase(child, cx).await {
        if !is_overdue(child, cx) {
            tracing::info!(child = child.name_any(), trouble.message, "its record is not removed yet");
            return Ok(Action::requeue(AGAIN));
        }
        let note = format!("The record in the topology was not removed: {}", trouble.message);
        cx.events.warning(&child.object_ref(&()), "TopologyRecordLeft", "Delete", note).await;
    }
    let finalizers =
        child.finalizers().iter().map(String::as_str).filter(|name| *name != FINALIZER).collect();
    match set_finalizers(child, cx, finalizers).await {
        Ok(()) => Ok(Action::await_change()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Action::await_change()),
        Err(error) => {
            let error = api_error::message(&error);
            tracing::warn!(child = child.name_any(), %error, "its finalizer is not removed yet");
            Ok(Action::requeue(AGAIN))
        }
    }
}

async fn erase<K: Child>(child: &K, cx: &Context) -> Result<(), Trouble> {
    let Some(record) = child.record_of() else { return Ok(()) };
    let global = topology::access(cx, &child.namespace().unwrap_or_default(), record.global).await?;
    topology::erased(child.erase(cx, &global).await)
}

fn is_held<K: Child>(child: &K) -> bool {
    child.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

fn is_overdue<K: Child>(child: &K, cx: &Context) -> bool {
    let since = child.meta().deletion_timestamp.as_ref();
    since.is_none_or(|since| cx.clock.now().0.duration_since(since.0).unsigned_abs() > PATIENCE)
}

async fn set_finalizers<K: Child>(child: &K, cx: &Context, finalizers: Vec<&str>) -> kube::Result<()> {
    let api: Api<K> = Api::namespaced(cx.client.clone(), &child.namespace().unwrap_or_default());
    // The list is written whole, guarded by the version that was seen.
    let patch =
        json!({ "metadata": { "resourceVersion": child.resource_version(), "finalizers": finalizers } });
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    api.patch(&child.name_any(), &params, &Patch::Merge(patch)).await.map(|_| ())
}
