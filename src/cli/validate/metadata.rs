//! Rules for metadata without a cluster. In a cluster the API server checks its fields, and the protection of children
//! the operator's own.

use std::sync::LazyLock;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use multigres_crds::kind::Kind;
use multigres_webhooks::children;
use multigres_webhooks::json;
use multigres_webhooks::object::Object;
use multigres_webhooks::path::FieldPath;
use multigres_webhooks::report::{Cause, Reason, Report, Warning};
use multigres_webhooks::schema::UNKNOWN_FIELD;
use schemars::{Schema, schema_for};
use serde_json::{Map, Value};

/// Adds what is to be said of the metadata, which stands before the rest.
pub fn judge(report: &mut Report, kind: Kind, new: &Value, old: Option<&Value>) {
    let mut errors = unknown_fields(&new["metadata"]);
    // As of every field: what an update leaves as it was is no error.
    if old.is_some_and(|old| old["metadata"] == new["metadata"]) {
        let kept = errors.drain(..).map(|cause| Warning { rule: cause.rule, message: cause.to_string() });
        report.warnings.splice(..0, kept);
    }
    if matches!(kind, Kind::Child(_)) {
        errors.extend(claims(new, old));
    }
    report.errors.splice(..0, errors);
}

fn unknown_fields(metadata: &Value) -> Vec<Cause> {
    static METADATA: LazyLock<Schema> = LazyLock::new(|| schema_for!(ObjectMeta));
    let is_known =
        |name: &str| METADATA.pointer("/properties").is_some_and(|fields| fields.get(name).is_some());
    let names = metadata.as_object().into_iter().flat_map(Map::keys);
    let path = |name: &String| FieldPath::default().field("metadata").field(name).to_string();
    let unknown = names.filter(|name| !is_known(name));
    unknown.map(|name| Cause::new(Reason::Invalid, path(name), UNKNOWN_FIELD)).collect()
}

fn claims(new: &Value, old: Option<&Value>) -> Vec<Cause> {
    let of = |old: Option<&Object<'_>>| json::of(new, |new| children::claims(&Object::read(Some(new)), old));
    match old {
        None => of(None),
        Some(old) => json::of(old, |old| of(Some(&Object::read(Some(old))))),
    }
}
