//! `validate`: the rules of admission, without a cluster.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use kube::Resource;
use multigres_crds::v1alpha1::{MultiAdmin, MultiCell, MultiOrch, MultiShard, MultigresCluster, TopoServer};
use multigres_webhooks::defaulting;
use multigres_webhooks::document::Document;
use multigres_webhooks::kind::{ChildKind, Kind};
use multigres_webhooks::lookup::Offline;
use multigres_webhooks::object::Object;
use multigres_webhooks::report::{Cause, Report};
use multigres_webhooks::schema::Strictness;
use multigres_webhooks::validate::{self, Child};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Exit, documents};
use crate::build::Environment;
use crate::impact::Workloads;

/// Check manifests by the rules of admission, without a cluster
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Manifests to check; `-` for standard input, a directory for all YAML files in it. Other kinds are skipped
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The manifests as they were before: checks the change too, and tells its consequences
    #[arg(long, value_name = "FILE")]
    old: Vec<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value = "human")]
    output: Output,
    /// Warnings are errors
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Human,
    Json,
}

/// What is said of one document.
#[derive(Debug, Serialize)]
struct Judgement {
    file: String,
    kind: String,
    namespace: String,
    name: String,
    valid: bool,
    errors: Vec<Problem>,
    warnings: Vec<Warning>,
}

#[derive(Debug, Serialize)]
struct Problem {
    field: String,
    reason: &'static str,
    message: String,
}

#[derive(Debug, Serialize)]
struct Warning {
    message: String,
}

/// Checks every document. 0: all are valid; 1: one is not. Unusable input is an error.
pub fn run(args: &Args) -> Exit {
    let old = documents::read(&args.old)?;
    let judge = |document: &documents::Document| {
        let kind = kind(&document.object)?;
        let before = old.iter().find(|old| identity(&old.object) == identity(&document.object));
        Some(judge(kind, document, before))
    };
    let judgements: Vec<Judgement> = documents::read(&args.files)?.iter().filter_map(judge).collect();
    let mut out = std::io::stdout().lock();
    match args.output {
        Output::Human => print_human(&judgements, &mut out)?,
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&judgements)?)?,
    }
    let passes = |judgement: &Judgement| judgement.valid && (!args.strict || judgement.warnings.is_empty());
    Ok(if judgements.iter().all(passes) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn kind(object: &Value) -> Option<Kind> {
    let (group, _) = object["apiVersion"].as_str()?.split_once('/')?;
    let name = object["kind"].as_str()?;
    let all = std::iter::once(Kind::Cluster).chain(ChildKind::ALL.map(Kind::Child));
    (group == multigres_crds::GROUP).then_some(())?;
    all.into_iter().find(|kind| kind_name(*kind) == name)
}

fn kind_name(kind: Kind) -> String {
    match kind {
        Kind::Cluster => MultigresCluster::kind(&()),
        Kind::Child(ChildKind::TopoServer) => TopoServer::kind(&()),
        Kind::Child(ChildKind::MultiAdmin) => MultiAdmin::kind(&()),
        Kind::Child(ChildKind::MultiOrch) => MultiOrch::kind(&()),
        Kind::Child(ChildKind::MultiCell) => MultiCell::kind(&()),
        Kind::Child(ChildKind::MultiShard) => MultiShard::kind(&()),
    }
    .into_owned()
}

/// What makes two documents the same object.
fn identity(object: &Value) -> [&Value; 3] {
    [&object["kind"], &object["metadata"]["namespace"], &object["metadata"]["name"]]
}

fn judge(kind: Kind, document: &documents::Document, before: Option<&documents::Document>) -> Judgement {
    let (new, old) = (&document.object, before.map(|before| &before.object));
    let report = match kind {
        Kind::Cluster => cluster(new, old),
        Kind::Child(ChildKind::TopoServer) => child::<TopoServer>(new, old),
        Kind::Child(ChildKind::MultiAdmin) => child::<MultiAdmin>(new, old),
        Kind::Child(ChildKind::MultiOrch) => child::<MultiOrch>(new, old),
        Kind::Child(ChildKind::MultiCell) => child::<MultiCell>(new, old),
        Kind::Child(ChildKind::MultiShard) => child::<MultiShard>(new, old),
    };
    let report = report.unwrap_or_else(|cause| Report { errors: vec![cause], warnings: Vec::new() });
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let problem =
        |cause: Cause| Problem { field: cause.field, reason: cause.reason.as_str(), message: cause.message };
    Judgement {
        file: document.file.clone(),
        kind: kind_name(kind),
        namespace: text(&new["metadata"]["namespace"]),
        name: text(&new["metadata"]["name"]),
        valid: report.errors.is_empty(),
        errors: report.errors.into_iter().map(problem).collect(),
        warnings: report.warnings.into_iter().map(|message| Warning { message }).collect(),
    }
}

fn cluster(new: &Value, old: Option<&Value>) -> Result<Report, Cause> {
    let old = old.map(|old| defaulted(old, None));
    let new = defaulted(new, old.as_deref());
    let old = old
        .as_deref()
        .map(|old| Document::<MultigresCluster>::decode(old, Strictness::Offline))
        .transpose()?;
    let new = Document::<MultigresCluster>::decode(&new, Strictness::Offline)?;
    let impact = Workloads { environment: Environment::default() };
    Ok(validate::cluster(&new, old.as_ref(), &validate::Context { lookup: &Offline, impact: Some(&impact) }))
}

fn child<K: Child>(new: &Value, old: Option<&Value>) -> Result<Report, Cause> {
    let (new, old) = (new.to_string(), old.map(Value::to_string));
    let old = old.as_deref().map(|old| Document::<K>::decode(old, Strictness::Offline)).transpose()?;
    let new = Document::<K>::decode(&new, Strictness::Offline)?;
    Ok(validate::child(&new, old.as_ref(), &validate::Context::OFFLINE))
}

/// The cluster as the mutating webhook would pass it on.
fn defaulted(cluster: &Value, old: Option<&str>) -> String {
    let raw = |json: String| RawValue::from_string(json).ok();
    let (new, old) = (raw(cluster.to_string()), old.map(str::to_owned).and_then(raw));
    let defaults = defaulting::cluster(&Object::read(new.as_deref()), &Object::read(old.as_deref()));
    let mut cluster = cluster.clone();
    // Additions only: there is no object that they do not fit. Were there one, it is judged as it was written.
    let _ = json_patch::patch(&mut cluster, &defaults.patch);
    cluster.to_string()
}

fn print_human(judgements: &[Judgement], out: &mut impl Write) -> std::io::Result<()> {
    for judgement in judgements {
        let Judgement { file, kind, name, .. } = judgement;
        let verdict = if judgement.valid { "valid" } else { "invalid" };
        writeln!(out, "{file}: {kind} {name:?} is {verdict}")?;
        for Problem { field, message, .. } in &judgement.errors {
            writeln!(out, "  error: {field}: {message}")?;
        }
        for Warning { message } in &judgement.warnings {
            writeln!(out, "  warning: {message}")?;
        }
    }
    Ok(())
}
