//! Builds the Kubernetes objects of a resource.
//!
//! Pure: a child resource goes in, complete objects come out, the same bytes for the same input. The controllers,
//! `render` and the admission warnings about consequences all call it, so that what is announced is what happens.
//!
//! One module per kind says what is its own; what all have in common is in `pod`, `container`, `topology`, `volume`
//! and `object`.

pub mod ports;
pub mod secrets;

mod container;
mod hang;
mod manifest;
mod multi_admin;
mod multi_cell;
mod multi_orch;
mod multi_shard;
mod object;
mod pod;
mod pooler;
mod recovery;
mod render;
mod topo_server;
mod topology;
mod volume;

#[cfg(test)]
mod tests;

pub use manifest::{Manifest, Ownership};
pub use multi_shard::{disruption_budget, shard_names};
pub use pod::RESTARTED_AT;
pub use pooler::{BACKUP_PATH, DATA};
pub use render::{manifests, render, render_children};
pub use topo_server::{etcd_settings, peers};

/// Settings that apply to everything that one operator builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The DNS domain of the Kubernetes cluster.
    pub cluster_domain: String,
}

impl Default for Environment {
    fn default() -> Self {
        Self { cluster_domain: "cluster.local".to_owned() }
    }
}

/// The revision of the pod templates that ends what hangs and lets replication begin undisturbed.
const STEADY: i32 = 2;

/// A resource that becomes Kubernetes objects.
pub trait Build {
    /// The objects, complete, in the order in which they are to be applied.
    fn build(&self, env: &Environment) -> Vec<Manifest>;
}
