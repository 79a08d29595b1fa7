//! Report of a run.
//!
//! Everything is told twice: at once, on standard error, and in the end as a document.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const PREAMBLE: &str = "\
# A run on a real node

Written by `make e2e UPDATE=1`: what the end-to-end tests (`tests/e2e/`) did on one real kubelet with real PostgreSQL,
and what came of it. Times depend on the machine and what else it does; no test depends on them. What must hold is
checked: no acknowledged write is lost, never more than one instance is disrupted by the operator at a time, and the
status says what is so.

All the while a client inserts one number after another through the gateway's Service, in one session and with short
timeouts, and after an error again in a new session. The time without writes is the longest between two
acknowledgements.
";

/// A handle to the one report of a run.
#[derive(Clone, Default)]
pub struct Report(Arc<Mutex<Contents>>);

#[derive(Default)]
struct Contents {
    sections: Vec<Section>,
    times: Vec<(String, Duration)>,
    outcomes: Vec<(String, Outcome)>,
    lies: Vec<String>,
}

struct Section {
    title: String,
    began: Instant,
    transcript: Vec<String>,
    failure: Option<String>,
}

/// Effect of an episode on the clients that write.
#[derive(Debug)]
pub struct Outcome {
    pub writes: i64,
    pub failed: usize,
    pub longest: Duration,
    pub disrupted: usize,
    pub lost: Vec<i64>,
    /// Until everything was as it should be again.
    pub whole: Duration,
}

impl Report {
    pub fn begin(&self, title: &str) {
        eprintln!("\n── {title}");
        let section =
            Section { title: title.to_owned(), began: Instant::now(), transcript: Vec::new(), failure: None };
        self.lock().sections.push(section);
    }

    /// Something that was seen at this moment.
    pub fn saw(&self, what: &str) {
        let what = what.lines().collect::<Vec<_>>().join(" ");
        let mut contents = self.lock();
        if let Some(section) = contents.sections.last() {
            let line = format!("{:>7.1} s  {what}", section.began.elapsed().as_secs_f64());
            contents.add(line);
        }
    }

    /// Something that was done at this moment, and what it printed.
    pub fn did(&self, command: &str, output: &str) {
        self.saw(&format!("$ {command}"));
        let mut contents = self.lock();
        for line in output.lines() {
            contents.add(format!("{:>11}{line}", "").trim_end().to_owned());
        }
    }

    pub fn time(&self, what: &str, took: Duration) {
        self.saw(&format!("{what}: {}", seconds(took)));
        self.lock().times.push((what.to_owned(), took));
    }

    pub fn outcome(&self, of: &str, outcome: Outcome) {
        self.saw(&format!(
            "{} writes, {} attempts failed, longest time without a write {}, disrupted at once {}, lost {}",
            outcome.writes,
            outcome.failed,
            seconds(outcome.longest),
            outcome.disrupted,
            outcome.lost.len()
        ));
        self.lock().outcomes.push((of.to_owned(), outcome));
    }

    /// Something that the status said and that was not so.
    pub fn lie(&self, when: &str, what: &str) {
        self.saw(&format!("NOT TRUE: {what}"));
        self.lock().lies.push(format!("{when}: {what}"));
    }

    pub fn lies(&self) -> Vec<String> {
        self.lock().lies.clone()
    }

    pub fn end(&self, failure: Option<String>) {
        if let Some(failure) = &failure {
            self.saw(&format!("FAILED: {failure}"));
        }
        if let Some(section) = self.lock().sections.last_mut() {
            section.failure = failure;
        }
    }

    pub fn write(&self, file: &Path) -> std::io::Result<()> {
        if let Some(directory) = file.parent() {
            std::fs::create_dir_all(directory)?;
        }
        std::fs::write(file, self.lock().document())
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn add(&mut self, line: String) {
        eprintln!("{line}");
        if let Some(section) = self.sections.last_mut() {
            section.transcript.push(line);
        }
    }

    fn document(&self) -> String {
        let mut text = PREAMBLE.to_owned();
        // Writing to a string does not fail.
        let _ = self.summary(&mut text);
        for section in &self.sections {
            let _ = section.write(&mut text);
        }
        text
    }

    fn summary(&self, text: &mut String) -> std::fmt::Result {
        let lost: usize = self.outcomes.iter().map(|(_, outcome)| outcome.lost.len()).sum();
        let writes: i64 = self.outcomes.iter().map(|(_, outcome)| outcome.writes).sum();
        let failed = self.sections.iter().filter(|section| section.failure.is_some()).count();
        writeln!(text, "\n**{lost} of {writes} acknowledged writes were lost.**")?;
        writeln!(text, "{} scenarios passed, {failed} failed.\n", self.sections.len() - failed)?;
        writeln!(text, "| | took |\n|---|---|")?;
        for (what, took) in &self.times {
            writeln!(text, "| {what} | {} |", seconds(*took))?;
        }
        writeln!(
            text,
            "\n| | without writes | failed attempts | writes | disrupted at once | all as before |"
        )?;
        writeln!(text, "|---|---|---|---|---|---|")?;
        for (what, outcome) in &self.outcomes {
            let Outcome { writes, failed, longest, disrupted, whole, .. } = outcome;
            let (longest, whole) = (seconds(*longest), seconds(*whole));
            writeln!(text, "| {what} | {longest} | {failed} | {writes} | {disrupted} | {whole} |")?;
        }
        Ok(())
    }
}

impl Section {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "\n## {}\n", self.title)?;
        if let Some(failure) = &self.failure {
            writeln!(text, "**Failed:** {failure}\n")?;
        }
        writeln!(text, "```\n{}\n```", self.transcript.join("\n"))
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
