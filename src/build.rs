//! What a resource becomes in Kubernetes.
//!
//! Pure: a child resource goes in, complete objects come out, the same bytes for the same input. The controllers,
//! `render` and the admission warnings about consequences all call it, so that what is announced is what happens.

mod manifest;

pub use manifest::{Manifest, Ownership};

/// What holds for everything that one operator builds.
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

/// A resource that becomes Kubernetes objects.
pub trait Build {
    /// The objects, complete, in the order in which they are to be applied.
    fn build(&self, env: &Environment) -> Vec<Manifest>;
}
