//! The operator against a real API server: its own binary, its own identity, nothing faked but the nodes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod admitted;
mod all_at_once;
mod answers;
mod anything;
mod bad_input;
mod cli;
mod contention;
mod convergence;
mod defaulting;
mod deletion;
mod drift;
mod gitops;
mod installation;
mod leadership;
mod lifecycle;
mod outage;
mod passwords;
mod protection;
mod ratcheting;
mod rollouts;
mod rules;
mod samples;
mod status;
mod time_limits;
mod turndown;
mod webhook_configuration;
