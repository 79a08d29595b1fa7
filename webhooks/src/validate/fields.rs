//! Blocks that mean the same wherever they stand, and where they stand in a cluster and in each of its children.
//!
//! A rule for such a block is written once, and holds for children that stand alone as it does in the cluster.

use multigres_crds::v1alpha1::{
    Backup, Container, DatabaseImages, GatewayService, GatewayTls, LocalObjectReference, Placement,
    ResolvedContainer, ResourceRequirements, SecretKeyReference, ShardPool, StringMap, TopologyTls,
    VolumeClaimTemplate,
};

use super::child::ChildSpec;
use super::view::View;
use super::{Findings, Reporter};
use crate::path::{Path, PathSet};

/// A rule's check of a block, with the block's path.
pub(super) type Check<T> = fn(&Path<'_>, &T, &mut Reporter<'_>);

/// Declares the blocks, by what they hold.
macro_rules! blocks {
    ($($(#[doc = $doc:literal])+ $name:ident: $variant:ident($type:ty),)+) => {
        /// A block as it is written.
        #[derive(Clone, Copy)]
        pub(super) enum Field<'a> {
            $($(#[doc = $doc])+ $variant(&'a $type),)+
        }

        /// A rule's checks of blocks, by type of block.
        #[derive(Clone, Copy)]
        pub(super) struct FieldChecks {
            $($(#[doc = $doc])+ pub $name: Option<Check<$type>>,)+
        }

        impl FieldChecks {
            pub const NONE: Self = Self { $($name: None,)+ };
        }

        /// The checks of several rules, by type of block, so that each block is visited once.
        #[derive(Default)]
        pub(super) struct Demands {
            $($name: Vec<(&'static str, Check<$type>)>,)+
        }

        impl Demands {
            pub fn add(&mut self, rule: &'static str, checks: &FieldChecks) {
                $(self.$name.extend(checks.$name.map(|check| (rule, check)));)+
            }

            /// True if there is no check.
            pub fn is_empty(&self) -> bool {
                $(self.$name.is_empty())&&+
            }

            /// Holds a block to what is demanded.
            pub fn check(&self, path: &Path<'_>, field: Field<'_>, unknown: &PathSet, findings: &mut Findings) {
                match field {
                    $(Field::$variant(it) => {
                        for (rule, check) in &self.$name {
                            check(path, it, &mut findings.of(rule, unknown));
                        }
                    })+
                }
            }
        }
    };
}

blocks! {
    /// A prefix of keys in an etcd.
    root_path: RootPath(str),
    /// The endpoints of an etcd.
    address: Address(str),
    /// An image.
    image: Image(str),
    /// CPU and memory of a container.
    resources: Resources(ResourceRequirements),
    /// A volume claim.
    claim: Claim(VolumeClaimTemplate),
    /// A location of backups.
    backup: Backup(Backup),
    /// Labels of what is made, in addition to the operator's own.
    labels: Labels(StringMap),
    /// Annotations of what is made.
    annotations: Annotations(StringMap),
    /// A placement.
    placement: Placement(Placement),
    /// The name of another object.
    name: Name(str),
    /// A key of a Secret.
    secret_key: SecretKey(str),
    /// Ranges of addresses.
    ranges: Ranges([String]),
}

/// Fields of pods beside their containers.
#[derive(Clone, Copy)]
pub(super) struct Pods<'a> {
    pub placement: Option<&'a Placement>,
    pub labels: &'a StringMap,
    pub annotations: &'a StringMap,
    pub service_account: Option<&'a String>,
}

/// The same of any block that makes pods.
macro_rules! pods {
    ($block:expr) => {
        $crate::validate::fields::Pods {
            placement: $block.placement.as_deref(),
            ..$crate::validate::fields::pods!(placed elsewhere $block)
        }
    };
    (placed elsewhere $block:expr) => {
        $crate::validate::fields::Pods {
            placement: None,
            labels: &$block.pod_labels,
            annotations: &$block.pod_annotations,
            service_account: $block.service_account_name.as_ref(),
        }
    };
}
pub(super) use pods;

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
        if let Some(external) = &topology.external {
            let path = path.field("external");
            if let Some(address) = &external.address {
                visit(&path.field("address"), Field::Address(address));
            }
            topology_tls(&path, external.tls.as_ref(), visit);
        }
        pull_secrets(&Path::new("spec"), &spec.image_pull_secrets, visit);
        if let Some(etcd) = &topology.managed_spec {
            let path = path.field("managedSpec");
            container(&path, etcd.image.as_ref(), etcd.resources.as_ref(), visit);
            claim(&path, etcd.data_volume_claim_template.as_ref(), visit);
            each_of_pods(&path, pods!(etcd), visit);
        }
        if let Some(admin) = spec.admin.as_ref().and_then(|admin| admin.spec.as_ref()) {
            let path = Path::new("spec.admin.spec");
            container(&path, admin.image.as_ref(), admin.resources.as_ref(), visit);
            each_of_pods(&path, pods!(admin), visit);
        }
        if let Some(orch) = spec.orchestrator.as_ref().and_then(|orch| orch.spec.as_ref()) {
            let path = Path::new("spec.orchestrator.spec");
            container(&path, orch.image.as_ref(), orch.resources.as_ref(), visit);
            each_of_pods(&path, pods!(orch), visit);
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
        each_of_pods(&path, pods!(cell.spec), visit);
        if let Some(gateway) = &cell.spec.multi_gateway {
            let path = path.field("multiGateway");
            container(&path, gateway.image.as_ref(), gateway.resources.as_ref(), visit);
            if let Some(service) = &gateway.service {
                exposed(&path.field("service"), service, visit);
            }
            gateway_tls(&path, gateway.tls.as_ref(), visit);
        }
        if let Some(own) = cell.spec.topo_server.as_ref().and_then(|topology| topology.external.as_ref()) {
            let path = path.field("topoServer.external");
            visit(&path.field("address"), Field::Address(&own.address));
            visit(&path.field("rootPath"), Field::RootPath(&own.root_path));
            topology_tls(&path, own.tls.as_ref(), visit);
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
        if let Some(password) = &spec.password_secret_ref {
            secret_key(&path.field("passwordSecretRef"), password, visit);
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
        each_of_pods(path, pool.pods, visit);
    });
}

impl<'a> Fields<'a> for ChildSpec<'a> {
    fn each_field(&self, visit: Visit<'_, 'a>) {
        for (at, topology) in self.topologies() {
            let path = Path::new(at);
            visit(&path.field("address"), Field::Address(&topology.address));
            visit(&path.field("rootPath"), Field::RootPath(&topology.root_path));
            topology_tls(&path, topology.tls.as_ref(), visit);
        }
        let path = Path::new("spec");
        pull_secrets(&path.field("pods"), &self.pods().image_pull_secrets, visit);
        let of_pods = match self {
            Self::TopoServer(spec) => {
                container(&path, Some(&spec.image), Some(&spec.resources), visit);
                claim(&path, Some(&spec.data_volume_claim_template), visit);
                pods!(spec)
            }
            Self::MultiAdmin(spec) => {
                container(&path, Some(&spec.image), Some(&spec.resources), visit);
                pods!(spec)
            }
            Self::MultiOrch(spec) => {
                container(&path, Some(&spec.image), Some(&spec.resources), visit);
                let list = path.field("cells");
                for (index, cell) in spec.cells.iter().enumerate() {
                    placed(&list.item(index, &cell.name), cell.placement.as_deref(), visit);
                }
                pods!(placed elsewhere spec)
            }
            Self::MultiCell(spec) => {
                let (path, gateway) = (path.field("multiGateway"), &spec.multi_gateway);
                container(&path, Some(&gateway.image), Some(&gateway.resources), visit);
                exposed(&path.field("service"), &gateway.service, visit);
                gateway_tls(&path, gateway.tls.as_ref(), visit);
                pods!(spec)
            }
            Self::MultiShard(spec) => {
                visit(&path.field("backup"), Field::Backup(&spec.backup));
                secret_key(&path.field("password.secretKeyRef"), &spec.password.secret_key_ref, visit);
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
        each_of_pods(&path, of_pods, visit);
    }
}

fn shard_pool<'a>(path: &Path<'_>, pool: &'a ShardPool, visit: Visit<'_, 'a>) {
    claim(path, Some(&pool.data_volume_claim_template), visit);
    resolved(&path.field("postgres"), &pool.postgres, visit);
    resolved(&path.field("multiPooler"), &pool.multi_pooler, visit);
    each_of_pods(path, pods!(pool), visit);
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

fn each_of_pods<'a>(path: &Path<'_>, pods: Pods<'a>, visit: Visit<'_, 'a>) {
    if !pods.labels.is_empty() {
        visit(&path.field("podLabels"), Field::Labels(pods.labels));
    }
    if !pods.annotations.is_empty() {
        visit(&path.field("podAnnotations"), Field::Annotations(pods.annotations));
    }
    placed(path, pods.placement, visit);
    if let Some(account) = pods.service_account {
        visit(&path.field("serviceAccountName"), Field::Name(account));
    }
}

fn placed<'a>(path: &Path<'_>, placement: Option<&'a Placement>, visit: Visit<'_, 'a>) {
    if let Some(placement) = placement {
        visit(&path.field("placement"), Field::Placement(placement));
    }
}

fn exposed<'a>(path: &Path<'_>, service: &'a GatewayService, visit: Visit<'_, 'a>) {
    visit(&path.field("annotations"), Field::Annotations(&service.annotations));
    visit(&path.field("loadBalancerSourceRanges"), Field::Ranges(&service.load_balancer_source_ranges));
}

fn gateway_tls<'a>(path: &Path<'_>, tls: Option<&'a GatewayTls>, visit: Visit<'_, 'a>) {
    if let Some(tls) = tls {
        visit(&path.field("tls.secretRef.name"), Field::Name(&tls.secret_ref.name));
    }
}

fn topology_tls<'a>(path: &Path<'_>, tls: Option<&'a TopologyTls>, visit: Visit<'_, 'a>) {
    let Some(tls) = tls else { return };
    for (field, secret) in [
        ("tls.caSecretRef.name", &tls.ca_secret_ref),
        ("tls.clientCertSecretRef.name", &tls.client_cert_secret_ref),
    ] {
        if let Some(secret) = secret {
            visit(&path.field(field), Field::Name(&secret.name));
        }
    }
}

fn pull_secrets<'a>(path: &Path<'_>, secrets: &'a [LocalObjectReference], visit: Visit<'_, 'a>) {
    let list = path.field("imagePullSecrets");
    for (index, secret) in secrets.iter().enumerate() {
        visit(&list.item(index, &secret.name).field("name"), Field::Name(&secret.name));
    }
}

fn secret_key<'a>(path: &Path<'_>, secret: &'a SecretKeyReference, visit: Visit<'_, 'a>) {
    visit(&path.field("name"), Field::Name(&secret.name));
    visit(&path.field("key"), Field::SecretKey(&secret.key));
}
