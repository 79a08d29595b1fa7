//! Builds the testbed's programs, and runs control planes and nodes beyond a test, for the demo and for looking around.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use clap::{Args, Parser};
use testbed::{ControlPlane, Image, Node, NodeOptions, Options, binaries, detached, node};

#[derive(Parser)]
#[command(about)]
enum Cli {
    /// Build every program that is not yet in the cache.
    Build {
        /// Also build for real nodes: further programs, images, and Debian packages.
        #[arg(long)]
        real: bool,
    },
    /// Print where a program is, built if it was not yet in the cache.
    Path {
        /// Name of the program, for example `kubectl`.
        tool: String,
    },
    /// Start a control plane that goes on running.
    Up(Up),
    /// Run a command on the real node of a directory.
    Exec {
        /// The directory given to `up`.
        #[arg(long)]
        dir: PathBuf,
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
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
    /// Folder of its state, kubeconfig and logs.
    #[arg(long)]
    dir: PathBuf,
    /// Number of fake nodes to give it.
    #[arg(long, default_value_t = 0, conflicts_with = "real")]
    fake_nodes: usize,
    /// Give it a real node, which needs root rights.
    #[arg(long)]
    real: bool,
    /// A binary of the operator, for an image on the real node.
    #[arg(long, requires = "real")]
    operator: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse() {
        Cli::Build { real } => build(real),
        Cli::Path { tool } => path(&tool),
        Cli::Up(args) => up(&args),
        Cli::Exec { dir, command } => exec(&dir, &command),
        Cli::Down { dir } => detached::down(&dir),
        Cli::Serve(args) => serve(args),
    }
}

/// Building beforehand shows the progress here rather than in a log.
fn build(real: bool) -> anyhow::Result<()> {
    binaries::build(binaries::CONTROL_PLANE.into_iter().chain(binaries::CLIENTS))?;
    if real { node::prepare(&Image::cluster()) } else { Ok(()) }
}

fn path(name: &str) -> anyhow::Result<()> {
    let tool = binaries::CONTROL_PLANE
        .into_iter()
        .chain(binaries::CLIENTS)
        .chain(binaries::NODE)
        .find(|tool| tool.name() == name)
        .with_context(|| format!("no program {name:?}"))?;
    println!("{}", tool.path()?.display());
    Ok(())
}

fn up(args: &Up) -> anyhow::Result<()> {
    build(args.real)?;
    // The same arguments, but for the name of the command.
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("serve").args(std::env::args_os().skip(2));
    let kubeconfig = detached::up(&args.dir, command)?;
    println!("export KUBECONFIG={}", kubeconfig.display());
    Ok(())
}

/// In the place of this process, which has nothing to add.
fn exec(dir: &std::path::Path, words: &[OsString]) -> anyhow::Result<()> {
    let [program, args @ ..] = words else { return Ok(()) };
    let mut command = Command::new(program);
    command.args(args);
    Err(detached::enter(dir, &command)?.exec().into())
}

#[tokio::main]
async fn serve(args: Up) -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let dir = Some(args.dir.clone());
    if args.real {
        let mut images = Image::cluster();
        images.extend(args.operator.map(Image::operator));
        let options = NodeOptions { images, dir, ..NodeOptions::default() };
        detached::serve(&args.dir, Node::start(options)).await
    } else {
        let options = Options { fake_nodes: args.fake_nodes, dir, ..Options::default() };
        detached::serve(&args.dir, ControlPlane::start(options)).await
    }
}
