//! The live words of the header, by name.

use std::sync::atomic::Ordering;

use crate::error::{Error, Result};
use crate::failpoint::{self, Failpoint};
use crate::format::geometry::{Geometry, SLOT_BYTES};
use crate::format::header::{self, TIP_INVALID};
use crate::sys::map::Map;
use crate::sys::word::{Half, Word, fence};
use crate::types::{Bounds, Seq, Timestamp};

impl Map {
    pub(super) fn writer_lock(&self) -> &Word {
        self.word(header::WRITER_LOCK_AT)
    }

    /// The linearization point: a message is there for everyone once this word has its seq.
    ///
    /// Stored with release order after frame, slot and tip; loaded with acquire order before they are read.
    pub(super) fn committed(&self) -> &Word {
        self.word(header::COMMITTED_SEQ_AT)
    }

    /// Advanced before the bytes of older messages are overwritten; readers look at it again after they copied.
    pub(super) fn oldest(&self) -> &Word {
        self.word(header::OLDEST_SEQ_AT)
    }

    /// What readers sleep on: two marks that one may be asleep, and a count of wake-ups, which whoever wakes changes first.
    pub(super) fn waiters(&self) -> &Half {
        self.half(header::WAITERS_AT)
    }

    /// Always 0: the last will of who has still to wake the sleepers of `waiters`. Who sleeps for long sleeps on this one too.
    pub(super) fn last_will(&self) -> &Half {
        self.half(header::LAST_WILL_AT)
    }

    pub(super) fn state(&self) -> &Half {
        self.half(header::STATE_AT)
    }

    pub(super) fn sync_lock(&self) -> &Word {
        self.word(header::SYNC_LOCK_AT)
    }

    /// The newest message for which a sync was asked. Written under the writer lock, before the message is committed.
    pub(super) fn flush_target(&self) -> &Word {
        self.word(header::FLUSH_TARGET_AT)
    }

    /// The newest message that a finished sync covered.
    pub(super) fn durable(&self) -> &Word {
        self.word(header::DURABLE_SEQ_AT)
    }

    /// A value of `durable` that is itself known to be on the disk.
    pub(super) fn persisted(&self) -> &Word {
        self.word(header::PERSISTED_SEQ_AT)
    }

    /// How many syncs failed since the pool was last recovered; after the first, nothing is called durable any more.
    pub(super) fn sync_failures(&self) -> &Word {
        self.word(header::SYNC_FAILURES_AT)
    }

    /// The frame of message `seq` starts at this many units in the ring.
    pub(super) fn slot(&self, geometry: &Geometry, seq: Seq) -> &Half {
        self.slot_at(geometry, seq.get() % geometry.slots)
    }

    pub(super) fn slot_at(&self, geometry: &Geometry, index: u64) -> &Half {
        self.half(geometry.slots_offset + index * SLOT_BYTES)
    }

    pub(super) fn boot_id(&self) -> [u8; 16] {
        let mut words = [0; 2];
        self.read_words(header::BOOT_ID_AT, &mut words);
        let mut id = [0; 16];
        id.copy_from_slice(crate::sys::bytes_of(&words));
        id
    }

    pub(super) fn set_boot_id(&self, id: [u8; 16]) {
        self.write_bytes(header::BOOT_ID_AT, &id);
    }

    /// What is retained, as far as the header says. `oldest` is read first, so that a pool never looks emptier than it is.
    pub(super) fn bounds(&self, geometry: &Geometry) -> Result<Bounds> {
        let oldest = Seq::new(self.oldest().load(Ordering::Acquire));
        let newest = Seq::new(self.committed().load(Ordering::Acquire));
        let bounds = Bounds { oldest, newest };
        let gone_on = self.oldest().load(Ordering::Acquire) != oldest.get();
        if gone_on || plausible(bounds, geometry) { Ok(bounds) } else { Err(damaged(bounds)) }
    }
}

/// True when a pool of this layout can hold these messages.
pub(super) fn plausible(bounds: Bounds, geometry: &Geometry) -> bool {
    Seq::ZERO < bounds.oldest
        && bounds.oldest.get() <= bounds.newest.get().saturating_add(1)
        && bounds.newest < crate::types::MAX_SEQ
        && bounds.count() <= geometry.slots
}

#[cold]
fn damaged(bounds: Bounds) -> Error {
    Error::corrupt(format!(
        "the header's bounds oldest={} newest={} can't be",
        bounds.oldest, bounds.newest
    ))
    .with_offset(header::COMMITTED_SEQ_AT)
}

/// What the next append needs to know of the last one. Two lie in the header; the one whose seq is `committed` counts, so
/// that a writer killed while it fills in the other leaves this one whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tip {
    pub(super) seq: Seq,
    /// Where the next frame starts in the ring, in bytes.
    pub(super) tail: u64,
    pub(super) time: Timestamp,
    /// JSON Lines bytes of all messages up to this one since the pool was created.
    pub(super) log_end: u64,
    /// The checksum of the last frame.
    pub(super) link: u32,
}

impl Tip {
    /// The tip of message `seq`, if it is in the header and whole.
    // All of an append is inlined that takes or gives a tip: through memory, its fields would be stored one by one and loaded
    // two at once, which waits for the stores.
    #[inline(always)]
    pub(super) fn read(map: &Map, seq: Seq) -> Option<Self> {
        [header::TIP_A_AT, header::TIP_B_AT].into_iter().find_map(|at| {
            let found = map.word(at + header::TIP_SEQ).load(Ordering::Acquire);
            if found != seq.get() {
                return None;
            }
            let field = |offset| map.word(at + offset).load(Ordering::Relaxed);
            let tip = Self {
                seq,
                tail: field(header::TIP_TAIL),
                time: Timestamp::from_nanos(field(header::TIP_TIME)),
                log_end: field(header::TIP_LOG),
                link: field(header::TIP_LINK) as u32,
            };
            // Pairs with the release fence in `write`: a field of a later tip shows with its changed seq.
            fence(Ordering::Acquire);
            (map.word(at + header::TIP_SEQ).load(Ordering::Relaxed) == found).then_some(tip)
        })
    }

    /// Stores this tip as the only one. For recovery, which is alone.
    pub(super) fn write_alone(&self, map: &Map) {
        map.word(header::TIP_B_AT + header::TIP_SEQ).store(TIP_INVALID, Ordering::Relaxed);
        map.word(header::TIP_A_AT + header::TIP_SEQ).store(TIP_INVALID, Ordering::Relaxed);
        self.write_at(map, header::TIP_A_AT);
    }

    /// Stores this tip over the one that is not of message `current`.
    #[inline(always)]
    pub(super) fn write(&self, map: &Map, current: Seq) {
        let a_is_current =
            map.word(header::TIP_A_AT + header::TIP_SEQ).load(Ordering::Relaxed) == current.get();
        self.write_at(map, if a_is_current { header::TIP_B_AT } else { header::TIP_A_AT });
    }

    #[inline(always)]
    fn write_at(&self, map: &Map, at: u64) {
        map.word(at + header::TIP_SEQ).store(TIP_INVALID, Ordering::Relaxed);
        failpoint::pass(Failpoint::TipBegun);
        fence(Ordering::Release);
        let set = |offset, value| map.word(at + offset).store(value, Ordering::Relaxed);
        set(header::TIP_TAIL, self.tail);
        set(header::TIP_TIME, self.time.as_nanos());
        set(header::TIP_LOG, self.log_end);
        set(header::TIP_LINK, u64::from(self.link));
        map.word(at + header::TIP_SEQ).store(self.seq.get(), Ordering::Release);
    }

    /// Checks what comes from the file.
    #[inline]
    pub(super) fn check(&self, geometry: &Geometry) -> Result<()> {
        if geometry.is_place(self.tail) {
            Ok(())
        } else {
            Err(Error::corrupt(format!("the header's tail={} is not in the ring", self.tail))
                .with_offset(header::TIP_A_AT))
        }
    }
}
