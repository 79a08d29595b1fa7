//! Child processes that never outlive the process that started them.
//!
//! Dropping a [`ProcessGroup`] ends its members, but a test process may also be killed, and the servers it started
//! would then run on for ever. The kernel's parent-death signal is no remedy: it fires when the *thread* that forked
//! ends, and test runtimes end threads all the time. So every group is led by a small shell that reads a pipe. The
//! other end is held by the owner alone; when the owner is gone, by whatever means, the shell sees the end of the
//! file, kills the group and removes the group's temporary directory.
//!
//! All members are in the shell's process group from before their first instruction, so there is no moment at which
//! one could be missed. And the owner does not reap the shell before the last member has ended, so that the group's
//! number cannot have been given to somebody else when it is signalled.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::command::last_lines;

/// `$1` is the directory to remove, or empty; further arguments are directories of which only subdirectories can be
/// removed, as is the way of control groups. The cleaner leaves the group that it is about to kill. Processes do not
/// end at once, hence the attempts.
const SUPERVISOR: &str = r#"
cat >/dev/null
setsid sh -c '
    kill -s KILL -- "-$1"
    temporary=$2
    shift 2
    for attempt in 1 2 3 4 5 6 7 8 9 10; do
        rm -rf -- "$temporary" && { [ $# -eq 0 ] || find "$@" -depth -type d -exec rmdir -- {} +; } && break
        sleep 1
    done
' cleaner "$$" "$@" &
wait
"#;

const LOG_LINES: usize = 15;
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Processes that live and end together.
pub struct ProcessGroup {
    supervisor: Child,
    members: Vec<Member>,
}

struct Member {
    name: &'static str,
    process: Child,
    log: PathBuf,
}

/// A process ended that was meant to go on.
#[derive(Debug, thiserror::Error)]
#[error("{name} ended with {status}; the end of its log:\n{log}")]
pub struct ProcessEnded {
    name: &'static str,
    status: ExitStatus,
    log: String,
}

impl ProcessEnded {
    /// True if it ended because somebody else listens on its port.
    pub fn port_was_taken(&self) -> bool {
        self.log.to_lowercase().contains("address already in use")
    }
}

impl ProcessGroup {
    /// Starts an empty group. `temporary` is removed if this process dies without dropping the group.
    pub fn new(temporary: Option<&Path>) -> anyhow::Result<Self> {
        Self::with_cgroups(temporary, &[])
    }

    /// The same for processes that may make control groups below `cgroups`, which are removed likewise.
    pub(crate) fn with_cgroups(temporary: Option<&Path>, cgroups: &[PathBuf]) -> anyhow::Result<Self> {
        let supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "testbed-supervisor"])
            .arg(temporary.unwrap_or(Path::new("")))
            .args(cgroups)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting the supervisor of the control plane's processes")?;
        Ok(Self { supervisor, members: Vec::new() })
    }

    /// Starts a process in the group, with its output in `log`.
    pub fn spawn(&mut self, name: &'static str, mut command: Command, log: PathBuf) -> anyhow::Result<()> {
        // Of a process that is started again, both lives are of interest.
        let output = File::options().create(true).append(true).open(&log)?;
        let process = command
            .process_group(self.id().as_raw_pid())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        self.members.push(Member { name, process, log });
        Ok(())
    }

    /// Ends a member, and forgets it.
    pub fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        let position = self.members.iter().position(|member| member.name == name);
        let mut member = self.members.remove(position.with_context(|| format!("{name} does not run"))?);
        member.process.kill()?;
        member.process.wait()?;
        Ok(())
    }

    /// Waits until a member ends, which none should.
    pub async fn first_end(&mut self) -> anyhow::Error {
        loop {
            for member in &mut self.members {
                match member.process.try_wait() {
                    Ok(None) => {}
                    Ok(Some(status)) => {
                        return ProcessEnded { name: member.name, status, log: member.last_lines() }.into();
                    }
                    Err(error) => return error.into(),
                }
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }

    /// The last lines a member wrote.
    pub fn last_lines(&self, name: &str) -> String {
        self.members.iter().find(|member| member.name == name).map(Member::last_lines).unwrap_or_default()
    }

    /// The process ids of the members.
    pub fn pids(&self) -> Vec<u32> {
        self.members.iter().map(|member| member.process.id()).collect()
    }

    fn id(&self) -> Pid {
        Pid::from_child(&self.supervisor)
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // Nothing can be done about a failure here; the supervisor remains as the second line.
        let _: io::Result<()> = kill_process_group(self.id(), Signal::KILL).map_err(Into::into);
        for member in &mut self.members {
            let _ = member.process.wait();
        }
        let _ = self.supervisor.wait();
    }
}

impl Member {
    fn last_lines(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        last_lines(&String::from_utf8_lossy(&log), LOG_LINES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_member_is_reported_with_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let mut group = ProcessGroup::new(None).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo bind: address already in use; exit 3"]);
        group.spawn("server", command, dir.path().join("log")).unwrap();

        let error = group.first_end().await;
        assert_eq!(
            error.to_string(),
            "server ended with exit status: 3; the end of its log:\nbind: address already in use"
        );
        assert!(error.downcast_ref::<ProcessEnded>().unwrap().port_was_taken());
    }
}
