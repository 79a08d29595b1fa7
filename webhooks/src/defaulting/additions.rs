//! A JSON patch that only adds.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation};
use serde_json::{Map, Value};

use super::Defaults;
use crate::json::Json;

/// Fields to add to one part of an object.
pub struct Additions<'a> {
    root: &'a str,
    document: Json<'a>,
    /// Absent keys of maps that are there, in the order in which they were first needed.
    added: Vec<(Vec<String>, Value)>,
    fields: usize,
}

impl<'a> Additions<'a> {
    /// Additions below a field of the object, which holds `document`.
    pub fn new(root: &'a str, document: Json<'a>) -> Self {
        Self { root, document, added: Vec::new(), fields: 0 }
    }

    /// Sets a field unless it is there, together with the maps on its way that are not. What stands in the way and is
    /// no map, such as null, was written by someone and stays.
    pub fn set(&mut self, path: &[&str], value: Value) {
        let Some(depth) = self.absent_at(path) else { return };
        let (existing, below) = path.split_at(depth + 1);
        let at = self.added.iter().position(|(added, _)| added == existing).unwrap_or_else(|| {
            self.added.push((existing.iter().map(ToString::to_string).collect(), Value::Null));
            self.added.len() - 1
        });
        insert(&mut self.added[at].1, below, value);
        self.fields += 1;
    }

    /// The patch that adds it all.
    pub fn finish(self) -> Defaults {
        let add = |(path, value): (Vec<String>, Value)| {
            let tokens = std::iter::once(self.root).chain(path.iter().map(String::as_str));
            PatchOperation::Add(AddOperation { path: PointerBuf::from_tokens(tokens), value })
        };
        Defaults { patch: Patch(self.added.into_iter().map(add).collect()), fields: self.fields }
    }

    /// The first step of a path that is absent from a map.
    fn absent_at(&self, path: &[&str]) -> Option<usize> {
        let depth = (0..path.len()).find(|depth| self.document.at(&path[..=*depth]).is_none())?;
        self.document.at(&path[..depth]).is_some_and(Json::is_map).then_some(depth)
    }
}

fn insert(into: &mut Value, path: &[&str], value: Value) {
    let Some((key, below)) = path.split_first() else {
        *into = value;
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    if let Value::Object(fields) = into {
        insert(fields.entry((*key).to_owned()).or_insert(Value::Null), below, value);
    }
}
