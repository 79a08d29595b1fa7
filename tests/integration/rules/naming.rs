//! Cases of names: clusters, paths, addresses, cells, databases, table groups.

use super::*;

pub const CASES: &[Case] = &[
    ("C01", |c| rename(c, &"a".repeat(40)), &[]),
    ("C01", |c| rename(c, &"a".repeat(41)), &[("Invalid", "metadata.name", "use at most 40 ")]),
    ("C01", |c| rename(c, "1a"), &[("Invalid", "metadata.name", "\"1a\" is not a valid cluster name")]),
    ("C01", |c| rename(c, "a.b"), &[("Invalid", "metadata.name", "\"a.b\" is not a valid cluster name")]),
    ("C01", |c| generate(c, "preview-"), &[]),
    ("C01", |c| generate(c, &"a".repeat(36)), &[("Invalid", "metadata.generateName", "use at most 35 ")]),
    ("C02", |c| topology(c)["rootPath"] = json!("/a/b-c_d.e"), &[]),
    (
        "C02",
        |c| topology(c)["rootPath"] = json!("multigres/global"),
        &[("Invalid", "spec.globalTopoServer.rootPath", "is not an absolute path")],
    ),
    (
        "C02",
        |c| topology(c)["rootPath"] = json!("/a/../b"),
        &[("Invalid", "spec.globalTopoServer.rootPath", "is not in normal form")],
    ),
    (
        "C02",
        |c| topology(c)["rootPath"] = json!("/".repeat(201)),
        &[("TooLong", "spec.globalTopoServer.rootPath", "may not be more than 200")],
    ),
    (
        "C02",
        |c| cell(c)["spec"]["topoServer"] = json!({"external": {"address": "etcd:2379", "rootPath": "a"}}),
        &[(
            "Invalid",
            "spec.cells.templates[0].spec.topoServer.external.rootPath",
            "is not an absolute path",
        )],
    ),
    (
        "C03",
        |c| {
            topology(c)["external"] =
                json!({"address": "etcd-0.example.com:2379,[fd00::1]:2379,10.0.0.1:2379"});
        },
        &[],
    ),
    (
        "C03",
        |c| topology(c)["external"] = json!({"address": "https://etcd.example.com:2379"}),
        &[("Invalid", "spec.globalTopoServer.external.address", "has a URL scheme")],
    ),
    (
        "C03",
        |c| topology(c)["external"] = json!({"address": "[etcd:2379](http://etcd:2379)"}),
        &[("Invalid", "spec.globalTopoServer.external.address", "is a Markdown link")],
    ),
    (
        "C03",
        |c| topology(c)["external"] = json!({"address": "etcd:2379,ETCD.:2379"}),
        &[("Invalid", "spec.globalTopoServer.external.address", "is listed twice")],
    ),
    (
        "C03",
        |c| topology(c)["external"] = json!({"address": "etcd:65536"}),
        &[("Invalid", "spec.globalTopoServer.external.address", "has no valid port")],
    ),
    (
        "C03",
        |c| cell(c)["spec"]["topoServer"] = json!({"external": {"address": "etcd", "rootPath": "/a"}}),
        &[("Invalid", "spec.cells.templates[0].spec.topoServer.external.address", "has no port")],
    ),
    (
        "C04",
        |c| *topology(c) = json!({"rootPath": "/a", "managed": false, "external": {"address": "e:1"}}),
        &[],
    ),
    (
        "C04",
        |c| topology(c)["managed"] = json!(false),
        &[("Required", "spec.globalTopoServer.external", "\"sound-etcd-client.")],
    ),
    (
        "C04",
        |c| topology(c)["external"] = json!({}),
        &[("Required", "spec.globalTopoServer.external.address", "has no address")],
    ),
    ("C06", |c| push(&mut c["spec"]["cells"]["templates"], json!({"name": "1".repeat(40)})), &[]),
    (
        "C06",
        |c| push(&mut c["spec"]["cells"]["templates"], json!({"name": "1".repeat(41)})),
        &[("Invalid", "spec.cells.templates[2].name", "use at most 40 ")],
    ),
    (
        "C06",
        |c| push(&mut c["spec"]["cells"]["templates"], json!({"name": "backups"})),
        &[("Invalid", "spec.cells.templates[2].name", "is reserved: the topology uses it as a key")],
    ),
    (
        "C06",
        |c| pool(c, 1)["name"] = json!("Reports_"),
        &[(
            "Invalid",
            "spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools[1].name",
            "is not a valid pool name",
        )],
    ),
    ("C07", |c| database(c, 0)["name"] = json!("users_db"), &[]),
    (
        "C07",
        |c| database(c, 0)["name"] = json!("users-db"),
        &[("Invalid", "spec.databases.templates[0].name", "is not a valid database name")],
    ),
    (
        "C07",
        |c| database(c, 0)["name"] = json!("template1"),
        &[(
            "Invalid",
            "spec.databases.templates[0].name",
            "is reserved: it is a template database of PostgreSQL",
        )],
    ),
    (
        "C22",
        |c| {
            let annotations = json!({"service.beta.kubernetes.io/aws-load-balancer-type": "nlb"});
            cell(c)["spec"]["multiGateway"]["service"]["annotations"] = annotations;
            pool(c, 0)["podLabels"] = json!({"example.com/team": "payments"});
        },
        &[],
    ),
    (
        "C22",
        |c| {
            let annotations = json!({"app.kubernetes.io/instance": "sound"});
            cell(c)["spec"]["multiGateway"]["service"]["annotations"] = annotations;
            pool(c, 0)["podLabels"] = json!({"multigres.com/shard": "0-inf"});
            c["spec"]["admin"]["spec"] =
                json!({"podAnnotations": {"kubectl.kubernetes.io/restartedAt": "now"}});
        },
        &[
            (
                "Forbidden",
                "spec.admin.spec.podAnnotations[kubectl.kubernetes.io/restartedAt]",
                "begin with \"kubectl.kubernetes.io/\" are reserved",
            ),
            (
                "Forbidden",
                "spec.cells.templates[0].spec.multiGateway.service.annotations[app.kubernetes.io/instance]",
                "begin with \"app.kubernetes.io/\" are reserved",
            ),
            (
                "Forbidden",
                "spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools[0].podLabels[multigres.com/shard]",
                "begin with \"multigres.com/\" are reserved",
            ),
        ],
    ),
];
