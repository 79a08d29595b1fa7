//! The proposal's own manifests, verbatim, and a small one for everything else.

use serde_json::Value;

use crate::installation::{Installation, Namespace};

/// The proposal's first sample.
pub const PROPOSAL: &str = include_str!("../samples/proposal-cluster.yaml");
/// The proposal's table groups, merged into a complete cluster.
pub const TABLE_GROUPS: &str = include_str!("../samples/tablegroups-cluster.yaml");

/// A cluster that has one of everything.
pub const SMALL: &str = r#"
apiVersion: multigres.com/v1alpha1
kind: MultigresCluster
metadata:
  name: small
spec:
  globalTopoServer:
    rootPath: /multigres/global
    managedSpec:
      replicas: 1
  cells:
    templates:
    - name: a
      spec:
        multiGateway:
          replicas: 1
          service: {type: ClusterIP}
  databases:
    templates:
    - name: app
      spec:
        pools:
        - cell: a
          primary:
            dataVolumeClaimTemplate:
              accessModes: [ReadWriteOnce]
              resources: {requests: {storage: 2048Mi}}
            postgres:
              resources: {requests: {cpu: "0.5", memory: 2048Mi}, limits: {memory: 4Gi}}
          replica:
            replicas: 2
"#;

/// A sample in a namespace of its own. There is one etcd for its cell in the whole world, and other tests use it too.
pub fn own(sample: &str, namespace: &str) -> String {
    sample
        .replace("namespace: multigres", &format!("namespace: {namespace}"))
        .replace("my-domain.com", &format!("{namespace}.example.com"))
}

/// Waits until everything that the cluster asks for is there and, as far as pods can tell, ready.
pub async fn converged(namespace: &Namespace<'_>, cluster: &str) -> Value {
    let condition = |object: &Value, type_: &str, status: &str| {
        let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
        conditions
            .filter(|condition| condition["type"] == type_)
            .any(|condition| condition["status"] == status)
    };
    let settled = |object: &Value| {
        object["status"]["observedGeneration"] == object["metadata"]["generation"]
            && condition(object, "Progressing", "False")
            && !condition(object, "Available", "False")
    };
    namespace.until("multigrescluster", cluster, "settled", settled).await
}

/// The status of a condition, or nothing.
pub fn condition<'a>(object: &'a Value, type_: &str) -> Option<(&'a str, &'a str)> {
    let conditions = object["status"]["conditions"].as_array()?;
    let condition = conditions.iter().find(|condition| condition["type"] == type_)?;
    Some((condition["status"].as_str()?, condition["reason"].as_str()?))
}

/// Every key that was written stands there with its value.
fn assert_kept(written: &Value, stored: &Value, path: &str) {
    match (written, stored) {
        (Value::Object(written), Value::Object(_)) => {
            for (key, value) in written {
                assert_kept(value, &stored[key], &format!("{path}.{key}"));
            }
        }
        (Value::Array(written), Value::Array(stored)) => {
            assert_eq!(written.len(), stored.len(), "{path}");
            for (i, (written, stored)) in written.iter().zip(stored).enumerate() {
                assert_kept(written, stored, &format!("{path}[{i}]"));
            }
        }
        _ => assert_eq!(written, stored, "{path}"),
    }
}

async fn admitted_and_reconciled(manifest: &str, purpose: &str) {
    let namespace = Installation::shared().await.namespace(purpose).await;
    // The samples name their namespace; here they share a server with others.
    let manifest = manifest.replace("namespace: multigres", &format!("namespace: {}", namespace.name));
    let written: Value = serde_saphyr::from_str(&manifest).unwrap();
    let name = written["metadata"]["name"].as_str().unwrap();
    let said = namespace.apply(&manifest).await.unwrap();
    assert!(said.contains("created"), "{said}");
    let cluster = converged(&namespace, name).await;
    assert_kept(&written["spec"], &cluster["spec"], "spec");
    // No topology client and nodes that run nothing: whether writes are served is not known, and never guessed.
    for database in cluster["status"]["databases"].as_object().unwrap().values() {
        assert_eq!(database["servingWrites"], "Unknown");
        assert_eq!(database["readyInstances"], database["desiredInstances"]);
    }
    assert_eq!(condition(&cluster, "Available"), Some(("Unknown", "Unknown")));
    assert_ne!(condition(&cluster, "Ready").unwrap().0, "True");
}

#[tokio::test]
async fn the_first_sample_of_the_proposal_verbatim() {
    admitted_and_reconciled(PROPOSAL, "proposal").await;
}

#[tokio::test]
async fn the_table_groups_of_the_proposal() {
    admitted_and_reconciled(TABLE_GROUPS, "tablegroups").await;
}
