//! `validate` as it is run: its own binary, without a cluster.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod command;
mod input;
mod manual;
mod output;
