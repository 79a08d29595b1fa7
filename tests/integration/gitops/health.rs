//! The health of objects: what kstatus makes of their status, and Argo CD with the script in `docs/argocd`.

use std::path::{Path, PathBuf};
use std::{env, fs};

use multigres_operator::yaml;
use serde_json::{Value, json};

use super::states::{self, State};
use super::{Answer, ask};
use crate::installation::{Installation, Namespace};
use crate::samples::{SMALL, condition};

/// The kinds that the script is for.
const KINDS: [&str; 6] =
    ["MultigresCluster", "TopoServer", "MultiAdmin", "MultiOrch", "MultiCell", "MultiShard"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/argocd")
}

fn script() -> String {
    fs::read_to_string(folder().join("health.lua")).unwrap()
}

/// Health of some objects by kstatus and Argo CD.
async fn healths(objects: &[Value]) -> Vec<(Answer, Answer)> {
    let kubectl = Installation::shared().await.control_plane.kubectl();
    let script = folder().join("health.lua");
    let kstatus = ask(kubectl.clone(), &["kstatus"], objects).await;
    let argo_cd = ask(kubectl, &["argocd-health", script.to_str().unwrap()], objects).await;
    kstatus.into_iter().zip(argo_cd).collect()
}

#[tokio::test]
async fn of_every_state() {
    let states = states::all();
    let objects: Vec<Value> = states.iter().map(|state| state.object.clone()).collect();
    let mut said = healths(&objects).await.into_iter();
    for state in &states {
        let (kstatus, argo_cd) = said.next().unwrap();
        let results = (kstatus.result.as_str(), argo_cd.result.as_str());
        assert_eq!(
            results,
            (state.kstatus, state.argo_cd),
            "{}: {argo_cd:?}\n{:#}",
            state.name,
            state.object
        );
        assert_ne!(argo_cd.message, "", "{}", state.name);
    }
}

/// The script's test cases, in the format of Argo CD's own, are the states of the operator's own code.
async fn cases() -> Vec<(PathBuf, String)> {
    let states = states::all();
    let objects: Vec<Value> = states.iter().map(|state| state.object.clone()).collect();
    let said = healths(&objects).await;
    let input = |state: &State| format!("testdata/{}.yaml", state.name);
    let case = |(state, (_, argo_cd)): (&State, &(Answer, Answer))| {
        let health = json!({ "status": argo_cd.result, "message": argo_cd.message });
        json!({ "healthStatus": health, "inputPath": input(state) })
    };
    let cases: Vec<Value> = states.iter().zip(&said).map(case).collect();
    let mut files = vec![("health_test.yaml".into(), written(&json!({ "tests": cases })))];
    // The health is in the status; Argo CD's own cases leave long specs out, too.
    let without_spec = |mut object: Value| {
        object.as_object_mut().unwrap().remove("spec").unwrap();
        object
    };
    files
        .extend(states.into_iter().map(|state| (input(&state).into(), written(&without_spec(state.object)))));
    files
}

/// Settings by which Argo CD uses the script, beside its others.
fn settings() -> String {
    let key = |kind| format!("resource.customizations.health.multigres.com_{kind}");
    let data: serde_json::Map<String, Value> =
        KINDS.into_iter().map(|kind| (key(kind), script().into())).collect();
    written(&json!({ "data": data }))
}

fn written(value: &Value) -> String {
    let mut out = Vec::new();
    yaml::write(std::slice::from_ref(value), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// `UPDATE=1` writes the files anew instead of comparing them.
#[tokio::test]
async fn documentation_is_up_to_date() {
    let mut files = cases().await;
    files.push(("argocd-cm.yaml".into(), settings()));
    let update = env::var_os("UPDATE").is_some();
    if update {
        let _ = fs::remove_dir_all(folder().join("testdata"));
        fs::create_dir_all(folder().join("testdata")).unwrap();
    }
    for (path, content) in &files {
        let file = folder().join(path);
        if update {
            fs::write(&file, content).unwrap();
        }
        let committed = fs::read_to_string(&file).unwrap_or_default();
        assert!(committed == *content, "docs/argocd/{} is out of date: make generate", path.display());
    }
    let count = fs::read_dir(folder().join("testdata")).unwrap().count();
    assert_eq!(count, states::all().len(), "docs/argocd/testdata has files that no state is in");
}

/// As `docs/gitops.md` tells people to do it.
#[tokio::test]
async fn the_script_is_added_to_the_settings_of_argo_cd() {
    let namespace = Installation::shared().await.namespace("argocd").await;
    namespace
        .must(&["create", "configmap", "argocd-cm", "--from-literal=url=https://argocd.example.com"])
        .await;
    let file = folder().join("argocd-cm.yaml");
    namespace.must(&["patch", "configmap", "argocd-cm", "--patch-file", file.to_str().unwrap()]).await;
    let settings = namespace.get("configmap", "argocd-cm").await.unwrap();
    assert_eq!(settings["data"]["url"], "https://argocd.example.com");
    for kind in KINDS {
        let key = format!("resource.customizations.health.multigres.com_{kind}");
        assert_eq!(settings["data"][key], script());
    }
}

async fn healths_in(namespace: &Namespace<'_>, kinds: &str) -> Vec<(String, String, String)> {
    let list: Value = serde_json::from_str(&namespace.must(&["get", kinds, "-o", "json"]).await).unwrap();
    let objects = list["items"].as_array().unwrap();
    let said = healths(objects).await.into_iter().zip(objects);
    said.map(|((kstatus, argo_cd), object)| {
        (object["kind"].as_str().unwrap().to_owned(), kstatus.result, argo_cd.result)
    })
    .collect()
}

/// Health of the one cluster of a namespace, by each tool.
async fn health_in(namespace: &Namespace<'_>) -> (String, String) {
    let (_, kstatus, argo_cd) = healths_in(namespace, "multigrescluster").await.remove(0);
    (kstatus, argo_cd)
}

fn expected(kstatus: &str, argo_cd: &str) -> (String, String) {
    (kstatus.to_owned(), argo_cd.to_owned())
}

/// As the API server has them, from their creation to their end.
#[tokio::test]
async fn of_real_objects() {
    let namespace = Installation::shared().await.namespace("health").await;
    let without_databases = SMALL.split("  databases:").next().unwrap();
    // The answer to the creation is the object before anybody has looked at it.
    let created =
        namespace.with_input(&["create", "-o", "json", "-f", "-"], without_databases).await.unwrap();
    let created: Value = serde_json::Deserializer::from_str(&created).into_iter().next().unwrap().unwrap();
    let (kstatus, argo_cd) = healths(&[created]).await.remove(0);
    assert_eq!((kstatus.result, argo_cd.result), expected("InProgress", "Progressing"));

    let is = |type_, status, reason| move |object: &Value| condition(object, type_) == Some((status, reason));
    namespace.until("multigrescluster", "small", "ready", is("Ready", "True", "Ready")).await;
    for (kind, kstatus, argo_cd) in healths_in(&namespace, "multigres").await {
        // Without a database an orchestrator has nothing to do, and never becomes ready for it.
        let idle = kind == "MultiOrch";
        let (status, health) = if idle { ("InProgress", "Progressing") } else { ("Current", "Healthy") };
        assert_eq!((kstatus.as_str(), argo_cd.as_str()), (status, health), "{kind}");
    }

    let pause = |paused| format!(r#"{{"spec":{{"paused":{paused}}}}}"#);
    namespace.must(&["patch", "multigrescluster", "small", "--type=merge", "-p", &pause(true)]).await;
    // First its children are told, and have to look at it.
    let paused =
        |object: &Value| is("Paused", "True", "Paused")(object) && is("Ready", "True", "Ready")(object);
    namespace.until("multigrescluster", "small", "paused", paused).await;
    assert_eq!(health_in(&namespace).await, expected("Current", "Suspended"));
    namespace.must(&["patch", "multigrescluster", "small", "--type=merge", "-p", &pause(false)]).await;

    let hold = r#"{"metadata":{"finalizers":["example.com/hold"]}}"#;
    namespace.must(&["patch", "multigrescluster", "small", "--type=merge", "-p", hold]).await;
    namespace.must(&["delete", "multigrescluster", "small", "--wait=false"]).await;
    assert_eq!(health_in(&namespace).await, expected("Terminating", "Progressing"));
    let release = r#"{"metadata":{"finalizers":null}}"#;
    namespace.must(&["patch", "multigrescluster", "small", "--type=merge", "-p", release]).await;
}

#[tokio::test]
async fn of_a_cluster_that_only_a_person_can_help() {
    let namespace = Installation::shared().await.namespace("health-stalled").await;
    namespace.must(&["create", "service", "clusterip", "small-admin", "--tcp=80"]).await;
    namespace.apply(SMALL).await.unwrap();
    let taken = |object: &Value| condition(object, "Stalled") == Some(("True", "NameTaken"));
    for (kind, name) in [("multiadmin", "small-admin"), ("multigrescluster", "small")] {
        let object = namespace.until(kind, name, "NameTaken", taken).await;
        let (kstatus, argo_cd) = healths(&[object]).await.remove(0);
        assert_eq!((kstatus.result, argo_cd.result), expected("Failed", "Degraded"), "{kind}");
        assert!(argo_cd.message.starts_with("NameTaken: "), "{}", argo_cd.message);
    }
}
