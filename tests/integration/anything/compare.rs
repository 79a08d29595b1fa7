//! Comparison of what became of a namespace with what a fresh apply of the same spec gives.

use std::collections::BTreeSet;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use multigres_crds::v1alpha1::MultigresCluster;
use multigres_operator::build::{Environment, render};
use serde_json::{Map, Value, json};

use super::objects::{Key, Objects, key, text};

/// Annotations that Kubernetes itself sets.
const OF_KUBERNETES: [&str; 5] = [
    "deployment.kubernetes.io/",
    "pv.kubernetes.io/",
    "volume.kubernetes.io/",
    "volume.beta.kubernetes.io/",
    "endpoints.kubernetes.io/",
];
/// Fields that a claim keeps for good. One that an earlier spec led to has them as that spec said.
const FIXED_IN_CLAIMS: [&str; 3] =
    ["/spec/storageClassName", "/spec/accessModes", "/spec/resources/requests/storage"];
/// Differences that are told of one object.
const TOLD: usize = 4;

/// Outcome of a comparison.
#[derive(Default)]
pub struct Comparison {
    /// Differences that nothing explains.
    pub differences: Vec<String>,
    /// Instances of shards that are not what a fresh apply gives, or too many.
    pub stale_pods: Vec<Value>,
    /// Objects that outlive what they were made for.
    pub retained: usize,
    /// Objects of sections that are managed no more.
    pub released: usize,
    /// Objects that the planner of rollouts holds back, and says so.
    pub held: usize,
}

/// Kind and name of everything that a spec leads to, claims and passwords included.
pub fn names(cluster: &Value) -> BTreeSet<Key> {
    let Ok(cluster) = serde_json::from_value::<MultigresCluster>(cluster.clone()) else {
        return BTreeSet::new();
    };
    let mut names = BTreeSet::new();
    for manifest in render(&cluster, &Environment::default()) {
        let body = &manifest.body;
        names.insert((manifest.resource.kind.clone(), manifest.name.clone()));
        let replicas = body["spec"]["replicas"].as_i64().unwrap_or(1);
        for template in body["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
            let volume = text(&template["metadata"]["name"]);
            let claim = |ordinal| format!("{volume}-{}-{ordinal}", manifest.name);
            names.extend((0..replicas).map(|ordinal| ("PersistentVolumeClaim".to_owned(), claim(ordinal))));
        }
        if body["spec"]["password"]["generated"] == true {
            names.insert(("Secret".to_owned(), text(&body["spec"]["password"]["secretKeyRef"]["name"])));
        }
    }
    names
}

/// Compares a namespace with one in which the same spec was applied afresh. `explained` is what earlier specs led to.
pub fn compare(
    (namespace, there): (&str, &Objects),
    (fresh_namespace, fresh): (&str, &Objects),
    explained: &BTreeSet<Key>,
) -> Comparison {
    let mut comparison = Comparison::default();
    let released = released(there, fresh);
    let held = held(there);
    for (key, object) in there {
        if !is_compared(object) || released.contains(key) {
            comparison.released += usize::from(released.contains(key));
            continue;
        }
        let what = format!("{} {}", key.0, key.1);
        if let Some(expected) = fresh.get(key) {
            let (live, expected) =
                (normalized(object, there, namespace), normalized(expected, fresh, fresh_namespace));
            let mut differences = Vec::new();
            differ("", &live, &expected, &mut differences);
            if key.0 == "PersistentVolumeClaim" && explained.contains(key) {
                differences.retain(|(at, _)| !FIXED_IN_CLAIMS.iter().any(|field| at.starts_with(field)));
            }
            let is_held = held.iter().any(|shard| shard.holds(object, &differences));
            if is_held {
                comparison.held += 1;
            } else if !differences.is_empty() {
                comparison.stale_pods.extend(is_instance(object).then(|| object.clone()));
                let told = differences.iter().take(TOLD);
                comparison.differences.extend(told.map(|(at, how)| format!("{what}: {at}: {how}")));
            }
            if !object["metadata"]["deletionTimestamp"].is_null() {
                comparison.differences.push(format!("{what} is being deleted"));
            }
        } else if is_data(key) && explained.contains(key) {
            comparison.retained += 1;
        } else if held.iter().any(|shard| shard.holds(object, &[])) {
            comparison.held += 1;
        } else {
            comparison.stale_pods.extend(is_instance(object).then(|| object.clone()));
            comparison.differences.push(format!("{what} is too much"));
        }
    }
    for (kind, name) in released.iter().filter(|key| is_child(key) && !explained.contains(key)) {
        comparison.differences.push(format!("{kind} {name} was released, but never asked for"));
    }
    let missing = fresh.iter().filter(|(key, object)| is_compared(object) && !there.contains_key(key));
    comparison.differences.extend(missing.map(|((kind, name), _)| format!("{kind} {name} is missing")));
    comparison
}

/// Pods of Deployments have random names; the others are compared.
fn is_compared(object: &Value) -> bool {
    object["kind"] != "Pod" || owners(object).any(|owner| owner["kind"] == "StatefulSet")
}

/// True for pods that run PostgreSQL.
pub fn is_instance(object: &Value) -> bool {
    object["kind"] == "Pod" && !object["metadata"]["labels"]["multigres.com/shard"].is_null()
}

fn is_data(key: &Key) -> bool {
    matches!(key.0.as_str(), "PersistentVolumeClaim" | "Secret")
}

fn owners(object: &Value) -> impl Iterator<Item = &Value> {
    object["metadata"]["ownerReferences"].as_array().into_iter().flatten()
}

/// Children that were released, and everything that they own.
fn released(there: &Objects, fresh: &Objects) -> BTreeSet<Key> {
    let is_released = |(key, object): &(&Key, &Value)| {
        object["metadata"]["labels"]["multigres.com/managed"] == "false"
            && is_child(key)
            && !fresh.contains_key(*key)
    };
    let mut released: BTreeSet<Key> = there.iter().filter(is_released).map(|(key, _)| key.clone()).collect();
    loop {
        let uids: BTreeSet<String> =
            released.iter().map(|key| text(&there[key]["metadata"]["uid"])).collect();
        let owned = there.iter().filter(|(key, object)| {
            !released.contains(key) && owners(object).any(|owner| uids.contains(&text(&owner["uid"])))
        });
        let owned: Vec<Key> = owned.map(|(key, _)| key.clone()).collect();
        if owned.is_empty() {
            return released;
        }
        released.extend(owned);
    }
}

fn is_child(key: &Key) -> bool {
    matches!(key.0.as_str(), "TopoServer" | "MultiAdmin" | "MultiOrch" | "MultiCell" | "MultiShard")
}

/// A shard whose status says that instances stay until they may go: with fake nodes no role is ever known.
struct Held {
    labels: Map<String, Value>,
}

fn held(there: &Objects) -> Vec<Held> {
    let waits = |object: &&Value| {
        let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
        object["kind"] == "MultiShard"
            && conditions.into_iter().any(|condition| {
                condition["type"] == "Progressing" && condition["reason"] == "AwaitingQuorum"
            })
    };
    let labels = |object: &Value| {
        let labels = object["metadata"]["labels"].as_object().cloned().unwrap_or_default();
        let names = ["multigres.com/database", "multigres.com/tablegroup", "multigres.com/shard"];
        labels.into_iter().filter(|(name, _)| names.contains(&name.as_str())).collect()
    };
    there.values().filter(waits).map(|object| Held { labels: labels(object) }).collect()
}

impl Held {
    /// True for what is kept of instances that are to go: their number, their budget, and pods and Services of theirs.
    fn holds(&self, object: &Value, differences: &[(String, String)]) -> bool {
        let only = |path: &str| !differences.is_empty() && differences.iter().all(|(at, _)| at == path);
        let belongs = self.labels.iter().all(|(name, value)| object["metadata"]["labels"][name] == *value);
        belongs
            && match object["kind"].as_str() {
                Some("StatefulSet") => differences.is_empty() || only("/spec/replicas"),
                Some("PodDisruptionBudget") => only("/spec/minAvailable"),
                Some("Pod" | "Service") => differences.is_empty(),
                _ => false,
            }
    }
}

/// An object without what API servers assign, and without its namespace and password.
fn normalized(object: &Value, all: &Objects, namespace: &str) -> Value {
    let metadata = &object["metadata"];
    let mut annotations = metadata["annotations"].as_object().cloned().unwrap_or_default();
    annotations.retain(|name, _| !OF_KUBERNETES.iter().any(|prefix| name.starts_with(prefix)));
    let mut labels = metadata["labels"].as_object().cloned().unwrap_or_default();
    labels.remove("controller-revision-hash");
    let owners: Vec<Value> = owners(object)
        .map(|owner| json!({ "kind": owner["kind"], "name": owner["name"], "controller": owner["controller"] }))
        .collect();
    let mut finalizers = metadata["finalizers"].clone();
    if object["kind"] == "Pod" {
        finalizers = Value::Null;
    }
    let mut spec = object["spec"].clone();
    strip(&mut spec);
    let normal = json!({
        "labels": labels, "annotations": annotations, "owners": sorted(owners), "finalizers": finalizers,
        "spec": spec, "data": data(object, all), "type": object["type"],
    });
    let normal = normal.to_string().replace(namespace, "NAMESPACE");
    serde_json::from_str(&normal).unwrap()
}

fn sorted(mut owners: Vec<Value>) -> Vec<Value> {
    owners.sort_by_key(Value::to_string);
    owners
}

/// Removes addresses, ports and places that API servers and schedulers assign.
fn strip(spec: &mut Value) {
    let Some(fields) = spec.as_object_mut() else { return };
    for assigned in ["clusterIP", "clusterIPs", "healthCheckNodePort", "volumeName", "nodeName"] {
        fields.remove(assigned);
    }
    for list in ["ports", "volumeClaimTemplates"] {
        for item in fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(item) = item.as_object_mut() {
                item.remove("nodePort");
                item.remove("status");
            }
        }
    }
}

/// Data of a ConfigMap, or of a Secret with the password of its database made the same everywhere.
fn data(object: &Value, all: &Objects) -> Value {
    if object["kind"] != "Secret" {
        return object["data"].clone();
    }
    let decode = |value: &Value| {
        let bytes = BASE64_STANDARD.decode(text(value)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let passwords = all.iter().filter(|((kind, name), _)| kind == "Secret" && name.ends_with("-password"));
    let passwords: Vec<String> = passwords
        .flat_map(|(_, secret)| secret["data"].as_object().into_iter().flatten())
        .map(|(_, value)| decode(value))
        .filter(|password| !password.is_empty())
        .collect();
    let fields = object["data"].as_object().into_iter().flatten();
    let fields = fields.map(|(name, value)| {
        let plain =
            passwords.iter().fold(decode(value), |plain, password| plain.replace(password, "PASSWORD"));
        (name.clone(), Value::from(plain))
    });
    Value::Object(fields.collect())
}

/// Differences of two values, by path.
fn differ(at: &str, live: &Value, expected: &Value, differences: &mut Vec<(String, String)>) {
    match (live, expected) {
        (Value::Object(one), Value::Object(other)) => {
            let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for name in names {
                let at = format!("{at}/{name}");
                differ(&at, &live[name.as_str()], &expected[name.as_str()], differences);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                differ(&format!("{at}/{index}"), one, other, differences);
            }
        }
        _ if live != expected => differences.push((at.to_owned(), format!("{live}, expected {expected}"))),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(items: &[Value]) -> Objects {
        items.iter().map(|object| (key(object), object.clone())).collect()
    }

    #[test]
    fn names_are_those_of_everything_that_a_spec_leads_to() {
        let names = names(&crate::anything::edits::cluster("any"));
        for (kind, name) in [
            ("TopoServer", "any-etcd"),
            ("StatefulSet", "any-etcd"),
            ("PersistentVolumeClaim", "data-any-etcd-0"),
            ("MultiCell", "any-us-east-1"),
        ] {
            assert!(names.contains(&(kind.to_owned(), name.to_owned())), "{kind} {name}: {names:#?}");
        }
        let password = |(kind, name): &&Key| kind == "Secret" && name.ends_with("-password");
        assert_eq!(names.iter().filter(password).count(), 1);
    }

    /// The comparison is only worth something if it notices.
    #[test]
    fn differences_are_told_and_only_what_is_explained_may_be_left() {
        let object = |kind: &str, name: &str, spec: Value| json!({ "kind": kind, "metadata": { "name": name, "uid": name, "labels": {} }, "spec": spec });
        let service = |port: i32, address: &str| {
            object(
                "Service",
                "s",
                json!({ "clusterIP": address, "ports": [{ "port": port, "nodePort": port }] }),
            )
        };
        let claim = object("PersistentVolumeClaim", "data-0", json!({}));
        let mut released = object("MultiCell", "cell", json!({}));
        released["metadata"]["labels"]["multigres.com/managed"] = "false".into();
        let mut owned = object("Deployment", "gateway", json!({}));
        owned["metadata"]["ownerReferences"] = json!([{ "uid": "cell" }]);
        let explained = BTreeSet::from([key(&claim), key(&released)]);
        let fresh = objects(&[service(1, "10.0.0.1")]);
        let outcome = |items: &[Value], explained: &BTreeSet<Key>| {
            compare(("any-1", &objects(items)), ("new-1", &fresh), explained).differences
        };

        assert_eq!(outcome(&[service(1, "10.0.0.2"), claim.clone()], &explained), Vec::<String>::new());
        assert_eq!(
            outcome(&[service(1, ""), released.clone(), owned.clone()], &explained),
            Vec::<String>::new()
        );
        assert_eq!(outcome(&[service(2, "")], &explained), ["Service s: /spec/ports/0/port: 2, expected 1"]);
        assert_eq!(outcome(&[], &explained), ["Service s is missing"]);
        assert_eq!(outcome(&[service(1, ""), owned], &explained), ["Deployment gateway is too much"]);
        let unexplained = outcome(&[service(1, ""), claim, released], &BTreeSet::new());
        assert_eq!(
            unexplained,
            ["PersistentVolumeClaim data-0 is too much", "MultiCell cell was released, but never asked for"]
        );
    }
}
