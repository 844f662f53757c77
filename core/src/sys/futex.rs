//! Shared futexes on words of a mapped file (futex(2)).

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

/// The half of `word` that holds its low 32 bits, for the kernel to look at: this engine runs on little-endian machines.
fn low_half(word: &AtomicU64) -> *const u32 {
    word.as_ptr().cast::<u32>().cast_const()
}

/// Sleeps while the low half of `word` is `expected`, up to `timeout`. Returns for any reason at all: look again.
pub(crate) fn wait_low(word: &AtomicU64, expected: u32, timeout: Duration) {
    wait_at(low_half(word), expected, timeout);
}

/// Wakes up to `count` sleepers of [`wait_low`].
pub(crate) fn wake_low(word: &AtomicU64, count: i32) {
    wake_at(low_half(word), count);
}

/// Sleeps while `word` is `expected`, up to `timeout`. Returns for any reason at all: look again. True: a signal handler ran.
pub(crate) fn wait(word: &AtomicU32, expected: u32, timeout: Duration) -> bool {
    wait_at(word.as_ptr(), expected, timeout)
}

/// Wakes all sleepers of [`wait`].
pub(crate) fn wake_all(word: &AtomicU32) {
    wake_at(word.as_ptr(), i32::MAX);
}

fn wait_at(address: *const u32, expected: u32, timeout: Duration) -> bool {
    let spec = libc::timespec {
        tv_sec: timeout.as_secs().min(i64::MAX as u64) as libc::time_t,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    // SAFETY: the address is that of a live atomic, borrowed by the callers; the kernel only reads it. Another process may
    // change the word at any time, which is what the call is for. EAGAIN, ETIMEDOUT and a wake all mean "look again".
    let result = unsafe {
        libc::syscall(libc::SYS_futex, address, libc::FUTEX_WAIT, expected, &raw const spec)
    };
    result != 0 && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
}

fn wake_at(address: *const u32, count: i32) {
    // SAFETY: FUTEX_WAKE does not touch the memory, it only uses the address as a key.
    unsafe {
        libc::syscall(libc::SYS_futex, address, libc::FUTEX_WAKE, count);
    }
}
