//! `validate`: the rules of admission, without a cluster.

mod github;
mod human;
mod judgement;
mod metadata;
mod rules;
mod sarif;

use std::io::{self, StdoutLock, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::ValueEnum;

use super::documents::{self, Input};
use super::{Exit, UNUSABLE};
use judgement::{Judgement, judge};

pub use judgement::{defaulted, kind};

/// Check manifests by the rules of admission, without a cluster
///
/// Exits with 0 where all are valid, with 1 where one is not, and with 2 where input cannot be used.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Manifests to check; `-` for standard input, a directory for all YAML files in it. Other kinds are skipped
    #[arg(short, long = "filename", value_name = "FILE", num_args = 1.., required = true)]
    files: Vec<PathBuf>,
    /// The manifests as they were before, if there were any: checks the change too, and tells its consequences
    #[arg(long, value_name = "FILE")]
    old: Vec<PathBuf>,
    /// Namespace of what names none. Without it, it is not known what a host is short for
    #[arg(short, long)]
    namespace: Option<String>,
    /// Output format
    #[arg(short, long, value_enum, default_value = "human")]
    output: Output,
    /// Warnings are errors; so is it that there is nothing to check
    #[arg(long)]
    strict: bool,
    /// That there is nothing to check is no error even so, as where only files are given that change
    #[arg(long)]
    allow_empty: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// For people: each error with the line that it is in
    Human,
    /// One object for each manifest
    Json,
    /// SARIF 2.1.0, as code scanning reads it
    Sarif,
    /// Workflow commands, which GitHub shows as annotations
    Github,
}

/// Everything that is said of the input.
#[derive(Debug, Default)]
struct Review {
    /// Of each manifest, and of each file that cannot be used.
    judgements: Vec<Judgement>,
    /// Of each file that cannot be used as it was before.
    before: Vec<Judgement>,
    /// Number of manifests were checked.
    checked: usize,
    /// Number of documents are of other kinds.
    skipped: usize,
    /// Number of files cannot be used.
    unusable: usize,
}

/// Checks every document.
pub fn run(args: &Args) -> Exit {
    let are_read = |paths: &[PathBuf]| paths.iter().any(|path| documents::is_standard_input(path));
    if are_read(&args.files) && are_read(&args.old) {
        bail!("standard input cannot be both what is and what was: give a file to -f or to --old");
    }
    let read = |paths: &[PathBuf]| {
        let input = documents::read(paths);
        match &args.namespace {
            Some(namespace) => input.in_namespace(namespace),
            None => input,
        }
    };
    let review = Review::of(&read(&args.files), &read(&args.old), args.strict);
    print(&review, args.output, io::stdout().lock())?;
    human::print_unusable(&review, &mut anstream::stderr().lock())?;
    Ok(review.exit_code(args.strict && !args.allow_empty))
}

/// Tells what is wrong with manifests before they are used, and whether anything is.
pub fn tell_errors(input: &Input, out: &mut impl Write) -> io::Result<bool> {
    let review = Review::of(input, &Input::default(), false);
    human::print_errors(&review, out)?;
    Ok(!review.is_valid())
}

fn print(review: &Review, output: Output, mut out: StdoutLock<'static>) -> anyhow::Result<()> {
    match output {
        Output::Human => human::print(review, &mut anstream::AutoStream::auto(out))?,
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&review.judgements)?)?,
        Output::Sarif => writeln!(out, "{}", serde_json::to_string_pretty(&sarif::log(review))?)?,
        Output::Github => github::print(review, &mut out)?,
    }
    Ok(())
}

impl Review {
    fn of(input: &Input, old: &Input, strict: bool) -> Self {
        let Input { documents, unusable } = input;
        let mut review = Self { unusable: unusable.len(), ..Self::default() };
        for (index, document) in documents.iter().enumerate() {
            let judgement = judge(document, &documents[..index], &old.documents);
            let count = if judgement.is_some() { &mut review.checked } else { &mut review.skipped };
            *count += 1;
            review.judgements.extend(judgement.or_else(|| judgement::skipped(document)));
        }
        if unusable.is_empty() {
            review.judgements.extend(judgement::deleted(documents, &old.documents));
        }
        review.judgements.extend(unusable.iter().map(Judgement::unusable));
        review.before = old.unusable.iter().map(Judgement::unusable_before).collect();
        if strict {
            review.judgements = review.judgements.into_iter().map(Judgement::strict).collect();
            // What was not there cannot have been wrong.
            let is_wrong = old.unusable.iter().map(|unusable| !unusable.absent);
            let before = review.before.into_iter().zip(is_wrong);
            review.before = before.map(|(one, wrong)| if wrong { one.strict() } else { one }).collect();
        }
        review
    }

    /// True if there was nothing to check.
    fn is_idle(&self) -> bool {
        self.checked == 0 && self.unusable == 0
    }

    fn is_valid(&self) -> bool {
        self.judgements.iter().chain(&self.before).all(|judgement| judgement.valid)
    }

    fn exit_code(&self, fails_idle: bool) -> ExitCode {
        if self.unusable > 0 {
            ExitCode::from(UNUSABLE)
        } else if self.is_valid() && !(fails_idle && self.is_idle()) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests;
