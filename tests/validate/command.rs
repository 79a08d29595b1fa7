//! A directory of manifests, and the command run in it.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The proposal's first sample.
pub const PROPOSAL: &str = include_str!("../samples/proposal-cluster.yaml");

pub const BINARY: &str = env!("CARGO_BIN_EXE_multigres-operator");

/// The sample with three mistakes: a cell that there is not, too few replicas, an unknown field.
pub fn broken() -> String {
    PROPOSAL
        .replacen("- cell: \"us-west-2\"", "- cell: us-wst-2", 1)
        .replacen("replicas: 3\n      dataVolume", "replicas: 2\n      dataVolume", 1)
        .replacen("  admin:\n", "  unheardOf: true\n  admin:\n", 1)
}

pub struct Directory(TempDir);

/// Result of a command.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Directory {
    pub fn with(files: &[(&str, &str)]) -> Self {
        let directory = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            directory.write(name, text);
        }
        directory
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs a command with the directory as its own.
    pub fn run(&self, program: &str, args: &[&str], input: &str) -> Said {
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(self.path())
            .env("PATH", path())
            .env_remove("CLICOLOR_FORCE")
            .env_remove("NO_COLOR");
        // Commits of anybody, whatever this machine's configuration says, and no hooks but those of the test.
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "a").env(format!("GIT_{who}_EMAIL"), "a@example.com");
        }
        for leftover in ["GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_PREFIX"] {
            command.env_remove(leftover);
        }
        command.env("GITHUB_BASE_REF", "main");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that reads no input may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    pub fn validate(&self, args: &[&str]) -> Said {
        self.run(BINARY, &[&["validate"], args].concat(), "")
    }
}

/// Search path of programs, with the tested one first.
fn path() -> String {
    let binaries = Path::new(BINARY).parent().unwrap();
    format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap_or_default())
}
