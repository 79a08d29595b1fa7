//! The programs of a control plane, built once from pinned Go modules.
//!
//! A test run must not depend on what happens to be installed, nor on downloads from anywhere but the Go module
//! proxy. So every program comes from a module under `gomod/` whose `go.sum` pins all of its sources. The result
//! is kept in a cache whose directories are named after everything that goes into them: a changed version is built
//! beside the old one, and nothing is ever rebuilt in place. `KUBEBUILDER_ASSETS` replaces what it holds.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

/// A Go module that pins the sources of some programs.
struct Module {
    name: &'static str,
    go_mod: &'static str,
    go_sum: &'static str,
    ldflags: &'static str,
}

static ETCD_MODULE: Module = Module {
    name: "etcd",
    go_mod: include_str!("../gomod/etcd/go.mod"),
    go_sum: include_str!("../gomod/etcd/go.sum"),
    ldflags: "-s -w",
};

/// Without the version variables clients would take the API server for version 0.0 and refuse to work with it.
static KUBERNETES_MODULE: Module = Module {
    name: "k8s",
    go_mod: include_str!("../gomod/k8s/go.mod"),
    go_sum: include_str!("../gomod/k8s/go.sum"),
    ldflags: "-s -w \
              -X k8s.io/component-base/version.gitVersion=v1.34.4 \
              -X k8s.io/component-base/version.gitMajor=1 \
              -X k8s.io/component-base/version.gitMinor=34 \
              -X k8s.io/client-go/pkg/version.gitVersion=v1.34.4",
};

static KWOK_MODULE: Module = Module {
    name: "kwok",
    go_mod: include_str!("../gomod/kwok/go.mod"),
    go_sum: include_str!("../gomod/kwok/go.sum"),
    ldflags: "-s -w",
};

/// A program the testbed runs.
pub struct Tool {
    name: &'static str,
    module: &'static Module,
    package: &'static str,
}

/// The database of the control plane.
pub static ETCD: Tool = Tool { name: "etcd", module: &ETCD_MODULE, package: "go.etcd.io/etcd/server/v3" };
/// The API server.
pub static KUBE_APISERVER: Tool = Tool::kubernetes("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver");
/// The built-in controllers.
pub static KUBE_CONTROLLER_MANAGER: Tool =
    Tool::kubernetes("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager");
/// The scheduler.
pub static KUBE_SCHEDULER: Tool = Tool::kubernetes("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler");
/// The command line client.
pub static KUBECTL: Tool = Tool::kubernetes("kubectl", "k8s.io/kubernetes/cmd/kubectl");
/// Plays the kubelets of fake nodes.
pub static KWOK: Tool = Tool { name: "kwok", module: &KWOK_MODULE, package: "sigs.k8s.io/kwok/cmd/kwok" };

/// Every tool, in the order in which they are built.
pub static ALL: [&Tool; 6] =
    [&ETCD, &KUBE_APISERVER, &KUBE_CONTROLLER_MANAGER, &KUBE_SCHEDULER, &KUBECTL, &KWOK];

impl Tool {
    const fn kubernetes(name: &'static str, package: &'static str) -> Self {
        Self { name, module: &KUBERNETES_MODULE, package }
    }

    /// The name of the program's file.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Where the program is, once it has been built; blocks while it is being built.
    pub fn path(&self) -> anyhow::Result<PathBuf> {
        if let Some(supplied) = self.supplied() {
            return Ok(supplied);
        }
        let directory = cache()?.join("bin").join(self.module.key());
        let path = directory.join(self.name);
        if !path.is_file() {
            self.build(&directory, &path).with_context(|| self.remedy())?;
        }
        Ok(path)
    }

    fn supplied(&self) -> Option<PathBuf> {
        let path = Path::new(&std::env::var_os("KUBEBUILDER_ASSETS")?).join(self.name);
        path.is_file().then_some(path)
    }

    /// Builds beside the final place and renames, so that an interrupted build leaves nothing that looks whole.
    fn build(&self, directory: &Path, path: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(directory)?;
        let _lock = self.module.lock(directory)?;
        if path.is_file() {
            return Ok(()); // by the process that held the lock before
        }
        self.module.write_to(directory)?;
        report(&format!("building {} ({})", self.name, self.package));
        let started = Instant::now();
        let unfinished = path.with_extension("unfinished");
        let output = Command::new("go")
            .args(["build", "-mod=readonly", "-trimpath", "-ldflags", self.module.ldflags, "-o"])
            .arg(&unfinished)
            .arg(self.package)
            .current_dir(directory)
            .env("CGO_ENABLED", "0")
            .env("GOWORK", "off")
            .output()
            .context("`go` could not be run")?;
        if !output.status.success() {
            bail!(
                "`go build {}` failed:\n{}",
                self.package,
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
        }
        fs::rename(&unfinished, path)?;
        report(&format!("built {} in {} s", self.name, started.elapsed().as_secs()));
        Ok(())
    }

    fn remedy(&self) -> String {
        format!(
            "{name} is missing and could not be built: `cargo run -p testbed -- build` builds it and needs Go 1.26 \
             or later and a Go module proxy; or set KUBEBUILDER_ASSETS to a directory that holds {name}",
            name = self.name
        )
    }
}

impl Module {
    /// Names everything the programs of this module are made from.
    fn key(&self) -> String {
        let inputs =
            Sha256::new().chain_update(self.go_mod).chain_update(self.go_sum).chain_update(self.ldflags);
        let digest = format!("{:x}", inputs.finalize());
        format!("{}-{}", self.name, &digest[..16])
    }

    /// Go needs `go.mod` and `go.sum` in a directory; the cache's copy leaves the checkout untouched.
    fn write_to(&self, directory: &Path) -> io::Result<()> {
        fs::write(directory.join("go.mod"), self.go_mod)?;
        fs::write(directory.join("go.sum"), self.go_sum)
    }

    /// Held while building: two test processes that start at once must not both spend minutes on the same program.
    fn lock(&self, directory: &Path) -> anyhow::Result<File> {
        let lock = File::create(directory.join("lock"))?;
        if lock.try_lock().is_err() {
            report(&format!("waiting for another process that builds {} programs", self.name));
            lock.lock()?;
        }
        Ok(lock)
    }
}

/// Outside the checkout, so that worktrees share it and `cargo clean` spares it.
fn cache() -> anyhow::Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(base.join("multigres-testbed"))
}

/// Straight to standard error: the test runner would hold back what the print macros write, for minutes.
fn report(line: &str) {
    let _ = writeln!(io::stderr(), "testbed: {line}");
}
