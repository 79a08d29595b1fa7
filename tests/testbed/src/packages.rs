//! Debian packages of a real node: a container runtime and some administration programs.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::cache::{self, report};
use crate::command::run;

/// Packages, each with a file that tells whether it is installed.
const PACKAGES: [(&str, &str); 7] = [
    ("catatonit", "/usr/bin/catatonit"),
    ("containerd", "/usr/bin/containerd"),
    ("containernetworking-plugins", "/usr/lib/cni/ptp"),
    ("debootstrap", "/usr/sbin/debootstrap"),
    ("iproute2", "/sbin/ip"),
    ("nftables", "/usr/sbin/nft"),
    ("runc", "/usr/sbin/runc"),
];

/// Installs what is missing; blocks meanwhile.
pub fn install() -> anyhow::Result<()> {
    if missing().is_empty() {
        return Ok(());
    }
    let directory = cache::directory()?;
    std::fs::create_dir_all(&directory)?;
    let _lock = cache::lock(&directory)?;
    let missing = missing(); // by now another process may have installed them
    if missing.is_empty() {
        return Ok(());
    }
    report(&format!("installing {}", missing.join(", ")));
    apt_get(["update", "--quiet"].as_slice())
        .and_then(|()| {
            apt_get(&[&["install", "--yes", "--no-install-recommends"], missing.as_slice()].concat())
        })
        .with_context(|| format!("a real node needs the Debian packages {}", missing.join(", ")))
}

/// Mirror of Debian packages on this machine.
pub fn mirror() -> anyhow::Result<String> {
    let sites = run(Command::new("apt-get").args([
        "indextargets",
        "--format=$(REPO_URI)",
        "Created-By: Packages",
        "Label: Debian",
    ]))?;
    match sites.lines().next() {
        Some(site) => Ok(site.to_owned()),
        None => bail!("apt knows no mirror of Debian"),
    }
}

fn missing() -> Vec<&'static str> {
    PACKAGES.iter().filter(|(_, file)| !Path::new(file).exists()).map(|(package, _)| *package).collect()
}

fn apt_get(args: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new("apt-get");
    command.arg("--option=DPkg::Lock::Timeout=600").args(args).env("DEBIAN_FRONTEND", "noninteractive");
    run(&mut command).map(drop)
}
