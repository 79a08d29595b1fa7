use serde_json::json;

use super::*;

const SAMPLE: &str = include_str!("../../tests/samples/proposal-cluster.yaml");
const TABLE_GROUPS: &str = include_str!("../../tests/samples/tablegroups-cluster.yaml");

fn cluster(value: Value) -> MultigresCluster {
    serde_json::from_value(value).unwrap()
}

fn between(old: Value, new: Value) -> Vec<String> {
    let workloads = Workloads { environment: Environment::default() };
    workloads.consequences(&cluster(old), &cluster(new))
}

fn of(sample: &str, edit: fn(&mut Value)) -> Vec<String> {
    let old: Value = serde_saphyr::from_str(sample).unwrap();
    let mut new = old.clone();
    edit(&mut new);
    between(old, new)
}

fn consequences(edit: fn(&mut Value)) -> Vec<String> {
    of(SAMPLE, edit)
}

fn entries(cluster: &mut Value) -> &mut Value {
    &mut cluster["spec"]["databases"]["templates"][0]["spec"]["pools"]
}

#[test]
fn what_touches_no_pod_says_nothing() {
    assert!(consequences(|_| {}).is_empty());
    assert!(consequences(|cluster| cluster["spec"]["deletionProtection"] = true.into()).is_empty());
    assert!(consequences(|cluster| entries(cluster).as_array_mut().unwrap().reverse()).is_empty());
    // What is new disturbs nothing that runs.
    assert!(
        consequences(|cluster| {
            let mut database = cluster["spec"]["databases"]["templates"][0].clone();
            database["name"] = json!("fresh");
            cluster["spec"]["databases"]["templates"].as_array_mut().unwrap().push(database);
        })
        .iter()
        .all(|line| line.starts_with("multiorch")),
    );
}

#[test]
fn the_most_disruptive_comes_first() {
    let lines = consequences(|cluster| {
        cluster["spec"]["admin"]["spec"]["image"] = json!("multigres/multigres:v2");
        cluster["spec"]["cells"]["templates"][0]["spec"]["multiGateway"]["replicas"] = json!(1);
        cluster["spec"]["cells"]["templates"][1]["spec"]["multiGateway"]["replicas"] = json!(4);
        cluster["spec"]["orchestrator"]["spec"]["replicas"] = json!(0);
        entries(cluster)[1]["replica"]["replicas"] = json!(1);
        entries(cluster)[0]["replica"]["dataVolumeClaimTemplate"] =
            json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Ti"}}});
    });
    assert_eq!(
        lines,
        [
            "multiadmin: 1 pod restarts (image latest → v2)",
            "multigateway us-east-1: 2 → 1 pods",
            "multiorch us-east-1: 1 → 0 pods",
            "multiorch us-west-2: 1 → 0 pods",
            "users_db/0-inf us-west-2-replica: 3 → 1 instances; volumes are kept (Retain)",
            "users_db/0-inf us-east-1-replica: volumes grow 100Gi → 1Ti online, no restart",
            "multigateway us-west-2: 2 → 4 pods",
        ]
    );
}

#[test]
fn instances_of_a_shard_restart_one_at_a_time() {
    let image = |cluster: &mut Value| {
        cluster["spec"]["databases"]["images"] = json!({"multiPooler": "multigres/multigres:v9"});
    };
    let lines = of(TABLE_GROUPS, image);
    assert!(!lines.is_empty());
    for line in &lines {
        let restarts = [": 1 pod restarts (image ", "pods restart one at a time, primary last (image "];
        assert!(restarts.iter().any(|restarts| line.contains(restarts)), "{line}");
    }
    let resources = |cluster: &mut Value| {
        entries(cluster)[0]["primary"]["postgres"]["resources"] = json!({"limits": {"memory": "9Gi"}});
    };
    let lines = consequences(resources);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].starts_with("users_db/0-inf: ") && lines[0].ends_with(')'), "{lines:#?}");
    assert!(
        consequences(|cluster| cluster["spec"]["restartedAt"] = json!("2026-01-01T00:00:00Z"))
            .iter()
            .all(|line| line.ends_with("(restartedAt)") || line.starts_with("and "))
    );
}

#[test]
fn what_goes_is_told_as_a_whole() {
    let lines = consequences(|cluster| drop(cluster["spec"].as_object_mut().unwrap().remove("databases")));
    assert!(lines[0].starts_with("database \"users_db\" removed: "), "{lines:#?}");
    assert!(lines[0].ends_with(" kept (Retain)"), "{lines:#?}");
    let lines = of(TABLE_GROUPS, |cluster| {
        cluster["spec"]["databases"]["templates"][0]["spec"]["tableGroups"].as_array_mut().unwrap().pop();
    });
    assert!(lines[0].starts_with("table group "), "{lines:#?}");
    // The policy that holds is the one that is there when it goes.
    let mut old: Value = serde_saphyr::from_str(SAMPLE).unwrap();
    old["spec"]["persistentVolumeClaimRetentionPolicy"] = json!({"whenDeleted": "Delete"});
    let mut new = old.clone();
    drop(entries(&mut new)[0].as_object_mut().unwrap().remove("replica"));
    let line = "users_db/0-inf us-east-1-replica removed: 2 pods deleted, 2 volumes deleted (Delete)";
    assert_eq!(between(old, new), [line]);
}

#[test]
fn what_is_released_stays() {
    let lines = consequences(|cluster| cluster["spec"]["admin"]["managed"] = json!(false));
    let admin = "MultiAdmin example-multigres-cluster-admin released: not deleted, yours to edit";
    assert_eq!(lines, [format!("admin.managed true → false: {admin}")]);

    let lines = consequences(|cluster| cluster["spec"]["cells"]["managed"] = json!(false));
    assert_eq!(
        lines,
        ["cells.managed true → false: MultiCell us-east-1, us-west-2 released: not deleted, yours to edit"]
    );

    let lines = consequences(|cluster| {
        let address = "example-multigres-cluster-etcd-client.multigres.svc:2379";
        cluster["spec"]["globalTopoServer"]["external"] = json!({ "address": address });
    });
    let etcd = "TopoServer example-multigres-cluster-etcd released: not deleted, yours to edit";
    assert_eq!(lines, [format!("globalTopoServer.external set: {etcd}")]);
}

#[test]
fn while_paused_nothing_happens() {
    let lines = consequences(|cluster| {
        cluster["spec"]["paused"] = json!(true);
        cluster["spec"]["admin"]["spec"]["replicas"] = json!(0);
    });
    assert_eq!(lines, ["paused: nothing of this happens until the cluster is unpaused"]);
    assert!(consequences(|cluster| cluster["spec"]["paused"] = json!(true)).is_empty());
}

#[test]
fn many_consequences_are_counted() {
    let lines = consequences(|cluster| cluster["spec"]["restartedAt"] = json!("2026-01-01T00:00:00Z"));
    assert!(lines.len() <= READABLE + 1, "{lines:#?}");
}

#[test]
fn a_revision_is_the_reason_of_the_restarts_that_it_causes() {
    let raised = consequences(|cluster| cluster["spec"]["workloadRevision"] = json!(2));
    assert!(
        raised.iter().any(|line| {
            line == "users_db/0-inf: 6 pods restart one at a time, primary last (workloadRevision 1 → 2)"
        }),
        "{raised:#?}"
    );
    for line in &raised {
        assert!(line.ends_with("(workloadRevision 1 → 2)"), "{line}");
    }
    assert!(consequences(|cluster| cluster["spec"]["workloadRevision"] = json!(1)).is_empty());
}
