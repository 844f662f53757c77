//! What the kernel remembers of the names of pools, and how it is told to forget.
//!
//! It keeps the root locked until each request about a name in it is answered, and wants it unlocked to forget that one name: a
//! daemon that is killed in between could not die, because the thread that tells waits in the kernel, nor could the program that
//! asked. So it is told to look at every name again, for which it locks nothing. A kernel that can't do that (Linux before 6.16) is
//! told of the one name when the mount makes, removes or renames no pool; a look-up, or what the mount is only about to be asked
//! for, may still meet it there.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Write as _};

use fuser::{INodeNo, Notifier};

/// Has a debug build do what it does with an older kernel.
#[cfg(debug_assertions)]
const AS_OLDER: &str = "PLASMITE_AS_BEFORE_LINUX_6_16";

/// `struct fuse_out_header` of FUSE_NOTIFY_INC_EPOCH, which is 8: length, what it is, and no request that it answers.
const EPOCH_ENDS: [u32; 4] = [16, 8, 0, 0];

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

    /// Has the next look at a pool's name come to the mount. `wait` waits until nobody makes, removes or renames a pool.
    pub(crate) fn drop_pool(&mut self, name: &str, wait: impl FnOnce()) {
        if let Some(mut device) = self.device.as_ref() {
            let message = EPOCH_ENDS.map(u32::to_ne_bytes);
            match device.write(message.as_flattened()) {
                Err(error) if error.kind() == ErrorKind::InvalidInput => self.device = None,
                // It has gone, and its names with it.
                _ => return,
            }
        }
        wait();
        // It may not know the name: nothing to forget.
        let _ = self.notifier.inval_entry(INodeNo::ROOT, OsStr::new(name));
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
