//! Values of fields that a manifest leaves out: pinned images, sizes, ports.

use crate::quantity::Quantity;
use crate::v1alpha1::{
    AccessMode, AccessModes, Amounts, ResourceRequirements, VolumeClaimTemplate, VolumeRequests,
    VolumeResources,
};

/// Image of etcd.
pub const ETCD_IMAGE: &str = "gcr.io/etcd-development/etcd:v3.6.6";
/// Image of multiadmin, multiorch, multigateway and multipooler.
pub const MULTIGRES_IMAGE: &str = "ghcr.io/multigres/multigres:v0.1.0";
/// Image with PostgreSQL, pgBackRest and pgctld.
pub const POSTGRES_IMAGE: &str = "ghcr.io/multigres/pgctld:v0.1.0";
/// Image of the Prometheus exporter.
pub const POSTGRES_EXPORTER_IMAGE: &str = "quay.io/prometheuscommunity/postgres-exporter:v0.15.0";

/// Revision of the pod templates where a cluster states none.
pub const FIRST_WORKLOAD_REVISION: i32 = 1;
/// Newest revision of the pod templates, which a new cluster gets. `docs/revisions.md` lists the changes of each.
pub const WORKLOAD_REVISION: i32 = 2;

/// Members of a managed etcd.
pub const ETCD_REPLICAS: i32 = 3;
/// Pods of the admin server.
pub const ADMIN_REPLICAS: i32 = 1;
/// Orchestrators in each cell.
pub const ORCH_REPLICAS: i32 = 1;
/// Gateways in each cell.
pub const GATEWAY_REPLICAS: i32 = 2;
/// Instances of a pool.
pub const POOL_REPLICAS: i32 = 1;

/// Size of etcd's volumes.
pub const ETCD_STORAGE: &str = "10Gi";
/// Size of a shard's backup volume.
pub const BACKUP_STORAGE: &str = "10Gi";

/// Table group of the short form; the only one that Multigres v0.1.0 serves.
pub const TABLE_GROUP: &str = "default";
/// Key of the generated password in its Secret.
pub const PASSWORD_KEY: &str = "password";

/// Port of etcd's clients.
pub const ETCD_CLIENT_PORT: i32 = 2379;
/// Port between etcd's members.
pub const ETCD_PEER_PORT: i32 = 2380;
/// Port of PostgreSQL clients on a gateway's Service.
pub const GATEWAY_SERVICE_PORT: i32 = 5432;

/// Resources of an etcd member.
pub fn etcd_resources() -> ResourceRequirements {
    let mut resources = requests("100m", "256Mi");
    resources.limits.insert("memory".into(), "512Mi".into());
    resources
}

/// Resources of the admin server, an orchestrator, a gateway or a pooler.
pub fn small_resources() -> ResourceRequirements {
    requests("100m", "128Mi")
}

/// Resources of PostgreSQL.
pub fn postgres_resources() -> ResourceRequirements {
    requests("250m", "512Mi")
}

/// Volume of an etcd member.
pub fn etcd_volume() -> VolumeClaimTemplate {
    volume(AccessMode::ReadWriteOnce, ETCD_STORAGE)
}

/// Backup volume of a shard: shared by its poolers, which may run on different nodes.
pub fn backup_volume() -> VolumeClaimTemplate {
    volume(AccessMode::ReadWriteMany, BACKUP_STORAGE)
}

fn requests(cpu: &str, memory: &str) -> ResourceRequirements {
    let requests = [("cpu", cpu), ("memory", memory)].map(|(key, value)| (key.into(), Quantity::from(value)));
    ResourceRequirements { requests: requests.into_iter().collect(), limits: Amounts::new() }
}

fn volume(mode: AccessMode, storage: &str) -> VolumeClaimTemplate {
    VolumeClaimTemplate {
        access_modes: AccessModes::from_iter([mode]),
        storage_class_name: None,
        resources: VolumeResources { requests: VolumeRequests { storage: Some(storage.into()) } },
    }
}
