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
                    "cannot be changed from 3 to 5: changing etcd's membership is not implemented",
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
    (
        |c| {
            let address = "etcd-0.update.example.com:2379,etcd-1.update.example.com:2379";
            *topology(c) = json!({"rootPath": "/multigres/sound", "external": {"address": address}});
        },
        &[
            ("U02", |c| topology(c)["external"]["address"] = json!("etcd-1.update.example.com:2379"), &[]),
            (
                "U02",
                |c| topology(c)["external"]["address"] = json!("etcd-2.update.example.com:2379"),
                &[("Forbidden", "spec.globalTopoServer.external.address", "the topology would move from ")],
            ),
            (
                "U02",
                |c| without(topology(c), "external"),
                &[("Forbidden", "spec.globalTopoServer.external", "to the managed etcd without its records")],
            ),
        ],
    ),
    (
        |c| c["spec"]["databases"]["images"] = json!({"postgres": "example.com/postgres:16.4"}),
        &[
            (
                "U07",
                |c| database(c, 0)["spec"]["images"] = json!({"postgres": "a/my-postgres:16.5-alpine"}),
                &[],
            ),
            (
                "U07",
                |c| c["spec"]["databases"]["images"] = json!({"postgres": "example.com/postgres:17"}),
                &[(
                    "Forbidden",
                    "spec.databases.images.postgres",
                    "is PostgreSQL 17, which cannot read the data of 16",
                )],
            ),
        ],
    ),
    (
        |c| {
            push(&mut c["spec"]["cells"]["templates"], json!({"name": "unused"}));
            c["spec"]["deletionProtection"] = json!(true);
            pool(c, 0)["replicas"] = json!(6);
        },
        &[
            (
                "U08",
                |c| {
                    let external = json!({"address": "etcd.unused.example.com:2379", "rootPath": "/unused"});
                    c["spec"]["cells"]["templates"][2]["spec"] =
                        json!({"topoServer": {"external": external}});
                },
                &[],
            ),
            (
                "U08",
                |c| {
                    let external = json!({"address": "etcd.used.example.com:2379", "rootPath": "/used"});
                    cell(c)["spec"]["topoServer"] = json!({"external": external});
                },
                &[(
                    "Forbidden",
                    "spec.cells.templates[0].spec.topoServer",
                    "cannot be changed while pools use the cell",
                )],
            ),
            ("U09", |c| c["spec"]["databases"]["templates"].as_array_mut().unwrap().reverse(), &[]),
            (
                "U09",
                |c| {
                    c["spec"]["databases"]["templates"].as_array_mut().unwrap().pop();
                    without(&mut entries(c)[0], "replica");
                },
                &[
                    ("Forbidden", "spec.databases.templates", "database \"full\" cannot be removed while"),
                    (
                        "Forbidden",
                        "spec.databases.templates[0].spec.pools",
                        "pool \"zone-a-replica\" cannot be removed while",
                    ),
                ],
            ),
            ("U11", |c| database(c, 0)["spec"]["durabilityPolicy"] = json!("AT_LEAST_2"), &[]),
            (
                "U11",
                |c| {
                    database(c, 0)["spec"]["durabilityPolicy"] = json!("MULTI_CELL_AT_LEAST_2");
                    c["spec"]["backup"] = json!({"s3": {"bucket": "b", "region": "r"}});
                },
                &[
                    ("Forbidden", "spec.backup", "backups cannot move from a volume to \"b\" in \"r\""),
                    (
                        "Forbidden",
                        "spec.databases.templates[0].spec.durabilityPolicy",
                        "cannot be changed from AT_LEAST_2 to MULTI_CELL_AT_LEAST_2",
                    ),
                ],
            ),
            ("U13", |c| pool(c, 0)["replicas"] = json!(4), &[]),
            (
                "U13",
                |c| pool(c, 0)["replicas"] = json!(2),
                &[(
                    "Forbidden",
                    "spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools[0].replicas",
                    "go step by step: zone-a-replica 6 → 4; wait; zone-a-replica 4 → 3; wait; zone-a-replica 3 → 2",
                )],
            ),
        ],
    ),
];

/// A volume claim of the first pool of a cluster, as if it had been made.
fn claim(cluster: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": cluster, "labels": {
            "multigres.com/cluster": cluster, "multigres.com/component": "multipooler", "multigres.com/database": "short",
            "multigres.com/tablegroup": "default", "multigres.com/shard": "0-inf", "multigres.com/pool": "zone-a-primary",
        }},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    })
}

/// Makes claims for clusters, and waits until admission knows of them: it sees them in order, so of all when of the
/// last.
pub async fn settle_volumes(namespace: &Namespace<'_>, clusters: impl Iterator<Item = String>) {
    const LAST: &str = "last";
    for name in clusters.chain([LAST.to_owned()]) {
        namespace.with_input(&["create", "-f", "-"], &claim(&name).to_string()).await.unwrap();
    }
    namespace.clusters().create(&sound_as(LAST)).await.allowed();
    let other = edited(sound_as(LAST), |c| volume(c)["storageClassName"] = json!("fast"));
    let clusters = namespace.clusters().dry_run();
    let is_known =
        || async { (!clusters.update_spec(LAST, &other["spec"]).await.is_allowed()).then_some(()) };
    crate::installation::eventually("admission knows of the volumes", is_known).await.unwrap();
}
