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

/// Folder of the committed definitions.
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
