//! `crds`: the definitions of the API, as they are committed.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use multigres_crds::schema;

use super::Exit;
use crate::yaml;

/// Print the CustomResourceDefinitions
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write one file for each kind into this directory instead
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Prints, or writes one file for each kind.
pub fn run(args: &Args) -> Exit {
    let definitions = schema::crds().into_iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
    match &args.output {
        None => yaml::write(&definitions, &mut std::io::stdout().lock())?,
        Some(directory) => {
            for definition in &definitions {
                let name = definition["metadata"]["name"].as_str().unwrap_or_default();
                let path = directory.join(format!("{name}.yaml"));
                let mut file = fs::File::create(&path).with_context(|| path.display().to_string())?;
                yaml::write(std::slice::from_ref(definition), &mut file)?;
                file.flush()?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
