//! The controllers: one for clusters, one for each kind of child.
//!
//! A child's controller reads no other custom resource; what it needs is in the child's spec. All of them are woken
//! by what they made as well as by what they are made from, so that an edit is put back at once.

mod bring_up;
mod child;
mod children;
mod cluster;
mod context;
mod engine;
mod etcd;
mod failover;
mod initialized;
mod lost;
mod password;
mod records;
mod rollout;
mod secrets;
mod stalled;
mod stranded;
mod topology;
mod turndown;
mod volumes;
mod wake;

pub use context::{Context, Stores};
pub use engine::{Caches, Engine, Seams};
