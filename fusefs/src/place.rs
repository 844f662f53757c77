//! The two directories of a mount: the pools', and where they are shown. Nothing is created before both are known to fit.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Component, Path, PathBuf};

use plasmite_core::{Error, ErrorKind, Result};

use crate::mountinfo::{self, Mounted};
use crate::unmount::unmount;

/// Checks the pool directory, creating it when it is missing and may be created; its real path.
pub(crate) fn prepare_pool_dir(pool_dir: &Path, read_only: bool) -> Result<PathBuf> {
    const WHAT: &str = "the pool directory";
    let real = resolved(WHAT, pool_dir)?;
    refuse_inside_a_mount(WHAT, &real)?;
    if read_only && !real.exists() {
        return Err(Error::new(ErrorKind::NotFound, "there is no such pool directory")
            .with_path(&real)
            .with_hint(
                "a read-only mount creates none: check the path, or mount for writing once",
            ));
    }
    if !real.exists() {
        create(WHAT, &real)?;
    }
    // As the pools are going to be listed.
    match std::fs::read_dir(&real) {
        Ok(_) => Ok(real),
        Err(error) => Err(unusable(WHAT, &real, &error)),
    }
}

/// Checks the mountpoint, creating it when it is missing; its real path.
pub(crate) fn prepare_mountpoint(mountpoint: &Path, pool_dir: &Path) -> Result<PathBuf> {
    const WHAT: &str = "the mountpoint";
    clear_dead_mount(mountpoint)?;
    let real = resolved(WHAT, mountpoint)?;
    if let Some(other) = mountinfo::at(&real) {
        return Err(busy(&real, &other));
    }
    refuse_inside_a_mount(WHAT, &real)?;
    refuse_overlap(&real, pool_dir)?;
    if !real.exists() {
        create(WHAT, &real)?;
    }
    let mut entries = std::fs::read_dir(&real).map_err(|error| unusable(WHAT, &real, &error))?;
    if entries.next().is_some() {
        return Err(Error::usage("the mountpoint is not empty: what is in it would be hidden")
            .with_path(&real)
            .with_hint("mount at an empty or new directory"));
    }
    Ok(real)
}

fn create(what: &str, dir: &Path) -> Result<()> {
    // Not writable for everybody, whatever the umask.
    std::fs::DirBuilder::new().recursive(true).mode(0o775).create(dir).map_err(|error| {
        let failed = Error::io(&format!("create {what}"), dir, &error);
        match failed.kind() {
            ErrorKind::Permission => {
                failed.with_hint(format!("have it created by somebody who may write to the directory above, or name {what} elsewhere"))
            }
            _ => failed,
        }
    })
}

fn unusable(what: &str, dir: &Path, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotADirectory => Error::usage(format!("{what} is not a directory"))
            .with_path(dir)
            .with_hint("name a directory, or one that does not exist yet"),
        io::ErrorKind::PermissionDenied => Error::io(&format!("look into {what}"), dir, error)
            .with_hint("it must be readable for the user who mounts: check its owner and mode"),
        _ => Error::io(&format!("look into {what}"), dir, error),
    }
}

/// The real path of a directory that may be missing, together with those above it.
fn resolved(what: &str, path: &Path) -> Result<PathBuf> {
    let fail = |error: &io::Error| unusable(what, path, error);
    let absolute = std::path::absolute(path).map_err(|error| fail(&error))?;
    let mut missing = Vec::new();
    let mut there = absolute.as_path();
    loop {
        match there.canonicalize() {
            Ok(real) => return Ok(missing.iter().rev().fold(real, |dir, name| dir.join(name))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fail(&error)),
        }
        // A link that leads nowhere is there, and can't be made a directory.
        let is_link = there.symlink_metadata().is_ok();
        match (there.parent(), there.components().next_back()) {
            (Some(parent), Some(Component::Normal(name))) if !is_link => {
                missing.push(name.to_owned());
                there = parent;
            }
            _ => {
                return Err(Error::usage(format!("{what} can't be found by this path"))
                    .with_path(path)
                    .with_hint("a link in it leads nowhere, or `..` follows a missing directory"));
            }
        }
    }
}

fn refuse_inside_a_mount(what: &str, path: &Path) -> Result<()> {
    match mountinfo::covering(path) {
        Some(outer) if outer.is_ours() => {
            let message =
                format!("{what} lies inside a mount of pools, {}", outer.target.display());
            Err(Error::usage(message)
                .with_path(path)
                .with_hint("a mount shows pools and nothing else: name a directory outside of it"))
        }
        _ => Ok(()),
    }
}

fn refuse_overlap(mountpoint: &Path, pool_dir: &Path) -> Result<()> {
    let message = if mountpoint == pool_dir {
        "the mountpoint is the pool directory: the mount would hide the pools' files from itself"
    } else if mountpoint.starts_with(pool_dir) {
        "the mountpoint lies inside the pool directory: it would be taken for one of its files"
    } else if pool_dir.starts_with(mountpoint) {
        "the pool directory lies inside the mountpoint: the mount would hide the pools' files from itself"
    } else {
        return Ok(());
    };
    Err(Error::usage(message).with_path(mountpoint).with_hint("mount at a directory of its own"))
}

fn busy(mountpoint: &Path, other: &Mounted) -> Error {
    let message = if other.is_ours() {
        format!("the pools of {} are mounted there already", other.source)
    } else {
        format!("another file system ({}) is mounted there already", other.fs_type)
    };
    let hint = if other.is_ours() {
        "`plasmite unmount` it first, or mount somewhere else"
    } else {
        "`umount` it first, or mount somewhere else"
    };
    Error::new(ErrorKind::Busy, message).with_path(mountpoint).with_hint(hint)
}

/// Removes what a daemon that was killed left behind; anything else stays.
fn clear_dead_mount(mountpoint: &Path) -> Result<()> {
    let Err(error) = std::fs::metadata(mountpoint) else { return Ok(()) };
    if error.raw_os_error() != Some(libc::ENOTCONN) {
        return Ok(());
    }
    let real = real_path(mountpoint);
    match mountinfo::at(&real) {
        Some(mounted) if mounted.is_ours() => {
            log::warn!("removing the mount of a daemon that died, at {}", real.display());
            unmount(&real)
        }
        _ => Err(Error::new(ErrorKind::Busy, "a dead mount of another program is there")
            .with_path(&real)
            .with_hint("remove it with `fusermount3 -u` or `umount -l`")),
    }
}

/// The real path of a mountpoint, which may be dead and must not be looked at then.
pub(crate) fn real_path(mountpoint: &Path) -> PathBuf {
    if let Ok(real) = mountpoint.canonicalize() {
        return real;
    }
    let absolute = std::path::absolute(mountpoint).unwrap_or_else(|_| mountpoint.to_owned());
    match (absolute.parent().map(Path::canonicalize), absolute.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => absolute,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_directory_is_resolved_through_the_links_above_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let real = dir.path().canonicalize().expect("its path");
        std::os::unix::fs::symlink(&real, real.join("link")).expect("a link");
        std::os::unix::fs::symlink("nowhere", real.join("lost")).expect("a link");
        assert_eq!(resolved("x", &real.join("link/a/b")).expect("a path"), real.join("a/b"));
        assert_eq!(resolved("x", &real.join("link")).expect("a path"), real);
        assert!(resolved("x", &real.join("lost")).is_err());
        assert!(resolved("x", &real.join("lost/a")).is_err());
        assert!(resolved("x", &real.join("no/../a")).is_err());
    }
}
