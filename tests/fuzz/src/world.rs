//! Other objects as admission knows them in these checks.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use multigres_crds::kind::ChildKind;
use multigres_crds::labels::POOL;
use multigres_crds::resolve;
use multigres_crds::v1alpha1::{AccessMode, MultigresCluster, StringMap};
use multigres_operator::build::{Environment, render};
use multigres_operator::impact::Workloads;
use multigres_webhooks::admit::Admission;
use multigres_webhooks::footprint::{Footprint, Neighbour};
use multigres_webhooks::lookup::{Claim, Existing, Known, Lookup, Offline, StorageClass};
use serde_json::{Value, to_value};

/// The user under whose name the operator writes.
pub const OPERATOR: &str = "system:serviceaccount:multigres-system:multigres-operator";

/// The cluster that there is, as JSON.
pub const CLUSTER: &str = include_str!("cluster.json");

static STORED: LazyLock<Arc<MultigresCluster>> = LazyLock::new(|| {
    let cluster = serde_json::from_str(CLUSTER).expect("the cluster is sound");
    Arc::new(cluster)
});

/// Nothing is known, as while the caches fill.
pub fn nothing() -> Admission {
    knowing(Arc::new(Offline))
}

/// There is a cluster, with its children and volumes.
pub fn one_cluster() -> Admission {
    knowing(Arc::new(OneCluster))
}

fn knowing(lookup: Arc<dyn Lookup>) -> Admission {
    let impact = Workloads { environment: Environment::default() };
    Admission { lookup, impact: Some(Arc::new(impact)), operator_user: OPERATOR.to_owned() }
}

/// Makes of a cluster what the controllers would: objects that do not stand in each other's way.
pub fn build(cluster: &MultigresCluster) {
    let mut keys = BTreeSet::new();
    for manifest in render(cluster, &Environment::default()) {
        let key = manifest.key();
        assert!(!key.name.is_empty() && key.name.len() <= 253, "{key}");
        assert!(keys.insert(key.to_string()), "two of {key}");
    }
}

struct OneCluster;

impl Lookup for OneCluster {
    fn synced(&self) -> bool {
        true
    }

    fn cluster(&self, namespace: &str, name: &str) -> Option<Arc<MultigresCluster>> {
        is_it(namespace, name).then(|| STORED.clone())
    }

    fn neighbours(&self, of: &Footprint) -> Known<Vec<Arc<Neighbour>>> {
        let other = Some(Neighbour::of(&STORED)).filter(|_| !is_it(&of.namespace, &of.name));
        Known::Yes(other.map(Arc::new).into_iter().collect())
    }

    fn child(&self, kind: ChildKind, _: &str, name: &str) -> Known<Option<Existing>> {
        let of_kind = children(kind);
        let child = of_kind.iter().find(|child| child["metadata"]["name"] == name);
        Known::Yes(child.map(|child| Existing { controller: None, spec: child["spec"].clone() }))
    }

    fn cells(&self, namespace: &str, cluster: &str) -> Known<BTreeSet<String>> {
        let cells = STORED.spec.cells.templates.iter().map(|cell| cell.name.clone());
        Known::Yes(cells.filter(|_| is_it(namespace, cluster)).collect())
    }

    fn has_topo_server(&self, namespace: &str, cluster: &str) -> Known<bool> {
        Known::Yes(is_it(namespace, cluster))
    }

    fn storage_classes(&self) -> Known<Vec<StorageClass>> {
        let class =
            |name: &str, expandable| StorageClass { name: name.to_owned(), default: true, expandable };
        Known::Yes(vec![class("standard", true), class("fixed", false)])
    }

    fn claims(&self, _: &str, labels: &StringMap) -> Known<Vec<Claim>> {
        let name = labels.values().cloned().collect::<Vec<_>>().join("-");
        let claim = Claim {
            name,
            pool: labels.get(POOL).cloned(),
            bound: true,
            capacity: Some("1Gi".into()),
            storage_class: Some("standard".to_owned()),
            access_modes: vec![AccessMode::ReadWriteOnce],
            ..Claim::default()
        };
        Known::Yes(vec![claim])
    }
}

fn is_it(namespace: &str, name: &str) -> bool {
    let metadata = &STORED.metadata;
    (metadata.namespace.as_deref(), metadata.name.as_deref()) == (Some(namespace), Some(name))
}

fn children(kind: ChildKind) -> Vec<Value> {
    let children = resolve::children(&STORED);
    let list = match kind {
        ChildKind::TopoServer => to_value(Vec::from_iter(children.topo_server)),
        ChildKind::MultiAdmin => to_value(Vec::from_iter(children.admin)),
        ChildKind::MultiOrch => to_value(Vec::from_iter(children.orch)),
        ChildKind::MultiCell => to_value(children.cells),
        ChildKind::MultiShard => to_value(children.shards),
    };
    let Ok(Value::Array(list)) = list else { panic!("no list") };
    list
}
