//! The children that a cluster asks for.

use std::collections::BTreeSet;

use kube::ResourceExt;
use kube::api::ObjectMeta;

use super::pools::{ContainerRef, PoolSource, TableGroupSource, key_ranges, table_groups};
use crate::address::Endpoint;
use crate::kind::ChildKind;
use crate::labels::{self, Component, Labels};
use crate::v1alpha1::*;
use crate::{address, defaults, names};

/// The children of a cluster, complete: each holds every value that its controller needs.
#[derive(Clone, Debug, Default)]
pub struct Children {
    /// The topology server, where it is managed.
    pub topo_server: Option<TopoServer>,
    /// The admin server, where it is managed.
    pub admin: Option<MultiAdmin>,
    /// The orchestrator, where it is managed.
    pub orch: Option<MultiOrch>,
    /// The cells, where they are managed.
    pub cells: Vec<MultiCell>,
    /// The shards of every database, where they are managed.
    pub shards: Vec<MultiShard>,
}

/// The children that the cluster's sections with `managed: true` ask for.
pub fn children(cluster: &MultigresCluster) -> Children {
    Children { shards: shards(cluster).collect(), ..children_without_shards(cluster) }
}

/// The shards alone, of which a large cluster has too many to make all at once for no more than a look.
pub fn shards(cluster: &MultigresCluster) -> impl Iterator<Item = MultiShard> {
    let resolver = Resolver::new(cluster);
    let databases = resolver.spec.databases.iter().filter(|databases| managed(databases.managed));
    databases.flat_map(|databases| &databases.templates).flat_map(move |database| resolver.shards(database))
}

/// The other children.
pub fn children_without_shards(cluster: &MultigresCluster) -> Children {
    let resolver = Resolver::new(cluster);
    let spec = resolver.spec;
    let cells = Some(&spec.cells);
    Children {
        topo_server: topology_is_managed(spec).then(|| resolver.topo_server()),
        admin: managed(spec.admin.as_ref().and_then(|admin| admin.managed)).then(|| resolver.admin()),
        orch: managed(spec.orchestrator.as_ref().and_then(|orch| orch.managed)).then(|| resolver.orch()),
        cells: cells
            .filter(|cells| managed(cells.managed))
            .map_or_else(Vec::new, |cells| cells.templates.iter().map(|cell| resolver.cell(cell)).collect()),
        shards: Vec::new(),
    }
}

/// True if the operator makes the topology server. An `external` one wins over `managed`.
pub fn topology_is_managed(spec: &MultigresClusterSpec) -> bool {
    spec.global_topo_server.external.is_none() && managed(spec.global_topo_server.managed)
}

/// True if the operator manages the children of a kind. Children of an unmanaged section are released.
pub fn section_is_managed(spec: &MultigresClusterSpec, kind: ChildKind) -> bool {
    managed(match kind {
        ChildKind::TopoServer => return topology_is_managed(spec),
        ChildKind::MultiAdmin => spec.admin.as_ref().and_then(|section| section.managed),
        ChildKind::MultiOrch => spec.orchestrator.as_ref().and_then(|section| section.managed),
        ChildKind::MultiCell => spec.cells.managed,
        ChildKind::MultiShard => spec.databases.as_ref().and_then(|section| section.managed),
    })
}

/// The global topology as the cluster's pods are told of it. The managed etcd has one spelling, so that a release
/// restarts nothing.
pub fn global_topology(cluster: &MultigresCluster) -> TopologyReference {
    let namespace = cluster.namespace().unwrap_or_default();
    let topology = &cluster.spec.global_topo_server;
    let managed = address::managed_etcd(&cluster.name_any(), &namespace);
    let external = topology.external.as_ref();
    let address = external
        .and_then(|external| external.address.clone())
        .filter(|address| !address::is_managed_etcd(address, &cluster.name_any(), &namespace))
        .unwrap_or(managed);
    TopologyReference {
        address,
        root_path: topology.root_path.clone(),
        tls: external.and_then(|external| external.tls.clone()),
    }
}

/// The members of the etcd that holds the global topology, however they are spelled; none where they are not known.
pub fn global_members(cluster: &MultigresCluster) -> BTreeSet<Endpoint> {
    let (name, namespace) = (cluster.name_any(), cluster.namespace().unwrap_or_default());
    let topology = &cluster.spec.global_topo_server;
    let external = topology.external.as_ref().and_then(|external| external.address.as_deref());
    if let Some(address) = external.filter(|address| !address::is_managed_etcd(address, &name, &namespace)) {
        return address::members(address, &namespace);
    }
    let replicas = topology.managed_spec.as_ref().and_then(|template| template.replicas);
    address::managed_members(&name, &namespace, replicas.unwrap_or(defaults::ETCD_REPLICAS))
}

/// The root of a cell that has no topology of its own.
pub fn cell_root(global_root: &str, cell: &str) -> String {
    format!("{global_root}/{cell}")
}

pub(super) fn managed(flag: Option<bool>) -> bool {
    flag.unwrap_or(true)
}

/// A cluster, and what all of its children need of it.
struct Resolver<'a> {
    name: String,
    namespace: String,
    spec: &'a MultigresClusterSpec,
    global_topology: TopologyReference,
    pods: PodSettings,
    paused: bool,
}

impl<'a> Resolver<'a> {
    fn new(cluster: &'a MultigresCluster) -> Self {
        let spec = &cluster.spec;
        Self {
            name: cluster.name_any(),
            namespace: cluster.namespace().unwrap_or_default(),
            spec,
            global_topology: global_topology(cluster),
            pods: PodSettings {
                image_pull_secrets: spec.image_pull_secrets.clone(),
                image_pull_policy: spec.image_pull_policy,
                restarted_at: spec.restarted_at.clone(),
                // Absent where it is the first, so that an operator that knows revisions changes no child of a
                // cluster that has none.
                workload_revision: spec
                    .workload_revision
                    .filter(|revision| *revision > defaults::FIRST_WORKLOAD_REVISION),
            },
            paused: spec.paused.unwrap_or(false),
        }
    }

    fn topo_server(&self) -> TopoServer {
        let template = self.spec.global_topo_server.managed_spec.clone().unwrap_or_default();
        let spec = TopoServerSpec {
            cluster: self.name.clone(),
            image: template.image.unwrap_or_else(|| defaults::ETCD_IMAGE.to_owned()),
            replicas: template.replicas.unwrap_or(defaults::ETCD_REPLICAS),
            data_volume_claim_template: template
                .data_volume_claim_template
                .unwrap_or_else(defaults::etcd_volume),
            resources: template.resources.unwrap_or_else(defaults::etcd_resources),
            persistent_volume_claim_retention_policy: self.retention(),
            placement: template.placement,
            pod_labels: template.pod_labels,
            pod_annotations: template.pod_annotations,
            service_account_name: template.service_account_name,
            pods: self.pods.clone(),
            paused: self.paused,
        };
        TopoServer {
            metadata: self.metadata(names::etcd(&self.name), &self.labels(Component::Etcd)),
            spec,
            status: None,
        }
    }

    fn admin(&self) -> MultiAdmin {
        let template = self.spec.admin.as_ref().and_then(|admin| admin.spec.clone()).unwrap_or_default();
        let spec = MultiAdminSpec {
            cluster: self.name.clone(),
            global_topology: self.global_topology.clone(),
            image: template.image.unwrap_or_else(|| defaults::MULTIGRES_IMAGE.to_owned()),
            replicas: template.replicas.unwrap_or(defaults::ADMIN_REPLICAS),
            resources: template.resources.unwrap_or_else(defaults::small_resources),
            placement: template.placement,
            pod_labels: template.pod_labels,
            pod_annotations: template.pod_annotations,
            service_account_name: template.service_account_name,
            pods: self.pods.clone(),
            paused: self.paused,
        };
        let labels = self.labels(Component::MultiAdmin);
        MultiAdmin { metadata: self.metadata(names::admin(&self.name), &labels), spec, status: None }
    }

    fn orch(&self) -> MultiOrch {
        let template = self.spec.orchestrator.as_ref().and_then(|orch| orch.spec.clone()).unwrap_or_default();
        let cell = |cell: &CellTemplate| OrchCell {
            name: cell.name.clone(),
            placement: placement(template.placement.as_deref(), cell.spec.placement.as_deref()),
        };
        // Released databases and cells are still to be looked after: what is unmanaged here is only who edits them.
        let databases = self.spec.databases.iter().flat_map(|databases| &databases.templates);
        let spec = MultiOrchSpec {
            cluster: self.name.clone(),
            global_topology: self.global_topology.clone(),
            image: template.image.clone().unwrap_or_else(|| defaults::MULTIGRES_IMAGE.to_owned()),
            replicas: template.replicas.unwrap_or(defaults::ORCH_REPLICAS),
            cells: self.spec.cells.templates.iter().map(cell).collect(),
            // In the end. The cluster's controller says for how long it is otherwise.
            bring_up_cell: None,
            databases: databases.map(|database| database.name.clone()).collect(),
            resources: template.resources.clone().unwrap_or_else(defaults::small_resources),
            pod_labels: template.pod_labels.clone(),
            pod_annotations: template.pod_annotations.clone(),
            service_account_name: template.service_account_name.clone(),
            pods: self.pods.clone(),
            paused: self.paused,
        };
        let labels = self.labels(Component::MultiOrch);
        MultiOrch { metadata: self.metadata(names::orch(&self.name), &labels), spec, status: None }
    }

    fn cell(&self, template: &CellTemplate) -> MultiCell {
        let gateway = template.spec.multi_gateway.clone().unwrap_or_default();
        let image = gateway.image.or_else(|| self.spec.cells.multi_gateway_image.clone());
        let spec = MultiCellSpec {
            cluster: self.name.clone(),
            cell: template.name.clone(),
            global_topology: self.global_topology.clone(),
            topology: self.cell_topology(template),
            multi_gateway: Gateway {
                image: image.unwrap_or_else(|| defaults::MULTIGRES_IMAGE.to_owned()),
                replicas: gateway.replicas.unwrap_or(defaults::GATEWAY_REPLICAS),
                resources: gateway.resources.unwrap_or_else(defaults::small_resources),
                service: gateway_service(gateway.service.unwrap_or_default()),
                tls: gateway.tls,
            },
            placement: template.spec.placement.clone(),
            pod_labels: template.spec.pod_labels.clone(),
            pod_annotations: template.spec.pod_annotations.clone(),
            service_account_name: template.spec.service_account_name.clone(),
            pods: self.pods.clone(),
            paused: self.paused,
        };
        let labels = self.labels(Component::MultiGateway).with(labels::CELL, &template.name);
        MultiCell {
            metadata: self.metadata(names::cell(&self.name, &template.name), &labels),
            spec,
            status: None,
        }
    }

    /// A cell has a root of its own, on the global etcd unless it has one of its own.
    fn cell_topology(&self, template: &CellTemplate) -> TopologyReference {
        match template.spec.topo_server.as_ref().and_then(|topology| topology.external.clone()) {
            Some(CellExternalTopoServer { address, root_path, tls }) => {
                TopologyReference { address, root_path, tls }
            }
            None => TopologyReference {
                root_path: cell_root(&self.global_topology.root_path, &template.name),
                ..self.global_topology.clone()
            },
        }
    }

    fn shards(&self, database: &DatabaseTemplate) -> Vec<MultiShard> {
        let groups = table_groups(&database.spec);
        let record = self.database_record(&groups);
        let mut shards: Vec<MultiShard> = groups
            .iter()
            .flat_map(|group| key_ranges(group.shards).into_iter().map(move |range| (group, range)))
            .map(|(group, range)| self.shard(database, group, range))
            .collect();
        // What a database has once is written by its first shard.
        if let Some(first) = shards.first_mut() {
            first.spec.database_record = Some(record);
        }
        shards
    }

    fn shard(&self, database: &DatabaseTemplate, group: &TableGroupSource<'_>, range: String) -> MultiShard {
        let spec = &database.spec;
        let name = names::Shard {
            cluster: &self.name,
            database: &database.name,
            table_group: group.name,
            shard: &range,
        };
        let labels = Labels::of_shard(&name);
        let metadata = self.metadata(name.name(), &labels);
        let spec = MultiShardSpec {
            cluster: self.name.clone(),
            database: database.name.clone(),
            table_group: group.name.to_owned(),
            global_topology: self.global_topology.clone(),
            database_record: None,
            durability_policy: spec.durability_policy.unwrap_or_default(),
            password: self.password(database),
            backup: spec.backup.clone().or_else(|| self.spec.backup.clone()).unwrap_or_else(default_backup),
            persistent_volume_claim_retention_policy: self.retention(),
            replace_lost_instances: spec.replace_lost_instances.unwrap_or(false),
            postgres_exporter: self.exporter(spec),
            pools: group.pools.iter().map(|pool| self.pool(spec, pool)).collect(),
            pods: self.pods.clone(),
            paused: self.paused,
            force_rollout_at: self.spec.force_rollout_at.clone(),
            shard: range,
        };
        MultiShard { metadata, spec, status: None }
    }

    fn pool(&self, database: &DatabaseTemplateSpec, pool: &PoolSource<'_>) -> ShardPool {
        let member = pool.member;
        let cell = self.spec.cells.templates.iter().find(|cell| cell.name == pool.cell);
        let cell_placement = cell.and_then(|cell| cell.spec.placement.as_deref());
        let image =
            |container: ContainerRef<'_>, of: fn(&DatabaseImages) -> Option<&String>, default: &str| {
                container
                    .image
                    .or_else(|| self.image(database, of))
                    .cloned()
                    .unwrap_or_else(|| default.to_owned())
            };
        ShardPool {
            name: pool.name.to_string(),
            cell: pool.cell.to_owned(),
            type_: pool.type_,
            primary_preferred: matches!(pool.origin, super::Origin::Primary { .. }),
            replicas: member.replicas(),
            data_volume_claim_template: member.data_volume_claim_template.cloned().unwrap_or_default(),
            postgres: ResolvedContainer {
                image: image(member.postgres, |images| images.postgres.as_ref(), defaults::POSTGRES_IMAGE),
                resources: member.postgres.resources.cloned().unwrap_or_else(defaults::postgres_resources),
            },
            multi_pooler: ResolvedContainer {
                image: image(member.multi_pooler, DatabaseImages::pooler, defaults::MULTIGRES_IMAGE),
                resources: member.multi_pooler.resources.cloned().unwrap_or_else(defaults::small_resources),
            },
            placement: placement(member.placement, cell_placement),
            pod_labels: member.pod_labels.cloned().unwrap_or_default(),
            pod_annotations: member.pod_annotations.cloned().unwrap_or_default(),
            service_account_name: member.service_account_name.cloned(),
        }
    }

    /// An image of the database, or of all databases.
    fn image<'b>(
        &'b self,
        database: &'b DatabaseTemplateSpec,
        of: impl Fn(&DatabaseImages) -> Option<&String>,
    ) -> Option<&'b String> {
        let shared = self.spec.databases.as_ref().and_then(|databases| databases.images.as_ref());
        database.images.as_ref().and_then(&of).or_else(|| shared.and_then(&of))
    }

    fn exporter(&self, database: &DatabaseTemplateSpec) -> Option<ResolvedContainer> {
        let exporter =
            database.postgres_exporter.as_ref().filter(|exporter| exporter.enabled.unwrap_or(false))?;
        let image = exporter
            .image
            .as_ref()
            .or_else(|| self.image(database, |images| images.postgres_exporter.as_ref()));
        Some(ResolvedContainer {
            image: image.cloned().unwrap_or_else(|| defaults::POSTGRES_EXPORTER_IMAGE.to_owned()),
            resources: exporter.resources.clone().unwrap_or_default(),
        })
    }

    fn password(&self, database: &DatabaseTemplate) -> Password {
        match &database.spec.password_secret_ref {
            Some(secret_key_ref) => Password { secret_key_ref: secret_key_ref.clone(), generated: false },
            None => Password {
                secret_key_ref: SecretKeyReference {
                    name: names::password(&self.name, &database.name),
                    key: defaults::PASSWORD_KEY.to_owned(),
                },
                generated: true,
            },
        }
    }

    /// Clients connect where the primary is preferred, to keep their writes in one cell.
    fn database_record(&self, groups: &[TableGroupSource<'_>]) -> DatabaseRecord {
        let pools = || groups.iter().flat_map(|group| &group.pools);
        let preferred = pools().find(|pool| matches!(pool.origin, super::Origin::Primary { .. }));
        let cell = preferred.or_else(|| pools().next()).map_or("", |pool| pool.cell);
        let template = self.spec.cells.templates.iter().find(|template| template.name == cell);
        let gateway = template.and_then(|template| template.spec.multi_gateway.as_ref());
        let port = gateway.and_then(|gateway| gateway.service.as_ref()).and_then(|service| service.port);
        let mut cells: Vec<String> = pools().map(|pool| pool.cell.to_owned()).collect();
        cells.sort();
        cells.dedup();
        DatabaseRecord {
            cells,
            host: format!("{}.{}.svc", names::multigateway(&self.name, cell), self.namespace),
            port: port.unwrap_or(defaults::GATEWAY_SERVICE_PORT),
        }
    }

    fn retention(&self) -> RetentionPolicy {
        let policy = self.spec.persistent_volume_claim_retention_policy.unwrap_or_default();
        RetentionPolicy { when_deleted: Some(policy.deleted()), when_scaled: Some(policy.scaled()) }
    }

    fn labels(&self, component: Component) -> Labels {
        Labels::new(&self.name, component)
    }

    fn metadata(&self, name: String, labels: &Labels) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace.clone()),
            labels: Some(labels.child()),
            ..ObjectMeta::default()
        }
    }
}

fn gateway_service(service: GatewayService) -> GatewayService {
    GatewayService {
        type_: Some(service.type_.unwrap_or_default()),
        port: Some(service.port.unwrap_or(defaults::GATEWAY_SERVICE_PORT)),
        ..service
    }
}

/// One shared volume per shard: a shard bootstraps by restoring its first backup, so there is always somewhere to
/// keep it.
fn default_backup() -> Backup {
    let volume_claim_template = defaults::backup_volume();
    Backup { filesystem: Some(FilesystemBackup { volume_claim_template }), s3: None }
}

/// A component's own placement, the cell's where it is silent.
fn placement(own: Option<&Placement>, cell: Option<&Placement>) -> Option<Box<Placement>> {
    let (Some(own), Some(cell)) = (own, cell) else { return own.or(cell).cloned().map(Box::new) };
    Some(Box::new(Placement {
        zone: own.zone.clone().or_else(|| cell.zone.clone()),
        node_selector: if own.node_selector.is_empty() { &cell.node_selector } else { &own.node_selector }
            .clone(),
        tolerations: if own.tolerations.is_empty() { &cell.tolerations } else { &own.tolerations }.clone(),
        affinity: own.affinity.clone().or_else(|| cell.affinity.clone()),
        priority_class_name: own.priority_class_name.clone().or_else(|| cell.priority_class_name.clone()),
    }))
}
