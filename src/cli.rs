//! The command line.

mod crds;
mod documents;
mod render;
mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{install, operator};

/// Kubernetes operator for Multigres, horizontally scaled PostgreSQL.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the operator: admission webhooks and controllers
    Run(Box<operator::RunArgs>),
    /// Print the CustomResourceDefinitions
    Crds(crds::Args),
    /// Print what an installation consists of, apart from the CustomResourceDefinitions
    Manifests(install::ManifestsArgs),
    /// Check manifests by the rules of admission, without a cluster
    Validate(validate::Args),
    /// Print what the operator makes of a cluster, or of what stands alone
    Render(render::Args),
}

/// The exit status where input cannot be used, as opposed to invalid objects.
pub const UNUSABLE: u8 = 2;

/// Result of a command, as the exit status of the process.
pub type Exit = anyhow::Result<ExitCode>;

impl Cli {
    /// Carries the command out.
    pub async fn execute(self) -> Exit {
        match self.command {
            Command::Run(args) => operator::run(*args).await.map(|()| ExitCode::SUCCESS),
            Command::Crds(args) => crds::run(&args),
            Command::Manifests(args) => {
                args.run(&mut std::io::stdout().lock())?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Validate(args) => validate::run(&args),
            Command::Render(args) => render::run(&args),
        }
    }
}
