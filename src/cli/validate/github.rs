//! Workflow commands of GitHub Actions: annotations, without an upload.

use std::io::{self, Write};

use super::Review;
use super::judgement::{Finding, Judgement};

/// One command for each finding.
pub fn print(review: &Review, out: &mut impl Write) -> io::Result<()> {
    for judgement in &review.judgements {
        judgement.findings().try_for_each(|finding| writeln!(out, "{}", command(judgement, &finding)))?;
    }
    Ok(())
}

fn command(judgement: &Judgement, finding: &Finding<'_>) -> String {
    let place = finding.span.map_or_else(String::new, |span| {
        let end = span.end_column(&judgement.file.text);
        format!(",line={},endLine={0},col={},endColumn={end}", span.line, span.column)
    });
    let (file, title) = (property(&judgement.file.name), property(finding.id));
    let message = data(&finding.message.to_string());
    format!("::{} file={file}{place},title={title}::{message}", finding.level.as_str())
}

/// Escapes characters that would end the line, and the command with it.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_a_command() {
        assert_eq!(data("100%\r\n::error::a,b"), "100%25%0D%0A::error::a,b");
        assert_eq!(property("a:b,c%\n"), "a%3Ab%2Cc%25%0A");
    }
}
