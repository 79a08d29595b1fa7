//! The command line.

mod crds;
mod documents;
mod render;

use clap::{Parser, Subcommand};

use crate::operator;

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
    /// Print what the operator makes of a cluster
    Render(render::Args),
}

/// What a command comes to, as the exit status of the process.
pub type Exit = anyhow::Result<std::process::ExitCode>;

impl Cli {
    /// Carries the command out.
    pub async fn execute(self) -> Exit {
        match self.command {
            Command::Run(args) => operator::run(*args).await.map(|()| std::process::ExitCode::SUCCESS),
            Command::Crds(args) => crds::run(&args),
            Command::Render(args) => render::run(&args),
        }
    }
}
