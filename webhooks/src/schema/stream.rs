//! Checking a text against a schema while it goes by.
//!
//! Nothing is built and nothing is said: the first violation ends it, and whoever wants to know more reads the whole
//! object again.

use std::borrow::Cow;
use std::fmt;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{Strictness, is_date_time, items, list_key, normalise, nullable, property};

/// Whether the text is what the schema describes.
pub(super) fn accepts(schema: &JSONSchemaProps, json: &str, strictness: Strictness) -> bool {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let seen = Check { schema, strictness, key: None }.deserialize(&mut deserializer);
    seen.is_ok_and(|seen| !matches!(seen, Seen::Null)) && deserializer.end().is_ok()
}

/// Checks one value.
#[derive(Clone, Copy)]
struct Check<'s> {
    schema: &'s JSONSchemaProps,
    strictness: Strictness,
    /// The field that identifies the value among its neighbours in a list.
    key: Option<&'s str>,
}

/// What a sound value was.
enum Seen<'de> {
    Null,
    Text(Cow<'de, str>),
    Item(Option<Cow<'de, str>>),
    Other,
}

impl<'s> Check<'s> {
    fn required(&self) -> &'s [String] {
        self.schema.required.as_deref().unwrap_or_default()
    }

    fn has_type(&self, type_: &str) -> bool {
        match self.schema.type_.as_deref() {
            Some(expected) => expected == type_,
            None if self.schema.x_kubernetes_int_or_string == Some(true) => {
                matches!(type_, "integer" | "string")
            }
            None => true,
        }
    }

    fn is_option(&self, is: impl Fn(&Value) -> bool) -> bool {
        self.schema.enum_.as_ref().is_none_or(|options| options.iter().any(|option| is(&option.0)))
    }

    fn is_text(&self, text: &str) -> bool {
        let length = || i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        self.has_type("string")
            && self.schema.max_length.is_none_or(|max| length() <= max)
            && self.schema.min_length.is_none_or(|min| length() >= min)
            && self.schema.format.as_deref().is_none_or(|format| format != "date-time" || is_date_time(text))
            && self.is_option(|option| option.as_str() == Some(text))
    }

    #[expect(clippy::cast_precision_loss, reason = "bounds are small")]
    fn is_integer(&self, number: i64) -> bool {
        let is_int32 = self.schema.format.as_deref() == Some("int32");
        self.has_type("integer")
            && (!is_int32 || i32::try_from(number).is_ok())
            && self.schema.minimum.is_none_or(|min| number as f64 >= min)
            && self.schema.maximum.is_none_or(|max| number as f64 <= max)
            && self.is_option(|option| option.as_i64() == Some(number))
    }
}

fn when<'de, E: Error>(sound: bool, seen: impl FnOnce() -> Seen<'de>) -> Result<Seen<'de>, E> {
    if sound { Ok(seen()) } else { Err(E::custom("not as the schema says")) }
}

impl<'de> DeserializeSeed<'de> for Check<'_> {
    type Value = Seen<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Seen<'de>, D::Error> {
        if self.schema.type_.is_none() && self.schema.x_kubernetes_int_or_string != Some(true) {
            return deserializer.deserialize_ignored_any(IgnoredAny).map(|_| Seen::Other);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check<'_> {
    type Value = Seen<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what the schema describes")
    }

    /// Null in a field that cannot be null is as if the field were absent; only the map can tell.
    fn visit_unit<E: Error>(self) -> Result<Seen<'de>, E> {
        Ok(Seen::Null)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Seen<'de>, E> {
        when(self.has_type("boolean"), || Seen::Other)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Seen<'de>, E> {
        when(self.is_integer(number), || Seen::Other)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Seen<'de>, E> {
        let sound = match i64::try_from(number) {
            Ok(number) => self.is_integer(number),
            Err(_) => self.schema.type_.is_none(),
        };
        when(sound, || Seen::Other)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Seen<'de>, E> {
        when(normalise::integer(number).is_some_and(|number| self.is_integer(number)), || Seen::Other)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Seen<'de>, E> {
        when(self.is_text(text), || Seen::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Seen<'de>, E> {
        when(self.is_text(text), || Seen::Text(Cow::Borrowed(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Seen<'de>, A::Error> {
        let Some(schema) = items(self.schema).filter(|_| self.has_type("array")) else {
            return when(false, || Seen::Other);
        };
        let check = Check { schema, strictness: self.strictness, key: list_key(self.schema) };
        let mut length = 0;
        let mut keys = Vec::new();
        while let Some(seen) = list.next_element_seed(check)? {
            length += 1;
            let sound = match seen {
                Seen::Null => nullable(schema) && schema.enum_.is_none(),
                Seen::Item(Some(key)) if keys.contains(&key) => false,
                Seen::Item(Some(key)) => {
                    keys.push(key);
                    true
                }
                _ => true,
            };
            // Within the loop, so that a list of any length costs no more than the longest that is sound.
            when(sound && self.schema.max_items.is_none_or(|max| length <= max), || Seen::Other)?;
        }
        Ok(Seen::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Seen<'de>, A::Error> {
        when(self.has_type("object"), || Seen::Other)?;
        let mut missing = (1_u64 << self.required().len()) - 1;
        let mut length = 0;
        let mut identity = None;
        while let Some(name) = map.next_key_seed(Name(self))? {
            let Some(schema) = name.schema else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let seen = map.next_value_seed(Check { schema, strictness: self.strictness, key: None })?;
            if matches!(seen, Seen::Null) {
                if !nullable(schema) {
                    continue;
                }
                when(schema.enum_.is_none(), || Seen::Other)?;
            }
            length += 1;
            missing &= !name.required.map_or(0, |position| 1 << position);
            if let (true, Seen::Text(text)) = (name.key, seen) {
                identity = Some(text);
            }
        }
        let sound = missing == 0 && self.schema.max_properties.is_none_or(|max| length <= max);
        when(sound, || Seen::Item(identity))
    }
}

/// Reads the name of a field.
struct Name<'s>(Check<'s>);

/// What the schema says of a field of that name.
struct Named<'s> {
    schema: Option<&'s JSONSchemaProps>,
    /// Its position among the required fields.
    required: Option<usize>,
    key: bool,
}

impl<'de, 's> DeserializeSeed<'de> for Name<'s> {
    type Value = Named<'s>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Named<'s>, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl<'s> Visitor<'_> for Name<'s> {
    type Value = Named<'s>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Named<'s>, E> {
        let Check { schema: parent, strictness, key } = self.0;
        let schema = property(parent, name);
        let open = parent.x_kubernetes_preserve_unknown_fields == Some(true);
        if schema.is_none() && strictness == Strictness::Offline && !open {
            return Err(E::custom("an unknown field"));
        }
        let required = self.0.required().iter().position(|required| required == name);
        Ok(Named { schema, required, key: key == Some(name) })
    }
}
