//! `validate`: the rules of admission, without a cluster.

mod github;
mod human;
mod judgement;
mod rules;
mod sarif;

use std::io::{self, StdoutLock, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;

use super::documents::{self, Document, Input};
use super::{Exit, UNUSABLE};
use judgement::{Judgement, judge};

/// Check manifests by the rules of admission, without a cluster
///
/// Exits with 0 where all are valid, with 1 where one is not, and with 2 where input cannot be used.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Manifests to check; `-` for standard input, a directory for all YAML files in it. Other kinds are skipped
    #[arg(short, long = "filename", value_name = "FILE", num_args = 1.., required = true)]
    files: Vec<PathBuf>,
    /// The manifests as they were before: checks the change too, and tells its consequences
    #[arg(long, value_name = "FILE")]
    old: Vec<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value = "human")]
    output: Output,
    /// Warnings are errors; so is it that there is nothing to check
    #[arg(long)]
    strict: bool,
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
    /// How many manifests were checked.
    checked: usize,
    /// How many documents are of other kinds.
    skipped: usize,
    /// How many files cannot be used.
    unusable: usize,
}

/// Checks every document.
pub fn run(args: &Args) -> Exit {
    let old = documents::read(&args.old).usable()?;
    let review = Review::of(documents::read(&args.files), &old, args.strict);
    print(&review, args.output, io::stdout().lock())?;
    human::print_unusable(&review, &mut anstream::stderr().lock())?;
    Ok(review.exit_code(args.strict))
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
    fn of(input: Input, old: &[Document], strict: bool) -> Self {
        let Input { documents, unusable } = input;
        let mut review = Self { unusable: unusable.len(), ..Self::default() };
        for (index, document) in documents.iter().enumerate() {
            match judge(document, &documents[..index], old, strict) {
                Some(judgement) => review.judgements.push(judgement),
                None => review.skipped += 1,
            }
        }
        review.checked = review.judgements.len();
        review.judgements.extend(unusable.into_iter().map(Judgement::unusable));
        review
    }

    /// Whether there was nothing to check.
    fn is_idle(&self) -> bool {
        self.judgements.is_empty()
    }

    fn exit_code(&self, strict: bool) -> ExitCode {
        if self.unusable > 0 {
            ExitCode::from(UNUSABLE)
        } else if self.judgements.iter().all(|judgement| judgement.valid) && !(strict && self.is_idle()) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests;
