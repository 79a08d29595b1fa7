//! The Helm chart says what the operator says of its own installation.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use multigres_operator::install::chart::{File, files};
use multigres_operator::install::{ManifestsArgs, manifests};
use serde_json::{Value, json};

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/multigres-operator")
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(chart().join(path)).unwrap()
}

/// Touches only what has changed: other tests read the files at the same time.
fn update(folders: &[PathBuf]) {
    let generated = files().unwrap();
    for folder in folders {
        fs::create_dir_all(folder).unwrap();
        for entry in fs::read_dir(folder).unwrap() {
            let file = entry.unwrap().path();
            if !generated.iter().any(|File { path, .. }| chart().join(path) == file) {
                fs::remove_file(file).unwrap();
            }
        }
    }
    for File { path, content } in generated {
        let file = chart().join(path);
        if fs::read_to_string(&file).ok().as_ref() != Some(&content) {
            fs::write(file, content).unwrap();
        }
    }
}

/// `UPDATE=1` writes the files anew instead of comparing them.
#[test]
fn generated_files_are_up_to_date() {
    let folders = ["crds", "templates"].map(|folder| chart().join(folder));
    if env::var_os("UPDATE").is_some() {
        update(&folders);
    }
    let committed: BTreeSet<PathBuf> = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path().strip_prefix(chart()).unwrap().to_owned())
        .collect();
    let generated: BTreeSet<PathBuf> = files().unwrap().into_iter().map(|file| file.path.into()).collect();
    assert_eq!(committed, generated);
    for File { path, content } in files().unwrap() {
        assert!(read(&path) == content, "charts/multigres-operator/{path} is out of date: make generate");
    }
}

/// With the default values the chart installs what `multigres-operator manifests` prints. Helm is not needed to see
/// that: the templates hold nothing but the namespace and values as JSON.
#[test]
fn the_default_values_are_the_operators_own() {
    let values: Value = serde_saphyr::from_str(&read("values.yaml")).unwrap();
    let mut rendered = Vec::new();
    for template in ["rbac", "workload", "webhooks"] {
        let mut text = read(format!("templates/{template}.yaml"));
        text = text.replace("{{ .Release.Namespace }}", "ops");
        text = text.replace("{{ concat (list `run`) .Values.extraArgs | toJson }}", r#"["run"]"#);
        for (name, value) in values.as_object().unwrap() {
            text = text.replace(&format!("{{{{ .Values.{name} | toJson }}}}"), &value.to_string());
        }
        assert!(!text.contains("{{"), "{template} uses what values.yaml does not have:\n{text}");
        rendered.extend(serde_saphyr::from_multiple::<Value>(&text).unwrap());
    }
    let pod = rendered.iter_mut().find_map(|object| object.pointer_mut("/spec/template/spec")).unwrap();
    pod.as_object_mut().unwrap().retain(|_, value| *value != json!([]) && *value != json!({}));

    let args = ManifestsArgs {
        namespace: "ops".to_owned(),
        image: values["image"].as_str().unwrap().to_owned(),
        replicas: 2,
        webhook_url: None,
        user: None,
    };
    // Helm makes the namespace.
    assert_json_diff::assert_json_eq!(rendered, manifests(&args).split_off(1));
}

#[test]
fn the_chart_is_of_this_version() {
    let chart: Value = serde_saphyr::from_str(&read("Chart.yaml")).unwrap();
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], format!("v{}", env!("CARGO_PKG_VERSION")));
}
