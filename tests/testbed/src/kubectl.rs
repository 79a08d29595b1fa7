//! `kubectl`, or another client that reads a kubeconfig, against a control plane, as a given user.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::binaries::{KUBECTL, Tool};

/// Runs `kubectl` with one kubeconfig.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: &'static Tool,
    kubeconfig: PathBuf,
    cache: PathBuf,
}

/// Result of a run of `kubectl`.
#[derive(Debug, Clone)]
pub struct KubectlOutput {
    /// Exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error: refusals and warnings.
    pub stderr: String,
}

impl Kubectl {
    pub(crate) fn new(kubeconfig: PathBuf, cache: PathBuf) -> Self {
        Self { program: &KUBECTL, kubeconfig, cache }
    }

    /// Another program in the place of `kubectl`; built, if it has to be, when it is first run.
    #[must_use]
    pub fn with_program(self, program: &'static Tool) -> Self {
        Self { program, ..self }
    }

    /// Runs `kubectl` and hands back what it gave, whether it succeeded or not.
    pub async fn run(&self, args: impl IntoIterator<Item: AsRef<OsStr>>) -> anyhow::Result<KubectlOutput> {
        self.run_with_stdin(args, "").await
    }

    /// The same with standard input, for `-f -`.
    pub async fn run_with_stdin(
        &self,
        args: impl IntoIterator<Item: AsRef<OsStr>>,
        input: &str,
    ) -> anyhow::Result<KubectlOutput> {
        let mut process = Command::new(self.program.path()?)
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", &self.cache)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", self.program.name()))?;
        let stdin = process.stdin.take();
        let write = async {
            if let Some(mut stdin) = stdin {
                // It may end before it has read everything; its own message then says why.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let ((), output) = tokio::join!(write, process.wait_with_output());
        let output = output?;
        Ok(KubectlOutput {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs `kubectl`, which must succeed, and hands back its standard output.
    pub async fn must(&self, args: impl IntoIterator<Item: AsRef<OsStr>>) -> anyhow::Result<String> {
        self.must_with_stdin(args, "").await
    }

    /// The same with standard input, for `-f -`.
    pub async fn must_with_stdin(
        &self,
        args: impl IntoIterator<Item: AsRef<OsStr>>,
        input: &str,
    ) -> anyhow::Result<String> {
        let args: Vec<_> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        let output = self.run_with_stdin(&args, input).await?;
        if !output.status.success() {
            let (name, args) = (self.program.name(), args.join(OsStr::new(" ")));
            bail!("{name} {} failed: {}", args.display(), output.stderr.trim_end());
        }
        Ok(output.stdout)
    }
}
