//! SARIF 2.1.0, the part of it that code scanning reads.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::judgement::{Finding, Judgement, Level};
use super::{Review, rules};
use crate::yaml::source::Span;

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// Characters that a path may contain in a URI.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[derive(Debug, Serialize)]
pub struct Log {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Tool,
    column_kind: &'static str,
    results: Vec<Finds>,
}

#[derive(Debug, Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    version: &'static str,
    information_uri: &'static str,
    rules: Vec<Rule>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: &'static str,
    short_description: Text,
    help_uri: String,
    default_configuration: Configuration,
}

#[derive(Debug, Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Debug, Serialize)]
struct Text {
    text: String,
}

/// A result; the name is taken.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Finds {
    rule_id: &'static str,
    rule_index: usize,
    level: &'static str,
    message: Text,
    locations: [Location; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    physical_location: PhysicalLocation,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: ArtifactLocation,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<Region>,
}

#[derive(Debug, Serialize)]
struct ArtifactLocation {
    uri: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: u64,
    start_column: u64,
    end_line: u64,
    end_column: u64,
}

/// Everything that was found, in one run.
pub fn log(review: &Review) -> Log {
    let mut levels: BTreeMap<&'static str, Level> = BTreeMap::new();
    for finding in review.judgements.iter().flat_map(Judgement::findings) {
        let level = levels.entry(finding.id).or_insert(finding.level);
        *level = finding.level.min(*level);
    }
    let index = |id| levels.keys().position(|other| *other == id).unwrap_or_default();
    let results = review
        .judgements
        .iter()
        .flat_map(|judgement| judgement.findings().map(move |finding| (judgement, finding)));
    let results =
        results.map(|(judgement, finding)| result(judgement, &finding, index(finding.id))).collect();
    let driver = Driver {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        information_uri: env!("CARGO_PKG_REPOSITORY"),
        rules: levels.iter().map(|(&id, &level)| rule(id, level)).collect(),
    };
    Log {
        schema: SCHEMA,
        version: "2.1.0",
        runs: [Run { tool: Tool { driver }, column_kind: "unicodeCodePoints", results }],
    }
}

fn rule(id: &'static str, level: Level) -> Rule {
    Rule {
        id,
        short_description: Text { text: rules::summary(id).to_owned() },
        help_uri: rules::help(id),
        default_configuration: Configuration { level: level.as_str() },
    }
}

fn result(judgement: &Judgement, finding: &Finding<'_>, rule_index: usize) -> Finds {
    let region = |span: &Span| Region {
        start_line: span.line,
        start_column: span.column,
        end_line: span.line,
        end_column: span.end_column(&judgement.file.text),
    };
    let physical_location = PhysicalLocation {
        artifact_location: ArtifactLocation { uri: uri(Path::new(&judgement.file.name)) },
        region: finding.span.map(region),
    };
    Finds {
        rule_id: finding.id,
        rule_index,
        level: finding.level.as_str(),
        message: Text { text: finding.message.to_string() },
        locations: [Location { physical_location }],
    }
}

/// A relative path is relative to where the command runs, which is where code scanning looks.
fn uri(path: &Path) -> String {
    let steps = path.components().filter_map(|component| match component {
        Component::Normal(step) => Some(utf8_percent_encode(&step.to_string_lossy(), ESCAPED).to_string()),
        Component::ParentDir => Some("..".to_owned()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    });
    let steps: Vec<String> = steps.collect();
    format!("{}{}", if path.is_absolute() { "file:///" } else { "" }, steps.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_uris() {
        for (path, expected) in [
            ("clusters/a.yaml", "clusters/a.yaml"),
            ("./a b.yaml", "a%20b.yaml"),
            ("../é:1.yaml", "../%C3%A9%3A1.yaml"),
            ("/tmp/a.yaml", "file:///tmp/a.yaml"),
            ("-", "-"),
        ] {
            assert_eq!(uri(Path::new(path)), expected);
        }
    }
}
