//! The layers of images: tar archives, named by what they contain.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use crate::cache;
use crate::command::run;
use crate::packages;
use crate::state::absent_is_fine;

const SUITE: &str = "trixie";
const PACKAGES: &str = "postgresql-17,pgbackrest,procps,ca-certificates,locales";
const ROOTFS: &str = include_str!("rootfs.sh");

/// A layer.
pub struct Layer {
    /// Its tar archive, uncompressed.
    pub tar: File,
    /// Number of bytes that is.
    pub size: u64,
    /// The SHA-256 of it, in hexadecimal digits.
    pub digest: String,
}

/// A slim Debian with PostgreSQL and its tools.
pub fn debian() -> anyhow::Result<Layer> {
    let key = cache::key([SUITE, PACKAGES, ROOTFS]);
    kept(&format!("debian-{key}"), "the base of the images (Debian with PostgreSQL)", |tar| {
        let rootfs = tar.with_extension("rootfs");
        absent_is_fine(fs::remove_dir_all(&rootfs))?; // of a process that was interrupted
        bootstrap(&rootfs)?;
        let digest = write_tar(File::create(tar)?, |archive| {
            archive.follow_symlinks(false);
            archive.append_dir_all(".", &rootfs)
        })?;
        fs::remove_dir_all(&rootfs)?;
        Ok(digest)
    })
}

/// Programs and their places, from files that do not change without changing their size or time.
pub fn cached(image: &str, files: &[(PathBuf, &'static str)]) -> anyhow::Result<Layer> {
    let mut inputs = Vec::new();
    for (source, destination) in files {
        let metadata = fs::metadata(source)?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH)?.as_nanos();
        inputs.push(format!("{} {} {modified} {destination}\n", source.display(), metadata.len()));
    }
    kept(&format!("{image}-{}", cache::key(inputs)), &format!("the image layer of {image}"), |tar| {
        write_tar(File::create(tar)?, |archive| append_files(archive, files))
    })
}

/// Programs and their places, in a file that is gone when nobody reads it any more.
pub fn passing(files: &[(PathBuf, &'static str)]) -> anyhow::Result<Layer> {
    let tar = tempfile::tempfile()?;
    let digest = write_tar(tar.try_clone()?, |archive| append_files(archive, files))?;
    open(tar, digest)
}

/// A layer of the cache, made by `make` if need be, which hands back the digest of what it writes.
fn kept(name: &str, what: &str, make: impl FnOnce(&Path) -> anyhow::Result<String>) -> anyhow::Result<Layer> {
    let directory = cache::directory()?.join("layers").join(name);
    let (tar, digest) = (directory.join("layer.tar"), directory.join("digest"));
    cache::make(&tar, what, |unfinished| Ok(fs::write(&digest, make(unfinished)?)?))?;
    open(File::open(&tar)?, fs::read_to_string(&digest)?)
}

fn open(tar: File, digest: String) -> anyhow::Result<Layer> {
    Ok(Layer { size: tar.metadata()?.len(), tar, digest })
}

/// In a mount namespace of its own, since it mounts things while it works and may be interrupted.
fn bootstrap(rootfs: &Path) -> anyhow::Result<()> {
    let mirror = packages::mirror()?;
    let mut isolated = Command::new("nice");
    isolated.args(["-n", "10", "unshare", "--mount", "--propagation=private", "--"]);
    isolated
        .args([
            "debootstrap",
            "--variant=minbase",
            "--keyring=/usr/share/keyrings/debian-archive-keyring.gpg",
        ])
        .arg(format!("--include={PACKAGES}"))
        .arg(SUITE)
        .arg(rootfs)
        .arg(mirror);
    run(&mut isolated)?;
    run(Command::new("chroot").arg(rootfs).args(["sh", "-c", ROOTFS]).env("LANG", "C.UTF-8"))?;
    // Containers get devices of their own.
    fs::remove_dir_all(rootfs.join("dev"))?;
    fs::create_dir(rootfs.join("dev"))?;
    Ok(())
}

/// The same files give the same bytes.
fn append_files<W: Write>(
    archive: &mut tar::Builder<W>,
    files: &[(PathBuf, &'static str)],
) -> io::Result<()> {
    for (source, destination) in files {
        let file = File::open(source)?;
        let mut header = tar::Header::new_gnu();
        header.set_size(file.metadata()?.len());
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        archive.append_data(&mut header, destination, file)?;
    }
    Ok(())
}

/// Writes a tar archive and hands back its digest.
fn write_tar(
    file: File,
    append: impl FnOnce(&mut tar::Builder<Digesting<BufWriter<File>>>) -> io::Result<()>,
) -> anyhow::Result<String> {
    let digesting = Digesting { writer: BufWriter::new(file), digest: Sha256::new() };
    let mut archive = tar::Builder::new(digesting);
    archive.sparse(false); // which container runtimes do not understand
    append(&mut archive)?;
    let mut finished = archive.into_inner()?;
    finished.flush()?;
    Ok(format!("{:x}", finished.digest.finalize()))
}

struct Digesting<W> {
    writer: W,
    digest: Sha256,
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(buffer)?;
        self.digest.update(&buffer[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
