//! How pages of the ring that are not in memory are brought there.
//!
//! The kernel reads ahead, and makes the pieces of its page cache larger as it goes on, up to megabytes. That is fast. But a store makes
//! all of a piece dirty, and a sync writes all that is dirty: flushes of messages of 1 KiB wrote 500 KiB each. So a handle that flushes
//! has its pages come singly, and asks for the next ones in time. (Linux, mm/filemap.c: do_sync_mmap_readahead,
//! do_async_mmap_readahead; mm/readahead.c: page_cache_ra_order.)
//!
//! In a file whose space is reserved but was never written, a sync has to note of each page that it was: with ext4, by a commit of the
//! journal, which takes as long as the page itself. So pages that are new are written once, as they are, many at a time.

use std::sync::atomic::Ordering;

use super::Pool;
use super::ring::Ring;
use crate::types::Seq;

/// For more than that at once, large pieces are faster also when all of it is flushed, and so is asking for the right to write to all
/// of its pages together.
const FEW_BYTES: u64 = 64 << 10;
/// How much is asked for at once. A power of two, for the sake of [`goes_on`].
const AHEAD_BYTES: u64 = 256 << 10;
/// The place of the last flush of a handle that has made none.
pub(super) const NO_FLUSH: u64 = u64::MAX;

impl Pool {
    /// Before `bytes` bytes from place `start` of the ring on are written for a flush. The sync before took the right to write to each
    /// page: of many it is asked back for all at once, rather than by a fault for each.
    #[inline]
    pub(super) fn prepare_to_write(&self, start: u64, bytes: u64) {
        if bytes > FEW_BYTES {
            self.ring().make_dirty(start, bytes);
        }
    }

    /// Before a sync of messages that took the ring's places from `start` to `end`: sees to it that those of the next one find their
    /// pages, in pieces that fit. A few system calls each [`AHEAD_BYTES`] of the ring, none in between.
    pub(super) fn prepare_pages(&self, start: u64, end: u64) {
        self.0.flushed.store(end, Ordering::Relaxed);
        let (map, ring) = (self.map(), self.ring());
        let singly = ring.distance(start, end) <= FEW_BYTES;
        map.fetch_singly(ring.file_offset(0), singly);
        if singly && goes_on(start, end) {
            ring.fetch(start, end);
            // The ring has not turned: nothing was ever written behind the newest message.
            if start < end && map.oldest().load(Ordering::Relaxed) == Seq::FIRST.get() {
                let new = AHEAD_BYTES.min(self.geometry().ring_bytes - end);
                map.make_dirty(ring.file_offset(end), new);
            }
        }
    }

    /// The same before a flush of what lies before place `end`. The first one of a handle only notes the place.
    pub(super) fn prepare_pages_since_last_flush(&self, end: u64) {
        match self.0.flushed.swap(end, Ordering::Relaxed) {
            NO_FLUSH => {}
            start if start == end => {}
            start => self.prepare_pages(start, end),
        }
    }
}

impl Ring<'_> {
    /// Makes the pages of `bytes` bytes from place `start` on writable, around the ring's end; at most the ring's.
    #[cold]
    fn make_dirty(&self, start: u64, bytes: u64) {
        self.pieces(start, bytes)
            .into_iter()
            .for_each(|(at, bytes)| self.map.make_dirty(at, bytes));
    }

    /// Tells the kernel that `bytes` bytes from place `start` on will be needed soon, around the ring's end; at most the ring's.
    #[cold]
    pub(super) fn will_need(&self, start: u64, bytes: u64) {
        self.pieces(start, bytes).into_iter().for_each(|(at, bytes)| self.map.will_need(at, bytes));
    }

    /// Where `bytes` bytes from place `start` on lie in the file, at most the ring's: up to the ring's end, and from its beginning on.
    fn pieces(&self, start: u64, bytes: u64) -> [(u64, u64); 2] {
        let before_end = bytes.min(self.geometry.ring_bytes - start);
        let from_begin = (bytes - before_end).min(start);
        [(self.file_offset(start), before_end), (self.file_offset(0), from_begin)]
    }

    /// Where pages come singly: asks for those of the frame of `bytes` bytes at place `start`, when they are many, and now and then for
    /// the ones behind it.
    #[inline]
    pub(super) fn fetch_ahead(&self, start: u64, bytes: u64) {
        if self.map.is_fetched_singly() {
            let end = self.advance(start, bytes);
            if bytes > FEW_BYTES || goes_on(start, end) {
                self.fetch(start, end);
            }
        }
    }

    /// Asks for the pages from place `start` to `end` and some more.
    #[cold]
    #[inline(never)]
    fn fetch(&self, start: u64, end: u64) {
        self.will_need(start, self.distance(start, end) + AHEAD_BYTES);
    }
}

/// True when a part of [`AHEAD_BYTES`] begins among the places from `start` to `end`: who came to `start` has not asked yet for what
/// lies behind `end`.
#[inline]
fn goes_on(start: u64, end: u64) -> bool {
    (start.wrapping_sub(1) ^ end.wrapping_sub(1)) / AHEAD_BYTES != 0
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::pool::Pool;
    use crate::types::{Durability, Seq};

    /// KiB of the file at `path` that a sync would have to write, as far as this process has mapped it (proc_pid_smaps(5)).
    fn dirty_kib(path: &Path) -> u64 {
        let (path, mut is_ours, mut sum) = (path.to_str().unwrap(), false, 0);
        for line in std::fs::read_to_string("/proc/self/smaps").unwrap().lines() {
            match line.split_once(": ") {
                Some(("Shared_Dirty" | "Private_Dirty", kib)) if is_ours => {
                    sum += kib.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
                }
                Some(_) => {}
                None => is_ours = line.ends_with(path),
            }
        }
        sum
    }

    #[test]
    fn many_pages_are_made_writable_at_once_around_the_rings_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.plasmite");
        let pool = Pool::create(&path, 1 << 20).unwrap();
        let text = format!("{{\"a\":\"{}\"}}", "x".repeat(1000));
        let append = |durability| {
            pool.append::<&str>(text.as_bytes(), &[], durability).unwrap();
        };
        // The first makes the kernel take pages singly.
        append(Durability::Flush);
        while pool.bounds().unwrap().oldest <= Seq::FIRST {
            append(Durability::Fast);
        }
        drop(pool);
        // Here the mapping has the file's name.
        let pool = Pool::open(&path).unwrap();
        let ring_bytes = pool.geometry().ring_bytes;
        let dirtied_by = |start, bytes| {
            pool.prepare_to_write(start, bytes);
            dirty_kib(&path)
        };
        let mut seen = [0; 4];
        let is_right = |seen: [u64; 4]| {
            let [synced, many, few, all] = seen;
            synced == 0
                && (200..=208).contains(&many)
                // A fault for each of a few is as fast.
                && few == many
                // No more than there is.
                && (ring_bytes >> 10..=(ring_bytes >> 10) + 8).contains(&all)
        };
        // Again: somebody else may have all that is dirty written at any moment.
        for _ in 0..20 {
            pool.0.local.get().unwrap().file.sync_data().unwrap();
            seen = [
                dirty_kib(&path),
                dirtied_by(ring_bytes - (100 << 10), 200 << 10),
                dirtied_by(ring_bytes / 2, 60 << 10),
                dirtied_by(ring_bytes / 2, u64::MAX),
            ];
            if is_right(seen) {
                return;
            }
        }
        // A file system in memory writes nothing: all stays dirty.
        assert!(seen[0] > 0 && seen == [seen[0]; 4], "{seen:?}");
    }
}
