//! Control planes and nodes that outlive the command that started them, for the demo.
//!
//! `up` starts a second process of this program that owns it, and `down` asks it to end. That process
//! holds a lock on a file that contains its process id: as long as the lock is held, the id is its own, so nothing
//! else can be taken for it, and once the lock is free, everything it owned is gone.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process, setsid};
use tokio::signal::unix::{SignalKind, signal};

use crate::control_plane::ControlPlane;
use crate::namespaces;
use crate::state::{State, absent_is_fine};

/// Says that the control plane is up, followed by the path of its kubeconfig.
const READY: &str = "ready ";

/// Starts a control plane in the background and hands back its kubeconfig.
///
/// `serve` is this program with the arguments that make it call [`serve`] with the same directory.
pub fn up(dir: &Path, mut serve: Command) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(dir)?;
    drop(lock(dir)?);
    let log = log_file(dir);
    let mut server = serve
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&log)?)
        .spawn()
        .context("starting the process that owns the control plane")?;
    let mut answer = String::new();
    if let Some(stdout) = server.stdout.take() {
        BufReader::new(stdout).read_line(&mut answer)?;
    }
    match answer.trim_end().strip_prefix(READY) {
        Some(kubeconfig) => Ok(kubeconfig.into()),
        None => bail!("the control plane did not start: {}", fs::read_to_string(&log)?.trim_end()),
    }
}

/// Owns a control plane, or a node, until it is told to end.
pub async fn serve<T: AsRef<ControlPlane>>(
    dir: &Path,
    start: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<()> {
    // The terminal of the command that started this process is not ours to be interrupted from.
    setsid()?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut owner = lock(dir)?;
    owner.set_len(0)?;
    write!(owner, "{}", std::process::id())?;

    let running = tokio::select! {
        started = start => started?,
        _ = terminated.recv() => return Ok(()),
    };
    // Fails if nobody waits for it any more, and the control plane ends with us.
    writeln!(std::io::stdout(), "{READY}{}", running.as_ref().kubeconfig().display())?;
    terminated.recv().await;
    Ok(())
}

/// The command that runs `command` on the node of a directory.
pub fn enter(dir: &Path, command: &Command) -> anyhow::Result<Command> {
    namespaces::enter_others(&namespaces::pid_file(&State::root(dir)), command)
}

/// Ends the control plane of a directory and removes what it left there.
pub fn down(dir: &Path) -> anyhow::Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    let mut owner = open(dir)?;
    if let Err(TryLockError::WouldBlock) = owner.try_lock() {
        let mut pid = String::new();
        owner.rewind()?;
        owner.read_to_string(&mut pid)?;
        let pid =
            pid.parse().ok().and_then(Pid::from_raw).context("the control plane is only just starting")?;
        kill_process(pid, Signal::TERM)?;
        owner.lock()?;
    }
    absent_is_fine(fs::remove_file(log_file(dir)))?;
    fs::remove_file(owner_file(dir))?;
    State::clear(dir)?;
    Ok(())
}

fn lock(dir: &Path) -> anyhow::Result<File> {
    let owner = open(dir)?;
    owner.try_lock().with_context(|| format!("a control plane is already running in {}", dir.display()))?;
    Ok(owner)
}

fn open(dir: &Path) -> anyhow::Result<File> {
    let path = owner_file(dir);
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    options.with_context(|| format!("opening {}", path.display()))
}

fn owner_file(dir: &Path) -> PathBuf {
    dir.join("owner.pid")
}

fn log_file(dir: &Path) -> PathBuf {
    dir.join("owner.log")
}
