//! Blocks that mean the same wherever they stand, and where they stand in a cluster and in each of its children.
//!
//! A rule for such a block is written once, and holds for children that stand alone as it does in the cluster.

use multigres_crds::v1alpha1::{
    Backup, Container, DatabaseImages, ResolvedContainer, ResourceRequirements, ShardPool, StringMap,
    VolumeClaimTemplate,
};

use super::child::ChildSpec;
use super::view::View;
use crate::path::Path;

/// A block as it is written.
#[derive(Clone, Copy)]
pub(super) enum Field<'a> {
    /// A prefix of keys in an etcd.
    RootPath(&'a str),
    /// The endpoints of an etcd.
    Address(&'a str),
    /// An image.
    Image(&'a str),
    /// CPU and memory of a container.
    Resources(&'a ResourceRequirements),
    /// What is asked of a volume.
    Claim(&'a VolumeClaimTemplate),
    /// Where backups are kept.
    Backup(&'a Backup),
    /// Labels or annotations of what is made.
    Keys(&'a StringMap),
}

/// Takes each field.
pub(super) type Visit<'v, 'a> = &'v mut dyn FnMut(&Path<'_>, Field<'a>);

/// Something that holds such blocks.
pub(super) trait Fields<'a> {
    /// Each field that is written, and where.
    fn each_field(&self, visit: Visit<'_, 'a>);
}

impl<'a> Fields<'a> for View<'a> {
    fn each_field(&self, visit: Visit<'_, 'a>) {
        let spec = self.spec();
        let topology = &spec.global_topo_server;
        let path = Path::new("spec.globalTopoServer");
        visit(&path.field("rootPath"), Field::RootPath(&topology.root_path));
        if let Some(address) = topology.external.as_ref().and_then(|external| external.address.as_ref()) {
            visit(&path.field("external.address"), Field::Address(address));
        }
        if let Some(etcd) = &topology.managed_spec {
            let path = path.field("managedSpec");
            container(&path, etcd.image.as_ref(), etcd.resources.as_ref(), visit);
            claim(&path, etcd.data_volume_claim_template.as_ref(), visit);
            pods(&path, &etcd.pod_labels, &etcd.pod_annotations, visit);
        }
        if let Some(admin) = spec.admin.as_ref().and_then(|admin| admin.spec.as_ref()) {
            let path = Path::new("spec.admin.spec");
            container(&path, admin.image.as_ref(), admin.resources.as_ref(), visit);
            pods(&path, &admin.pod_labels, &admin.pod_annotations, visit);
        }
        if let Some(orch) = spec.orchestrator.as_ref().and_then(|orch| orch.spec.as_ref()) {
            let path = Path::new("spec.orchestrator.spec");
            container(&path, orch.image.as_ref(), orch.resources.as_ref(), visit);
            pods(&path, &orch.pod_labels, &orch.pod_annotations, visit);
        }
        if let Some(backup) = &spec.backup {
            visit(&Path::new("spec.backup"), Field::Backup(backup));
        }
        cells(self, visit);
        databases(self, visit);
    }
}

fn cells<'a>(view: &View<'a>, visit: Visit<'_, 'a>) {
    if let Some(image) = &view.spec().cells.multi_gateway_image {
        visit(&Path::new("spec.cells.multiGatewayImage"), Field::Image(image));
    }
    view.each_cell(|path, cell| {
        let path = path.field("spec");
        pods(&path, &cell.spec.pod_labels, &cell.spec.pod_annotations, visit);
        if let Some(gateway) = &cell.spec.multi_gateway {
            let path = path.field("multiGateway");
            container(&path, gateway.image.as_ref(), gateway.resources.as_ref(), visit);
            if let Some(service) = &gateway.service {
                visit(&path.field("service.annotations"), Field::Keys(&service.annotations));
            }
        }
        if let Some(own) = cell.spec.topo_server.as_ref().and_then(|topology| topology.external.as_ref()) {
            let path = path.field("topoServer.external");
            visit(&path.field("address"), Field::Address(&own.address));
            visit(&path.field("rootPath"), Field::RootPath(&own.root_path));
        }
    });
}

fn databases<'a>(view: &View<'a>, visit: Visit<'_, 'a>) {
    let shared = view.spec().databases.as_ref().and_then(|databases| databases.images.as_ref());
    images(&Path::new("spec.databases.images"), shared, visit);
    view.each_database(|path, database| {
        let spec = &database.template.spec;
        let path = path.field("spec");
        images(&path.field("images"), spec.images.as_ref(), visit);
        if let Some(exporter) = &spec.postgres_exporter {
            let path = path.field("postgresExporter");
            container(&path, exporter.image.as_ref(), exporter.resources.as_ref(), visit);
        }
        if let Some(backup) = &spec.backup {
            visit(&path.field("backup"), Field::Backup(backup));
        }
    });
    view.each_written(|path, pool| {
        let containers: [(&str, Option<&Container>); 3] = [
            ("postgres", pool.postgres),
            ("multiPooler", pool.multi_pooler),
            ("multipooler", pool.multipooler),
        ];
        for (field, written) in containers {
            if let Some(written) = written {
                container(&path.field(field), written.image.as_ref(), written.resources.as_ref(), visit);
            }
        }
        claim(path, pool.claim, visit);
        pods(path, pool.pod_labels, pool.pod_annotations, visit);
    });
}

impl<'a> Fields<'a> for ChildSpec<'a> {
    fn each_field(&self, visit: Visit<'_, 'a>) {
        for (at, topology) in self.topologies() {
            let path = Path::new(at);
            visit(&path.field("address"), Field::Address(&topology.address));
            visit(&path.field("rootPath"), Field::RootPath(&topology.root_path));
        }
        let path = Path::new("spec");
        let (labels, annotations) = match self {
            Self::TopoServer(spec) => {
                container(&path, Some(&spec.image), Some(&spec.resources), visit);
                claim(&path, Some(&spec.data_volume_claim_template), visit);
                (&spec.pod_labels, &spec.pod_annotations)
            }
            Self::MultiAdmin(spec) => {
                container(&path, Some(&spec.image), Some(&spec.resources), visit);
                (&spec.pod_labels, &spec.pod_annotations)
            }
            Self::MultiOrch(spec) => {
                container(&path, Some(&spec.image), Some(&spec.resources), visit);
                (&spec.pod_labels, &spec.pod_annotations)
            }
            Self::MultiCell(spec) => {
                let (path, gateway) = (path.field("multiGateway"), &spec.multi_gateway);
                container(&path, Some(&gateway.image), Some(&gateway.resources), visit);
                visit(&path.field("service.annotations"), Field::Keys(&gateway.service.annotations));
                (&spec.pod_labels, &spec.pod_annotations)
            }
            Self::MultiShard(spec) => {
                visit(&path.field("backup"), Field::Backup(&spec.backup));
                if let Some(exporter) = &spec.postgres_exporter {
                    resolved(&path.field("postgresExporter"), exporter, visit);
                }
                let list = path.field("pools");
                for (index, pool) in spec.pools.iter().enumerate() {
                    shard_pool(&list.item(index, &pool.name), pool, visit);
                }
                return;
            }
        };
        pods(&path, labels, annotations, visit);
    }
}

fn shard_pool<'a>(path: &Path<'_>, pool: &'a ShardPool, visit: Visit<'_, 'a>) {
    claim(path, Some(&pool.data_volume_claim_template), visit);
    resolved(&path.field("postgres"), &pool.postgres, visit);
    resolved(&path.field("multiPooler"), &pool.multi_pooler, visit);
    pods(path, &pool.pod_labels, &pool.pod_annotations, visit);
}

fn images<'a>(path: &Path<'_>, images: Option<&'a DatabaseImages>, visit: Visit<'_, 'a>) {
    let Some(images) = images else { return };
    for (field, image) in [
        ("postgres", &images.postgres),
        ("multiPooler", &images.multi_pooler),
        ("multipooler", &images.multipooler),
        ("postgresExporter", &images.postgres_exporter),
    ] {
        if let Some(image) = image {
            visit(&path.field(field), Field::Image(image));
        }
    }
}

fn resolved<'a>(path: &Path<'_>, of: &'a ResolvedContainer, visit: Visit<'_, 'a>) {
    container(path, Some(&of.image), Some(&of.resources), visit);
}

fn container<'a>(
    path: &Path<'_>,
    image: Option<&'a String>,
    resources: Option<&'a ResourceRequirements>,
    visit: Visit<'_, 'a>,
) {
    if let Some(image) = image {
        visit(&path.field("image"), Field::Image(image));
    }
    if let Some(resources) = resources {
        visit(&path.field("resources"), Field::Resources(resources));
    }
}

fn claim<'a>(path: &Path<'_>, claim: Option<&'a VolumeClaimTemplate>, visit: Visit<'_, 'a>) {
    if let Some(claim) = claim {
        visit(&path.field("dataVolumeClaimTemplate"), Field::Claim(claim));
    }
}

fn pods<'a>(path: &Path<'_>, labels: &'a StringMap, annotations: &'a StringMap, visit: Visit<'_, 'a>) {
    visit(&path.field("podLabels"), Field::Keys(labels));
    visit(&path.field("podAnnotations"), Field::Keys(annotations));
}
