//! The pod of a pool: PostgreSQL under pgctld, and the multipooler that speaks for it.

use k8s_openapi::api::core::v1::{Container, EnvVar, Volume, VolumeMount};
use multigres_crds::labels::Labels;
use multigres_crds::quantity::Quantity;
use multigres_crds::v1alpha1::{MultiShardSpec, ResolvedContainer, ShardPool, StringMap};

use super::container::{Component, container, env, exec, http_get, often, port, secret_env, seldom};
use super::multi_shard::shard_names;
use super::pod::Pod;
use super::ports::{EXPORTER_METRICS, PGCTLD_GRPC, PGCTLD_HTTP, POOLER_GRPC, POOLER_HTTP, POSTGRES};
use super::{Environment, STEADY, hang, recovery, topology, volume};

/// Path of a shard's backups on a volume: the `path` of the topology's Database record.
pub const BACKUP_PATH: &str = "/backups";

/// Name of the data volume.
pub const DATA: &str = "data";
/// Key of the `pg_hba.conf` template in its ConfigMap.
pub const PG_HBA_FILE: &str = "pg_hba_template.conf";
/// Clients that may connect. The built-in template allows replication only from the same host. initdb reads it; from
/// then on it is part of the data and its backups.
pub const PG_HBA: &str = "\
# TYPE  DATABASE        USER            ADDRESS         METHOD
local   all             all                             scram-sha-256
local   replication     all                             scram-sha-256
host    replication     all             0.0.0.0/0       scram-sha-256
host    all             all             0.0.0.0/0       scram-sha-256
host    replication     all             ::0/0           scram-sha-256
host    all             all             ::0/0           scram-sha-256
";

const POOLER_DIR: &str = "/data";
/// Never the mount point: it is wiped and restored, and the rest of the pooler's directory must survive that.
const PGDATA: &str = "/data/pg_data";
const SOCKET_DIR: &str = "/data/pg_sockets";
const BACKUPS: &str = "backups";
/// The ConfigMap of the shard, for pgctld and the PostgreSQL that it runs.
const CONFIGURATION: &str = "pg-hba";
const CONFIGURATION_PATH: &str = "/etc/pgctld";
const PASSWORD: &str = "password";
const PASSWORD_PATH: &str = "/var/run/secrets/multigres";
const PASSWORD_FILE: &str = "/var/run/secrets/multigres/password";
const SHARED_MEMORY: &str = "shared-memory";
/// Shared memory where the memory of PostgreSQL has no limit.
const SHARED_MEMORY_LIMIT: &str = "1Gi";
/// Connections of a pooler to its PostgreSQL, of the 60 that pgctld's configuration allows.
const CONNECTIONS: i32 = 50;

/// The pods of one pool.
pub struct Pooler<'a> {
    /// The shard.
    pub shard: &'a MultiShardSpec,
    /// The pool.
    pub pool: &'a ShardPool,
    /// Namespace of both.
    pub namespace: &'a str,
    /// Labels of the pods.
    pub labels: &'a Labels,
    /// Labels of all pods of the shard.
    pub spread: StringMap,
    /// Settings of the operator.
    pub env: &'a Environment,
}

impl<'a> Pooler<'a> {
    /// The pod. pgctld is a sidecar because it does not stop PostgreSQL when it is told to end: the multipooler
    /// does, through pgctld, which therefore ends last.
    pub fn pod(self) -> Pod<'a> {
        let pool = self.pool;
        let exporter = self.shard.postgres_exporter.as_ref().map(|exporter| self.exporter(exporter));
        Pod {
            settings: &self.shard.pods,
            placement: pool.placement.as_deref(),
            custom_labels: &pool.pod_labels,
            custom_annotations: &pool.pod_annotations,
            service_account: pool.service_account_name.as_ref(),
            sidecars: vec![self.pgctld()],
            containers: std::iter::once(self.multipooler()).chain(exporter).collect(),
            volumes: self.volumes(),
            labels: self.labels,
            spread: self.spread,
        }
    }

    /// The pod is ready when PostgreSQL accepts connections: a pooler is ready as soon as it serves gRPC, and
    /// pgctld's own `/ready` waits for PostgreSQL, which the pooler is yet to start.
    fn pgctld(&self) -> Container {
        let alive = || http_get("/live", PGCTLD_HTTP);
        let mut startup = alive();
        startup.period_seconds = Some(1);
        startup.failure_threshold = Some(60);
        let port_text = POSTGRES.to_string();
        let liveness =
            if self.is_steady() { hang::postgresql(SOCKET_DIR, &port_text, PGDATA) } else { seldom(alive()) };
        let args = [
            "server".to_owned(),
            format!("--pooler-dir={POOLER_DIR}"),
            format!("--http-port={PGCTLD_HTTP}"),
            format!("--grpc-port={PGCTLD_GRPC}"),
            format!("--pg-port={POSTGRES}"),
            format!("--pg-database={}", self.shard.database),
            format!("--grpc-socket-file={POOLER_DIR}/pgctld.sock"),
            format!("--pg-hba-template={CONFIGURATION_PATH}/{PG_HBA_FILE}"),
        ];
        let mut mounts = self.shared_mounts();
        mounts.push(volume::mount_read_only(CONFIGURATION, CONFIGURATION_PATH));
        mounts.push(volume::mount(SHARED_MEMORY, "/dev/shm"));
        Container {
            restart_policy: Some("Always".to_owned()),
            command: Some(vec!["/usr/local/bin/pgctld".to_owned()]),
            args: Some(args.into()),
            env: Some(self.shared_env()),
            ports: Some(vec![
                port("postgres", POSTGRES),
                port("pgctld-http", PGCTLD_HTTP),
                port("pgctld-grpc", PGCTLD_GRPC),
            ]),
            startup_probe: Some(startup),
            liveness_probe: Some(liveness),
            readiness_probe: Some(often(exec(&["pg_isready", "-h", SOCKET_DIR, "-p", &port_text, "-q"]))),
            volume_mounts: Some(mounts),
            ..container("pgctld", &self.pool.postgres.image, &self.pool.postgres.resources)
        }
    }

    fn multipooler(&self) -> Container {
        let names = shard_names(self.shard);
        // Its Service, not its pod: gateways do not follow a pooler to another address.
        let hostname = format!("$(POD_NAME).{}.svc.{}", self.namespace, self.env.cluster_domain);
        let args = vec![
            format!("--cell={}", self.pool.cell),
            format!("--database={}", self.shard.database),
            format!("--table-group={}", self.shard.table_group),
            format!("--shard={}", self.shard.shard),
            format!("--service-id={}-$(POD_INDEX)", names.pooler_service_id(&self.pool.name)),
            format!("--pooler-dir={POOLER_DIR}"),
            format!("--pgctld-addr=localhost:{PGCTLD_GRPC}"),
            format!("--pg-port={POSTGRES}"),
            format!("--socket-file={SOCKET_DIR}/.s.PGSQL.{POSTGRES}"),
            format!("--grpc-socket-file={POOLER_DIR}/multipooler.sock"),
            format!("--connpool-global-capacity={CONNECTIONS}"),
            "--service-map=grpc-pooler".to_owned(),
        ];
        let multipooler = Component {
            name: "multipooler",
            image: &self.pool.multi_pooler.image,
            resources: &self.pool.multi_pooler.resources,
            topology: &self.shard.global_topology,
            http: POOLER_HTTP,
            grpc: POOLER_GRPC,
            hostname: &hostname,
            args,
        };
        let mut container = multipooler.container();
        if self.is_steady() {
            container.liveness_probe = Some(hang::pooler(POOLER_HTTP));
        }
        let env = container.env.get_or_insert_default();
        env.extend(self.shared_env());
        env.push(recovery::restore_command(CONFIGURATION_PATH));
        container.volume_mounts.get_or_insert_default().extend(self.shared_mounts());
        container
    }

    fn is_steady(&self) -> bool {
        self.shard.pods.revision() >= STEADY
    }

    /// The limit of shared memory: that of PostgreSQL itself.
    fn shared_memory_limit(&self) -> Option<Quantity> {
        let limit = self.pool.postgres.resources.limits.get("memory");
        self.is_steady().then(|| limit.cloned().unwrap_or_else(|| SHARED_MEMORY_LIMIT.into()))
    }

    /// Without probes: an exporter that fails must not take an instance out of service.
    fn exporter(&self, exporter: &ResolvedContainer) -> Container {
        let uri = format!("localhost:{POSTGRES}/{}?sslmode=disable", self.shard.database);
        Container {
            env: Some(vec![
                env("DATA_SOURCE_URI", &uri),
                env("DATA_SOURCE_USER", "postgres"),
                env("DATA_SOURCE_PASS_FILE", PASSWORD_FILE),
            ]),
            ports: Some(vec![port("metrics", EXPORTER_METRICS)]),
            volume_mounts: Some(vec![volume::mount_read_only(PASSWORD, PASSWORD_PATH)]),
            ..container("postgres-exporter", &exporter.image, &exporter.resources)
        }
    }

    /// Environment that pgctld and multipooler share.
    fn shared_env(&self) -> Vec<EnvVar> {
        let mut shared = vec![env("PGDATA", PGDATA), env("POSTGRES_PASSWORD_FILE", PASSWORD_FILE)];
        let s3 = self.shard.backup.s3.as_ref();
        if let Some(secret) = s3.and_then(|s3| s3.credentials_secret_ref.as_ref()) {
            shared.push(secret_env("AWS_ACCESS_KEY_ID", &secret.name, None));
            shared.push(secret_env("AWS_SECRET_ACCESS_KEY", &secret.name, None));
            shared.push(secret_env("AWS_SESSION_TOKEN", &secret.name, Some(true)));
        }
        shared
    }

    /// Mounts that pgctld and multipooler share.
    fn shared_mounts(&self) -> Vec<VolumeMount> {
        let backups = self.shard.backup.filesystem.as_ref();
        let backups = backups.map(|_| volume::mount(BACKUPS, BACKUP_PATH));
        let password = volume::mount_read_only(PASSWORD, PASSWORD_PATH);
        [volume::mount(DATA, POOLER_DIR), password].into_iter().chain(backups).collect()
    }

    fn volumes(&self) -> Vec<Volume> {
        let names = shard_names(self.shard);
        let mut volumes = vec![
            volume::config_map(CONFIGURATION, names.pg_hba()),
            volume::secret_key(PASSWORD, &self.shard.password.secret_key_ref, "password"),
            // A container's own is 64 MiB, too little for parallel queries.
            volume::memory(SHARED_MEMORY, self.shared_memory_limit().as_ref()),
        ];
        if self.shard.backup.filesystem.is_some() {
            volumes.push(volume::claimed(BACKUPS, names.backup()));
        }
        volumes.extend(topology::volumes(&self.shard.global_topology));
        volumes
    }
}
