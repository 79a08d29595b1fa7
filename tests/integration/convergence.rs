//! Converged objects are left alone, by people's tools and by the operator.

use std::time::Duration;

use serde_json::Value;

use crate::installation::{Installation, OPERATOR, binary};
use crate::samples::{PROPOSAL, SMALL, converged, own};

/// Statuses of a cluster and its children, shown if they changed and should not have.
const STATUSES: [&str; 4] = [
    "get",
    "multigres",
    "-o",
    "jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.generation} {.status}{\"\\n\"}{end}",
];

#[tokio::test]
async fn applying_twice_changes_nothing() {
    let namespace = Installation::shared().await.namespace("twice").await;
    namespace.apply(SMALL).await.unwrap();
    let said = namespace.apply(SMALL).await.unwrap();
    assert_eq!(said.lines().next().unwrap(), "multigrescluster.multigres.com/small unchanged");
}

#[tokio::test]
async fn applying_twice_on_the_server_changes_nothing() {
    let namespace = Installation::shared().await.namespace("twice-server").await;
    let apply = ["apply", "--server-side", "-f", "-"];
    namespace.with_input(&apply, SMALL).await.unwrap();
    let before = converged(&namespace, "small").await;
    namespace.with_input(&apply, SMALL).await.unwrap();
    let after = namespace.get("multigrescluster", "small").await.unwrap();
    assert_eq!(before["metadata"]["generation"], after["metadata"]["generation"]);
    assert_eq!(before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn a_converged_cluster_causes_no_writes() {
    const QUIET: Duration = Duration::from_mins(1);
    // On a busy machine the last pods are reported late; who writes without end writes in each of these minutes.
    const ATTEMPTS: usize = 3;
    let installation = Installation::shared().await;
    let namespace = installation.namespace("quiet").await;
    let manifest = own(PROPOSAL, &namespace.name);
    namespace.apply(&manifest).await.unwrap();
    converged(&namespace, "example-multigres-cluster").await;
    let audit = installation.control_plane.audit_log();
    let mut report = String::new();
    for _ in 0..ATTEMPTS {
        let said = namespace.must(&STATUSES).await;
        let marker = audit.marker().unwrap();
        // Not a wait for something to happen: the statement is about this very time.
        tokio::time::sleep(QUIET).await;
        let writes = audit.writes_since(marker, OPERATOR).unwrap();
        let here: Vec<_> = writes.iter().filter(|write| write.namespace == namespace.name).collect();
        if here.is_empty() {
            return;
        }
        let says = namespace.must(&STATUSES).await;
        report = format!("{here:#?}\nbefore:\n{said}\nafter:\n{says}");
        println!("{report}");
    }
    panic!("{report}");
}

#[tokio::test]
async fn what_is_rendered_is_what_is_applied() {
    let installation = Installation::shared().await;
    let namespace = installation.namespace("render").await;
    let manifest = own(PROPOSAL, &namespace.name);
    namespace.apply(&manifest).await.unwrap();
    converged(&namespace, "example-multigres-cluster").await;
    let admitted =
        namespace.must(&["get", "multigrescluster", "example-multigres-cluster", "-o", "yaml"]).await;
    let file = installation.control_plane.dir().join("render.yaml");
    std::fs::write(&file, admitted).unwrap();
    let output = binary().args(["render", "-f"]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rendered: Vec<Value> =
        serde_saphyr::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap();
    assert!(rendered.len() > 20, "{} objects", rendered.len());
    let operator = installation.control_plane.kubectl_as(installation.operator_kubeconfig());
    for mut object in rendered {
        let (kind, name) = (
            object["kind"].as_str().unwrap().to_owned(),
            object["metadata"]["name"].as_str().unwrap().to_owned(),
        );
        let live =
            namespace.get(&kind, &name).await.unwrap_or_else(|| panic!("{kind} {name} does not exist"));
        if let Some(owners) = live["metadata"].get("ownerReferences") {
            object["metadata"]["ownerReferences"] = owners.clone();
        }
        // Applied as the operator: a field more or less would be a change of its managed fields.
        let args = [
            "-n",
            &namespace.name,
            "apply",
            "--server-side",
            "--dry-run=server",
            "-o",
            "json",
            "--show-managed-fields",
        ];
        let manager = ["--field-manager=multigres-operator", "-f", "-"];
        let dry =
            operator.must_with_stdin(args.into_iter().chain(manager), &object.to_string()).await.unwrap();
        let args = ["-n", &namespace.name, "get", &kind, &name, "-o", "json", "--show-managed-fields"];
        let live = installation.control_plane.kubectl().must(args).await.unwrap();
        assert_eq!(comparable(&dry), comparable(&live), "{kind} {name}");
    }
}

/// An object without what any write counts up.
fn comparable(text: &str) -> Value {
    let mut object: Value = serde_json::from_str(text).unwrap();
    object["status"] = Value::Null;
    object["metadata"]["resourceVersion"] = Value::Null;
    for entry in object["metadata"]["managedFields"].as_array_mut().unwrap() {
        entry["time"] = Value::Null;
    }
    object
}
