//! Letting processes die, and watching them and what they leave go.

use std::io::{BufRead, BufReader, Lines};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Generous: it only matters when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Tells a test binary that it is to be the process that is killed.
const OWNER: &str = "TESTBED_OWNER";

/// True if this process is such a one.
pub fn is_owner() -> bool {
    std::env::var_os(OWNER).is_some()
}

/// This test binary again, as a process that runs nothing but one test. It does not outlive the test that started it.
pub struct Owner {
    process: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Owner {
    pub fn of(test: &str) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--exact", test, "--nocapture"]).env(OWNER, "yes").stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let output = BufReader::new(process.stdout.take().context("its output is piped")?).lines();
        Ok(Self { process, output })
    }

    /// The rest of the first line that begins with `key`.
    pub fn value_of(&mut self, key: &'static str) -> anyhow::Result<String> {
        let mut found = self.output.by_ref().filter_map(Result::ok);
        found.find_map(|line| line.strip_prefix(key).map(str::to_owned)).context(key)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Takes hold of running processes, so that their ends can be waited for even if their numbers are used again.
pub fn hold(pids: &[u32]) -> anyhow::Result<Vec<OwnedFd>> {
    let mut processes = Vec::new();
    for pid in pids {
        let pid = Pid::from_raw(i32::try_from(*pid)?).context("0 is no process")?;
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => processes.push(process),
            // It has ended by itself.
            Err(Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    ensure!(!processes.is_empty(), "nothing is running");
    Ok(processes)
}

pub fn assert_all_end(processes: &[OwnedFd]) -> anyhow::Result<()> {
    let timeout = Timespec::try_from(PATIENCE)?;
    for process in processes {
        let mut ended = [PollFd::new(process, PollFlags::IN)];
        assert_eq!(poll(&mut ended, Some(&timeout))?, 1, "a process is still running");
    }
    Ok(())
}

/// There is no event for it that is simpler than looking.
pub fn assert_vanishes(dir: &Path) {
    let looks = 300;
    let gone = (0..looks).any(|_| {
        std::thread::sleep(PATIENCE / looks);
        !dir.exists()
    });
    assert!(gone, "{} is still there", dir.display());
}
