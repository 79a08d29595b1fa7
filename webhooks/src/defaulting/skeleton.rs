//! The maps of a document that are outside any list.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::json::Json;

/// A document without its lists, where most of it is: cheap to read, and all that defaulting looks at.
#[derive(Debug, Default, PartialEq)]
pub enum Skeleton<'a> {
    /// A map.
    Map(Vec<(Cow<'a, str>, Skeleton<'a>)>),
    /// A string.
    Text(Cow<'a, str>),
    /// True or false.
    Flag(bool),
    /// A null.
    Null,
    /// A number or a list.
    #[default]
    Other,
}

impl<'a> Skeleton<'a> {
    /// The skeleton of a value.
    pub fn read(json: Option<Json<'a>>) -> Self {
        json.and_then(|json| json.read().ok()).unwrap_or_default()
    }

    /// What is at a path.
    pub fn get(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| match node {
            // Of several, the last one counts.
            Self::Map(fields) => fields.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        })
    }

    /// Whether there is anything at a path, be it null.
    pub fn has(&self, path: &[&str]) -> bool {
        self.get(path).is_some()
    }

    /// Whether nothing, or null, is at a path.
    pub fn is_unset(&self, path: &[&str]) -> bool {
        matches!(self.get(path), None | Some(Self::Null))
    }

    /// Whether a map is at a path.
    pub fn is_map(&self, path: &[&str]) -> bool {
        matches!(self.get(path), Some(Self::Map(_)))
    }

    /// The flag at a path.
    pub fn flag(&self, path: &[&str]) -> Option<bool> {
        match self.get(path)? {
            Self::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    /// The text at a path, unless it is empty.
    pub fn text(&self, path: &[&str]) -> Option<&str> {
        match self.get(path)? {
            Self::Text(text) => Some(&**text).filter(|text| !text.is_empty()),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Skeleton<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SkeletonVisitor)
    }
}

/// A key, borrowed where it can be.
#[derive(Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

struct SkeletonVisitor;

impl<'de> Visitor<'de> for SkeletonVisitor {
    type Value = Skeleton<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Skeleton<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some((Key(key), value)) = map.next_entry()? {
            fields.push((key, value));
        }
        Ok(Skeleton::Map(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Skeleton<'de>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Skeleton::Other)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Skeleton<'de>, E> {
        Ok(Skeleton::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Skeleton<'de>, E> {
        Ok(Skeleton::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Skeleton<'de>, E> {
        Ok(Skeleton::Flag(flag))
    }

    fn visit_unit<E>(self) -> Result<Skeleton<'de>, E> {
        Ok(Skeleton::Null)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Skeleton<'de>, E> {
        Ok(Skeleton::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Skeleton<'de>, E> {
        Ok(Skeleton::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Skeleton<'de>, E> {
        Ok(Skeleton::Other)
    }
}
