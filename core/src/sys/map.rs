//! The shared mapping of a pool file. Everything in it may be changed by another process at any time, so it is only ever
//! touched through atomics; no Rust reference to plain memory in it exists.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use super::copy;
use super::sigbus::Region;
use super::text::TextWords;
use super::word::{Half, Word};
use crate::format::geometry;

/// The kernel fetches no more than this at one request on every disk (`force_page_cache_ra` in Linux, mm/readahead.c).
const REQUEST_BYTES: u64 = 128 << 10;

/// A pool file in memory.
#[derive(Debug)]
pub(crate) struct Map {
    /// Never shorter than the header page: see [`Map::check`].
    raw: MmapRaw,
    region: &'static Region,
    /// See [`Map::fetch_singly`].
    is_fetched_singly: AtomicBool,
}

impl Map {
    /// Maps the first `bytes` bytes of the file. A file that is shorter is no danger: see [`Map::is_poisoned`].
    ///
    /// # Errors
    /// Those of mmap(2), and one for less than the header page.
    pub(crate) fn new(file: &File, bytes: u64, writable: bool) -> io::Result<Self> {
        if bytes < geometry::HEADER_BYTES {
            return Err(io::Error::other("a mapping has the header page at least"));
        }
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        let mut options = MmapOptions::new();
        options.len(bytes);
        let raw =
            if writable { options.map_raw(file)? } else { options.map_raw_read_only(file)? };
        let region = Region::guard(raw.as_ptr() as usize, raw.len(), writable);
        #[cfg(test)]
        if let Some(observer) = super::observed::observer() {
            observer.mapped(raw.as_ptr() as usize, raw.len());
        }
        Ok(Self { raw, region, is_fetched_singly: AtomicBool::new(false) })
    }

    /// True once the file was found shorter than the mapping: nothing read or written since can be trusted.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.region.is_poisoned()
    }

    /// Says how the kernel brings pages from the one of byte `at` on into memory that are used here and not there yet: `singly`, or, as at
    /// first, many ahead, in pieces that grow. Costs a system call when it changes.
    ///
    /// The mapping becomes two for the kernel, and a sync that reaches over both would be two: `at` is where [`Map::sync_from`] starts.
    pub(crate) fn fetch_singly(&self, at: u64, singly: bool) {
        if self.is_fetched_singly.swap(singly, Ordering::Relaxed) != singly {
            let advice = if singly { libc::MADV_RANDOM } else { libc::MADV_NORMAL };
            self.advise(at, self.raw.len() as u64, advice);
        }
    }

    /// True when pages come singly: who needs many is faster with [`Map::will_need`].
    #[inline]
    pub(crate) fn is_fetched_singly(&self) -> bool {
        self.is_fetched_singly.load(Ordering::Relaxed)
    }

    /// Tells the kernel that `bytes` bytes from `at` on will be needed soon, so that it fetches what is not in memory, all at once
    /// and without making the caller wait.
    pub(crate) fn will_need(&self, at: u64, bytes: u64) {
        let end = at.saturating_add(bytes).min(self.raw.len() as u64);
        for at in (at..end).step_by(REQUEST_BYTES as usize) {
            self.advise(at, REQUEST_BYTES.min(end - at), libc::MADV_WILLNEED);
        }
    }

    /// Has the pages of `bytes` bytes from `at` on written by the next sync, as if something had been stored there.
    pub(crate) fn make_dirty(&self, at: u64, bytes: u64) {
        // Unlike a store it fails where the file system has no room. Since Linux 5.14; before, nothing happens.
        self.advise(at, bytes, libc::MADV_POPULATE_WRITE);
    }

    /// A hint about the pages of `bytes` bytes from `at` on. What is outside the mapping is ignored.
    fn advise(&self, at: u64, bytes: u64, advice: libc::c_int) {
        // SAFETY: sysconf(3) reads no memory of ours.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.max(1) as u64;
        let end = at.saturating_add(bytes).min(self.raw.len() as u64);
        let start = at - at % page;
        if at < end {
            // SAFETY: the range is inside our mapping; the callers' advice changes no content (madvise(2)).
            unsafe {
                let from = self.raw.as_mut_ptr().add(start as usize);
                libc::madvise(from.cast(), (end - start) as usize, advice);
            }
        }
    }

    /// Takes the mapping's pages out of this process' resident memory; the next access brings them back from the page cache.
    pub(crate) fn release_pages(&self) {
        // SAFETY: the range is exactly our mapping. For a shared file mapping MADV_DONTNEED loses nothing (madvise(2));
        // a poisoned one holds zeros and gets zeros.
        unsafe {
            libc::madvise(self.raw.as_mut_ptr().cast(), self.raw.len(), libc::MADV_DONTNEED);
        }
    }

    /// Makes what the file holds from the page of byte `at` on survive power loss, however it was written; what lies before may stay
    /// behind. Of that, the kernel writes nothing, and no process has to ask it again for the right to write there.
    pub(crate) fn sync_from(&self, at: u64) -> io::Result<()> {
        let at = usize::try_from(at).map_err(io::Error::other)?;
        #[cfg(test)]
        if let Some(observer) = super::observed::observer() {
            return observer.sync(at);
        }
        // msync(2) with MS_SYNC is an fdatasync(2) of a part of the file.
        self.raw.flush_range(at, self.raw.len().saturating_sub(at))
    }

    /// The word at byte `at`, which is a multiple of 8 inside the mapping.
    #[inline]
    pub(crate) fn word(&self, at: u64) -> &Word {
        self.check(at, 8, 8);
        // SAFETY: inside the mapping and aligned, as just checked; the mapping lives as long as the borrow; other processes
        // change the word by atomic instructions or, if hostile, by others, which yields some value and nothing worse.
        unsafe { Word::from_ptr(self.raw.as_mut_ptr().add(at as usize).cast()) }
    }

    /// The half word at byte `at`, which is a multiple of 4 inside the mapping.
    #[inline]
    pub(crate) fn half(&self, at: u64) -> &Half {
        self.check(at, 4, 4);
        // SAFETY: as in `word`.
        unsafe { Half::from_ptr(self.raw.as_mut_ptr().add(at as usize).cast()) }
    }

    /// Copies words out, starting at byte `at` (a multiple of 8). Relaxed: the caller orders and checks.
    pub(crate) fn read_words(&self, at: u64, out: &mut [u64]) {
        self.copy_words(at, out);
    }

    /// The same into words of a text, which learns whether they are ASCII.
    pub(crate) fn read_text(&self, at: u64, out: &mut TextWords, words: Range<usize>) {
        out.copy(words, |out| self.copy_words(at, out));
    }

    /// Copies words out. True: every byte of the copy is ASCII.
    fn copy_words(&self, at: u64, out: &mut [u64]) -> bool {
        self.check(at, out.len() as u64 * 8, 8);
        #[cfg(test)]
        if super::observed::observer().is_some() {
            let word = |i| self.word(at + 8 * i as u64).load(Ordering::Relaxed);
            out.iter_mut().enumerate().for_each(|(i, out)| *out = word(i));
            return super::bytes_of(out).is_ascii();
        }
        // SAFETY: the range is inside the mapping and aligned, as just checked; the other is a slice of our own.
        unsafe {
            let from = self.raw.as_ptr().add(at as usize).cast();
            copy::copy_out(from, out.as_mut_ptr(), out.len())
        }
    }

    /// Stores words from byte `at` (a multiple of 8) on. Relaxed: the caller orders and publishes.
    #[inline]
    pub(crate) fn store_words(&self, at: u64, words: &[u64]) {
        self.check(at, words.len() as u64 * 8, 8);
        // SAFETY: the range is inside the mapping and aligned, as just checked.
        let first = unsafe { self.raw.as_mut_ptr().add(at as usize).cast::<u64>() };
        for (i, word) in words.iter().enumerate() {
            // SAFETY: of that range; and as in `word`.
            unsafe { Word::from_ptr(first.add(i)) }.store(*word, Ordering::Relaxed);
        }
    }

    /// Copies bytes in, starting at byte `at` (a multiple of 8). What is left of the last word becomes zero. Relaxed: the
    /// caller orders and publishes.
    #[inline]
    pub(crate) fn write_bytes(&self, at: u64, bytes: &[u8]) {
        self.check(at, (bytes.len() as u64).next_multiple_of(8), 8);
        #[cfg(test)]
        if super::observed::observer().is_some() {
            return self.store_words(at, &super::words_of(bytes));
        }
        // SAFETY: the range is inside the mapping and aligned, as just checked; the other is a slice of our own. A mapping
        // that is written to was made writable, or the handle had refused before.
        unsafe {
            let to = self.raw.as_mut_ptr().add(at as usize).cast();
            copy::copy_in(bytes.as_ptr(), to, bytes.len());
        }
    }

    /// Tells the CPU that `bytes` bytes from `at` on will be written soon. A hint: places outside the mapping are ignored.
    #[inline]
    pub(crate) fn will_write(&self, at: u64, bytes: u64) {
        self.lines(at, bytes).for_each(copy::prefetch_to_write);
    }

    /// Tells the CPU that `bytes` bytes from `at` on will be read soon. A hint: places outside the mapping are ignored.
    #[inline]
    pub(crate) fn will_read(&self, at: u64, bytes: u64) {
        self.lines(at, bytes).for_each(copy::prefetch_to_read);
    }

    /// An address in each cache line of `bytes` bytes from `at` on, as far as they are in the mapping.
    #[inline]
    fn lines(&self, at: u64, bytes: u64) -> impl Iterator<Item = *const u8> {
        let end = at.saturating_add(bytes).min(self.raw.len() as u64);
        (at..end).step_by(64).map(|line| self.raw.as_ptr().wrapping_add(line as usize))
    }

    /// Ends the process' trust in itself rather than touch memory outside the mapping. The callers compute `at` from the
    /// geometry, which is checked when the pool is opened, and from values they check; so this never fires.
    #[inline]
    fn check(&self, at: u64, bytes: u64, align: u64) {
        let end = at.checked_add(bytes);
        // A place in the header page is known when this is compiled, and then nothing is left of the check.
        let is_outside = |end| end > geometry::HEADER_BYTES && end > self.raw.len() as u64;
        if !at.is_multiple_of(align) || end.is_none_or(is_outside) {
            outside(at);
        }
    }
}

#[cold]
#[inline(never)]
#[expect(clippy::panic, reason = "see Map::check")]
fn outside(at: u64) -> ! {
    panic!("byte {at} is outside the mapping")
}

impl Drop for Map {
    fn drop(&mut self) {
        self.region.release();
    }
}
