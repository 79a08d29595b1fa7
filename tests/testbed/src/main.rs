//! Builds the testbed's programs, and runs control planes beyond a test, for the demo and for looking around.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use clap::{Args, Parser};
use testbed::{Options, binaries, detached};

#[derive(Parser)]
#[command(about)]
enum Cli {
    /// Build every program that is not yet in the cache.
    Build,
    /// Print where a program is, built if it was not yet in the cache.
    Path {
        /// Name of the program, for example `kubectl`.
        tool: String,
    },
    /// Start a control plane that goes on running.
    Up(Up),
    /// End the control plane of a directory and remove its state.
    Down {
        /// The directory given to `up`.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Own a control plane on behalf of `up`.
    #[command(hide = true)]
    Serve(Up),
}

#[derive(Args)]
struct Up {
    /// Where to keep its state, kubeconfig and logs.
    #[arg(long)]
    dir: PathBuf,
    /// How many fake nodes to give it.
    #[arg(long, default_value_t = 0)]
    fake_nodes: usize,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse() {
        Cli::Build => build(),
        Cli::Path { tool } => path(&tool),
        Cli::Up(args) => up(&args),
        Cli::Down { dir } => detached::down(&dir),
        Cli::Serve(args) => serve(&args),
    }
}

/// Building beforehand shows the progress here rather than in a log.
fn build() -> anyhow::Result<()> {
    binaries::ALL.iter().try_for_each(|tool| tool.path().map(drop))
}

fn path(name: &str) -> anyhow::Result<()> {
    let tool = binaries::ALL
        .iter()
        .find(|tool| tool.name() == name)
        .with_context(|| format!("no program {name:?}"))?;
    println!("{}", tool.path()?.display());
    Ok(())
}

fn up(args: &Up) -> anyhow::Result<()> {
    build()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("serve").arg("--dir").arg(&args.dir).arg(format!("--fake-nodes={}", args.fake_nodes));
    let kubeconfig = detached::up(&args.dir, command)?;
    println!("export KUBECONFIG={}", kubeconfig.display());
    Ok(())
}

#[tokio::main]
async fn serve(args: &Up) -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let options = Options { fake_nodes: args.fake_nodes, ..Options::default() };
    detached::serve(&args.dir, options).await
}
