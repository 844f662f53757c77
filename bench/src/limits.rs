//! The physical limits: what the machine does without Plasmite.

#![allow(unsafe_code)]

use std::fs::File;
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

/// A file mapped shared, as a ring of this many bytes.
pub(crate) struct Shared {
    start: *mut u8,
    len: usize,
}

impl Shared {
    pub(crate) fn new(file: &File, len: usize) -> Self {
        file.set_len(len as u64).unwrap();
        Self::of(file, len)
    }

    /// Of a file that has these bytes.
    pub(crate) fn of(file: &File, len: usize) -> Self {
        use std::os::fd::AsRawFd;
        // SAFETY: a new mapping of an open file; checked below.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        assert_ne!(start, libc::MAP_FAILED);
        Self { start: start.cast(), len }
    }

    /// Nanoseconds to copy `text` into the next place of the mapping, with plain memcpy.
    pub(crate) fn copy_in(&self, text: &[u8], count: u64) -> f64 {
        let places = self.len / text.len();
        let start = Instant::now();
        for n in 0..count {
            let at = (n as usize % places) * text.len();
            // SAFETY: `at + text.len()` is at most `len`.
            unsafe {
                self.start.add(at).copy_from_nonoverlapping(black_box(text).as_ptr(), text.len());
            }
        }
        each(start, count)
    }

    /// Nanoseconds to copy the next place of the mapping into `out`, with plain memcpy.
    pub(crate) fn copy_out(&self, out: &mut [u8], count: u64) -> f64 {
        let places = self.len / out.len();
        let start = Instant::now();
        for n in 0..count {
            let at = (n as usize % places) * out.len();
            let out = black_box(&mut *out);
            // SAFETY: `at + out.len()` is at most `len`, and `out` lies elsewhere.
            unsafe { out.as_mut_ptr().copy_from_nonoverlapping(self.start.add(at), out.len()) };
        }
        each(start, count)
    }

    /// The same of places at random.
    pub(crate) fn copy_out_at_random(&self, out: &mut [u8], count: u64) -> f64 {
        let places = (self.len / out.len()) as u64;
        let mut random = Random::new();
        let start = Instant::now();
        for _ in 0..count {
            let at = random.below(places) as usize * out.len();
            let out = black_box(&mut *out);
            // SAFETY: `at + out.len()` is at most `len`, and `out` lies elsewhere.
            unsafe { out.as_mut_ptr().copy_from_nonoverlapping(self.start.add(at), out.len()) };
        }
        each(start, count)
    }

    /// Copies `bytes` to byte `at`.
    pub(crate) fn put(&self, at: u64, bytes: &[u8]) {
        let at = at as usize;
        assert!(at + bytes.len() <= self.len);
        // SAFETY: inside the mapping, as just checked. Other processes copy to other places.
        unsafe { self.start.add(at).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }

    /// Reads all of it once, by a checksum.
    pub(crate) fn checksum(&self) -> u32 {
        // SAFETY: exactly the mapping, to which nobody writes while it is measured.
        crc32c::crc32c(unsafe { std::slice::from_raw_parts(self.start, self.len) })
    }

    /// Syncs what is in the file from byte `at` on, which is at the start of a page.
    pub(crate) fn sync_from(&self, at: usize) {
        assert!(at < self.len);
        // SAFETY: inside the mapping, as just checked.
        let result =
            unsafe { libc::msync(self.start.add(at).cast(), self.len - at, libc::MS_SYNC) };
        assert_eq!(result, 0);
    }

    /// The word at byte `at`.
    pub(crate) fn word_at(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at + 8 <= self.len);
        // SAFETY: inside the mapping and aligned, as just checked; the mapping lives as long as `self`.
        unsafe { AtomicU64::from_ptr(self.start.add(at).cast()) }
    }

    pub(crate) fn word(&self) -> &AtomicU32 {
        // SAFETY: the mapping starts on a page and lives as long as `self`.
        unsafe { AtomicU32::from_ptr(self.start.cast()) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `new`.
        unsafe { libc::munmap(self.start.cast(), self.len) };
    }
}

/// Numbers at random, the same ones each time (xorshift64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        Self(88_172_645_463_325_252)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

pub(crate) fn each(start: Instant, count: u64) -> f64 {
    start.elapsed().as_nanos() as f64 / count as f64
}

/// Sleeps while `word` is `expected`.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32) {
    while word.load(Ordering::Acquire) == expected {
        // SAFETY: the word outlives the call.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                word.as_ptr(),
                libc::FUTEX_WAIT,
                expected,
                std::ptr::null::<libc::timespec>(),
            );
        }
    }
}

pub(crate) fn futex_wake(word: &AtomicU32) {
    // SAFETY: the address is only a key.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}

/// Nanoseconds on CLOCK_MONOTONIC, which all processes share.
pub(crate) fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable, and every Linux has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
