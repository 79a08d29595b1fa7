//! `render`: everything that the operator makes of a cluster, without one.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use multigres_crds::v1alpha1::MultigresCluster;
use serde_json::Value;

use super::{Exit, documents};
use crate::build::{self, Environment};
use crate::yaml;

/// Print what the operator makes of a cluster
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Manifests to read; `-` for standard input, a directory for all YAML files in it
    #[arg(short, long = "filename", value_name = "FILE", num_args = 1.., required = true)]
    files: Vec<PathBuf>,
    /// Namespace of a cluster that names none
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// DNS domain of the Kubernetes cluster
    #[arg(long, default_value = "cluster.local")]
    cluster_domain: String,
}

/// Prints child CRs and workloads, as `kubectl apply` takes them.
pub fn run(args: &Args) -> Exit {
    let environment = Environment { cluster_domain: args.cluster_domain.clone() };
    let mut objects: Vec<Value> = Vec::new();
    for document in documents::read(&args.files).usable()? {
        if document.is_of_kind("MultigresCluster") {
            let mut object = document.object;
            if object["metadata"]["namespace"].is_null() {
                object["metadata"]["namespace"] = args.namespace.clone().into();
            }
            let cluster: MultigresCluster = serde_json::from_value(object)
                .with_context(|| format!("{}: not a MultigresCluster", document.file.name))?;
            objects.extend(build::render(&cluster, &environment).into_iter().map(|manifest| manifest.body));
        }
    }
    if objects.is_empty() {
        bail!("no MultigresCluster found");
    }
    yaml::write(&objects, &mut std::io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}
