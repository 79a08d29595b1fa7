use std::sync::Arc;

use multigres_crds::v1alpha1::{MultiShard, MultigresCluster};
use serde_json::{Value, json};

use super::*;
use crate::testing::{Edit, FULL, SHORT, edit, edited, small, volume};
use crate::validate::testing::{Claims, create, decode_child, found, update};

const PRIMARY: &str = "/spec/pools/0/primary/dataVolumeClaimTemplate";
const PRIMARY_PATH: &str = "spec.databases.templates[0].spec.pools[0].primary.dataVolumeClaimTemplate";

fn primary(claim: Value) -> Vec<Edit> {
    vec![edit(SHORT, PRIMARY, claim)]
}

#[test]
fn claims() {
    let storage = format!("Invalid {PRIMARY_PATH}.resources.requests.storage");
    create(
        "C13",
        &[
            (primary(volume("1.5Gi")), &[]),
            (primary(volume("0")), &[&storage]),
            (primary(volume("-1Gi")), &[&storage]),
            (primary(volume("1 Gi")), &[&storage]),
            (
                primary(json!({})),
                &[
                    &format!("Required {PRIMARY_PATH}.accessModes"),
                    &format!("Required {PRIMARY_PATH}.resources.requests.storage"),
                ],
            ),
            (
                primary(json!(null)),
                &[
                    &format!("Required {PRIMARY_PATH}"),
                    "Required spec.databases.templates[0].spec.pools[0].replica.dataVolumeClaimTemplate",
                ],
            ),
            // What would be inherited is unknown.
            (primary(json!([])), &[]),
            (
                vec![edit(
                    FULL,
                    "/spec/tableGroups/0/shardTemplate/pools/1/dataVolumeClaimTemplate",
                    json!(null),
                )],
                &[
                    "Required spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools[1].dataVolumeClaimTemplate",
                ],
            ),
            (
                vec![edit("", "/spec/backup", json!({"filesystem": {"volumeClaimTemplate": volume("0")}}))],
                &["Invalid spec.backup.filesystem.volumeClaimTemplate.resources.requests.storage"],
            ),
            (
                vec![edit(
                    "",
                    "/spec/globalTopoServer/managedSpec",
                    json!({"dataVolumeClaimTemplate": volume("0")}),
                )],
                &[
                    "Invalid spec.globalTopoServer.managedSpec.dataVolumeClaimTemplate.resources.requests.storage",
                ],
            ),
        ],
    );
}

#[test]
fn shrinking() {
    let backup = |size: &str| {
        vec![edit("", "/spec/backup", json!({"filesystem": {"volumeClaimTemplate": volume(size)}}))]
    };
    let etcd = |size: &str| {
        vec![edit("", "/spec/globalTopoServer/managedSpec", json!({"dataVolumeClaimTemplate": volume(size)}))]
    };
    let storage = format!("Forbidden {PRIMARY_PATH}.resources.requests.storage");
    update(
        "U05",
        &[
            (vec![], primary(volume("20Gi")), &[]),
            (vec![], primary(volume("10240Mi")), &[]),
            (vec![], primary(volume("9Gi")), &[&storage]),
            (vec![], primary(volume("9 Gi")), &[]),
            (vec![], etcd("10Gi"), &[]),
            (
                vec![],
                etcd("9Gi"),
                &[
                    "Forbidden spec.globalTopoServer.managedSpec.dataVolumeClaimTemplate.resources.requests.storage",
                ],
            ),
            (
                backup("20Gi"),
                vec![edit("", "/spec/backup", json!(null))],
                &["Forbidden spec.backup.filesystem.volumeClaimTemplate.resources.requests.storage"],
            ),
            // The replica inherits what it had of its own before.
            (
                vec![edit(SHORT, "/spec/pools/0/replica/dataVolumeClaimTemplate", volume("20Gi"))],
                vec![edit(SHORT, "/spec/pools/0/replica/dataVolumeClaimTemplate", json!(null))],
                &[&storage],
            ),
        ],
    );
}

fn claim(bound: bool, capacity: &str) -> Claim {
    Claim {
        bound,
        capacity: Some(capacity.into()),
        storage_class: Some("standard".to_owned()),
        access_modes: vec![AccessMode::ReadWriteOnce],
        ..Claim::default()
    }
}

#[test]
fn a_failed_growth_can_be_taken_back() {
    let old = edited(small(), &primary(volume("20Gi")));
    for (claims, allowed) in [
        (Known::Yes(vec![claim(true, "10Gi"), claim(true, "10Gi")]), true),
        (Known::Yes(vec![claim(true, "10Gi"), claim(true, "20Gi")]), false),
        (Known::Yes(vec![claim(true, "10Gi"), claim(false, "10Gi")]), false),
        (Known::Yes(vec![]), false),
        (Known::NotYet, false),
    ] {
        let found = found("U05", &small(), Some(&old), &Claims(claims.clone()));
        assert_eq!(found.is_empty(), allowed, "{claims:?}: {found:?}");
    }
}

/// Knows of claims by their labels, as the caches do.
struct Labelled(Vec<(StringMap, Claim)>);

impl Lookup for Labelled {
    fn synced(&self) -> bool {
        true
    }

    fn cluster(&self, _: &str, _: &str) -> Option<Arc<MultigresCluster>> {
        None
    }

    fn claims(&self, _: &str, of: &StringMap) -> Known<Vec<Claim>> {
        let has_all = |labels: &StringMap| of.iter().all(|(key, value)| labels.get(key) == Some(value));
        let found = self.0.iter().filter(|(labels, _)| has_all(labels));
        Known::Yes(found.map(|(_, claim)| claim.clone()).collect())
    }
}

/// The claims of a shard, of so many Gi: one for backups, and a larger one of a pool.
fn shard(database: &str, range: &str, backups: &str) -> [(StringMap, Claim); 2] {
    let labels = Labels::new("c", Component::MultiPooler)
        .with(labels::DATABASE, database)
        .with(labels::TABLE_GROUP, "default")
        .with(labels::SHARD, range);
    let instance = Claim { pool: Some("p".to_owned()), ..claim(true, "100Gi") };
    [(labels.selector(), claim(true, backups)), (labels.with(labels::POOL, "p").selector(), instance)]
}

#[test]
fn a_failed_growth_of_backups_can_be_taken_back() {
    let backup = |size: &str| {
        vec![edit("", "/spec/backup", json!({"filesystem": {"volumeClaimTemplate": volume(size)}}))]
    };
    let (old, new) = (edited(small(), &backup("20Gi")), edited(small(), &backup("10Gi")));
    let claims = |of_short: &str, of_full: &str| {
        Labelled([shard("short", "0-inf", of_short), shard("full", "0-inf", of_full)].concat())
    };
    let refused = ["Forbidden spec.backup.filesystem.volumeClaimTemplate.resources.requests.storage"];
    assert!(found("U05", &new, Some(&old), &claims("10Gi", "10Gi")).is_empty());
    assert_eq!(found("U05", &new, Some(&old), &claims("20Gi", "10Gi")), refused);
    assert_eq!(found("U05", &new, Some(&old), &claims("10Gi", "20Gi")), refused);
    // Of claims for instances alone nothing follows for backups.
    let of_instances = [shard("short", "0-inf", "10Gi"), shard("full", "0-inf", "10Gi")];
    let of_instances = Labelled(of_instances.map(|[_, instance]| instance).into());
    assert_eq!(found("U05", &new, Some(&old), &of_instances), refused);
    let to = |class: &str| edited(new.clone(), &class_of_backups(class));
    assert!(found("U06", &to("fast"), Some(&new), &of_instances).is_empty());
    // A class that they have anyway is no change to them either.
    assert!(found("U06", &to("standard"), Some(&new), &claims("10Gi", "10Gi")).is_empty());
    let refused = ["Forbidden spec.backup.filesystem.volumeClaimTemplate.storageClassName"];
    assert_eq!(found("U06", &to("fast"), Some(&new), &claims("10Gi", "10Gi")), refused);
}

fn class_of_backups(class: &str) -> Vec<Edit> {
    vec![edit("/spec/backup/filesystem/volumeClaimTemplate", "/storageClassName", json!(class))]
}

#[test]
fn backups_of_a_child_are_those_of_its_shard() {
    let shard_of = |size: &str| {
        json!({
            "apiVersion": "multigres.com/v1alpha1", "kind": "MultiShard", "metadata": {"name": "s", "namespace": "ns"},
            "spec": {
                "cluster": "c", "database": "app", "tableGroup": "default", "shard": "0-80",
                "globalTopology": {"address": "e:1", "rootPath": "/m"},
                "password": {"secretKeyRef": {"name": "p", "key": "k"}},
                "backup": {"filesystem": {"volumeClaimTemplate": volume(size)}}, "pools": [],
            },
        })
    };
    let (old, new) = (shard_of("20Gi"), shard_of("10Gi"));
    let is_refused = |claims: Labelled| {
        let cx = crate::validate::Context { lookup: &claims, impact: None };
        let report =
            crate::validate::child::<MultiShard>(&decode_child(&new), Some(&decode_child(&old)), &cx);
        report.errors.iter().any(|cause| cause.message.contains("a volume cannot shrink"))
    };
    let claims = |own: &str, other: &str| {
        Labelled([shard("app", "0-80", own), shard("app", "80-inf", other)].concat())
    };
    assert!(!is_refused(claims("10Gi", "20Gi")));
    assert!(is_refused(claims("20Gi", "10Gi")));
}

#[test]
fn of_templates_that_are_ignored_there_are_no_volumes() {
    let managed = |managed: bool| vec![edit("/spec/databases", "/managed", json!(managed))];
    let external =
        |address: &str| vec![edit("/spec/globalTopoServer", "/external", json!({"address": address}))];
    let etcd = |size: &str| {
        vec![edit("/spec/globalTopoServer", "/managedSpec", json!({"dataVolumeClaimTemplate": volume(size)}))]
    };
    let class = || vec![edit(SHORT, &format!("{PRIMARY}/storageClassName"), json!("fast"))];
    let storage: &[&str] = &[&format!("Forbidden {PRIMARY_PATH}.resources.requests.storage")];
    let of_etcd: &[&str] =
        &["Forbidden spec.globalTopoServer.managedSpec.dataVolumeClaimTemplate.resources.requests.storage"];
    let unclear = || vec![edit("/spec/databases", "/managed", json!("yes"))];
    update(
        "U05",
        &[
            (managed(true), primary(volume("9Gi")), storage),
            (managed(false), primary(volume("9Gi")), &[]),
            (managed(false), [managed(true), primary(volume("9Gi"))].concat(), &[]),
            (managed(true), [managed(false), primary(volume("9Gi"))].concat(), &[]),
            (managed(true), [unclear(), primary(volume("9Gi"))].concat(), &[]),
            (vec![], etcd("9Gi"), of_etcd),
            (external("c-etcd-client:2379"), etcd("9Gi"), &[]),
            (vec![], [external("c-etcd-client:2379"), etcd("9Gi")].concat(), &[]),
            (
                vec![],
                [vec![edit("/spec/globalTopoServer", "/external", json!(1))], etcd("9Gi")].concat(),
                &[],
            ),
        ],
    );
    update(
        "U06",
        &[
            (managed(true), class(), &[&format!("Forbidden {PRIMARY_PATH}.storageClassName")]),
            (managed(false), class(), &[]),
        ],
    );
}

#[test]
fn a_pool_without_a_name_is_known_by_type_and_cell() {
    let pools = |first: Value, second: Value| {
        vec![edit(FULL, "/spec/tableGroups/0/shardTemplate/pools", json!([first, second]))]
    };
    let pool = |type_: Value, cell: Value, size: &str| json!({"type": type_, "cell": cell, "replicas": 2, "dataVolumeClaimTemplate": volume(size)});
    let (replica, reader) = (
        |size: &str| pool(json!("replica"), json!("a"), size),
        || pool(json!("readOnly"), json!("b"), "10Gi"),
    );
    let named = |mut pool: Value| {
        pool["name"] = json!("n");
        pool
    };
    let path = "spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools";
    let storage = |index: usize| {
        format!("Forbidden {path}[{index}].dataVolumeClaimTemplate.resources.requests.storage")
    };
    update(
        "U05",
        &[
            (pools(replica("10Gi"), reader()), pools(replica("9Gi"), reader()), &[&storage(0)]),
            // It would be taken for the other one.
            (
                pools(replica("10Gi"), reader()),
                pools(pool(json!("primary"), json!("a"), "9Gi"), replica("10Gi")),
                &[],
            ),
            (
                pools(replica("10Gi"), reader()),
                pools(pool(json!("replica"), json!(["a"]), "9Gi"), replica("10Gi")),
                &[],
            ),
            (
                pools(named(replica("10Gi")), reader()),
                pools(named(pool(json!("primary"), json!("a"), "9Gi")), reader()),
                &[&storage(0)],
            ),
            // What is wrong in what was there says nothing of what comes.
            (
                pools(pool(json!("primary"), json!("a"), "10Gi"), reader()),
                pools(replica("9Gi"), reader()),
                &[],
            ),
        ],
    );
    // In the short form the cell is all of the name that is written.
    update(
        "U05",
        &[(
            vec![],
            [vec![edit(SHORT, "/spec/pools/0/cell", json!(1))], primary(volume("9Gi"))].concat(),
            &[],
        )],
    );
}

#[test]
fn class_and_modes() {
    let class = |class: Value| {
        let claim = volume("10Gi");
        primary(
            edited(json!({"claim": claim}), &[edit("/claim", "/storageClassName", class)])["claim"].clone(),
        )
    };
    let modes = |modes: Value| {
        primary(
            edited(json!({"claim": volume("10Gi")}), &[edit("/claim", "/accessModes", modes)])["claim"]
                .clone(),
        )
    };
    update(
        "U06",
        &[
            (class(json!("fast")), class(json!("fast")), &[]),
            (vec![], class(json!("fast")), &[&format!("Forbidden {PRIMARY_PATH}.storageClassName")]),
            (
                class(json!("fast")),
                class(json!(null)),
                &[&format!("Forbidden {PRIMARY_PATH}.storageClassName")],
            ),
            (
                modes(json!(["ReadWriteOnce", "ReadOnlyMany"])),
                modes(json!(["ReadOnlyMany", "ReadWriteOnce"])),
                &[],
            ),
            (vec![], modes(json!(["ReadWriteMany"])), &[&format!("Forbidden {PRIMARY_PATH}.accessModes")]),
        ],
    );
    // Where a volume was never made, there is nothing that could not change.
    for change in [class(json!("fast")), modes(json!(["ReadWriteMany"]))] {
        let new = edited(small(), &change);
        let found = |claims| found("U06", &new, Some(&small()), &Claims(claims));
        assert!(found(Known::Yes(vec![])).is_empty(), "{change:?}");
        assert_eq!(found(Known::NotYet).len(), 1, "{change:?}");
        assert_eq!(found(Known::Yes(vec![claim(false, "10Gi")])).len(), 1, "{change:?}");
    }
    let claims = Claims(Known::Yes(vec![claim(true, "10Gi")]));
    let to = |name: &str| edited(small(), &class(json!(name)));
    assert!(found("U06", &to("standard"), Some(&small()), &claims).is_empty());
    assert!(!found("U06", &to("fast"), Some(&small()), &claims).is_empty());
}
