//! Faults that tests cause on nodes.

use std::net::IpAddr;
use std::process::Command;

use anyhow::Context;

use super::{NAME, Node, components};
use crate::binaries::KUBELET;

/// Prints the processes of a container: number, parent, name. Some end between one look and the next.
const PROCESSES: &str = r#"
ctr --address "$1" --namespace k8s.io tasks ps "$2" | while read -r pid rest; do
    parent=$(awk '/^PPid:/ {print $2}' "/proc/$pid/status" 2>/dev/null)
    name=$(cat "/proc/$pid/comm" 2>/dev/null)
    if [ -n "$parent" ] && [ -n "$name" ]; then
        echo "$pid $parent $name"
    fi
done
"#;

/// In a table of its own, so that there is one thing to remove.
const CUT: &str = "cut";

/// A process on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id on the node.
    pub pid: u32,
    /// The one that started it.
    pub parent: u32,
    /// Name of its program.
    pub name: String,
}

impl Node {
    /// The processes of a container, by its id in the status of its pod, such as `containerd://…`.
    pub async fn processes(&self, container: &str) -> anyhow::Result<Vec<Process>> {
        let id = container.strip_prefix("containerd://").context("not a container of containerd")?;
        let mut list = Command::new("sh");
        list.args(["-c", PROCESSES, "processes", components::CONTAINERD_SOCKET, id]);
        parse(&self.exec(&list).await?).context("a list of processes")
    }

    /// Sends a signal, such as `KILL`, to a process.
    pub async fn signal(&self, signal: &str, process: &Process) -> anyhow::Result<()> {
        let mut kill = Command::new("/bin/kill");
        self.exec(kill.args(["-s", signal, &process.pid.to_string()])).await.map(drop)
    }

    /// Lets no pod speak with a pod any more. The node itself still does, so that its probes find nothing wrong.
    pub async fn cut_off(&self, pod: IpAddr) -> anyhow::Result<()> {
        let rules = format!(
            "add table ip {CUT}
             add chain ip {CUT} forward {{ type filter hook forward priority -100; }}
             add rule ip {CUT} forward ip daddr {pod} drop
             add rule ip {CUT} forward ip saddr {pod} drop"
        );
        self.exec(Command::new("nft").arg(rules)).await.map(drop)
    }

    /// Lets everybody speak again.
    pub async fn reconnect(&self) -> anyhow::Result<()> {
        self.exec(Command::new("nft").args(["delete", "table", "ip", CUT])).await.map(drop)
    }

    /// Kills the kubelet, starts it again, and waits until it answers.
    pub async fn restart_kubelet(&mut self) -> anyhow::Result<()> {
        let kubelet = components::kubelet(self.control_plane.state(), &self.cgroup, &self.labels)?;
        self.control_plane.restart(KUBELET.name(), kubelet)?;
        let kubectl = self.kubectl();
        let health = format!("/api/v1/nodes/{NAME}/proxy/healthz");
        let answers = async {
            while !kubectl.run(["get", "--raw", &health]).await?.status.success() {
                tokio::time::sleep(super::PROBE_INTERVAL).await;
            }
            Ok(())
        };
        self.control_plane.wait_for(KUBELET.name(), answers).await
    }
}

fn parse(list: &str) -> Option<Vec<Process>> {
    let process = |line: &str| {
        let mut words = line.splitn(3, ' ');
        Some(Process {
            pid: words.next()?.parse().ok()?,
            parent: words.next()?.parse().ok()?,
            name: words.next()?.to_owned(),
        })
    };
    list.lines().map(process).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processes_are_read() {
        let postgres = Process { pid: 70, parent: 7, name: "postgres: writer".to_owned() };
        assert_eq!(parse("70 7 postgres: writer\n"), Some(vec![postgres]));
        assert_eq!(parse("70 postgres\n"), None);
        assert_eq!(parse(""), Some(Vec::new()));
    }
}
