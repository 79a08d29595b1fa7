//! Databases on a real node: real kubelet, real PostgreSQL, and a client that writes all the time.
//!
//! The scenarios share a node and are run in this order. One that fails is reported, and the others are run all the
//! same. What happened is written down (`report.rs`); no scenario depends on how long anything takes. They are run by
//! `make test`, and alone by `make e2e`; a part of them by a part of their names: `make e2e ONLY=failover`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::large_futures, reason = "there is one of each")]

mod bench;
mod cluster;
mod connection;
mod consensus;
mod episode;
mod journal;
mod report;
mod scenarios;
mod soak;
mod watch;

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use testbed::node;
use tokio::runtime::Runtime;

use bench::Bench;
use episode::Violation;
use report::Report;
use scenarios::{SCENARIOS, Scenario};

/// Path at which the report is always written, and the committed one.
const REPORT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/e2e.md");
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/e2e.md");

/// The bench, which the first scenario starts.
enum Stage {
    Empty,
    Set(Box<Bench>),
    Broken,
}

struct Theatre {
    runtime: Runtime,
    report: Report,
    stage: Mutex<Stage>,
}

impl Theatre {
    fn run(&self, scenario: &Scenario) -> Result<Completion, Failed> {
        if let Some(reason) = node::why_not() {
            return Ok(Completion::ignored_with(reason));
        }
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if let Stage::Empty = *stage {
            *stage = Stage::Broken;
            let bench = self.runtime.block_on(Bench::start(self.report.clone()));
            self.report.end(bench.as_ref().err().map(|error| format!("{error:#}")));
            *stage = Stage::Set(Box::new(bench.map_err(|error| in_words(&error))?));
        }
        let Stage::Set(bench) = &mut *stage else { return Err("there is no node".into()) };
        let mut result = self.play(scenario, bench);
        // A machine that is busy enough can make anything take longer than anybody waits.
        if result.as_ref().is_err_and(|error| !error.is::<Violation>()) {
            eprintln!("tried once more on a new cluster: {}", scenario.name);
            result = self.play(scenario, bench);
        }
        result.map_err(|error| in_words(&error)).map(|()| Completion::Completed)
    }

    /// After a failure, what there is to see is shown and the cluster is removed.
    fn play(&self, scenario: &Scenario, bench: &mut Bench) -> anyhow::Result<()> {
        self.report.begin(scenario.title);
        let result = self.runtime.block_on((scenario.play)(bench));
        self.report.end(result.as_ref().err().map(|error| format!("{error:#}")));
        if result.is_err() {
            self.runtime.block_on(async {
                bench.diagnose().await?;
                bench.abandon().await.context("the cluster cannot be removed")
            })?;
        }
        result
    }

    /// Writes the report, also for the documentation if that is asked for and everything was run.
    fn write(&self, everything: bool) -> std::io::Result<()> {
        self.report.write(Path::new(REPORT))?;
        eprintln!("\nwritten down in {REPORT}");
        if everything && !soak::is_wanted() && std::env::var_os("UPDATE").is_some() {
            self.report.write(Path::new(DOCUMENT))?;
        }
        Ok(())
    }
}

fn in_words(error: &anyhow::Error) -> Failed {
    format!("{error:#}").into()
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let runtime = Runtime::new().unwrap();
    let theatre = Arc::new(Theatre { runtime, report: Report::default(), stage: Mutex::new(Stage::Empty) });
    let trials = SCENARIOS.iter().filter(|scenario| scenario.soaks || !soak::is_wanted()).map(|scenario| {
        let theatre = Arc::clone(&theatre);
        Trial::ignorable_test(scenario.name, move || theatre.run(scenario))
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    // The node ends here, and its clients before the runtime that they are of.
    let stage =
        std::mem::replace(&mut *theatre.stage.lock().unwrap_or_else(PoisonError::into_inner), Stage::Empty);
    let ran = !matches!(stage, Stage::Empty);
    theatre.runtime.block_on(async { drop(stage) });
    if ran {
        theatre.write(arguments.filter.is_none() && conclusion.num_filtered_out == 0).unwrap();
    }
    conclusion.exit_code()
}
