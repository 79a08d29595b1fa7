//! The programs of a control plane and of its clients, built once from pinned Go modules.
//!
//! A test run must not depend on what happens to be installed, nor on downloads from anywhere but the Go module
//! proxy. So every program comes from a module under `gomod/` whose `go.sum` pins all of its sources. The result
//! is kept in the cache. `KUBEBUILDER_ASSETS` replaces what it holds.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::cache;
use crate::command::run;

/// A Go module that pins the sources of some programs, or has some of its own.
#[derive(Debug)]
struct Module {
    name: &'static str,
    go_mod: &'static str,
    go_sum: &'static str,
    ldflags: &'static str,
    /// Files with their contents.
    sources: &'static [(&'static str, &'static str)],
}

/// The module in a directory under `gomod/`.
macro_rules! module {
    ($name:literal, $ldflags:expr $(, $source:literal)*) => {
        Module {
            name: $name,
            go_mod: include_str!(concat!("../gomod/", $name, "/go.mod")),
            go_sum: include_str!(concat!("../gomod/", $name, "/go.sum")),
            ldflags: $ldflags,
            sources: &[$(($source, include_str!(concat!("../gomod/", $name, "/", $source)))),*],
        }
    };
}

/// Without symbols the programs are smaller by a third.
const STRIPPED: &str = "-s -w";

/// Without the version variables clients would take the API server for version 0.0 and refuse to work with it.
const KUBERNETES_VERSION: &str = "-s -w \
    -X k8s.io/component-base/version.gitVersion=v1.34.4 \
    -X k8s.io/component-base/version.gitMajor=1 \
    -X k8s.io/component-base/version.gitMinor=34 \
    -X k8s.io/client-go/pkg/version.gitVersion=v1.34.4";

static ETCD_MODULE: Module = module!("etcd", STRIPPED);
static KUBERNETES_MODULE: Module = module!("k8s", KUBERNETES_VERSION);
static KWOK_MODULE: Module = module!("kwok", STRIPPED);
static COREDNS_MODULE: Module = module!("coredns", STRIPPED);
static MULTIGRES_MODULE: Module = module!("multigres", STRIPPED);
static GITOPS_MODULE: Module = module!("gitops", STRIPPED, "main.go", "argocd.go", "flux.go", "health.go");

/// A program the testbed runs.
#[derive(Debug)]
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

/// Does to objects what Argo CD and Flux do, by their own libraries.
pub static GITOPS: Tool =
    Tool { name: "gitops", module: &GITOPS_MODULE, package: "multigres-testbed/gitops" };

/// Runs the pods of a real node.
pub static KUBELET: Tool = Tool::kubernetes("kubelet", "k8s.io/kubernetes/cmd/kubelet");
/// Leads the addresses of Services to pods.
pub static KUBE_PROXY: Tool = Tool::kubernetes("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy");
/// Resolves the names of Services and pods.
pub static COREDNS: Tool =
    Tool { name: "coredns", module: &COREDNS_MODULE, package: "github.com/coredns/coredns" };
/// Serves the state of a Multigres cluster to its administrators.
pub static MULTIADMIN: Tool =
    Tool::multigres("multiadmin", "github.com/multigres/multigres/go/cmd/multiadmin");
/// Speaks the PostgreSQL protocol to clients.
pub static MULTIGATEWAY: Tool =
    Tool::multigres("multigateway", "github.com/multigres/multigres/go/cmd/multigateway");
/// Elects primaries.
pub static MULTIORCH: Tool = Tool::multigres("multiorch", "github.com/multigres/multigres/go/cmd/multiorch");
/// Pools the connections to one PostgreSQL instance.
pub static MULTIPOOLER: Tool =
    Tool::multigres("multipooler", "github.com/multigres/multigres/go/cmd/multipooler");
/// The command line client of Multigres.
pub static MULTIGRES: Tool = Tool::multigres("multigres", "github.com/multigres/multigres/go/cmd/multigres");
/// Runs a PostgreSQL instance.
pub static PGCTLD: Tool = Tool::multigres("pgctld", "github.com/multigres/multigres/go/cmd/pgctld");

/// Programs of control planes with fake nodes, in build order.
pub static CONTROL_PLANE: [&Tool; 6] =
    [&ETCD, &KUBE_APISERVER, &KUBE_CONTROLLER_MANAGER, &KUBE_SCHEDULER, &KUBECTL, &KWOK];

/// Clients that tests use beside `kubectl`.
pub static CLIENTS: [&Tool; 1] = [&GITOPS];

/// Programs of a real node, beside those of a control plane.
pub static NODE: [&Tool; 3] = [&KUBELET, &KUBE_PROXY, &COREDNS];

/// Builds what is missing of some tools; blocks meanwhile.
pub fn build<'a>(tools: impl IntoIterator<Item = &'a Tool>) -> anyhow::Result<()> {
    tools.into_iter().try_for_each(|tool| tool.path().map(drop))
}

impl Tool {
    const fn kubernetes(name: &'static str, package: &'static str) -> Self {
        Self { name, module: &KUBERNETES_MODULE, package }
    }

    const fn multigres(name: &'static str, package: &'static str) -> Self {
        Self { name, module: &MULTIGRES_MODULE, package }
    }

    /// The name of the program's file.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Path of the program. Blocks while it is being built.
    pub fn path(&self) -> anyhow::Result<PathBuf> {
        if let Some(supplied) = self.supplied() {
            return Ok(supplied);
        }
        let directory = cache::directory()?.join("bin").join(self.module.key());
        let path = directory.join(self.name);
        let what = format!("{} ({})", self.name, self.package);
        cache::make(&path, &what, |unfinished| self.build(&directory, unfinished))
            .with_context(|| self.remedy())?;
        Ok(path)
    }

    fn supplied(&self) -> Option<PathBuf> {
        let path = Path::new(&std::env::var_os("KUBEBUILDER_ASSETS")?).join(self.name);
        path.is_file().then_some(path)
    }

    /// With low priority: nobody waits for it who could do something else meanwhile.
    fn build(&self, module: &Path, output: &Path) -> anyhow::Result<()> {
        self.module.write_to(module)?;
        let mut build = Command::new("nice");
        build
            .args(["-n", "10", "go", "build", "-mod=readonly", "-trimpath", "-ldflags", self.module.ldflags])
            .arg("-o")
            .arg(output)
            .arg(self.package)
            .current_dir(module)
            .env("CGO_ENABLED", "0")
            .env("GOWORK", "off");
        run(&mut build).map(drop)
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
        let files = self.sources.iter().flat_map(|(name, contents)| [*name, *contents]);
        let inputs = [self.go_mod, self.go_sum, self.ldflags].into_iter().chain(files);
        format!("{}-{}", self.name, cache::key(inputs))
    }

    /// Go needs `go.mod` and `go.sum` in a directory; the cache's copy leaves the checkout untouched.
    fn write_to(&self, directory: &Path) -> io::Result<()> {
        let pins = [("go.mod", self.go_mod), ("go.sum", self.go_sum)];
        let mut files = pins.iter().chain(self.sources);
        files.try_for_each(|(name, contents)| fs::write(directory.join(name), contents))
    }
}
