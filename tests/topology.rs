//! The topology client against a real etcd.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "topology/members.rs"]
mod members;

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::future::join_all;
use multigres_crds::v1alpha1::{MultiCellSpec, MultiShardSpec, Truth};
use multigres_operator::topology::desired::{
    cell_key, database_key, desired_cell, desired_database, pooler_id, pooler_key,
};
use multigres_operator::topology::records::{
    Id, Multiorch, Multipooler, PoolerType, ServingStatus, ShardKey,
};
use multigres_operator::topology::{Access, Client, Credentials, Error, Etcd, Topology, Written};
use prost::Message;
use serde_json::json;
use tempfile::TempDir;
use testbed::ProcessGroup;
use testbed::binaries::ETCD;
use testbed::pki::{Authority, Identity};

const ROOT: &str = "/multigres/global";
/// Generous: it only matters when something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// An etcd of one member, which ends with the value.
struct Server {
    _processes: ProcessGroup,
    _dir: TempDir,
    address: String,
}

/// The certificates of an etcd that asks its clients for theirs.
struct Pki {
    authority: Authority,
    server: Identity,
}

impl Pki {
    fn new() -> anyhow::Result<Self> {
        let authority = Authority::new()?;
        Ok(Self { server: authority.server()?, authority })
    }

    fn client(&self) -> anyhow::Result<Credentials> {
        let client = self.authority.client("operator", &[])?;
        Ok(Credentials {
            authority: Some(self.authority.identity().certificate.into()),
            certificate: client.certificate.into(),
            key: client.key.into(),
        })
    }
}

impl Server {
    async fn start() -> anyhow::Result<Self> {
        Self::start_with(None).await
    }

    async fn start_with(pki: Option<&Pki>) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let scheme = if pki.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://127.0.0.1:{port}");
        let mut command = Command::new(ETCD.path()?);
        command.current_dir(dir.path()).args([
            "--data-dir=data",
            "--unsafe-no-fsync",
            "--log-level=warn",
            "--listen-peer-urls=http://127.0.0.1:0",
            // It would have to have a client's certificate for itself.
            "--enable-grpc-gateway=false",
            &format!("--listen-client-urls={url}"),
            &format!("--advertise-client-urls={url}"),
        ]);
        if let Some(Pki { authority, server }) = pki {
            for (name, content) in [
                ("ca", &authority.identity().certificate),
                ("cert", &server.certificate),
                ("key", &server.key),
            ] {
                std::fs::write(dir.path().join(name), content)?;
            }
            command.args([
                "--trusted-ca-file=ca",
                "--client-cert-auth",
                "--cert-file=cert",
                "--key-file=key",
            ]);
        }
        let mut processes = ProcessGroup::new(Some(dir.path()))?;
        processes.spawn(ETCD.name(), command, dir.path().join("log"))?;
        let address = format!("127.0.0.1:{port}");
        let ours = access(&address, pki.map(Pki::client).transpose()?);
        tokio::select! {
            () = serves(&ours) => {}
            error = processes.first_end() => return Err(error),
            () = tokio::time::sleep(PATIENCE) => bail!("etcd does not serve: {}", processes.last_lines(ETCD.name())),
        }
        Ok(Self { _processes: processes, _dir: dir, address })
    }

    fn access(&self) -> Access {
        access(&self.address, None)
    }

    fn etcd(&self) -> Etcd {
        Etcd::new(&self.address, None).unwrap()
    }

    async fn value(&self, key: &str) -> Vec<u8> {
        self.etcd().get(key).await.unwrap().unwrap().value
    }

    async fn put(&self, key: &str, value: Vec<u8>) {
        let revision = self.etcd().get(key).await.unwrap().map_or(0, |found| found.mod_revision);
        assert!(self.etcd().put_if(key, value, revision).await.unwrap());
    }
}

async fn serves(access: &Access) {
    while Client.reachable(access).await != Truth::True {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn access(address: &str, credentials: Option<Credentials>) -> Access {
    Access { address: address.to_owned(), root: ROOT.to_owned(), credentials }
}

/// A cell whose topology is on the etcd at an address.
fn cell(address: &str) -> MultiCellSpec {
    serde_json::from_value(json!({
        "cluster": "c", "cell": "zone1", "multiGateway": {"image": "i", "replicas": 1},
        "globalTopology": {"address": address, "rootPath": ROOT},
        "topology": {"address": address, "rootPath": format!("{ROOT}/zone1")},
    }))
    .unwrap()
}

fn shard() -> MultiShardSpec {
    serde_json::from_value(json!({
        "cluster": "c", "database": "postgres", "tableGroup": "default", "shard": "0-inf",
        "globalTopology": {"address": "", "rootPath": ROOT}, "backup": {"filesystem": {}},
        "databaseRecord": {"cells": ["zone1"], "host": "h", "port": 5432},
        "password": {"secretKeyRef": {"name": "p", "key": "password"}},
    }))
    .unwrap()
}

/// A field that no version of the operator knows.
fn field_of_others() -> Vec<u8> {
    vec![0xfa, 0x06, 0x03, b'o', b'u', b'r']
}

/// A listener that takes connections and never says a word.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// An address at which nobody listens.
fn nobody() -> String {
    silent().1
}

#[tokio::test]
async fn records_are_created_and_then_left_alone() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let (access, cell, shard) = (server.access(), cell("etcd:2379"), shard());
    for expected in [Written::Created, Written::Unchanged] {
        assert_eq!(Client.ensure_cell(&access, &cell).await?, expected);
        assert_eq!(Client.ensure_database(&access, &shard).await?, expected);
    }
    let database = desired_database(&shard).context("this shard writes it")?;
    assert_eq!(server.value(&cell_key(ROOT, "zone1")).await, desired_cell(&cell).encode_to_vec());
    assert_eq!(server.value(&database_key(ROOT, "postgres")).await, database.encode_to_vec());

    let other = MultiShardSpec { database_record: None, ..shard };
    assert_eq!(Client.ensure_database(&access, &other).await?, Written::Unchanged);
    Ok(())
}

#[tokio::test]
async fn an_update_keeps_what_others_have_written() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let key = cell_key(ROOT, "zone1");
    let before = [field_of_others(), desired_cell(&cell("old:2379")).encode_to_vec()].concat();
    server.put(&key, before).await;

    let cell = cell("new:2379");
    assert_eq!(Client.ensure_cell(&server.access(), &cell).await?, Written::Updated);
    let after = [desired_cell(&cell).encode_to_vec(), field_of_others()].concat();
    assert_eq!(server.value(&key).await, after);
    assert_eq!(Client.ensure_cell(&server.access(), &cell).await?, Written::Unchanged);
    Ok(())
}

#[tokio::test]
async fn of_writers_at_once_one_creates() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let (access, cell) = (server.access(), cell("etcd:2379"));
    let written = join_all((0..8).map(|_| Client.ensure_cell(&access, &cell))).await;
    let mut created = 0;
    for written in written {
        match written? {
            Written::Created => created += 1,
            Written::Unchanged => {}
            Written::Updated => panic!("there was nothing to change"),
        }
    }
    assert_eq!(created, 1);
    Ok(())
}

#[tokio::test]
async fn a_write_on_what_has_changed_is_not_made() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let etcd = server.etcd();
    assert!(etcd.put_if("/key", b"1".to_vec(), 0).await?);
    assert!(!etcd.put_if("/key", b"2".to_vec(), 0).await?, "it is there");
    let revision = etcd.get("/key").await?.context("it was written")?.mod_revision;
    assert!(etcd.put_if("/key", b"3".to_vec(), revision).await?);
    assert!(!etcd.put_if("/key", b"4".to_vec(), revision).await?, "it was written since");
    assert!(!etcd.delete_if("/key", revision).await?, "it was written since");
    assert_eq!(server.value("/key").await, b"3");
    Ok(())
}

#[tokio::test]
async fn only_what_the_operator_wrote_is_removed() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let (access, ours, theirs, shard) = (server.access(), cell("ours:2379"), cell("theirs:2379"), shard());
    Client.ensure_cell(&access, &theirs).await?;
    Client.remove_cell(&access, &ours).await?;
    assert!(server.etcd().get(&cell_key(ROOT, "zone1")).await?.is_some());
    Client.ensure_database(&access, &shard).await?;
    for _ in 0..2 {
        Client.remove_cell(&access, &theirs).await?;
        Client.remove_database(&access, &shard).await?;
        assert_eq!(server.etcd().list("/").await?, []);
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_record_is_not_written_over() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let key = cell_key(ROOT, "zone1");
    server.put(&key, b"{}".to_vec()).await;
    let error = Client.ensure_cell(&server.access(), &cell("etcd:2379")).await.unwrap_err();
    assert!(matches!(error, Error::Unreadable { .. }), "{error}");
    assert_eq!(server.value(&key).await, b"{}");
    Ok(())
}

#[tokio::test]
async fn any_endpoint_will_do() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let (_listener, silent) = silent();
    for dead in [nobody(), silent] {
        let access = access(&format!("{dead},{}", server.address), None);
        let reachable = tokio::time::timeout(PATIENCE, Client.reachable(&access)).await?;
        assert_eq!(reachable, Truth::True, "{dead}");
    }
    Ok(())
}

#[tokio::test]
async fn a_topology_that_does_not_answer_is_not_waited_for() -> anyhow::Result<()> {
    let (_listener, silent) = silent();
    for address in [nobody(), silent, format!("{},{}", nobody(), nobody())] {
        let (access, cell, shard) = (access(&address, None), cell("etcd:2379"), shard());
        let (reachable, written, roles) = tokio::time::timeout(PATIENCE, async {
            tokio::join!(
                Client.reachable(&access),
                Client.ensure_cell(&access, &cell),
                Client.roles(&access, &shard),
            )
        })
        .await?;
        assert_eq!(reachable, Truth::False, "{address}");
        assert_eq!(written.unwrap_err().reason().as_str(), "TopologyUnreachable", "{address}");
        assert_eq!(roles.serving_writes, Truth::Unknown);
        assert_eq!(roles.unseen, [format!("topology {address}")]);
    }
    Ok(())
}

#[tokio::test]
async fn an_etcd_may_ask_for_certificates() -> anyhow::Result<()> {
    let pki = Pki::new()?;
    let server = Server::start_with(Some(&pki)).await?;
    let access = |credentials| access(&server.address, credentials);
    let ours = access(Some(pki.client()?));
    assert_eq!(Client.ensure_cell(&ours, &cell("etcd:2379")).await?, Written::Created);

    let stranger = Pki::new()?.client()?;
    let impostor = Credentials { authority: pki.client()?.authority, ..stranger.clone() };
    let distrustful = Credentials { authority: stranger.authority, ..pki.client()? };
    for (who, credentials) in
        [("nobody", None), ("an impostor", Some(impostor)), ("a distrustful", Some(distrustful))]
    {
        let error = Client.ensure_cell(&access(credentials), &cell("etcd:2379")).await.unwrap_err();
        assert_eq!(error.reason().as_str(), "TopologyUnreachable", "{who}: {error}");
    }
    Ok(())
}

fn pooler(id: &Id, shard: &str, r#type: PoolerType) -> Multipooler {
    Multipooler {
        id: Some(id.clone()),
        shard_key: Some(ShardKey {
            database: "postgres".to_owned(),
            table_group: "default".to_owned(),
            shard: shard.to_owned(),
        }),
        r#type: r#type.into(),
        serving_status: ServingStatus::Serving.into(),
        hostname: "localhost".to_owned(),
        // Nobody may listen there without being root.
        port_map: [("grpc".to_owned(), 1)].into(),
    }
}

/// A pooler's registration counts only if its own status confirms it.
#[tokio::test]
async fn a_pooler_that_does_not_answer_is_named_and_kept_while_nobody_leads() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let (access, shard) = (server.access(), shard());
    Client.ensure_cell(&access, &cell(&server.address)).await?;
    let roles = Client.roles(&access, &shard).await;
    assert_eq!((roles.serving_writes, roles.initialized), (Truth::False, Truth::False), "none is registered");

    let root = format!("{ROOT}/zone1");
    let [ours, other] = [0, 1].map(|ordinal| pooler_id(&shard, "zone1", "main", ordinal));
    server.put(&pooler_key(&root, &ours), pooler(&ours, "0-inf", PoolerType::Primary).encode_to_vec()).await;
    server.put(&pooler_key(&root, &other), pooler(&other, "0-80", PoolerType::Primary).encode_to_vec()).await;
    server.put(&format!("{root}/poolers/locks/1"), b"not a record".to_vec()).await;
    let roles = Client.roles(&access, &shard).await;
    assert_eq!((roles.primary, roles.serving_writes), (None, Truth::Unknown));
    assert_eq!(roles.initialized, Truth::Unknown, "one that does not answer may have data");
    assert_eq!(roles.unseen, ["pooler localhost"]);
    assert_eq!(roles.members["localhost"].id, ours);

    // Whoever leads might still count on its copies of commits.
    let error = Client.remove_pooler(&access, &shard, &ours).await.unwrap_err();
    assert_eq!(error.to_string(), "a leader of the shard is not registered");
    assert!(server.etcd().get(&pooler_key(&root, &ours)).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn an_orchestrator_is_looked_for_in_its_cell() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let access = server.access();
    let error = Client.trigger_recovery(&access, "zone1").await.unwrap_err();
    assert_eq!(error.to_string(), "cell zone1 is not registered");

    Client.ensure_cell(&access, &cell(&server.address)).await?;
    let error = Client.trigger_recovery(&access, "zone1").await.unwrap_err();
    assert_eq!(error.to_string(), "an orchestrator of cell zone1 is not registered");

    let gone = Multiorch {
        hostname: "localhost".to_owned(),
        port_map: [("grpc".to_owned(), 1)].into(),
        ..Multiorch::default()
    };
    server.put(&format!("{ROOT}/zone1/orchs/multiorch-zone1-0/Orch"), gone.encode_to_vec()).await;
    let error = Client.trigger_recovery(&access, "zone1").await.unwrap_err();
    assert_eq!(error.reason().as_str(), "TopologyUnreachable");
    Ok(())
}
