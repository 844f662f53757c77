//! Finding frames by themselves: by their checksums, wherever they lie.

use std::collections::HashMap;

use super::frames::{self, Whole};
use crate::pool::ring::Ring;
use crate::sys::text::TextWords;
use crate::types::{MAX_SEQ, Seq};

/// Bytes that the scan checksums for each byte of the ring, at most: places that look like long frames and are none can't keep it for
/// ever.
const BUDGET_FACTOR: u64 = 64;

/// The whole frames of a ring, by their seq. There may be several of one: what a power loss took gives its numbers back.
#[derive(Default)]
pub(super) struct Found {
    by_seq: HashMap<Seq, Vec<Whole>>,
    /// The budget was used up: there may be more.
    pub(super) incomplete: bool,
}

/// Looks at every place of the ring where a frame may start.
pub(super) fn scan(ring: Ring<'_>) -> Found {
    let mut found = Found::default();
    let mut budget = ring.geometry.ring_bytes.saturating_mul(BUDGET_FACTOR);
    let mut words = TextWords::default();
    let mut start = 0;
    while start < ring.geometry.ring_bytes {
        let mut step = ring.geometry.unit;
        // What is no header takes five words to find out, and no budget.
        if let Some(header) = ring.header_at(start)
            && header.seq > Seq::ZERO
            && header.seq < MAX_SEQ
            && u64::from(header.tags_len) <= u64::from(header.payload_len)
        {
            match budget.checked_sub(header.payload_len.into()) {
                Some(rest) => budget = rest,
                None => {
                    found.incomplete = true;
                    return found;
                }
            }
            if let Ok(whole) = frames::at(ring, header.seq, start, &mut words)
                && frames::content(ring, &whole, &words).is_none()
            {
                found.by_seq.entry(header.seq).or_default().push(whole);
                // Nothing starts inside of it; one that runs over the end is the last.
                step = whole.bytes;
            }
        }
        start += step;
    }
    found
}

impl Found {
    /// The frame of message `seq` that the message after it names; without a message after it, the latest.
    pub(super) fn before(&self, seq: Seq, next: Option<&Whole>) -> Option<Whole> {
        let candidates = self.by_seq.get(&seq)?;
        let linked = next.and_then(|n| candidates.iter().find(|c| c.header.crc == n.header.link));
        let fits = |c: &&Whole| next.is_none_or(|n| c.header.time <= n.header.time);
        linked.or_else(|| candidates.iter().filter(fits).max_by_key(|c| c.header.time)).copied()
    }

    /// All frames that may have been retained together, the newest first: from the one with the latest time back. What has a
    /// later seq and an earlier time is of an earlier life of the pool.
    pub(super) fn chain(&self) -> Vec<Whole> {
        let all = || self.by_seq.values().flatten();
        let Some(mut last) = all().max_by_key(|w| (w.header.time, w.header.seq)).copied() else {
            return Vec::new();
        };
        let mut seqs: Vec<Seq> =
            self.by_seq.keys().copied().filter(|s| *s < last.header.seq).collect();
        seqs.sort_unstable_by(|a, b| b.cmp(a));
        let mut chain = vec![last];
        for seq in seqs {
            if let Some(whole) = self.before(seq, Some(&last)) {
                chain.push(whole);
                last = whole;
            }
        }
        chain
    }
}
