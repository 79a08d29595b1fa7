//! The webhook configurations as GitOps tools and administrators meet them: what is installed is what is stored, and
//! the operator touches nothing of it but the trust in its own certificate.

use serde_json::{Value, json};
use testbed::Options;

use crate::installation::{Installation, eventually};
use crate::rules::{entries, sound};

const KINDS: [&str; 2] = ["mutatingwebhookconfiguration", "validatingwebhookconfiguration"];

/// A configuration without the API server's notes, and the authorities in it.
fn without_notes(mut stored: Value) -> (Value, Vec<Value>) {
    let metadata = stored["metadata"].as_object_mut().unwrap();
    metadata.retain(|field, _| matches!(field.as_str(), "name" | "labels"));
    let webhooks = stored["webhooks"].as_array_mut().unwrap().iter_mut();
    let bundles = webhooks.map(|webhook| webhook["clientConfig"].as_object_mut().unwrap().remove("caBundle"));
    let bundles = bundles.map(Option::unwrap_or_default).collect();
    (stored, bundles)
}

#[tokio::test]
async fn nothing_is_stored_that_was_not_written_but_the_authority() {
    let installation = Installation::shared().await;
    let written: Vec<Value> = serde_saphyr::from_multiple(&installation.manifests()).unwrap();
    for kind in KINDS {
        let args = ["get", kind, "multigres-operator", "-o", "json"];
        let stored = installation.control_plane.kubectl().must(args).await.unwrap();
        let (stored, bundles) = without_notes(serde_json::from_str(&stored).unwrap());
        let of_kind = |object: &&Value| object["kind"].as_str().unwrap().to_lowercase() == kind;
        let written = written.iter().find(of_kind).unwrap().clone();
        let (written, rendered_bundles) = without_notes(written);
        assert_json_diff::assert_json_eq!(stored, written);
        assert!(rendered_bundles.iter().all(Value::is_null), "{rendered_bundles:?}");
        assert!(bundles.iter().all(|bundle| *bundle == bundles[0] && bundle.is_string()), "{bundles:?}");
    }
}

#[tokio::test]
async fn what_is_applied_again_is_unchanged_and_keeps_the_authority() {
    let installation = Installation::shared().await;
    let (kubectl, manifests) = (installation.control_plane.kubectl(), installation.manifests());
    let said = kubectl.must_with_stdin(["apply", "-f", "-"], &manifests).await.unwrap();
    assert!(said.lines().count() > 5, "{said}");
    for line in said.lines() {
        assert!(line.ends_with(" unchanged"), "{line}");
    }
    // kubectl fails where there is a difference, as a GitOps tool would find it.
    kubectl.must_with_stdin(["diff", "-f", "-"], &manifests).await.unwrap();
    let namespace = installation.namespace("configuration").await;
    namespace.clusters().dry_run().create(&sound()).await.allowed();
}

/// Validation only reads what is created: whatever breaks the schema is refused before it is asked.
#[tokio::test]
async fn the_api_server_checks_the_schema_before_it_asks_for_validation() {
    let options = Options { controllers: false, ..Options::default() };
    let installation = Installation::start(options).await.unwrap();
    let namespace = installation.namespace("order").await;
    let mut astray = sound();
    entries(&mut astray)[1]["cell"] = json!("zone-bb");
    let mut unsound = astray.clone();
    unsound["spec"]["cells"]["templates"][0]["spec"]["multiGateway"]["replicas"] = json!(101);
    let kubectl = installation.control_plane.kubectl();
    kubectl.must(["delete", "mutatingwebhookconfiguration", "multigres-operator"]).await.unwrap();

    let of_the_schema_alone = || async {
        let answer = namespace.clusters().create(&unsound).await;
        (!answer.message().contains("zone-bb")).then_some(answer)
    };
    let answer = eventually("nobody is asked for defaults", of_the_schema_alone).await.unwrap();
    let field = "Invalid spec.cells.templates[0].spec.multiGateway.replicas";
    assert_eq!((answer.code, answer.causes()), (422, vec![field.to_owned()]), "{answer:#?}");
    let unknown = ("NotFound", "spec.databases.templates[0].spec.pools[1].cell", "did you mean \"zone-b\"?");
    namespace.clusters().create(&astray).await.assert_invalid(&[unknown]);
}
