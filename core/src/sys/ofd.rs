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
    let mut lock = request(BASE, 0, libc::F_WRLCK);
    // SAFETY: the descriptor is open, and the kernel writes only into `lock`.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(lock.l_type != libc::F_UNLCK as libc::c_short)
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
