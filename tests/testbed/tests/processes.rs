//! Nothing a control plane started is left behind, however its owner ends.

mod common;

use std::io;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::Context;
use common::{Owner, assert_all_end, assert_vanishes, hold, is_owner};
use testbed::{ControlPlane, Options};

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
    let mut owner = Owner::of("own_a_control_plane")?;
    let dir = owner.value_of("dir ")?;
    let pids: Vec<u32> = serde_json::from_str(&owner.value_of("pids ")?)?;
    let processes = hold(&pids)?;

    drop(owner);
    assert_all_end(&processes)?;
    assert_vanishes(Path::new(&dir));
    Ok(())
}

/// Runs for `killing_the_owner_ends_everything`, in a process of its own; not a test otherwise.
#[tokio::test]
async fn own_a_control_plane() -> anyhow::Result<()> {
    if !is_owner() {
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
