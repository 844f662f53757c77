//! Appending: a frame is laid out, the lock is taken, room is made, the frame is copied in and published.
//!
//! A writer may be killed between any two instructions. What it leaves is always one of two states: the message is not
//! committed, and everything it wrote lies in bytes and words that nobody looks at; or it is committed, and whole.

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::Ordering;

use super::batch::Batch;
use super::live::{Tip, plausible};
use super::local::{Local, Watches, Writing};
use super::lock::{self, Held, Watch};
use super::place::Place;
use super::ring::Ring;
use super::{Pool, sync};
use crate::error::{Error, Result};
use crate::failpoint::{self, Failpoint};
use crate::format::frame::{self, FrameHeader};
use crate::json::Document;
use crate::sys::word::fence;
use crate::types::{Bounds, Durability, MAX_SEQ, Receipt, Seq, Timestamp};

/// How much of a frame's place is prepared. Of a longer one the CPU fetches the rest by itself while the beginning is copied.
const PREPARED_BYTES: u64 = 4096;
/// A shorter one is written before its lines could have arrived.
const MIN_PREPARED_BYTES: u64 = 256;
/// A thread keeps no more memory than this for its next message with tags: for a larger one, allocating is the least of it.
const MAX_KEPT_BYTES: usize = 64 << 10;

/// One message of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The message's JSON object.
    pub document: &'a Document<'a>,
    /// Its tags.
    pub tags: &'a [&'a str],
}

impl Pool {
    /// Checks a JSON object and appends it as one message.
    ///
    /// When this returns, every reader of every process sees the message.
    ///
    /// # Errors
    /// Usage when `json` is not one JSON object in UTF-8 (with the byte offset), a tag is empty or over 255 bytes, or the
    /// message is too large for the pool; NotFound when the pool was deleted; Busy when a writer that lives keeps the
    /// lock; Permission on a read-only handle; Corrupt; Io when a sync fails.
    pub fn append<T: AsRef<str>>(
        &self,
        json: &[u8],
        tags: &[T],
        durability: Durability,
    ) -> Result<Receipt> {
        self.append_document(&Document::parse(json)?, tags, durability)
    }

    /// Appends a checked document as one message.
    ///
    /// # Errors
    /// As [`Pool::append`], but for those of JSON.
    pub fn append_document<T: AsRef<str>>(
        &self,
        document: &Document<'_>,
        tags: &[T],
        durability: Durability,
    ) -> Result<Receipt> {
        self.writable()?;
        self.prepare_place(document.as_bytes().len() as u64);
        let mut buffer = Vec::new();
        let frame = if tags.is_empty() {
            Frame::new(document.as_bytes(), 0)
        } else {
            // A thread that is ending has none.
            buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
            buffer.clear();
            let tags_len = lay_out(document, tags, &mut buffer)?;
            Frame::new(&buffer, tags_len)
        };
        self.check_size(&frame)?;
        let mut receipt = None;
        self.commit(std::iter::once(frame), durability, |r| receipt = Some(r))?;
        if (1..=MAX_KEPT_BYTES).contains(&buffer.capacity()) {
            let _ending = BUFFER.try_with(|kept| kept.set(buffer));
        }
        receipt.ok_or_else(|| Error::new(crate::ErrorKind::Internal, "an append gave no receipt"))
    }

    /// Appends many messages at once: one lock, one wake, consecutive seqs. All are checked before the first is appended; a
    /// process that is killed meanwhile leaves the first few.
    ///
    /// A batch larger than the pool is fine: its first messages make room for its last.
    ///
    /// # Errors
    /// As [`Pool::append`]; `offset` is then the index of the entry that was refused.
    pub fn append_batch(
        &self,
        entries: &[Entry<'_>],
        durability: Durability,
    ) -> Result<Vec<Receipt>> {
        self.writable()?;
        let refused = |i: usize| move |e: Error| e.with_offset(i as u64);
        // The payloads of those entries that have tags.
        let mut buffer = Vec::new();
        let mut laid_out = Vec::with_capacity(entries.len());
        for (i, Entry { document, tags }) in entries.iter().enumerate() {
            let start = buffer.len();
            let mut tags_len = 0;
            if !tags.is_empty() {
                tags_len = lay_out(document, tags, &mut buffer).map_err(refused(i))?;
            }
            laid_out.push((start..buffer.len(), tags_len));
        }
        let mut frames = Vec::with_capacity(entries.len());
        for (i, (entry, (range, tags_len))) in entries.iter().zip(laid_out).enumerate() {
            let payload = if tags_len == 0 { entry.document.as_bytes() } else { &buffer[range] };
            let frame = Frame::new(payload, tags_len);
            self.check_size(&frame).map_err(refused(i))?;
            frames.push(frame);
        }
        let mut receipts = Vec::with_capacity(frames.len());
        if !frames.is_empty() {
            self.commit(frames.into_iter(), durability, |r| receipts.push(r))?;
        }
        Ok(receipts)
    }

    /// Appends a part of a batch and adds the receipts: one lock, one wake, consecutive seqs. All of the part are checked
    /// before the first is appended.
    ///
    /// What was appended has its receipt also when there is an error, so a caller knows where to go on.
    ///
    /// # Errors
    /// As [`Pool::append_batch`]; a part that the batch does not have is empty.
    pub fn append_prepared(
        &self,
        batch: &Batch,
        part: Range<usize>,
        durability: Durability,
        receipts: &mut Vec<Receipt>,
    ) -> Result<()> {
        self.writable()?;
        let frames = batch.frames(part.clone());
        for (index, frame) in part.zip(frames.clone()) {
            self.check_size(&frame).map_err(|e| e.with_offset(index as u64))?;
        }
        if frames.len() > 0 {
            receipts.reserve(frames.len());
            self.commit(frames, durability, |r| receipts.push(r))?;
        }
        Ok(())
    }

    /// Brings the place where the next frame will lie into this CPU's cache while the checksum is computed. A hint: another
    /// writer may be faster.
    fn prepare_place(&self, data_len: u64) {
        let map = self.map();
        if data_len >= MIN_PREPARED_BYTES && lock::is_free(map.writer_lock()) {
            let newest = Seq::new(map.committed().load(Ordering::Relaxed));
            let tip = Tip::read(map, newest).filter(|tip| self.geometry().is_place(tip.tail));
            if let Some(tip) = tip {
                let bytes = (frame::HEADER_BYTES + data_len).min(PREPARED_BYTES);
                map.will_write(self.ring().file_offset(tip.tail), bytes);
            }
        }
    }

    fn check_size(&self, frame: &Frame<'_>) -> Result<()> {
        let max = self.max_message_bytes();
        if frame.payload_len() <= max {
            return Ok(());
        }
        Err(Error::usage(format!(
            "the message is too large: it takes {} bytes and the pool holds messages of up to {max}",
            frame.payload_len()
        ))
        .with_path(self.path())
        .with_hint("create the pool with a larger size"))
    }

    fn commit<'a>(
        &self,
        frames: impl ExactSizeIterator<Item = Frame<'a>> + Clone,
        durability: Durability,
        mut receive: impl FnMut(Receipt),
    ) -> Result<()> {
        let all = frames.len();
        let now = (self.0.options.clock)();
        self.check_name(now)?;
        let local = self.0.local.get()?;
        let mut last = Seq::ZERO;
        let (mut start, mut end) = (0, 0);
        let mut count = 0;
        let mut last_will = None;
        let put_all = || {
            let mut threads = match self.1 {
                None => local.writing(),
                Some(patience) => {
                    local.writing_within(patience).map_err(|e| e.with_path(self.path()))?
                }
            };
            let mut writer = Writer::lock(self, local, &mut threads)?;
            let mut tip = writer.tip()?;
            start = tip.tail;
            if durability == Durability::Flush {
                let bytes = |frame: Frame<'_>| self.geometry().frame_bytes(frame.payload_len());
                self.prepare_to_write(start, frames.clone().map(bytes).sum());
            }
            for frame in frames {
                let before_commit = || self.promise_wake(&mut last_will);
                tip = writer.put(&frame, tip, now, durability, before_commit)?;
                (last, end) = (tip.seq, tip.tail);
                count += 1;
                receive(Receipt { seq: tip.seq, time: tip.time });
            }
            Ok(())
        };
        let result: Result<()> = put_all();
        if self.map().is_poisoned() {
            return Err(self.shrunk());
        }
        failpoint::pass(Failpoint::LockFreed);
        if count > 0 {
            self.wake();
        }
        drop(last_will);
        result.map_err(|e| match count {
            0 => e,
            _ => e.after(&format!("{count} of {all} messages were appended, up to {last}")),
        })?;
        match self.check_state() {
            // It was committed before the pool was resized: so it is in the new file.
            Err(_) if self.is_resized() => {}
            state => state?,
        }
        if durability == Durability::Flush {
            self.prepare_pages(start, end);
            self.sync_up_to(local, last)?;
        }
        Ok(())
    }

    /// Asks, under the writer lock, for a sync of everything committed so far, and tells up to where that is.
    pub(super) fn set_flush_target(&self, local: &Local) -> Result<Tip> {
        let mut threads = local.writing();
        let writer = Writer::lock(self, local, &mut threads)?;
        let tip = writer.tip()?;
        self.map().flush_target().store(tip.seq.get(), Ordering::Release);
        Ok(tip)
    }
}

thread_local! {
    /// The memory in which this thread laid out its last message with tags, for its next one.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Appends to `out` the payload of a message with tags, and returns how many bytes of it are tags.
fn lay_out<T: AsRef<str>>(document: &Document<'_>, tags: &[T], out: &mut Vec<u8>) -> Result<u16> {
    let tags_len = frame::encode_tags(tags, out)?;
    out.extend_from_slice(document.as_bytes());
    Ok(tags_len)
}

/// A message before it has a place in the sequence. What can be computed before the lock is taken is here.
#[derive(Clone)]
pub(super) struct Frame<'a> {
    payload: &'a [u8],
    payload_crc: u32,
    tags_len: u16,
}

impl<'a> Frame<'a> {
    #[inline]
    fn new(payload: &'a [u8], tags_len: u16) -> Self {
        Self { payload, payload_crc: frame::crc32c(payload), tags_len }
    }

    /// Of a payload whose checksum was computed before.
    #[inline]
    pub(super) fn checked_before(payload: &'a [u8], payload_crc: u32, tags_len: u16) -> Self {
        Self { payload, payload_crc, tags_len }
    }

    fn payload_len(&self) -> u64 {
        self.payload.len() as u64
    }
}

/// The writer lock, held, with what may be done under it.
pub(super) struct Writer<'a> {
    pool: &'a Pool,
    local: &'a Local,
    ring: Ring<'a>,
    sync_watch: &'a mut Option<Watch>,
    // In this order: the lock is free before the place that it named is given back.
    _held: Option<Held<'a>>,
    _place: Place<'a>,
}

impl<'a> Writer<'a> {
    #[inline(always)]
    pub(super) fn lock(
        pool: &'a Pool,
        local: &'a Local,
        threads: &'a mut Writing<'_>,
    ) -> Result<Self> {
        let Watches { writer, sync } = &mut *threads.watches;
        let waiter = pool.waiter(local);
        let word = pool.map().writer_lock();
        let with_path = |e: Error| e.with_path(pool.path());
        let place =
            local.place.take(pool.map(), &local.file, waiter.patience).map_err(with_path)?;
        let held =
            lock::acquire(word, &place, waiter, writer, false, || false).map_err(with_path)?;
        let taken_over = held.as_ref().is_some_and(|h| h.taken_over);
        failpoint::pass(Failpoint::LockTaken);
        // A deleter that died may have removed the file and not said so.
        if taken_over {
            pool.check_alive()?
        } else {
            pool.check_state()?
        }
        Ok(Self { pool, local, ring: pool.ring(), sync_watch: sync, _held: held, _place: place })
    }

    /// What the next append goes on from.
    #[inline(always)]
    pub(super) fn tip(&self) -> Result<Tip> {
        let map = self.ring.map;
        let newest = Seq::new(map.committed().load(Ordering::Acquire));
        let oldest = Seq::new(map.oldest().load(Ordering::Relaxed));
        let bounds = Bounds { oldest, newest };
        if !plausible(bounds, self.ring.geometry) {
            return Err(self.corrupt(format!("the bounds {oldest}..={newest} can't be")));
        }
        let Some(tip) = Tip::read(map, newest) else {
            return Err(self.corrupt(format!("no tip belongs to message {newest}")));
        };
        tip.check(self.ring.geometry).map_err(|e| e.with_path(self.pool.path()))?;
        Ok(tip)
    }

    /// Makes room, copies the frame in, and publishes it.
    #[inline(always)]
    fn put(
        &mut self,
        frame: &Frame<'_>,
        tip: Tip,
        now: Timestamp,
        durability: Durability,
        before_commit: impl FnOnce(),
    ) -> Result<Tip> {
        let map = self.ring.map;
        let seq = tip.seq.next();
        if seq >= MAX_SEQ {
            return Err(
                Error::usage("the pool has given out its last seq").with_path(self.pool.path())
            );
        }
        let bytes = self.ring.geometry.frame_bytes(frame.payload_len());
        self.make_room(tip.seq, tip.tail, bytes)?;
        // Pairs with the acquire fence in `Pool::while_retained`: a reader that sees one of the stores below sees `oldest` too.
        fence(Ordering::Release);

        let header = FrameHeader {
            crc: 0,
            link: tip.link,
            seq,
            time: now.max(tip.time),
            log_before: tip.log_end % frame::LOG_MODULUS,
            tags_len: frame.tags_len,
            // `check_size` lets no more through.
            payload_len: frame.payload_len() as u32,
        };
        let (first, crc, words) = frame::begin(&header, frame.payload, frame.payload_crc);
        self.ring.store(tip.tail, &first[..words]);
        failpoint::pass(Failpoint::FrameBegun);
        if let Some(rest) = frame.payload.get(frame::FIRST_PAYLOAD..) {
            self.ring.write(self.ring.advance(tip.tail, size_of_val(&first) as u64), rest);
        }
        failpoint::pass(Failpoint::FrameCopied);
        self.ring.set_start(seq, tip.tail);
        failpoint::pass(Failpoint::SlotWritten);

        let (tag_bytes, data) = frame.payload.split_at(frame.tags_len.into());
        let line = frame::line_len(seq, tag_bytes, data.len() as u64);
        let next = Tip {
            seq,
            tail: self.ring.advance(tip.tail, bytes),
            time: header.time,
            log_end: tip.log_end.wrapping_add(line),
            link: crc,
        };
        next.write(map, tip.seq);
        failpoint::pass(Failpoint::TipWritten);
        if durability == Durability::Flush {
            map.flush_target().store(seq.get(), Ordering::Release);
            failpoint::pass(Failpoint::FlushTargetStored);
        }
        before_commit();
        // Sequentially consistent for the sake of `Pool::wake`.
        map.committed().store(seq.get(), Ordering::SeqCst);
        failpoint::pass(Failpoint::Committed);
        Ok(next)
    }

    /// Moves `oldest` on until a frame of `bytes` bytes and one slot are free behind message `newest`, which ends at `tail`.
    fn make_room(&mut self, newest: Seq, tail: u64, bytes: u64) -> Result<()> {
        let map = self.ring.map;
        let geometry = self.ring.geometry;
        let mut oldest = Seq::new(map.oldest().load(Ordering::Relaxed));
        let first = oldest;
        let mut used = self.used(oldest, newest, tail)?;
        while used + bytes > geometry.ring_bytes
            // Wrapping: another process may have made `oldest` anything since the tip was checked; the loop finds that out.
            || newest.next().get().wrapping_sub(oldest.get()) >= geometry.slots
        {
            if oldest > newest {
                return Err(self.corrupt("an empty ring has no room".into()));
            }
            oldest = oldest.next();
            let less = self.used(oldest, newest, tail)?;
            if less >= used {
                return Err(self
                    .corrupt(format!("message {oldest} lies before an older one"))
                    .with_seq(oldest));
            }
            used = less;
        }
        if oldest != first {
            sync::allow_eviction(self.pool, self.local, self.sync_watch, oldest.prev())?;
            // Release: not before the commit of the message that is evicted, which may be of the same batch.
            map.oldest().store(oldest.get(), Ordering::Release);
            failpoint::pass(Failpoint::RoomMade);
        }
        Ok(())
    }

    /// Ring bytes from message `oldest` to the tail; 0 when there is none.
    fn used(&self, oldest: Seq, newest: Seq, tail: u64) -> Result<u64> {
        if oldest > newest {
            return Ok(0);
        }
        let start = self.ring.start_of(oldest).map_err(|e| e.with_path(self.pool.path()))?;
        Ok(self.ring.distance(start, tail))
    }

    #[cold]
    fn corrupt(&self, message: String) -> Error {
        let wrong = Error::corrupt(message)
            .with_path(self.pool.path())
            .with_offset(crate::format::header::COMMITTED_SEQ_AT);
        self.pool.unless_cut(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_takes_the_lock_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.plasmite");
        let pool = Pool::create(&path, 64 << 10).unwrap();
        let acquisitions = || pool.map().writer_lock().load(Ordering::Relaxed) >> 32;
        let before = acquisitions();
        let document = Document::parse(b"{}").unwrap();
        let entries = [Entry { document: &document, tags: &[] }; 100];
        pool.append_batch(&entries, Durability::Fast).unwrap();
        assert_eq!(acquisitions() - before, 1);
        for _ in 0..100 {
            pool.append_document::<&str>(&document, &[], Durability::Fast).unwrap();
        }
        assert_eq!(acquisitions() - before, 101);
    }
}
