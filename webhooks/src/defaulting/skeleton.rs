//! The maps of a document that are outside any list.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A document without its lists, where most of it is: cheap to read, and all that defaulting looks at.
#[derive(Debug, Default, PartialEq)]
pub enum Skeleton {
    /// A map.
    Map(HashMap<String, Skeleton>),
    /// A string.
    Text(String),
    /// True or false.
    Flag(bool),
    /// A null.
    Null,
    /// A number or a list.
    #[default]
    Other,
}

impl Skeleton {
    /// The skeleton of JSON text.
    pub fn read(json: Option<&RawValue>) -> Self {
        json.and_then(|json| serde_json::from_str(json.get()).ok()).unwrap_or_default()
    }

    /// What is at a path.
    pub fn get(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| match node {
            Self::Map(fields) => fields.get(*key),
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
            Self::Text(text) => Some(text).filter(|text| !text.is_empty()).map(String::as_str),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Skeleton {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SkeletonVisitor)
    }
}

struct SkeletonVisitor;

impl<'de> Visitor<'de> for SkeletonVisitor {
    type Value = Skeleton;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Skeleton, A::Error> {
        let mut fields = HashMap::new();
        while let Some((key, value)) = map.next_entry()? {
            fields.insert(key, value);
        }
        Ok(Skeleton::Map(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Skeleton, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Skeleton::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Skeleton, E> {
        Ok(Skeleton::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Skeleton, E> {
        Ok(Skeleton::Flag(flag))
    }

    fn visit_unit<E>(self) -> Result<Skeleton, E> {
        Ok(Skeleton::Null)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Skeleton, E> {
        Ok(Skeleton::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Skeleton, E> {
        Ok(Skeleton::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Skeleton, E> {
        Ok(Skeleton::Other)
    }
}
