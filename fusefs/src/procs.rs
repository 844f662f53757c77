//! What `/proc` says about the program behind a request.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;

/// The parts of `/proc/TID/status` that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// The process the thread belongs to.
    pub(crate) process: u32,
    /// True when the thread has ended.
    pub(crate) ended: bool,
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

fn parse(text: &[u8]) -> Status {
    const SIGKILL_BIT: u64 = 1 << (libc::SIGKILL - 1);
    let mut status = Status::default();
    let (mut pending, mut blocked, mut ignored) = (0, 0, 0);
    for line in text.split(|b| *b == b'\n') {
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        match name {
            b"State" => status.ended = matches!(value.first(), Some(b'Z' | b'X' | b'x')),
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

/// True when both threads are known to belong to one process.
pub(crate) fn same_process(a: u32, b: u32) -> bool {
    a == b || matches!((status(a), status(b)), (Some(a), Some(b)) if a.process == b.process)
}

/// True when process `pid` has a file open whose path ends with `/tail`.
pub(crate) fn holds(pid: u32, tail: &std::path::Path) -> bool {
    let Ok(list) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    list.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok()).any(|target| {
        let target = target.as_os_str().as_bytes();
        let target = target.strip_suffix(b" (deleted)").unwrap_or(target);
        std::path::Path::new(std::ffi::OsStr::from_bytes(target)).ends_with(tail)
    })
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
