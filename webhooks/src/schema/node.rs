//! A schema made ready to be held against a text that goes by: no maps to search, nothing that is not checked.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use serde_json::Value;

use super::{is_date_time, items, list_key, normalise, nullable, values};

/// The schema of one value.
#[derive(Debug)]
pub(super) struct Node {
    type_: Type,
    /// True if null is a value of its own. Otherwise null counts as absent.
    pub nullable: bool,
    /// True if fields that are not listed are allowed.
    pub open: bool,
    /// The fields, by name.
    properties: Box<[Property]>,
    /// The fields that have to be there, a bit for each.
    pub required: u64,
    /// Schema of a map's values, under any key.
    values: Option<Box<Node>>,
    /// Schema of a list's items.
    pub items: Option<Box<Node>>,
    /// The field by which the items of a list are told apart.
    pub key: Option<Box<str>>,
    /// Most items of a list, or fields of a map.
    most: usize,
    lengths: (usize, usize),
    /// True if a text is bounded by nothing but its length.
    takes_any_text: bool,
    bounds: (f64, f64),
    format: Option<Format>,
    options: Option<Box<[Value]>>,
}

/// A field.
#[derive(Debug)]
pub(super) struct Property {
    name: Box<str>,
    /// Its bit among the fields that have to be there.
    pub required: u64,
    pub node: Node,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Any,
    Object,
    List,
    Text,
    Integer,
    Boolean,
    IntegerOrText,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    DateTime,
    Int32,
}

impl Node {
    pub fn of(schema: &JSONSchemaProps) -> Self {
        let required = schema.required.as_deref().unwrap_or_default();
        let length =
            |bound: Option<i64>, none| bound.map_or(none, |bound| usize::try_from(bound).unwrap_or(none));
        let bit = |name: &String| {
            required.iter().position(|required| required == name).map_or(0, |index| 1 << index)
        };
        let property = |(name, schema): (&String, &JSONSchemaProps)| Property {
            name: name.as_str().into(),
            required: bit(name),
            node: Self::of(schema),
        };
        let properties: Box<[_]> = schema.properties.iter().flatten().map(property).collect();
        let type_ = Type::of(schema);
        let is_free = schema.enum_.is_none() && schema.format.is_none();
        let takes_text = matches!(type_, Type::Text | Type::IntegerOrText);
        Self {
            type_,
            nullable: nullable(schema),
            open: schema.x_kubernetes_preserve_unknown_fields == Some(true),
            required: properties.iter().fold(0, |all, property| all | property.required),
            properties,
            values: values(schema).map(|values| Box::new(Self::of(values))),
            items: items(schema).map(|items| Box::new(Self::of(items))),
            key: list_key(schema).map(Into::into),
            most: length(schema.max_items.or(schema.max_properties), usize::MAX),
            lengths: (length(schema.min_length, 0), length(schema.max_length, usize::MAX)),
            takes_any_text: takes_text && is_free && schema.min_length.is_none_or(|least| least <= 1),
            bounds: (schema.minimum.unwrap_or(f64::MIN), schema.maximum.unwrap_or(f64::MAX)),
            format: match schema.format.as_deref() {
                Some("date-time") => Some(Format::DateTime),
                Some("int32") => Some(Format::Int32),
                _ => None,
            },
            options: schema
                .enum_
                .as_ref()
                .map(|options| options.iter().map(|option| option.0.clone()).collect()),
        }
    }

    /// True if every value is valid.
    pub fn takes_anything(&self) -> bool {
        self.type_ == Type::Any
    }

    pub fn is(&self, type_: Type) -> bool {
        match self.type_ {
            Type::Any => true,
            Type::IntegerOrText => matches!(type_, Type::Integer | Type::Text),
            expected => expected == type_,
        }
    }

    /// A field by name. API servers write fields in the schema's order, so that it is likely to be at `next`, or soon
    /// after it.
    pub fn property(&self, name: &str, next: &mut usize) -> Option<&Property> {
        let is_named = |property: &Property| *property.name == *name;
        let (before, after) = self.properties.split_at_checked(*next)?;
        let index = after.iter().position(is_named).map(|position| *next + position);
        let index = index.or_else(|| before.iter().position(is_named))?;
        *next = index + 1;
        self.properties.get(index)
    }

    /// Schema of values under any other key.
    pub fn values(&self) -> Option<&Self> {
        self.values.as_deref()
    }

    pub fn has_options(&self) -> bool {
        self.options.is_some()
    }

    /// True if a list or map may have that length.
    pub fn has_room_for(&self, length: usize) -> bool {
        length <= self.most
    }

    fn is_option(&self, is: impl Fn(&Value) -> bool) -> bool {
        self.options.as_ref().is_none_or(|options| options.iter().any(is))
    }

    #[inline]
    pub fn is_text(&self, text: &str) -> bool {
        let (least, most) = self.lengths;
        // No text has more characters than bytes; most are short enough not to be counted.
        self.takes_any_text && (least..=most).contains(&text.len()) || self.is_text_of_its_kind(text)
    }

    #[inline(never)]
    fn is_text_of_its_kind(&self, text: &str) -> bool {
        let (least, most) = self.lengths;
        self.is(Type::Text)
            && (least..=most).contains(&text.chars().count())
            && (self.format != Some(Format::DateTime) || is_date_time(text))
            && self.is_option(|option| option.as_str() == Some(text))
    }

    #[expect(clippy::cast_precision_loss, reason = "bounds are small")]
    pub fn is_integer(&self, number: i64) -> bool {
        let (least, most) = self.bounds;
        self.is(Type::Integer)
            && (self.format != Some(Format::Int32) || i32::try_from(number).is_ok())
            && (least..=most).contains(&(number as f64))
            && self.is_option(|option| option.as_i64() == Some(number))
    }

    pub fn is_number(&self, number: f64) -> bool {
        normalise::integer(number).is_some_and(|number| self.is_integer(number))
    }
}

impl Type {
    /// Types that the schemas do not have are taken for none; a test says that there are no such.
    fn of(schema: &JSONSchemaProps) -> Self {
        match schema.type_.as_deref() {
            Some("object") => Self::Object,
            Some("array") => Self::List,
            Some("string") => Self::Text,
            Some("integer") => Self::Integer,
            Some("boolean") => Self::Boolean,
            _ if schema.x_kubernetes_int_or_string == Some(true) => Self::IntegerOrText,
            _ => Self::Any,
        }
    }
}
