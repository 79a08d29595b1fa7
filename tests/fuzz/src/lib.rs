//! Properties that hold for every input from outside, as functions of bytes.
//!
//! A target panics where something does not hold. `make test` calls each with a committed corpus and a fixed number of
//! [`mutated`] neighbours of it; `make fuzz` has libFuzzer drive the same functions with the same mutations.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a target tells by panicking"
)]

mod answer;
mod mutation;
mod parsers;
mod review;
mod text;
mod world;

pub use mutation::mutated;
pub use parsers::{address, path, quantity, record};
pub use review::{codec, handler, review};
pub use text::text;

/// A function that holds its input to something.
pub struct Target {
    /// Names its corpus and its binary.
    pub name: &'static str,
    /// Panics where something does not hold.
    pub run: fn(&[u8]),
    /// Neighbours of each entry of the corpus that `make test` tries: fewer where a run costs more.
    pub mutations: u64,
}

/// All of them.
pub const TARGETS: [Target; 7] = [
    Target { name: "codec", run: codec, mutations: 200 },
    Target { name: "handler", run: handler, mutations: 6 },
    Target { name: "text", run: text, mutations: 3 },
    Target { name: "quantity", run: quantity, mutations: 200 },
    Target { name: "path", run: path, mutations: 200 },
    Target { name: "address", run: address, mutations: 200 },
    Target { name: "record", run: record, mutations: 200 },
];
