//! `MultiOrch`: multiorch, in every cell.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use kube::ResourceExt;
use multigres_crds::labels::{self, Labels};
use multigres_crds::names;
use multigres_crds::v1alpha1::{MultiOrch, MultiOrchSpec, OrchCell};

use super::container::{Component, with_read_only_root};
use super::object::{metadata, selector};
use super::pod::Pod;
use super::ports::{ORCH_GRPC, ORCH_HTTP};
use super::{Build, Environment, Manifest, STEADY, topology};

impl Build for MultiOrch {
    fn build(&self, _: &Environment) -> Vec<Manifest> {
        self.spec.cells.iter().map(|cell| Manifest::new(&stateful_set(self, cell))).collect()
    }
}

/// A StatefulSet for the names of its pods alone: an orchestrator that returns under its name takes up the
/// initialisation of a shard that it claimed. Peers reach it by address, so there is no Service.
fn stateful_set(orch: &MultiOrch, cell: &OrchCell) -> StatefulSet {
    let spec = &orch.spec;
    let name = names::multiorch(&spec.cluster, &cell.name);
    let labels = Labels::new(&spec.cluster, labels::Component::MultiOrch).with(labels::CELL, &cell.name);
    let replicas = replicas(&orch.spec, &cell.name);
    StatefulSet {
        metadata: metadata(name.clone(), &orch.namespace().unwrap_or_default(), labels.object()),
        spec: Some(StatefulSetSpec {
            replicas: Some(replicas),
            selector: selector(labels.selector()),
            service_name: Some(name),
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: None,
            }),
            template: pod(orch, cell, &labels).template(),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

/// Pods in a cell. While shards are brought up there is one in all cells: two would repair replicas in turns, each
/// undoing the other's work.
fn replicas(spec: &MultiOrchSpec, cell: &str) -> i32 {
    match &spec.bring_up_cell {
        // multiorch refuses to start without a database to watch.
        _ if spec.databases.is_empty() => 0,
        None => spec.replicas,
        Some(only) if only == cell => spec.replicas.min(1),
        Some(_) => 0,
    }
}

fn pod<'a>(orch: &'a MultiOrch, cell: &'a OrchCell, labels: &'a Labels) -> Pod<'a> {
    let spec = &orch.spec;
    let mut args = vec![
        format!("--cell={}", cell.name),
        "--service-id=$(POD_NAME)".to_owned(),
        format!("--watch-targets={}", spec.databases.join(",")),
    ];
    if spec.pods.revision() >= STEADY {
        // A pooler's own monitor sets up replication within 5 s. Whoever waits no longer than that rewinds a sound
        // replica about every third time.
        args.push("--verify-replication-timeout=15s".to_owned());
        // A primary that answers nothing is not held up by standbys that are still connected to it.
        args.push("--leader-postgres-response-threshold=10s".to_owned());
    }
    let multiorch = Component {
        name: "multiorch",
        image: &spec.image,
        resources: &spec.resources,
        topology: &spec.global_topology,
        http: ORCH_HTTP,
        grpc: ORCH_GRPC,
        hostname: "$(POD_IP)",
        args,
    };
    Pod {
        labels,
        spread: labels.selector(),
        settings: &spec.pods,
        placement: cell.placement.as_deref(),
        custom_labels: &spec.pod_labels,
        custom_annotations: &spec.pod_annotations,
        service_account: spec.service_account_name.as_ref(),
        sidecars: Vec::new(),
        containers: vec![with_read_only_root(multiorch.container())],
        volumes: topology::volumes(&spec.global_topology),
    }
}
