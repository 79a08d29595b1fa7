//! What is said of one document, and where in it.

use std::fmt;
use std::rc::Rc;

use kube::Resource;
use multigres_crds::v1alpha1::{MultiAdmin, MultiCell, MultiOrch, MultiShard, MultigresCluster, TopoServer};
use multigres_webhooks::defaulting;
use multigres_webhooks::document;
use multigres_webhooks::json;
use multigres_webhooks::kind::{ChildKind, Kind};
use multigres_webhooks::lookup::Offline;
use multigres_webhooks::report::{self, Cause, Reason, Report};
use multigres_webhooks::schema::{Strictness, UNKNOWN_FIELD};
use multigres_webhooks::validate::{self, Child};
use serde::Serialize;
use serde_json::Value;

use super::rules;
use crate::build::Environment;
use crate::cli::documents::{Document, File, Unusable};
use crate::impact::Workloads;
use crate::yaml::source::Span;

/// What is said of one document.
#[derive(Debug, Serialize)]
pub struct Judgement {
    #[serde(serialize_with = "name_of")]
    pub file: Rc<File>,
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub valid: bool,
    pub errors: Vec<Problem>,
    pub warnings: Vec<Warning>,
    /// Whether warnings are errors.
    #[serde(skip)]
    strict: bool,
}

#[derive(Debug, Serialize)]
pub struct Problem {
    field: String,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'static str>,
    message: String,
    #[serde(flatten)]
    span: Option<Span>,
}

#[derive(Debug, Serialize)]
pub struct Warning {
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'static str>,
    message: String,
    #[serde(flatten)]
    span: Span,
}

/// An error or a warning, as all that print them see it.
#[derive(Clone, Debug)]
pub struct Finding<'j> {
    pub level: Level,
    /// What it is known by.
    pub id: &'static str,
    pub message: Message<'j>,
    pub span: Option<&'j Span>,
}

/// What a finding says, with the field.
#[derive(Clone, Copy, Debug)]
pub struct Message<'j> {
    field: &'j str,
    text: &'j str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error,
    Warning,
}

fn name_of<S: serde::Serializer>(file: &Rc<File>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&file.name)
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(self.text)
    }
}

impl Level {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Judgement {
    /// What is said of a file that cannot be used.
    pub fn unusable(Unusable { file, message, span }: Unusable) -> Self {
        let error = Problem { field: String::new(), reason: rules::UNUSABLE, rule: None, message, span };
        Self {
            file,
            kind: String::new(),
            namespace: String::new(),
            name: String::new(),
            valid: false,
            errors: vec![error],
            warnings: Vec::new(),
            strict: false,
        }
    }

    /// Whether it is of a file that cannot be used.
    pub fn is_unusable(&self) -> bool {
        self.errors.iter().any(|error| error.reason == rules::UNUSABLE)
    }

    /// Everything that it says, the errors first.
    pub fn findings(&self) -> impl Iterator<Item = Finding<'_>> {
        let errors = self.errors.iter().map(|Problem { field, reason, rule, message, span }| Finding {
            level: Level::Error,
            id: rule.unwrap_or(reason),
            message: Message { field, text: message },
            span: span.as_ref(),
        });
        let level = if self.strict { Level::Error } else { Level::Warning };
        let warnings = self.warnings.iter().map(move |Warning { rule, message, span }| Finding {
            level,
            id: rule.unwrap_or(rules::NOTICE),
            message: Message { field: "", text: message },
            span: Some(span),
        });
        errors.chain(warnings)
    }
}

/// Judges a document of the API's kinds. What stands `before` it in the input may be the same object once more; what
/// is `old` may be the same object as it was.
pub fn judge(document: &Document, before: &[Document], old: &[Document], strict: bool) -> Option<Judgement> {
    if !document.is_of_api() {
        return None;
    }
    let new = &document.object;
    let identity = identity(new);
    let is_same = |other: &&Document| {
        identity.is_some() && other.is_of_api() && self::identity(&other.object) == identity
    };
    let report = kind(new)
        .and_then(|kind| report_of(kind, new, old.iter().rfind(is_same).map(|old| &old.object)))
        .unwrap_or_else(|cause| Report { errors: vec![cause], warnings: Vec::new() });
    let errors: Vec<Problem> = report.errors.into_iter().map(|cause| problem(cause, document)).collect();
    let mut warnings: Vec<Warning> =
        report.warnings.into_iter().map(|warning| located(warning, document)).collect();
    // In another file it may well be the same object of another cluster.
    let in_same_file = |other: &&Document| Rc::ptr_eq(&other.file, &document.file) && is_same(other);
    warnings.extend(before.iter().rfind(in_same_file).map(|first| repeated(first, document)));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some(Judgement {
        file: Rc::clone(&document.file),
        kind: text(&new["kind"]),
        namespace: text(&new["metadata"]["namespace"]),
        name: text(&new["metadata"]["name"]),
        valid: errors.is_empty() && (warnings.is_empty() || !strict),
        errors,
        warnings,
        strict,
    })
}

/// What makes two documents the same object; nothing, where it is yet to be named.
fn identity(object: &Value) -> Option<[&Value; 3]> {
    let name = &object["metadata"]["name"];
    name.is_string().then(|| [&object["kind"], &object["metadata"]["namespace"], name])
}

/// The kind of a document of the API.
fn kind(object: &Value) -> Result<Kind, Cause> {
    let version = MultigresCluster::api_version(&());
    if object["apiVersion"] != *version {
        return Err(unsupported("apiVersion", &object["apiVersion"], std::iter::once(&*version)));
    }
    let all = || std::iter::once(Kind::Cluster).chain(ChildKind::ALL.map(Kind::Child));
    let kind = all().find(|kind| object["kind"] == kind.as_str());
    kind.ok_or_else(|| unsupported("kind", &object["kind"], all().map(Kind::as_str)))
}

fn unsupported<'n>(field: &str, value: &Value, supported: impl Iterator<Item = &'n str>) -> Cause {
    let supported: Vec<String> = supported.map(report::quote).collect();
    let (value, supported) = (report::display(value), supported.join(", "));
    let message = format!("Unsupported value: {value}: supported values: {supported}");
    Cause::new(Reason::NotSupported, field, message)
}

fn report_of(kind: Kind, new: &Value, old: Option<&Value>) -> Result<Report, Cause> {
    match kind {
        Kind::Cluster => cluster(new, old),
        Kind::Child(ChildKind::TopoServer) => child::<TopoServer>(new, old),
        Kind::Child(ChildKind::MultiAdmin) => child::<MultiAdmin>(new, old),
        Kind::Child(ChildKind::MultiOrch) => child::<MultiOrch>(new, old),
        Kind::Child(ChildKind::MultiCell) => child::<MultiCell>(new, old),
        Kind::Child(ChildKind::MultiShard) => child::<MultiShard>(new, old),
    }
}

fn cluster(new: &Value, old: Option<&Value>) -> Result<Report, Cause> {
    let old = old.map(|old| defaulted(old, None));
    let new = defaulted(new, old.as_ref());
    let impact = Workloads { environment: Environment::default() };
    let cx = validate::Context { lookup: &Offline, impact: Some(&impact) };
    document::decode(&new, old.as_ref(), Strictness::Offline, |new, old| validate::cluster(new, old, &cx))
}

fn child<K: Child>(new: &Value, old: Option<&Value>) -> Result<Report, Cause> {
    document::decode::<K, _>(new, old, Strictness::Offline, |new, old| {
        validate::child(new, old, &validate::Context::OFFLINE)
    })
}

/// The cluster as the mutating webhook would pass it on.
fn defaulted(cluster: &Value, old: Option<&Value>) -> Value {
    let old = old.map_or(&Value::Null, |old| &old["spec"]);
    let defaults = json::of(&cluster["spec"], |new| json::of(old, |old| defaulting::cluster(new, old)));
    let mut cluster = cluster.clone();
    // Additions only: there is no object that they do not fit. Were there one, it is judged as it was written.
    let _ = json_patch::patch(&mut cluster, &defaults.patch);
    cluster
}

fn problem(Cause { reason, field, message, rule }: Cause, document: &Document) -> Problem {
    let span = if message == UNKNOWN_FIELD { document.locate_name(&field) } else { document.locate(&field) };
    Problem { field, reason: reason.as_str(), rule, message, span: Some(span) }
}

/// A warning is text. Where a word of it is a field of the document, that is where it belongs; else it is of the object,
/// which has a name.
fn located(report::Warning { rule, message }: report::Warning, document: &Document) -> Warning {
    let field = message.split_whitespace().find_map(|word| field_of(word, document));
    Warning { rule, span: document.locate(field.as_deref().unwrap_or("metadata.name")), message }
}

fn field_of(word: &str, document: &Document) -> Option<String> {
    let word = word.trim_start_matches('(').trim_end_matches([':', ',', ';', ')']);
    let is_path = word.contains('.') && !word.starts_with('.');
    let mut paths = [word.to_owned(), format!("spec.{word}")].into_iter();
    paths.find(|path| is_path && document.has(path))
}

fn repeated(first: &Document, document: &Document) -> Warning {
    let message =
        format!("is the same object as that of line {}, and takes its place", first.locate("").line);
    Warning { rule: Some(rules::REPEATED), message, span: document.locate("metadata.name") }
}
