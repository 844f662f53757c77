//! The few system calls that std does not offer.
#![allow(unsafe_code)]

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

/// How hard to unmount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmount {
    /// Only when nobody uses it.
    Plain,
    /// Also ends the connection: whoever waits for an answer gets ECONNABORTED.
    Force,
    /// Out of the tree at once; the rest when the last user leaves.
    Lazy,
}

/// Free and total space of a file system.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Space {
    /// Blocks in all.
    pub(crate) blocks: u64,
    /// Free blocks.
    pub(crate) free: u64,
    /// Free blocks for ordinary users.
    pub(crate) available: u64,
    /// Bytes of a block.
    pub(crate) block_bytes: u32,
    /// File nodes in all.
    pub(crate) files: u64,
    /// Free file nodes.
    pub(crate) files_free: u64,
}

/// Has the allocator give every buffer of 64 KiB and more back to the system as soon as it is freed.
///
/// By itself glibc raises that bound with the first large buffer it sees (mallopt(3)); a thousand readers that caught up
/// then leave theirs, 128 KiB each, scattered over the heap.
pub(crate) fn return_large_buffers() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt(3) is thread-safe and changes how memory is got, not what was got.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 64 * 1024);
    }
}

/// The effective user: who this process was when it first asked, since a mount stays its user's.
pub(crate) fn euid() -> u32 {
    // SAFETY: geteuid takes nothing and can't fail.
    static USER: LazyLock<u32> = LazyLock::new(|| unsafe { libc::geteuid() });
    *USER
}

/// The effective group.
pub(crate) fn egid() -> u32 {
    // SAFETY: getegid takes nothing and can't fail.
    unsafe { libc::getegid() }
}

/// True when this process, with its effective user and groups, may read the file, or write it (faccessat(2)).
pub(crate) fn may_access(path: &Path, write: bool) -> bool {
    let Ok(path) = c_path(path) else { return false };
    let mode = if write { libc::W_OK } else { libc::R_OK };
    // SAFETY: `path` is a NUL-terminated string that lives through the call.
    unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), mode, libc::AT_EACCESS) == 0 }
}

/// Has every open descriptor but stdin, stdout and stderr closed in the programs that are started from now on.
///
/// For a process that is about to start a daemon: what it inherited itself, a lock or the end of a pipe, is not for that one.
pub fn keep_descriptors_from_children() {
    const FIRST: libc::c_uint = 3;
    const LAST: libc::c_uint = libc::c_uint::MAX;
    // SAFETY: with CLOSE_RANGE_CLOEXEC nothing is closed in this process (close_range(2)); a kernel that does not know the flag
    // refuses, and children then inherit what they always did.
    unsafe {
        libc::syscall(libc::SYS_close_range, FIRST, LAST, libc::CLOSE_RANGE_CLOEXEC);
    }
}

/// `umount2(2)`.
pub(crate) fn unmount(target: &Path, how: Unmount) -> io::Result<()> {
    let flags = match how {
        Unmount::Plain => 0,
        Unmount::Force => libc::MNT_FORCE,
        Unmount::Lazy => libc::MNT_DETACH,
    };
    let target = c_path(target)?;
    // SAFETY: `target` is a NUL-terminated string that lives through the call.
    let rc = unsafe { libc::umount2(target.as_ptr(), flags | libc::UMOUNT_NOFOLLOW) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A short extended attribute (getxattr(2)).
pub(crate) fn xattr(path: &Path, name: &str) -> io::Result<Vec<u8>> {
    let (path, name) = (c_path(path)?, c_path(Path::new(name))?);
    let mut value = vec![0_u8; 64];
    let buffer = value.as_mut_ptr().cast();
    // SAFETY: both strings are NUL-terminated and live through the call, which writes to the buffer no more than its length.
    let rc = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), buffer, value.len()) };
    value.truncate(usize::try_from(rc).map_err(|_| io::Error::last_os_error())?);
    Ok(value)
}

/// `statvfs(3)` of the file system that holds `path`.
pub(crate) fn space(path: &Path) -> io::Result<Space> {
    let path = c_path(path)?;
    let mut out = MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: `path` is NUL-terminated and `out` is large enough for the struct the call fills.
    let rc = unsafe { libc::statvfs(path.as_ptr(), out.as_mut_ptr()) };
    if rc != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all bytes were zeroed, which is a valid statvfs, and the call has filled it.
    let s = unsafe { out.assume_init() };
    Ok(Space {
        blocks: s.f_blocks,
        free: s.f_bfree,
        available: s.f_bavail,
        block_bytes: u32::try_from(s.f_frsize).unwrap_or(4096),
        files: s.f_files,
        files_free: s.f_ffree,
    })
}

/// Tells which names of a directory went away, or came to mean another file.
#[derive(Debug)]
pub(crate) struct NameWatch(File);

impl NameWatch {
    /// Watches the names in `dir`.
    pub(crate) fn new(dir: &Path) -> io::Result<Self> {
        let dir = c_path(dir)?;
        // SAFETY: inotify_init1 takes flags only.
        let fd = unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened, and nothing else owns it.
        let file = unsafe { File::from_raw_fd(fd) };
        let events = libc::IN_DELETE | libc::IN_MOVED_FROM | libc::IN_MOVED_TO;
        // SAFETY: `dir` is NUL-terminated and lives through the call.
        let rc = unsafe { libc::inotify_add_watch(file.as_raw_fd(), dir.as_ptr(), events) };
        if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(Self(file)) }
    }

    /// The names of which something happened, after a wait of at most `timeout`; may be empty. None when the watch has
    /// ended or has lost events.
    pub(crate) fn next(&self, timeout: Duration) -> Option<Vec<OsString>> {
        let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: `poll` is one valid pollfd.
        let rc = unsafe { libc::poll(&raw mut poll, 1, millis) };
        if rc <= 0 {
            return Some(Vec::new());
        }
        let mut buffer = [0; 8192];
        let len = (&self.0).read(&mut buffer).ok()?;
        event_names(&buffer[..len])
    }
}

/// The names in a block of inotify events. None when events were lost.
fn event_names(mut events: &[u8]) -> Option<Vec<OsString>> {
    // wd, mask, cookie, len: four words, then `len` bytes of name with zeros behind it.
    let word = |event: &[u8], i: usize| {
        event.get(i * 4..).and_then(|rest| rest.first_chunk()).map(|w| u32::from_ne_bytes(*w))
    };
    let mut names = Vec::new();
    while let (Some(mask), Some(len)) = (word(events, 1), word(events, 3)) {
        if mask & (libc::IN_Q_OVERFLOW | libc::IN_IGNORED) != 0 {
            return None;
        }
        let (name, rest) = events.get(16..)?.split_at_checked(len as usize)?;
        let name = name.split(|b| *b == 0).next().unwrap_or_default();
        names.push(OsStr::from_bytes(name).to_owned());
        events = rest;
    }
    Some(names)
}

fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_go_away_are_told() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("a.x"), "").expect("a file");
        let watch = NameWatch::new(dir.path()).expect("a watch");
        assert_eq!(watch.next(Duration::ZERO), Some(vec![]));
        std::fs::rename(dir.path().join("a.x"), dir.path().join("b")).expect("a rename");
        std::fs::remove_file(dir.path().join("b")).expect("a removal");
        let names = watch.next(Duration::from_secs(5)).expect("events");
        assert_eq!(names, ["a.x", "b", "b"].map(OsString::from));
    }

    #[test]
    fn cut_events_are_no_panic() {
        assert_eq!(event_names(&[0; 15]), Some(vec![]));
        let mut event = vec![0; 16];
        event[12] = 200;
        assert_eq!(event_names(&event), None);
    }
}
