//! Long runs: the same scenario many times over, on a node that has other work.
//!
//! `make soak ONLY=bringup` runs the scenarios that are made for it as often as `REPEATS` says, under load, and writes
//! their tables to `docs/soak.md`. `make test` runs them once, without load.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// The document with one section for each scenario.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/soak.md");

/// True if this is a long run.
pub fn is_wanted() -> bool {
    std::env::var_os("SOAK").is_some_and(|asked| !asked.is_empty())
}

/// Interval at which to a scenario repeats itself.
pub fn repeats() -> usize {
    let asked = std::env::var("REPEATS").ok().and_then(|text| text.parse().ok());
    if is_wanted() { asked.unwrap_or(30) } else { 1 }
}

/// Work for every core, in a long run only, until it is dropped.
pub struct Load {
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn begin() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let ends = Arc::new(AtomicBool::new(false));
        let busy = |_| {
            let ends = Arc::clone(&ends);
            std::thread::spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        };
        let threads = (0..if is_wanted() { cores } else { 0 }).map(busy).collect();
        Self { ends, threads }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It does nothing that could fail.
            let _ = thread.join();
        }
    }
}

/// Writes the table of a scenario into its section of the document, after a long run.
pub fn table(scenario: &str, rows: &str) -> anyhow::Result<()> {
    if !is_wanted() {
        return Ok(());
    }
    let document = Path::new(DOCUMENT);
    let before = std::fs::read_to_string(document)?;
    std::fs::write(document, with_section(&before, scenario, rows))?;
    Ok(())
}

/// A document with the section of a scenario in place of the one that it had.
fn with_section(document: &str, scenario: &str, rows: &str) -> String {
    let heading = format!("## {scenario}\n");
    let (before, after) = match document.split_once(&heading) {
        None => (document, ""),
        Some((before, rest)) => (before, rest.find("\n## ").map_or("", |next| &rest[next..])),
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = format!("{cores} cores, each with a busy thread beside the node.");
    format!("{}\n\n{heading}\n{load}\n\n{rows}{after}", before.trim_end())
}
