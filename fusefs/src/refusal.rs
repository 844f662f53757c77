//! Why the system did not let us mount, and what to do about it.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use plasmite_core::{Error, ErrorKind};

use crate::sys;

const DEVICE: &str = "/dev/fuse";
/// Its major and minor number on every Linux (Documentation/admin-guide/devices.txt).
const FUSE_NUMBERS: (u32, u32) = (10, 229);

/// The reason why mounting failed, in words.
pub(crate) fn mount_error(mountpoint: &Path, error: &io::Error) -> Error {
    let device = Path::new(DEVICE);
    if !device.exists() {
        return Error::new(ErrorKind::NotFound, "this system has no FUSE device")
            .with_path(device)
            .with_hint("load it with `modprobe fuse`; a container needs `--device /dev/fuse`");
    }
    if let Err(denied) = open_device(device) {
        return unusable_device(device, &denied);
    }
    // The shell's way to look for a program takes a directory of PATH that may not be looked into for a missing permission.
    if sys::euid() != 0 && error.raw_os_error().is_some() && !has_helper() {
        return no_helper(mountpoint);
    }
    let text = error.to_string();
    if text.contains("user_allow_other") {
        return Error::new(
            ErrorKind::Permission,
            "--allow-other is not allowed to ordinary users on this machine",
        )
        .with_path(mountpoint)
        .with_hint(
            "root can allow it with a line `user_allow_other` in /etc/fuse.conf; or let root mount",
        );
    }
    if text.contains("no write access") || text.contains("not owned by") {
        return Error::new(ErrorKind::Permission, "the mountpoint is not yours")
            .with_path(mountpoint)
            .with_hint("ordinary users mount at directories of their own that they may write to");
    }
    if text.contains("could not determine username") {
        return Error::new(ErrorKind::Permission, "fusermount3 finds no name for your user number")
            .with_path(mountpoint)
            .with_hint("ordinary users who mount need an entry in /etc/passwd, or another source of accounts");
    }
    let failed = Error::io("mount", mountpoint, error);
    // The helper's own words come without an errno.
    if failed.kind() == ErrorKind::Permission || text.contains("not permitted") {
        let message = format!("cannot mount: {}", helper_words(&text));
        return Error::new(ErrorKind::Permission, message).with_path(mountpoint).with_hint("mounting needs root, or fusermount3 with its set-user-id bit; a container needs `--cap-add SYS_ADMIN`");
    }
    if error.raw_os_error().is_none() {
        let message = format!("cannot mount: {}", helper_words(&text));
        return Error::new(ErrorKind::Io, message).with_path(mountpoint);
    }
    failed
}

fn open_device(device: &Path) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(device)?;
    let meta = file.metadata()?;
    if !meta.file_type().is_char_device() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no device"));
    }
    match (libc::major(meta.rdev()), libc::minor(meta.rdev())) {
        FUSE_NUMBERS => Ok(()),
        (major, minor) => {
            let text = format!("it is another device: {major}:{minor}, where FUSE is 10:229");
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
    }
}

fn has_helper() -> bool {
    if let Some(path) = std::env::var_os("FUSERMOUNT_PATH") {
        return Path::new(&path).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/bin", "/sbin"].map(PathBuf::from))
        .any(|dir| dir.join("fusermount3").exists())
}

fn unusable_device(device: &Path, error: &io::Error) -> Error {
    let failed = Error::io("open the FUSE device", device, error);
    match error.kind() {
        io::ErrorKind::PermissionDenied => failed.with_hint("everybody must be able to read and write it: `chmod 666 /dev/fuse` as root, or mount as root"),
        _ => failed.with_hint("it is there, but no FUSE device: `modprobe fuse`, or `mknod /dev/fuse c 10 229` as root"),
    }
}

/// What the helper says, without its name in front and without line ends.
fn helper_words(text: &str) -> String {
    let text = text.trim().strip_prefix("fusermount3: ").unwrap_or(text.trim());
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// There is no fusermount3, which ordinary users need.
pub(crate) fn no_helper(mountpoint: &Path) -> Error {
    Error::new(ErrorKind::Io, "fusermount3 is not installed, and only root can do without it")
        .with_path(mountpoint)
        .with_hint("install the package fuse3, or mount as root")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_device_in_the_place_of_fuse_is_told_by_its_numbers() {
        let error = open_device(Path::new("/dev/null")).expect_err("not FUSE");
        let text = unusable_device(Path::new("/dev/null"), &error).to_string();
        assert!(text.contains("another device: 1:3"), "{text}");
    }

    #[test]
    fn the_helpers_words_fit_into_a_sentence() {
        let text = "fusermount3: mount failed: Operation\n not permitted\n";
        assert_eq!(helper_words(text), "mount failed: Operation not permitted");
        assert_eq!(helper_words(""), "");
    }
}
