//! Judgement of one document, with positions.

use std::fmt;
use std::rc::Rc;

use kube::Resource;
use multigres_crds::kind::{ChildKind, Kind};
use multigres_crds::v1alpha1::{MultiAdmin, MultiCell, MultiOrch, MultiShard, MultigresCluster, TopoServer};
use multigres_webhooks::defaulting;
use multigres_webhooks::document;
use multigres_webhooks::json;
use multigres_webhooks::lookup::Offline;
use multigres_webhooks::report::{self, Cause, Reason, Report};
use multigres_webhooks::schema::{Strictness, UNKNOWN_FIELD};
use multigres_webhooks::validate::{self, Child};
use serde::Serialize;
use serde_json::Value;

use super::{metadata, rules};
use crate::build::Environment;
use crate::cli::documents::{Document, File, Unusable};
use crate::impact::Workloads;
use crate::yaml::source::Span;

/// Judgement of one document.
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
    span: Option<Span>,
}

/// An error or a warning, as all that print them see it.
#[derive(Clone, Debug)]
pub struct Finding<'j> {
    pub level: Level,
    /// Its identifier.
    pub id: &'static str,
    pub message: Message<'j>,
    pub span: Option<&'j Span>,
}

/// Text of a finding, with the field.
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
    /// Of an object, as it is named.
    fn new(file: &Rc<File>, object: &Value, errors: Vec<Problem>, warnings: Vec<Warning>) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            file: Rc::clone(file),
            kind: text(&object["kind"]),
            namespace: text(&object["metadata"]["namespace"]),
            name: text(&object["metadata"]["name"]),
            valid: errors.is_empty(),
            errors,
            warnings,
        }
    }

    /// Judgement of a file that cannot be used.
    pub fn unusable(Unusable { file, message, span, .. }: &Unusable) -> Self {
        let (message, span) = (message.clone(), span.clone());
        let error = Problem { field: String::new(), reason: rules::UNUSABLE, rule: None, message, span };
        Self::new(file, &Value::Null, vec![error], Vec::new())
    }

    /// The same of a file as it was, without which the rest can be judged.
    pub fn unusable_before(Unusable { file, message, span, .. }: &Unusable) -> Self {
        let warning = Warning { rule: Some(rules::UNUSABLE), message: message.clone(), span: span.clone() };
        Self::new(file, &Value::Null, Vec::new(), vec![warning])
    }

    /// The same where warnings are errors.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.errors.extend(self.warnings.drain(..).map(Problem::from));
        self.valid = self.errors.is_empty();
        self
    }

    /// True if it is of a file that cannot be used.
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
        let warnings = self.warnings.iter().map(|Warning { rule, message, span }| Finding {
            level: Level::Warning,
            id: rule.unwrap_or(rules::NOTICE),
            message: Message { field: "", text: message },
            span: span.as_ref(),
        });
        errors.chain(warnings)
    }
}

impl From<Warning> for Problem {
    fn from(Warning { rule, message, span }: Warning) -> Self {
        Self { field: String::new(), reason: rules::NOTICE, rule, message, span }
    }
}

/// Judges a document of the API's kinds. What stands `before` it in the input may be the same object once more; what
/// is `old` may be the same object as it was.
pub fn judge(document: &Document, before: &[Document], old: &[Document]) -> Option<Judgement> {
    if !document.is_of_api() {
        return None;
    }
    let new = &document.object;
    let is_same = |other: &&Document| is_same(document, other);
    // There may be an object of that name for each of several Kubernetes clusters.
    let old = old.iter().filter(is_same).max_by_key(|old| old.file.likeness(&document.file));
    let report = kind(new)
        .and_then(|kind| report_of(kind, new, old.map(|old| &old.object)))
        .unwrap_or_else(|cause| Report { errors: vec![cause], warnings: Vec::new() });
    let errors: Vec<Problem> = report.errors.into_iter().map(|cause| problem(cause, document)).collect();
    let mut warnings: Vec<Warning> =
        report.warnings.into_iter().map(|warning| located(warning, document)).collect();
    // In another file it may well be the same object of another cluster.
    let in_same_file = |other: &&Document| Rc::ptr_eq(&other.file, &document.file) && is_same(other);
    warnings.extend(before.iter().rfind(in_same_file).map(|first| repeated(first, document)));
    Some(Judgement::new(&document.file, new, errors, warnings))
}

/// Judgement of a skipped document whose group is wrong by mistake.
pub fn skipped(document: &Document) -> Option<Judgement> {
    let Document { file, object, .. } = document;
    kinds().find(|kind| object["kind"] == kind.as_str())?;
    let message = format!("is skipped; did you mean {:?}?", MultigresCluster::api_version(&()));
    let span = Some(document.locate("apiVersion"));
    let warning = Warning { rule: Some(rules::SKIPPED), message, span };
    Some(Judgement::new(file, object, Vec::new(), vec![warning]))
}

/// The clusters that were protected from deletion, and are gone. That they are is known of a directory that is given
/// as it was and as it is, of which two files at the same place are the sign.
pub fn deleted<'d>(new: &'d [Document], old: &'d [Document]) -> impl Iterator<Item = Judgement> + 'd {
    let is_at_place = |old: &Document| new.iter().any(|new| new.file.is_at_place_of(&old.file));
    let known: &[Document] = if old.iter().any(is_at_place) { old } else { &[] };
    let is_gone = |old: &&Document| {
        let is_protected = old.object["spec"]["deletionProtection"] == true && old.file.within.is_some();
        is_protected && is_cluster(old) && !new.iter().any(|new| is_same(new, old))
    };
    known.iter().filter(is_gone).map(|old| {
        let field = "spec.deletionProtection";
        let cause = Cause {
            rule: Some(rules::PROTECTED),
            ..Cause::new(Reason::Forbidden, field, "is true, and the cluster is gone: set it to false first")
        };
        Judgement::new(&old.file, &old.object, vec![problem(cause, old)], Vec::new())
    })
}

fn is_cluster(document: &Document) -> bool {
    document.is_of_api() && document.object["kind"] == Kind::Cluster.as_str()
}

fn is_same(one: &Document, another: &Document) -> bool {
    let identity = identity(&one.object);
    one.is_of_api()
        && another.is_of_api()
        && identity.is_some()
        && identity == self::identity(&another.object)
}

/// Identity of an object; none if it has no name yet.
fn identity(object: &Value) -> Option<[&Value; 3]> {
    let name = &object["metadata"]["name"];
    name.is_string().then(|| [&object["kind"], &object["metadata"]["namespace"], name])
}

fn kinds() -> impl Iterator<Item = Kind> {
    std::iter::once(Kind::Cluster).chain(ChildKind::ALL.map(Kind::Child))
}

/// The kind of a document of the API.
pub fn kind(object: &Value) -> Result<Kind, Cause> {
    let version = MultigresCluster::api_version(&());
    if object["apiVersion"] != *version {
        return Err(unsupported("apiVersion", &object["apiVersion"], std::iter::once(&*version)));
    }
    let kind = kinds().find(|kind| object["kind"] == kind.as_str());
    kind.ok_or_else(|| unsupported("kind", &object["kind"], kinds().map(Kind::as_str)))
}

fn unsupported<'n>(field: &str, value: &Value, supported: impl Iterator<Item = &'n str>) -> Cause {
    let supported: Vec<String> = supported.map(report::quote).collect();
    let (value, supported) = (report::display(value), supported.join(", "));
    let message = format!("Unsupported value: {value}: supported values: {supported}");
    Cause::new(Reason::NotSupported, field, message)
}

fn report_of(kind: Kind, new: &Value, old: Option<&Value>) -> Result<Report, Cause> {
    let mut report = match kind {
        Kind::Cluster => cluster(new, old),
        Kind::Child(ChildKind::TopoServer) => child::<TopoServer>(new, old),
        Kind::Child(ChildKind::MultiAdmin) => child::<MultiAdmin>(new, old),
        Kind::Child(ChildKind::MultiOrch) => child::<MultiOrch>(new, old),
        Kind::Child(ChildKind::MultiCell) => child::<MultiCell>(new, old),
        Kind::Child(ChildKind::MultiShard) => child::<MultiShard>(new, old),
    }?;
    metadata::judge(&mut report, kind, new, old);
    Ok(report)
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
pub fn defaulted(cluster: &Value, old: Option<&Value>) -> Value {
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
    Warning { rule, span: Some(document.locate(field.as_deref().unwrap_or("metadata.name"))), message }
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
    Warning { rule: Some(rules::REPEATED), message, span: Some(document.locate("metadata.name")) }
}
