//! Properties of the generated definitions that API servers and GitOps tools rely on.

#![allow(clippy::unwrap_used, reason = "a test may")]

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps,
};
use multigres_crds::schema::{self, MAX_CRD_BYTES};

fn root(crd: &CustomResourceDefinition) -> JSONSchemaProps {
    crd.spec.versions[0].schema.clone().unwrap().open_api_v3_schema.unwrap()
}

#[test]
fn every_definition_can_be_applied_client_side() {
    for crd in schema::crds() {
        let size = serde_json::to_string(&crd).unwrap().len();
        assert!(size < MAX_CRD_BYTES, "{}: {size} bytes", crd.spec.names.kind);
    }
}

#[test]
fn every_field_is_described() {
    for crd in schema::crds() {
        let mut missing = Vec::new();
        let mut schema = root(&crd);
        schema::visit(&mut schema, &mut |schema| {
            for (name, property) in schema.properties.iter().flatten() {
                let standard = ["apiVersion", "kind", "metadata"].contains(&name.as_str());
                if property.description.as_deref().unwrap_or_default().is_empty() && !standard {
                    missing.push(name.clone());
                }
            }
        });
        assert!(missing.is_empty(), "{}: {missing:?}", crd.spec.names.kind);
    }
}

#[test]
fn only_status_has_a_default() {
    for crd in schema::crds() {
        let mut root = root(&crd);
        let status = root.properties.as_mut().unwrap().get_mut("status").unwrap();
        assert_eq!(status.default.take().unwrap().0, serde_json::json!({"observedGeneration": -1}));
        schema::visit(&mut root, &mut |schema| assert!(schema.default.is_none(), "{:?}", schema.description));
    }
}

#[test]
fn numbers_have_formats_that_the_api_server_knows() {
    for crd in schema::crds() {
        schema::visit(&mut root(&crd), &mut |schema| {
            if schema.type_.as_deref() == Some("integer") {
                assert!(matches!(schema.format.as_deref(), Some("int32" | "int64")), "{schema:?}");
            }
        });
    }
}

#[test]
fn lists_of_named_things_merge_by_name() {
    let crd = &schema::crds()[0];
    let root = serde_json::to_value(root(crd)).unwrap();
    for (path, key) in [
        ("/properties/status/properties/conditions", "type"),
        ("/properties/spec/properties/cells/properties/templates", "name"),
        ("/properties/spec/properties/databases/properties/templates", "name"),
        (
            "/properties/spec/properties/databases/properties/templates/items/properties/spec/properties/tableGroups",
            "name",
        ),
    ] {
        let list = root.pointer(path).unwrap();
        assert_eq!(list["x-kubernetes-list-type"], "map", "{path}");
        assert_eq!(list["x-kubernetes-list-map-keys"], serde_json::json!([key]), "{path}");
    }
}
