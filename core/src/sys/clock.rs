//! The system's clock.

/// Nanoseconds since 1970 on CLOCK_REALTIME (clock_gettime(2)); 0 when the clock is set before. No system call where the
/// kernel offers the clock in user space (vdso(7)).
pub(crate) fn realtime_nanos() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable. The call can't fail: every Linux has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(not(test))]
pub(crate) use std::{thread::sleep, time::Instant};

#[cfg(test)]
pub(crate) use super::observed::{Instant, sleep};
