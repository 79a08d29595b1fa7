//! The Multigres operator.

use std::process::ExitCode;

use clap::Parser;
use multigres_operator::cli::{Cli, UNUSABLE};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    // Before anything opens a connection: which cryptography is used must not depend on what is linked.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("error: another crypto provider is installed");
        return ExitCode::FAILURE;
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Cli::parse().execute().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(UNUSABLE)
        }
    }
}
