//! What `/proc` says about the program behind a request.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The parts of `/proc/TID/status` that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// The process the thread belongs to.
    pub(crate) process: u32,
    /// True when the thread has ended.
    pub(crate) ended: bool,
    /// It sleeps where a signal wakes it: state S.
    pub(crate) interruptible: bool,
    /// A signal that will be acted upon is pending.
    pub(crate) signalled: bool,
}

/// Looks at a thread. None when nothing can be said: no such file (another pid namespace, `hidepid`), or thread 0.
pub(crate) fn status(tid: u32) -> Option<Status> {
    if tid == 0 {
        return None;
    }
    let mut buffer = [0; 4096];
    let mut file = File::open(format!("/proc/{tid}/status")).ok()?;
    let len = file.read(&mut buffer).ok()?;
    Some(parse(&buffer[..len]))
}

/// The groups of a thread besides its first one; none when nothing can be said.
pub(crate) fn groups(tid: u32) -> Vec<u32> {
    let text = match tid {
        0 => return Vec::new(),
        _ => std::fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default(),
    };
    let line = text.lines().find_map(|line| line.strip_prefix("Groups:"));
    line.unwrap_or_default().split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

fn parse(text: &[u8]) -> Status {
    const SIGKILL_BIT: u64 = 1 << (libc::SIGKILL - 1);
    let mut status = Status::default();
    let (mut pending, mut blocked, mut ignored) = (0, 0, 0);
    for line in text.split(|b| *b == b'\n') {
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        match name {
            b"State" => {
                status.ended = matches!(value.first(), Some(b'Z' | b'X' | b'x'));
                status.interruptible = value.first() == Some(&b'S');
            }
            b"Tgid" => status.process = number(value, 10) as u32,
            b"SigPnd" | b"ShdPnd" => pending |= number(value, 16),
            b"SigBlk" => blocked = number(value, 16),
            b"SigIgn" => ignored = number(value, 16),
            _ => {}
        }
    }
    status.signalled = pending & SIGKILL_BIT != 0 || pending & !blocked & !ignored != 0;
    status
}

fn number(text: &[u8], radix: u32) -> u64 {
    std::str::from_utf8(text).ok().and_then(|t| u64::from_str_radix(t, radix).ok()).unwrap_or(0)
}

/// The process that a thread belongs to, and the name of its program. None when nothing can be said.
pub(crate) fn program(tid: u32) -> Option<(u32, String)> {
    let process = status(tid)?.process;
    let name = std::fs::read(format!("/proc/{process}/comm")).ok()?;
    Some((process, String::from_utf8_lossy(name.trim_ascii_end()).into_owned()))
}

/// True when both threads are known to belong to one process.
pub(crate) fn same_process(a: u32, b: u32) -> bool {
    a == b || matches!((status(a), status(b)), (Some(a), Some(b)) if a.process == b.process)
}

/// True when process `pid` has a file open whose path ends with `/tail`.
pub(crate) fn holds(pid: u32, tail: &Path) -> bool {
    let Ok(list) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    list.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok()).any(|target| {
        let target = target.as_os_str().as_bytes();
        let target = target.strip_suffix(b" (deleted)").unwrap_or(target);
        Path::new(std::ffi::OsStr::from_bytes(target)).ends_with(tail)
    })
}

/// A process that keeps a mount busy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pid: u32,
    name: String,
    /// One thing of the mount that it uses.
    path: PathBuf,
}

impl std::fmt::Display for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {}, {})", self.name, self.pid, self.path.display())
    }
}

/// The processes that have something at or below `target` open, or as their working or root directory; of those that may be
/// looked at.
pub(crate) fn users_of(target: &Path) -> Vec<User> {
    let Ok(list) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = list.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let mut users: Vec<_> = pids.filter_map(|pid| user(pid, target)).collect();
    users.sort_by_key(|user| user.pid);
    users
}

fn user(pid: u32, target: &Path) -> Option<User> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let fds = std::fs::read_dir(proc.join("fd"))
        .into_iter()
        .flatten()
        .filter_map(|e| Some(e.ok()?.path()));
    let path = ["cwd", "root"]
        .map(|link| proc.join(link))
        .into_iter()
        .chain(fds)
        .filter_map(|link| std::fs::read_link(link).ok())
        .find(|path| path.starts_with(target))?;
    let name = std::fs::read_to_string(proc.join("comm")).unwrap_or_default().trim().to_owned();
    Some(User { pid, name, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_signal_counts_unless_blocked_or_ignored() {
        let of = |pnd: &str, blk: &str, ign: &str| {
            let text = format!(
                "State:\tS (sleeping)\nTgid:\t42\nSigPnd:\t{pnd}\nShdPnd:\t0000000000000000\nSigBlk:\t{blk}\nSigIgn:\t{ign}\n"
            );
            parse(text.as_bytes())
        };
        assert!(of("0", "0", "0").interruptible);
        assert!(of("0000000000000002", "0", "0").signalled);
        assert!(!of("0000000000000002", "0000000000000002", "0").signalled);
        assert!(!of("0000000000000002", "0", "0000000000000002").signalled);
        assert!(of("0000000000000100", "ffffffffffffffff", "0").signalled, "SIGKILL");
        assert_eq!(of("0", "0", "0").process, 42);
    }

    #[test]
    fn this_thread_is_alive_and_thread_zero_is_unknown() {
        let me = status(std::process::id()).expect("own status");
        assert!(!me.ended && me.process == std::process::id());
        assert_eq!(status(0), None);
    }
}
