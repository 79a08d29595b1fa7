//! The control groups of one node's pods.
//!
//! They are not of a namespace: those of all nodes are in the same tree, so each node has a name of its own in it, and
//! they stay until somebody removes them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::Context;

/// A group cannot be removed as long as a process in it is on its way out.
const REMOVAL_ATTEMPTS: usize = 50;
const REMOVAL_INTERVAL: Duration = Duration::from_millis(100);

/// One group in every hierarchy; removed upon drop, with those below it.
pub struct Cgroups(Vec<PathBuf>);

impl Cgroups {
    /// Creates the groups.
    pub fn create(name: &str) -> anyhow::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let created = Self(hierarchies(&mounts).map(|hierarchy| Path::new(hierarchy).join(name)).collect());
        for group in &created.0 {
            create(group).with_context(|| format!("creating the control group {}", group.display()))?;
        }
        Ok(created)
    }

    /// Their paths.
    pub fn paths(&self) -> &[PathBuf] {
        &self.0
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        for group in &self.0 {
            let removed = (0..REMOVAL_ATTEMPTS).any(|attempt| {
                if attempt > 0 {
                    thread::sleep(REMOVAL_INTERVAL);
                }
                remove(group).is_ok()
            });
            if !removed {
                tracing::warn!("the control group {} is still in use", group.display());
            }
        }
    }
}

/// Mount points of the cgroup hierarchies, of version 1 or 2.
fn hierarchies(mounts: &str) -> impl Iterator<Item = &str> {
    mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (path, kind) = (fields.next()?, fields.next()?);
        matches!(kind, "cgroup" | "cgroup2").then_some(path)
    })
}

fn create(group: &Path) -> io::Result<()> {
    let root = group.parent().unwrap_or(group);
    // Version 2: groups have what the group above them hands down.
    if let Ok(controllers) = fs::read_to_string(root.join("cgroup.controllers")) {
        for controller in controllers.split_whitespace() {
            fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"))?;
        }
    }
    fs::create_dir_all(group)?;
    // Version 1: a new group may run nowhere until it is told where.
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let parameter = group.join(file);
        if parameter.exists() && !root.join("cgroup.controllers").exists() {
            fs::write(parameter, fs::read_to_string(root.join(file))?)?;
        }
    }
    Ok(())
}

/// The files in such a directory come and go with it.
fn remove(group: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw,relatime,mode=755 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n";
        let found: Vec<_> = hierarchies(mounts).collect();
        assert_eq!(found, ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/unified"]);
    }

    #[test]
    fn groups_are_removed_with_those_below() {
        let directory = tempfile::tempdir().unwrap();
        let group = directory.path().join("node");
        fs::create_dir_all(group.join("kubepods/pod")).unwrap();
        drop(Cgroups(vec![group.clone()]));
        assert!(!group.exists());
    }
}
