//! The Multigres operator, as a library: what the binary is made of, so that each part can be tested by itself.
//!
//! [`build`] turns admitted resources into the Kubernetes objects that run them. It is pure; everything that talks
//! to a cluster lives outside of it.

pub mod build;
pub mod metrics;
pub mod server;
pub mod signal;
pub mod yaml;
