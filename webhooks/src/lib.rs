//! Admission for the `multigres.com` API.
//!
//! Pure apart from what it may ask of other objects ([`lookup`], [`impact`]): no Kubernetes client and no API call
//! stands between a review and its answer.

pub mod document;
pub mod impact;
pub mod lookup;
pub mod path;
pub mod report;
pub mod schema;
pub mod validate;

#[cfg(test)]
mod testing;
