//! `MultiShard`: a StatefulSet of PostgreSQL instances per pool, and what the pools of a shard share.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Service, ServicePort};
use kube::ResourceExt;
use kube::api::ObjectMeta;
use multigres_crds::labels::{self, Labels};
use multigres_crds::names;
use multigres_crds::v1alpha1::{MultiShard, MultiShardSpec, ShardPool};

use super::object::{
    also_not_ready, headless_service, metadata, one_may_be_missing, selector, service, service_port,
};
use super::pooler::{self, Pooler};
use super::ports::{POOLER_GRPC, POOLER_HTTP, POSTGRES};
use super::{Build, Environment, Manifest, Ownership, recovery, volume};

impl Build for MultiShard {
    fn build(&self, env: &Environment) -> Vec<Manifest> {
        let shard = Shard::of(self);
        let instances = self.spec.pools.iter().map(|pool| pool.replicas).sum();
        let mut manifests = vec![Manifest::new(&shard.configuration())];
        manifests.extend(shard.backup_volume());
        manifests.push(disruption_budget(self, instances));
        for pool in &self.spec.pools {
            let pool = Pool::of(&shard, pool);
            manifests.push(Manifest::new(&pool.service()));
            manifests.extend(pool.instance_services());
            manifests.push(Manifest::new(&pool.stateful_set(env)));
        }
        manifests
    }
}

/// The budget that lets one of the shard's `instances` be missing: one for all its pools, since two budgets for a
/// pod block every eviction. While a pool shrinks, the instances are those that still exist.
pub fn disruption_budget(shard: &MultiShard, instances: i32) -> Manifest {
    let shard = Shard::of(shard);
    let metadata = shard.metadata(shard.names().name());
    Manifest::new(&one_may_be_missing(metadata, shard.labels.selector(), instances))
}

/// Names of a shard's objects.
pub fn shard_names(spec: &MultiShardSpec) -> names::Shard<'_> {
    names::Shard {
        cluster: &spec.cluster,
        database: &spec.database,
        table_group: &spec.table_group,
        shard: &spec.shard,
    }
}

/// Label of every pod of a StatefulSet.
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";

fn ports() -> Vec<ServicePort> {
    let ports = [("http", POOLER_HTTP), ("grpc", POOLER_GRPC), ("postgres", POSTGRES)];
    ports.into_iter().map(|(name, port)| service_port(name, port, port)).collect()
}

struct Shard<'a> {
    spec: &'a MultiShardSpec,
    namespace: String,
    labels: Labels,
}

impl<'a> Shard<'a> {
    fn of(shard: &'a MultiShard) -> Self {
        let spec = &shard.spec;
        let labels = Labels::of_shard(&shard_names(spec));
        Self { spec, namespace: shard.namespace().unwrap_or_default(), labels }
    }

    fn names(&self) -> names::Shard<'_> {
        shard_names(self.spec)
    }

    fn metadata(&self, name: String) -> ObjectMeta {
        metadata(name, &self.namespace, self.labels.object())
    }

    /// Configuration of PostgreSQL.
    fn configuration(&self) -> ConfigMap {
        let files =
            [(pooler::PG_HBA_FILE, pooler::PG_HBA), (recovery::RESTORE_WAL_FILE, recovery::RESTORE_WAL)];
        ConfigMap {
            metadata: self.metadata(self.names().pg_hba()),
            data: Some(files.map(|(name, text)| (name.to_owned(), text.to_owned())).into()),
            ..ConfigMap::default()
        }
    }

    /// The volume for backups, where they are on one. It outlives the shard as its data does.
    fn backup_volume(&self) -> Option<Manifest> {
        let template = &self.spec.backup.filesystem.as_ref()?.volume_claim_template;
        let claim: PersistentVolumeClaim = volume::claim(self.metadata(self.names().backup()), template);
        let ownership = Ownership::of_data(self.spec.persistent_volume_claim_retention_policy);
        Some(Manifest::new(&claim).owned(ownership))
    }
}

struct Pool<'a> {
    shard: &'a Shard<'a>,
    spec: &'a ShardPool,
    /// Labels that identify the pool, by its name alone: a StatefulSet cannot change its selector.
    identity: Labels,
    /// The same and what may change.
    labels: Labels,
}

impl<'a> Pool<'a> {
    fn of(shard: &'a Shard<'a>, spec: &'a ShardPool) -> Self {
        let identity = shard.labels.clone().with(labels::POOL, &spec.name);
        let labels =
            identity.clone().with(labels::CELL, &spec.cell).with(labels::POOL_TYPE, spec.type_.as_str());
        Self { shard, spec, identity, labels }
    }

    fn metadata(&self, name: String) -> ObjectMeta {
        metadata(name, &self.shard.namespace, self.labels.object())
    }

    /// The headless Service that gives the pods of a StatefulSet their names.
    fn service(&self) -> Service {
        let metadata = self.metadata(self.shard.names().pool_headless(&self.spec.name));
        headless_service(metadata, self.identity.selector(), ports())
    }

    /// One Service for each instance, whose address stays when its pod is replaced. Orchestrators and gateways look up
    /// a name again no sooner than 30 s after the last time (grpc-go's `MinResolutionInterval`): for as long they would
    /// go on calling the pod that is gone.
    fn instance_services(&self) -> impl Iterator<Item = Manifest> {
        let set = self.shard.names().pool(&self.spec.name);
        (0..self.spec.replicas).map(move |ordinal| {
            let name = names::instance(&set, ordinal);
            let mut selector = self.identity.selector();
            selector.insert(POD_NAME.to_owned(), name.clone());
            let service = service(self.metadata(name), selector, ports());
            Manifest::new(&also_not_ready(service))
        })
    }

    fn stateful_set(&self, env: &Environment) -> StatefulSet {
        let (shard, names) = (self.shard.spec, self.shard.names());
        let claim = ObjectMeta {
            name: Some(pooler::DATA.to_owned()),
            labels: Some(self.identity.object()),
            ..ObjectMeta::default()
        };
        let pooler = Pooler {
            shard,
            pool: self.spec,
            namespace: &self.shard.namespace,
            labels: &self.labels,
            spread: self.shard.labels.selector(),
            env,
        };
        StatefulSet {
            metadata: self.metadata(names.pool(&self.spec.name)),
            spec: Some(StatefulSetSpec {
                replicas: Some(self.spec.replicas),
                selector: selector(self.identity.selector()),
                service_name: Some(names.pool_headless(&self.spec.name)),
                // No instance is ready before a quorum of them has made and restored the first backup.
                pod_management_policy: Some("Parallel".to_owned()),
                // The operator replaces instances itself, with regard to who leads and who follows.
                update_strategy: Some(StatefulSetUpdateStrategy {
                    type_: Some("OnDelete".to_owned()),
                    rolling_update: None,
                }),
                template: pooler.pod().template(),
                volume_claim_templates: Some(vec![volume::claim(
                    claim,
                    &self.spec.data_volume_claim_template,
                )]),
                persistent_volume_claim_retention_policy: Some(volume::retention(
                    shard.persistent_volume_claim_retention_policy,
                )),
                ..StatefulSetSpec::default()
            }),
            status: None,
        }
    }
}
