//! Archives of images: tar archives of an OCI image layout.

use std::collections::BTreeSet;
use std::io::{Read, Seek, Write};

use anyhow::bail;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::BuiltImage;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Writes images as one archive.
pub fn write(images: &[BuiltImage], to: impl Write) -> anyhow::Result<()> {
    let mut archive = Archive { tar: tar::Builder::new(to), blobs: BTreeSet::new() };
    let mut manifests = Vec::new();
    for image in images {
        let manifest = archive.add_image(image)?;
        manifests.extend(image.names.iter().map(|name| named(&manifest, name)));
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
    archive.add("oci-layout", json!({ "imageLayoutVersion": "1.0.0" }).to_string().as_bytes())?;
    archive.add("index.json", index.to_string().as_bytes())?;
    archive.tar.into_inner()?.flush()?;
    Ok(())
}

struct Archive<W: Write> {
    tar: tar::Builder<W>,
    blobs: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    /// Adds an image and hands back the descriptor of its manifest.
    fn add_image(&mut self, image: &BuiltImage) -> anyhow::Result<Value> {
        let mut layers = Vec::new();
        let mut digests = Vec::new();
        for layer in &image.layers {
            if self.blobs.insert(layer.digest.clone()) {
                // A handle of our own: several archives may be written from the same layer.
                let mut tar = &layer.tar;
                tar.rewind()?;
                self.add_from(&blob(&layer.digest), layer.size, tar)?;
            }
            layers.push(descriptor(LAYER, &layer.digest, layer.size));
            digests.push(format!("sha256:{}", layer.digest));
        }
        let config = json!({
            "architecture": architecture()?,
            "os": "linux",
            "config": image.settings,
            "rootfs": { "type": "layers", "diff_ids": digests },
        });
        let config = self.add_json(CONFIG, &config)?;
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
        self.add_json(MANIFEST, &manifest)
    }

    fn add_json(&mut self, media_type: &str, document: &Value) -> anyhow::Result<Value> {
        let document = document.to_string();
        let digest = format!("{:x}", Sha256::digest(&document));
        if self.blobs.insert(digest.clone()) {
            self.add(&blob(&digest), document.as_bytes())?;
        }
        Ok(descriptor(media_type, &digest, document.len() as u64))
    }

    fn add(&mut self, path: &str, contents: &[u8]) -> anyhow::Result<()> {
        self.add_from(path, contents.len() as u64, contents)
    }

    fn add_from(&mut self, path: &str, size: u64, contents: impl Read) -> anyhow::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o644);
        Ok(self.tar.append_data(&mut header, path, contents)?)
    }
}

fn blob(digest: &str) -> String {
    format!("blobs/sha256/{digest}")
}

fn descriptor(media_type: &str, digest: &str, size: u64) -> Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size })
}

/// containerd reads the full name from an annotation of its own.
fn named(manifest: &Value, name: &str) -> Value {
    let mut named = manifest.clone();
    named["annotations"] = json!({ "io.containerd.image.name": name });
    named
}

/// Go's name of this machine's architecture.
fn architecture() -> anyhow::Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("images for {other} are not known"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::images::{Settings, layer};

    fn entries(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        let read = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut contents = Vec::new();
            entry.read_to_end(&mut contents).unwrap();
            (entry.path().unwrap().display().to_string(), contents)
        });
        let all: Vec<_> = read.collect();
        let unique: BTreeMap<_, _> = all.iter().cloned().collect();
        assert_eq!(all.len(), unique.len(), "something is contained twice");
        unique
    }

    fn image(names: &[&str], file: &std::path::Path) -> BuiltImage {
        BuiltImage {
            names: names.iter().copied().map(str::to_owned).collect(),
            settings: Settings { user: names[0].to_owned(), ..Settings::default() },
            layers: vec![layer::passing(&[(file.to_owned(), "bin/program")]).unwrap()],
        }
    }

    #[test]
    fn everything_is_found_by_its_digest() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("program");
        std::fs::write(&program, "contents").unwrap();
        let mut archive = Vec::new();
        write(&[image(&["one:1", "one:2"], &program), image(&["other:1"], &program)], &mut archive).unwrap();

        let entries = entries(&archive);
        for (path, contents) in entries.iter().filter(|(path, _)| path.starts_with("blobs/")) {
            assert_eq!(*path, blob(&format!("{:x}", Sha256::digest(contents))));
        }
        let read = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap().trim_start_matches("sha256:");
            let contents = &entries[&blob(digest)];
            assert_eq!(descriptor["size"], contents.len());
            contents
        };
        let json = |contents: &[u8]| serde_json::from_slice::<Value>(contents).unwrap();

        let index = json(&entries["index.json"]);
        let manifests = index["manifests"].as_array().unwrap();
        let names: Vec<_> =
            manifests.iter().map(|manifest| &manifest["annotations"]["io.containerd.image.name"]).collect();
        assert_eq!(names, ["one:1", "one:2", "other:1"]);
        assert_eq!(manifests[0]["digest"], manifests[1]["digest"]);

        let manifest = json(read(&manifests[2]));
        let config = json(read(&manifest["config"]));
        assert_eq!(config["config"]["User"], "other:1");
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        let mut layer = tar::Archive::new(read(&manifest["layers"][0]).as_slice());
        let paths: Vec<_> =
            layer.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(paths, [std::path::Path::new("bin/program")]);
    }
}
