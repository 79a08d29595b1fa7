//! A machine within the machine: mount, network and process namespaces for the processes of one node.
//!
//! Containers get away from process groups, but not from a process namespace: when its first process ends, for
//! whatever reason, the kernel ends all others, and with them go their mounts and network interfaces.

use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::state::State;

const SETUP: &str = include_str!("namespaces.sh");

/// Not every root shell has the places of the administration's programs on its path.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// More than the kernel takes to end a node full of pods.
const END_TIMEOUT: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// The namespaces; dropping them ends every process in them.
pub struct Namespaces {
    init: Pid,
    handle: OwnedFd,
}

/// The process that waits for the first one of new namespaces, and its name.
///
/// The first process ends with it. Once the namespaces are usable the first process's id is in [`pid_file`].
pub fn create(state: &State, address: Ipv4Addr) -> (&'static str, Command) {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--net", "--pid", "--propagation=private", "--fork", "--kill-child", "--"])
        .args(["sh", "-c", SETUP, "namespaces"])
        .arg(state.path())
        .arg(address.to_string())
        .env("PATH", PATH);
    ("namespaces", command)
}

/// File with the id of the first process, as seen from outside.
pub fn pid_file(state: &Path) -> PathBuf {
    state.join("namespaces.pid")
}

impl Namespaces {
    /// Takes hold of namespaces that [`create`] made.
    pub fn open(pid_file: &Path) -> anyhow::Result<Self> {
        let init = read_pid(pid_file)?;
        Ok(Self { init, handle: pidfd_open(init, PidfdFlags::empty())? })
    }

    /// The command that runs `command` inside.
    pub fn enter(&self, command: &Command) -> Command {
        enter(self.init, command)
    }

    /// A path inside, as seen from outside.
    pub fn path(&self, inside: &str) -> PathBuf {
        proc(self.init).join("root").join(inside.trim_start_matches('/'))
    }

    /// The network namespace.
    pub fn network(&self) -> io::Result<File> {
        File::open(proc(self.init).join("ns/net"))
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // Fails if there is nothing left to end. It is the last process to be gone, and its mounts are gone by then.
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
        let _ = poll(&mut [PollFd::new(&self.handle, PollFlags::IN)], Some(&END_TIMEOUT));
    }
}

/// The command that runs `command` in the namespaces of a node that another process owns.
pub fn enter_others(pid_file: &Path, command: &Command) -> anyhow::Result<Command> {
    Ok(enter(read_pid(pid_file)?, command))
}

fn read_pid(file: &Path) -> anyhow::Result<Pid> {
    let pid = fs::read_to_string(file).with_context(|| format!("no real node runs: {}", file.display()))?;
    Pid::from_raw(pid.trim().parse()?).context("0 is no process")
}

fn proc(pid: Pid) -> PathBuf {
    Path::new("/proc").join(pid.as_raw_pid().to_string())
}

/// `nsenter` waits for what it started, which would go on if `nsenter` were killed: hence the signal to die with it.
fn enter(init: Pid, command: &Command) -> Command {
    let directory = command.get_current_dir().unwrap_or(Path::new("/"));
    let mut entered = Command::new("nsenter");
    entered
        .arg(format!("--target={}", init.as_raw_pid()))
        .args(["--mount", "--net", "--pid", "--", "setpriv", "--pdeathsig=KILL", "--", "env"])
        .arg("--chdir")
        .arg(directory)
        .arg(command.get_program())
        .args(command.get_args())
        .env("PATH", PATH);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => entered.env(name, value),
            None => entered.env_remove(name),
        };
    }
    entered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_keep_their_directory_and_environment() {
        let mut command = Command::new("program");
        command.arg("argument").current_dir("/there").env("NAME", "value").env_remove("OTHER");
        let entered = enter(Pid::from_raw(7).unwrap(), &command);

        let words: Vec<_> = entered.get_args().map(|arg| arg.to_str().unwrap()).collect();
        assert_eq!(entered.get_program(), "nsenter");
        assert_eq!(words[0], "--target=7");
        assert_eq!(words[words.len() - 4..], ["--chdir", "/there", "program", "argument"]);
        let environment: Vec<_> = entered.get_envs().collect();
        assert!(environment.contains(&("NAME".as_ref(), Some("value".as_ref()))));
        assert!(environment.contains(&("OTHER".as_ref(), None)));
    }
}
