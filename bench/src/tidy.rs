//! Whatever ends the measuring, Ctrl-C or a panic too, leaves nothing behind: no process, no mount, no pool of 16 GiB.
//!
//! It is done by a process below this one, in a process group and a directory of its own. When that has ended, or this one is
//! told to end, the group is killed and the directory removed.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitOptions, kill_process_group, set_child_subreaper,
    set_parent_process_death_signal, wait,
};
use signal_hook::consts::{SIGBUS, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::{emulate_default_handler, signal_name};

/// The first argument of the process below; the second is the directory.
pub(crate) const WORD: &str = "within";
/// How long what was killed may take to end: it may sync a disk.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Runs this program with these arguments in a directory below the current one.
///
/// # Errors
/// What the system says when that can't be started, or something is left behind.
pub(crate) fn run(args: &[String]) -> Result<ExitCode, String> {
    let dir = tempfile::tempdir_in(".").map_err(|e| format!("a directory here: {e}"))?;
    let failed = |e: io::Error| format!("measure in {}: {e}", dir.path().display());
    // Who is orphaned by a death in the group is a child of this process then, and can be waited for. (Any pid turns it on, prctl(2).)
    set_child_subreaper(Some(Pid::INIT)).map_err(|e| failed(e.into()))?;
    // Before there is something to tidy up.
    let mut signals = Signals::new([SIGINT, SIGQUIT, SIGTERM, SIGCHLD]).map_err(failed)?;
    if !goes_on_without_terminal() {
        signals.add_signal(SIGHUP).map_err(failed)?;
    }
    let mut child = Command::new(std::env::current_exe().map_err(failed)?)
        .arg(WORD)
        .arg(dir.path())
        .args(args)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let end = wait_for(&mut child, &mut signals).map_err(failed)?;
    let group = Pid::from_child(&child);
    end_all(group).map_err(failed)?;
    unmount_all(dir.path()).map_err(failed)?;
    let path = dir.path().to_owned();
    dir.close().map_err(|e| format!("remove {}: {e}", path.display()))?;
    match end {
        End::Told(signal) => {
            let _ = emulate_default_handler(signal);
            Ok(ExitCode::FAILURE)
        }
        End::Exit(code) => Ok(ExitCode::from(code)),
    }
}

/// In the process below: it does not outlive the one above.
///
/// # Errors
/// What the system says.
pub(crate) fn end_with_parent() -> Result<(), String> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| e.to_string())
}

/// Whether this was started by nohup(1), which has SIGHUP ignored.
fn goes_on_without_terminal() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 << (SIGHUP - 1) != 0)
}

enum End {
    /// By itself. 101 after a panic, as that has it; 1 after a signal.
    Exit(u8),
    /// This process was told to end.
    Told(i32),
}

fn wait_for(child: &mut Child, signals: &mut Signals) -> io::Result<End> {
    for signal in signals.forever() {
        if signal != SIGCHLD {
            return Ok(End::Told(signal));
        }
        if let Some(status) = child.try_wait()? {
            if let Some(signal) = status.signal() {
                let name = signal_name(signal).unwrap_or("a signal");
                // A store into a mapping for which a full disk has no room.
                let why = if signal == SIGBUS { ": is the disk full?" } else { "" };
                eprintln!("what measures was ended by {name}{why}");
            }
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            return Ok(End::Exit(code.unwrap_or(1)));
        }
    }
    Ok(End::Exit(1))
}

/// Kills the group and waits until all below this process are gone.
fn end_all(group: Pid) -> io::Result<()> {
    let start = Instant::now();
    // Again and again: who was just starting a process may have been killed before that was in the group.
    while start.elapsed() < PATIENCE {
        let _none_left = kill_process_group(group, Signal::KILL);
        match wait(WaitOptions::NOHANG) {
            Err(rustix::io::Errno::CHILD) => return Ok(()),
            Ok(Some(_)) => {}
            Ok(None) => std::thread::sleep(LOOK_AGAIN),
            Err(e) => return Err(e.into()),
        }
    }
    Err(io::Error::other("processes are left that can't be killed"))
}

/// Takes away the mounts of daemons that were killed: what can't even be looked at.
fn unmount_all(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.metadata().is_err() {
            take_away(&path)?;
        }
    }
    Ok(())
}

/// Unmounts a file system, ours or not, as root or not, though somebody may still have a file of it open.
///
/// # Errors
/// There is no fusermount3. What it says itself goes to stderr.
pub(crate) fn take_away(mountpoint: &Path) -> io::Result<()> {
    Command::new("fusermount3").args(["-u", "-z", "--"]).arg(mountpoint).status().map(|_| ())
}
