//! Admission under load: the operator's own server over TLS, pinned to one core, and clients on the other.
//!
//! `cargo bench --bench load` measures and prints the tables of `docs/performance.md`. As a test, that is without the
//! `--bench` that cargo adds to the former, it only goes through all of it once.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark fails by panicking")]
#![allow(clippy::cast_precision_loss, reason = "what is measured is far less precise")]

mod client;
#[path = "../listening.rs"]
mod listening;
mod plan;
#[path = "../reviews.rs"]
mod reviews;
mod served;
mod table;
#[path = "../usage.rs"]
mod usage;

use clap::{Parser, Subcommand};

use plan::Plan;

/// Measures admission over TLS.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Measures; without it everything is tried once
    #[arg(long)]
    bench: bool,
    /// Interval at which to each measurement is made; the table holds medians
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Measure only subjects whose name contains this
    #[arg(default_value = "")]
    only: String,
}

#[derive(Subcommand)]
enum Command {
    /// Serve admission, for whoever measures it
    Serve,
}

fn main() -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider().install_default().expect("nobody else installs one");
    let args = Args::parse();
    if let Some(Command::Serve) = args.command {
        return served::serve();
    }
    let plan = if args.bench { Plan::measure(args.runs) } else { Plan::TRY };
    let measurements = plan.carry_out(&args.only)?;
    println!("{}", table::markdown(&measurements));
    Ok(())
}
