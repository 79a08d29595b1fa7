//! Reading a text that is held against a schema.
//!
//! A sound object costs one pass over its text and one over what was found there, whatever is then read of it. Nothing
//! is said of any other: whoever wants to know what is wrong reads the whole object again.

use std::slice::Iter;

use serde::Deserialize;
use simd_json::{Node as Token, StaticNode as Scalar};

use super::Strictness;
use super::node::{Node, Type};

/// How deep may be nested what the schema does not look into: to read it takes as much of the stack.
const MAX_DEPTH: usize = 100;

/// What the text says, where it is what the schema describes. Escapes are resolved in place.
pub(super) fn read<'de, T: Deserialize<'de>>(
    node: &Node,
    text: &'de mut [u8],
    strictness: Strictness,
) -> Option<T> {
    let tape = simd_json::to_tape(text).ok()?;
    Check { tokens: tape.0.iter(), strictness }.value(node)?;
    tape.deserialize().ok()
}

/// What is still to be checked. Each function takes one value, and returns nothing where it is unsound.
#[derive(Clone)]
struct Check<'t, 'de> {
    tokens: Iter<'t, Token<'de>>,
    strictness: Strictness,
}

/// Whether a value is there: null where there can be none is as if nothing were written.
type IsThere = bool;

impl<'de> Check<'_, 'de> {
    /// A value that has to be there.
    fn value(&mut self, node: &Node) -> Option<()> {
        self.field(node)?.then_some(())
    }

    fn field(&mut self, node: &Node) -> Option<IsThere> {
        if node.takes_anything() {
            return self.unseen(MAX_DEPTH).map(|()| true);
        }
        let is_sound = match *self.tokens.next()? {
            Token::String(text) => node.is_text(text),
            Token::Array { len, .. } => self.list(node, len).is_some(),
            Token::Object { len, .. } => self.map(node, len).is_some(),
            Token::Static(Scalar::Null) if !node.nullable => return Some(false),
            Token::Static(Scalar::Null) => !node.has_options(),
            Token::Static(Scalar::Bool(_)) => node.is(Type::Boolean),
            Token::Static(Scalar::I64(number)) => node.is_integer(number),
            Token::Static(Scalar::U64(number)) => i64::try_from(number).is_ok_and(|n| node.is_integer(n)),
            Token::Static(Scalar::F64(number)) => node.is_number(number),
        };
        is_sound.then_some(true)
    }

    fn list(&mut self, node: &Node, length: usize) -> Option<()> {
        let items = node.items.as_deref().filter(|_| node.is(Type::List) && node.has_room_for(length))?;
        let mut keys = Vec::new();
        for _ in 0..length {
            let item = self.clone();
            self.value(items)?;
            if let Some(key) = node.key.as_deref().and_then(|key| item.text_at(key)) {
                if keys.contains(&key) {
                    return None;
                }
                keys.push(key);
            }
        }
        Some(())
    }

    fn map(&mut self, node: &Node, length: usize) -> Option<()> {
        let (mut next, mut there, mut missing) = (0, 0, node.required);
        for _ in 0..length {
            let name = self.name()?;
            let (required, field) = match node.property(name, &mut next) {
                Some(property) => (property.required, Some(&property.node)),
                None => (0, node.values()),
            };
            match field {
                Some(field) if self.field(field)? => {
                    there += 1;
                    missing &= !required;
                }
                Some(_) => {}
                None if node.open || self.strictness == Strictness::Server => self.unseen(MAX_DEPTH)?,
                None => return None,
            }
        }
        (node.is(Type::Object) && missing == 0 && node.has_room_for(there)).then_some(())
    }

    /// The name of a field.
    fn name(&mut self) -> Option<&'de str> {
        match self.tokens.next()? {
            Token::String(name) => Some(name),
            _ => None,
        }
    }

    /// What is not looked into.
    fn unseen(&mut self, depth: usize) -> Option<()> {
        match *self.tokens.next()? {
            Token::Array { len, .. } => (0..len).try_for_each(|_| self.unseen(depth.checked_sub(1)?)),
            Token::Object { len, .. } => (0..len).try_for_each(|_| {
                self.name()?;
                self.unseen(depth.checked_sub(1)?)
            }),
            _ => Some(()),
        }
    }

    /// The text in a field of the map that comes next.
    fn text_at(mut self, field: &str) -> Option<&'de str> {
        let Token::Object { len, .. } = *self.tokens.next()? else { return None };
        for _ in 0..len {
            if self.name()? == field {
                return self.name();
            }
            self.unseen(MAX_DEPTH)?;
        }
        None
    }
}
