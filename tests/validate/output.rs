//! Output, byte for byte.

use serde_json::Value;

use crate::command::{BINARY, Directory, PROPOSAL, Said, broken};

fn said(output: &str) -> Said {
    let directory = Directory::with(&[("clusters/a, b.yaml", &broken())]);
    let said = directory.validate(&["-f", "clusters", "-o", output]);
    assert_eq!((said.code, said.err.as_str()), (Some(1), ""));
    said
}

#[test]
fn human() {
    insta::assert_snapshot!(said("human").out);
}

#[test]
fn json() {
    insta::assert_snapshot!(said("json").out);
}

#[test]
fn sarif() {
    insta::assert_snapshot!(said("sarif").out.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
}

#[test]
fn github() {
    insta::assert_snapshot!(said("github").out);
}

#[test]
fn unusable() {
    let directory = Directory::with(&[("bad.yaml", "a: é\n\tb: 1\n"), ("good.yaml", PROPOSAL)]);
    let said = directory.validate(&["-f", "good.yaml", "bad.yaml", "missing.yaml"]);
    assert_eq!(said.code, Some(2));
    let summary = said.out.lines().last().unwrap();
    insta::assert_snapshot!(format!("{}{summary}", said.err));
}

/// As `| head` does: more than a pipe holds is written, and nobody reads it.
#[test]
fn a_reader_may_go_away() {
    let directory = Directory::with(&[]);
    let said = directory.run("bash", &["-c", "$0 crds | true; echo ${PIPESTATUS[0]}", BINARY], "");
    assert_eq!((said.out.trim(), said.err.as_str()), ("141", ""));
}

/// Fields that code scanning reads: <https://docs.github.com/en/code-security/code-scanning>, "SARIF support".
#[test]
fn sarif_has_what_code_scanning_needs() {
    let log: Value = serde_json::from_str(&said("sarif").out).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert!(!results.is_empty());
    for result in results {
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(!rule["shortDescription"]["text"].as_str().unwrap().is_empty());
        assert!(rule["helpUri"].as_str().unwrap().starts_with("https://"));
        assert!(["error", "warning"].contains(&result["level"].as_str().unwrap()));
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "clusters/a%2C%20b.yaml");
        let region = |of: &str| place["region"][of].as_u64().unwrap();
        assert!(region("startLine") >= 1 && region("endLine") == region("startLine"));
        assert!(region("startColumn") >= 1 && region("endColumn") >= region("startColumn"));
    }
}

/// Results point to the place of their problem.
#[test]
fn every_output_points_at_the_same_places() {
    let json: Value = serde_json::from_str(&said("json").out).unwrap();
    let manifest = broken();
    let pointed_at = |error: &Value| {
        let number = |of: &str| usize::try_from(error[of].as_u64().unwrap()).unwrap();
        let line = manifest.lines().nth(number("line") - 1).unwrap();
        line.chars().skip(number("column") - 1).collect::<String>()
    };
    let errors = json[0]["errors"].as_array().unwrap();
    assert_eq!(errors.iter().map(pointed_at).collect::<Vec<_>>(), ["2", "unheardOf: true", "us-wst-2"]);
    let github = said("github").out;
    let human = said("human").out;
    let sarif: Value = serde_json::from_str(&said("sarif").out).unwrap();
    for (index, error) in errors.iter().enumerate() {
        let (line, column) = (&error["line"], &error["column"]);
        assert!(
            github
                .lines()
                .nth(index)
                .unwrap()
                .contains(&format!(",line={line},endLine={line},col={column},"))
        );
        assert!(human.contains(&format!("--> clusters/a, b.yaml:{line}:{column}\n")), "{human}");
        let region = &sarif["runs"][0]["results"][index]["locations"][0]["physicalLocation"]["region"];
        assert_eq!((&region["startLine"], &region["startColumn"]), (line, column));
    }
}

/// Pipes and files get no colours, unless they are asked for.
#[test]
fn colours_are_for_terminals() {
    let directory = Directory::with(&[("a.yaml", &broken())]);
    for (environment, coloured) in [
        (&["CLICOLOR=1"][..], false),
        (&["CLICOLOR_FORCE=1"], true),
        (&["CLICOLOR_FORCE=1", "NO_COLOR=1"], false),
    ] {
        let said = directory.run("env", &[environment, &[BINARY, "validate", "-f", "a.yaml"]].concat(), "");
        assert_eq!(said.out.contains('\u{1b}'), coloured, "{environment:?}");
    }
}
