//! The Multigres operator.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use multigres_operator::api_error;
use multigres_operator::cli::{Cli, UNUSABLE};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    // Before anything opens a connection: which cryptography is used must not depend on what is linked.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("error: another crypto provider is installed");
        return ExitCode::FAILURE;
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Cli::parse().execute().await {
        Ok(code) => code,
        Err(error) if reads_no_more(&error) => ExitCode::from(SIGPIPE),
        Err(error) => {
            eprintln!("error: {}", api_error::chain(&*error));
            ExitCode::from(UNUSABLE)
        }
    }
}

/// The level of each module's log. The libraries that call the API server log the debug form of its errors; the operator
/// tells of the same errors in plain words.
const LOGGED: &str = "info,kube_client=error,kube_runtime=error";

/// Exit status that shells report for a command that wrote to a closed pipe, as after `| head`.
const SIGPIPE: u8 = 128 + 13;

fn reads_no_more(error: &anyhow::Error) -> bool {
    let is_broken_pipe = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(is_broken_pipe))
}
