use serde_json::{Value, json};

use super::*;
use crate::testing::{Edit, FULL, SHORT, edit, edited, small, volume};
use crate::validate::testing::{Claims, create, found, update};

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
    let claims = Claims(Known::Yes(vec![claim(true, "10Gi")]));
    let to = |name: &str| edited(small(), &class(json!(name)));
    assert!(found("U06", &to("standard"), Some(&small()), &claims).is_empty());
    assert!(!found("U06", &to("fast"), Some(&small()), &claims).is_empty());
}
