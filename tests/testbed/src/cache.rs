//! Cache of programs and image layers.
//!
//! The directories of the cache are named after everything that goes into what they hold: what changes is made beside
//! the old, and nothing is ever made anew in place.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use sha2::{Digest, Sha256};

/// Outside the checkout, so that worktrees share it and `cargo clean` spares it.
pub fn directory() -> anyhow::Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(base.join("multigres-testbed"))
}

/// A short name for everything that something is made from.
pub fn key(inputs: impl IntoIterator<Item: AsRef<[u8]>>) -> String {
    let digest = inputs.into_iter().fold(Sha256::new(), Sha256::chain_update);
    format!("{:x}", digest.finalize())[..16].to_owned()
}

/// Makes a file of the cache if it is not there yet.
///
/// It is made beside its place and renamed, so that whoever is interrupted leaves nothing that looks whole.
pub fn make(path: &Path, what: &str, make: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    if path.is_file() {
        return Ok(());
    }
    let directory = path.parent().context("a file of the cache is in a directory")?;
    fs::create_dir_all(directory)?;
    let _lock = lock(directory)?;
    if path.is_file() {
        return Ok(()); // by the process that held the lock before
    }
    report(&format!("building {what}"));
    let started = Instant::now();
    let unfinished = path.with_extension("unfinished");
    make(&unfinished)?;
    fs::rename(&unfinished, path)?;
    report(&format!("built {what} in {} s", started.elapsed().as_secs()));
    Ok(())
}

/// Held while something is made in a directory: two test processes that start at once must not both spend minutes on
/// the same thing.
pub fn lock(directory: &Path) -> anyhow::Result<File> {
    let lock = File::create(directory.join("lock"))?;
    if lock.try_lock().is_err() {
        report(&format!("waiting for another process that is at work in {}", directory.display()));
        lock.lock()?;
    }
    Ok(lock)
}

/// Straight to standard error: the test runner would hold back what the print macros write, for minutes.
pub fn report(line: &str) {
    let _ = writeln!(io::stderr(), "testbed: {line}");
}
