//! Open-file-description locks on single bytes (fcntl(2), "Open file description locks").
//!
//! The kernel drops such a lock when the last descriptor of its open file description is gone, however the process ended:
//! that is the proof of death the writer lock rests on. The bytes lie far behind the end of any pool file.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

const BASE: i64 = 1 << 60;
/// The byte that a process holds while it recovers the pool; writers' places lie above it.
const RECOVERY: i64 = BASE - 1;

/// A byte of a pool file that can be locked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Byte {
    /// Held by the writer that has this place in the participant table.
    Place(u32),
    /// Held during recovery.
    Recovery,
}

impl Byte {
    fn offset(self) -> i64 {
        match self {
            Self::Place(slot) => BASE + i64::from(slot),
            Self::Recovery => RECOVERY,
        }
    }
}

/// Takes the lock for `file`'s open file description; false when another description holds it.
pub(crate) fn try_lock(file: &File, byte: Byte) -> io::Result<bool> {
    #[cfg(test)]
    if super::observed::observer().is_some_and(|o| !o.system_call()) {
        return Ok(false);
    }
    match set(file, byte.offset(), 1, libc::F_WRLCK) {
        Ok(()) => Ok(true),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Gives the lock back.
pub(crate) fn unlock(file: &File, byte: Byte) {
    #[cfg(test)]
    if super::observed::observer().is_some_and(|o| !o.system_call()) {
        return;
    }
    // Unlocking fails only for a bad descriptor, which a `File` is not.
    let _ = set(file, byte.offset(), 1, libc::F_UNLCK);
}

/// True when another open file description holds any writer's place.
pub(crate) fn any_place_held(file: &File) -> io::Result<bool> {
    Ok(held(file, BASE, 0)?.is_some())
}

/// How many of the first `count` writers' places other open file descriptions hold.
pub(crate) fn places_held(file: &File, count: u32) -> io::Result<u32> {
    let mut found = 0;
    let mut parts = vec![(BASE, BASE + i64::from(count))];
    while let Some((start, end)) = parts.pop() {
        if start >= end {
            continue;
        }
        // The kernel tells one of the locks in there, not the first: others may lie on both sides of it.
        if let Some((held_from, held_to)) = held(file, start, end - start)? {
            let (from, to) = (held_from.max(start), held_to.min(end));
            found += u32::try_from(to - from).unwrap_or(0);
            parts.extend([(start, from), (to, end)]);
        }
    }
    Ok(found)
}

/// From where to where another open file description holds a lock in the `len` bytes (0: all) from `start`.
fn held(file: &File, start: i64, len: i64) -> io::Result<Option<(i64, i64)>> {
    let mut lock = request(start, len, libc::F_WRLCK);
    // SAFETY: the descriptor is open, and the kernel writes only into `lock`.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    if lock.l_type == libc::F_UNLCK as libc::c_short {
        return Ok(None);
    }
    let end = if lock.l_len == 0 { i64::MAX } else { lock.l_start.saturating_add(lock.l_len) };
    Ok(Some((lock.l_start, end)))
}

fn set(file: &File, start: i64, len: i64, kind: libc::c_int) -> io::Result<()> {
    let lock = request(start, len, kind);
    loop {
        // SAFETY: the descriptor is open, and the kernel only reads `lock`.
        let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
        if result != -1 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn request(start: i64, len: i64, kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: len,
        // Must be 0 for open-file-description locks.
        l_pid: 0,
    }
}
