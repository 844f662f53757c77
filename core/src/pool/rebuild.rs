//! A new pool file made of the messages of another: for resizing and for saving what is intact.
//!
//! The file has no name while it is built, so nobody else looks at it. Messages are put in from the newest backwards, until the ring
//! is full: an older message that is evicted from the source meanwhile is one that the new pool would hold last.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::create::cannot_create;
use super::live::Tip;
use super::open::current_boot;
use super::ring::Ring;
use crate::error::{Error, Result};
use crate::format::frame::{self, FrameHeader};
use crate::format::header::StaticHeader;
use crate::sys;
use crate::sys::files::{self, Unnamed};
use crate::sys::map::Map;
use crate::sys::text::TextWords;

use crate::types::{Bounds, Seq};

pub(super) struct Rebuild {
    unnamed: Unnamed,
    map: Map,
    header: StaticHeader,
    /// Where the oldest message starts, and the next newer one will.
    head: u64,
    tail: u64,
    used: u64,
    /// None until the first message is in.
    bounds: Option<Bounds>,
}

impl Rebuild {
    /// A file in `dir` with no messages. `path` is what errors name.
    pub(super) fn new(dir: &Path, path: &Path, header: StaticHeader) -> Result<Self> {
        let size = header.geometry.size_bytes;
        let fail = |e: io::Error| cannot_create(path, size, &e);
        let unnamed = files::unnamed(dir).map_err(fail)?;
        files::reserve(unnamed.file(), size).map_err(fail)?;
        let page = header.encode_page(current_boot(path)?);
        unnamed.file().write_all_at(&page, 0).map_err(fail)?;
        let map = Map::new(unnamed.file(), size, true)
            .map_err(|e| Error::io("map the new pool into memory", path, &e))?;
        Ok(Self { unnamed, map, header, head: 0, tail: 0, used: 0, bounds: None })
    }

    fn ring(&self) -> Ring<'_> {
        Ring { map: &self.map, geometry: &self.header.geometry }
    }

    pub(super) fn file(&self) -> &std::fs::File {
        self.unnamed.file()
    }

    /// Begins anew.
    pub(super) fn clear(&mut self) {
        (self.head, self.tail, self.used, self.bounds) = (0, 0, 0, None);
    }

    /// The messages that are in.
    pub(super) fn bounds(&self) -> Option<Bounds> {
        self.bounds
    }

    /// Puts a checked frame before all others, as message `seq`, which is the one before the oldest. False: there is no room.
    pub(super) fn push_older(&mut self, words: &[u64], header: &FrameHeader, seq: Seq) -> bool {
        let geometry = self.header.geometry;
        let bytes = geometry.frame_bytes(header.payload_len.into());
        let count = self.bounds.map_or(0, Bounds::count);
        if self.used + bytes > geometry.ring_bytes || count >= geometry.slots {
            return false;
        }
        let start = (self.head + geometry.ring_bytes - bytes) % geometry.ring_bytes;
        self.ring().write(start, sys::bytes_of(words));
        self.ring().set_start(seq, start);
        self.head = start;
        self.used += bytes;
        let newest = self.bounds.map_or(seq, |b| b.newest);
        self.bounds = Some(Bounds { oldest: seq, newest });
        true
    }

    /// Puts a checked frame behind all others, as the message after the newest; the oldest ones make room. False: it is larger than
    /// the ring.
    pub(super) fn push_newer(&mut self, words: &[u64], header: &FrameHeader) -> bool {
        let geometry = self.header.geometry;
        let bytes = geometry.frame_bytes(header.payload_len.into());
        if bytes > geometry.ring_bytes {
            return false;
        }
        let seq = header.seq;
        let mut bounds = self.bounds.unwrap_or(Bounds { oldest: seq, newest: seq.prev() });
        while !bounds.is_empty()
            && (self.used + bytes > geometry.ring_bytes || bounds.count() >= geometry.slots)
        {
            // Of our own making, so it is there.
            let Some(oldest) = self.ring().header_at(self.head) else { return false };
            let gone = geometry.frame_bytes(oldest.payload_len.into());
            self.head = self.ring().advance(self.head, gone);
            self.used -= gone;
            bounds.oldest = bounds.oldest.next();
        }
        self.ring().write(self.tail, sys::bytes_of(words));
        self.ring().set_start(seq, self.tail);
        self.tail = self.ring().advance(self.tail, bytes);
        self.used += bytes;
        bounds.newest = seq;
        self.bounds = Some(bounds);
        true
    }

    /// Makes a chain of the messages, each with the seq it was put in as: their links, their places in the log, times that do not go
    /// backwards. Returns the tip.
    pub(super) fn relink(&self) -> Result<Tip> {
        let ring = self.ring();
        let lost = || Error::new(crate::ErrorKind::Internal, "a message of the new pool is gone");
        let bounds = self.bounds.ok_or_else(lost)?;
        let mut words = TextWords::default();
        let mut start = self.head;
        let mut tip = None::<Tip>;
        for seq in bounds.oldest.get()..=bounds.newest.get() {
            let was = ring.read_frame(start, &mut words).ok_or_else(lost)?;
            let payload_end = frame::HEADER_BYTES as usize + was.payload_len as usize;
            let payload =
                words.bytes().get(frame::HEADER_BYTES as usize..payload_end).ok_or_else(lost)?;
            let (tags, data) = payload.split_at_checked(was.tags_len.into()).ok_or_else(lost)?;
            let before = tip.unwrap_or(Tip {
                seq: bounds.oldest.prev(),
                tail: start,
                time: was.time,
                log_end: was.log_before,
                link: was.link,
            });
            let header = FrameHeader {
                link: before.link,
                seq: Seq::new(seq),
                time: was.time.max(before.time),
                log_before: before.log_end % frame::LOG_MODULUS,
                ..was
            };
            let (first, crc, count) = frame::begin(&header, payload, frame::crc32c(payload));
            ring.store(start, &first[..count]);
            let line = frame::line_len(header.seq, tags, data.len() as u64);
            start = ring.advance(start, self.header.geometry.frame_bytes(was.payload_len.into()));
            tip = Some(Tip {
                seq: header.seq,
                tail: start,
                time: header.time,
                log_end: before.log_end.wrapping_add(line),
                link: crc,
            });
        }
        tip.ok_or_else(lost)
    }

    /// Where the next message goes.
    pub(super) fn tail(&self) -> u64 {
        self.tail
    }

    /// Writes the live words and makes the file survive a power loss. Its messages are all durable then.
    pub(super) fn finish(&self, tip: &Tip, path: &Path) -> Result<()> {
        let oldest = self.bounds.map_or(tip.seq.next(), |b| b.oldest);
        tip.write_alone(&self.map);
        self.map.oldest().store(oldest.get(), Ordering::Relaxed);
        for word in [self.map.flush_target(), self.map.durable(), self.map.persisted()] {
            word.store(tip.seq.get(), Ordering::Relaxed);
        }
        self.map.committed().store(tip.seq.get(), Ordering::Release);
        self.sync(path)
    }

    /// Makes what is in survive a power loss, so that [`Rebuild::finish`] has less to do.
    pub(super) fn sync(&self, path: &Path) -> Result<()> {
        self.file().sync_all().map_err(|e| Error::io("write the new pool to the disk", path, &e))
    }

    /// Gives up the mapping; the file still needs a name.
    pub(super) fn into_file(self) -> (Unnamed, StaticHeader) {
        (self.unnamed, self.header)
    }
}

/// The directory that a file is in.
pub(super) fn dir_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}
