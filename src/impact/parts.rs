//! Parts of a cluster that run pods or keep data, as the builders make them.

use std::collections::BTreeMap;
use std::fmt;

use multigres_crds::kind::ChildKind;
use multigres_crds::resolve::{Children, section_is_managed};
use multigres_crds::v1alpha1::{MultiShardSpec, MultigresCluster};
use multigres_crds::{GROUP, defaults, labels};
use serde_json::Value;

use crate::build::{Environment, Manifest, render_children};

/// A shard, by what people call it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    pub database: String,
    pub table_group: String,
    range: String,
}

impl Shard {
    /// The shard of a child.
    pub fn of(spec: &MultiShardSpec) -> Self {
        Self {
            database: spec.database.clone(),
            table_group: spec.table_group.clone(),
            range: spec.shard.clone(),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { database, table_group, range } = self;
        if table_group == defaults::TABLE_GROUP {
            write!(f, "{database}/{range}")
        } else {
            write!(f, "{database}/{table_group}/{range}")
        }
    }
}

/// Identity of a workload or volume, independent of its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Anything that serves the whole cluster, or a cell.
    Component { name: String, cell: Option<String> },
    /// The instances of a pool.
    Pool { shard: Shard, pool: String },
    /// The backup volume of a shard.
    Backups(Shard),
}

impl Part {
    /// Read off the labels of an object that has pods or is a volume.
    fn of(manifest: &Manifest) -> Option<Self> {
        let label = |key: &str| manifest.body["metadata"]["labels"][key].as_str().map(str::to_owned);
        let shard = || {
            Some(Shard {
                database: label(labels::DATABASE)?,
                table_group: label(labels::TABLE_GROUP)?,
                range: label(labels::SHARD)?,
            })
        };
        let is_workload = manifest.pod_template().is_some();
        match (shard(), label(labels::POOL)) {
            (Some(shard), Some(pool)) if is_workload => Some(Self::Pool { shard, pool }),
            (Some(shard), None) if manifest.resource.kind == "PersistentVolumeClaim" => {
                Some(Self::Backups(shard))
            }
            (None, None) if is_workload => {
                Some(Self::Component { name: label(labels::COMPONENT)?, cell: label(labels::CELL) })
            }
            _ => None,
        }
    }

    /// The shard that it is a part of.
    pub fn shard(&self) -> Option<&Shard> {
        match self {
            Self::Component { .. } => None,
            Self::Pool { shard, .. } | Self::Backups(shard) => Some(shard),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component { name, cell: Some(cell) } => write!(f, "{name} {cell}"),
            Self::Component { name, cell: None } => f.write_str(name),
            Self::Pool { shard, pool } => write!(f, "{shard} {pool}"),
            Self::Backups(shard) => write!(f, "{shard} backups"),
        }
    }
}

/// The object that a part is.
pub struct Built {
    /// Kind of the child that it is built from.
    child: ChildKind,
    manifest: Manifest,
}

impl Built {
    /// Pods of a workload.
    pub fn pods(&self) -> i64 {
        self.template().map_or(0, |_| self.manifest.body["spec"]["replicas"].as_i64().unwrap_or(1))
    }

    /// Volumes: one for each pod that has some, or the object itself.
    pub fn volumes(&self) -> i64 {
        match self.template() {
            None => 1,
            Some(_) if self.storage().is_some() => self.pods(),
            Some(_) => 0,
        }
    }

    /// Template of its pods.
    pub fn template(&self) -> Option<&Value> {
        self.manifest.pod_template()
    }

    /// True if Kubernetes replaces a pod before it takes the one that was there.
    pub fn is_deployment(&self) -> bool {
        self.manifest.resource.kind == "Deployment"
    }

    /// Storage request of each volume, as written.
    pub fn storage(&self) -> Option<&str> {
        let spec = &self.manifest.body["spec"];
        let claim = spec.pointer("/volumeClaimTemplates/0/spec").unwrap_or(spec);
        claim.pointer("/resources/requests/storage")?.as_str()
    }
}

/// Every part of a cluster.
pub type Parts = BTreeMap<Part, Built>;

/// The parts that children are made into.
pub fn parts(children: &Children, environment: &Environment) -> Parts {
    let (mut parts, mut last) = (Parts::new(), None);
    for manifest in render_children(children, environment) {
        if manifest.resource.group == GROUP {
            last = ChildKind::named(&manifest.resource.kind);
        } else if let (Some(part), Some(child)) = (Part::of(&manifest), last) {
            parts.insert(part, Built { child, manifest });
        }
    }
    parts
}

/// Those that a cluster goes on to manage, or would.
pub fn managed_by(cluster: &MultigresCluster, mut parts: Parts) -> Parts {
    parts.retain(|_, built| section_is_managed(&cluster.spec, built.child));
    parts
}
