//! The examination of a pool that may be in use.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::frames::{self, Look, Whole};
use super::report::{Finding, Report};
use crate::error::{Error, ErrorKind, Result};
use crate::format::frame;
use crate::format::header::{self, STATE_DELETED, StaticHeader};
use crate::pool::live::{self, Tip};
use crate::pool::ring::{Ring, Starts};
use crate::pool::{lock, open, recover, resize};
use crate::sys::files;
use crate::sys::map::Map;
use crate::sys::text::TextWords;
use crate::types::{Bounds, Seq};

/// How often an examination starts again because the pool was replaced or recovered meanwhile.
const TRIES: u32 = 20;
/// How often, and how long apart, a tip that is not there is looked for, before it is taken for missing: the stores of a writer
/// that goes on may be seen out of their order for a moment.
const TIP_LOOKS: u32 = 20;
const TIP_PAUSE: Duration = Duration::from_millis(1);

/// Bytes of the header page that are zero in this version of the format: no field has them, or LAST_WILL.
const RESERVED: [std::ops::Range<u64>; 8] =
    [92..96, 232..512, 520..576, 600..640, 680..704, 744..768, 808..832, 848..1024];

/// Examines the pool at `path`, which may be in use. Read permission is enough, and nothing is changed.
///
/// # Errors
/// NotFound, Permission and Io when the file can't be read; Usage for something that is no file or is a pool of another format
/// version; Busy when it is replaced or recovered again and again meanwhile. Damage is no error: it is in the report.
pub fn check(path: &Path) -> Result<Report> {
    for _ in 0..TRIES {
        let file = files::open(path, false).map_err(|e| open::cannot_open(path, &e))?;
        if let Some(report) = Exam::start(path, &file)? {
            return Ok(report);
        }
        thread::sleep(TIP_PAUSE);
    }
    Err(Error::new(ErrorKind::Busy, "the pool is replaced or recovered again and again")
        .with_path(path)
        .with_hint("try again"))
}

struct Exam<'a> {
    ring: Ring<'a>,
    /// Where messages start of which the index will know once the pool is recovered.
    found: Starts,
    report: Report,
    words: TextWords,
    /// Nobody writes: the pool was not recovered since the last boot.
    still: bool,
}

impl<'a> Exam<'a> {
    /// None: another file took its place, or it was recovered; start again.
    fn start(path: &Path, file: &File) -> Result<Option<Report>> {
        let metadata = file.metadata().map_err(|e| Error::io("look at the pool", path, &e))?;
        let mut report = Report::new(path.to_owned(), metadata.len());
        let header = match open::read_static(file, path) {
            Ok(header) => header,
            Err(e) => match header_damage(file, &e) {
                Some(finding) => {
                    report.add(finding);
                    return Ok(Some(report));
                }
                None => return Err(e),
            },
        };
        surroundings(path, &metadata, &mut report);
        let boot_id = open::current_boot(path)?;
        let map = Map::new(file, header.geometry.size_bytes, false)
            .map_err(|e| Error::io("map the pool into memory", path, &e))?;
        let ring = Ring { map: &map, geometry: &header.geometry };
        report.ring_bytes = header.geometry.ring_bytes;
        let found = map.boot_id();
        let still = found != boot_id;
        let mut exam =
            Exam { ring, found: Starts::default(), report, words: TextWords::default(), still };
        exam.state(file);
        exam.locks();
        exam.reserved(&header.lineage);
        if still {
            exam.unrecovered(found);
        } else {
            exam.live_words();
        }
        let Exam { mut report, .. } = exam;
        if map.is_poisoned() {
            // Whatever was read since may have been zeros.
            let size = file.metadata().map_or(0, |m| m.len());
            report = Report::new(path.to_owned(), size);
            report.add(
                Finding::damage(
                    "size",
                    format!(
                        "the file became shorter while it was examined: size={size}, made with {}",
                        header.geometry.size_bytes
                    ),
                )
                .at(size),
            );
            return Ok(Some(report));
        }
        let same = map.boot_id() == found && !files::is_unlinked(file).unwrap_or(false);
        Ok(same.then_some(report))
    }

    fn state(&mut self, file: &File) {
        let state = self.ring.map.state().load(Ordering::Acquire);
        let known = state == STATE_DELETED || state == header::STATE_RESIZED;
        // Only ever stored once the last name is gone; then the examination starts again with what has the name now.
        if state != 0 && !(known && files::is_unlinked(file).unwrap_or(true)) {
            let message = format!("the header says state={state}, and the file has its name");
            self.report.add(Finding::damage("state", message).at(header::STATE_AT));
        }
    }

    fn locks(&mut self) {
        for (word, at) in [
            (self.ring.map.writer_lock(), header::WRITER_LOCK_AT),
            (self.ring.map.sync_lock(), header::SYNC_LOCK_AT),
        ] {
            if let Some(place) = lock::impossible_place(word) {
                let message =
                    format!("the lock names place {place}, and there are {}", header::PARTICIPANTS);
                self.report.add(Finding::damage("lock", message).at(at));
            }
        }
    }

    fn reserved(&mut self, lineage: &header::Lineage) {
        for at in RESERVED.iter().flat_map(|range| range.clone().step_by(4)) {
            if self.ring.map.half(at).load(Ordering::Relaxed) != 0 {
                let message = "bytes that this version of the format does not use are not zero";
                self.report.add(Finding::remark("reserved", message).at(at));
                return;
            }
        }
        if !lineage.is_plausible() {
            let message = "the files that the pool was in before it was resized can't be";
            self.report.add(Finding::remark("lineage", message).at(header::RESIZES_AT));
        }
    }

    /// A pool of this boot.
    fn live_words(&mut self) {
        self.durability();
        let bounds = match self.ring.map.bounds(self.ring.geometry) {
            Ok(bounds) => bounds,
            Err(e) => {
                let finding = Finding::damage("bounds", e.message());
                self.report.add(finding.at(header::COMMITTED_SEQ_AT));
                return;
            }
        };
        // Read later, so the tip is of the same message or a newer one; of one that the bounds can't reach when the writers are far ahead.
        let tip = self.tip();
        let up_to_tip = tip.map(|tip| Bounds { newest: tip.seq.max(bounds.newest), ..bounds });
        let bounds =
            up_to_tip.filter(|b| live::plausible(*b, self.ring.geometry)).unwrap_or(bounds);
        let tip = tip.filter(|tip| tip.seq == bounds.newest);
        self.report.bounds = Some(bounds);
        let (first, last) = self.frames(bounds);
        if let Some(tip) = tip {
            self.compare_tip(tip, last);
        }
        self.look_before_oldest(bounds, tip, first);
    }

    /// The tip of the newest message, as of some moment.
    fn tip(&mut self) -> Option<Tip> {
        let map = self.ring.map;
        let mut looks = 0;
        let mut seen = None;
        while looks < TIP_LOOKS {
            let committed = Seq::new(map.committed().load(Ordering::Acquire));
            if let Some(tip) = Tip::read(map, committed) {
                return Some(tip);
            }
            // A writer that goes on starts the count anew.
            looks = if seen == Some(committed) { looks + 1 } else { 0 };
            seen = Some(committed);
            thread::sleep(TIP_PAUSE);
        }
        let committed = seen.unwrap_or_default();
        let message = format!("no tip belongs to the newest message, {committed}");
        self.report.add(Finding::damage("tip", message).of(committed).at(header::TIP_A_AT));
        None
    }

    /// Examines each retained message; returns the oldest and the newest one, if they were found whole.
    fn frames(&mut self, bounds: Bounds) -> (Option<Whole>, Option<Whole>) {
        let (mut first, mut before) = (None, None::<Whole>);
        let mut seq = bounds.oldest;
        while seq <= bounds.newest {
            let start = self.found.start_of(self.ring, seq);
            match frames::look_at(self.ring, seq, start, self.still, &mut self.words) {
                Look::Gone => {
                    // So is everything before what is retained now.
                    let oldest = Seq::new(self.ring.map.oldest().load(Ordering::Acquire));
                    (first, before) = (None, None);
                    seq = oldest.max(seq.next());
                    continue;
                }
                Look::Damaged(finding) => {
                    self.report.add(finding);
                    before = None;
                }
                Look::Whole(whole) => {
                    self.report.intact += 1;
                    self.report.used_bytes += whole.bytes;
                    let content = frames::content(self.ring, &whole, &self.words);
                    let succession =
                        before.and_then(|before| frames::succession(self.ring, &before, &whole));
                    [content, succession].into_iter().flatten().for_each(|f| self.report.add(f));
                    if seq == bounds.oldest {
                        first = Some(whole);
                    }
                    before = Some(whole);
                }
            }
            seq = seq.next();
        }
        (first, before.filter(|last| last.header.seq == bounds.newest))
    }

    /// The next append goes on from the tip: it must be that of the newest message.
    fn compare_tip(&mut self, tip: Tip, last: Option<Whole>) {
        let at = |offset| {
            let a = self.ring.map.word(header::TIP_A_AT).load(Ordering::Relaxed);
            offset + if a == tip.seq.get() { header::TIP_A_AT } else { header::TIP_B_AT }
        };
        let mut wrong = Vec::new();
        if !self.ring.geometry.is_place(tip.tail) {
            let message = format!("the tip's tail={} is no place in the ring", tip.tail);
            wrong.push((message, header::TIP_TAIL));
        }
        if let Some(last) = last {
            if tip.tail != last.end {
                let message =
                    format!("the tip's tail={}, and the message ends at {}", tip.tail, last.end);
                wrong.push((message, header::TIP_TAIL));
            }
            if tip.time != last.header.time {
                let message =
                    format!("the tip's time is {}, the message's {}", tip.time, last.header.time);
                wrong.push((message, header::TIP_TIME));
            }
            if tip.link != last.header.crc || self.tip_has_a_longer_link(at(0), tip) {
                let message = "the tip's checksum is not that of the message".to_owned();
                wrong.push((message, header::TIP_LINK));
            }
            if tip.log_end % frame::LOG_MODULUS != last.log_after {
                let message = format!(
                    "the tip ends the log at {}, the message at {} modulo 2^48",
                    tip.log_end, last.log_after
                );
                wrong.push((message, header::TIP_LOG));
            }
        }
        // No line is longer than six times the longest payload and what stands around it.
        let longest = 6 * (1_u128 << 32) + 200;
        if u128::from(tip.log_end) > longest * u128::from(tip.seq.get()) {
            let message = format!(
                "the tip's log_end={} is more than {} messages can have",
                tip.log_end, tip.seq
            );
            wrong.push((message, header::TIP_LOG));
        }
        let findings: Vec<_> = wrong
            .into_iter()
            .map(|(message, offset)| Finding::damage("tip", message).of(tip.seq).at(at(offset)))
            .collect();
        // Compared once each: the first that is wrong of a field tells it.
        let mut told = None;
        for finding in findings {
            if told != finding.offset {
                told = finding.offset;
                self.report.add(finding);
            }
        }
    }

    /// The checksum is in the low half of its word, and the upper half is zero.
    fn tip_has_a_longer_link(&self, at: u64, tip: Tip) -> bool {
        let word = |offset| self.ring.map.word(at + offset).load(Ordering::SeqCst);
        let upper = word(header::TIP_LINK) >> 32;
        // It may be a later tip by now.
        word(header::TIP_SEQ) == tip.seq.get() && upper != 0
    }

    /// A message before the oldest that is whole, with room for it, is no damage: a writer that died while it made room leaves that. It is
    /// all that tells of an OLDEST_SEQ that was changed, though.
    fn look_before_oldest(&mut self, bounds: Bounds, tip: Option<Tip>, first: Option<Whole>) {
        let seq = bounds.oldest.prev();
        let Some(tip) = tip.filter(|_| seq > Seq::ZERO) else { return };
        let ring = self.ring;
        let (end, link) = match first {
            Some(first) => (first.start, first.header.link),
            None if bounds.is_empty() => (tip.tail, tip.link),
            None => return,
        };
        let Ok(start) = ring.start_of(seq) else { return };
        let Ok(whole) = frames::at(ring, seq, start, &mut self.words) else { return };
        let now = |word: &crate::sys::word::Word| Seq::new(word.load(Ordering::Acquire));
        // A writer that is at it, or died in it and was not replaced yet, explains everything.
        let quiet = lock::is_free(ring.map.writer_lock())
            && now(ring.map.oldest()) == bounds.oldest
            && now(ring.map.committed()) == tip.seq;
        if quiet
            && (whole.end, whole.header.crc) == (end, link)
            && self.report.used_bytes + whole.bytes <= ring.geometry.ring_bytes
            && bounds.count() < ring.geometry.slots
        {
            let message = format!(
                "message {seq} is whole, and the header says that {} is the oldest: a writer that died while it made room leaves that, and so \
                 does a header that something else changed",
                bounds.oldest
            );
            self.report.add(Finding::remark("bounds", message).of(seq).at(header::OLDEST_SEQ_AT));
        }
    }

    /// Each word is at most the one after it, which is loaded later and never falls.
    fn durability(&mut self) {
        let map = self.ring.map;
        let words = [
            ("PERSISTED_SEQ", map.persisted(), header::PERSISTED_SEQ_AT),
            ("DURABLE_SEQ", map.durable(), header::DURABLE_SEQ_AT),
            ("FLUSH_TARGET", map.flush_target(), header::FLUSH_TARGET_AT),
        ]
        .map(|(name, word, at)| (name, word.load(Ordering::SeqCst), at));
        let committed = map.committed().load(Ordering::SeqCst);
        // A writer stores its target before it commits.
        let limits = [words[1].1, words[2].1, committed.saturating_add(1)];
        for ((name, value, at), limit) in words.into_iter().zip(limits) {
            if value > limit {
                let message =
                    format!("the header says {name}={value}, and it can't be above {limit}");
                self.report.add(Finding::damage("durability", message).at(at));
            }
        }
        let failures = map.sync_failures().load(Ordering::Acquire);
        if failures > 0 {
            let message = format!(
                "{failures} sync(s) failed since the machine was started: nothing appended since is known to survive a power loss"
            );
            self.report.add(Finding::remark("sync", message).at(header::SYNC_FAILURES_AT));
        }
    }

    /// A pool that nobody opened for writing since the machine was started: what its recovery will keep counts. What it will not keep may
    /// be what the power loss tore.
    fn unrecovered(&mut self, boot_id: [u8; 16]) {
        let map = self.ring.map;
        let recovered = recover::survey(self.ring, boot_id);
        let bounds = recovered.bounds;
        self.report.bounds = Some(bounds);
        self.found = recovered.found;
        self.frames(bounds);
        let (oldest, newest, durable) = (
            map.oldest().load(Ordering::Relaxed),
            map.committed().load(Ordering::Relaxed),
            map.durable().load(Ordering::Relaxed),
        );
        let kept = if bounds.is_empty() {
            "no message".to_owned()
        } else {
            format!("messages {} to {}", bounds.oldest, bounds.newest)
        };
        let message = format!(
            "nobody has written to the pool since the machine was started: who opens it next recovers it and keeps {kept}; the header names \
             {oldest} to {newest}"
        );
        self.report.add(Finding::remark("recovery", message).at(header::BOOT_ID_AT));
        let lost = bounds.newest.next();
        if durable >= lost.get() {
            let message = format!(
                "messages {lost} to {durable} are not whole, and the header says that they were on the disk"
            );
            let finding = Finding::damage("durability", message).of(lost);
            self.report.add(finding.at(header::DURABLE_SEQ_AT));
        }
    }
}

/// The damage behind an error of reading the header; None when it is another error.
fn header_damage(file: &File, error: &Error) -> Option<Finding> {
    let size = file.metadata().map_or(0, |m| m.len());
    let offset = error.offset().unwrap_or(0);
    if error.kind() == ErrorKind::Corrupt {
        let part = if error.message().contains("size=") && offset > 0 { "size" } else { "header" };
        return Some(Finding::damage(part, error.message()).at(offset));
    }
    // Another version? Not if everything else is a header of this one.
    let mut start = [0; header::STATIC_BYTES];
    if error.kind() != ErrorKind::Usage || file.read_exact_at(&mut start, 0).is_err() {
        return None;
    }
    let at = header::FORMAT_VERSION_AT as usize;
    let said = start[at..].first_chunk().map(|b| u32::from_le_bytes(*b)).unwrap_or_default();
    start[at..at + 4].copy_from_slice(&header::FORMAT_VERSION.to_le_bytes());
    StaticHeader::decode(&start, size, Path::new("")).ok()?;
    let message = format!(
        "the header says version {said}, and its checksum that it is of version {}",
        header::FORMAT_VERSION
    );
    Some(Finding::damage("header", message).at(header::FORMAT_VERSION_AT))
}

/// What is worth a remark about the file and its directory.
fn surroundings(path: &Path, metadata: &std::fs::Metadata, report: &mut Report) {
    const ANYONE_WRITES: u32 = 0o002;
    const STICKY: u32 = 0o1000;
    if metadata.mode() & ANYONE_WRITES != 0 {
        let message = format!(
            "any user of this machine may write to the file (mode {:o}): chmod o-w",
            metadata.mode() & 0o7777
        );
        report.add(Finding::remark("permissions", message));
    }
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        _ => PathBuf::from("."),
    };
    if let Ok(above) = std::fs::metadata(&dir)
        && above.mode() & ANYONE_WRITES != 0
        && above.mode() & STICKY == 0
    {
        let message = format!(
            "any user of this machine may remove or replace the file (its directory has mode {:o}): chmod o-w",
            above.mode() & 0o7777
        );
        report.add(Finding::remark("permissions", message));
    }
    if metadata.blocks() * 512 < metadata.len() {
        let message = format!(
            "only {} of {} bytes are reserved on the disk: if it fills up, appends fail as if the file were cut short; copy it with \
             cp --sparse=never, or resize it",
            metadata.blocks() * 512,
            metadata.len()
        );
        report.add(Finding::remark("space", message));
    }
    let unfinished = dir.join(resize::unfinished_name(metadata.ino()));
    if unfinished.exists() {
        let message = format!(
            "{} is what a resize that was interrupted left; the next one removes it",
            unfinished.display()
        );
        report.add(Finding::remark("leftover", message));
    }
}
