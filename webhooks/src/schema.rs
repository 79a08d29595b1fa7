//! Checks objects against the CRDs' own schemas.
//!
//! One schema with two readers: [`checked`] answers only valid or invalid, which is all that a valid object costs;
//! [`violations`] explains in the API server's words what is wrong with an invalid one.

mod checked;
mod node;
mod normalise;
mod ratchet;
mod violations;

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

use jsonschema::Validator;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::json::Json;
use crate::path::FieldPath;
use node::Node;

pub(crate) use violations::step;
pub use violations::{Origin, UNKNOWN_FIELD, Violation};

/// Treatment of unknown fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// No: the API server has pruned them.
    Server,
    /// Yes: nobody else will tell, as with `kubectl --validate`.
    Offline,
}

/// The schema of one kind.
#[derive(Debug)]
pub struct Schema {
    root: JSONSchemaProps,
    node: Node,
    server: OnceLock<Option<Validator>>,
    offline: OnceLock<Option<Validator>>,
}

static SCHEMAS: LazyLock<HashMap<String, Schema>> = LazyLock::new(|| {
    let crds = multigres_crds::schema::crds().into_iter();
    crds.filter_map(|crd| {
        let version = crd.spec.versions.into_iter().next()?;
        Some((crd.spec.names.kind, Schema::new(version.schema?.open_api_v3_schema?)))
    })
    .collect()
});

impl Schema {
    /// The schema of a kind of this API.
    pub fn of(kind: &str) -> Option<&'static Self> {
        SCHEMAS.get(kind)
    }

    /// The part that users write: `status` is the operator's, and `metadata` is checked as every object's.
    fn new(mut root: JSONSchemaProps) -> Self {
        let properties = root.properties.get_or_insert_default();
        for (name, type_) in
            [("apiVersion", Some("string")), ("kind", Some("string")), ("metadata", None), ("status", None)]
        {
            let anything = JSONSchemaProps {
                type_: type_.map(str::to_owned),
                x_kubernetes_preserve_unknown_fields: Some(true),
                ..JSONSchemaProps::default()
            };
            properties.insert(name.to_owned(), anything);
        }
        Self { node: Node::of(&root), root, server: OnceLock::new(), offline: OnceLock::new() }
    }

    /// Deserializes the value, if the schema accepts it.
    pub fn read<'de, T: Deserialize<'de>>(&self, json: Json<'de>, strictness: Strictness) -> Option<T> {
        checked::is_sound(&self.node, json, strictness).then(|| json.read().ok())?
    }

    /// The violations of an object, which is first read as the API server reads it.
    pub fn violations(&self, object: &mut Value, strictness: Strictness) -> Vec<Violation> {
        normalise::normalise(&self.root, object);
        let mut violations = violations::of_lists(&self.root, object);
        if let Some(validator) = self.validator(strictness) {
            violations.extend(violations::of_values(validator, object));
        }
        violations
    }

    /// Splits violations into those of an update and those that the old object had as well.
    pub fn ratchet(
        &self,
        violations: Vec<Violation>,
        mut new: Value,
        mut old: Value,
    ) -> (Vec<Violation>, Vec<Violation>) {
        normalise::normalise(&self.root, &mut new);
        normalise::normalise(&self.root, &mut old);
        ratchet::ratchet(&self.root, violations, &new, &old)
    }

    /// A value that is sound at a path and says nothing.
    pub fn placeholder(&self, path: &FieldPath) -> Value {
        let names = path.names();
        let schema = names.iter().try_fold(&self.root, |schema, name| child(schema, name));
        schema.map_or(Value::Null, placeholder)
    }

    fn validator(&self, strictness: Strictness) -> Option<&Validator> {
        let validator = match strictness {
            Strictness::Server => &self.server,
            Strictness::Offline => &self.offline,
        };
        validator.get_or_init(|| compile(&self.root, strictness)).as_ref()
    }
}

/// The schema of a field, map value or list item.
fn child<'s>(schema: &'s JSONSchemaProps, name: &str) -> Option<&'s JSONSchemaProps> {
    property(schema, name).or_else(|| items(schema))
}

fn property<'s>(schema: &'s JSONSchemaProps, name: &str) -> Option<&'s JSONSchemaProps> {
    let named = schema.properties.as_ref().and_then(|properties| properties.get(name));
    named.or_else(|| values(schema))
}

/// The schema of what is in a map, under any name.
fn values(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match schema.additional_properties.as_ref()? {
        JSONSchemaPropsOrBool::Schema(values) => Some(values),
        JSONSchemaPropsOrBool::Bool(_) => None,
    }
}

fn items(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match schema.items.as_ref()? {
        JSONSchemaPropsOrArray::Schema(items) => Some(items),
        JSONSchemaPropsOrArray::Schemas(_) => None,
    }
}

/// The field that identifies the items of a list.
fn list_key(schema: &JSONSchemaProps) -> Option<&str> {
    schema.x_kubernetes_list_map_keys.as_ref().and_then(|keys| keys.first()).map(String::as_str)
}

fn nullable(schema: &JSONSchemaProps) -> bool {
    schema.nullable == Some(true)
}

/// True if a text is a date-time both to the API server and to the typed decoder.
fn is_date_time(text: &str) -> bool {
    text.as_bytes().get(10).is_some_and(|separator| separator.eq_ignore_ascii_case(&b'T'))
        && text.parse::<Timestamp>().is_ok()
}

fn placeholder(schema: &JSONSchemaProps) -> Value {
    if nullable(schema) {
        return Value::Null;
    }
    if let Some(first) = schema.enum_.iter().flatten().next() {
        return first.0.clone();
    }
    match schema.type_.as_deref() {
        Some("object") => {
            let required = schema.required.iter().flatten();
            let field = |name: &String| Some((name.clone(), placeholder(property(schema, name)?)));
            Value::Object(required.filter_map(field).collect())
        }
        Some("array") => json!([]),
        Some("integer") => json!(schema.minimum.map_or(0, minimum)),
        Some("boolean") => json!(false),
        Some("string") => json!(""),
        _ => json!(0),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "bounds of integers are integers")]
fn minimum(bound: f64) -> i64 {
    bound as i64
}

/// Nothing is returned where the schema cannot be compiled, which a test rules out.
fn compile(root: &JSONSchemaProps, strictness: Strictness) -> Option<Validator> {
    let mut schema = serde_json::to_value(root).ok()?;
    translate(&mut schema, strictness);
    jsonschema::options()
        .should_validate_formats(true)
        .with_format("date-time", is_date_time)
        .build(&schema)
        .ok()
}

/// From OpenAPI as Kubernetes extends it to JSON Schema.
fn translate(schema: &mut Value, strictness: Strictness) {
    let Value::Object(schema) = schema else { return };
    let is_true = |schema: &Map<String, Value>, key: &str| schema.get(key) == Some(&Value::Bool(true));
    let mut types: Vec<Value> = schema.remove("type").into_iter().collect();
    if is_true(schema, "x-kubernetes-int-or-string") {
        types = vec![json!("integer"), json!("string")];
    }
    if is_true(schema, "nullable") && !types.is_empty() {
        types.push(json!("null"));
    }
    if !types.is_empty() {
        schema.insert("type".to_owned(), Value::Array(types));
    }
    // To the API server null is none of the options, even where it is listed.
    if let Some(Value::Array(options)) = schema.get_mut("enum") {
        options.retain(|option| !option.is_null());
    }
    let range = match schema.get("format").and_then(Value::as_str) {
        Some("int32") => Some((i64::from(i32::MIN), i64::from(i32::MAX))),
        Some("int64") => Some((i64::MIN, i64::MAX)),
        _ => None,
    };
    if let Some((minimum, maximum)) = range {
        schema.entry("minimum").or_insert(json!(minimum));
        schema.entry("maximum").or_insert(json!(maximum));
    }
    let open = is_true(schema, "x-kubernetes-preserve-unknown-fields");
    if strictness == Strictness::Offline && schema.contains_key("properties") && !open {
        schema.entry("additionalProperties").or_insert(Value::Bool(false));
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(|property| translate(property, strictness));
    }
    for nested in ["items", "additionalProperties"] {
        if let Some(nested) = schema.get_mut(nested) {
            translate(nested, strictness);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;
    use serde::de::IgnoredAny;

    use super::*;
    use crate::testing::{parsed, sample, sharded_sample, small};

    #[test]
    fn every_schema_compiles() {
        for kind in ["MultigresCluster", "TopoServer", "MultiAdmin", "MultiOrch", "MultiCell", "MultiShard"] {
            let schema = Schema::of(kind).unwrap();
            for strictness in [Strictness::Server, Strictness::Offline] {
                assert!(schema.validator(strictness).is_some(), "{kind}");
            }
        }
    }

    /// Finds schema keywords that both readers would overlook.
    #[test]
    fn no_schema_says_more_than_is_understood() {
        const UNDERSTOOD: &[&str] = &[
            "additionalProperties",
            "description",
            "enum",
            "format",
            "items",
            "maximum",
            "maxItems",
            "maxLength",
            "maxProperties",
            "minimum",
            "minLength",
            "nullable",
            "properties",
            "required",
            "title",
            "type",
            "x-kubernetes-int-or-string",
            "x-kubernetes-list-map-keys",
            "x-kubernetes-list-type",
            "x-kubernetes-map-type",
            "x-kubernetes-preserve-unknown-fields",
            "x-kubernetes-validations",
        ];
        for (kind, schema) in &*SCHEMAS {
            multigres_crds::schema::visit(&mut schema.root.clone(), &mut |schema| {
                let Value::Object(keywords) = serde_json::to_value(&*schema).unwrap() else {
                    panic!("{kind}")
                };
                let foreign = keywords.keys().find(|keyword| !UNDERSTOOD.contains(&keyword.as_str()));
                assert_eq!(foreign, None, "{kind}");
                let keys = schema.x_kubernetes_list_map_keys.iter().flatten().count();
                assert!(keys <= 1 && (keys == 0 || schema.max_items.is_some_and(|max| max <= 50)), "{kind}");
                let format = schema.format.as_deref();
                assert!(matches!(format, None | Some("int32" | "int64" | "date-time")), "{kind}: {format:?}");
                assert!(schema.required.iter().flatten().count() <= 64, "{kind}");
                let is_typed = match schema.type_.as_deref() {
                    Some("object" | "array" | "string" | "integer" | "boolean") => true,
                    Some(_) => false,
                    None => {
                        let of_any = schema.x_kubernetes_preserve_unknown_fields;
                        schema.x_kubernetes_int_or_string.or(of_any) == Some(true)
                    }
                };
                assert!(is_typed, "{kind}: {:?}", schema.type_);
            });
        }
    }

    #[test]
    fn samples_are_sound() {
        let schema = Schema::of("MultigresCluster").unwrap();
        for mut object in [sample(), sharded_sample(), small()] {
            assert!(schema.read::<IgnoredAny>(parsed(&object), Strictness::Offline).is_some());
            assert!(schema.violations(&mut object, Strictness::Offline).is_empty());
        }
    }

    /// One change somewhere in an object.
    fn mutate(object: &mut Value, steps: &[Index], with: &Value, rename: Option<&str>) {
        let (Some((step, rest)), false) = (steps.split_first(), steps.is_empty()) else { return };
        match object {
            Value::Object(fields) if !fields.is_empty() => {
                let name = fields.keys().nth(step.index(fields.len())).unwrap().clone();
                if rest.is_empty() {
                    let value = fields.remove(&name).unwrap();
                    match rename {
                        Some(new) => drop(fields.insert(new.to_owned(), value)),
                        None => drop(fields.insert(name, with.clone())),
                    }
                } else {
                    mutate(fields.get_mut(&name).unwrap(), rest, with, rename);
                }
            }
            Value::Array(items) if !items.is_empty() => {
                let index = step.index(items.len());
                if rest.is_empty() {
                    match rename {
                        Some(_) => items.push(items[index].clone()),
                        None => items[index] = with.clone(),
                    }
                } else {
                    mutate(&mut items[index], rest, with, rename);
                }
            }
            other => *other = with.clone(),
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-3_i64..120).prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-4_i32..300).prop_map(|half| json!(f64::from(half) / 2.0)),
            Just(json!("")),
            Just(json!("2024-01-01T00:00:00Z")),
            "[a-zA-Z0-9/-]{1,8}".prop_map(Value::from),
            (0_usize..700).prop_map(|length| json!("é".repeat(length))),
            Just(json!([])),
            Just(json!({})),
            Just(json!([{}])),
            Just(json!({"name": "us-east-1"})),
            Just(
                json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}})
            ),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

        /// The quick reader and the library agree on every object.
        #[test]
        fn both_readers_agree(
            base in prop_oneof![Just(sample()), Just(sharded_sample()), Just(small())],
            changes in proptest::collection::vec(
                (proptest::collection::vec(any::<Index>(), 1..9), any_value(), proptest::option::of("[a-zA-Z]{1,9}")),
                0..4,
            ),
        ) {
            let mut object = base;
            for (steps, with, rename) in &changes {
                mutate(&mut object, steps, with, rename.as_deref());
            }
            let schema = Schema::of("MultigresCluster").unwrap();
            for strictness in [Strictness::Server, Strictness::Offline] {
                let accepted = schema.read::<IgnoredAny>(parsed(&object), strictness).is_some();
                let violations = schema.violations(&mut object.clone(), strictness);
                prop_assert_eq!(accepted, violations.is_empty(), "{:#?}\n{}", violations, object);
            }
        }
    }
}
