//! Paths of fields in an object.
//!
//! Rules carry a [`Path`], a list that is linked through the stack, so that a valid object costs no allocation.
//! Findings keep a [`FieldPath`].

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde_json::Value;

/// A borrowed path, built while descending.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum StepOf<S> {
    /// A field; in a [`Path`] also several at once, joined by dots.
    Field(S),
    /// A key of a map.
    Key(S),
    /// An item of a list, and what it is known by where indices move.
    Item(usize, S),
}

type Step<'a> = StepOf<&'a str>;

impl Copy for Step<'_> {}

impl<'a> Path<'a> {
    /// A path from the top of the object, for example `spec.cells.templates`.
    pub const fn new(fields: &'a str) -> Self {
        Self { parent: None, step: StepOf::Field(fields) }
    }

    /// A field of what is at this path; or several, joined by dots.
    pub const fn field<'b>(&'b self, fields: &'b str) -> Path<'b> {
        Path { parent: Some(self), step: StepOf::Field(fields) }
    }

    /// A key of the map at this path.
    pub const fn key<'b>(&'b self, key: &'b str) -> Path<'b> {
        Path { parent: Some(self), step: StepOf::Key(key) }
    }

    /// An item of the list at this path, and the name that it is known by when it moves.
    pub const fn item<'b>(&'b self, index: usize, name: &'b str) -> Path<'b> {
        Path { parent: Some(self), step: StepOf::Item(index, name) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        FieldPath::from(self).fmt(f)
    }
}

/// An owned path, from the top of the object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldPath(Vec<StepOf<String>>);

impl FieldPath {
    /// Reads a path as it is displayed. What a list's items are known by is not in it, nor are fields without a name.
    pub fn parse(text: &str) -> Self {
        let (mut steps, mut rest) = (Vec::new(), text.trim_start_matches('.'));
        while !rest.is_empty() {
            if let Some(within) = rest.strip_prefix('[') {
                let end = within.find(']').unwrap_or(within.len());
                steps.push(StepOf::read(&within[..end]));
                rest = &rest[(end + 2).min(rest.len())..];
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                steps.push(StepOf::Field(rest[..end].to_owned()));
                rest = &rest[end..];
            }
            rest = rest.trim_start_matches('.');
        }
        Self(steps)
    }

    /// Appends a field.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>) -> Self {
        self.0.push(StepOf::Field(name.into()));
        self
    }

    /// Appends fields that are joined by dots.
    #[must_use]
    pub fn fields(self, names: &str) -> Self {
        names.split('.').fold(self, Self::field)
    }

    /// Appends an item of a list.
    #[must_use]
    pub fn item(mut self, index: usize, name: impl Into<String>) -> Self {
        self.0.push(StepOf::Item(index, name.into()));
        self
    }

    /// The path without its last step.
    #[must_use]
    pub fn parent(&self) -> Self {
        self.truncated(self.0.len().saturating_sub(1))
    }

    /// The first steps of the path.
    #[must_use]
    pub fn truncated(&self, steps: usize) -> Self {
        Self(self.0.iter().take(steps).cloned().collect())
    }

    /// The path with list keys in place of indices, so that a reordering does not change it.
    pub fn by_name(&self) -> String {
        self.render(|out, index, name| {
            if name.is_empty() { write_step(out, "[", index, "]") } else { write_step(out, "[", name, "]") }
        })
    }

    /// The steps: names of fields and keys, numbers of items.
    pub fn names(&self) -> Vec<Cow<'_, str>> {
        self.0.iter().map(StepOf::edge).collect()
    }

    fn render(&self, item: impl Fn(&mut String, &str, &str)) -> String {
        let mut out = String::new();
        for step in &self.0 {
            match step {
                StepOf::Field(name) if out.is_empty() => out.push_str(name),
                StepOf::Field(name) => write_step(&mut out, ".", name, ""),
                StepOf::Key(key) => write_step(&mut out, "[", key, "]"),
                StepOf::Item(index, name) => item(&mut out, &index.to_string(), name),
            }
        }
        out
    }

    /// The value at this path.
    pub fn find<'v>(&self, document: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(document, |value, step| match step {
            StepOf::Field(name) | StepOf::Key(name) => value.get(name),
            StepOf::Item(index, _) => value.get(index),
        })
    }

    /// The value at this path, to be changed.
    pub fn find_mut<'v>(&self, document: &'v mut Value) -> Option<&'v mut Value> {
        self.0.iter().try_fold(document, |value, step| match step {
            StepOf::Field(name) | StepOf::Key(name) => value.get_mut(name),
            StepOf::Item(index, _) => value.get_mut(index),
        })
    }
}

fn write_step(out: &mut String, before: &str, step: &str, after: &str) {
    out.extend([before, step, after]);
}

impl fmt::Display for FieldPath {
    /// As the API server writes it: `spec.cells.templates[0].name`, `….requests[cpu]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(|out, index, _| write_step(out, "[", index, "]")))
    }
}

impl From<&Path<'_>> for FieldPath {
    fn from(path: &Path<'_>) -> Self {
        let mut steps = path.parent.map_or_else(Vec::new, |parent| Self::from(parent).0);
        match path.step {
            StepOf::Field(fields) => {
                steps.extend(fields.split('.').map(|name| StepOf::Field(name.to_owned())));
            }
            StepOf::Key(key) => steps.push(StepOf::Key(key.to_owned())),
            StepOf::Item(index, name) => steps.push(StepOf::Item(index, name.to_owned())),
        }
        Self(steps)
    }
}

impl StepOf<String> {
    /// Reads the text in brackets: an index as it is displayed, otherwise a key.
    fn read(edge: &str) -> Self {
        match edge.parse::<usize>() {
            Ok(index) if index.to_string() == edge => Self::Item(index, String::new()),
            _ => Self::Key(edge.to_owned()),
        }
    }

    /// The step as far as it leads somewhere: the name, or the index as a number.
    fn edge(&self) -> Cow<'_, str> {
        match self {
            Self::Field(name) | Self::Key(name) => Cow::Borrowed(name),
            Self::Item(index, _) => Cow::Owned(index.to_string()),
        }
    }
}

/// A set of paths that answers whether another path touches one of them.
#[derive(Clone, Debug, Default)]
pub struct PathSet {
    /// True if the path that leads here is in the set.
    included: bool,
    below: HashMap<String, PathSet>,
}

impl PathSet {
    /// True if the set is empty.
    pub fn is_empty(&self) -> bool {
        !self.included && self.below.is_empty()
    }

    /// Adds a path.
    pub fn insert(&mut self, path: &FieldPath) {
        let end =
            path.0.iter().fold(self, |node, step| node.below.entry(step.edge().into_owned()).or_default());
        end.included = true;
    }

    /// True if the path equals, lies within or contains a path of the set.
    pub fn touches(&self, path: &FieldPath) -> bool {
        self.end_of(path).is_some_and(|end| !end.is_empty())
    }

    /// True if the path equals or lies within a path of the set.
    pub fn covers(&self, path: &FieldPath) -> bool {
        self.end_of(path).is_some_and(|end| end.included)
    }

    /// Follows a path as far as it goes or until it lies within one of the set.
    fn end_of(&self, path: &FieldPath) -> Option<&Self> {
        path.0.iter().try_fold(self, |node, step| {
            if node.included { Some(node) } else { node.below.get(step.edge().as_ref()) }
        })
    }
}

/// Sorts what was found into the order of the document, each map and list of which is read once.
pub fn in_document_order<T>(found: Vec<T>, document: &Value, path: fn(&T) -> &FieldPath) -> Vec<T> {
    let mut sorted = Vec::with_capacity(found.len());
    sort_level(found, Some(document), 0, path, &mut sorted);
    sorted
}

fn sort_level<T>(
    found: Vec<T>,
    document: Option<&Value>,
    depth: usize,
    path: fn(&T) -> &FieldPath,
    sorted: &mut Vec<T>,
) {
    if found.len() < 2 {
        return sorted.extend(found);
    }
    let mut below: HashMap<String, (usize, Vec<T>)> = HashMap::new();
    for (arrival, item) in found.into_iter().enumerate() {
        match path(&item).0.get(depth).map(StepOf::edge) {
            None => sorted.push(item),
            Some(edge) => {
                let edge = edge.into_owned();
                below.entry(edge).or_insert_with(|| (arrival, Vec::new())).1.push(item);
            }
        }
    }
    let mut descend = |edge: &str, value| {
        if let Some((_, group)) = below.remove(edge) {
            sort_level(group, Some(value), depth + 1, path, sorted);
        }
    };
    match document {
        Some(Value::Object(fields)) => fields.iter().for_each(|(name, value)| descend(name, value)),
        Some(Value::Array(items)) => {
            items.iter().enumerate().for_each(|(index, value)| descend(&index.to_string(), value));
        }
        _ => {}
    }
    // What is missing comes after what is there.
    let mut missing: Vec<_> = below.into_values().collect();
    missing.sort_by_key(|(arrival, _)| *arrival);
    for (_, group) in missing {
        sort_level(group, None, depth + 1, path, sorted);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CELLS: Path<'_> = Path::new("spec.cells.templates");

    #[test]
    fn rendered_as_the_api_server_does() {
        let cell = CELLS.item(1, "us-east-1");
        let requests = cell.field("spec.multiGateway.resources.requests");
        let cpu = FieldPath::from(&requests.key("cpu"));
        assert_eq!(cpu.to_string(), "spec.cells.templates[1].spec.multiGateway.resources.requests[cpu]");
        assert_eq!(
            cpu.by_name(),
            "spec.cells.templates[us-east-1].spec.multiGateway.resources.requests[cpu]"
        );
    }

    #[test]
    fn read_as_it_is_displayed() {
        for path in ["", "spec", "spec.a[0].b[example.com/key].c", "a[1][2]", "a[x.y]", "a[007]", "a[+5]"] {
            assert_eq!(FieldPath::parse(path).to_string(), path);
        }
        for (hostile, read) in [("[", "[]"), ("a[", "a[]"), ("a]", "a]"), ("..", ""), ("a..[0].", "a[0]")] {
            assert_eq!(FieldPath::parse(hostile).to_string(), read, "{hostile}");
        }
    }

    #[test]
    fn touching() {
        let mut set = PathSet::default();
        assert!(!set.touches(&FieldPath::from(&CELLS)));
        let name = CELLS.item(1, "");
        set.insert(&FieldPath::from(&name.field("name")));
        for (path, touches) in [
            (Path::new("spec"), true),
            (name.field("name"), true),
            (name.field("name").field("within"), true),
            (name.field("names"), false),
            (CELLS.item(10, ""), false),
        ] {
            assert_eq!(set.touches(&FieldPath::from(&path)), touches, "{path}");
        }
    }

    #[test]
    fn document_order() {
        let document = json!({"b": [{}, {"z": 1, "y": 1}], "a": 1});
        let list = Path::new("b");
        let second = list.item(1, "");
        let paths = [
            Path::new("missing"),
            Path::new("a"),
            second.field("w"),
            second.field("y"),
            second.field("z"),
            list.item(0, ""),
            list,
        ];
        let sorted = in_document_order(paths.iter().map(FieldPath::from).collect(), &document, |path| path);
        let sorted: Vec<String> = sorted.iter().map(ToString::to_string).collect();
        assert_eq!(sorted, ["b", "b[0]", "b[1].z", "b[1].y", "b[1].w", "a", "missing"]);
    }
}
