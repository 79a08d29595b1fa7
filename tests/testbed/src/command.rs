//! Running a program to its end.

use std::ffi::OsStr;
use std::process::{Command, Output};

use anyhow::{Context, bail};

const ERROR_LINES: usize = 15;

/// Runs a command that must succeed and hands back its standard output.
pub fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("starting {}", display(command)))?;
    succeeded(command, output)
}

/// The standard output of a command that must have succeeded.
pub fn succeeded(command: &Command, output: Output) -> anyhow::Result<String> {
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{} failed: {}", display(command), last_lines(&String::from_utf8_lossy(&said), ERROR_LINES));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The end of what a process wrote, which is where it says why it ended.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn display(command: &Command) -> String {
    let words: Vec<&OsStr> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    format!("`{}`", words.join(OsStr::new(" ")).display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_in_the_words_of_the_program() {
        let error =
            run(Command::new("sh").args(["-c", "echo out; echo no such thing >&2; exit 1"])).unwrap_err();
        let expected = "`sh -c echo out; echo no such thing >&2; exit 1` failed: out\nno such thing";
        assert_eq!(error.to_string(), expected);
        assert!(run(&mut Command::new("/nonexistent")).is_err());
        assert_eq!(run(Command::new("echo").arg("done")).unwrap(), "done\n");
    }
}
