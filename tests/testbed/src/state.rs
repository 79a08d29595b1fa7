//! The directory that holds everything a control plane writes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Subfolder in a directory that somebody else chose, so that nothing else in it is touched.
const ROOT: &str = "control-plane";

const SUBDIRECTORIES: [&str; 6] = ["config", "etcd", "home", "kubeconfigs", "logs", "pki"];

/// The files of one control plane.
pub struct State {
    path: PathBuf,
    temporary: Option<TempDir>,
}

impl State {
    /// The state in a directory that somebody chose, or else in a temporary one.
    pub fn new(chosen: Option<&Path>) -> io::Result<Self> {
        chosen.map_or_else(Self::temporary, Self::kept)
    }

    /// A directory that is removed upon drop.
    fn temporary() -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("multigres-testbed-").tempdir()?;
        Self::prepare(directory.path().to_path_buf(), Some(directory))
    }

    /// A directory that stays. What an earlier control plane left in it is removed.
    fn kept(path: &Path) -> io::Result<Self> {
        Self::clear(path)?;
        let root = Self::root(path);
        fs::create_dir_all(&root)?;
        Self::prepare(root.canonicalize()?, None)
    }

    fn prepare(path: PathBuf, temporary: Option<TempDir>) -> io::Result<Self> {
        for subdirectory in SUBDIRECTORIES {
            fs::create_dir_all(path.join(subdirectory))?;
        }
        Ok(Self { path, temporary })
    }

    /// Folder of the state in a directory that somebody chose.
    pub fn root(path: &Path) -> PathBuf {
        path.join(ROOT)
    }

    /// Removes what a control plane wrote to `path`, and `path` itself if nothing else is in it.
    pub fn clear(path: &Path) -> io::Result<()> {
        absent_is_fine(fs::remove_dir_all(Self::root(path)))?;
        match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            result => absent_is_fine(result),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory, if it is to be removed together with the processes.
    pub fn to_remove(&self) -> Option<&Path> {
        self.temporary.as_ref().map(TempDir::path)
    }

    /// The log of a process.
    pub fn log(&self, name: &str) -> PathBuf {
        self.path.join("logs").join(name).with_extension("log")
    }

    /// Lets the log of a process be a file elsewhere, which stays.
    pub fn write_log_to(&self, name: &str, path: &Path) -> io::Result<()> {
        std::os::unix::fs::symlink(path, self.log(name))
    }

    /// The configuration of a process.
    pub fn config(&self, file: &str) -> PathBuf {
        self.path.join("config").join(file)
    }

    /// A certificate or key.
    pub fn pki(&self, file: &str) -> PathBuf {
        self.path.join("pki").join(file)
    }

    /// A user's kubeconfig.
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.path.join("kubeconfigs").join(user)
    }
}

/// Removing what is not there is no failure.
pub fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
