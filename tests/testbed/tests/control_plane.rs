//! A control plane is reachable in every way the harness offers.

use anyhow::Context;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Resource;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ObjectMeta, PostParams};
use kube::runtime::conditions::is_deleted;
use kube::runtime::wait::await_condition;
use serde_json::json;
use testbed::{ControlPlane, Options};

fn namespace(name: &str) -> Namespace {
    Namespace { metadata: ObjectMeta { name: Some(name.into()), ..Default::default() }, ..Default::default() }
}

#[tokio::test]
async fn two_run_side_by_side() -> anyhow::Result<()> {
    let bare = Options { controllers: false, ..Options::default() };
    let (one, other) = tokio::try_join!(ControlPlane::start(bare.clone()), ControlPlane::start(bare))?;
    assert_ne!(one.server_url(), other.server_url());

    Api::all(one.client()).create(&PostParams::default(), &namespace("only-here")).await?;
    assert!(Api::<Namespace>::all(one.client()).get_opt("only-here").await?.is_some());
    assert!(Api::<Namespace>::all(other.client()).get_opt("only-here").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn users_reach_it_and_leave_a_trail() -> anyhow::Result<()> {
    let control_plane = ControlPlane::start(Options { controllers: false, ..Options::default() }).await?;
    let user = "system:serviceaccount:team:deployer";
    let kubeconfig = control_plane.service_account_kubeconfig("team", "deployer").await?;
    let deployer = control_plane.kubectl_as(&kubeconfig);

    assert!(deployer.must(["auth", "whoami"]).await?.contains(user));

    let before = control_plane.audit_log().marker()?;
    let refused = deployer.run(["create", "namespace", "another"]).await?;
    assert!(!refused.status.success());
    assert!(refused.stderr.contains("forbidden"), "{}", refused.stderr);

    let applied = control_plane
        .kubectl()
        .must_with_stdin(["apply", "-f", "-"], &serde_json::to_string(&namespace("another"))?)
        .await?;
    assert_eq!(applied, "namespace/another created\n");
    assert!(control_plane.kubectl().must(["get", "nonsense"]).await.is_err());

    let writes = control_plane.audit_log().writes_since(before, user)?;
    let [write] = writes.as_slice() else { panic!("one write was expected: {writes:?}") };
    assert_eq!((write.verb.as_str(), write.resource.as_str(), write.code), ("create", "namespaces", 403));
    assert!(write.user_agent.starts_with("kubectl"), "{}", write.user_agent);
    Ok(())
}

fn widgets() -> serde_json::Result<CustomResourceDefinition> {
    serde_json::from_value(json!({
        "metadata": { "name": "widgets.example.com" },
        "spec": {
            "group": "example.com",
            "names": { "kind": "Widget", "plural": "widgets" },
            "scope": "Namespaced",
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object" } },
            }],
        },
    }))
}

#[tokio::test]
async fn what_a_custom_resource_owns_goes_with_it() -> anyhow::Result<()> {
    let control_plane = ControlPlane::start(Options { crds: vec![widgets()?], ..Options::default() }).await?;
    let client = control_plane.client();
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("example.com", "v1", "Widget"));
    let widgets: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &kind);
    let widget = widgets.create(&PostParams::default(), &DynamicObject::new("widget", &kind)).await?;

    let mut child = ConfigMap::default();
    child.metadata.name = Some("child".into());
    child.metadata.owner_references = widget.controller_owner_ref(&kind).map(|owner| vec![owner]);
    let children: Api<ConfigMap> = Api::namespaced(client, "default");
    let child = children.create(&PostParams::default(), &child).await?;

    widgets.delete("widget", &DeleteParams::default()).await?;
    await_condition(children, "child", is_deleted(&child.metadata.uid.context("it has a uid")?)).await?;
    Ok(())
}

#[tokio::test]
async fn fake_nodes_need_controllers() {
    let options = Options { controllers: false, fake_nodes: 1, ..Options::default() };
    assert!(ControlPlane::start(options).await.is_err());
}
