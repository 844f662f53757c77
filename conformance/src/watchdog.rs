//! No step runs for ever: one that is over its time is named, and whatever it started goes away with this process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use rustix::process::{Pid, Signal, kill_process};

const LIMIT: &str = "PLASMITE_CONFORMANCE_STEP_SECONDS";
const DEFAULT_SECONDS: u64 = 120;

/// What has to be unmounted.
static MOUNTPOINTS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Watches over steps, one after the other.
pub(crate) struct Watchdog(Sender<Option<String>>);

impl Watchdog {
    /// Starts watching; nothing to watch yet.
    ///
    /// # Errors
    /// A limit that is no number.
    pub(crate) fn start() -> Result<Self, String> {
        let seconds = match std::env::var(LIMIT) {
            Ok(text) => text.parse().map_err(|_| format!("{LIMIT}={text}: not a number"))?,
            Err(_) => DEFAULT_SECONDS,
        };
        let (sender, steps) = channel::<Option<String>>();
        thread::spawn(move || {
            let mut step: Option<String> = None;
            loop {
                let news = match &step {
                    Some(_) => steps.recv_timeout(Duration::from_secs(seconds)),
                    None => steps.recv().map_err(|_| RecvTimeoutError::Disconnected),
                };
                match (news, &step) {
                    (Ok(next), _) => step = next,
                    (Err(RecvTimeoutError::Timeout), Some(label)) => {
                        eprintln!("{label}: not done after {seconds} s");
                        end_everything();
                        std::process::exit(1);
                    }
                    _ => return,
                }
            }
        });
        Ok(Self(sender))
    }

    /// Watches over this step from now on, or over none.
    pub(crate) fn watch(&self, step: Option<&str>) {
        // The watching thread is there as long as this process.
        let _ = self.0.send(step.map(str::to_owned));
    }
}

/// Keeps in mind that there will be a mount.
pub(crate) fn will_be_mounted(mountpoint: &Path) {
    MOUNTPOINTS.lock().unwrap_or_else(PoisonError::into_inner).push(mountpoint.to_owned());
}

/// Takes a mount away, if it is there, whoever still has files in it.
pub(crate) fn detach(mountpoint: &Path) {
    if rustix::mount::unmount(mountpoint, UnmountFlags::DETACH) == Err(Errno::PERM) {
        let _ = Command::new("fusermount3").args(["-u", "-z", "--"]).arg(mountpoint).output();
    }
}

fn end_everything() {
    let mountpoints =
        std::mem::take(&mut *MOUNTPOINTS.lock().unwrap_or_else(PoisonError::into_inner));
    for mountpoint in mountpoints {
        detach(&mountpoint);
        if let Some(place) = mountpoint.parent() {
            let _ = std::fs::remove_dir(&mountpoint).and_then(|()| std::fs::remove_dir(place));
        }
    }
    if let Some(this) = Pid::from_raw(std::process::id() as i32) {
        end_children(this);
    }
}

/// Ends what a process started, and what that started.
fn end_children(of: Pid) {
    let threads = std::fs::read_dir(format!("/proc/{}/task", of.as_raw_nonzero()));
    for thread in threads.into_iter().flatten().flatten() {
        let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        let pids = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        for child in pids.filter_map(Pid::from_raw) {
            end_children(child);
            let _ = kill_process(child, Signal::KILL);
        }
    }
}
