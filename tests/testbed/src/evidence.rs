//! Logs that outlive the control planes of a test program, for checks of what a whole run did.
//!
//! A control plane's directory goes when it ends, and one that all tests of a program share ends with the process,
//! when nothing can be looked at any more. So the logs that a later check reads are written elsewhere from the start.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::state::absent_is_fine;

/// The logs of one test program.
#[derive(Debug)]
pub struct Evidence {
    directory: PathBuf,
    count: AtomicU32,
}

impl Evidence {
    /// The logs of `program` below `root`. Those of the program's last run are removed.
    pub fn of(root: &Path, program: &str) -> io::Result<Self> {
        let directory = root.join(program);
        absent_is_fine(fs::remove_dir_all(&directory))?;
        fs::create_dir_all(&directory)?;
        Ok(Self { directory, count: AtomicU32::new(0) })
    }

    /// The path of a further log, which is named after what writes it.
    pub fn log(&self, writer: &str) -> PathBuf {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        self.directory.join(format!("{number}.{writer}.log"))
    }
}

/// The logs of a writer that the last run of each program left below `root`.
pub fn logs(root: &Path, writer: &str) -> io::Result<Vec<PathBuf>> {
    let mut logs = Vec::new();
    for program in fs::read_dir(root)? {
        for log in fs::read_dir(program?.path())? {
            logs.push(log?.path());
        }
    }
    let ending = format!(".{writer}.log");
    logs.retain(|log| log.to_string_lossy().ends_with(&ending));
    logs.sort();
    Ok(logs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_of_a_program_replaces_its_last_one() {
        let root = tempfile::tempdir().unwrap();
        let first = Evidence::of(root.path(), "one").unwrap();
        for writer in ["audit", "operator", "audit"] {
            fs::write(first.log(writer), "").unwrap();
        }
        fs::write(Evidence::of(root.path(), "other").unwrap().log("audit"), "").unwrap();
        assert_eq!(logs(root.path(), "audit").unwrap().len(), 3);
        assert_eq!(logs(root.path(), "operator").unwrap(), [root.path().join("one/1.operator.log")]);
        Evidence::of(root.path(), "one").unwrap();
        assert_eq!(logs(root.path(), "audit").unwrap(), [root.path().join("other/0.audit.log")]);
    }
}
