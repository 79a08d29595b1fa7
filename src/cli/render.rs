//! `render`: everything that the operator makes of a cluster, without one.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use multigres_crds::GROUP;
use multigres_crds::kind::{ChildKind, Kind};
use multigres_crds::v1alpha1::{MultiAdmin, MultiCell, MultiOrch, MultiShard, TopoServer};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Exit, documents, validate};
use crate::build::{self, Build, Environment, Manifest};
use crate::yaml;

/// Print what the operator makes of a cluster, or of what stands alone
///
/// Exits with 1 where a manifest is invalid, and with 2 where input cannot be used; then nothing is printed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Manifests to read; `-` for standard input, a directory for all YAML files in it
    #[arg(short, long = "filename", value_name = "FILE", num_args = 1.., required = true)]
    files: Vec<PathBuf>,
    /// Namespace of what names none
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// DNS domain of the Kubernetes cluster
    #[arg(long, default_value = "cluster.local")]
    cluster_domain: String,
}

/// Prints child CRs and workloads, as `kubectl apply` takes them. What would be refused is made into nothing.
pub fn run(args: &Args) -> Exit {
    let environment = Environment { cluster_domain: args.cluster_domain.clone() };
    let input = documents::read(&args.files).in_namespace(&args.namespace);
    let documents = input.usable()?;
    if validate::tell_errors(&input, &mut anstream::stderr().lock())? {
        return Ok(ExitCode::FAILURE);
    }
    let mut objects: Vec<Value> = Vec::new();
    for document in documents {
        if let Ok(kind) = validate::kind(&document.object) {
            if kind == Kind::Cluster && document.object["metadata"]["name"].is_null() {
                bail!("{}: a cluster without a name; those of its objects begin with it", document.file.name);
            }
            // As it is stored when it is created.
            let object = match kind {
                Kind::Cluster => validate::defaulted(&document.object, None),
                Kind::Child(_) => document.object.clone(),
            };
            let manifests = manifests(kind, object, &environment)
                .with_context(|| format!("{}: not a {}", document.file.name, kind.as_str()))?;
            objects.extend(manifests.into_iter().map(|manifest| manifest.body));
        }
    }
    if objects.is_empty() {
        bail!("nothing to render: the input has no manifest of {GROUP}");
    }
    yaml::write(&objects, &mut std::io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

fn manifests(kind: Kind, object: Value, environment: &Environment) -> serde_json::Result<Vec<Manifest>> {
    match kind {
        Kind::Cluster => Ok(build::render(&serde_json::from_value(object)?, environment)),
        Kind::Child(ChildKind::TopoServer) => built::<TopoServer>(object, environment),
        Kind::Child(ChildKind::MultiAdmin) => built::<MultiAdmin>(object, environment),
        Kind::Child(ChildKind::MultiOrch) => built::<MultiOrch>(object, environment),
        Kind::Child(ChildKind::MultiCell) => built::<MultiCell>(object, environment),
        Kind::Child(ChildKind::MultiShard) => built::<MultiShard>(object, environment),
    }
}

fn built<K: Build + DeserializeOwned>(
    object: Value,
    environment: &Environment,
) -> serde_json::Result<Vec<Manifest>> {
    Ok(serde_json::from_value::<K>(object)?.build(environment))
}
