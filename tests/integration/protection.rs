//! Managed children are edited in their cluster: permissions of a user with every right except the operator's identity.

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use testbed::Kubectl;

use crate::answers::Resource;
use crate::installation::{Installation, Namespace, eventually};
use crate::samples::{SMALL, converged};

/// Every child of [`SMALL`]: resource, kind and name.
const CHILDREN: [(&str, &str, &str); 5] = [
    ("toposervers", "TopoServer", "small-etcd"),
    ("multiadmins", "MultiAdmin", "small-admin"),
    ("multiorches", "MultiOrch", "small-orch"),
    ("multicells", "MultiCell", "small-a"),
    ("multishards", "MultiShard", "small-app-default-0-inf"),
];

/// A developer, who may do anything in one namespace, and nothing by being somebody special.
struct Developer {
    client: Client,
    kubectl: Kubectl,
}

impl Developer {
    async fn of(namespace: &Namespace<'_>) -> Self {
        let control_plane = &namespace.installation.control_plane;
        let kubeconfig =
            control_plane.service_account_kubeconfig(&namespace.name, "developer").await.unwrap();
        let account = format!("--serviceaccount={}:developer", namespace.name);
        namespace.must(&["create", "role", "all", "--verb=*", "--resource=*.*"]).await;
        namespace.must(&["create", "rolebinding", "developer", "--role=all", &account]).await;
        let kubectl = control_plane.kubectl_as(&kubeconfig);
        let may = || async {
            let asked = ["-n", &namespace.name, "auth", "can-i", "delete", "multicells.multigres.com"];
            kubectl.run(asked).await.unwrap().status.success().then_some(())
        };
        eventually("the role is known", may).await.unwrap();
        let config = Kubeconfig::read_from(&kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
        Self { client: Client::try_from(config).unwrap(), kubectl }
    }

    fn resource(&self, namespace: &Namespace<'_>, plural: &str) -> Resource {
        namespace.resource(plural).by(self.client.clone())
    }
}

async fn small(purpose: &str) -> (Namespace<'static>, Developer) {
    let namespace = Installation::shared().await.namespace(purpose).await;
    namespace.apply(SMALL).await.unwrap();
    let kinds = CHILDREN.map(|(plural, ..)| plural).join(",");
    let everything = || async {
        let made = namespace.must(&["get", &kinds, "-o", "name"]).await;
        (made.lines().count() == CHILDREN.len()).then_some(())
    };
    eventually("all children", everything).await.unwrap();
    let developer = Developer::of(&namespace).await;
    (namespace, developer)
}

#[tokio::test]
async fn edits_are_sent_to_the_cluster() {
    let (namespace, developer) = small("protect-edit").await;
    let pools = "spec.databases.templates[0].spec.pools[0]";
    for (index, pointer, value, instead) in [
        (0, "/image", json!("etcd:v9"), "spec.globalTopoServer.managedSpec.image"),
        (1, "/replicas", json!(2), "spec.admin.spec.replicas"),
        (2, "/image", json!("orch:v9"), "spec.orchestrator.spec.image"),
        (3, "/multiGateway/replicas", json!(5), "spec.cells.templates[0].spec.multiGateway.replicas"),
        (4, "/pools/0/replicas", json!(2), &format!("{pools}.primary.replicas")),
        (4, "/pools/1/postgres/image", json!("pgctld:v9"), &format!("{pools}.replica.postgres.image")),
    ] {
        let (plural, kind, name) = CHILDREN[index];
        let patch = json!([{"op": "replace", "path": format!("/spec{pointer}"), "value": value}]);
        let resource = developer.resource(&namespace, plural);
        let answer = resource.patch(name, patch.clone()).await;
        assert_eq!((answer.code, &answer.body["reason"]), (403, &json!("Forbidden")), "{answer:#?}");
        let message =
            format!("{kind} {name:?} is managed by MultigresCluster \"small\": change {instead} there");
        assert!(answer.message().ends_with(&message), "{}", answer.message());
        assert_eq!(answer.causes().len(), 1, "{answer:#?}");
        let dry = resource.dry_run().patch(name, patch).await;
        assert_eq!((dry.code, dry.message()), (answer.code, answer.message()));
    }
    let (patch, merge) = (r#"{"spec":{"multiGateway":{"replicas":5}}}"#, "--type=merge");
    let args = ["-n", &namespace.name, "patch", "multicell", "small-a", merge, "-p", patch];
    let said = developer.kubectl.run(args).await.unwrap().stderr;
    assert!(said.contains("change spec.cells.templates[0].spec.multiGateway.replicas there"), "{said}");
}

#[tokio::test]
async fn neither_deletion_nor_status_nor_scale_are_others() {
    let (namespace, developer) = small("protect-delete").await;
    for ((plural, kind, name), instead) in CHILDREN.iter().zip([
        "set spec.globalTopoServer.external there first, which releases it",
        "set spec.admin.managed to false there first, which releases it",
        "set spec.orchestrator.managed to false there first, which releases it",
        "remove spec.cells.templates[0] there",
        "remove spec.databases.templates[0] there",
    ]) {
        let resource = developer.resource(&namespace, plural);
        let answer = resource.delete(name).await;
        let message = format!("{kind} {name:?} is managed by MultigresCluster \"small\": {instead}");
        assert_eq!(answer.code, 403, "{answer:#?}");
        assert!(answer.message().ends_with(&message), "{}", answer.message());

        let status = json!({"status": {"observedGeneration": 99}});
        let answer = resource.merge_subresource("status", name, status).await;
        assert_eq!(answer.code, 403, "{answer:#?}");
        assert!(answer.message().ends_with("only the operator writes its status"), "{answer:#?}");

        let args = ["-n", &namespace.name, "scale", plural, name, "--replicas=3"];
        let scale = developer.kubectl.run(args).await.unwrap();
        assert!(!scale.status.success(), "{scale:?}");
    }
    let all = ["-n", &namespace.name, "delete", "multicell", "--all"];
    let said = developer.kubectl.run(all).await.unwrap();
    assert!(
        !said.status.success() && said.stderr.contains("remove spec.cells.templates[0] there"),
        "{said:?}"
    );
}

#[tokio::test]
async fn metadata_of_others_is_theirs() {
    let (namespace, developer) = small("protect-metadata").await;
    let cells = developer.resource(&namespace, "multicells");
    for metadata in [
        json!({"labels": {"team": "payments"}}),
        json!({"annotations": {"example.com/note": "x"}}),
        json!({"finalizers": ["example.com/hold"]}),
        json!({"labels": {"team": null}, "annotations": {"example.com/note": null}, "finalizers": null}),
    ] {
        cells.merge("small-a", json!({"metadata": metadata})).await.allowed();
    }
    for (metadata, field) in [
        (json!({"labels": {"multigres.com/cell": "z"}}), "metadata.labels[multigres.com/cell]"),
        (json!({"labels": {"app.kubernetes.io/name": null}}), "metadata.labels[app.kubernetes.io/name]"),
        (json!({"labels": {"multigres.com/managed": "false"}}), "metadata.labels[multigres.com/managed]"),
        (json!({"labels": {"multigres.com/cluster": "other"}}), "metadata.labels[multigres.com/cluster]"),
        (json!({"annotations": {"multigres.com/x": "y"}}), "metadata.annotations[multigres.com/x]"),
        (json!({"ownerReferences": null}), "metadata.ownerReferences"),
    ] {
        let answer = cells.merge("small-a", json!({"metadata": metadata})).await;
        assert_eq!(answer.code, 403, "{answer:#?}");
        assert_eq!(answer.causes(), [format!("Forbidden {field}")]);
    }
}

/// A sound MultiCell, and changes of its metadata.
fn standalone(name: &str, metadata: &Value) -> Value {
    let mut cell = json!({
        "apiVersion": "multigres.com/v1alpha1", "kind": "MultiCell", "metadata": metadata,
        "spec": {
            "cluster": "elsewhere", "cell": "a", "paused": true,
            "globalTopology": {"address": "etcd:2379", "rootPath": "/multigres/elsewhere"},
            "topology": {"address": "etcd:2379", "rootPath": "/multigres/elsewhere/a"},
            "multiGateway": {"image": "gateway:v1", "replicas": 1},
        },
    });
    cell["metadata"]["name"] = name.into();
    cell
}

/// Whoever could make a child look managed could have a cluster delete it, or keep others from editing it.
#[tokio::test]
async fn only_the_operator_says_what_a_cluster_controls() {
    let (namespace, developer) = small("protect-forged").await;
    let cells = developer.resource(&namespace, "multicells");
    let uid = namespace.get("multigrescluster", "small").await.unwrap()["metadata"]["uid"].clone();
    let owner = |kind: &str, controller: bool| {
        json!({"ownerReferences": [{
            "apiVersion": "multigres.com/v1alpha1", "kind": kind, "name": "small", "uid": uid,
            "controller": controller,
        }]})
    };
    let forged = cells.create(&standalone("forged", &owner("MultigresCluster", true))).await;
    assert_eq!(forged.code, 403, "{forged:#?}");
    assert_eq!(forged.causes(), ["Forbidden metadata.ownerReferences"]);
    let mislabelled = json!({"labels": {"multigres.com/cluster": "small"}});
    let mislabelled = cells.create(&standalone("mislabelled", &mislabelled)).await;
    assert_eq!(mislabelled.causes(), ["Forbidden metadata.labels[multigres.com/cluster]"]);

    // A label alone confers nothing, and other owners are other tools' business.
    cells
        .create(&standalone("labelled", &json!({"labels": {"multigres.com/managed": "true"}})))
        .await
        .allowed();
    cells.merge("labelled", json!({"spec": {"multiGateway": {"replicas": 2}}})).await.allowed();
    cells.merge("labelled", json!({"metadata": owner("MultigresCluster", false)})).await.allowed();
    let answer = cells.merge("labelled", json!({"metadata": owner("MultigresCluster", true)})).await;
    assert_eq!(answer.causes(), ["Forbidden metadata.ownerReferences"]);
    cells.delete("labelled").await.allowed();
}

/// Template of a released cell's pods, which a release or adoption must not change.
async fn deployment(namespace: &Namespace<'_>) -> (Value, Value) {
    let metadata = namespace.get("deployment", "small-multigateway-a").await.unwrap()["metadata"].clone();
    (metadata["uid"].clone(), metadata["generation"].clone())
}

#[tokio::test]
async fn a_section_is_released_and_adopted_without_a_restart() {
    let (namespace, developer) = small("protect-release").await;
    converged(&namespace, "small").await;
    let cells = developer.resource(&namespace, "multicells");
    let clusters = developer.resource(&namespace, "multigresclusters");
    let before = deployment(&namespace).await;
    let edit = json!({"spec": {"multiGateway": {"replicas": 2}}});
    assert_eq!(cells.merge("small-a", edit.clone()).await.code, 403);

    let release = json!({"spec": {"cells": {"managed": false}}});
    let answer = clusters.merge("small", release).await.allowed();
    answer.assert_warns("cells.managed true → false: MultiCell a released: not deleted, yours to edit");
    answer.assert_silent("removed");
    let label = |cell: &Value| cell["metadata"]["labels"]["multigres.com/managed"].clone();
    let released = |cell: &Value| label(cell) == "false" && cell["metadata"]["ownerReferences"].is_null();
    namespace.until("multicell", "small-a", "released", released).await;
    converged(&namespace, "small").await;
    assert_eq!(deployment(&namespace).await, before);

    cells.merge("small-a", edit).await.allowed();
    let scaled = |replicas: u32| move |deployment: &Value| deployment["spec"]["replicas"] == replicas;
    namespace.until("deployment", "small-multigateway-a", "as the user says", scaled(2)).await;

    clusters.merge("small", json!({"spec": {"cells": {"managed": true}}})).await.allowed();
    let adopted = |cell: &Value| {
        label(cell) == "true"
            && cell["metadata"]["ownerReferences"][0]["name"] == "small"
            && cell["spec"]["multiGateway"]["replicas"] == 1
    };
    namespace.until("multicell", "small-a", "adopted, as in the template", adopted).await;
    namespace.until("deployment", "small-multigateway-a", "as in the template", scaled(1)).await;
    assert_eq!(deployment(&namespace).await.0, before.0);
    let denied = cells.merge("small-a", json!({"spec": {"multiGateway": {"replicas": 3}}})).await;
    assert_eq!(denied.code, 403, "{denied:#?}");
}

#[tokio::test]
async fn a_paused_cluster_lets_its_children_be_edited_until_it_is_not() {
    let (namespace, developer) = small("protect-paused").await;
    let cells = developer.resource(&namespace, "multicells");
    let clusters = developer.resource(&namespace, "multigresclusters");
    let edit = json!({"spec": {"multiGateway": {"replicas": 7}}});
    clusters.merge("small", json!({"spec": {"paused": true}})).await.allowed();
    let edited = || async {
        let answer = cells.merge("small-a", edit.clone()).await;
        answer.is_allowed().then_some(answer)
    };
    let answer = eventually("the pause is known", edited).await.unwrap();
    answer.assert_warns("MultigresCluster \"small\" is paused: unpausing it reverts this change");
    clusters.merge("small", json!({"spec": {"paused": false}})).await.allowed();
    let put_back = |cell: &Value| cell["spec"]["multiGateway"]["replicas"] == 1;
    namespace.until("multicell", "small-a", "put back", put_back).await;
    let refused = || async { (cells.merge("small-a", edit.clone()).await.code == 403).then_some(()) };
    eventually("children are protected again", refused).await.unwrap();
}

#[tokio::test]
async fn a_cluster_is_protected_from_deletion_while_it_says_so() {
    let namespace = Installation::shared().await.namespace("protect-cluster").await;
    let developer = Developer::of(&namespace).await;
    let clusters = developer.resource(&namespace, "multigresclusters");
    let mut cluster = crate::rules::sound();
    cluster["spec"]["deletionProtection"] = json!(true);
    clusters.create(&cluster).await.allowed();
    let denied = clusters.delete("sound").await;
    assert_eq!((denied.code, denied.causes()), (403, vec!["Forbidden spec.deletionProtection".to_owned()]));
    let message =
        "MultigresCluster \"sound\" is protected from deletion: set spec.deletionProtection to false first";
    assert!(denied.message().ends_with(message), "{}", denied.message());
    clusters.merge("sound", json!({"spec": {"deletionProtection": false}})).await.allowed();
    clusters.delete("sound").await.allowed();
}
