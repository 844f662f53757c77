//! How pages of the ring that are not in memory are brought there.
//!
//! The kernel reads ahead, and makes the pieces of its page cache larger as it goes on, up to megabytes. That is fast. But a store makes
//! all of a piece dirty, and a sync writes all that is dirty: flushes of messages of 1 KiB wrote 500 KiB each. So where messages are
//! flushed, pages come singly, and who goes on from one to the next asks for them in time. (Linux, mm/filemap.c: do_sync_mmap_readahead,
//! do_async_mmap_readahead; mm/readahead.c: page_cache_ra_order.)
//!
//! In a file whose space is reserved but was never written, a sync has to note of each page that it was: with ext4, by a commit of the
//! journal, which takes as long as the page itself. So pages that are new are written once, as they are, many at a time.

use std::sync::atomic::Ordering;

use super::Pool;
use super::ring::Ring;
use crate::types::{Durability, Seq};

/// For more than that at once, large pieces are faster also when all of it is flushed.
const FEW_BYTES: u64 = 64 << 10;
/// How much is asked for at once.
const AHEAD_BYTES: u64 = 256 << 10;

impl Pool {
    /// After an append that took the ring's places from `start` to `end`: sees to it that the next one finds its pages, in pieces that
    /// fit how the pool is used. Costs nothing most of the time.
    #[inline]
    pub(super) fn prepare_pages(&self, start: u64, end: u64, durability: Durability) {
        if durability == Durability::Flush || goes_on(start, end) {
            self.choose_pages(start, end);
        }
    }

    #[cold]
    #[inline(never)]
    fn choose_pages(&self, start: u64, end: u64) {
        let (map, ring) = (self.map(), self.ring());
        let oldest = map.oldest().load(Ordering::Relaxed);
        let is_flushed = map.flush_target().load(Ordering::Relaxed) >= oldest;
        let singly = is_flushed && ring.distance(start, end) <= FEW_BYTES;
        map.fetch_singly(singly);
        if singly && goes_on(start, end) {
            ring.fetch(start, end);
            if oldest == Seq::FIRST.get() {
                let new = AHEAD_BYTES.min(self.geometry().ring_bytes - end);
                map.make_dirty(ring.file_offset(end), new);
            }
        }
    }
}

impl Ring<'_> {
    /// Where pages come singly: asks for the next ones, now and then, for who has got the frame of `bytes` bytes at place `start` and
    /// goes on.
    #[inline]
    pub(super) fn fetch_ahead(&self, start: u64, bytes: u64) {
        if self.map.is_fetched_singly() {
            let end = self.advance(start, bytes);
            if goes_on(start, end) {
                self.fetch(start, end);
            }
        }
    }

    /// Asks for the pages from place `start` to `end` and some more.
    #[cold]
    #[inline(never)]
    fn fetch(&self, start: u64, end: u64) {
        let ring_bytes = self.geometry.ring_bytes;
        let ahead = start + self.distance(start, end) + AHEAD_BYTES;
        self.map.will_need(self.file_offset(start), ahead.min(ring_bytes) - start);
        self.map.will_need(self.file_offset(0), ahead.saturating_sub(ring_bytes));
    }
}

/// True when a part of [`AHEAD_BYTES`] begins among the places from `start` to `end`: who came to `start` has not asked yet for what
/// lies behind `end`.
#[inline]
fn goes_on(start: u64, end: u64) -> bool {
    (start.wrapping_sub(1) ^ end.wrapping_sub(1)) / AHEAD_BYTES != 0
}
