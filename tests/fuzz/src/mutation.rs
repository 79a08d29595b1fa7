//! Neighbours of an input.

use mutatis::{Candidates, Mutate, Result, Rng, Session};
use serde_json::{Map, Value, json};

/// The neighbour of an input that a seed stands for. What is JSON mostly stays so, to get past the first parser; the
/// rest, and now and then JSON too, is changed as bytes.
pub fn mutated(input: &[u8], seed: u64) -> Vec<u8> {
    let mut session = Session::new().seed(seed);
    let json = serde_json::from_slice::<Value>(input).ok().filter(|_| !seed.is_multiple_of(4));
    let changes = 1 + seed % 3;
    if let Some(mut value) = json {
        for _ in 0..changes {
            session.mutate_with(&mut Json, &mut value).expect("every value can be changed");
        }
        return value.to_string().into_bytes();
    }
    let mut bytes = input.to_vec();
    for _ in 0..changes {
        session.mutate(&mut bytes).expect("every text can be changed");
    }
    bytes
}

/// Changes one place of a JSON value: all places are equally likely.
struct Json;

impl Mutate<Value> for Json {
    fn mutate(&mut self, places: &mut Candidates<'_>, value: &mut Value) -> Result<()> {
        places.mutation(|cx| {
            *value = foreign(cx.rng());
            Ok(())
        })?;
        match value {
            Value::Object(fields) => self.mutate_object(places, fields),
            Value::Array(items) => self.mutate_array(places, items),
            Value::String(text) => mutatis::mutators::default::<String>().mutate(places, text),
            Value::Number(number) => places.mutation(|cx| {
                *number = near(number.as_i64().unwrap_or_default(), cx.rng()).into();
                Ok(())
            }),
            Value::Null | Value::Bool(_) => Ok(()),
        }
    }
}

impl Json {
    fn mutate_object(&mut self, places: &mut Candidates<'_>, fields: &mut Map<String, Value>) -> Result<()> {
        if !fields.is_empty() {
            places.mutation(|cx| {
                let name = any_name(fields, cx.rng());
                fields.shift_remove(&name);
                Ok(())
            })?;
            places.mutation(|cx| {
                let (from, to) = (any_name(fields, cx.rng()), any_name(fields, cx.rng()));
                let value = fields[&from].clone();
                fields.insert(to, value);
                Ok(())
            })?;
            places.mutation(|cx| {
                let mut name = any_name(fields, cx.rng());
                let value = fields.shift_remove(&name).unwrap_or_default();
                name.pop();
                fields.insert(name, value);
                Ok(())
            })?;
        }
        fields.iter_mut().try_for_each(|(_, value)| self.mutate(places, value))
    }

    fn mutate_array(&mut self, places: &mut Candidates<'_>, items: &mut Vec<Value>) -> Result<()> {
        if !items.is_empty() {
            places.mutation(|cx| {
                items.remove(index(items.len(), cx.rng()));
                Ok(())
            })?;
            places.mutation(|cx| {
                let (from, to) = (index(items.len(), cx.rng()), index(items.len(), cx.rng()));
                items.insert(to, items[from].clone());
                Ok(())
            })?;
            places.mutation(|cx| {
                let (one, other) = (index(items.len(), cx.rng()), index(items.len(), cx.rng()));
                items.swap(one, other);
                Ok(())
            })?;
        }
        items.iter_mut().try_for_each(|item| self.mutate(places, item))
    }
}

fn index(length: usize, rng: &mut Rng) -> usize {
    rng.gen_index(length).unwrap_or_default()
}

fn any_name(fields: &Map<String, Value>, rng: &mut Rng) -> String {
    fields.keys().nth(index(fields.len(), rng)).cloned().unwrap_or_default()
}

/// A value of any type, some of which are at home in some field.
fn foreign(rng: &mut Rng) -> Value {
    let values = [
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(""),
        json!("a"),
        json!("a.b[0]/c: d\u{0}\n\u{1f600}"),
        json!("a".repeat(300)),
        json!("1Gi"),
        json!("2026-01-02T03:04:05Z"),
        json!([]),
        json!([null, 1, "a"]),
        json!([{ "name": "a" }, { "name": "a" }]),
        json!({}),
        json!({ "a b": "c", "[": "]", "1": "2" }),
    ];
    rng.choose(values).unwrap_or_default()
}

/// A number that a bound may lie before.
fn near(number: i64, rng: &mut Rng) -> i64 {
    let ways =
        [number.wrapping_neg(), number.wrapping_add(1), number.wrapping_sub(1), number.wrapping_mul(100)];
    rng.choose(ways).unwrap_or_default()
}
