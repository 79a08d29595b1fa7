//! Persisted defaults: absent images and `managed` flags, and nothing in any list.

use multigres_crds::defaults;
use serde_json::{Map, Value, json};

use crate::installation::{Installation, Namespace};
use crate::rules::sound;
use crate::samples::{PROPOSAL, SMALL, TABLE_GROUPS, own};

/// Pointers to what is stored and was not written, and the values. Anything but an addition fails the test.
fn additions(written: &Value, stored: &Value) -> Value {
    let patch = serde_json::to_value(json_patch::diff(&written["spec"], &stored["spec"])).unwrap();
    let addition = |operation: &Value| {
        assert_eq!(operation["op"], "add", "{operation}");
        (operation["path"].as_str().unwrap().to_owned(), operation["value"].clone())
    };
    patch.as_array().unwrap().iter().map(addition).collect::<Map<_, _>>().into()
}

async fn namespace(purpose: &str) -> Namespace<'static> {
    Installation::shared().await.namespace(purpose).await
}

fn etcd() -> Value {
    json!({
        "image": defaults::ETCD_IMAGE, "replicas": 3,
        "dataVolumeClaimTemplate": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}},
    })
}

fn images() -> Value {
    json!({
        "postgres": defaults::POSTGRES_IMAGE, "multiPooler": defaults::MULTIGRES_IMAGE,
        "postgresExporter": defaults::POSTGRES_EXPORTER_IMAGE,
    })
}

/// An edit of the sound cluster without admin, orchestrator and databases, and what is added to it beside the first
/// two and what belongs to the cells.
type Shape = (fn(&mut Value), fn() -> Value);

const SHAPES: &[Shape] = &[
    (|_| {}, || json!({"/globalTopoServer/managed": true, "/globalTopoServer/managedSpec": etcd()})),
    (
        |spec| spec["globalTopoServer"]["managedSpec"] = json!({"image": "etcd:v1", "podLabels": {}}),
        || {
            json!({
                "/globalTopoServer/managed": true, "/globalTopoServer/managedSpec/replicas": 3,
                "/globalTopoServer/managedSpec/dataVolumeClaimTemplate": etcd()["dataVolumeClaimTemplate"],
            })
        },
    ),
    (|spec| spec["globalTopoServer"]["external"] = json!({"address": "etcd.elsewhere:2379"}), || json!({})),
    (
        |spec| {
            spec["globalTopoServer"]["external"] = json!({"address": "etcd.elsewhere:2379"});
            spec["globalTopoServer"]["managed"] = json!(true);
            spec["globalTopoServer"]["managedSpec"] = json!({"replicas": 1});
        },
        || json!({}),
    ),
    (
        |spec| spec["databases"] = json!({}),
        || {
            json!({
                "/globalTopoServer/managed": true, "/globalTopoServer/managedSpec": etcd(),
                "/databases/managed": true, "/databases/images": images(),
            })
        },
    ),
    (
        |spec| {
            spec["databases"] =
                json!({"managed": true, "images": {"multipooler": "pooler:v1"}, "templates": []});
        },
        || {
            json!({
                "/globalTopoServer/managed": true, "/globalTopoServer/managedSpec": etcd(),
                "/databases/images/postgres": defaults::POSTGRES_IMAGE,
                "/databases/images/postgresExporter": defaults::POSTGRES_EXPORTER_IMAGE,
            })
        },
    ),
];

#[tokio::test]
async fn absent_fields_of_sections_are_filled_in() {
    let namespace = namespace("defaults").await;
    for (edit, expected) in SHAPES {
        let mut cluster = sound();
        cluster["spec"].as_object_mut().unwrap().remove("databases");
        edit(&mut cluster["spec"]);
        let stored = namespace.clusters().dry_run().create(&cluster).await.allowed().body;
        let section = json!({"managed": true, "spec": {"image": defaults::MULTIGRES_IMAGE}});
        let mut expected = expected();
        expected["/admin"] = section.clone();
        expected["/orchestrator"] = section;
        expected["/cells/managed"] = json!(true);
        expected["/cells/multiGatewayImage"] = json!(defaults::MULTIGRES_IMAGE);
        expected["/workloadRevision"] = json!(defaults::WORKLOAD_REVISION);
        assert_eq!(additions(&cluster, &stored), expected, "{cluster}");
    }
}

#[tokio::test]
async fn sections_that_say_something_keep_it() {
    let namespace = namespace("defaults-kept").await;
    let mut cluster = sound();
    cluster["spec"]["globalTopoServer"]["managed"] = json!(true);
    cluster["spec"]["globalTopoServer"]["managedSpec"] = etcd();
    cluster["spec"]["admin"] = json!({"managed": false, "spec": {"replicas": 2}});
    cluster["spec"]["orchestrator"] = json!({"spec": {"image": "orch:v1"}});
    cluster["spec"]["cells"]["multiGatewayImage"] = json!("gateway:v1");
    cluster["spec"]["workloadRevision"] = json!(1);
    let stored = namespace.clusters().dry_run().create(&cluster).await.allowed().body;
    assert_eq!(
        additions(&cluster, &stored),
        json!({
            "/admin/spec/image": defaults::MULTIGRES_IMAGE, "/orchestrator/managed": true,
            "/cells/managed": true, "/databases/managed": true, "/databases/images": images(),
        })
    );
}

#[tokio::test]
async fn the_samples_of_the_proposal_get_only_images_and_flags() {
    let namespace = namespace("defaults-samples").await;
    let component = json!({"managed": true, "spec": {"image": defaults::MULTIGRES_IMAGE}});
    let sharded = json!({
        "/globalTopoServer/managed": true, "/globalTopoServer/managedSpec": etcd(),
        "/admin": component, "/orchestrator": component, "/cells/managed": true,
        "/cells/multiGatewayImage": defaults::MULTIGRES_IMAGE, "/databases/images": images(),
        "/workloadRevision": defaults::WORKLOAD_REVISION,
    });
    let proposal = json!({"/databases/images": images(), "/workloadRevision": defaults::WORKLOAD_REVISION});
    for (sample, expected) in [(PROPOSAL, proposal), (TABLE_GROUPS, sharded)] {
        let mut cluster: Value = serde_saphyr::from_str(&own(sample, &namespace.name)).unwrap();
        cluster["metadata"]["namespace"] = namespace.name.clone().into();
        let stored = namespace.clusters().dry_run().create(&cluster).await.allowed().body;
        assert_eq!(additions(&cluster, &stored), expected);
    }
}

/// Neither way of applying finds anything to do once it is done.
#[tokio::test]
async fn what_is_applied_again_is_unchanged() {
    let namespace = namespace("defaults-again").await;
    let manifest = SMALL.replacen("spec:", "spec:\n  paused: true", 1);
    let server_side = ["apply", "--server-side", "-f", "-"];
    for (name, way, again) in [
        ("by-client", &["apply", "-f", "-"][..], "unchanged"),
        ("by-server", &server_side, "serverside-applied"),
    ] {
        let manifest = manifest.replacen("name: small", &format!("name: {name}"), 1);
        namespace.with_input(way, &manifest).await.unwrap();
        let generation = async || {
            let cluster = namespace.get("multigrescluster", name).await.unwrap();
            cluster["metadata"]["generation"].clone()
        };
        let before = generation().await;
        let said = namespace.with_input(way, &manifest).await.unwrap();
        assert!(said.contains(again), "{said}");
        assert_eq!(generation().await, before);
        // kubectl fails where there is a difference.
        let diff: Vec<&str> = ["diff"].iter().chain(&way[1..]).copied().collect();
        namespace.with_input(&diff, &manifest).await.unwrap();
    }
}

/// A newer operator has other defaults. Whoever replaces a cluster by a manifest that leaves the images out meant no
/// change of them, and gets none.
#[tokio::test]
async fn an_image_that_an_update_leaves_out_stays_as_it_was() {
    let namespace = namespace("defaults-upgrade").await;
    let mut old = sound();
    old["spec"]["globalTopoServer"]["managedSpec"] = json!({"image": "etcd:old", "replicas": 3});
    old["spec"]["admin"] = json!({"spec": {"image": "multigres:old"}});
    old["spec"]["orchestrator"] = json!({"spec": {"image": "multigres:old"}});
    old["spec"]["cells"]["multiGatewayImage"] = json!("multigres:old");
    old["spec"]["databases"]["images"] =
        json!({"postgres": "pgctld:old", "multipooler": "multigres:old", "postgresExporter": "exporter:old"});
    let stored = namespace.clusters().create(&old).await.allowed().body;
    assert_eq!(stored["spec"]["workloadRevision"], defaults::WORKLOAD_REVISION);
    let said = namespace.with_input(&["replace", "-f", "-"], &sound().to_string()).await.unwrap();
    assert!(said.contains("replaced"), "{said}");
    let replaced = namespace.get("multigrescluster", "sound").await.unwrap();
    let mut expected = stored["spec"].clone();
    // The manifest spells it in neither way, so it comes back in the documented one.
    expected["databases"]["images"] =
        json!({"postgres": "pgctld:old", "multiPooler": "multigres:old", "postgresExporter": "exporter:old"});
    assert_eq!(replaced["spec"], expected);
}

#[tokio::test]
async fn a_child_that_stands_alone_is_labelled_with_its_cluster() {
    let namespace = namespace("defaults-child").await;
    let cell = json!({
        "apiVersion": "multigres.com/v1alpha1", "kind": "MultiCell", "metadata": {"name": "alone"},
        "spec": {
            "cluster": "elsewhere", "cell": "a",
            "globalTopology": {"address": "etcd:2379", "rootPath": "/multigres/elsewhere"},
            "topology": {"address": "etcd:2379", "rootPath": "/multigres/elsewhere/a"},
            "multiGateway": {"image": "gateway:v1", "replicas": 1},
        },
    });
    let stored = namespace.resource("multicells").dry_run().create(&cell).await.allowed().body;
    assert_eq!(stored["metadata"]["labels"], json!({"multigres.com/cluster": "elsewhere"}));
}
