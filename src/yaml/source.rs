//! YAML and JSON with positions: where in its text each value of a document stands.
//!
//! The parser resolves anchors, aliases and merge keys, and tells of each value where it is *defined*, which is where
//! its author has to change it.

use std::fmt;
use std::ops::Range;

use multigres_webhooks::path::FieldPath;
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{Location, MessageFormatter, Options, Spanned, UserMessageFormatter};

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Its line, from 1.
    pub line: u64,
    /// The character of the line that it begins with, from 1.
    pub column: u64,
    /// Its bytes. Of a list or map in block style there are none, or those of its first key.
    #[serde(skip)]
    pub bytes: Range<usize>,
}

/// A value, and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    span: Span,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
struct Key {
    name: String,
    span: Span,
}

/// The part of a path that exists.
#[derive(Clone, Copy, Debug)]
pub struct Found<'n> {
    /// The node at its end, or the last one on the way.
    node: &'n Node,
    /// The key of that, in a map.
    key: Option<&'n Span>,
    /// True if the path leads to its end.
    complete: bool,
}

/// Reason why a text cannot be read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The problem.
    pub message: String,
    /// Where, as far as that is known.
    pub span: Option<Span>,
}

/// Reads all documents of a text but the empty ones.
///
/// # Errors
/// Fails with the reason if the text is not YAML.
pub fn read(text: &str) -> Result<Vec<Node>, Unreadable> {
    serde_saphyr::from_multiple_with_options(text, options()).map_err(|error| {
        let error = error.without_snippet();
        let span = error.location().map(|location| Span::of_error(location, text));
        Unreadable { message: UserMessageFormatter.format_message(error).into_owned(), span }
    })
}

/// As kubectl, whose YAML is of version 1.1.
///
/// A text is in memory already, so that there may be as much of anything as there is text. What aliases make of it is
/// limited all the same, by how much they repeat and not by how many there are.
fn options() -> Options {
    serde_saphyr::options! {
        legacy_octal_numbers: true,
        budget: serde_saphyr::budget! {
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_documents: usize::MAX,
            max_anchors: usize::MAX,
            max_aliases: usize::MAX,
            max_merge_keys: usize::MAX,
            enforce_alias_anchor_ratio: false,
        },
    }
}

impl Span {
    /// The place of a byte.
    pub fn at(offset: usize, text: &str) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let last = before.rsplit('\n').next().unwrap_or_default();
        Self {
            line: number(before.matches('\n').count()) + 1,
            column: number(last.chars().count()) + 1,
            bytes: before.len()..before.len(),
        }
    }

    /// The part on its first line.
    #[must_use]
    pub fn first_line(&self, text: &str) -> Self {
        let piece = text.get(self.bytes.clone()).unwrap_or_default();
        let length = piece.lines().next().unwrap_or_default().len();
        Self { bytes: self.bytes.start..self.bytes.start + length, ..self.clone() }
    }

    /// The character of the line that comes after it.
    pub fn end_column(&self, text: &str) -> u64 {
        self.column + number(text.get(self.bytes.clone()).unwrap_or_default().chars().count())
    }

    /// The parser does not tell the bytes of every error.
    fn of_error(location: Location, text: &str) -> Self {
        let offset = |characters: u64| {
            let index = usize::try_from(characters).unwrap_or(usize::MAX);
            text.char_indices().nth(index).map_or(text.len(), |(offset, _)| offset)
        };
        let span = location.span();
        let bytes = offset(span.offset())..offset(span.offset().saturating_add(span.len()));
        Self { bytes, ..Self::from(location) }
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl From<Location> for Span {
    fn from(location: Location) -> Self {
        let byte = |number: Option<u64>| number.and_then(|byte| usize::try_from(byte).ok()).unwrap_or(0);
        let (start, length) = (byte(location.span().byte_offset()), byte(location.span().byte_len()));
        Self { line: location.line(), column: location.column(), bytes: start..start + length }
    }
}

impl Node {
    /// A map in block style is nowhere but where its first key is.
    fn new(span: Span, content: Content) -> Self {
        let first = match &content {
            Content::Map(entries) => entries.first().map(|(key, _)| &key.span),
            Content::Scalar(_) | Content::List(_) => None,
        };
        let first = first.filter(|first| first.bytes.start == span.bytes.start);
        Self { span: first.cloned().unwrap_or(span), content }
    }

    /// Its span.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Its value.
    pub fn value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => items.iter().map(Self::value).collect(),
            Content::Map(entries) => {
                Value::Object(entries.iter().map(|(key, node)| (key.name.clone(), node.value())).collect())
            }
        }
    }

    /// The items of a list.
    pub fn items(&self) -> Option<&[Self]> {
        match &self.content {
            Content::List(items) => Some(items),
            Content::Scalar(_) | Content::Map(_) => None,
        }
    }

    /// Follows a path as far as it leads.
    pub fn follow(&self, path: &FieldPath) -> Found<'_> {
        let mut found = Found { node: self, key: None, complete: true };
        for name in path.names() {
            let Some((key, node)) = found.node.step(&name) else {
                return Found { complete: false, ..found };
            };
            found = Found { node, key, complete: true };
        }
        found
    }

    fn step(&self, name: &str) -> Option<(Option<&Span>, &Self)> {
        match &self.content {
            Content::Scalar(_) => None,
            Content::List(items) => Some((None, items.get(name.parse::<usize>().ok()?)?)),
            Content::Map(entries) => {
                let (key, node) = entries.iter().find(|(key, _)| key.name == name)?;
                Some((Some(&key.span), node))
            }
        }
    }
}

impl<'n> Found<'n> {
    /// The node at the end of the path, if it exists.
    pub fn node(&self) -> Option<&'n Node> {
        self.complete.then_some(self.node)
    }

    /// The span to show: the value if it fits on one line, otherwise its key. A missing field belongs below the key of
    /// its parent.
    pub fn span(&self) -> &'n Span {
        let node = self.node;
        let is_written = matches!(node.content, Content::Scalar(_)) && !node.span.bytes.is_empty();
        if self.complete && is_written { &node.span } else { self.name() }
    }

    /// The span to show if the name is wrong.
    pub fn name(&self) -> &'n Span {
        self.key.unwrap_or(&self.node.span)
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, defined, .. } = Spanned::deserialize(deserializer)?;
        Ok(Self::new(defined.into(), value))
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value: name, defined, .. } = Spanned::deserialize(deserializer)?;
        Ok(Self { name, span: defined.into() })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has as well")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Content::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Content::Map(entries))
    }
}

#[cfg(test)]
mod tests;
