//! Validates a value against a schema.
//!
//! One pass that answers only valid or invalid; use `violations` for the reasons.

use std::slice::Iter;

use super::Strictness;
use super::node::{Node, Type};
use crate::json::{Json, Scalar, Token, size};

/// True if a value is valid under the schema.
pub(super) fn is_sound(node: &Node, json: Json<'_>, strictness: Strictness) -> bool {
    Check { tokens: json.tokens(), strictness }.value(node).is_some()
}

/// The tokens that are still to be checked. Each function takes one value, and returns `None` if it is invalid.
#[derive(Clone)]
struct Check<'a> {
    tokens: Iter<'a, Token<'a>>,
    strictness: Strictness,
}

/// True if a value is present. A null that is not allowed counts as absent.
type IsThere = bool;

impl<'a> Check<'a> {
    /// A value that has to be there.
    fn value(&mut self, node: &Node) -> Option<()> {
        self.field(node)?.then_some(())
    }

    #[expect(clippy::inline_always, reason = "most values are neither lists nor maps, and not worth a call")]
    #[inline(always)]
    fn field(&mut self, node: &Node) -> Option<IsThere> {
        if node.takes_anything() {
            return self.unseen().map(|()| true);
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

    #[inline(never)]
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

    #[inline(never)]
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
                None if node.open || self.strictness == Strictness::Server => self.unseen()?,
                None => return None,
            }
        }
        (node.is(Type::Object) && missing == 0 && node.has_room_for(there)).then_some(())
    }

    /// The name of a field.
    fn name(&mut self) -> Option<&'a str> {
        match self.tokens.next()? {
            Token::String(name) => Some(name),
            _ => None,
        }
    }

    /// Skips a value.
    fn unseen(&mut self) -> Option<()> {
        let size = size(self.tokens.as_slice())?;
        self.tokens.nth(size - 1).map(|_| ())
    }

    /// The text in a field of the map that comes next.
    fn text_at(mut self, field: &str) -> Option<&'a str> {
        let Token::Object { len, .. } = *self.tokens.next()? else { return None };
        for _ in 0..len {
            if self.name()? == field {
                return self.name();
            }
            self.unseen()?;
        }
        None
    }
}
