//! The `multigres.com` API.
//!
//! Everything that admission, the controllers and the command line must agree on lives here and is pure: the
//! types, their schema and their kinds ([`v1alpha1`], [`schema`], [`kind`]), the names and labels of what is made
//! from them ([`names`], [`labels`]), the built-in defaults ([`defaults`]) and the resolution of a cluster into
//! its children ([`resolve`]). This crate never does I/O.

pub mod address;
pub mod defaults;
pub mod kind;
pub mod labels;
pub mod names;
pub mod quantity;
pub mod resolve;
pub mod schema;
pub mod v1alpha1;

/// The API group of all kinds.
pub const GROUP: &str = "multigres.com";
