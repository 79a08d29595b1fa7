//! The Multigres operator, as a library: what the binary is made of, so that each part can be tested by itself.
//!
//! The path of data is one way. An admitted spec is resolved into children (`multigres_crds::resolve`), [`build`]
//! turns each into the objects that run it, [`apply`] makes the API server's objects so; [`observe`] tells what became
//! of them, and [`status`] says it. Only [`apply`], [`observe`], [`topology`] and the [`controllers`] that connect them
//! talk to a cluster.

pub mod admission;
pub mod api_error;
pub mod apply;
pub mod build;
pub mod cli;
pub mod client;
pub mod clock;
pub mod controllers;
pub mod election;
pub mod etcd;
pub mod events;
pub mod impact;
pub mod install;
pub mod leadership;
pub mod memory;
pub mod metrics;
pub mod observe;
pub mod operator;
pub mod reason;
pub mod rollout;
pub mod server;
pub mod signal;
pub mod status;
pub mod topology;
pub mod yaml;

use tikv_jemallocator::Jemalloc;

/// Large reviews come and go: this one neither asks the kernel for their memory each time, nor keeps it for long (see
/// `.cargo/config.toml`).
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;
