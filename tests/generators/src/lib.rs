//! Clusters of any shape, for property tests.
//!
//! A manifest is made field by field, each there or not, with names that are easily confused; what its parts must have
//! in common is made first. So every rule of admission is met by construction, and a test that needs a cluster which
//! breaks one breaks it itself, with [`broken`].

mod cluster;
mod database;
mod fault;
mod fields;

pub use cluster::{admissible, admissible_in};
pub use fault::{broken, broken_in};
