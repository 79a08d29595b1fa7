//! Real Kubernetes control planes on loopback, for integration tests and the demo.
//!
//! Admission, server-side apply, garbage collection and the built-in controllers are best tested against themselves.
//! A [`ControlPlane`] runs etcd, the API server and, as asked for, the controllers as child processes of the test;
//! no container runtime, no root rights and no installed cluster are needed. Several may run side by side.

pub mod audit;
pub mod binaries;
mod components;
mod control_plane;
pub mod detached;
mod fake_nodes;
mod kubeconfig;
mod kubectl;
pub mod pki;
mod pods;
mod process;
mod state;
mod volumes;

pub use control_plane::{ControlPlane, Options};
pub use fake_nodes::PodReadiness;
pub use kubectl::{Kubectl, KubectlOutput};
pub use pods::set_pod_ready;
pub use process::ProcessGroup;
pub use volumes::STORAGE_CLASS;
