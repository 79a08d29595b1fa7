//! The same rules without a cluster: `validate` says of every case what the API server says of it.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::answers::assert_causes;
use crate::installation::binary;

/// Rules that ask for other objects, of which nothing is known here.
const ASK_FOR_OTHERS: &[&str] = &["C19", "C20", "C25", "U05", "U06", "U07", "U10"];

/// Manifests, one file each, some of which replace others.
struct Manifests {
    new: TempDir,
    old: TempDir,
    expected: Vec<(String, &'static [Cause])>,
}

impl Manifests {
    fn new() -> Self {
        let directory = || tempfile::tempdir().unwrap();
        Self { new: directory(), old: directory(), expected: Vec::new() }
    }

    fn add(&mut self, rule: &str, new: &Value, old: Option<&Value>, causes: &'static [Cause]) {
        if ASK_FOR_OTHERS.contains(&rule) {
            return;
        }
        // In the order in which they are read.
        let file = format!("{:03}-{rule}.json", self.expected.len());
        for (directory, object) in [(&self.new, Some(new)), (&self.old, old)] {
            if let Some(object) = object {
                let mut object = object.clone();
                object["metadata"]["namespace"] = json!("offline");
                // Errors are told in document order, and API servers sort maps.
                object.sort_all_objects();
                fs::write(directory.path().join(&file), object.to_string()).unwrap();
            }
        }
        self.expected.push((file, causes));
    }

    fn assert_judged_alike(&self) {
        let mut validate = binary();
        validate
            .args(["validate", "-o", "json", "-f"])
            .arg(self.new.path())
            .arg("--old")
            .arg(self.old.path());
        let said = validate.output().unwrap();
        let documents: Vec<Value> = serde_json::from_slice(&said.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&said.stderr)));
        assert_eq!(documents.len(), self.expected.len());
        for ((file, causes), document) in self.expected.iter().zip(documents) {
            assert!(document["file"].as_str().unwrap().ends_with(file.as_str()), "{file}: {document}");
            eprintln!("{file} {causes:?}");
            assert_causes(document["errors"].as_array().unwrap(), causes);
        }
    }
}

#[test]
fn of_what_is_made() {
    let mut manifests = Manifests::new();
    for (rule, edit, causes) in creations() {
        manifests.add(rule, &edited(sound(), *edit), None, causes);
    }
    for (rule, kind, edit, causes) in children::CREATED {
        manifests.add(rule, &edited(children::sound(*kind), *edit), None, causes);
    }
    manifests.assert_judged_alike();
}

#[test]
fn of_what_is_changed() {
    let mut manifests = Manifests::new();
    for (stored, cases) in update::CASES {
        let before = edited(sound(), *stored);
        for (rule, edit, causes) in *cases {
            manifests.add(rule, &edited(before.clone(), *edit), Some(&before), causes);
        }
    }
    for (rule, kind, edit, causes) in children::CHANGED {
        let before = children::sound(*kind);
        manifests.add(rule, &edited(before.clone(), *edit), Some(&before), causes);
    }
    manifests.assert_judged_alike();
}
