//! Fields that an update changes.

use std::fmt;

use serde_json::{Map, Value};

/// One step towards a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A field of an object, or a key of a map.
    Field(&'a str),
    /// An item of a list.
    Item(usize),
}

/// A path, relative to where the comparison began.
#[derive(Clone, Copy, Debug)]
pub struct Steps<'a>(pub &'a [Step<'a>]);

impl fmt::Display for Steps<'_> {
    /// Each step with what separates it from the one before: `.multiGateway.replicas`, `.pools[0].cell`,
    /// `.podLabels[example.com/team]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| match step {
            Step::Field(name) if name.contains(['.', '/']) => write!(f, "[{name}]"),
            Step::Field(name) => write!(f, ".{name}"),
            Step::Item(index) => write!(f, "[{index}]"),
        })
    }
}

/// The fields in which two values differ, in document order. Lists of different lengths differ as a whole.
pub fn changed_fields<'a>(old: &'a Value, new: &'a Value) -> Vec<Vec<Step<'a>>> {
    let mut changes = Vec::new();
    compare(old, new, &mut Vec::new(), &mut changes);
    changes
}

fn compare<'a>(old: &'a Value, new: &'a Value, at: &mut Vec<Step<'a>>, changes: &mut Vec<Vec<Step<'a>>>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for key in new.keys().chain(old.keys().filter(|key| !new.contains_key(*key))) {
                at.push(Step::Field(key));
                compare(member(old, key), member(new, key), at, changes);
                at.pop();
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                at.push(Step::Item(index));
                compare(old, new, at, changes);
                at.pop();
            }
        }
        _ if old != new => changes.push(at.clone()),
        _ => {}
    }
}

fn member<'a>(object: &'a Map<String, Value>, key: &str) -> &'a Value {
    object.get(key).unwrap_or(&Value::Null)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_named() {
        let old = json!({"a": 1, "b": {"c": [{"d": 1}, {"d": 2}], "e": [1]}, "gone": true, "same": [1]});
        for (new, changed) in [
            (old.clone(), vec![]),
            (json!({"a": 2, "b": old["b"], "gone": true, "same": [1]}), vec![".a"]),
            (
                json!({"a": 1, "b": {"c": [{"d": 1}, {"d": 3}], "e": [1, 2]}, "same": [1]}),
                vec![".b.c[1].d", ".b.e", ".gone"],
            ),
            (json!({"a": 1, "b": old["b"], "gone": true, "same": [1], "x/y": 1}), vec!["[x/y]"]),
            (json!({"a": 1, "b": old["b"], "gone": true, "same": [1], "absent": null}), vec![]),
            (json!(7), vec![""]),
        ] {
            let changes = changed_fields(&old, &new);
            let rendered: Vec<String> = changes.iter().map(|path| Steps(path).to_string()).collect();
            assert_eq!(rendered, changed);
        }
    }
}
