//! Metadata of a child that belongs to the operator.

use std::collections::BTreeMap;

use multigres_crds::labels;

use crate::object::Metadata;

/// The fields of the operator's that an update changes.
pub fn changed(old: &Metadata, new: &Metadata) -> Vec<String> {
    let (old_labels, new_labels) = (old.labels.as_ref(), new.labels.as_ref());
    let mut fields = changed_keys("metadata.labels", old_labels, new_labels, labels::is_own);
    let (old_annotations, new_annotations) = (old.annotations.as_ref(), new.annotations.as_ref());
    fields.extend(changed_keys("metadata.annotations", old_annotations, new_annotations, has_own_prefix));
    if !own_finalizers(old).eq(own_finalizers(new)) {
        fields.push("metadata.finalizers".to_owned());
    }
    fields
}

type Map = BTreeMap<String, String>;

fn changed_keys(field: &str, old: Option<&Map>, new: Option<&Map>, is_own: fn(&str) -> bool) -> Vec<String> {
    let (nothing, mut fields) = (Map::new(), Vec::new());
    let (old, new) = (old.unwrap_or(&nothing), new.unwrap_or(&nothing));
    let changed = old.iter().filter(|(key, value)| new.get(*key) != Some(value));
    let added = new.iter().filter(|(key, _)| !old.contains_key(*key));
    for (key, _) in changed.chain(added).filter(|(key, _)| is_own(key)) {
        fields.push(format!("{field}[{key}]"));
    }
    fields
}

fn own_finalizers(of: &Metadata) -> impl Iterator<Item = &String> {
    of.finalizers.iter().flatten().filter(|name| has_own_prefix(name))
}

fn has_own_prefix(key: &str) -> bool {
    key.starts_with(labels::PREFIX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    #[test]
    fn foreign_metadata_is_everyones() {
        let old = json!({
            "labels": {"multigres.com/cell": "a", "app.kubernetes.io/name": "multigres", "team": "x"},
            "annotations": {"note": "y"},
            "finalizers": ["example.com/f", "multigres.com/topology"],
        });
        let with = |pointer: &str, value: Value| {
            let mut new = old.clone();
            *new.pointer_mut(pointer).unwrap() = value;
            new
        };
        for (new, fields) in [
            (with("/labels/team", json!("z")), vec![]),
            (with("/annotations", json!({"argocd.argoproj.io/tracking-id": "t"})), vec![]),
            (with("/finalizers", json!(["multigres.com/topology", "example.com/g"])), vec![]),
            (with("/finalizers", json!([])), vec!["metadata.finalizers"]),
            (
                with("/annotations", json!({"multigres.com/note": "n"})),
                vec!["metadata.annotations[multigres.com/note]"],
            ),
            (
                with("/labels", json!({"multigres.com/cell": "b"})),
                vec!["metadata.labels[app.kubernetes.io/name]", "metadata.labels[multigres.com/cell]"],
            ),
        ] {
            let read = |value: &Value| from_value::<Metadata>(value.clone()).unwrap();
            assert_eq!(changed(&read(&old), &read(&new)), fields, "{new}");
        }
    }
}
