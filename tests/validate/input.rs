//! What may be given to the command, and what cannot be used.

use serde_json::Value;

use crate::command::{BINARY, Directory, PROPOSAL, Said, broken};

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

fn report(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap()
}

#[test]
fn the_sample_is_valid_and_warned_about() {
    let directory = Directory::with(&[("a.yaml", PROPOSAL)]);
    let said = directory.validate(&["-f", "a.yaml", "-o", "json"]);
    let json = report(&said);
    assert_eq!((said.code, &json[0]["valid"]), (Some(0), &true.into()));
    assert!(!json[0]["warnings"].as_array().unwrap().is_empty());
    let strict = directory.validate(&["-f", "a.yaml", "-o", "json", "--strict"]);
    assert_eq!((strict.code, &report(&strict)[0]["valid"]), (Some(1), &false.into()));
}

#[test]
fn a_change_is_checked_against_what_was() {
    let moved = PROPOSAL.replace("/multigres/global", "/multigres/other");
    let directory = Directory::with(&[("new/a.yaml", &moved), ("old/b.yaml", PROPOSAL)]);
    let said = directory.validate(&["-f", "new", "--old", "old"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.starts_with("error[U01]: spec.globalTopoServer.rootPath: "), "{}", said.out);
    assert_eq!(directory.validate(&["-f", "new"]).code, Some(0));
}

#[test]
fn consequences_are_told() {
    let grown = PROPOSAL.replacen("storage: \"100Gi\"", "storage: \"200Gi\"", 1);
    let directory = Directory::with(&[("new.yaml", &grown), ("old.yaml", PROPOSAL)]);
    let said = directory.validate(&["-f", "new.yaml", "--old", "old.yaml"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.starts_with("warning[Notice]: "), "{}", said.out);
    assert!(said.out.contains("volumes grow 100Gi → 200Gi online"), "{}", said.out);
}

/// As `kubectl` would do it: several files, standard input, several documents, lists, JSON.
#[test]
fn manifests_come_in_many_ways() {
    let json: Value = serde_saphyr::from_str(PROPOSAL).unwrap();
    let many = format!("{CONFIG}---\n{PROPOSAL}");
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [json]});
    let directory = Directory::with(&[
        ("a.yaml", &many),
        ("b.json", &json.to_string()),
        ("c/d.yml", &list.to_string()),
        ("c/unrelated.txt", "\t"),
    ]);
    for args in
        [&["-f", "a.yaml", "b.json", "c", "-"][..], &["-f", "a.yaml", "-f", "b.json", "-f", "c", "-f", "-"]]
    {
        let said = directory.run(BINARY, &[&["validate", "-o", "json"], args].concat(), PROPOSAL);
        let json = report(&said);
        let files: Vec<&str> =
            json.as_array().unwrap().iter().map(|one| one["file"].as_str().unwrap()).collect();
        assert_eq!((said.code, files), (Some(0), vec!["a.yaml", "b.json", "c/d.yml", "-"]), "{args:?}");
    }
    let said = directory.validate(&["-f", "."]);
    assert!(said.out.ends_with("; 1 document of other kinds skipped\n"), "{}", said.out);
    assert!(said.out.contains("\n3 manifests checked: "), "{}", said.out);
}

/// A finding in what comes from elsewhere is shown where it is written.
#[test]
fn anchors_are_followed() {
    let shared = PROPOSAL.replacen("- cell: \"us-west-2\"", "- cell: *wrong", 1);
    let shared = format!(
        "{}\n",
        shared.replacen("metadata:\n", "metadata:\n  annotations: {a: &wrong us-wst-2}\n", 1)
    );
    let directory = Directory::with(&[("a.yaml", &shared)]);
    let said = directory.validate(&["-f", "a.yaml", "-o", "json"]);
    let error = report(&said)[0]["errors"][0].clone();
    assert_eq!(error["field"], "spec.databases.templates[0].spec.pools[1].cell", "{said:?}");
    let line = usize::try_from(error["line"].as_u64().unwrap()).unwrap();
    let column = usize::try_from(error["column"].as_u64().unwrap()).unwrap();
    assert!(shared.lines().nth(line - 1).unwrap()[column - 1..].starts_with("us-wst-2"), "{error}");
}

#[test]
fn that_there_is_nothing_to_check_is_said() {
    let directory = Directory::with(&[("a.yaml", CONFIG)]);
    let told = "warning: nothing checked, since there is no manifest of multigres.com; \
                1 document of other kinds skipped\n";
    for output in ["human", "json", "sarif", "github"] {
        let said = directory.validate(&["-f", "a.yaml", "-o", output]);
        assert_eq!((said.code, said.err.as_str()), (Some(0), told), "{output}");
        assert_eq!(directory.validate(&["-f", "a.yaml", "-o", output, "--strict"]).code, Some(1));
    }
    assert_eq!(report(&directory.validate(&["-f", "a.yaml", "-o", "json"])), serde_json::json!([]));
}

/// The rest is checked all the same.
#[test]
fn input_that_cannot_be_used_is_told_apart() {
    for (text, place, message) in [
        (&b"a: 1\na: 2\n"[..], Some((2, 1)), "not YAML: duplicate mapping key `a` is not allowed here"),
        (b"a:\n\t- b\n", Some((2, 2)), "not YAML: tabs disallowed within this context (block indentation)"),
        (b"a: [1\n", Some((1, 4)), "not YAML: unclosed bracket '['"),
        (b"{{- if .Values.a }}\n", Some((1, 3)), "not YAML: \"-\" is only valid inside a block"),
        (b"a: \xff\n", Some((1, 4)), "not UTF-8"),
        (b"", None, "No such file or directory (os error 2)"),
    ] {
        let directory = Directory::with(&[("good.yaml", PROPOSAL)]);
        if !text.is_empty() {
            directory.write("bad.yaml", text);
        }
        let said = directory.validate(&["-f", "bad.yaml", "good.yaml", "-o", "json"]);
        let json = report(&said);
        assert_eq!((said.code, json.as_array().unwrap().len()), (Some(2), 2), "{said:?}");
        assert_eq!(json[0]["kind"], "MultigresCluster");
        let error = &json[1]["errors"][0];
        assert_eq!((&error["reason"], &error["message"]), (&"Unusable".into(), &message.into()));
        let line_and_column = error["line"].as_u64().zip(error["column"].as_u64());
        assert_eq!(line_and_column, place, "{error}");
        let place = place.map_or_else(String::new, |(line, column)| format!(":{line}:{column}\n"));
        assert!(said.err.contains(&format!("error[Unusable]: {message}\n")), "{}", said.err);
        assert!(said.err.contains(&format!("--> bad.yaml{place}")), "{}", said.err);
        let old = directory.validate(&["-f", "good.yaml", "--old", "bad.yaml"]);
        assert_eq!((old.code, old.out.as_str()), (Some(2), ""));
        assert!(old.err.starts_with("error: bad.yaml:"), "{}", old.err);
    }
}

#[test]
fn a_kind_that_there_is_not_is_no_other_kind() {
    for (from, to, field) in [
        ("kind: MultigresCluster", "kind: MultigresClutser", "kind"),
        ("multigres.com/v1alpha1", "multigres.com/v1beta1", "apiVersion"),
    ] {
        let directory = Directory::with(&[("a.yaml", &PROPOSAL.replacen(from, to, 1))]);
        let said = directory.validate(&["-f", "a.yaml", "-o", "json"]);
        let json = report(&said);
        assert_eq!((said.code, &json[0]["errors"][0]["field"]), (Some(1), &field.into()), "{said:?}");
        assert_eq!(json[0]["errors"][0]["reason"], "FieldValueNotSupported");
    }
}

#[test]
fn an_object_that_is_there_twice_is_warned_about() {
    let twice = format!("{PROPOSAL}\n---\n{}", broken());
    let directory = Directory::with(&[("a.yaml", &twice), ("b.yaml", PROPOSAL)]);
    let said = directory.validate(&["-f", ".", "-o", "github"]);
    assert_eq!(said.code, Some(1));
    let repeated: Vec<&str> = said.out.lines().filter(|line| line.contains("title=Repeated")).collect();
    assert_eq!(repeated.len(), 1, "{repeated:?}");
    assert!(repeated[0].starts_with("::warning file=a.yaml,line="), "{repeated:?}");
}

#[test]
fn render_takes_the_same() {
    let directory = Directory::with(&[("a/b.yaml", PROPOSAL), ("bad.yaml", "a: [\n"), ("c.yaml", CONFIG)]);
    let rendered = directory.run(BINARY, &["render", "-f", "a", "c.yaml"], "");
    assert_eq!(rendered.code, Some(0), "{rendered:?}");
    assert!(rendered.out.contains("kind: StatefulSet"));
    for (args, message) in [
        (["render", "-f", "missing.yaml"], "error: missing.yaml: No such file or directory"),
        (["render", "-f", "c.yaml"], "error: no MultigresCluster found"),
        (["render", "-f", "bad.yaml"], "error: bad.yaml:1:4: not YAML: unclosed bracket '['"),
    ] {
        let said = directory.run(BINARY, &args, "");
        assert_eq!(said.code, Some(2), "{args:?}");
        assert!(said.err.starts_with(message), "{said:?}");
    }
}
