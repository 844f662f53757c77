//! A disk whose syncs take longer than this machine's do: a group commit's gain depends on how long the disk takes beside the CPUs.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a sync takes at least, in nanoseconds.
static AT_LEAST: AtomicU64 = AtomicU64::new(0);

/// From now on a sync of a mapping takes this process at least so long, on threads that it starts too.
pub(crate) fn takes(time: Duration) {
    AT_LEAST.store(time.as_nanos() as u64, Ordering::Relaxed);
    // The end of a sync is an interrupt, and so is a timer's that may not be late to save wake-ups. New threads inherit it.
    let exact = std::num::NonZero::new(1);
    rustix::thread::set_current_timer_slack(exact).unwrap();
}

/// msync(2) of this whole program, the engine in it included: who is linked with this calls the C library's no more.
#[unsafe(no_mangle)]
extern "C" fn msync(start: *mut c_void, len: usize, flags: c_int) -> c_int {
    let begin = Instant::now();
    // SAFETY: the caller's arguments, as they came.
    let result = unsafe { libc::syscall(libc::SYS_msync, start, len, flags) };
    let at_least = Duration::from_nanos(AT_LEAST.load(Ordering::Relaxed));
    if let Some(rest) = at_least.checked_sub(begin.elapsed()) {
        std::thread::sleep(rest);
    }
    result as c_int
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Shared;

    #[test]
    fn a_sync_takes_at_least_as_long_as_is_asked_for() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8192).unwrap();
        let shared = Shared::of(&file, 8192);
        takes(Duration::from_millis(30));
        let start = Instant::now();
        shared.put(4096, b"x");
        shared.sync_from(4096);
        assert!(start.elapsed() >= Duration::from_millis(30));
        AT_LEAST.store(0, Ordering::Relaxed);
    }
}
