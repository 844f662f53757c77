//! Who a process is, so that another process can tell whether it still lives (proc(5), namespaces(7)).

use std::cell::Cell;
use std::os::unix::fs::MetadataExt;
use std::{fs, io};

use super::fork;

/// A process, as named inside its pid namespace during one boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProcessId {
    pub(crate) pid: u32,
    /// Inode of the pid namespace; 0 when /proc does not tell.
    pub(crate) pid_namespace: u32,
    /// Clock ticks from boot to the start of the process; 0 when /proc does not tell.
    pub(crate) start_time: u64,
}

impl ProcessId {
    /// This process. A thread asks the kernel once, and again after a fork: nothing of this changes while a process lives.
    pub(crate) fn current() -> Self {
        let generation = fork::generation();
        if let Some((of, id)) = KNOWN.get()
            && of == generation
        {
            return id;
        }
        let pid = std::process::id();
        let start_time = Stat::of(pid).map_or(0, |s| s.start_time);
        let id = Self { pid, pid_namespace: pid_namespace(), start_time };
        KNOWN.set(Some((generation, id)));
        id
    }

    /// Its pid, as far as it says something here: that of another pid namespace is somebody else's number.
    pub(crate) fn pid_here(self) -> Option<u32> {
        (self.pid != 0 && self.pid_namespace == pid_namespace()).then_some(self.pid)
    }

    /// True only when this process is known to be gone: a process of another pid namespace, or one that /proc hides, is not.
    pub(crate) fn is_known_dead(self) -> bool {
        let namespace = pid_namespace();
        if self.pid == 0 || namespace == 0 || self.pid_namespace != namespace {
            return false;
        }
        match Stat::of(self.pid) {
            Some(stat) => {
                let told = self.start_time != 0 && stat.start_time != 0;
                let other = told && stat.start_time != self.start_time;
                // A zombie with threads left is a process whose main thread alone has ended.
                other || (matches!(stat.state, 'Z' | 'X') && stat.threads <= 1)
            }
            None => !exists(self.pid),
        }
    }
}

// What needs no destructor is there until the thread has ended: asking for it never panics.
thread_local! {
    /// This process, by the generation of forks that it is.
    static KNOWN: Cell<Option<(u32, ProcessId)>> = const { Cell::new(None) };
}

/// The id of this boot (random(4)). A thread asks once, for a process does not outlive it.
pub(crate) fn boot_id() -> io::Result<[u8; 16]> {
    thread_local!(static KNOWN: Cell<Option<[u8; 16]>> = const { Cell::new(None) });
    if let Some(id) = KNOWN.get() {
        return Ok(id);
    }
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let mut id = [0; 16];
    let digits = text.bytes().filter_map(|b| char::from(b).to_digit(16));
    for (i, digit) in digits.take(32).enumerate() {
        id[i / 2] = id[i / 2] << 4 | digit as u8;
    }
    KNOWN.set(Some(id));
    Ok(id)
}

struct Stat {
    state: char,
    threads: u64,
    start_time: u64,
}

impl Stat {
    /// None when there is no such process, and when /proc can't say: it may be that of another pid namespace, whose numbers
    /// mean other processes (`unshare --pid` without `--mount-proc`).
    fn of(pid: u32) -> Option<Self> {
        let mine = fs::read_link("/proc/self").ok()?;
        if mine.to_str()?.parse() != Ok(std::process::id()) {
            return None;
        }
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command's name, in parentheses, may hold anything: the fields after it count from field 3.
        let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let threads = fields.nth(16)?.parse().ok()?;
        let start_time = fields.nth(1)?.parse().ok()?;
        // Each time namespace counts from another boot (time_namespaces(7)), and only the first one's count is everybody's.
        let start_time = if in_first_time_namespace() { start_time } else { 0 };
        Some(Self { state, threads, start_time })
    }
}

/// True in the time namespace that the machine was started with, and on kernels that know no other.
fn in_first_time_namespace() -> bool {
    /// PROC_TIME_INIT_INO of the kernel's proc_ns.h.
    const FIRST: u64 = 0xeffffffa;
    fs::metadata("/proc/self/ns/time").map_or(true, |m| m.ino() == FIRST)
}

fn pid_namespace() -> u32 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |m| m.ino() as u32)
}

/// Ends this process as `kill -9` does.
#[cfg(debug_assertions)]
pub(crate) fn die() {
    // SAFETY: a signal to ourselves, which nothing can catch.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    // The signal may be delivered to another thread first.
    loop {
        std::thread::park();
    }
}

/// Stops this process until it gets SIGCONT.
#[cfg(debug_assertions)]
pub(crate) fn stop() {
    // SAFETY: a signal to this very thread, so that it goes no further; all others stop with it.
    unsafe { libc::raise(libc::SIGSTOP) };
}

fn exists(pid: u32) -> bool {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return false };
    // SAFETY: signal 0 only asks whether the process exists.
    let result = unsafe { libc::kill(pid, 0) };
    result == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_one_with_another_start_time_is_dead() {
        let me = ProcessId::current();
        assert!(me.start_time > 0 && me.pid_namespace > 0);
        assert!(!me.is_known_dead());
        assert!(ProcessId { start_time: me.start_time + 1, ..me }.is_known_dead());
        assert!(!ProcessId { pid_namespace: 1, start_time: 1, ..me }.is_known_dead());
    }

    #[test]
    fn a_reaped_child_is_dead() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let id = ProcessId { pid: child.id(), start_time: 0, ..ProcessId::current() };
        child.wait().unwrap();
        assert!(id.is_known_dead());
    }

    #[test]
    fn the_boot_has_an_id() {
        assert_ne!(boot_id().unwrap(), [0; 16]);
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
    }
}
