//! The CustomResourceDefinitions, generated from the types and finished by hand where `schemars` cannot say it.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::json;

use crate::v1alpha1::{MultiAdmin, MultiCell, MultiOrch, MultiShard, MultigresCluster, TopoServer};

/// A CRD that is larger cannot be applied client-side: the last-applied annotation would be over its limit.
pub const MAX_CRD_BYTES: usize = 262_144;

/// The definitions of all kinds, the cluster's first.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let crds = [
        MultigresCluster::crd(),
        TopoServer::crd(),
        MultiAdmin::crd(),
        MultiOrch::crd(),
        MultiCell::crd(),
        MultiShard::crd(),
    ];
    crds.into_iter().map(finish).collect()
}

fn finish(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let Some(root) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) else {
            continue;
        };
        visit(root, &mut |schema| {
            schema.default = None;
            // `x-kubernetes-int-or-string` says it already.
            schema.any_of = None;
            tighten_integer(schema);
            // That the value may be null is said by `nullable`; kubectl refuses a null among the values.
            schema.enum_.iter_mut().for_each(|values| values.retain(|value| !value.0.is_null()));
            shorten_description(schema);
        });
        describe_status(root);
    }
    crd
}

/// A status that nobody wrote yet says so, and GitOps tools never take an unseen object for a healthy one.
fn describe_status(root: &mut JSONSchemaProps) {
    if let Some(status) = root.properties.as_mut().and_then(|properties| properties.get_mut("status")) {
        status.default = Some(JSON(json!({ "observedGeneration": -1 })));
        status.description = Some("What was observed of the object.".to_owned());
    }
    if let Some(spec) = root.properties.as_mut().and_then(|properties| properties.get_mut("spec")) {
        spec.description = Some("What the object is to be.".to_owned());
    }
}

/// `schemars` writes the widths of Rust's integers; the API server knows two.
fn tighten_integer(schema: &mut JSONSchemaProps) {
    if schema.type_.as_deref() == Some("integer") && schema.format.as_deref().is_some_and(|f| f != "int64") {
        schema.format = Some("int32".to_owned());
    }
}

/// Kubernetes' own types are documented at length; the first sentence keeps the CRD within its limit.
fn shorten_description(schema: &mut JSONSchemaProps) {
    const LONG: usize = 160;
    if let Some(description) = schema.description.as_mut().filter(|text| text.len() > LONG) {
        let end = description
            .find(". ")
            .or_else(|| description.find(".\n"))
            .map_or(description.len(), |end| end + 1);
        description.truncate(end);
    }
}

/// Every schema within a schema, itself first.
pub fn visit(schema: &mut JSONSchemaProps, f: &mut impl FnMut(&mut JSONSchemaProps)) {
    f(schema);
    for property in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        visit(property, f);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = schema.items.as_mut() {
        visit(items, f);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = schema.additional_properties.as_mut() {
        visit(values, f);
    }
}
