//! Recovery: what is kept of a pool that was last used during another boot of the machine.
//!
//! After a power loss the file holds, sector by sector, any state that memory had since the last sync. Frames tell for themselves
//! whether they are whole: by their checksum, their seq, and their link to the frame before. What is kept is the unbroken run
//! of whole frames around the last message that is known to be durable; see `FORMAT.md` for why that run holds every
//! message that `flush` had promised.
//!
//! A death during recovery is harmless: until the boot's id is stored, the next to open does it all again.

use std::fs::File;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::live::Tip;
use super::ring::{Ring, Starts};
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint::{self, Failpoint};
use crate::format::frame::{self, FrameHeader};
use crate::format::header;
use crate::message::Message;
use crate::sys::clock::{self, Instant};
use crate::sys::files;
use crate::sys::ofd::{self, Byte};
use crate::sys::word::Word;
use crate::types::{Bounds, MAX_SEQ, Seq, Timestamp};

/// How often a process looks again whether another has finished recovering.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// The least time given to another process' recovery, which reads the whole ring.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many of the newest messages are tried when no promised one is there. More were not torn by one power loss.
const MAX_PROBES: u64 = 1 << 22;

/// How far before the last frame the CPU is asked for what comes next. That takes the time of some frames to come.
const CPU_AHEAD_BYTES: u64 = 4096;
/// How much the kernel is asked for at once of what is not in memory, and how far ahead: a disk is fast with some requests at work.
const PAGES_BYTES: u64 = 4 << 20;
const PAGES_AHEAD_BYTES: u64 = 4 * PAGES_BYTES;

/// What a scan of a pool found.
#[derive(Clone, Debug)]
pub(super) struct Recovered {
    pub(super) bounds: Bounds,
    pub(super) tip: Tip,
    /// The boot's id in the header when the scan was made.
    pub(super) boot_id: [u8; 16],
    /// Where messages start of which the index says something else.
    pub(super) found: Starts,
}

/// Scans without writing, for a reader that may not write.
///
/// `boot_id` is the header's, read before: once it is another, a writer has recovered the pool.
pub(super) fn survey(ring: Ring<'_>, boot_id: [u8; 16]) -> Recovered {
    Scan::new(ring, boot_id).run()
}

/// Puts the pool right, unless another process does or did.
pub(super) fn recover(
    ring: Ring<'_>,
    file: &File,
    current_boot: [u8; 16],
    patience: Duration,
) -> Result<()> {
    let fail =
        |e: std::io::Error| Error::new(ErrorKind::Io, format!("cannot recover the pool: {e}"));
    let start = Instant::now();
    while !ofd::try_lock(file, Byte::Recovery).map_err(fail)? {
        if start.elapsed() > patience.max(PATIENCE) {
            return Err(Error::new(ErrorKind::Busy, "another process is recovering the pool")
                .with_hint("try again when it is done"));
        }
        clock::sleep(LOOK_AGAIN);
    }
    let result = loop {
        match recover_alone(ring, file, current_boot) {
            // A process that is just starting a child may hold a description a moment longer than its handle.
            Err(e) if e.kind() == ErrorKind::Busy && start.elapsed() < patience => {
                clock::sleep(LOOK_AGAIN);
            }
            result => break result,
        }
    };
    ofd::unlock(file, Byte::Recovery);
    result
}

fn recover_alone(ring: Ring<'_>, file: &File, current_boot: [u8; 16]) -> Result<()> {
    let map = ring.map;
    if map.boot_id() == current_boot {
        return Ok(());
    }
    let fail =
        |e: std::io::Error| Error::new(ErrorKind::Io, format!("cannot recover the pool: {e}"));
    if ofd::any_place_held(file).map_err(fail)? {
        return Err(Error::new(
            ErrorKind::Busy,
            "the pool is in use under another boot id than this process sees",
        )
        .with_hint("use it from one kernel only"));
    }
    failpoint::pass(Failpoint::RecoveryLocked);
    let recovered = Scan::new(ring, map.boot_id()).run();
    recovered.found.store(ring);
    forget_later(ring, file, recovered.bounds, recovered.tip.tail);
    failpoint::pass(Failpoint::IndexStored);
    // The index first: the words below rely on it, and a second power loss may come at any time.
    files::sync_data(file).map_err(fail)?;
    failpoint::pass(Failpoint::IndexSynced);
    let Bounds { oldest, newest } = recovered.bounds;
    map.writer_lock().store(0, Ordering::Relaxed);
    map.sync_lock().store(0, Ordering::Relaxed);
    map.waiters().store(0, Ordering::Relaxed);
    map.last_will().store(0, Ordering::Relaxed);
    map.sync_failures().store(0, Ordering::Relaxed);
    // What this power loss undid, if the file has a name still: the state came to the disk, the directory did not.
    if !files::is_unlinked(file).map_err(fail)? {
        map.state().store(0, Ordering::Relaxed);
    }
    failpoint::pass(Failpoint::LocksCleared);
    recovered.tip.write_alone(map);
    failpoint::pass(Failpoint::TipRecovered);
    map.oldest().store(oldest.get(), Ordering::Relaxed);
    for word in [map.flush_target(), map.durable(), map.persisted()] {
        word.store(newest.get(), Ordering::Relaxed);
    }
    map.committed().store(newest.get(), Ordering::Release);
    failpoint::pass(Failpoint::BoundsRecovered);
    files::sync_data(file).map_err(fail)?;
    failpoint::pass(Failpoint::RecoverySynced);
    if map.is_poisoned() {
        return Err(Error::corrupt("the pool's file became shorter while it was recovered"));
    }
    map.set_boot_id(current_boot);
    failpoint::pass(Failpoint::BootStored);
    Ok(())
}

/// Takes their numbers from the frames that come after the run that is kept: another message will have the number of each, perhaps in the
/// same place, and if that does not reach the disk before the next power loss, this one must not be found.
///
/// All that has a header is meant, whole or not: what is missing of it may be what the other one writes.
fn forget_later(ring: Ring<'_>, file: &File, kept: Bounds, tail: u64) {
    let Ring { map, geometry } = ring;
    let mut room = geometry.ring_bytes;
    if !kept.is_empty() {
        // It is in the index by now.
        room -= ring.start_of(kept.oldest).map_or(room, |start| ring.distance(start, tail));
    }
    // The last place that a whole header has before the run.
    room = (room + geometry.unit).saturating_sub(8 * frame::HEADER_WORDS as u64);
    let before_end = (geometry.ring_bytes - tail).min(room);
    for (start, bytes) in [(tail, before_end), (0, room - before_end)] {
        let at = ring.file_offset(start);
        for data in files::data(file, at..at + bytes) {
            let first = (data.start - at).next_multiple_of(geometry.unit);
            for place in (start + first..start + (data.end - at)).step_by(geometry.unit as usize) {
                let seq = ring.file_offset(ring.advance(place, frame::SEQ_AT));
                let is_later = map.word(seq).load(Ordering::Relaxed) > kept.newest.get()
                    && ring.header_at(place).is_some_and(|header| header.seq > kept.newest);
                if is_later {
                    map.word(seq).store(0, Ordering::Relaxed);
                }
            }
        }
    }
}

/// A whole frame and its place.
#[derive(Clone, Copy)]
struct Found {
    header: FrameHeader,
    start: u64,
    end: u64,
    bytes: u64,
    line_len: u64,
}

/// Messages without a gap between them.
struct Run {
    anchor: Found,
    last: Found,
    /// Where those start of which the index says something else.
    found: Starts,
    /// Of the ring, all together.
    bytes: u64,
}

/// What is asked for ahead of frames that are read from newer to older: neither the CPU nor the kernel expects anybody to come that
/// way. After a power loss nothing is in memory.
struct Ahead<'a> {
    ring: Ring<'a>,
    /// Where it began.
    from: u64,
    /// So much before that the kernel was asked for.
    pages_bytes: u64,
}

impl Ahead<'_> {
    /// After this frame was read.
    fn ask(&mut self, frame: &Found) {
        let Ring { map, geometry } = self.ring;
        let ring_bytes = geometry.ring_bytes;
        let place = self.ring.advance(frame.start, ring_bytes.saturating_sub(CPU_AHEAD_BYTES));
        map.will_read(self.ring.file_offset(place), frame.bytes.min(CPU_AHEAD_BYTES));

        // Equal places are a whole ring apart.
        let walked = self.ring.distance(frame.start, self.from) % ring_bytes;
        while self.pages_bytes < (walked + PAGES_AHEAD_BYTES).min(ring_bytes) {
            let bytes = PAGES_BYTES.min(ring_bytes - self.pages_bytes);
            self.pages_bytes += bytes;
            let start = self.ring.advance(self.from, ring_bytes - self.pages_bytes);
            self.ring.will_need(start, bytes);
        }
    }
}

struct Scan<'a> {
    ring: Ring<'a>,
    boot_id: [u8; 16],
    message: Message,
    /// Bytes that may still be read: a forged file can't make the scan read its ring over and over.
    budget: u64,
}

impl<'a> Scan<'a> {
    fn new(ring: Ring<'a>, boot_id: [u8; 16]) -> Self {
        let budget = ring.geometry.ring_bytes.saturating_mul(4);
        Self { ring, boot_id, message: Message::default(), budget }
    }

    fn run(mut self) -> Recovered {
        let map = self.ring.map;
        let geometry = *self.ring.geometry;
        let word = |w: &Word| Seq::new(w.load(Ordering::Relaxed));
        let durable = word(map.durable()).min(MAX_SEQ.prev());
        let committed = word(map.committed()).min(MAX_SEQ.prev());
        let oldest_said = word(map.oldest()).max(Seq::FIRST);
        let said = durable.max(committed);
        let promised = self.promised(word(map.persisted()), durable);
        let Some(run) = promised.or_else(|| self.newest(committed)) else {
            return self.nothing(said);
        };
        let Run { anchor: mut first, last, mut found, bytes: mut total } = run;
        let mut oldest = first.header.seq;
        let mut count = last.header.seq.get() - oldest.get() + 1;
        if count > geometry.slots {
            // The oldest were evicted for want of slots, and nothing overwrote them.
            oldest = Seq::new(last.header.seq.get() + 1 - geometry.slots);
            found.forget_before(oldest);
        }
        let mut ahead = Ahead { ring: self.ring, from: first.start, pages_bytes: 0 };
        while count < geometry.slots && first.header.seq > oldest_said {
            ahead.ask(&first);
            let Some(before) = self.indexed(first.header.seq.prev()) else { break };
            if before.end != first.start
                || first.header.link != before.header.crc
                || total + before.bytes > geometry.ring_bytes
            {
                break;
            }
            total += before.bytes;
            count += 1;
            oldest = before.header.seq;
            first = before;
        }
        let log_low = last.header.log_before.wrapping_add(last.line_len);
        let tip = Tip {
            seq: last.header.seq,
            tail: last.end,
            time: last.header.time,
            log_end: near(self.log_reference(), log_low),
            link: last.header.crc,
        };
        let bounds = Bounds { oldest, newest: last.header.seq };
        Recovered { bounds, tip, boot_id: self.boot_id, found }
    }

    /// The run that holds every message that was promised, if one was that is still retained.
    ///
    /// While a message newer than `persisted` may have been promised, the one of that number was not overwritten
    /// (`sync::allow_eviction`), and the disk's index knows it; if there was none yet, then the first one was not. The disk's header may
    /// be older than that `persisted`, and newer than that sync: so the message is one of those from its `persisted` up to its `durable`,
    /// and all up to `durable` follow it. One before it that they follow too is as good.
    fn promised(&mut self, persisted: Seq, durable: Seq) -> Option<Run> {
        // No more messages than there are slots are retained.
        let lowest = durable.get().saturating_sub(self.ring.geometry.slots - 1);
        let mut seq = persisted.max(Seq::new(lowest)).max(Seq::FIRST);
        // The first of all is kept from before the first `durable` is stored.
        while seq <= durable.max(Seq::FIRST) {
            let mut anchor = self.indexed(seq);
            if anchor.is_none() && seq == Seq::FIRST {
                anchor = self.beginning(seq);
            }
            let Some(anchor) = anchor else {
                seq = seq.next();
                continue;
            };
            let run = self.run_from(anchor);
            if run.last.header.seq >= durable {
                return Some(run);
            }
            // Those that follow it end at the same gap.
            seq = run.last.header.seq.next();
        }
        None
    }

    /// The run around the newest whole message that the index knows: when nothing was promised.
    fn newest(&mut self, committed: Seq) -> Option<Run> {
        let probes = self.ring.geometry.slots.min(MAX_PROBES);
        let lowest = committed.get().saturating_sub(probes - 1).max(1);
        let anchor = (lowest..=committed.get()).rev().find_map(|seq| self.indexed(Seq::new(seq)));
        anchor.map(|anchor| self.run_from(anchor))
    }

    /// The first message of an empty pool: it lies at the start of the ring, and is linked to none.
    fn beginning(&mut self, seq: Seq) -> Option<Found> {
        self.frame(seq, 0).filter(|found| found.header.link == 0)
    }

    /// What follows without a gap, as far as there is room in the ring.
    fn run_from(&mut self, anchor: Found) -> Run {
        let geometry = *self.ring.geometry;
        let mut run = Run { anchor, last: anchor, found: Starts::default(), bytes: anchor.bytes };
        run.found.add(self.ring, anchor.header.seq, anchor.start);
        while run.last.header.seq.next() < MAX_SEQ
            && let Some(next) = self.frame(run.last.header.seq.next(), run.last.end)
            && next.header.link == run.last.header.crc
            && run.bytes + next.bytes <= geometry.ring_bytes
        {
            run.found.add(self.ring, next.header.seq, next.start);
            run.bytes += next.bytes;
            run.last = next;
        }
        run
    }

    /// Message `seq`, where the index says it is.
    fn indexed(&mut self, seq: Seq) -> Option<Found> {
        let start = self.ring.start_of(seq).ok()?;
        self.frame(seq, start)
    }

    /// Message `seq`, if its frame lies whole at `start`.
    fn frame(&mut self, seq: Seq, start: u64) -> Option<Found> {
        let header = self.ring.header_at(start)?;
        if header.seq != seq || seq == Seq::ZERO || seq >= MAX_SEQ {
            return None;
        }
        let bytes = self.ring.geometry.frame_bytes(header.payload_len.into());
        self.budget = self.budget.checked_sub(bytes)?;
        if bytes > self.ring.geometry.ring_bytes
            || !self.message.refill(|words| self.ring.read_frame(start, words))
        {
            return None;
        }
        self.message.check(seq).ok()?;
        let end = self.ring.advance(start, bytes);
        Some(Found { header, start, end, bytes, line_len: self.message.line_len() })
    }

    fn nothing(&self, newest: Seq) -> Recovered {
        let tip = Tip {
            seq: newest,
            tail: 0,
            time: self.tips().map(|t| t.time).max().unwrap_or_default().min(Timestamp::now()),
            log_end: self.log_reference(),
            link: 0,
        };
        let bounds = Bounds { oldest: newest.next(), newest };
        Recovered { bounds, tip, boot_id: self.boot_id, found: Starts::default() }
    }

    fn log_reference(&self) -> u64 {
        self.tips().map(|t| t.log_end).max().unwrap_or(0)
    }

    fn tips(&self) -> impl Iterator<Item = Tip> {
        [header::TIP_A_AT, header::TIP_B_AT].into_iter().filter_map(|at| {
            let seq = self.ring.map.word(at + header::TIP_SEQ).load(Ordering::Relaxed);
            (seq != header::TIP_INVALID).then(|| Tip::read(self.ring.map, Seq::new(seq))).flatten()
        })
    }
}

/// The log position whose lower 48 bits are `low`'s and that lies nearest to `reference`.
fn near(reference: u64, low: u64) -> u64 {
    let ahead = low.wrapping_sub(reference) % frame::LOG_MODULUS;
    if ahead < frame::LOG_MODULUS / 2 {
        reference.wrapping_add(ahead)
    } else {
        reference.wrapping_sub(frame::LOG_MODULUS - ahead)
    }
}
