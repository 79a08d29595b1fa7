//! Real Kubernetes control planes and nodes, for integration tests and the demo.
//!
//! Admission, server-side apply, garbage collection and the built-in controllers are best tested against themselves.
//! A [`ControlPlane`] runs etcd, the API server and, as asked for, the controllers as child processes of the test;
//! no container runtime, no root rights and no installed cluster are needed. A [`Node`] has all of that and runs pods,
//! in namespaces of its own, for which it needs root rights. Several of both may run side by side.

pub mod audit;
mod background;
pub mod binaries;
mod cache;
mod cgroups;
mod command;
mod components;
mod control_plane;
pub mod detached;
pub mod evidence;
mod fake_nodes;
mod images;
mod kubeconfig;
mod kubectl;
mod namespaces;
pub mod node;
mod packages;
pub mod pki;
mod pods;
mod process;
mod proxy;
mod state;
mod tunnel;
mod volumes;

pub use control_plane::{ControlPlane, Options};
pub use fake_nodes::PodReadiness;
pub use images::Image;
pub use kubectl::{Kubectl, KubectlOutput};
pub use node::{Node, NodeOptions, Process};
pub use pods::set_pod_ready;
pub use process::{ProcessEnded, ProcessGroup};
pub use proxy::{Answer, Fault, Network, Proxy, Request};
pub use volumes::{LIMITED_STORAGE_CLASS, STORAGE_CLASS};
