//! Version `v1alpha1` of the API: one module per kind, and what they share.

mod cluster;
mod common;
mod databases;
mod multi_admin;
mod multi_cell;
mod multi_orch;
mod multi_shard;
mod status;
mod topo_server;

pub use cluster::*;
pub use common::*;
pub use databases::*;
pub use multi_admin::*;
pub use multi_cell::*;
pub use multi_orch::*;
pub use multi_shard::*;
pub use status::*;
pub use topo_server::*;

/// The version of the API that this module holds.
pub const VERSION: &str = "v1alpha1";
