//! A disk whose syncs take longer than this machine's do: what a group commit gains depends on how long a sync takes beside the rest.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_long, c_void};
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How much longer, in nanoseconds.
static LONGER: AtomicU64 = AtomicU64::new(0);

/// From now on each sync of this process takes so much longer, on threads that it starts too.
pub(crate) fn takes_longer(time: Duration) {
    LONGER.store(time.as_nanos() as u64, Ordering::Relaxed);
    // The end of a sync is an interrupt; so is a timer's, unless it may be late to save wake-ups. New threads inherit it.
    rustix::thread::set_current_timer_slack(NonZero::new(1)).unwrap();
}

/// msync(2) of this whole program, the engine in it included: linked with this, nobody calls the C library's.
#[unsafe(no_mangle)]
extern "C" fn msync(start: *mut c_void, len: usize, flags: c_int) -> c_int {
    // SAFETY: the caller's arguments, as they came.
    after_sync(unsafe { libc::syscall(libc::SYS_msync, start, len, flags) })
}

/// fdatasync(2), the same.
#[unsafe(no_mangle)]
extern "C" fn fdatasync(file: c_int) -> c_int {
    // SAFETY: the caller's argument, as it came.
    after_sync(unsafe { libc::syscall(libc::SYS_fdatasync, file) })
}

fn after_sync(result: c_long) -> c_int {
    let longer = LONGER.load(Ordering::Relaxed);
    if result == 0 && longer > 0 {
        std::thread::sleep(Duration::from_nanos(longer));
    }
    result as c_int
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use plasmite_core::{Durability, Pool};

    use super::*;

    #[test]
    fn a_flush_of_the_engine_takes_as_much_longer_as_is_asked_for() {
        const LONGER_BY: Duration = Duration::from_millis(30);
        let dir = tempfile::tempdir().unwrap();
        let pool = Pool::create(&dir.path().join("a.plasmite"), 1 << 20).unwrap();
        takes_longer(LONGER_BY);
        let mut shortest = Duration::MAX;
        // The first sync of a pool is an fdatasync, all later ones are syncs of the mapping.
        for _ in 0..3 {
            let start = Instant::now();
            pool.append(b"{}", &[] as &[&str], Durability::Flush).unwrap();
            shortest = shortest.min(start.elapsed());
        }
        LONGER.store(0, Ordering::Relaxed);
        assert!(shortest >= LONGER_BY, "{shortest:?}");
    }
}
