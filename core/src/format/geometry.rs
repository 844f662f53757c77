//! Where the parts of a pool file lie. Everything follows from the file's size.

use crate::error::{Error, Result};
use crate::format::frame;

/// Bytes of the header page.
pub(crate) const HEADER_BYTES: u64 = 4096;
/// Ring bytes for each slot of the index: a pool of smaller messages is bounded by its slots, one of larger by its ring.
const RING_BYTES_PER_SLOT: u64 = 64;
/// Bytes of a slot.
pub(crate) const SLOT_BYTES: u64 = 4;
/// The smallest pool, in bytes: the header page, and a ring for a few dozen small messages.
pub(crate) const MIN_POOL_BYTES: u64 = 8192;
/// The largest pool, in bytes: 8 TiB.
pub(crate) const MAX_POOL_BYTES: u64 = 1 << 43;

/// The layout of a pool file of a certain size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) size_bytes: u64,
    pub(crate) slots_offset: u64,
    pub(crate) slots: u64,
    pub(crate) ring_offset: u64,
    pub(crate) ring_bytes: u64,
    /// A slot holds a frame's place in the ring in units of this many bytes; also the alignment of frames. A power of two.
    pub(crate) unit: u64,
}

impl Geometry {
    /// The layout of a file of `size_bytes` bytes.
    ///
    /// # Errors
    /// Usage when the size is outside `MIN_POOL_BYTES..=MAX_POOL_BYTES`.
    pub(crate) fn of(size_bytes: u64) -> Result<Self> {
        if !(MIN_POOL_BYTES..=MAX_POOL_BYTES).contains(&size_bytes) {
            return Err(Error::usage(format!("a pool can't have size_bytes={size_bytes}"))
                .with_hint(format!(
                    "the smallest pool has {MIN_POOL_BYTES} bytes, the largest {MAX_POOL_BYTES}"
                )));
        }
        let mut unit = frame::ALIGN;
        while size_bytes / unit > u64::from(u32::MAX) {
            unit *= 2;
        }
        let body = size_bytes - HEADER_BYTES;
        // Slots and ring share the body; the ring starts on a cache line of its own.
        let slots = body / (RING_BYTES_PER_SLOT + SLOT_BYTES);
        let ring_offset = (HEADER_BYTES + slots * SLOT_BYTES).next_multiple_of(64);
        let ring_bytes = (size_bytes - ring_offset) / unit * unit;
        Ok(Self { size_bytes, slots_offset: HEADER_BYTES, slots, ring_offset, ring_bytes, unit })
    }

    /// The size of the smallest pool, of whole pages, that holds a message with this payload.
    pub(crate) fn smallest_for(payload_len: u64) -> Option<u64> {
        let slots_share = payload_len / RING_BYTES_PER_SLOT * SLOT_BYTES;
        let about = (HEADER_BYTES + slots_share + payload_len) / HEADER_BYTES * HEADER_BYTES;
        let from = about.max(MIN_POOL_BYTES);
        (from..=MAX_POOL_BYTES).step_by(HEADER_BYTES as usize).take(100).find(|size| {
            Self::of(*size).is_ok_and(|geometry| geometry.max_payload() >= payload_len)
        })
    }

    /// The bytes a frame with this payload takes.
    pub(crate) fn frame_bytes(&self, payload_len: u64) -> u64 {
        (frame::HEADER_BYTES + payload_len + (self.unit - 1)) & !(self.unit - 1)
    }

    /// True for a place in the ring where a frame may start.
    pub(crate) fn is_place(&self, start: u64) -> bool {
        start < self.ring_bytes && start & (self.unit - 1) == 0
    }

    /// A place in the ring as a slot holds it.
    pub(crate) fn units(&self, start: u64) -> u32 {
        (start >> self.unit.trailing_zeros()) as u32
    }

    /// The largest payload (tags and data) of one message.
    pub(crate) fn max_payload(&self) -> u64 {
        (self.ring_bytes - frame::HEADER_BYTES).min(u64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_overlap_and_fill_the_file() {
        let sizes = (MIN_POOL_BYTES..MIN_POOL_BYTES + 5000)
            .step_by(7)
            .chain((13..=43).flat_map(|p| [1u64 << p, (1 << p) + 4095]))
            .filter(|s| *s <= MAX_POOL_BYTES);
        for size in sizes {
            let g = Geometry::of(size).unwrap();
            assert!(g.slots_offset + g.slots * SLOT_BYTES <= g.ring_offset, "{g:?}");
            assert!(g.ring_offset + g.ring_bytes <= size, "{g:?}");
            assert!(size - (g.ring_offset + g.ring_bytes) < g.unit, "{g:?}");
            assert!(g.ring_bytes / g.unit <= u64::from(u32::MAX), "{g:?}");
            assert!(g.slots > 0 && g.ring_bytes.is_multiple_of(8), "{g:?}");
        }
    }

    #[test]
    fn a_default_pool_holds_one_message_of_93_percent_of_its_size() {
        let g = Geometry::of(1 << 20).unwrap();
        assert!(g.max_payload() * 100 >= g.size_bytes * 93, "{g:?}");
    }

    #[test]
    fn sizes_out_of_range_name_the_limits() {
        for size in [0, 1, MIN_POOL_BYTES - 1, MAX_POOL_BYTES + 1, u64::MAX] {
            let text = Geometry::of(size).unwrap_err().to_string();
            assert!(text.contains("8192") && text.contains(&size.to_string()), "{text}");
        }
    }
}
