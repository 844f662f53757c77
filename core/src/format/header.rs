//! The header page: a static part, written once, and live words, each on the cache line of those who use it together.

use std::path::Path;

use crate::error::{Error, Result};
use crate::format::frame;
use crate::format::geometry::{Geometry, HEADER_BYTES};
use crate::types::Timestamp;

/// The first bytes of a pool file. Like PNG's, they show a transfer that changed line ends or stripped the eighth bit.
pub(crate) const MAGIC: [u8; 8] = *b"\x89PLSMT\r\n";
/// The version of the format this code reads and writes.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// The first bytes of the pools of the `plasmite` 1.x program, which another format version follows.
const MAGIC_OF_1X: [u8; 4] = *b"PLSM";

/// Fields of the page: name, offset and bytes, as constants and as a table.
macro_rules! fields {
    ($($name:ident = $offset:literal, $bytes:literal;)*) => {
        $(pub(crate) const $name: u64 = $offset;)*
        #[cfg(test)]
        pub(crate) const FIELDS: &[(&str, u64, u64)] = &[$((stringify!($name), $offset, $bytes)),*];
    };
}

fields! {
    MAGIC_AT = 0, 8;
    FORMAT_VERSION_AT = 8, 4;
    HEADER_BYTES_AT = 12, 4;
    SIZE_BYTES_AT = 16, 8;
    SLOTS_OFFSET_AT = 24, 8;
    SLOTS_AT = 32, 8;
    RING_OFFSET_AT = 40, 8;
    RING_BYTES_AT = 48, 8;
    UNIT_AT = 56, 4;
    RESERVED_AT = 60, 4;
    POOL_ID_AT = 64, 16;
    CREATED_AT = 80, 8;
    STATIC_CRC_AT = 88, 4;
    RESIZES_AT = 96, 8;
    FORMER_FILES_AT = 104, 128;
    WRITER_LOCK_AT = 512, 8;
    COMMITTED_SEQ_AT = 576, 8;
    OLDEST_SEQ_AT = 584, 8;
    WAITERS_AT = 592, 4;
    STATE_AT = 596, 4;
    LAST_WILL_AT = 600, 4;
    TIP_A_AT = 640, 40;
    TIP_B_AT = 704, 40;
    SYNC_LOCK_AT = 768, 8;
    FLUSH_TARGET_AT = 776, 8;
    DURABLE_SEQ_AT = 784, 8;
    PERSISTED_SEQ_AT = 792, 8;
    SYNC_FAILURES_AT = 800, 8;
    BOOT_ID_AT = 832, 16;
    PARTICIPANTS_AT = 1024, 3072;
}

/// Offsets inside a tip.
pub(crate) const TIP_SEQ: u64 = 0;
pub(crate) const TIP_TAIL: u64 = 8;
pub(crate) const TIP_TIME: u64 = 16;
pub(crate) const TIP_LOG: u64 = 24;
pub(crate) const TIP_LINK: u64 = 32;
/// The seq of a tip that is being written, or was never written.
pub(crate) const TIP_INVALID: u64 = u64::MAX;

/// Bytes of a participant: pid and pid namespace (4 bytes each), start time (8 bytes).
pub(crate) const PARTICIPANT_BYTES: u64 = 16;
/// How many writers can hold a place at once.
pub(crate) const PARTICIPANTS: u32 = (3072 / PARTICIPANT_BYTES) as u32;

/// `state` of a pool that was deleted; a live one has 0.
pub(crate) const STATE_DELETED: u32 = 1;
/// `state` of the file of a pool that was resized: the pool goes on in another file under its name.
pub(crate) const STATE_RESIZED: u32 = 2;

/// Bytes at the start of the file that [`StaticHeader::decode`] wants to see.
pub(crate) const STATIC_BYTES: usize = 232;

/// The part of the header that never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StaticHeader {
    pub(crate) geometry: Geometry,
    pub(crate) pool_id: [u8; 16],
    pub(crate) created: Timestamp,
    pub(crate) lineage: Lineage,
}

/// How many files that a pool has been in before are known of the one that it is in.
const FORMER_FILES: usize = 8;

/// A file while someone has it open: device and inode number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// The files that the pool was in before it was resized. It tells the file that a pool goes on in from a copy of the pool, which
/// has its id too.
///
/// No checksum covers it: a damaged one names no file that anybody has open, but for one in 2¹²⁸.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lineage {
    resizes: u64,
    /// The last one first.
    former: [FileId; FORMER_FILES],
}

impl Lineage {
    /// Of the file that takes the place of `file`, which has this one.
    pub(crate) fn after(&self, file: FileId) -> Self {
        let mut former = self.former;
        former.rotate_right(1);
        former[0] = file;
        Self { resizes: self.resizes.wrapping_add(1), former }
    }

    /// True when as many files are known as there can be.
    pub(crate) fn is_plausible(&self) -> bool {
        let known = |i: usize| self.resizes > i as u64;
        self.former.iter().enumerate().all(|(i, file)| known(i) == (file.inode != 0))
    }

    /// True when `file`, which has the lineage `earlier`, was resized, and that again perhaps, until it was the file with this one.
    pub(crate) fn comes_from(&self, file: FileId, earlier: &Self) -> bool {
        let since = self.resizes.wrapping_sub(earlier.resizes);
        // Counted, for the numbers of inodes are used again: a copy has its own file's past.
        usize::try_from(since.wrapping_sub(1)).ok().and_then(|i| self.former.get(i)) == Some(&file)
    }
}

impl StaticHeader {
    /// The whole header page of a new, empty pool.
    pub(crate) fn encode_page(&self, boot_id: [u8; 16]) -> Vec<u8> {
        let g = &self.geometry;
        let mut page = vec![0; HEADER_BYTES as usize];
        let mut put = |at: u64, bytes: &[u8]| {
            page[at as usize..][..bytes.len()].copy_from_slice(bytes);
        };
        put(MAGIC_AT, &MAGIC);
        put(FORMAT_VERSION_AT, &FORMAT_VERSION.to_le_bytes());
        put(HEADER_BYTES_AT, &(HEADER_BYTES as u32).to_le_bytes());
        put(SIZE_BYTES_AT, &g.size_bytes.to_le_bytes());
        put(SLOTS_OFFSET_AT, &g.slots_offset.to_le_bytes());
        put(SLOTS_AT, &g.slots.to_le_bytes());
        put(RING_OFFSET_AT, &g.ring_offset.to_le_bytes());
        put(RING_BYTES_AT, &g.ring_bytes.to_le_bytes());
        put(UNIT_AT, &(g.unit as u32).to_le_bytes());
        put(POOL_ID_AT, &self.pool_id);
        put(CREATED_AT, &self.created.as_nanos().to_le_bytes());
        put(RESIZES_AT, &self.lineage.resizes.to_le_bytes());
        for (at, file) in (FORMER_FILES_AT..).step_by(16).zip(&self.lineage.former) {
            put(at, &file.device.to_le_bytes());
            put(at + 8, &file.inode.to_le_bytes());
        }
        put(OLDEST_SEQ_AT, &1u64.to_le_bytes());
        put(TIP_B_AT + TIP_SEQ, &TIP_INVALID.to_le_bytes());
        put(BOOT_ID_AT, &boot_id);
        let crc = frame::crc32c(&page[..STATIC_CRC_AT as usize]);
        page[STATIC_CRC_AT as usize..][..4].copy_from_slice(&crc.to_le_bytes());
        page
    }

    /// Reads the static part of a file that has `file_bytes` bytes and starts with `start`.
    ///
    /// # Errors
    /// Corrupt when it is no pool or a damaged one, Usage when it is a pool of another format version.
    pub(crate) fn decode(start: &[u8], file_bytes: u64, path: &Path) -> Result<Self> {
        let corrupt = |message: String, offset: u64| {
            Err(Error::corrupt(message).with_path(path).with_offset(offset))
        };
        if start.starts_with(&MAGIC_OF_1X) && start.len() >= 8 {
            let version = u32_at(start, 4);
            return Err(Error::usage(format!(
                "the file is a pool of plasmite 1.x (format {version}); this program reads format {FORMAT_VERSION} only"
            ))
            .with_path(path)
            .with_hint("read it with plasmite 1.x and feed its messages into a new pool"));
        }
        if !start.starts_with(&MAGIC) {
            let what = if file_bytes == 0 { "is empty" } else { "does not start like a pool" };
            return Err(Error::corrupt(format!(
                "the file is no pool: it {what} (size={file_bytes})"
            ))
            .with_path(path)
            .with_offset(0)
            .with_hint(
                "move it elsewhere if it is something else, or delete it, and create the pool",
            ));
        }
        if start.len() < STATIC_BYTES {
            return corrupt(format!("the pool is cut short: size={file_bytes}"), file_bytes);
        }
        let version = u32_at(start, FORMAT_VERSION_AT);
        if version != FORMAT_VERSION {
            return Err(Error::usage(format!(
                "the pool has format version {version}; this program reads version {FORMAT_VERSION}"
            ))
            .with_path(path)
            .with_hint("use the version of Plasmite that made it, or a newer one"));
        }
        let crc = frame::crc32c(&start[..STATIC_CRC_AT as usize]);
        if crc != u32_at(start, STATIC_CRC_AT) {
            return corrupt("the header's checksum is wrong".into(), STATIC_CRC_AT);
        }
        let size_bytes = u64_at(start, SIZE_BYTES_AT);
        if size_bytes != file_bytes {
            return corrupt(
                format!("the pool was made with size={size_bytes} and now has size={file_bytes}"),
                size_bytes.min(file_bytes),
            );
        }
        let found = Geometry {
            size_bytes,
            slots_offset: u64_at(start, SLOTS_OFFSET_AT),
            slots: u64_at(start, SLOTS_AT),
            ring_offset: u64_at(start, RING_OFFSET_AT),
            ring_bytes: u64_at(start, RING_BYTES_AT),
            unit: u32_at(start, UNIT_AT).into(),
        };
        match Geometry::of(size_bytes) {
            Ok(geometry)
                if geometry == found
                    && u64::from(u32_at(start, HEADER_BYTES_AT)) == HEADER_BYTES
                    && u32_at(start, RESERVED_AT) == 0 => {}
            _ => return corrupt("the header's layout fits no pool".into(), SLOTS_OFFSET_AT),
        }
        let mut pool_id = [0; 16];
        pool_id.copy_from_slice(&start[POOL_ID_AT as usize..][..16]);
        let created = Timestamp::from_nanos(u64_at(start, CREATED_AT));
        let mut lineage = Lineage { resizes: u64_at(start, RESIZES_AT), ..Lineage::default() };
        for (at, file) in (FORMER_FILES_AT..).step_by(16).zip(&mut lineage.former) {
            *file = FileId { device: u64_at(start, at), inode: u64_at(start, at + 8) };
        }
        Ok(Self { geometry: found, pool_id, created, lineage })
    }
}

fn u32_at(bytes: &[u8], at: u64) -> u32 {
    bytes[at as usize..].first_chunk().map_or(0, |b| u32::from_le_bytes(*b))
}

fn u64_at(bytes: &[u8], at: u64) -> u64 {
    bytes[at as usize..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b))
}
