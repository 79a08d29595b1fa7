//! Volumes, amounts, numbers and images. Causes are in the order of the document as the API server sends it: its maps are
//! sorted.

use super::*;

pub const CASES: &[Case] = &[
    ("C24", |c| c["spec"]["workloadRevision"] = json!(1), &[]),
    ("C24", |c| c["spec"]["workloadRevision"] = json!(2), &[]),
    (
        "C24",
        |c| c["spec"]["workloadRevision"] = json!(3),
        &[(
            "Invalid",
            "spec.workloadRevision",
            "this operator builds no revision 3; write one of 1 to 2, or upgrade the operator first",
        )],
    ),
    (
        "C24",
        |c| c["spec"]["workloadRevision"] = json!(0),
        &[("Invalid", "spec.workloadRevision", "should be greater than or equal to 1")],
    ),
    ("C13", |c| volume(c)["resources"]["requests"]["storage"] = json!("1.5Gi"), &[]),
    (
        "C13",
        |c| without(pool(c, 1), "dataVolumeClaimTemplate"),
        &[(
            "Required",
            "spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools[1].dataVolumeClaimTemplate",
            "the pool has no volume",
        )],
    ),
    (
        "C13",
        |c| without(&mut entries(c)[1]["replica"], "dataVolumeClaimTemplate"),
        &[(
            "Required",
            "spec.databases.templates[0].spec.pools[1].replica.dataVolumeClaimTemplate",
            "nor does a primary in this entry have one to inherit",
        )],
    ),
    (
        "C13",
        |c| *volume(c) = json!({}),
        &[
            (
                "Required",
                "spec.databases.templates[0].spec.pools[0].primary.dataVolumeClaimTemplate.accessModes",
                "the volume has no access mode",
            ),
            (
                "Required",
                "spec.databases.templates[0].spec.pools[0].primary.dataVolumeClaimTemplate.resources.requests.storage",
                "the volume has no size",
            ),
        ],
    ),
    (
        "C13",
        |c| volume(c)["resources"]["requests"]["storage"] = json!("-1Gi"),
        &[(
            "Invalid",
            "spec.databases.templates[0].spec.pools[0].primary.dataVolumeClaimTemplate.resources.requests.storage",
            "is not a volume size",
        )],
    ),
    (
        "C13",
        |c| volume(c)["resources"]["requests"]["storage"] = json!("10 GB"),
        &[(
            "Invalid",
            "spec.databases.templates[0].spec.pools[0].primary.dataVolumeClaimTemplate.resources.requests.storage",
            "is not a quantity",
        )],
    ),
    (
        "C13",
        |c| {
            let mut none = volume(c).clone();
            none["resources"]["requests"]["storage"] = json!(0);
            topology(c)["managedSpec"] = json!({"dataVolumeClaimTemplate": none});
            c["spec"]["backup"] = json!({"filesystem": {"volumeClaimTemplate": none}});
        },
        &[
            (
                "Invalid",
                "spec.backup.filesystem.volumeClaimTemplate.resources.requests.storage",
                "write more than 0",
            ),
            (
                "Invalid",
                "spec.globalTopoServer.managedSpec.dataVolumeClaimTemplate.resources.requests.storage",
                "write more than 0",
            ),
        ],
    ),
    (
        "C14",
        |c| {
            c["spec"]["admin"]["spec"]["resources"] =
                json!({"requests": {"cpu": "1"}, "limits": {"cpu": "1000m"}});
        },
        &[],
    ),
    (
        "C14",
        |c| c["spec"]["admin"]["spec"]["resources"] = json!({"requests": {"cpu": "2"}, "limits": {"cpu": 1}}),
        &[("Invalid", "spec.admin.spec.resources.limits[cpu]", "\"1\" is below the request of \"2\"")],
    ),
    (
        "C14",
        |c| {
            cell(c)["spec"]["multiGateway"]["resources"] = json!({"limits": {"memory": "1 GB"}});
            pool(c, 0)["postgres"] = json!({"resources": {"requests": {"cpu": "-1"}}});
        },
        &[
            (
                "Invalid",
                "spec.cells.templates[0].spec.multiGateway.resources.limits[memory]",
                "is not a quantity",
            ),
            (
                "Invalid",
                "spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools[0].postgres.resources.requests[cpu]",
                "is negative",
            ),
        ],
    ),
    (
        "C16",
        |c| {
            c["spec"]["admin"]["spec"]["image"] =
                json!(format!("localhost:5000/a/b_c:V1.0@sha256:{}", "0".repeat(64)));
        },
        &[],
    ),
    (
        "C16",
        |c| {
            c["spec"]["admin"]["spec"]["image"] = json!("https://ghcr.io/multigres/multigres:v1");
            c["spec"]["cells"]["multiGatewayImage"] = json!("multigres: v1");
            pool(c, 0)["postgres"] = json!({"image": "Pgctld:v1"});
        },
        &[
            (
                "Invalid",
                "spec.admin.spec.image",
                "\"https://ghcr.io/multigres/multigres:v1\" is not an image reference",
            ),
            (
                "Invalid",
                "spec.cells.multiGatewayImage",
                "write for example \"ghcr.io/multigres/multigres:v0.1.0\"",
            ),
            (
                "Invalid",
                "spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools[0].postgres.image",
                "\"Pgctld:v1\" is not an image reference",
            ),
        ],
    ),
    (
        "C15",
        |c| {
            c["spec"]["admin"]["spec"]["replicas"] = json!(10);
            c["spec"]["orchestrator"]["spec"]["replicas"] = json!(3);
            cell(c)["spec"]["multiGateway"]["replicas"] = json!(100);
            topology(c)["managedSpec"] = json!({"replicas": 7});
            entries(c)[0]["primary"]["replicas"] = json!(10);
            entries(c)[0]["replica"]["replicas"] = json!(100);
        },
        &[],
    ),
    (
        "C15",
        |c| {
            topology(c)["managedSpec"] = json!({"replicas": 2});
            c["spec"]["admin"]["spec"]["replicas"] = json!(11);
            c["spec"]["orchestrator"]["spec"]["replicas"] = json!(4);
            cell(c)["spec"]["multiGateway"]["replicas"] = json!(101);
            pool(c, 1)["replicas"] = json!(101);
        },
        &[
            ("Invalid", "spec.admin.spec.replicas", "or equal to 10"),
            ("Invalid", "spec.cells.templates[0].spec.multiGateway.replicas", "or equal to 100"),
            (
                "Invalid",
                "spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools[1].replicas",
                "or equal to 100",
            ),
            ("NotSupported", "spec.globalTopoServer.managedSpec.replicas", "\"1\", \"3\", \"5\", \"7\""),
            ("Invalid", "spec.orchestrator.spec.replicas", "or equal to 3"),
        ],
    ),
    (
        "C15",
        |c| entries(c)[0]["primary"]["replicas"] = json!(11),
        &[(
            "Invalid",
            "spec.databases.templates[0].spec.pools[0].primary.replicas",
            "a primary pool has 1 to 10 instances",
        )],
    ),
    (
        "C15",
        |c| {
            fill(&mut c["spec"]["cells"]["templates"], 50);
            fill(&mut c["spec"]["databases"]["templates"], 50);
            fill(&mut group(c)["shardTemplate"]["pools"], 20);
            fill(&mut database(c, 1)["spec"]["tableGroups"], 20);
        },
        &[],
    ),
    (
        "C15",
        |c| fill(&mut c["spec"]["cells"]["templates"], 51),
        &[("TooMany", "spec.cells.templates", "must have at most 50 items")],
    ),
    (
        "C15",
        |c| fill(&mut c["spec"]["databases"]["templates"], 51),
        &[("TooMany", "spec.databases.templates", "must have at most 50 items")],
    ),
    (
        "C15",
        |c| fill(&mut database(c, 1)["spec"]["tableGroups"], 21),
        &[("TooMany", "spec.databases.templates[1].spec.tableGroups", "must have at most 20 items")],
    ),
    (
        "C15",
        |c| fill(&mut group(c)["shardTemplate"]["pools"], 21),
        &[(
            "TooMany",
            "spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools",
            "must have at most 20 items",
        )],
    ),
    (
        "C23",
        |c| {
            let placement = json!({
                "zone": "eu-west-1a",
                "tolerations": [{"operator": "Exists"}],
                "affinity": on_nodes(&json!({"key": "disk", "operator": "In", "values": ["ssd"]})),
            });
            c["spec"]["admin"]["spec"] = json!({"podLabels": {"team": "a"}, "placement": placement});
            c["spec"]["imagePullSecrets"] = json!([{"name": "registry"}]);
        },
        &[],
    ),
    (
        "C23",
        |c| {
            let placement = json!({
                "zone": "eu west",
                "tolerations": [{"key": "a", "operator": "In"}],
                "affinity": on_nodes(&json!({"key": "disk", "operator": "In"})),
            });
            c["spec"]["admin"]["spec"] = json!({"podLabels": {"team": "a b"}, "placement": placement});
            c["spec"]["imagePullSecrets"] = json!([{"name": "Registry"}]);
            volume(c)["storageClassName"] = json!("Fast");
            volume(c)["accessModes"] = json!(["ReadWriteOncePod", "ReadWriteOnce"]);
            c["spec"]["orchestrator"]["spec"]["resources"] = json!({"requests": {"example.com/gpu": 1}});
        },
        &[
            (
                "Required",
                "spec.admin.spec.placement.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values",
                "In needs at least one value; write one",
            ),
            ("Invalid", "spec.admin.spec.placement.tolerations[0].operator", "is not an operator"),
            ("Invalid", "spec.admin.spec.placement.zone", "is not a valid label value"),
            ("Invalid", "spec.admin.spec.podLabels[team]", "is not a valid label value"),
            (
                "Forbidden",
                "spec.databases.templates[0].spec.pools[0].primary.dataVolumeClaimTemplate.accessModes",
                "ReadWriteOncePod excludes other modes",
            ),
            (
                "Invalid",
                "spec.databases.templates[0].spec.pools[0].primary.dataVolumeClaimTemplate.storageClassName",
                "is not a valid object name",
            ),
            ("Invalid", "spec.imagePullSecrets[0].name", "\"Registry\" is not a valid object name"),
            (
                "Invalid",
                "spec.orchestrator.spec.resources.requests[example.com/gpu]",
                "cannot be overcommitted; write the same limit and request",
            ),
        ],
    ),
    ("C21", |c| c["spec"]["backup"] = s3(&json!("https://s3.example.com"), "clusters/sound"), &[]),
    ("C21", |c| c["spec"]["backup"] = json!({}), &[("Required", "spec.backup", "names no location")]),
    (
        "C21",
        |c| {
            c["spec"]["backup"] = s3(&json!("https://s3.example.com/bucket"), "clusters/");
            c["spec"]["backup"]["s3"]["region"] = json!("");
            let mut both = s3(&json!(null), "a");
            both["filesystem"] = json!({"volumeClaimTemplate": volume(c)});
            database(c, 0)["spec"]["backup"] = both;
        },
        &[
            ("Invalid", "spec.backup.s3.endpoint", "has a path"),
            ("Invalid", "spec.backup.s3.keyPrefix", "begins or ends with '/'"),
            ("Required", "spec.backup.s3.region", "is empty"),
            ("Forbidden", "spec.databases.templates[0].spec.backup.s3", "filesystem is set too"),
        ],
    ),
];

fn s3(endpoint: &Value, key_prefix: &str) -> Value {
    let mut s3 = json!({"bucket": "backups", "region": "us-east-1", "keyPrefix": key_prefix});
    if !endpoint.is_null() {
        s3["endpoint"] = endpoint.clone();
    }
    json!({"s3": s3})
}

/// An affinity for nodes of which this is demanded.
fn on_nodes(expression: &Value) -> Value {
    let terms = json!({"nodeSelectorTerms": [{"matchExpressions": [expression]}]});
    json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}})
}
