//! Rules of updates.

use super::*;

/// An edit of the sound cluster before it is stored, and updates of what is then stored.
type Stored = (fn(&mut Value), &'static [Case]);

const STORAGE: &str =
    "spec.databases.templates[0].spec.pools[0].primary.dataVolumeClaimTemplate.resources.requests.storage";

pub const CASES: &[Stored] = &[
    (
        |_| {},
        &[
            ("U01", |c| c["spec"]["restartedAt"] = json!("2026-01-02T03:04:05Z"), &[]),
            (
                "U01",
                |c| c["spec"]["globalTopoServer"]["rootPath"] = json!("/multigres/other"),
                &[(
                    "Invalid",
                    "spec.globalTopoServer.rootPath",
                    "cannot be changed from \"/multigres/sound\" to \"/multigres/other\"",
                )],
            ),
            ("U03", |c| c["spec"]["globalTopoServer"]["managedSpec"] = json!({"replicas": 3}), &[]),
            (
                "U03",
                |c| c["spec"]["globalTopoServer"]["managedSpec"] = json!({"replicas": 5}),
                &[(
                    "Invalid",
                    "spec.globalTopoServer.managedSpec.replicas",
                    "cannot be changed from 3 to 5: a change of etcd's membership is not implemented",
                )],
            ),
            ("U04", |c| group(c)["partitioning"]["shards"] = json!(1.0), &[]),
            (
                "U04",
                |c| group(c)["partitioning"]["shards"] = json!(2),
                &[(
                    "Invalid",
                    "spec.databases.templates[1].spec.tableGroups[0].partitioning.shards",
                    "cannot be changed from 1 to 2: resharding is not implemented",
                )],
            ),
            // Reordered, the database is found by its name.
            (
                "U04",
                |c| {
                    group(c)["partitioning"]["shards"] = json!(2);
                    c["spec"]["databases"]["templates"].as_array_mut().unwrap().reverse();
                },
                &[(
                    "Invalid",
                    "spec.databases.templates[0].spec.tableGroups[0].partitioning.shards",
                    "from 1 to 2",
                )],
            ),
            ("U05", |c| volume(c)["resources"]["requests"]["storage"] = json!("10240Mi"), &[]),
            ("U05", |c| volume(c)["resources"]["requests"]["storage"] = json!("20Gi"), &[]),
            (
                "U05",
                |c| volume(c)["resources"]["requests"]["storage"] = json!("9Gi"),
                &[("Forbidden", STORAGE, "\"9Gi\" is less than the \"10Gi\" of now")],
            ),
            // What a replica no longer inherits counts as well.
            (
                "U05",
                |c| {
                    entries(c)[0]["replica"]["dataVolumeClaimTemplate"] = volume(c).clone();
                    entries(c)[0]["replica"]["dataVolumeClaimTemplate"]["resources"]["requests"]["storage"] =
                        json!("1Gi");
                },
                &[(
                    "Forbidden",
                    "spec.databases.templates[0].spec.pools[0].replica.dataVolumeClaimTemplate.resources.requests.storage",
                    "\"1Gi\" is less than the \"10Gi\" of now",
                )],
            ),
            (
                "U05",
                |c| {
                    let mut small = volume(c).clone();
                    small["resources"]["requests"]["storage"] = json!("1Gi");
                    c["spec"]["globalTopoServer"]["managedSpec"] = json!({"dataVolumeClaimTemplate": small});
                },
                &[(
                    "Forbidden",
                    "spec.globalTopoServer.managedSpec.dataVolumeClaimTemplate.resources.requests.storage",
                    "\"1Gi\" is less than the \"10Gi\" of now",
                )],
            ),
            (
                "U06",
                |c| volume(c)["accessModes"] = json!(["ReadWriteMany"]),
                &[(
                    "Forbidden",
                    "spec.databases.templates[0].spec.pools[0].primary.dataVolumeClaimTemplate.accessModes",
                    "cannot change from ReadWriteOnce to ReadWriteMany",
                )],
            ),
            (
                "U06",
                |c| volume(c)["storageClassName"] = json!("fast"),
                &[(
                    "Forbidden",
                    "spec.databases.templates[0].spec.pools[0].primary.dataVolumeClaimTemplate.storageClassName",
                    "cannot change from the default class to \"fast\"",
                )],
            ),
        ],
    ),
    (
        |c| c["spec"]["globalTopoServer"]["managedSpec"] = json!({"replicas": 5}),
        &[
            ("U03", |c| c["spec"]["globalTopoServer"]["managedSpec"]["podLabels"] = json!({"a": "b"}), &[]),
            // The default that would take its place is another number.
            (
                "U03",
                |c| without(&mut c["spec"]["globalTopoServer"], "managedSpec"),
                &[("Invalid", "spec.globalTopoServer.managedSpec.replicas", "from 5 to 3")],
            ),
        ],
    ),
    (
        |c| volume(c)["accessModes"] = json!(["ReadWriteOnce", "ReadOnlyMany"]),
        &[("U06", |c| volume(c)["accessModes"] = json!(["ReadOnlyMany", "ReadWriteOnce"]), &[])],
    ),
];
