//! For people: each finding with the line that it is in.

use std::io::{self, Write};

use annotate_snippets::{AnnotationKind, Group, Level as Title, Origin, Renderer, Snippet};

use super::judgement::{Finding, Judgement, Level};
use super::{Review, rules};
use crate::cli::documents::File;

/// Everything that was found, and a summary.
pub fn print(review: &Review, out: &mut impl Write) -> io::Result<()> {
    let checked = review.judgements.iter().filter(|judgement| !judgement.is_unusable());
    print_findings(checked.flat_map(with_file), out)?;
    if review.is_idle() { Ok(()) } else { writeln!(out, "{}", summary(review)) }
}

/// Prints the problems of unusable input, so that nobody overlooks them.
pub fn print_unusable(review: &Review, out: &mut impl Write) -> io::Result<()> {
    let unusable = review.judgements.iter().filter(|judgement| judgement.is_unusable());
    print_findings(unusable.chain(&review.before).flat_map(with_file), out)?;
    if review.is_idle() { writeln!(out, "warning: {}", summary(review)) } else { Ok(()) }
}

/// Prints problems of manifests that are to be used for something else.
pub fn print_errors(review: &Review, out: &mut impl Write) -> io::Result<()> {
    let findings = review.judgements.iter().flat_map(with_file);
    let is_in_the_way =
        |(finding, _): &(Finding<'_>, _)| finding.level == Level::Error || finding.id == rules::SKIPPED;
    print_findings(findings.filter(is_in_the_way), out)
}

fn with_file(judgement: &Judgement) -> impl Iterator<Item = (Finding<'_>, &File)> {
    judgement.findings().map(|finding| (finding, &*judgement.file))
}

/// In colours, which the stream takes out where they do not belong.
fn print_findings<'j>(
    findings: impl Iterator<Item = (Finding<'j>, &'j File)>,
    out: &mut impl Write,
) -> io::Result<()> {
    let renderer = Renderer::styled();
    for (finding, file) in findings {
        writeln!(out, "{}\n", renderer.render(&[group(&finding, file)]))?;
    }
    Ok(())
}

fn group<'f>(finding: &Finding<'f>, file: &'f File) -> Group<'f> {
    let title = match finding.level {
        Level::Error => Title::ERROR,
        Level::Warning => Title::WARNING,
    };
    let title = title.primary_title(finding.message.to_string()).id(finding.id);
    let Some(span) = finding.span else { return title.element(Origin::path(file.name.as_str())) };
    let mark = AnnotationKind::Primary.span(span.bytes.clone());
    title.element(Snippet::source(file.text.as_str()).path(file.name.as_str()).annotation(mark))
}

/// Summary of the checks and their result.
fn summary(review: &Review) -> String {
    let mut summary = match review.checked {
        0 => format!("nothing checked: the input has no manifest of {}", multigres_crds::GROUP),
        checked => format!("{} checked: {}", count(checked, "manifest"), verdict(review)),
    };
    for (number, thing, what) in
        [(review.skipped, "document", "of other kinds skipped"), (review.unusable, "file", "not usable")]
    {
        if number > 0 {
            summary.extend(["; ", &count(number, thing), " ", what]);
        }
    }
    summary
}

fn verdict(review: &Review) -> String {
    let checked = || review.judgements.iter().filter(|judgement| !judgement.is_unusable());
    let of = |level| checked().flat_map(Judgement::findings).filter(|finding| finding.level == level).count();
    match (of(Level::Error), of(Level::Warning)) {
        (0, 0) => "no errors, no warnings".to_owned(),
        (errors, 0) => count(errors, "error"),
        (0, warnings) => count(warnings, "warning"),
        (errors, warnings) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    }
}

fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}
