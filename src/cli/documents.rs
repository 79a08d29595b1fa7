//! Manifests as the commands read them: several documents, lists, directories, standard input.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::bail;
use multigres_webhooks::path::FieldPath;
use serde_json::{Map, Value};

use crate::yaml::source::{self, Node, Span, Unreadable};

const BYTE_ORDER_MARK: char = '\u{feff}';

const STANDARD_INPUT: &str = "-";

/// File extensions that are read from a directory.
const MANIFESTS: [&str; 3] = ["yaml", "yml", "json"];

/// A file, and what stands in it.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name, `-` for standard input.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Its path within the directory that was given; nothing where it was given itself.
    pub within: Option<PathBuf>,
}

impl File {
    /// A file that is known by name only, and what was given for it to be found.
    fn unread(path: &Path, given: &Path) -> Self {
        let name = below(path, Path::new(".")).unwrap_or(path).display().to_string();
        Self { name, text: String::new(), within: below(path, given).map(Path::to_owned) }
    }

    /// Likeness of two files as two versions of one: certain if both have the same relative path, otherwise greater the
    /// more steps their paths share at the end.
    pub fn likeness(&self, other: &Self) -> impl Ord + use<> {
        let (own, others) = (Path::new(&self.name).components(), Path::new(&other.name).components());
        let alike = own.rev().zip(others.rev()).take_while(|(one, another)| one == another).count();
        (self.is_at_place_of(other), alike)
    }

    /// True if both have the same path in the directories that were given.
    pub fn is_at_place_of(&self, other: &Self) -> bool {
        self.within.is_some() && self.within == other.within
    }
}

/// The rest of a path below a directory.
fn below<'p>(path: &'p Path, directory: &Path) -> Option<&'p Path> {
    path.strip_prefix(directory).ok().filter(|rest| *rest != Path::new(""))
}

/// One document of a file.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file.
    pub file: Rc<File>,
    /// Its content.
    pub object: Value,
    node: Node,
}

/// A file that cannot be used, and why.
#[derive(Clone, Debug)]
pub struct Unusable {
    /// The file.
    pub file: Rc<File>,
    /// The problem.
    pub message: String,
    /// Where, as far as that is known.
    pub span: Option<Span>,
    /// True if there is no such file at all.
    pub absent: bool,
}

/// Everything that was read.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// The documents, in the order in which they were given.
    pub documents: Vec<Document>,
    /// Files that cannot be used.
    pub unusable: Vec<Unusable>,
}

impl Document {
    /// True if it is of the API.
    pub fn is_of_api(&self) -> bool {
        let version = self.object["apiVersion"].as_str();
        version
            .and_then(|version| version.split_once('/'))
            .is_some_and(|(group, _)| group == multigres_crds::GROUP)
    }

    /// Span of a field, or of the place where it would stand.
    pub fn locate(&self, field: &str) -> Span {
        self.node.follow(&FieldPath::parse(field)).span().first_line(&self.file.text)
    }

    /// Span of a field's name.
    pub fn locate_name(&self, field: &str) -> Span {
        self.node.follow(&FieldPath::parse(field)).name().first_line(&self.file.text)
    }

    /// True if there is such a field.
    pub fn has(&self, field: &str) -> bool {
        self.node.follow(&FieldPath::parse(field)).node().is_some()
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.name)?;
        if let Some(Span { line, column, .. }) = self.span {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}", self.message)
    }
}

impl Input {
    /// The same, with a namespace for what names none, as `kubectl` gives it one.
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        for document in &mut self.documents {
            let metadata = document.object.get_mut("metadata").and_then(Value::as_object_mut);
            let is_nowhere =
                |metadata: &&mut Map<String, Value>| metadata.get("namespace").is_none_or(Value::is_null);
            if let Some(metadata) = metadata.filter(is_nowhere) {
                metadata.insert("namespace".to_owned(), namespace.into());
            }
        }
        self
    }

    /// The documents, where all of the input can be used.
    ///
    /// # Errors
    /// Everything that cannot.
    pub fn usable(&self) -> anyhow::Result<&[Document]> {
        if self.unusable.is_empty() {
            return Ok(&self.documents);
        }
        let reasons: Vec<String> = self.unusable.iter().map(ToString::to_string).collect();
        bail!(reasons.join("\nerror: "))
    }

    fn read(&mut self, path: &Path, file: File) {
        match content(path).map(String::from_utf8) {
            Ok(Ok(text)) => {
                let text = text.strip_prefix(BYTE_ORDER_MARK).map(str::to_owned).unwrap_or(text);
                self.add(File { text, ..file });
            }
            Ok(Err(error)) => {
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let span = Span::at(error.utf8_error().valid_up_to(), &text);
                self.refuse(File { text, ..file }, "not UTF-8".to_owned(), Some(span));
            }
            Err(error) => self.miss(file, &error),
        }
    }

    fn refuse(&mut self, file: File, message: String, span: Option<Span>) {
        self.unusable.push(Unusable { file: Rc::new(file), message, span, absent: false });
    }

    fn miss(&mut self, file: File, error: &io::Error) {
        let absent = error.kind() == io::ErrorKind::NotFound;
        self.unusable.push(Unusable { file: Rc::new(file), message: error.to_string(), span: None, absent });
    }

    fn add(&mut self, file: File) {
        match source::read(&file.text) {
            Ok(nodes) => {
                let file = Rc::new(file);
                for node in nodes {
                    self.add_document(&file, node);
                }
            }
            Err(Unreadable { message, span }) => {
                let span = span.map(|span| span.first_line(&file.text));
                self.refuse(file, format!("not YAML: {message}"), span);
            }
        }
    }

    /// A list is what it lists, as to kubectl.
    fn add_document(&mut self, file: &Rc<File>, node: Node) {
        let object = node.value();
        let is_list = object["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        let found = node.follow(&FieldPath::default().field("items"));
        match found.node().and_then(Node::items).filter(|_| is_list) {
            Some(items) => items.iter().for_each(|item| self.add_document(file, item.clone())),
            None => self.documents.push(Document { file: Rc::clone(file), object, node }),
        }
    }
}

/// Reads every document of every file, of the directories' YAML files, and of standard input (`-`). A file that is
/// named twice is read once.
pub fn read(paths: &[PathBuf]) -> Input {
    let (mut input, mut seen) = (Input::default(), HashSet::new());
    for given in paths {
        for (path, found) in files(given) {
            let file = File::unread(&path, given);
            match found {
                Err(error) => input.miss(file, &error),
                Ok(()) if seen.insert(fs::canonicalize(&path).unwrap_or_else(|_| path.clone())) => {
                    input.read(&path, file);
                }
                Ok(()) => {}
            }
        }
    }
    input
}

/// True if a path stands for standard input.
pub fn is_standard_input(path: &Path) -> bool {
    path == Path::new(STANDARD_INPUT)
}

/// A file to read, or why what is in a directory cannot be told.
type Found = (PathBuf, io::Result<()>);

/// The file, or the files of a directory: those of its subdirectories too, those that begin with a dot not.
fn files(path: &Path) -> Vec<Found> {
    if !path.is_dir() {
        return vec![(path.to_owned(), Ok(()))];
    }
    let mut found = Vec::new();
    descend(path, &mut found);
    if found.is_empty() {
        found.push((path.to_owned(), Err(io::Error::new(io::ErrorKind::NotFound, "no YAML files"))));
    }
    found.sort_by(|(one, _), (another, _)| one.cmp(another));
    found
}

/// A directory that cannot be read keeps nobody from those beside it.
fn descend(directory: &Path, found: &mut Vec<Found>) {
    if let Err(error) = list(directory, found) {
        found.push((directory.to_owned(), Err(error)));
    }
}

/// Links to directories are not followed: they may lead in a circle.
fn list(directory: &Path, found: &mut Vec<Found>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if entry.file_type()?.is_dir() {
            descend(&path, found);
        } else if path.extension().is_some_and(|ending| MANIFESTS.iter().any(|manifest| ending == *manifest))
        {
            found.push((path, Ok(())));
        }
    }
    Ok(())
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    if !is_standard_input(path) {
        return fs::read(path);
    }
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
