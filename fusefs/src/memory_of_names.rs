//! What the kernel remembers of the names of pools, and how it is told to forget.
//!
//! It keeps the root locked until a request about a name in it is answered, and wants it unlocked to forget a name: a daemon that
//! is killed in between could not die, because the thread that tells waits in the kernel, nor could the program that asked. So that
//! thread waits here, until no such request is being answered. When that takes long, it tells the kernel to look at every name again,
//! for which nothing is locked; but while the kernel does so, a program whose directory it looks at has no path. A kernel that can't
//! (Linux before 6.16) is waited for. What is left is a request that the kernel has for us and we have not read.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use fuser::{INodeNo, Notifier};

use crate::sync::lock;

/// Has a debug build do what it does with an older kernel.
#[cfg(debug_assertions)]
const AS_OLDER: &str = "PLASMITE_AS_BEFORE_LINUX_6_16";

/// How long who asks for something in the root is waited for: longer than an answer takes that waits for nothing.
const MOMENT: Duration = Duration::from_millis(500);

/// `struct fuse_out_header` of FUSE_NOTIFY_INC_EPOCH, which is 8: length, what it is, and no request that it answers.
const EPOCH_ENDS: [u32; 4] = [16, 8, 0, 0];

/// Counts the requests about names in the root that are being answered.
#[derive(Default)]
pub(crate) struct Gate {
    inside: Mutex<usize>,
    empty: Condvar,
}

/// Such a request. Dropped when it is answered.
pub(crate) struct Inside(Arc<Gate>);

impl Gate {
    pub(crate) fn enter(self: &Arc<Self>) -> Inside {
        *lock(&self.inside) += 1;
        Inside(Arc::clone(self))
    }

    /// Waits until there is none, as long as that; whether there is none.
    fn wait(&self, limit: Option<Duration>) -> bool {
        let (inside, is_full) = (lock(&self.inside), |inside: &mut usize| *inside > 0);
        match limit {
            None => drop(self.empty.wait_while(inside, is_full)),
            Some(limit) => {
                let waited = self.empty.wait_timeout_while(inside, limit, is_full);
                return !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out();
            }
        }
        true
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut inside = lock(&self.0.inside);
        *inside -= 1;
        if *inside == 0 {
            self.0.empty.notify_all();
        }
    }
}

/// The names that the kernel remembers.
pub(crate) struct MemoryOfNames {
    notifier: Notifier,
    /// The session's connection to the kernel. None when that knows no epochs.
    device: Option<File>,
}

impl MemoryOfNames {
    pub(crate) fn new(notifier: Notifier, device: File) -> Self {
        Self { notifier, device: Some(device).filter(|_| !is_as_older()) }
    }

    /// Has the next look at a pool's name come to the mount.
    pub(crate) fn drop_pool(&mut self, name: &str, root: &Gate) {
        if !root.wait(self.device.as_ref().map(|_| MOMENT)) {
            if self.end_epoch() {
                return;
            }
            root.wait(None);
        }
        // The kernel may not know the name: nothing to forget.
        let _ = self.notifier.inval_entry(INodeNo::ROOT, OsStr::new(name));
    }

    /// False when the kernel knows no epochs.
    fn end_epoch(&mut self) -> bool {
        let message = EPOCH_ENDS.map(u32::to_ne_bytes);
        let written = self.device.as_ref().map(|mut device| device.write(message.as_flattened()));
        let unknown = match written {
            None => true,
            // Any other error: the connection has gone, and the names with it.
            Some(result) => result.is_err_and(|e| e.kind() == ErrorKind::InvalidInput),
        };
        if unknown {
            self.device = None;
        }
        !unknown
    }
}

#[cfg(debug_assertions)]
fn is_as_older() -> bool {
    std::env::var_os(AS_OLDER).is_some()
}

#[cfg(not(debug_assertions))]
fn is_as_older() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_waited_for_until_the_last_one_has_left() {
        let gate = Arc::new(Gate::default());
        assert!(gate.wait(Some(Duration::ZERO)));
        let (first, second) = (gate.enter(), gate.enter());
        drop(first);
        assert!(!gate.wait(Some(Duration::from_millis(1))));
        let waiting = Arc::clone(&gate);
        let thread = std::thread::spawn(move || waiting.wait(None));
        assert!(!thread.is_finished());
        drop(second);
        assert!(thread.join().expect("it was let through"));
        assert!(gate.wait(Some(Duration::ZERO)));
    }
}
