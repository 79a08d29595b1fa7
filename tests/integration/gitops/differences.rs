//! Once a tool has applied a manifest, it finds no difference between that and the API server's object: what admission
//! added is no difference, nor is what the operator wrote.

use std::path::Path;

use generators::admissible_in;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use multigres_crds::v1alpha1::MultigresCluster;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use testbed::Options;
use tokio::sync::OnceCell;

use super::{ask, stream, tracked};
use crate::installation::{Installation, eventually};
use crate::samples::PROPOSAL;

/// Clusters of any shape, beside the samples.
const GENERATED: usize = 20;

/// Fields of one sample that admission refuses; they show that builders ignore them.
const REFUSED: [(&str, &str); 3] = [
    (", app.kubernetes.io/name: overridden", ""),
    (", multigres.com/restarted-at: never", ""),
    ("MULTI_CELL_AT_LEAST_2", "AT_LEAST_2"),
];

/// A way to apply manifests, and the ways to compare with what was applied.
struct Tool {
    name: &'static str,
    apply: &'static [&'static str],
    diffs: &'static [&'static [&'static str]],
    kubectl_diff: &'static [&'static str],
}

const ARGO_CD: Tool = Tool {
    name: "argocd",
    apply: &["argocd-sync", "client"],
    diffs: &[&["argocd-diff", "client"], &["argocd-diff", "server"], &["argocd-diff", "structured"]],
    kubectl_diff: &["diff", "-f", "-"],
};

const ARGO_CD_ON_THE_SERVER: Tool = Tool {
    name: "argocd-server",
    apply: &["argocd-sync", "server"],
    diffs: &[&["argocd-diff", "server"], &["argocd-diff", "structured"]],
    kubectl_diff: &["diff", "--server-side", "--field-manager=argocd-controller", "-f", "-"],
};

const FLUX: Tool = Tool {
    name: "flux",
    apply: &["flux-apply"],
    diffs: &[&["flux-diff"]],
    kubectl_diff: &["diff", "--server-side", "--field-manager=kustomize-controller", "-f", "-"],
};

/// One in which no pod is made: what clusters become is tested elsewhere.
async fn installation() -> &'static Installation {
    static INSTALLATION: OnceCell<Installation> = OnceCell::const_new();
    let options = || Options { controllers: false, ..Options::default() };
    INSTALLATION.get_or_init(|| async { Installation::start(options()).await.unwrap() }).await
}

/// Every sample that is a whole cluster.
fn samples() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path| {
        let text = std::fs::read_to_string(path).unwrap();
        let text = REFUSED.iter().fold(text, |text, (refused, admitted)| text.replace(refused, admitted));
        serde_saphyr::from_str(&text).unwrap()
    };
    let samples: Vec<Value> =
        paths.iter().map(read).filter(|sample: &Value| sample["kind"] == "MultigresCluster").collect();
    assert!(samples.len() >= 5, "{} samples", samples.len());
    samples
}

/// In another namespace, and under a root of its own in every topology: two clusters must not share one.
fn moved(mut object: Value, namespace: &str) -> Value {
    fn move_roots(value: &mut Value, namespace: &str) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    match value.as_str().filter(|_| key == "rootPath") {
                        Some(root) => *value = format!("/{namespace}{root}").into(),
                        None => move_roots(value, namespace),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| move_roots(item, namespace)),
            _ => {}
        }
    }
    object["metadata"]["namespace"] = namespace.into();
    move_roots(&mut object["spec"], namespace);
    object
}

/// Manifests of a repository, in namespaces with a common prefix.
fn manifests(prefix: &str) -> Vec<Value> {
    let mut runner = TestRunner::deterministic();
    let mut namespaces = (0..).map(|i| format!("{prefix}-{i}"));
    let mut manifests: Vec<Value> = samples()
        .into_iter()
        .zip(&mut namespaces)
        .map(|(sample, namespace)| moved(sample, &namespace))
        .collect();
    manifests.extend(namespaces.take(GENERATED).map(|namespace| {
        let generated = admissible_in(&namespace).new_tree(&mut runner).unwrap().current();
        moved(generated, &namespace)
    }));
    manifests.into_iter().map(tracked).collect()
}

fn names(object: &Value) -> (&str, &str) {
    (object["metadata"]["namespace"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap())
}

impl Tool {
    async fn kubectl_diff(&self, manifests: &[Value]) -> (Option<i32>, String) {
        let kubectl = installation().await.control_plane.kubectl();
        let output = kubectl.run_with_stdin(self.kubectl_diff, &stream(manifests)).await.unwrap();
        (output.status.code(), output.stdout + &output.stderr)
    }

    /// Applies manifests and waits until the operator has written their status.
    async fn apply(&self, manifests: &[Value]) {
        let control_plane = &installation().await.control_plane;
        let answers = ask(control_plane.kubectl(), self.apply, manifests).await;
        for (answer, manifest) in answers.iter().zip(manifests) {
            assert_ne!(answer.result, "Error", "{}: {}\n{manifest:#}", self.name, answer.message);
        }
        let clusters = ApiResource::erase::<MultigresCluster>(&());
        let clusters: Api<DynamicObject> = Api::all_with(control_plane.client(), &clusters);
        let reconciled = || async {
            let live = clusters.list(&ListParams::default()).await.ok()?.items;
            let seen = |manifest: &Value| {
                let (namespace, name) = names(manifest);
                live.iter().any(|cluster| {
                    let metadata = &cluster.metadata;
                    (metadata.namespace.as_deref(), metadata.name.as_deref()) == (Some(namespace), Some(name))
                        && cluster.data["status"]["observedGeneration"].as_i64() == metadata.generation
                })
            };
            manifests.iter().all(seen).then_some(())
        };
        eventually("every status is written", reconciled).await.unwrap();
    }

    async fn assert_in_sync(&self, manifests: &[Value]) {
        let kubectl = installation().await.control_plane.kubectl();
        // Applying again is what Flux does all the time, and writes nothing.
        let again = (self.name == FLUX.name).then_some(self.apply);
        for diff in self.diffs.iter().copied().chain(again) {
            let answers = ask(kubectl.clone(), diff, manifests).await;
            for (answer, manifest) in answers.iter().zip(manifests) {
                let in_sync = ["Synced", "unchanged"].contains(&answer.result.as_str());
                assert!(in_sync, "{diff:?} after {:?}: {answer:#?}\n{manifest:#}", self.apply);
            }
        }
        self.assert_no_kubectl_diff(manifests).await;
    }

    /// kubectl reads each object twice, and shows what the operator wrote into its status between: once that is at
    /// rest, there is nothing to show.
    async fn assert_no_kubectl_diff(&self, manifests: &[Value]) {
        const ATTEMPTS: usize = 10;
        let mut shown = String::new();
        for _ in 0..ATTEMPTS {
            let (code, said) = self.kubectl_diff(manifests).await;
            if code == Some(0) {
                return;
            }
            shown = said;
        }
        panic!("{:?} after {:?}: {shown}", self.kubectl_diff, self.apply);
    }

    /// Ways to compare show a field in which manifests differ from what was applied.
    async fn assert_shows(&self, diffs: &[&[&str]], manifests: &[Value], field: &str) {
        let kubectl = installation().await.control_plane.kubectl();
        for diff in diffs {
            for (answer, manifest) in ask(kubectl.clone(), diff, manifests).await.iter().zip(manifests) {
                let differs = ["OutOfSync", "configured"].contains(&answer.result.as_str());
                assert!(differs && answer.message.contains(field), "{diff:?}: {answer:#?}\n{manifest:#}");
            }
        }
        let (code, said) = self.kubectl_diff(manifests).await;
        assert_eq!(code, Some(1), "{:?}: {said}", self.kubectl_diff);
        let changed =
            |file: &&str| file.lines().any(|line| line.starts_with(['+', '-']) && line.contains(field));
        let shown = said.split("\ndiff -u ").filter(changed).count();
        assert_eq!(shown, manifests.len(), "{said}");
    }

    /// Namespaces for manifests, all at once.
    async fn make_room(&self, manifests: &[Value]) {
        let namespace = |manifest| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": names(manifest).0}});
        let namespaces: Vec<Value> = manifests.iter().map(namespace).collect();
        let kubectl = installation().await.control_plane.kubectl();
        kubectl.must_with_stdin(["create", "-f", "-"], &stream(&namespaces)).await.unwrap();
    }

    async fn assert_leaves_no_difference(&self) {
        let manifests = manifests(self.name);
        self.make_room(&manifests).await;
        self.apply(&manifests).await;
        self.assert_in_sync(&manifests).await;
        // And a difference would have been seen.
        let changed: Vec<Value> = manifests
            .into_iter()
            .map(|mut manifest| {
                let protected = manifest["spec"]["deletionProtection"].as_bool().unwrap_or(false);
                manifest["spec"]["deletionProtection"] = (!protected).into();
                manifest
            })
            .collect();
        self.assert_shows(self.diffs, &changed, "deletionProtection").await;
    }

    /// Fields that the user no longer writes: one that has no default goes, one that has keeps its value, and neither
    /// is a difference any more once the manifest was applied.
    async fn assert_lets_go(&self) {
        let namespace = format!("{}-less", self.name);
        let mut manifest = tracked(moved(serde_saphyr::from_str(PROPOSAL).unwrap(), &namespace));
        let fields = manifest["spec"].as_object_mut().unwrap();
        fields.insert("deletionProtection".to_owned(), false.into());
        self.make_room(std::slice::from_ref(&manifest)).await;
        self.apply(std::slice::from_ref(&manifest)).await;
        manifest["spec"].as_object_mut().unwrap().remove("deletionProtection").unwrap();
        // What was applied on the client, a comparison on the server does not know to be gone.
        self.assert_shows(&self.diffs[..1], std::slice::from_ref(&manifest), "deletionProtection").await;
        manifest["spec"]["cells"].as_object_mut().unwrap().remove("multiGatewayImage").unwrap();
        self.apply(std::slice::from_ref(&manifest)).await;
        self.assert_in_sync(std::slice::from_ref(&manifest)).await;
    }
}

#[tokio::test]
async fn argo_cd() {
    ARGO_CD.assert_leaves_no_difference().await;
    ARGO_CD.assert_lets_go().await;
}

#[tokio::test]
async fn argo_cd_on_the_server() {
    ARGO_CD_ON_THE_SERVER.assert_leaves_no_difference().await;
    ARGO_CD_ON_THE_SERVER.assert_lets_go().await;
}

#[tokio::test]
async fn flux() {
    FLUX.assert_leaves_no_difference().await;
    FLUX.assert_lets_go().await;
}
