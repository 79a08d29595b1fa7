//! The command line, where it needs no cluster.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::installation::{Installation, binary};
use crate::samples::{PROPOSAL, own};

fn stdout(args: &[&str]) -> String {
    let output = binary().args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_definitions_are_printed_as_they_are_written() {
    let directory = tempfile::tempdir().unwrap();
    stdout(&["crds", "--output", directory.path().to_str().unwrap()]);
    let printed: Vec<Value> = serde_saphyr::from_multiple(&stdout(&["crds"])).unwrap();
    assert_eq!(printed.len(), 6);
    for definition in printed {
        let file = format!("{}.yaml", definition["metadata"]["name"].as_str().unwrap());
        let written = fs::read_to_string(directory.path().join(&file)).unwrap();
        assert_eq!(
            fs::read_to_string(committed().join(&file)).unwrap(),
            written,
            "{file}: run `make generate`"
        );
    }
}

/// Where the generated definitions are committed.
fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/multigres-operator/crds")
}

#[tokio::test]
async fn the_committed_definitions_are_accepted_without_a_warning() {
    let kubectl = Installation::shared().await.control_plane.kubectl();
    let output =
        kubectl.run(["apply", "--dry-run=server", "-f", committed().to_str().unwrap()]).await.unwrap();
    assert!(output.status.success(), "{}", output.stderr);
    assert!(!output.stderr.contains("unrecognized format"), "{}", output.stderr);
}

#[tokio::test]
async fn what_is_rendered_is_accepted() {
    let namespace = Installation::shared().await.namespace("cli-render").await;
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, own(PROPOSAL, &namespace.name)).unwrap();
    let rendered = stdout(&["render", "-f", file.path().to_str().unwrap()]);
    let said = namespace.with_input(&["apply", "--dry-run=server", "-f", "-"], &rendered).await.unwrap();
    assert!(
        said.contains("statefulset.apps/example-multigres-cluster-etcd created (server dry run)"),
        "{said}"
    );
}

#[test]
fn input_that_cannot_be_used_is_told_apart() {
    for (args, message) in [
        (vec!["render", "-f", "/does/not/exist"], "/does/not/exist"),
        (vec!["render", "-f", "/dev/null"], "no MultigresCluster"),
    ] {
        let output = binary().args(&args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(message), "{output:?}");
    }
}

fn validate(manifest: &str, args: &[&str]) -> (Option<i32>, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, manifest).unwrap();
    let output = binary().args(["validate", "-f"]).arg(file.path()).args(args).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_sample_is_valid_and_warned_about() {
    let (code, said) = validate(PROPOSAL, &["-o", "json"]);
    assert_eq!(code, Some(0));
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said[0]["valid"], &said[0]["name"]), (&true.into(), &"example-multigres-cluster".into()));
    assert!(!said[0]["warnings"].as_array().unwrap().is_empty());
    assert_eq!(validate(PROPOSAL, &["--strict"]).0, Some(1));
}

#[test]
fn every_error_is_told_at_once() {
    let broken = PROPOSAL
        .replacen("- cell: \"us-west-2\"", "- cell: us-wst-2", 1)
        .replacen("replicas: 3\n      dataVolume", "replicas: 2\n      dataVolume", 1)
        .replacen("  admin:\n", "  unheardOf: true\n  admin:\n", 1);
    let (code, said) = validate(&broken, &["-o", "json"]);
    assert_eq!(code, Some(1));
    let said: Value = serde_json::from_str(&said).unwrap();
    let fields: Vec<&str> =
        said[0]["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
    assert_eq!(
        fields,
        [
            "spec.globalTopoServer.managedSpec.replicas",
            "spec.unheardOf",
            "spec.databases.templates[0].spec.pools[1].cell",
        ]
    );
}

#[test]
fn a_change_is_checked_against_what_was() {
    let old = tempfile::NamedTempFile::new().unwrap();
    fs::write(&old, PROPOSAL).unwrap();
    let moved = PROPOSAL.replace("/multigres/global", "/multigres/other");
    let (code, said) = validate(&moved, &["--old", old.path().to_str().unwrap()]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("error: spec.globalTopoServer.rootPath: "), "{said}");
}

#[test]
fn other_kinds_are_skipped() {
    let (code, said) = validate("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", &["-o", "json"]);
    assert_eq!((code, said.trim()), (Some(0), "[]"));
}
