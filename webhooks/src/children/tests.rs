use serde_json::{json, to_value};

use super::*;
use crate::testing::parsed;
use crate::testing::reviews::{Clusters, children, cluster, edited, request, sharded_cluster};

const CELL: Kind = Kind::Child(ChildKind::MultiCell);

fn decide(kind: ChildKind, request: &Value, lookup: &dyn Lookup) -> Result<Vec<String>, Denial> {
    let json = parsed(request);
    protect(kind, &json.read::<Request<'_>>().unwrap().with_objects(json), lookup)
}

fn update(kind: ChildKind, old: &Value, new: &Value, lookup: &dyn Lookup) -> Result<Vec<String>, Denial> {
    decide(kind, &request(Kind::Child(kind), Some(old), Some(new)), lookup)
}

fn message(denied: Result<Vec<String>, Denial>) -> String {
    match denied.unwrap_err() {
        Denial::Forbidden { message, .. } => message,
        other => panic!("{other:?}"),
    }
}

/// Asserts that an edit of the cluster's child is denied with the field of the cluster to change instead.
fn assert_sent(cluster: &MultigresCluster, kind: ChildKind, index: usize, edit: (&str, Value, &str)) {
    let (pointer, value, instead) = edit;
    let old = &children(kind, cluster)[index];
    let new = edited(old, &format!("/spec{pointer}"), value);
    let (kind_name, name) = (kind.as_str(), &old["metadata"]["name"]);
    assert_eq!(
        message(update(kind, old, &new, &Clusters::with(cluster.clone()))),
        format!(
            "{kind_name} {name} is managed by MultigresCluster \"example-multigres-cluster\": \
             change spec.{instead} there"
        )
    );
}

#[test]
fn an_edit_is_sent_to_the_field_of_the_cluster() {
    use ChildKind::*;
    let cluster = cluster();
    let secrets = json!([{"name": "pull-secret"}]);
    let storage = "dataVolumeClaimTemplate/resources/requests/storage";
    for (kind, index, pointer, value, instead) in [
        (TopoServer, 0, "/image", json!("e:1"), "globalTopoServer.managedSpec.image"),
        (
            TopoServer,
            0,
            &format!("/{storage}"),
            json!("1Gi"),
            &format!("globalTopoServer.managedSpec.{}", storage.replace('/', ".")),
        ),
        (
            TopoServer,
            0,
            "/persistentVolumeClaimRetentionPolicy/whenDeleted",
            json!("Delete"),
            "persistentVolumeClaimRetentionPolicy.whenDeleted",
        ),
        (MultiAdmin, 0, "/replicas", json!(3), "admin.spec.replicas"),
        (MultiAdmin, 0, "/pods/imagePullSecrets", secrets, "imagePullSecrets"),
        (MultiAdmin, 0, "/paused", json!(true), "paused"),
        (MultiOrch, 0, "/resources/limits/cpu", json!("2"), "orchestrator.spec.resources.limits.cpu"),
        (MultiOrch, 0, "/cells/1/placement", json!({"zone": "b"}), "orchestrator.spec.placement"),
        (MultiOrch, 0, "/cells", json!([]), "cells.templates"),
        (MultiOrch, 0, "/globalTopology/address", json!("e:1"), "globalTopoServer.external.address"),
        (MultiOrch, 0, "/globalTopology/rootPath", json!("/m"), "globalTopoServer.rootPath"),
        (MultiCell, 0, "/multiGateway/replicas", json!(5), "cells.templates[0].spec.multiGateway.replicas"),
        (
            MultiCell,
            1,
            "/multiGateway/service/type",
            json!("ClusterIP"),
            "cells.templates[1].spec.multiGateway.service.type",
        ),
        (
            MultiCell,
            0,
            "/topology/address",
            json!("e:1"),
            "cells.templates[0].spec.topoServer.external.address",
        ),
        (MultiCell, 1, "/podLabels", json!({"a": "b"}), "cells.templates[1].spec.podLabels"),
    ] {
        assert_sent(&cluster, kind, index, (pointer, value, instead));
    }
}

#[test]
fn an_edit_of_a_shard_is_sent_to_the_form_that_it_was_written_in() {
    let (short, full) = (cluster(), sharded_cluster());
    for (cluster, index, pointer, value, instead) in [
        (&short, 0, "/backup/s3", json!({"bucket": "b", "region": "r"}), "backup.s3"),
        (&short, 0, "/password/secretKeyRef/name", json!("s"), "passwordSecretRef.name"),
        (&short, 0, "/pools/0/replicas", json!(2), "pools[0].primary.replicas"),
        (&short, 0, "/pools/1/postgres/image", json!("p:1"), "pools[0].replica.postgres.image"),
        (
            &short,
            0,
            "/pools/2/multiPooler/resources/limits/cpu",
            json!("1"),
            "pools[1].replica.multipooler.resources.limits.cpu",
        ),
        (&short, 0, "/pools/2/cell", json!("z"), "pools[1].cell"),
        (&short, 0, "/pools/0/type", json!("readOnly"), "pools[0]"),
        (&short, 0, "/pools", json!([]), "pools"),
        (
            &full,
            0,
            "/pools/0/multiPooler/image",
            json!("m:1"),
            "tableGroups[0].shardTemplate.pools[0].multiPooler.image",
        ),
        (&full, 2, "/pools/1/cell", json!("z"), "tableGroups[1].shardTemplate.pools[1].cell"),
        (&full, 1, "/pools", json!([]), "tableGroups[1].shardTemplate.pools"),
    ] {
        let instead = format!("databases.templates[0].spec.{instead}");
        assert_sent(cluster, ChildKind::MultiShard, index, (pointer, value, &instead));
    }
}

#[test]
fn every_field_of_every_kind_is_accounted_for() {
    let cluster = cluster();
    let lookup = Clusters::with(cluster.clone());
    for kind in ChildKind::ALL {
        let old = &children(kind, &cluster)[0];
        for field in old["spec"].as_object().unwrap().keys() {
            let new = edited(old, &format!("/spec/{field}"), json!("changed"));
            let message = message(update(kind, old, &new, &lookup));
            let own = ["cluster", "cell", "database", "tableGroup", "shard"];
            let end = if own.contains(&field.as_str()) { "only by the operator" } else { " there" };
            assert!(message.ends_with(end), "{message}");
        }
    }
}

#[test]
fn several_edits_are_told_at_once() {
    let cluster = cluster();
    let old = &children(ChildKind::MultiCell, &cluster)[0];
    let new = edited(old, "/spec/multiGateway/replicas", json!(5));
    let new = edited(&new, "/spec/multiGateway/image", json!("g:1"));
    let new = edited(&new, "/metadata/labels/multigres.com~1cell", json!("z"));
    let Err(Denial::Forbidden { message, causes }) =
        update(ChildKind::MultiCell, old, &new, &Clusters::with(cluster))
    else {
        panic!("allowed")
    };
    assert!(
        message.ends_with(
            "change spec.cells.templates[0].spec.multiGateway.image and \
             spec.cells.templates[0].spec.multiGateway.replicas there"
        ),
        "{message}"
    );
    let fields: Vec<&str> = causes.iter().map(|cause| cause.field.as_str()).collect();
    assert_eq!(
        fields,
        ["metadata.labels[multigres.com/cell]", "spec.multiGateway.image", "spec.multiGateway.replicas"]
    );
}

#[test]
fn long_enumerations_are_cut() {
    let fields = ["a", "b", "c", "d", "e", "f", "g"];
    assert_eq!(enumerate(&fields[..1]), "a");
    assert_eq!(enumerate(&fields[..3]), "a, b and c");
    assert_eq!(enumerate(&fields[..5]), "a, b, c, d and e");
    assert_eq!(enumerate(&fields), "a, b, c, d, e and 2 more");
}

/// Expected end of the denial's message for each state of the caches, or none if the write is allowed.
#[test]
fn protected_is_what_a_living_cluster_controls() {
    const DENIED: Option<&str> = Some("change spec.cells.templates[0].spec.multiGateway.replicas there");
    let cluster = cluster();
    let other_uid = MultigresCluster {
        metadata: kube::api::ObjectMeta { uid: Some("another".to_owned()), ..cluster.metadata.clone() },
        ..cluster.clone()
    };
    let terminating: MultigresCluster = {
        let mut value = to_value(&cluster).unwrap();
        value["metadata"]["deletionTimestamp"] = json!("2025-10-08T12:00:00Z");
        serde_json::from_value(value).unwrap()
    };
    let child = &children(ChildKind::MultiCell, &cluster)[0];
    let released = edited(child, "/metadata/labels/multigres.com~1managed", json!("false"));
    let orphan = edited(child, "/metadata/ownerReferences", json!([]));
    let foreign = edited(child, "/metadata/ownerReferences/0/kind", json!("Application"));
    let knows_nothing = |synced| Clusters { synced, cluster: None };
    for (what, old, lookup, denied) in [
        ("living", child, Clusters::with(cluster.clone()), DENIED),
        ("terminating", child, Clusters::with(terminating), DENIED),
        (
            "the caches fill",
            child,
            knows_nothing(false),
            Some("change spec.cells.templates[us-east-1].spec.multiGateway.replicas there"),
        ),
        ("gone", child, knows_nothing(true), None),
        ("made again", child, Clusters::with(other_uid), None),
        ("released", &released, Clusters::with(cluster.clone()), None),
        ("orphan", &orphan, Clusters::with(cluster.clone()), None),
        ("another kind's", &foreign, Clusters::with(cluster.clone()), None),
    ] {
        let new = edited(old, "/spec/multiGateway/replicas", json!(5));
        match (update(ChildKind::MultiCell, old, &new, &lookup), denied) {
            (Ok(warnings), None) => assert!(warnings.is_empty(), "{what}"),
            (denial @ Err(_), Some(end)) => {
                let message = message(denial);
                assert!(message.ends_with(end), "{what}: {message}");
            }
            (decision, _) => panic!("{what}: {decision:?}"),
        }
    }
}

#[test]
fn deletion_status_and_scale() {
    use ChildKind::*;
    let cluster = cluster();
    let lookup = Clusters::with(cluster.clone());
    for (kind, instead) in [
        (TopoServer, "set spec.globalTopoServer.external there first, which releases it"),
        (MultiAdmin, "set spec.admin.managed to false there first, which releases it"),
        (MultiOrch, "set spec.orchestrator.managed to false there first, which releases it"),
        (MultiCell, "remove spec.cells.templates[0] there"),
        (MultiShard, "remove spec.databases.templates[0] there"),
    ] {
        let child = &children(kind, &cluster)[0];
        let deletion = request(Kind::Child(kind), Some(child), None);
        assert!(message(decide(kind, &deletion, &lookup)).ends_with(instead), "{kind:?}");

        let mut status = request(Kind::Child(kind), Some(child), Some(child));
        status["subResource"] = json!("status");
        assert!(
            message(decide(kind, &status, &lookup)).ends_with("only the operator writes its status"),
            "{kind:?}"
        );

        let scale = json!({"metadata": {"name": "x"}, "spec": {"replicas": 1}});
        let mut scale = request(Kind::Child(kind), Some(&scale), Some(&scale));
        scale["subResource"] = json!("scale");
        assert!(message(decide(kind, &scale, &lookup)).contains("has no scale"), "{kind:?}");
    }
}

#[test]
fn what_is_not_the_operators_is_everyones() {
    let cluster = cluster();
    let child = &children(ChildKind::MultiShard, &cluster)[0];
    for (pointer, value) in [
        ("/metadata/labels/team", json!("payments")),
        ("/metadata/annotations", json!({"argocd.argoproj.io/tracking-id": "t"})),
        ("/metadata/finalizers", json!(["example.com/audit"])),
        ("/metadata/managedFields", json!([])),
    ] {
        let new = edited(child, pointer, value);
        assert_eq!(
            update(ChildKind::MultiShard, child, &new, &Clusters::with(cluster.clone())),
            Ok(vec![]),
            "{pointer}"
        );
    }
}

/// Ownership of a child is protected also while its cluster is paused.
#[test]
fn ownership_is_the_operators_to_change() {
    let mut cluster = cluster();
    cluster.spec.paused = Some(true);
    let lookup = Clusters::with(cluster.clone());
    let child = &children(ChildKind::MultiCell, &cluster)[0];
    let orphan = edited(child, "/metadata/ownerReferences", json!([]));
    let owner = |kind: &str, controller| json!([{"apiVersion": "multigres.com/v1alpha1", "kind": kind, "name": "y", "uid": "2", "controller": controller}]);
    let with_owner = |kind, controller| edited(&orphan, "/metadata/ownerReferences", owner(kind, controller));
    for (what, old, new, denied) in [
        ("set", &orphan, child.clone(), true),
        ("removed", child, orphan.clone(), true),
        ("changed", child, with_owner("MultigresCluster", true), true),
        ("no controller", &orphan, with_owner("MultigresCluster", false), false),
        ("another kind", &orphan, with_owner("Application", true), false),
        ("label removed", child, edited(child, "/metadata/labels", json!({})), true),
        (
            "label changed",
            child,
            edited(child, "/metadata/labels/multigres.com~1managed", json!("false")),
            true,
        ),
        (
            "label of an orphan",
            &orphan,
            edited(&orphan, "/metadata/labels/multigres.com~1managed", json!("no")),
            false,
        ),
        (
            "cluster label",
            &orphan,
            edited(&orphan, "/metadata/labels/multigres.com~1cluster", json!("no")),
            true,
        ),
    ] {
        assert_eq!(update(ChildKind::MultiCell, old, &new, &lookup).is_err(), denied, "{what}");
    }
    let create = |child| decide(ChildKind::MultiCell, &request(CELL, None, Some(child)), &lookup);
    assert!(message(create(child)).contains("only the operator may set"));
    assert_eq!(create(&orphan), Ok(vec![]));
    let mislabelled = edited(&orphan, "/metadata/labels/multigres.com~1cluster", json!("other"));
    assert!(
        message(create(&mislabelled)).contains("must be \"example-multigres-cluster\", as in spec.cluster")
    );
    // What was so before stays editable elsewhere.
    let edit = edited(&mislabelled, "/spec/multiGateway/replicas", json!(5));
    assert_eq!(update(ChildKind::MultiCell, &mislabelled, &edit, &lookup), Ok(vec![]));
}

#[test]
fn a_paused_cluster_lets_its_children_be_edited() {
    let mut cluster = cluster();
    cluster.spec.paused = Some(true);
    let lookup = Clusters::with(cluster.clone());
    let child = &children(ChildKind::MultiCell, &cluster)[0];
    let warning = vec![
        "MultigresCluster \"example-multigres-cluster\" is paused: unpausing it reverts this change"
            .to_owned(),
    ];
    let new = edited(child, "/spec/multiGateway/replicas", json!(0));
    assert_eq!(update(ChildKind::MultiCell, child, &new, &lookup), Ok(warning.clone()));
    let deletion = request(CELL, Some(child), None);
    assert_eq!(decide(ChildKind::MultiCell, &deletion, &lookup), Ok(warning));
    assert_eq!(update(ChildKind::MultiCell, child, child, &lookup), Ok(vec![]));
}

#[test]
fn metadata_that_cannot_be_read_is_invalid() {
    let child = json!({"metadata": {"name": "x", "ownerReferences": "y"}, "spec": {}});
    let request = request(CELL, None, Some(&child));
    let Err(Denial::Invalid(causes)) = decide(ChildKind::MultiCell, &request, &Clusters::with(cluster()))
    else {
        panic!("allowed")
    };
    assert_eq!(causes[0].field, "metadata.ownerReferences");
}
