//! Shared futexes on words of a mapped file (futex(2)).

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::word::{Half, Word};

/// The half of `word` that holds its low 32 bits, for the kernel to look at: this engine runs on little-endian machines.
fn low_half(word: &Word) -> *const u32 {
    word.as_ptr().cast::<u32>().cast_const()
}

/// Why a sleep has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Somebody woke, or the word was not what was expected, or for no reason at all: look again.
    Woken,
    TimeOut,
    /// A signal handler ran.
    Interrupted,
    /// The kernel woke for one who died ([`LastWill`](super::last_will::LastWill)).
    Death,
}

/// Sleeps while the low half of `word` is `expected`, up to `timeout`. Returns for any reason at all: look again.
pub(crate) fn wait_low(word: &Word, expected: u32, timeout: Duration) {
    #[cfg(test)]
    if let Some(observer) = super::observed::observer() {
        observer.sleep_on(&[(word.cell(), expected)], timeout);
        return;
    }
    wait_at(low_half(word), expected, timeout);
}

/// Wakes up to `count` sleepers of [`wait_low`]; how many that were.
pub(crate) fn wake_low(word: &Word, count: i32) -> u32 {
    #[cfg(test)]
    if let Some(observer) = super::observed::observer() {
        return observer.wake(word.cell(), count);
    }
    wake_at(low_half(word), count)
}

/// Sleeps while `word` is `expected`, up to `timeout`.
pub(crate) fn wait(word: &Half, expected: u32, timeout: Duration) -> Ended {
    #[cfg(test)]
    if let Some(observer) = super::observed::observer() {
        return observer.sleep_on(&[(word.cell(), expected)], timeout);
    }
    wait_at(word.as_ptr(), expected, timeout)
}

/// Wakes all sleepers of [`wait`].
pub(crate) fn wake_all(word: &Half) {
    #[cfg(test)]
    if let Some(observer) = super::observed::observer() {
        observer.wake(word.cell(), i32::MAX);
        return;
    }
    wake_at(word.as_ptr(), i32::MAX);
}

/// How many threads sleep on `word` now, of any process, without waking them. None when nobody can tell: in a mapping that may
/// only be read, or where a filter forbids the call.
pub(crate) fn sleepers(word: &Half) -> Option<u32> {
    // The kernel moves the sleepers of a word to the same word, which changes nothing, and says how many there are. It wants the
    // word's value first, and refuses with EAGAIN when it has changed.
    for _ in 0..100 {
        let value = word.load(Ordering::Relaxed);
        let address = word.as_ptr();
        let (wake, requeue) = (0, i32::MAX as usize);
        // SAFETY: the address is that of a live atomic, borrowed by the caller; the kernel only reads it.
        let result = unsafe {
            libc::syscall(
                libc::SYS_futex,
                address,
                libc::FUTEX_CMP_REQUEUE,
                wake,
                requeue,
                address,
                value,
            )
        };
        match u32::try_from(result) {
            Ok(count) => return Some(count),
            Err(_) if io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN) => {}
            Err(_) => return None,
        }
    }
    None
}

fn wait_at(address: *const u32, expected: u32, timeout: Duration) -> Ended {
    let spec = libc::timespec {
        tv_sec: timeout.as_secs().min(i64::MAX as u64) as libc::time_t,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    // SAFETY: the address is that of a live atomic, borrowed by the callers; the kernel only reads it. Another process may
    // change the word at any time, which is what the call is for. EAGAIN, ETIMEDOUT and a wake all mean "look again".
    let result = unsafe {
        libc::syscall(libc::SYS_futex, address, libc::FUTEX_WAIT, expected, &raw const spec)
    };
    if result == 0 { Ended::Woken } else { ended_by(&io::Error::last_os_error()) }
}

fn ended_by(error: &io::Error) -> Ended {
    match error.raw_os_error() {
        Some(libc::ETIMEDOUT) => Ended::TimeOut,
        Some(libc::EINTR) => Ended::Interrupted,
        _ => Ended::Woken,
    }
}

fn wake_at(address: *const u32, count: i32) -> u32 {
    // SAFETY: FUTEX_WAKE does not touch the memory, it only uses the address as a key.
    let woken = unsafe { libc::syscall(libc::SYS_futex, address, libc::FUTEX_WAKE, count) };
    u32::try_from(woken).unwrap_or(0)
}

/// The most words that [`wait_many`] takes.
pub(crate) const MAX_WAIT_MANY: usize = 128;

/// What futex_waitv(2) takes for each word.
#[repr(C)]
struct WaitV {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

impl WaitV {
    fn new(word: &Half, expected: u32) -> Self {
        const FUTEX2_SIZE_U32: u32 = 2;
        let address = word.as_ptr() as u64;
        Self { value: expected.into(), address, flags: FUTEX2_SIZE_U32, reserved: 0 }
    }
}

/// Sleeps while each word is what is expected of it, up to `timeout`. Returns for any reason at all: look again. False, at once,
/// when there are too many words, or the kernel can't do it (Linux before 5.16).
pub(crate) fn wait_many(words: &[(&Half, u32)], timeout: Duration) -> bool {
    #[cfg(test)]
    if let Some(observer) = super::observed::observer() {
        let cells: Vec<_> = words.iter().map(|(word, value)| (word.cell(), *value)).collect();
        observer.sleep_on(&cells, timeout);
        return true;
    }
    let list: Vec<_> = words.iter().map(|(word, expected)| WaitV::new(word, *expected)).collect();
    // SAFETY: each is of a word that the caller has borrowed.
    unsafe { wait_at_all(&list, timeout) }.is_some()
}

/// Sleeps while `word` is `expected` and `last_will` is 0, up to `timeout`. A signal handler that has system calls start again
/// (SA_RESTART) does not end it. None, at once, when the kernel can't do it (Linux before 5.16).
pub(crate) fn wait_or_death(
    word: &Half,
    expected: u32,
    last_will: &Half,
    timeout: Duration,
) -> Option<Ended> {
    #[cfg(test)]
    if let Some(observer) = super::observed::observer() {
        let cells = [(word.cell(), expected), (last_will.cell(), 0)];
        return Some(observer.sleep_on(&cells, timeout));
    }
    // The one that is always 0, unless somebody has spoiled the file: it is not to keep anybody awake then. It comes last, as of two
    // that were woken the kernel tells the last.
    let list =
        [WaitV::new(word, expected), WaitV::new(last_will, last_will.load(Ordering::Relaxed))];
    // SAFETY: the two words are borrowed.
    Some(match unsafe { wait_at_all(&list, timeout) }? {
        Ok(0) => Ended::Woken,
        Ok(_) => Ended::Death,
        Err(error) => ended_by(&error),
    })
}

/// Sleeps as futex_waitv(2) does: which one was woken. None, at once, when there are too many, or the kernel can't do it.
///
/// # Safety
/// Each of `list` must be of a word that lives through the call.
unsafe fn wait_at_all(list: &[WaitV], timeout: Duration) -> Option<io::Result<usize>> {
    static MISSING: AtomicBool = AtomicBool::new(false);
    // Relaxed: it only saves asking again.
    if list.len() > MAX_WAIT_MANY || MISSING.load(Ordering::Relaxed) {
        return None;
    }
    let mut until = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime fills the timespec that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut until) };
    let nanos = until.tv_nsec + i64::from(timeout.subsec_nanos());
    until.tv_sec += timeout.as_secs().min(u32::MAX.into()) as libc::time_t + nanos / 1_000_000_000;
    until.tv_nsec = nanos % 1_000_000_000;
    // SAFETY: `list` describes live words, as the caller vouches for, that the kernel only reads; another process may change them at
    // any time. It and `until` live through the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            list.as_ptr(),
            list.len() as libc::c_uint,
            0,
            &raw const until,
            libc::CLOCK_MONOTONIC,
        )
    };
    // Whatever else it says, a filter that forbids the call for one, it will say again; but for EFAULT, which is of one word: the
    // file under it became shorter.
    if let Ok(woken) = usize::try_from(result) {
        return Some(Ok(woken));
    }
    let error = io::Error::last_os_error();
    let known = [libc::EAGAIN, libc::EINTR, libc::ETIMEDOUT, libc::EFAULT];
    if error.raw_os_error().is_some_and(|code| known.contains(&code)) {
        return Some(Err(error));
    }
    MISSING.store(true, Ordering::Relaxed);
    None
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use memmap2::MmapOptions;

    use super::*;

    #[test]
    fn a_word_whose_file_became_shorter_does_not_end_waiting_for_many_words() {
        let soon = Duration::from_millis(1);
        let good = Half::new(7);
        if !wait_many(&[(&good, 7)], soon) {
            eprintln!("this kernel has no futex_waitv");
            return;
        }
        let file: File = tempfile::tempfile().unwrap();
        let map = MmapOptions::new().len(4096).map_raw(&file).unwrap();
        // SAFETY: the address is aligned and mapped, though no memory is behind it: only the kernel looks there.
        let gone = unsafe { Half::from_ptr(map.as_mut_ptr().cast()) };
        assert!(wait_many(&[(&good, 7), (gone, 0)], soon));
        assert!(wait_many(&[(&good, 7)], soon));
    }
}
