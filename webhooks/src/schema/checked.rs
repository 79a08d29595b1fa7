//! Reading a text that is held against a schema while it goes by.
//!
//! A sound object costs one pass, whatever is read of it. Nothing is said: the first violation ends the reading, and
//! whoever wants to know more reads the whole object again.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::{BorrowedStrDeserializer, StrDeserializer};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::Strictness;
use super::node::{Node, Property, Type};

/// What the text says, where it is what the schema describes.
pub(super) fn read<'de, T: Deserialize<'de>>(
    node: &Node,
    json: &'de str,
    strictness: Strictness,
) -> Option<T> {
    let mut text = serde_json::Deserializer::from_str(json);
    let mut seen = Seen::Other;
    let check = Check { node, strictness, key: None, seen: &mut seen };
    let value = T::deserialize(Checked { check, inner: &mut text }).ok()?;
    text.end().ok()?;
    (!matches!(seen, Seen::Null)).then_some(value)
}

/// What a value was, for the list or map that it is in.
#[derive(Debug)]
enum Seen<'de> {
    Null,
    Text(Cow<'de, str>),
    /// A map, and what is in the field that tells it from others.
    Map(Option<Cow<'de, str>>),
    Other,
}

/// What is to be checked of one value.
struct Check<'s, 'de> {
    node: &'s Node,
    strictness: Strictness,
    /// The field that identifies the value among its neighbours in a list.
    key: Option<&'s str>,
    seen: &'s mut Seen<'de>,
}

impl<'de> Check<'_, 'de> {
    fn when<E: Error>(&mut self, sound: bool, seen: Seen<'de>) -> Result<(), E> {
        *self.seen = seen;
        sound_or(sound)
    }
}

fn sound_or<E: Error>(sound: bool) -> Result<(), E> {
    if sound { Ok(()) } else { Err(E::custom("not as the schema says")) }
}

/// A deserializer, a visitor, a seed or the like, and the check of what passes through it.
struct Checked<'s, 'de, T> {
    check: Check<'s, 'de>,
    inner: T,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Checked<'_, 'de, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let Self { check, inner } = self;
        inner.deserialize_any(Checked { check, inner: visitor })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let Self { check, inner } = self;
        inner.deserialize_option(Checked { check, inner: visitor })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        visitor.visit_newtype_struct(self)
    }

    /// All enums of Kubernetes are texts.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        visitor.visit_enum(<&str>::deserialize(self)?.into_deserializer())
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Checked<'_, 'de, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        let Self { check, inner } = self;
        if check.node.takes_anything() {
            return inner.deserialize(deserializer);
        }
        inner.deserialize(Checked { check, inner: deserializer })
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Checked<'_, 'de, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    /// Null in a field that cannot be null is as if the field were absent; only the map can tell.
    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        *self.check.seen = Seen::Null;
        self.inner.visit_unit()
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        *self.check.seen = Seen::Null;
        self.inner.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let Self { check, inner } = self;
        inner.visit_some(Checked { check, inner: deserializer })
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<V::Value, E> {
        self.check.when(self.check.node.is(Type::Boolean), Seen::Other)?;
        self.inner.visit_bool(value)
    }

    fn visit_i64<E: Error>(mut self, number: i64) -> Result<V::Value, E> {
        self.check.when(self.check.node.is_integer(number), Seen::Other)?;
        self.inner.visit_i64(number)
    }

    fn visit_u64<E: Error>(mut self, number: u64) -> Result<V::Value, E> {
        let sound = match i64::try_from(number) {
            Ok(number) => self.check.node.is_integer(number),
            Err(_) => self.check.node.takes_anything(),
        };
        self.check.when(sound, Seen::Other)?;
        self.inner.visit_u64(number)
    }

    fn visit_f64<E: Error>(mut self, number: f64) -> Result<V::Value, E> {
        self.check.when(self.check.node.is_number(number), Seen::Other)?;
        self.inner.visit_f64(number)
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<V::Value, E> {
        self.check.when(self.check.node.is_text(text), Seen::Text(Cow::Owned(text.to_owned())))?;
        self.inner.visit_str(text)
    }

    fn visit_borrowed_str<E: Error>(mut self, text: &'de str) -> Result<V::Value, E> {
        self.check.when(self.check.node.is_text(text), Seen::Text(Cow::Borrowed(text)))?;
        self.inner.visit_borrowed_str(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        let items = self.check.node.items.as_deref().filter(|_| self.check.node.is(Type::List));
        let Some(items) = items else { return Err(A::Error::custom("no list")) };
        *self.check.seen = Seen::Other;
        self.inner.visit_seq(List { check: self.check, access: list, items, length: 0, keys: Vec::new() })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        sound_or(self.check.node.is(Type::Object))?;
        let missing = self.check.node.required;
        *self.check.seen = Seen::Map(None);
        self.inner.visit_map(Map { check: self.check, access: map, field: None, next: 0, length: 0, missing })
    }
}

struct List<'s, 'de, A> {
    check: Check<'s, 'de>,
    access: A,
    items: &'s Node,
    length: i64,
    /// What identifies the items so far.
    keys: Vec<Cow<'de, str>>,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for List<'_, 'de, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let mut was = Seen::Other;
        let Check { node, strictness, .. } = self.check;
        let check = Check { node: self.items, strictness, key: node.key.as_deref(), seen: &mut was };
        let Some(item) = self.access.next_element_seed(Checked { check, inner: seed })? else {
            return Ok(None);
        };
        self.length += 1;
        let sound = match was {
            Seen::Null => self.items.nullable && !self.items.has_options(),
            Seen::Map(Some(key)) if self.keys.contains(&key) => false,
            Seen::Map(Some(key)) => {
                self.keys.push(key);
                true
            }
            _ => true,
        };
        // With each item, so that a list of any length costs no more than the longest that is sound.
        sound_or(sound && self.length <= node.most)?;
        Ok(Some(item))
    }

    fn size_hint(&self) -> Option<usize> {
        self.access.size_hint()
    }
}

struct Map<'s, 'de, A> {
    check: Check<'s, 'de>,
    access: A,
    /// What the schema says of the field whose name was read last.
    field: Option<Field<'s>>,
    /// Where the field is that is likely to be next.
    next: usize,
    length: i64,
    /// The required fields that are still to come, a bit for each.
    missing: u64,
}

/// What the schema says of a field.
#[derive(Clone, Copy)]
struct Field<'s> {
    node: &'s Node,
    required: u64,
    /// Whether it identifies the map among its neighbours in a list.
    key: bool,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Map<'_, 'de, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let Check { node, strictness, key, .. } = self.check;
        let look_up = |name: &str| {
            let key = key == Some(name);
            self.field = match node.property(name, &mut self.next) {
                Some(Property { required, node, .. }) => Some(Field { node, required: *required, key }),
                None => node.values().map(|node| Field { node, required: 0, key }),
            };
            self.field.is_some() || node.open || strictness == Strictness::Server
        };
        let name = self.access.next_key_seed(Name { look_up, seed })?;
        if name.is_none() {
            sound_or(self.missing == 0 && self.length <= node.most)?;
        }
        Ok(name)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let Some(Field { node, required, key }) = self.field else {
            return self.access.next_value_seed(seed);
        };
        let mut was = Seen::Other;
        let check = Check { node, strictness: self.check.strictness, key: None, seen: &mut was };
        let value = self.access.next_value_seed(Checked { check, inner: seed })?;
        if matches!(was, Seen::Null) {
            if !node.nullable {
                return Ok(value);
            }
            sound_or(!node.has_options())?;
        }
        self.length += 1;
        self.missing &= !required;
        if let (true, Seen::Text(text)) = (key, was) {
            *self.check.seen = Seen::Map(Some(text));
        }
        Ok(value)
    }

    fn size_hint(&self) -> Option<usize> {
        self.access.size_hint()
    }
}

/// Looks up the name of a field on its way to a seed. A name that must not be there ends the reading.
struct Name<F, S> {
    look_up: F,
    seed: S,
}

impl<'de, F: FnOnce(&str) -> bool, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Name<F, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, F: FnOnce(&str) -> bool, S: DeserializeSeed<'de>> Visitor<'de> for Name<F, S> {
    type Value = S::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<S::Value, E> {
        sound_or((self.look_up)(name))?;
        self.seed.deserialize(StrDeserializer::new(name))
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<S::Value, E> {
        sound_or((self.look_up)(name))?;
        self.seed.deserialize(BorrowedStrDeserializer::new(name))
    }
}
