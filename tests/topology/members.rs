//! The members of a real etcd: one that lost its volume is replaced, and never joins under its old identity.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use multigres_operator::etcd::{Action, Bootstrap, Peer, PodState, Step, plan};
use multigres_operator::topology::{Access, Client, EtcdState, MemberChange, Topology};
use tempfile::TempDir;
use testbed::ProcessGroup;
use testbed::binaries::ETCD;

use crate::access;

const PATIENCE: Duration = Duration::from_mins(2);
const SIZE: usize = 3;
const NAMES: [&str; SIZE] = ["m-0", "m-1", "m-2"];

/// Three members as pods would run them, each on a directory of its own.
struct Members {
    processes: ProcessGroup,
    dir: TempDir,
    peers: Vec<Peer>,
    clients: Vec<String>,
    settings: BTreeMap<String, String>,
    /// The ends of members that are started to see how they end.
    ended: Vec<String>,
}

impl Members {
    async fn start() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        // All are taken before one is given back.
        let listeners: Vec<_> =
            (0..2 * SIZE).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
        let ports: Vec<u16> =
            listeners.iter().map(|taken| Ok(taken.local_addr()?.port())).collect::<std::io::Result<_>>()?;
        drop(listeners);
        let peer = |(name, port): (&&str, &u16)| Peer {
            name: (*name).to_owned(),
            url: format!("http://127.0.0.1:{port}"),
        };
        let peers: Vec<_> = NAMES.iter().zip(&ports).map(peer).collect();
        let clients = ports[SIZE..].iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let settings = Bootstrap::forming(&peers).data();
        let processes = ProcessGroup::new(Some(dir.path()))?;
        let mut members = Self { processes, dir, peers, clients, settings, ended: vec![String::new(); SIZE] };
        for index in 0..SIZE {
            members.run(index)?;
        }
        members.state().await?;
        Ok(members)
    }

    fn data(&self, index: usize) -> PathBuf {
        self.dir.path().join(NAMES[index])
    }

    /// Command of a pod of the operator's template.
    fn command(&self, index: usize) -> anyhow::Result<Command> {
        let mut command = Command::new(ETCD.path()?);
        let (client, peer) = (format!("http://{}", self.clients[index]), &self.peers[index].url);
        command.current_dir(self.dir.path()).envs(&self.settings).args([
            "--unsafe-no-fsync".to_owned(),
            "--quota-backend-bytes=16777216".to_owned(),
            format!("--name={}", NAMES[index]),
            format!("--data-dir={}", self.data(index).display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
        ]);
        Ok(command)
    }

    fn run(&mut self, index: usize) -> anyhow::Result<()> {
        let log = self.dir.path().join(format!("{}.log", NAMES[index]));
        self.processes.spawn(NAMES[index], self.command(index)?, log)
    }

    /// Ends a member, and takes its volume.
    fn lose(&mut self, index: usize) -> anyhow::Result<()> {
        self.processes.kill(NAMES[index])?;
        std::fs::remove_dir_all(self.data(index))?;
        Ok(())
    }

    /// Starts a member that is expected to end, and keeps its last words as the kubelet does.
    fn run_to_end(&mut self, index: usize) -> anyhow::Result<()> {
        let mut command = self.command(index)?;
        let output =
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map(Child::wait_with_output)??;
        ensure!(!output.status.success(), "{} has not failed", NAMES[index]);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        // `FallbackToLogsOnError` keeps so much.
        words[words.len().saturating_sub(2048)..].clone_into(&mut self.ended[index]);
        Ok(())
    }

    fn access(&self, index: usize) -> Access {
        access(&self.clients[index], None)
    }

    async fn state(&self) -> anyhow::Result<EtcdState> {
        let any = access(&self.clients.join(","), None);
        let state = async {
            loop {
                match Client.etcd(&any).await {
                    Ok(state) => return state,
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, state).await.context("etcd has no quorum")
    }

    async fn pods(&self) -> Vec<(Peer, PodState)> {
        let mut pods = Vec::new();
        for (index, peer) in self.peers.iter().enumerate() {
            let ready = Client.etcd(&self.access(index)).await.is_ok();
            pods.push((peer.clone(), PodState::of(ready, false, &self.ended[index])));
        }
        pods
    }

    async fn all_started(&self) -> anyhow::Result<EtcdState> {
        let all = async {
            loop {
                let state = self.state().await?;
                if state.members.len() == SIZE && state.members.iter().all(|member| member.started) {
                    return anyhow::Ok(state);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(PATIENCE, all).await.context("not all members have started")?
    }

    /// Does a change, again while etcd refuses it: it wants to have been connected to all members for five seconds, and
    /// the new one to have caught up.
    async fn change(&self, change: &MemberChange) -> anyhow::Result<()> {
        let done = async {
            while let Err(error) = Client.change_members(&self.access(0), change).await {
                eprintln!("{error}");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::time::timeout(PATIENCE, done).await.with_context(|| format!("{change:?}"))
    }
}

/// Twice the same member: the second time its identity is not the one that its name and URL lead to.
#[tokio::test]
async fn a_member_that_lost_its_volume_is_replaced() -> anyhow::Result<()> {
    let mut members = Members::start().await?;
    let mut before = members.all_started().await?;
    for round in 0..2 {
        members.settings = Bootstrap::formed(&members.peers, Some(&before.members)).data();
        members.lose(1)?;
        members.run_to_end(1)?;
        let (mut done, mut joined) = (Vec::new(), false);
        while done.len() < 3 {
            let state = if joined { members.all_started().await? } else { members.state().await? };
            members.settings = Bootstrap::formed(&members.peers, Some(&state.members)).data();
            let Some(Step { action, .. }) = plan(&members.pods().await, &state.members).step else {
                bail!("no step is left, and the member is not there: {state:?}")
            };
            match action {
                Action::Change(change) => {
                    members.change(&change).await?;
                    done.push(change);
                }
                Action::Restart => {
                    members.ended[1].clear();
                    members.run(1)?;
                    joined = true;
                }
            }
        }
        let in_order =
            [MemberChange::Remove(0), MemberChange::AddLearner(String::new()), MemberChange::Promote(0)];
        let kinds =
            |changes: &[MemberChange]| -> Vec<_> { changes.iter().map(std::mem::discriminant).collect() };
        assert_eq!(kinds(&done), kinds(&in_order), "{round}: {done:?}");
        let after = members.all_started().await?;
        let id = |state: &EtcdState| members.peers[1].entry(&state.members).map(|member| member.id);
        assert_ne!(id(&before), id(&after), "{round}: it has its old identity");
        let whole = async {
            while !members.pods().await.iter().all(|(_, state)| *state == PodState::Ready) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(PATIENCE, whole).await.context("not all members serve")?;
        assert_eq!(plan(&members.pods().await, &after.members).step, None);
        before = after;
    }
    Ok(())
}

/// A member with data ignores the settings; one without data is not admitted.
#[tokio::test]
async fn only_members_with_their_data_start_while_nobody_is_to_join() -> anyhow::Result<()> {
    let mut members = Members::start().await?;
    let state = members.all_started().await?;
    members.settings = Bootstrap::formed(&members.peers, Some(&state.members)).data();
    members.processes.kill(NAMES[2])?;
    members.run(2)?;
    members.lose(1)?;
    for _ in 0..2 {
        members.run_to_end(1)?;
        assert_eq!(PodState::of(false, false, &members.ended[1]), PodState::Empty, "{}", members.ended[1]);
    }
    let after = members.state().await?;
    assert_eq!(after.members, state.members, "a member without data has changed something");
    Ok(())
}

#[tokio::test]
async fn a_full_database_is_seen_and_takes_no_write() -> anyhow::Result<()> {
    let members = Members::start().await?;
    assert!(!members.all_started().await?.out_of_space);
    let etcd = multigres_operator::topology::Etcd::new(&members.clients.join(","), None)?;
    let mut refused = None;
    for number in 0..64 {
        if let Err(error) = etcd.put_if(&format!("/junk/{number}"), vec![0; 1 << 20], 0).await {
            refused = Some(error.to_string());
            break;
        }
    }
    let refused = refused.context("16 MiB were not enough")?;
    assert!(refused.contains("database space exceeded"), "{refused}");
    let alarmed = async {
        while !members.state().await?.out_of_space {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, alarmed).await.context("the alarm is not seen")?
}
