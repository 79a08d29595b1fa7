//! Admission for the `multigres.com` API.
//!
//! Pure apart from what it may ask of other objects ([`lookup`], [`impact`]): no Kubernetes client and no API call
//! stands between a review and its answer.

pub mod admit;
pub mod children;
pub mod configuration;
pub mod conversion;
pub mod defaulting;
pub mod document;
pub mod exemption;
pub mod footprint;
pub mod impact;
pub mod json;
pub mod lookup;
pub mod metrics;
pub mod object;
pub mod path;
pub mod report;
pub mod response;
pub mod review;
pub mod router;
pub mod schema;
pub mod validate;
pub mod verdict;

mod syntax;

#[cfg(test)]
mod testing;
