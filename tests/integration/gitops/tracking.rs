//! Objects of the operator are not mistaken for a GitOps tool's own and pruned: no tracking label or annotation is
//! copied from the cluster.

use serde_json::Value;

use super::tracked;
use crate::installation::Installation;
use crate::samples::{SMALL, converged};

const KINDS: &str = "multigres,deployments,replicasets,statefulsets,controllerrevisions,pods,services,configmaps,\
                     secrets,persistentvolumeclaims,poddisruptionbudgets,serviceaccounts,endpointslices,events";

/// The label by which Argo CD knows objects if it is told to track by labels. Pods have it, by convention, but nothing
/// of which a tool might think that it stands alone.
const INSTANCE: &str = "app.kubernetes.io/instance";

fn entries<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    object["metadata"][field].as_object().into_iter().flatten()
}

#[tokio::test]
async fn nothing_is_handed_on() {
    let namespace = Installation::shared().await.namespace("tracking").await;
    let mut cluster: Value = serde_saphyr::from_str(SMALL).unwrap();
    cluster["metadata"]["namespace"] = namespace.name.as_str().into();
    let cluster = tracked(cluster);
    namespace.apply(&cluster.to_string()).await.unwrap();
    converged(&namespace, "small").await;
    let objects: Value = serde_json::from_str(&namespace.must(&["get", KINDS, "-o", "json"]).await).unwrap();
    let (clusters, made): (Vec<&Value>, Vec<&Value>) =
        objects["items"].as_array().unwrap().iter().partition(|object| object["kind"] == "MultigresCluster");
    assert_eq!(clusters.len(), 1);
    assert!(made.len() > 30, "{} objects", made.len());
    for object in made {
        let (kind, name) = (object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
        for (key, value) in entries(object, "labels").filter(|(key, _)| *key != INSTANCE) {
            let handed_on = entries(&cluster, "labels").any(|own| own == (key, value));
            assert!(!handed_on, "{kind} {name}: {key}");
        }
        for (key, _) in entries(object, "annotations") {
            assert!(entries(&cluster, "annotations").all(|(own, _)| own != key), "{kind} {name}: {key}");
            assert_ne!(key, "kubectl.kubernetes.io/last-applied-configuration", "{kind} {name}");
        }
        if let Some((_, instance)) = entries(object, "labels").find(|(key, _)| *key == INSTANCE) {
            let owners = object["metadata"]["ownerReferences"].as_array();
            assert!(
                owners.is_some_and(|owners| owners[0]["controller"] == true),
                "{kind} {name} has {INSTANCE}"
            );
            assert_eq!(instance, "small", "{kind} {name}");
        }
    }
}
