//! JSON that is parsed once, and then read as often, and as far, as it takes.
//!
//! simd-json splits the text into tokens with SIMD instructions. Each value is a run of tokens, so that skipping a
//! value costs nothing. The library's own reader reads a whole text, to any depth; the reader of this module reads any
//! value in it and bounds the depth.

use std::slice::Iter;

use serde::de::value::Error;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::Value;
use simd_json::Tape;
pub(crate) use simd_json::{Node as Token, StaticNode as Scalar};

/// Maximum nesting depth. Reading recurses once per level, so the depth bounds the use of the stack.
const MAX_DEPTH: u8 = 128;

/// A text, taken apart.
#[derive(Debug)]
pub struct Parsed<'a>(Tape<'a>);

impl<'a> Parsed<'a> {
    /// Tokenizes a text. Escapes are resolved in place.
    ///
    /// # Errors
    /// Fails if the text is not JSON, or if it contains a number or character that cannot be represented.
    pub fn parse(text: &'a mut [u8]) -> Result<Self, simd_json::Error> {
        simd_json::to_tape(text).map(Self)
    }

    /// The value that the text is.
    pub fn json(&self) -> Json<'_> {
        Json(&self.0.0)
    }
}

/// A value within a text that was taken apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Json<'a>(&'a [Token<'a>]);

impl<'a> Json<'a> {
    /// Nothing, where something has to be.
    pub const NULL: Json<'static> = Json(&[Token::Static(Scalar::Null)]);

    /// True for null.
    pub fn is_null(self) -> bool {
        self == Self::NULL
    }

    /// True for a map.
    pub fn is_map(self) -> bool {
        matches!(self.0, [Token::Object { .. }, ..])
    }

    /// The value, where this is a text.
    pub fn text(self) -> Option<&'a str> {
        match *self.0 {
            [Token::String(text)] => Some(text),
            _ => None,
        }
    }

    /// The flag, where this is one.
    pub fn flag(self) -> Option<bool> {
        match *self.0 {
            [Token::Static(Scalar::Bool(flag))] => Some(flag),
            _ => None,
        }
    }

    /// The value at a path of fields.
    pub fn at(self, path: &[&str]) -> Option<Self> {
        path.iter().try_fold(self, |json, name| json.field(name))
    }

    /// A field, where this is a map that has it: the last one, as with other readers, where it has several.
    pub fn field(self, name: &str) -> Option<Self> {
        let [Token::Object { len, .. }, rest @ ..] = self.0 else { return None };
        let (mut rest, mut found) = (rest, None);
        for _ in 0..*len {
            let (key, after) = rest.split_first()?;
            let (value, after) = after.split_at_checked(size(after)?)?;
            if matches!(key, Token::String(key) if *key == name) {
                found = Some(Self(value));
            }
            rest = after;
        }
        found
    }

    /// Deserializes the value into a type.
    ///
    /// # Errors
    /// Fails if the value does not fit the type.
    pub fn read<T: Deserialize<'a>>(self) -> Result<T, Error> {
        T::deserialize(&mut self.reader())
    }

    /// The value as a tree.
    ///
    /// # Errors
    /// Fails if nested too deep.
    pub fn value(self) -> Result<Value, Error> {
        self.read()
    }

    /// Reads value by value.
    pub fn reader(self) -> Reader<'a> {
        Reader { tokens: self.0.iter(), depth: MAX_DEPTH }
    }

    /// The tokens of this value: a list or map first, then its contents.
    pub(crate) fn tokens(self) -> Iter<'a, Token<'a>> {
        self.0.iter()
    }
}

/// Lends a value to `read`, as if it had been received as text.
pub fn of<R>(value: &Value, read: impl FnOnce(Json<'_>) -> R) -> R {
    let mut text = value.to_string().into_bytes();
    // What a `Value` can hold can be represented.
    let parsed = Parsed::parse(&mut text);
    read(parsed.as_ref().map_or(Json::NULL, Parsed::json))
}

/// Number of tokens of the first value.
pub(crate) fn size(tokens: &[Token<'_>]) -> Option<usize> {
    match tokens.first()? {
        Token::Array { count, .. } | Token::Object { count, .. } => Some(count + 1),
        Token::String(_) | Token::Static(_) => Some(1),
    }
}

/// The tokens that are still to be read.
#[derive(Debug)]
pub struct Reader<'a> {
    tokens: Iter<'a, Token<'a>>,
    depth: u8,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<&'a Token<'a>, Error> {
        self.tokens.next().ok_or_else(|| Error::custom("unexpected end"))
    }

    fn skip(&mut self) -> Result<(), Error> {
        let end = size(self.tokens.as_slice()).and_then(|size| self.tokens.nth(size - 1));
        end.map(|_| ()).ok_or_else(|| Error::custom("unexpected end"))
    }

    /// Reads the contents of a list or map, one level deeper.
    fn within<T>(
        &mut self,
        left: usize,
        read: impl FnOnce(Within<'_, 'a>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let depth = self.depth;
        self.depth = depth.checked_sub(1).ok_or_else(|| Error::custom("nested too deep"))?;
        let value = read(Within { reader: self, left })?;
        self.depth = depth;
        Ok(value)
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match *self.next()? {
            Token::String(text) => visitor.visit_borrowed_str(text),
            Token::Array { len, .. } => self.within(len, |list| visitor.visit_seq(list)),
            Token::Object { len, .. } => self.within(len, |map| visitor.visit_map(map)),
            Token::Static(Scalar::Null) => visitor.visit_unit(),
            Token::Static(Scalar::Bool(flag)) => visitor.visit_bool(flag),
            Token::Static(Scalar::I64(number)) => visitor.visit_i64(number),
            Token::Static(Scalar::U64(number)) => visitor.visit_u64(number),
            Token::Static(Scalar::F64(number)) => visitor.visit_f64(number),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if let Some(Token::Static(Scalar::Null)) = self.tokens.as_slice().first() {
            self.next()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    /// All enums of Kubernetes are texts.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(<&str>::deserialize(self)?.into_deserializer())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.skip()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map struct identifier
    }
}

/// The rest of a list or map.
struct Within<'r, 'a> {
    reader: &'r mut Reader<'a>,
    left: usize,
}

impl<'de> Within<'_, 'de> {
    fn next<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

impl<'de> SeqAccess<'de> for Within<'_, 'de> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        self.next(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for Within<'_, 'de> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        self.next(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(&mut *self.reader)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;
    use serde_json::json;

    use super::*;
    use crate::testing::parsed;

    fn any_value() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e15_f64..1e15).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 64, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_is_what_was_written(value in any_value()) {
            prop_assert_eq!(of(&value, |json| json.value().unwrap()), value);
        }

        #[test]
        fn a_field_is_found_among_others(value in any_value(), other in any_value()) {
            let map = json!({"a": other, "b": value, "c": other});
            of(&map, |json| {
                assert_eq!(json.field("b").unwrap().value().unwrap(), value);
                assert!(json.field("d").is_none());
                let within = json.field("a").unwrap().field("b").map(|json| json.value().unwrap());
                assert_eq!(within.as_ref(), other.get("b"));
            });
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,64}") {
            if let Ok(parsed) = Parsed::parse(&mut text.into_bytes()) {
                let _ = parsed.json().value();
            }
        }
    }

    #[test]
    fn of_several_fields_the_last_counts() {
        assert_eq!(parsed(r#"{"a":1,"a":[2]}"#).field("a").unwrap().value().unwrap(), json!([2]));
    }

    /// To read costs stack for each level, to leave out does not.
    #[test]
    fn what_is_nested_too_deep_is_not_read() {
        for (depth, is_read) in [(100, true), (100_000, false)] {
            for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
                let json = parsed([&open.repeat(depth), "1", &close.repeat(depth)].concat());
                assert_eq!(json.value().is_ok(), is_read, "{depth}");
                assert!(json.read::<IgnoredAny>().is_ok());
            }
        }
    }
}
