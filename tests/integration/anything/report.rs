//! Report on all rounds.

use strum::VariantArray;

use super::compare::Comparison;
use super::drift::Drift;
use super::edits::Edit;
use super::faults::Fault;
use super::world::{Counts, World};

/// Report on all rounds.
#[derive(Default)]
pub struct Report {
    pub counts: Counts,
    /// Times that the operator was found to have ended by itself.
    pub restarts: usize,
    /// Namespaces that were deleted, and how many of them are gone.
    pub namespaces: usize,
    pub finished: usize,
    sequences: usize,
    retained: usize,
    released: usize,
    held: usize,
    failures: Vec<String>,
}

impl Report {
    /// Takes the outcome of a sequence.
    pub fn take(&mut self, world: &World, comparison: &Comparison, wrong: &[String]) {
        self.sequences += 1;
        self.retained += comparison.retained;
        self.released += comparison.released;
        self.held += comparison.held;
        println!("seed {:016x}: {}", world.seed, if wrong.is_empty() { "as a fresh apply" } else { "WRONG" });
        if !wrong.is_empty() {
            let (steps, wrong) = (world.log.join("\n  "), wrong.join("\n  "));
            let seed = world.seed;
            self.failures.push(format!("seed {seed:016x}:\n  {steps}\nthen:\n  {wrong}"));
            println!("{}", self.failures.last().unwrap());
        }
    }

    pub fn print_progress(&self) {
        println!("{} sequences so far, {} of them wrong", self.sequences, self.failures.len());
    }

    /// Prints a table of all steps.
    pub fn print(&self) {
        println!("\n| | step | done | refused | no answer of admission |\n|---|---|--:|--:|--:|");
        for (sort, step) in all() {
            let [done, refused, failed] = self.counts.0.get(&(sort, step)).copied().unwrap_or_default();
            println!("| {sort} | {step} | {done} | {refused} | {failed} |");
        }
        println!();
        println!("| sequences | {} |\n|---|--:|", self.sequences);
        println!("| of them wrong | {} |", self.failures.len());
        println!("| objects retained and explained | {} |", self.retained);
        println!("| objects released | {} |", self.released);
        println!("| objects held back by the planner | {} |", self.held);
        println!("| times that the operator ended by itself | {} |", self.restarts);
        println!("| namespaces deleted in any order, with all in them | {} |", self.namespaces);
        println!("| of them gone | {} |", self.finished);
    }

    /// Fails unless everything went well, and, where many sequences were asked for, every step was done.
    pub fn assert_sound(&self, many: bool) {
        let failures = self.failures.join("\n\n");
        assert!(self.failures.is_empty(), "{} sequences are wrong:\n{failures}", self.failures.len());
        assert_eq!(self.finished, self.namespaces, "every namespace goes");
        let is_done =
            |key: &(&str, &str)| self.counts.0.iter().any(|(step, [done, ..])| step == key && *done > 0);
        let missing: Vec<_> = all().into_iter().filter(|key| !is_done(key)).collect();
        assert!(!many || missing.is_empty(), "never done: {missing:?}");
    }
}

/// Every step there is.
fn all() -> Vec<(&'static str, &'static str)> {
    let cluster = ["Create", "Delete"].map(|step| ("cluster", step));
    let edits = Edit::VARIANTS.iter().map(|edit| ("edit", edit.into()));
    let drift = Drift::VARIANTS.iter().map(|drift| ("drift", drift.into()));
    let faults = Fault::VARIANTS.iter().map(|fault| ("fault", fault.into()));
    cluster.into_iter().chain(edits).chain(drift).chain(faults).collect()
}
