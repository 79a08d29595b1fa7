//! Other objects, as far as admission may know them.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::jiff::Timestamp;
use multigres_crds::kind::ChildKind;
use multigres_crds::quantity::Quantity;
use multigres_crds::v1alpha1::{AccessMode, MultigresCluster, StringMap};
use serde_json::Value;

use crate::footprint::{Footprint, Neighbour};

/// The answer of a cache, or `Unknown` until it is synced. An empty answer differs from an unknown one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known<T> {
    /// The cache is complete.
    Yes(T),
    /// The cache is not complete, or there is none.
    NotYet,
}

/// A volume claim as it is, not as it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Name of the claim.
    pub name: String,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// The pool whose instance it is of; nothing where it is for backups, or of etcd.
    pub pool: Option<String>,
    /// True if a volume is bound to it.
    pub bound: bool,
    /// Size of the volume.
    pub capacity: Option<Quantity>,
    /// Class of the volume.
    pub storage_class: Option<String>,
    /// Access modes of the volume.
    pub access_modes: Vec<AccessMode>,
}

/// A child as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Existing {
    /// The controller's owner reference.
    pub controller: Option<OwnerReference>,
    /// Its spec.
    pub spec: Value,
}

/// A class of volumes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageClass {
    /// Name of the class.
    pub name: String,
    /// True for the default class.
    pub default: bool,
    /// True if its volumes can grow.
    pub expandable: bool,
}

/// A view onto caches. Answers at once, from memory; never asks the API server.
pub trait Lookup: Send + Sync + 'static {
    /// True once the caches are complete. Until then a missing object means nothing, and the server is not ready.
    fn synced(&self) -> bool;

    /// A cluster by name.
    fn cluster(&self, namespace: &str, name: &str) -> Option<Arc<MultigresCluster>>;

    /// The other clusters that may take up some of the same as this one.
    fn neighbours(&self, of: &Footprint) -> Known<Vec<Arc<Neighbour>>> {
        let _ = of;
        Known::NotYet
    }

    /// A child by kind and name.
    fn child(&self, kind: ChildKind, namespace: &str, name: &str) -> Known<Option<Existing>> {
        let _ = (kind, namespace, name);
        Known::NotYet
    }

    /// True if a namespace has children of the cluster that it does not control.
    fn has_others_children(&self, namespace: &str, cluster: &str) -> Known<bool> {
        let _ = (namespace, cluster);
        Known::NotYet
    }

    /// The cells that there are of a cluster, managed by it or standing alone.
    fn cells(&self, namespace: &str, cluster: &str) -> Known<BTreeSet<String>> {
        let _ = (namespace, cluster);
        Known::NotYet
    }

    /// True if a cluster has a topology server, managed or standalone.
    fn has_topo_server(&self, namespace: &str, cluster: &str) -> Known<bool> {
        let _ = (namespace, cluster);
        Known::NotYet
    }

    /// The classes of volumes.
    fn storage_classes(&self) -> Known<Vec<StorageClass>> {
        Known::NotYet
    }

    /// The volume claims of a namespace that have all of these labels.
    fn claims(&self, namespace: &str, labels: &StringMap) -> Known<Vec<Claim>> {
        let _ = (namespace, labels);
        Known::NotYet
    }
}

/// Knows of nothing, as outside a cluster.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offline;

impl Lookup for Offline {
    fn synced(&self) -> bool {
        false
    }

    fn cluster(&self, _: &str, _: &str) -> Option<Arc<MultigresCluster>> {
        None
    }
}
