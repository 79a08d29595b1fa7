//! Nothing a control plane started is left behind, however its owner ends.

use std::io::{self, BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use testbed::{ControlPlane, Options};

/// Generous: it only matters when something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tells this binary that it is to be the process that is killed.
const OWNER: &str = "TESTBED_OWNER";

/// Takes hold of running processes, so that their ends can be waited for even if their numbers are used again.
fn hold(pids: &[u32]) -> anyhow::Result<Vec<OwnedFd>> {
    let hold = |pid: &u32| {
        let pid = Pid::from_raw(i32::try_from(*pid)?).context("0 is no process")?;
        Ok(pidfd_open(pid, PidfdFlags::empty())?)
    };
    pids.iter().map(hold).collect()
}

fn assert_all_end(processes: &[OwnedFd]) -> anyhow::Result<()> {
    let timeout = Timespec::try_from(PATIENCE)?;
    for process in processes {
        let mut ended = [PollFd::new(process, PollFlags::IN)];
        assert_eq!(poll(&mut ended, Some(&timeout))?, 1, "a process is still running");
    }
    Ok(())
}

/// There is no event for it that is simpler than looking.
fn assert_vanishes(dir: &Path) {
    let looks = 300;
    let gone = (0..looks).any(|_| {
        std::thread::sleep(PATIENCE / looks);
        !dir.exists()
    });
    assert!(gone, "{} is still there", dir.display());
}

#[tokio::test]
async fn dropping_ends_everything() -> anyhow::Result<()> {
    let control_plane = ControlPlane::start(Options::default()).await?;
    let dir = control_plane.dir().to_owned();
    let processes = hold(&control_plane.pids())?;
    assert_eq!(processes.len(), 3);
    assert!(dir.exists());

    drop(control_plane);
    assert_all_end(&processes)?;
    assert!(!dir.exists());
    Ok(())
}

#[test]
fn killing_the_owner_ends_everything() -> anyhow::Result<()> {
    let mut owner = spawn_owner()?;
    let mut output = BufReader::new(owner.stdout.take().context("its output is piped")?).lines();
    let mut value_of = |key| {
        let mut found = output.by_ref().filter_map(Result::ok);
        found.find_map(|line| line.strip_prefix(key).map(str::to_owned)).context(key)
    };
    let dir = value_of("dir ")?;
    let pids: Vec<u32> = serde_json::from_str(&value_of("pids ")?)?;
    let processes = hold(&pids)?;

    owner.kill()?;
    owner.wait()?;
    assert_all_end(&processes)?;
    assert_vanishes(Path::new(&dir));
    Ok(())
}

/// This test binary again, as a process that runs nothing but `own_a_control_plane`.
fn spawn_owner() -> anyhow::Result<Child> {
    let mut owner = Command::new(std::env::current_exe()?);
    owner.args(["--exact", "own_a_control_plane", "--nocapture"]).env(OWNER, "yes").stdout(Stdio::piped());
    Ok(owner.spawn()?)
}

/// What `killing_the_owner_ends_everything` runs in a process of its own; not a test otherwise.
#[tokio::test]
async fn own_a_control_plane() -> anyhow::Result<()> {
    if std::env::var_os(OWNER).is_none() {
        return Ok(());
    }
    let options = Options { controllers: false, ..Options::default() };
    let control_plane = ControlPlane::start(options).await?;
    // The test runner's own words are on the same line as the first of ours.
    println!("\ndir {}\npids {:?}", control_plane.dir().display(), control_plane.pids());
    std::future::pending().await
}

fn testbed(command: &str, dir: &Path) -> io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_testbed")).arg(command).arg("--dir").arg(dir).output()
}

#[test]
fn a_detached_control_plane_runs_until_it_is_taken_down() -> anyhow::Result<()> {
    let parent = tempfile::tempdir()?;
    let dir = parent.path().join("demo");
    let up = testbed("up", &dir)?;
    assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
    let stdout = String::from_utf8(up.stdout)?;
    let kubeconfig =
        stdout.trim_end().strip_prefix("export KUBECONFIG=").context("it names no kubeconfig")?;
    let owner = hold(&[std::fs::read_to_string(dir.join("owner.pid"))?.parse()?])?;

    let kubectl = testbed::binaries::KUBECTL.path()?;
    let serves =
        || anyhow::Ok(Command::new(&kubectl).args(["version", "--kubeconfig", kubeconfig]).output()?.status);
    assert!(serves()?.success());
    assert!(!testbed("up", &dir)?.status.success(), "the directory is in use");
    assert!(serves()?.success());

    assert!(testbed("down", &dir)?.status.success());
    assert_all_end(&owner)?;
    assert!(!dir.exists());
    assert!(testbed("down", &dir)?.status.success(), "there is nothing left to end");
    Ok(())
}
