//! YAML files as the commands read them: several documents, directories, standard input.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::Value;

/// One document of a file.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file, `-` for standard input.
    pub file: String,
    /// What it holds.
    pub object: Value,
}

impl Document {
    /// Whether it is of one of the API's kinds.
    pub fn is_of_kind(&self, kind: &str) -> bool {
        let group = self.object["apiVersion"].as_str().and_then(|version| version.split_once('/'));
        self.object["kind"] == kind && group.is_some_and(|(group, _)| group == multigres_crds::GROUP)
    }
}

/// Reads every document of every file, of the directories' YAML files, and of standard input (`-`).
pub fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Document>> {
    let mut documents = Vec::new();
    for path in paths {
        for (file, text) in texts(path)? {
            let objects: Vec<Value> =
                serde_saphyr::from_multiple(&text).with_context(|| format!("{file}: not YAML"))?;
            let objects = objects.into_iter().filter(|object| !object.is_null());
            documents.extend(objects.map(|object| Document { file: file.clone(), object }));
        }
    }
    Ok(documents)
}

fn texts(path: &Path) -> anyhow::Result<Vec<(String, String)>> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input")?;
        return Ok(vec![("-".to_owned(), text)]);
    }
    let name = path.display().to_string();
    if !path.is_dir() {
        return Ok(vec![(name.clone(), fs::read_to_string(path).context(name)?)]);
    }
    let entries = fs::read_dir(path).context(name.clone())?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|file| {
        file.is_dir()
            || file.extension().is_some_and(|ending| ending == "yaml" || ending == "yml" || ending == "json")
    });
    files.sort();
    if files.is_empty() {
        bail!("{name}: no YAML files");
    }
    let texts = files.iter().map(|file| texts(file)).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(texts.into_iter().flatten().collect())
}
