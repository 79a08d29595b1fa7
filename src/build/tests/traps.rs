//! Requirements of Multigres' programs on a pod, one test per requirement.

use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use multigres_crds::v1alpha1::{ExternalTopoServer, MultiOrch, MultiShard};

use super::*;
use crate::etcd::{INITIAL_CLUSTER, INITIAL_CLUSTER_STATE};

fn both() -> [Vec<Manifest>; 2] {
    [rendered(&sample()), rendered(&every_option())]
}

fn pool_pods(manifests: &[Manifest]) -> Vec<PodSpec> {
    pools(manifests).into_iter().map(|set| set.spec.unwrap().template.spec.unwrap()).collect()
}

fn mount_path<'a>(container: &'a Container, volume: &str) -> Option<&'a str> {
    let mut mounts = container.volume_mounts.iter().flatten();
    mounts.find(|mount| mount.name == volume).map(|mount| mount.mount_path.as_str())
}

/// Every container of Multigres' own programs.
fn multigres(manifests: &[Manifest]) -> Vec<Container> {
    let containers = pods(manifests)
        .into_iter()
        .flat_map(|pod| pod.init_containers.into_iter().flatten().chain(pod.containers).collect::<Vec<_>>());
    containers.filter(|container| !["etcd", "postgres-exporter"].contains(&container.name.as_str())).collect()
}

#[test]
fn pods_are_restricted() {
    for pod in both().iter().flat_map(|manifests| pods(manifests)) {
        let context = pod.security_context.as_ref().unwrap();
        assert_eq!(context.run_as_non_root, Some(true));
        assert_eq!(context.seccomp_profile.as_ref().unwrap().type_, "RuntimeDefault");
        assert_eq!(pod.automount_service_account_token, Some(false));
        assert_eq!(pod.enable_service_links, Some(false));
        for container in containers(&pod) {
            let context = container.security_context.as_ref().unwrap();
            assert_eq!(context.allow_privilege_escalation, Some(false));
            assert_eq!(context.capabilities.as_ref().unwrap().drop.as_deref(), Some(&["ALL".to_owned()][..]));
        }
    }
}

#[test]
fn one_user_that_exists_and_files_that_are_left_alone() {
    for pod in both().iter().flat_map(|manifests| pods(manifests)) {
        let context = pod.security_context.as_ref().unwrap();
        assert_eq!(
            (context.run_as_user, context.run_as_group, context.fs_group),
            (Some(999), Some(999), Some(999))
        );
        assert_eq!(context.fs_group_change_policy.as_deref(), Some("OnRootMismatch"));
        for container in containers(&pod) {
            assert_eq!(container.security_context.as_ref().unwrap().run_as_user, None, "{}", container.name);
        }
    }
}

#[test]
fn pgdata_is_within_the_poolers_directory_and_on_its_volume() {
    for pod in both().iter().flat_map(|manifests| pool_pods(manifests)) {
        for container in ["pgctld", "multipooler"].map(|name| container(&pod, name)) {
            let directory = arg(container, "pooler-dir").unwrap();
            assert_eq!(mount_path(container, "data"), Some(directory));
            let pgdata = env(container, "PGDATA").unwrap();
            assert!(pgdata.strip_prefix(directory).unwrap().len() > 1, "{pgdata}");
        }
    }
}

#[test]
fn replication_is_allowed_from_everywhere() {
    let manifests = rendered(&sample());
    let config_map: ConfigMap = all("ConfigMap", &manifests).remove(0);
    for pod in pool_pods(&manifests) {
        let pgctld = container(&pod, "pgctld");
        let volume = pod.volumes.iter().flatten().find(|volume| {
            volume
                .config_map
                .as_ref()
                .is_some_and(|source| Some(&source.name) == config_map.metadata.name.as_ref())
        });
        let path = mount_path(pgctld, &volume.unwrap().name).unwrap();
        let file =
            arg(pgctld, "pg-hba-template").unwrap().strip_prefix(path).unwrap().trim_start_matches('/');
        let rules = &config_map.data.as_ref().unwrap()[file];
        for from in ["0.0.0.0/0", "::0/0"] {
            let rule = ["host", "replication", "all", from, "scram-sha-256"];
            assert!(rules.lines().any(|line| line.split_whitespace().eq(rule)), "{rules}");
        }
        assert!(!rules.contains("trust"));
    }
}

#[test]
fn a_shards_poolers_share_one_backup_volume_that_no_other_shard_has() {
    let mut cluster = every_option();
    cluster.spec.databases.as_mut().unwrap().templates[0].spec.backup = None;
    let manifests = rendered(&cluster);
    let mut claims = std::collections::BTreeMap::new();
    for set in pools(&manifests) {
        let shard = set.metadata.labels.as_ref().unwrap()["multigres.com/shard"].clone();
        let group = set.metadata.labels.as_ref().unwrap()["multigres.com/tablegroup"].clone();
        let pod = set.spec.unwrap().template.spec.unwrap();
        let volume = pod.volumes.as_ref().unwrap().iter().find(|volume| volume.name == "backups").unwrap();
        let claim = volume.persistent_volume_claim.as_ref().unwrap().claim_name.clone();
        assert!(manifests.iter().any(|m| m.resource.kind == "PersistentVolumeClaim" && m.name == claim));
        assert_eq!(claims.entry((group, shard)).or_insert_with(|| claim.clone()), &claim);
        for name in ["pgctld", "multipooler"] {
            assert_eq!(mount_path(container(&pod, name), "backups"), Some(BACKUP_PATH));
        }
    }
    let distinct: std::collections::BTreeSet<_> = claims.values().collect();
    assert_eq!((claims.len(), distinct.len()), (3, 3));
}

#[test]
fn backups_in_s3_have_credentials_and_no_volume() {
    let manifests = rendered(&every_option());
    assert!(manifests.iter().all(|manifest| manifest.resource.kind != "PersistentVolumeClaim"));
    for pod in pool_pods(&manifests) {
        assert!(pod.volumes.iter().flatten().all(|volume| volume.name != "backups"));
        for name in ["pgctld", "multipooler"] {
            let keys = container(&pod, name).env.iter().flatten().filter_map(|env| {
                let key = env.value_from.as_ref()?.secret_key_ref.as_ref()?;
                Some((key.name.as_str(), key.key.as_str(), key.optional.unwrap_or(false)))
            });
            assert_eq!(
                keys.collect::<Vec<_>>(),
                [
                    ("s3-credentials", "AWS_ACCESS_KEY_ID", false),
                    ("s3-credentials", "AWS_SECRET_ACCESS_KEY", false),
                    ("s3-credentials", "AWS_SESSION_TOKEN", true)
                ]
            );
        }
    }
}

#[test]
fn orchestrators_keep_their_identity_and_know_what_to_watch() {
    let sets = stateful_sets(&rendered(&sample()));
    let orchestrators = sets.iter().filter_map(|set| {
        let pod = set.spec.as_ref()?.template.spec.as_ref()?;
        pod.containers.iter().find(|container| container.name == "multiorch")
    });
    let orchestrators: Vec<_> = orchestrators.collect();
    assert_eq!(orchestrators.len(), 2);
    for orchestrator in orchestrators {
        assert_eq!(arg(orchestrator, "service-id"), Some("$(POD_NAME)"));
        assert_eq!(arg(orchestrator, "watch-targets"), Some("users_db"));
    }
}

#[test]
fn no_orchestrator_runs_without_a_database() {
    let mut cluster = sample();
    cluster.spec.databases = None;
    let sets = stateful_sets(&rendered(&cluster));
    let orchestrators = sets.iter().filter(|set| set.metadata.name.as_ref().unwrap().contains("-multiorch-"));
    let replicas: Vec<_> = orchestrators.map(|set| set.spec.as_ref().unwrap().replicas).collect();
    assert_eq!(replicas, [Some(0), Some(0)]);
}

#[test]
fn services_are_switched_on_and_ports_are_fixed() {
    for container in both().iter().flat_map(|manifests| multigres(manifests)) {
        let map = match container.name.as_str() {
            "multiadmin" => Some("grpc-multiadmin"),
            "multipooler" => Some("grpc-pooler"),
            _ => None,
        };
        assert_eq!(arg(&container, "service-map"), map, "{}", container.name);
        for port in ["http-port", "grpc-port"] {
            let port: i32 = arg(&container, port).unwrap().parse().unwrap();
            assert!(container.ports.as_ref().unwrap().iter().any(|declared| declared.container_port == port));
        }
    }
}

#[test]
fn arguments_are_those_of_the_release() {
    const KNOWN: &[&str] = &[
        "http-port",
        "grpc-port",
        "hostname",
        "topo-global-server-addresses",
        "topo-global-root",
        "topo-etcd-tls-ca",
        "topo-etcd-tls-cert",
        "topo-etcd-tls-key",
        "service-map",
        "cell",
        "service-id",
        "watch-targets",
        "pg-port",
        "buffer-enabled",
        "pg-tls-cert-file",
        "pg-tls-key-file",
        "pg-require-ssl",
        "pooler-dir",
        "pg-database",
        "grpc-socket-file",
        "pg-hba-template",
        "database",
        "table-group",
        "shard",
        "pgctld-addr",
        "socket-file",
        "connpool-global-capacity",
    ];
    for container in both().iter().flat_map(|manifests| multigres(manifests)) {
        for arg in container.args.iter().flatten().filter(|arg| *arg != "server") {
            let (name, _) = arg.strip_prefix("--").unwrap().split_once('=').unwrap();
            assert!(KNOWN.contains(&name), "{}: {arg}", container.name);
        }
    }
}

#[test]
fn variables_in_arguments_are_declared() {
    for pod in both().iter().flat_map(|manifests| pods(manifests)) {
        for container in containers(&pod) {
            for arg in container.args.iter().flatten() {
                for variable in arg.split("$(").skip(1).map(|rest| rest.split_once(')').unwrap().0) {
                    let declared = container.env.iter().flatten().any(|env| env.name == variable);
                    assert!(declared, "{}: {arg}", container.name);
                }
            }
        }
    }
}

#[test]
fn mounts_have_volumes_and_volumes_are_mounted() {
    for template in both().iter().flat_map(|manifests| templates(manifests)) {
        let pod = template.spec.unwrap();
        let mut volumes: Vec<&str> =
            pod.volumes.iter().flatten().map(|volume| volume.name.as_str()).collect();
        if ["etcd", "pgctld"].iter().any(|name| containers(&pod).iter().any(|c| c.name == *name)) {
            volumes.push("data");
        }
        let mounts =
            containers(&pod).into_iter().flat_map(|container| container.volume_mounts.iter().flatten());
        let mut mounted: Vec<&str> = mounts.map(|mount| mount.name.as_str()).collect();
        volumes.sort_unstable();
        mounted.sort_unstable();
        mounted.dedup();
        assert_eq!(mounted, volumes);
    }
}

#[test]
fn pools_bootstrap_in_parallel_and_are_replaced_by_the_operator() {
    for set in both().iter().flat_map(|manifests| pools(manifests)) {
        let spec = set.spec.unwrap();
        assert_eq!(spec.pod_management_policy.as_deref(), Some("Parallel"));
        assert_eq!(spec.update_strategy.unwrap().type_.as_deref(), Some("OnDelete"));
    }
}

#[test]
fn pgctld_is_the_last_to_end() {
    for pod in both().iter().flat_map(|manifests| pool_pods(manifests)) {
        let sidecars = pod.init_containers.as_ref().unwrap();
        assert_eq!(sidecars.len(), 1);
        assert_eq!(
            (sidecars[0].name.as_str(), sidecars[0].restart_policy.as_deref()),
            ("pgctld", Some("Always"))
        );
        assert!(pod.termination_grace_period_seconds.unwrap() >= 60);
    }
}

#[test]
fn a_pod_is_ready_when_postgresql_accepts_connections() {
    for pod in both().iter().flat_map(|manifests| pool_pods(manifests)) {
        let pgctld = container(&pod, "pgctld");
        let path = |probe: &Option<k8s_openapi::api::core::v1::Probe>| {
            probe.as_ref().unwrap().http_get.as_ref().unwrap().path.clone().unwrap()
        };
        assert_eq!(path(&pgctld.startup_probe), "/live");
        assert_eq!(path(&pgctld.liveness_probe), "/live");
        let ready = pgctld.readiness_probe.as_ref().unwrap().exec.as_ref().unwrap().command.clone().unwrap();
        assert_eq!(ready, ["pg_isready", "-h", "/data/pg_sockets", "-p", "5432", "-q"]);
        assert_eq!(path(&container(&pod, "multipooler").readiness_probe), "/ready");
    }
}

/// At the newest revision the kubelet ends what hangs; the start is watched as before.
#[test]
fn what_hangs_is_ended_and_shared_memory_is_limited() {
    let mut cluster = sample();
    cluster.spec.workload_revision = Some(2);
    for pod in pool_pods(&rendered(&cluster)) {
        let (pgctld, multipooler) = (container(&pod, "pgctld"), container(&pod, "multipooler"));
        let startup = pgctld.startup_probe.as_ref().unwrap().http_get.as_ref().unwrap();
        assert_eq!(startup.path.as_deref(), Some("/live"));
        let liveness = pgctld.liveness_probe.as_ref().unwrap();
        let command = liveness.exec.as_ref().unwrap().command.as_ref().unwrap();
        assert_eq!(command[command.len() - 3..], ["/data/pg_sockets", "5432", "/data/pg_data"]);
        for (container, grace) in [(pgctld, 5), (multipooler, 10)] {
            let probe = container.liveness_probe.as_ref().unwrap();
            assert_eq!(probe.termination_grace_period_seconds, Some(grace));
        }
        let memory = pod.volumes.iter().flatten().find(|volume| volume.name == "shared-memory").unwrap();
        assert!(memory.empty_dir.as_ref().unwrap().size_limit.is_some());
    }
}

/// One orchestrator while shards are brought up, however many there are to be.
#[test]
fn shards_are_brought_up_by_one_orchestrator() {
    let manifests = rendered(&sample());
    let mut orch: MultiOrch = all("MultiOrch", &manifests).remove(0);
    orch.spec.replicas = 2;
    let replicas = |orch: &MultiOrch| {
        let built = orch.build(&Environment::default());
        built.iter().map(|set| set.body["spec"]["replicas"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    let template = |orch: &MultiOrch| orch.build(&Environment::default())[0].pod_template().cloned();
    assert_eq!(replicas(&orch), [2, 2]);
    let before = template(&orch);
    orch.spec.bring_up_cell = Some(orch.spec.cells[1].name.clone());
    assert_eq!(replicas(&orch), [0, 1]);
    assert_eq!(template(&orch), before, "no pod restarts when the others join");
    orch.spec.databases.clear();
    assert_eq!(replicas(&orch), [0, 0]);
}

#[test]
fn poolers_are_known_by_an_address_that_stays() {
    for manifests in both() {
        let services: Vec<Service> = all("Service", &manifests);
        for set in pools(&manifests) {
            let (name, spec) = (set.metadata.name.unwrap(), set.spec.unwrap());
            let pod = spec.template.spec.unwrap();
            let host = arg(container(&pod, "multipooler"), "hostname");
            assert_eq!(host, Some("$(POD_NAME).multigres.svc.cluster.local"));
            for pod in (0..spec.replicas.unwrap()).map(|ordinal| format!("{name}-{ordinal}")) {
                let service = services.iter().find(|service| service.metadata.name.as_ref() == Some(&pod));
                let service = service.unwrap().spec.as_ref().unwrap();
                assert_eq!(service.selector.as_ref().unwrap()["statefulset.kubernetes.io/pod-name"], pod);
                assert_eq!(service.publish_not_ready_addresses, Some(true));
                assert_eq!(service.cluster_ip, None);
            }
        }
    }
}

#[test]
fn both_programs_are_told_the_database() {
    for pod in pool_pods(&rendered(&sample())) {
        assert_eq!(arg(container(&pod, "multipooler"), "database"), Some("users_db"));
        assert_eq!(arg(container(&pod, "multipooler"), "table-group"), Some("default"));
        assert_eq!(arg(container(&pod, "multipooler"), "shard"), Some("0-inf"));
        assert_eq!(arg(container(&pod, "pgctld"), "pg-database"), Some("users_db"));
    }
}

#[test]
fn the_password_is_a_file_for_its_user() {
    for (manifests, secret, key) in [
        (rendered(&sample()), "example-multigres-cluster-users-db-zmu66rw4-password", "password"),
        (rendered(&every_option()), "orders-superuser", "secret"),
    ] {
        for pod in pool_pods(&manifests) {
            let volume =
                pod.volumes.as_ref().unwrap().iter().find(|volume| volume.name == "password").unwrap();
            let source = volume.secret.as_ref().unwrap();
            assert_eq!((source.secret_name.as_deref(), source.default_mode), (Some(secret), Some(0o440)));
            let item = &source.items.as_ref().unwrap()[0];
            assert_eq!(item.key, key);
            for name in ["pgctld", "multipooler"] {
                let container = container(&pod, name);
                let file = format!("{}/{}", mount_path(container, "password").unwrap(), item.path);
                assert_eq!(env(container, "POSTGRES_PASSWORD_FILE"), Some(file.as_str()));
            }
        }
    }
}

#[test]
fn one_instance_of_a_shard_may_be_missing() {
    let manifests = rendered(&sample());
    let shard: MultiShard = all("MultiShard", &manifests).remove(0);
    for (instances, minimum) in [(6, 5), (2, 1), (1, 0), (0, 0)] {
        let manifest = disruption_budget(&shard, instances);
        let budget: PodDisruptionBudget = serde_json::from_value(manifest.body.clone()).unwrap();
        assert_eq!(budget.spec.unwrap().min_available, Some(IntOrString::Int(minimum)));
    }
    assert!(manifests.contains(&disruption_budget(&shard, 6)));
}

#[test]
fn data_outlives_its_shard_unless_told_otherwise() {
    let mut cluster = sample();
    let ownership = |cluster: &MultigresCluster| {
        let manifests = rendered(cluster);
        let shard: MultiShard = all("MultiShard", &manifests).remove(0);
        let record = shard.spec.database_record.clone().unwrap();
        let claim = manifests.iter().find(|m| m.resource.kind == "PersistentVolumeClaim").unwrap().ownership;
        let password = secrets::password(&shard, "x").ownership;
        (claim, password, secrets::connection(&shard, &record, None).ownership)
    };
    assert_eq!(ownership(&cluster), (Ownership::Retained, Ownership::Retained, Ownership::Dependent));
    cluster.spec.persistent_volume_claim_retention_policy =
        every_option().spec.persistent_volume_claim_retention_policy;
    assert_eq!(ownership(&cluster), (Ownership::Dependent, Ownership::Dependent, Ownership::Dependent));
}

#[test]
fn a_released_topology_restarts_nothing() {
    let cluster = sample();
    let mut released = cluster.clone();
    released.spec.global_topo_server.managed = Some(false);
    released.spec.global_topo_server.external = Some(ExternalTopoServer {
        address: Some("example-multigres-cluster-etcd-client.multigres.svc.cluster.local:2379".to_owned()),
        tls: None,
    });
    let is_etcd = |manifest: &Manifest| manifest.name.contains("-etcd");
    let mut before = rendered(&cluster);
    before.retain(|manifest| !is_etcd(manifest));
    let after = rendered(&released);
    assert!(!after.iter().any(is_etcd));
    assert_eq!(yaml(&before), yaml(&after));
}

#[test]
fn the_users_labels_and_annotations_come_second() {
    let templates = templates(&rendered(&every_option()));
    let gateway = templates
        .into_iter()
        .find(|template| template.metadata.as_ref().unwrap().labels.as_ref().unwrap().contains_key("team"));
    let metadata = gateway.unwrap().metadata.unwrap();
    assert_eq!(metadata.labels.unwrap()["app.kubernetes.io/name"], "multigres");
    let annotations = metadata.annotations.unwrap();
    assert_eq!(annotations["example.com/scrape"], "true");
    assert_eq!(annotations[RESTARTED_AT], "2026-01-02T03:04:05Z");
}

#[test]
fn etcd_members_know_each_other_by_name() {
    let pods = pods(&rendered(&sample()));
    let etcd =
        pods.iter().flat_map(|pod| &pod.containers).find(|container| container.name == "etcd").unwrap();
    let member = |pod: &str| {
        format!("http://{pod}.example-multigres-cluster-etcd-peer.multigres.svc.cluster.local:2380")
    };
    let members: Vec<String> = (0..3)
        .map(|ordinal| format!("example-multigres-cluster-etcd-{ordinal}"))
        .map(|pod| format!("{pod}={}", member(&pod)))
        .collect();
    assert_eq!(arg(etcd, "initial-cluster"), Some(members.join(",").as_str()));
    // etcd compares its own entry with this, letter by letter.
    assert_eq!(arg(etcd, "initial-advertise-peer-urls"), Some(member("$(POD_NAME)").as_str()));
    let data = arg(etcd, "data-dir").unwrap();
    assert!(data.strip_prefix(mount_path(etcd, "data").unwrap()).is_some_and(|rest| rest.len() > 1));
}

/// An argument would have an etcd that finds no data join under an identity whose votes it has forgotten.
#[test]
fn etcd_learns_from_a_config_map_whether_it_may_start_without_data() {
    const NAME: &str = "example-multigres-cluster-etcd-settings";
    let mut cluster = sample();
    cluster.spec.workload_revision = Some(2);
    let [older, newer] = [&sample(), &cluster].map(rendered);
    let maps: Vec<ConfigMap> = all("ConfigMap", &newer);
    let map = maps.iter().find(|map| map.metadata.name.as_deref() == Some(NAME)).unwrap();
    let data = map.data.as_ref().unwrap();
    let [older, newer] = [older, newer].map(|manifests| {
        let pods = pods(&manifests);
        let mut containers = pods.iter().flat_map(|pod| &pod.containers);
        containers.find(|container| container.name == "etcd").unwrap().clone()
    });
    for (flag, variable) in
        [("initial-cluster", INITIAL_CLUSTER), ("initial-cluster-state", INITIAL_CLUSTER_STATE)]
    {
        assert_eq!(arg(&newer, flag), None, "an argument overrides the variable");
        assert_eq!(Some(data[variable].as_str()), arg(&older, flag), "it starts as before");
        let variable = newer.env.iter().flatten().find(|env| env.name == variable).unwrap();
        let key = variable.value_from.as_ref().unwrap().config_map_key_ref.as_ref().unwrap();
        assert_eq!((key.name.as_str(), key.key.as_str()), (NAME, variable.name.as_str()));
    }
    assert_eq!(newer.termination_message_policy.as_deref(), Some("FallbackToLogsOnError"));
}

#[test]
fn etcd_may_take_half_of_its_volume() {
    let quota = |storage: &str| {
        let mut cluster = sample();
        cluster.spec.workload_revision = Some(2);
        let etcd = cluster.spec.global_topo_server.managed_spec.as_mut().unwrap();
        let mut claim = multigres_crds::defaults::etcd_volume();
        claim.resources.requests.storage = Some(storage.into());
        etcd.data_volume_claim_template = Some(claim);
        let mut maps: Vec<ConfigMap> = all("ConfigMap", &rendered(&cluster));
        let quota = |map: &mut ConfigMap| map.data.take()?.remove("ETCD_QUOTA_BACKEND_BYTES");
        maps.iter_mut().find_map(quota).unwrap()
    };
    for (storage, expected) in
        [("1Gi", "536870912"), ("10G", "5000000000"), ("100Gi", "8589934592"), ("much", "0")]
    {
        assert_eq!(quota(storage), expected, "{storage}");
    }
}
