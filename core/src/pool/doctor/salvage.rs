//! Saving what is intact of a damaged pool.
//!
//! The new pool has the damaged one's size, and every intact message in the old order with its time, tags and data. A pool has no holes in
//! its seqs, so where messages are lost the older ones move up: **the newest intact message keeps its seq**, and with it all back to the
//! first hole; before that, each lost message raises the seqs of those older than it by one. Who waits for the next message, or keeps
//! the seq of the last one read, goes on with the new pool as with the old one. (When the newest messages are lost, the next ones get
//! their seqs.)

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use serde::Serialize;

use super::frames::{self, Look, Whole};
use super::scan::{self, Found};
use crate::error::{Error, ErrorKind, Result};
use crate::format::geometry::{Geometry, HEADER_BYTES};
use crate::format::header::{
    Lineage, RING_OFFSET_AT, SIZE_BYTES_AT, SLOTS_AT, STATIC_BYTES, StaticHeader,
};
use crate::pool::create::cannot_create;
use crate::pool::live::Tip;
use crate::pool::open;
use crate::pool::rebuild::{Rebuild, dir_of};
use crate::pool::ring::Ring;
use crate::sys::files;
use crate::sys::map::Map;
use crate::sys::text::TextWords;
use crate::types::{Bounds, Seq, Timestamp};

/// So many gaps are listed; more are counted with the lost messages.
const MAX_LISTED: usize = 1000;
/// How often a pool is read that writers go around meanwhile.
const MAX_TRIES: u32 = 1000;
/// How much of a file is copied at once.
const BLOCK_BYTES: usize = 1 << 20;

/// What [`salvage()`] has done.
#[derive(Clone, Debug)]
pub struct Salvaged {
    /// The new pool.
    pub path: PathBuf,
    /// What it holds.
    pub bounds: Bounds,
    /// How many messages could not be saved, as far as their seqs tell.
    pub lost: u64,
    /// The seqs of those: first and last of each gap, the newest first.
    pub gaps: Vec<(Seq, Seq)>,
    /// How many messages have another seq than they had.
    pub renumbered: u64,
    /// The scan was given up: places that look like frames and are none, by the million, are no accident.
    pub incomplete: bool,
}

impl Salvaged {
    /// What was done as one JSON object, without a newline.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Told<'a> {
            path: std::borrow::Cow<'a, str>,
            messages: u64,
            oldest_seq: Option<u64>,
            newest_seq: Option<u64>,
            next_seq: u64,
            lost: u64,
            gaps: Vec<[u64; 2]>,
            renumbered: u64,
            incomplete: bool,
        }
        let seq = |seq: Seq| (!self.bounds.is_empty()).then_some(seq.get());
        let told = Told {
            path: self.path.to_string_lossy(),
            messages: self.bounds.count(),
            oldest_seq: seq(self.bounds.oldest),
            newest_seq: seq(self.bounds.newest),
            next_seq: self.bounds.newest.next().get(),
            lost: self.lost,
            gaps: self.gaps.iter().map(|(first, last)| [first.get(), last.get()]).collect(),
            renumbered: self.renumbered,
            incomplete: self.incomplete,
        };
        // Numbers and strings always have a JSON form.
        serde_json::to_string(&told).unwrap_or_default()
    }
}

/// Copies every intact message of the pool at `path` into a new pool at `out`, which appears when it is complete and on the disk. The
/// damaged file is only read.
///
/// When the header can't be believed, frames are found by their checksums. Then a message may come along that a dead writer had not
/// committed. Messages that had just been evicted and were not overwritten yet may come along in any case.
///
/// # Errors
/// AlreadyExists when there is something called `out`; NotFound, Permission, Io for either file; Corrupt when nothing intact is found.
pub fn salvage(path: &Path, out: &Path) -> Result<Salvaged> {
    let file = files::open(path, false).map_err(|e| open::cannot_open(path, &e))?;
    if std::fs::symlink_metadata(out).is_ok() {
        return Err(super::super::create::exists(out));
    }
    match open::read_static(&file, path) {
        Ok(header) => Source::new(&file, header.geometry, path, true)?.salvage_in_use(&file, out),
        Err(e) if e.kind() == ErrorKind::Corrupt || names_a_wrong_version(&e) => {
            without_header(&file, path, out)
        }
        Err(e) => Err(e),
    }
}

/// A version that we don't know may be a damaged version; what is a frame of ours all the same tells.
fn names_a_wrong_version(error: &Error) -> bool {
    error.kind() == ErrorKind::Usage && error.message().contains("version")
}

/// A file that no program takes for a pool. It is copied first: its parts lie where a pool of its size would have them, or of the
/// size that the header names.
fn without_header(file: &File, path: &Path, out: &Path) -> Result<Salvaged> {
    let len = file.metadata().map_err(|e| Error::io("look at the pool", path, &e))?.len();
    let mut best = None::<(u64, Source)>;
    for geometry in layouts(file, len) {
        let copy = copy_of(file, len, &geometry, out)?;
        let source = Source::new(&copy, geometry, path, false)?;
        let found = scan::scan(source.ring()).chain().len() as u64;
        if best.as_ref().is_none_or(|(most, _)| found > *most) {
            best = Some((found, source));
        }
    }
    match best {
        Some((_, source)) => source.salvage(file, out),
        None => Err(nothing(path)),
    }
}

/// The layouts that a file may have had before it was damaged.
fn layouts(file: &File, len: u64) -> Vec<Geometry> {
    let mut start = [0; STATIC_BYTES];
    let _short = file.read_at(&mut start, 0);
    let field = |at: u64| start[at as usize..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
    let mut layouts = Vec::new();
    // One damaged bit leaves two of these three as they were.
    let named = Geometry::of(field(SIZE_BYTES_AT)).ok();
    let believed = |g: &Geometry| {
        // Of a file that lost more than half, what is left lies in the last layout too.
        g.size_bytes / 2 <= len
            && (field(SLOTS_AT) == g.slots || field(RING_OFFSET_AT) == g.ring_offset)
    };
    layouts.extend(named.filter(believed));
    layouts.extend(Geometry::of(len).ok());
    // A ring that starts where the slots would: the parts of a file of another size.
    if let Ok(geometry) = Geometry::of(len) {
        let ring_bytes = (len - HEADER_BYTES) / geometry.unit * geometry.unit;
        layouts.push(Geometry { ring_offset: HEADER_BYTES, ring_bytes, ..geometry });
    }
    layouts.dedup();
    layouts
}

/// A copy of the file with the size that the layout asks for, in a file without a name beside `out`.
fn copy_of(file: &File, len: u64, geometry: &Geometry, out: &Path) -> Result<File> {
    let fail = |e: std::io::Error| Error::io("copy the damaged file", out, &e);
    let unnamed = files::unnamed(dir_of(out)).map_err(|e| cannot_create(out, len, &e))?;
    unnamed.file().set_len(geometry.size_bytes).map_err(fail)?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut at = 0;
    let end = len.min(geometry.size_bytes);
    while at < end {
        let want = (end - at).min(BLOCK_BYTES as u64) as usize;
        match file.read_at(&mut block[..want], at) {
            Ok(0) => break,
            Ok(n) => {
                unnamed.file().write_all_at(&block[..n], at).map_err(fail)?;
                at += n as u64;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            // A bad sector, perhaps: its block stays zero.
            Err(e) if e.raw_os_error() == Some(libc::EIO) => at += want as u64,
            Err(e) => return Err(fail(e)),
        }
    }
    unnamed.file().try_clone().map_err(fail)
}

struct Source {
    map: Map,
    geometry: Geometry,
    path: PathBuf,
    /// The static part of the header is right, so the live words may be too, and writers may be at work.
    has_header: bool,
}

impl Source {
    fn new(file: &File, geometry: Geometry, path: &Path, has_header: bool) -> Result<Self> {
        let map = Map::new(file, geometry.size_bytes, false)
            .map_err(|e| Error::io("map the pool into memory", path, &e))?;
        Ok(Self { map, geometry, path: path.to_owned(), has_header })
    }

    fn ring(&self) -> Ring<'_> {
        Ring { map: &self.map, geometry: &self.geometry }
    }

    /// The same when writers may be at work: they can go around a small ring while it is read, and leave nothing of what was
    /// looked for. Then there is something newer.
    fn salvage_in_use(&self, file: &File, out: &Path) -> Result<Salvaged> {
        for _ in 1..MAX_TRIES {
            let before = self.map.committed().load(Ordering::Acquire);
            match self.salvage(file, out) {
                Err(e)
                    if e.kind() == ErrorKind::Corrupt
                        && self.map.committed().load(Ordering::Acquire) != before => {}
                result => return result,
            }
        }
        self.salvage(file, out)
    }

    fn salvage(&self, file: &File, out: &Path) -> Result<Salvaged> {
        let fail = |e: std::io::Error| cannot_create(out, self.geometry.size_bytes, &e);
        let believed = self.believed();
        let found = if believed.is_some() { Found::default() } else { scan::scan(self.ring()) };
        let chain = found.chain();
        let pool_id = files::random_id().map_err(fail)?;
        let geometry = self.room_for(&chain)?;
        let header = StaticHeader {
            geometry,
            pool_id,
            created: Timestamp::now(),
            lineage: Lineage::default(),
        };
        let mut new = Rebuild::new(dir_of(out), out, header)?;
        let mut saved = Saved { incomplete: found.incomplete, ..Saved::default() };
        let mut empty = None;
        if let Some((bounds, tip)) = believed {
            self.by_index(bounds, &tip, &mut new, &mut saved);
            // No messages, by a header that can be believed: an empty pool is what there is to save.
            empty = bounds.is_empty().then_some(tip);
        } else {
            self.by_scan(&chain, &mut new, &mut saved);
        }
        if self.map.is_poisoned() {
            return Err(Error::new(ErrorKind::Busy, "the file became shorter while it was read")
                .with_path(&self.path)
                .with_hint("try again"));
        }
        let tip = match (new.bounds(), empty) {
            (Some(_), _) => new.relink()?,
            (None, Some(tip)) => Tip { tail: 0, ..tip },
            (None, None) => return Err(nothing(&self.path)),
        };
        new.finish(&tip, out)?;
        let bounds = new.bounds().unwrap_or(Bounds { oldest: tip.seq.next(), newest: tip.seq });
        // Who might not read the damaged file shall not read the new one.
        let mode = file.metadata().map_err(fail)?.mode() & 0o666;
        new.file().set_permissions(PermissionsExt::from_mode(mode)).map_err(fail)?;
        let (unnamed, _) = new.into_file();
        let file = unnamed.link(out).map_err(fail)?;
        files::sync_dir(dir_of(out), &file).map_err(fail)?;
        let Saved { lost, gaps, renumbered, incomplete, .. } = saved;
        Ok(Salvaged { path: out.to_owned(), bounds, lost, gaps, renumbered, incomplete })
    }

    /// What is retained, if the live words tell it and bear each other out.
    fn believed(&self) -> Option<(Bounds, Tip)> {
        let current = open::current_boot(&self.path).ok()?;
        if !self.has_header || self.map.boot_id() != current {
            return None;
        }
        let bounds = self.map.bounds(&self.geometry).ok()?;
        let tip = (0..100).find_map(|_| {
            let newest = self.map.bounds(&self.geometry).ok()?.newest;
            Tip::read(&self.map, newest)
        })?;
        let bounds = Bounds { newest: tip.seq, ..bounds };
        if bounds.count() > self.geometry.slots {
            return None;
        }
        if bounds.is_empty() {
            return Some((bounds, tip));
        }
        // The tip has the checksum of its message. If that is the one that is damaged, its end tells, or the message before it.
        let mut words = TextWords::default();
        let known = match frames::look(self.ring(), tip.seq, &mut words) {
            Look::Whole(whole) => whole.header.crc == tip.link && whole.end == tip.tail,
            Look::Gone => true,
            Look::Damaged(_) => self.geometry.is_place(tip.tail),
        };
        known.then_some((bounds, tip))
    }

    /// Every message that the header names: by the index, or where a scan finds it.
    fn by_index(&self, bounds: Bounds, tip: &Tip, new: &mut Rebuild, saved: &mut Saved) {
        let mut words = TextWords::default();
        let mut scanned = None::<Found>;
        let mut ended_early = false;
        saved.newest = Some(bounds.newest);
        for seq in (bounds.oldest.get()..=bounds.newest.get()).rev().map(Seq::new) {
            match frames::look(self.ring(), seq, &mut words) {
                // It is being evicted, and so is everything before it.
                Look::Gone => ended_early = true,
                Look::Whole(whole) if frames::content(self.ring(), &whole, &words).is_none() => {
                    ended_early = !saved.put(new, whole, words.words());
                }
                Look::Whole(_) | Look::Damaged(_) => {
                    let found = scanned.get_or_insert_with(|| scan::scan(self.ring()));
                    saved.incomplete |= found.incomplete;
                    let place = found.before(seq, saved.last.as_ref());
                    if let Some(whole) = place.and_then(|w| self.again(&w, &mut words)) {
                        ended_early = !saved.put(new, whole, words.words());
                    }
                }
            }
            if ended_early {
                return;
            }
        }
        if let Some(last) = saved.last {
            saved.lose(bounds.oldest, last.header.seq.prev());
        }
        self.before_oldest(bounds, tip, new, saved);
    }

    /// Messages before the oldest that are whole and linked: it may be OLDEST_SEQ that is damaged. Otherwise they had just been evicted.
    fn before_oldest(&self, bounds: Bounds, tip: &Tip, new: &mut Rebuild, saved: &mut Saved) {
        let mut words = TextWords::default();
        let (mut seq, mut end, mut link) = match saved.last {
            Some(last) if last.header.seq == bounds.oldest => {
                (last.header.seq.prev(), last.start, last.header.link)
            }
            None if bounds.is_empty() => (tip.seq, tip.tail, tip.link),
            _ => return,
        };
        while let Ok(start) = self.ring().start_of(seq)
            && let Ok(whole) = frames::at(self.ring(), seq, start, &mut words)
            && (whole.end, whole.header.crc) == (end, link)
            && frames::content(self.ring(), &whole, &words).is_none()
            && saved.put(new, whole, words.words())
        {
            (seq, end, link) = (seq.prev(), whole.start, whole.header.link);
        }
    }

    /// Every frame that there is.
    fn by_scan(&self, chain: &[Whole], new: &mut Rebuild, saved: &mut Saved) {
        let mut words = TextWords::default();
        for whole in chain {
            if let Some(whole) = self.again(whole, &mut words)
                && !saved.put(new, whole, words.words())
            {
                break;
            }
        }
    }

    /// The layout of the new pool: the old one's, or, when nothing tells that, one that holds everything that was found.
    fn room_for(&self, chain: &[Whole]) -> Result<Geometry> {
        let mut geometry = Geometry::of(self.geometry.size_bytes)?;
        let bytes: u64 = chain.iter().map(|whole| whole.bytes).sum();
        while !self.has_header
            && (bytes > geometry.ring_bytes || chain.len() as u64 > geometry.slots)
        {
            geometry = Geometry::of(geometry.size_bytes + geometry.size_bytes / 16)?;
        }
        Ok(geometry)
    }

    /// Reads a frame that was found again, into `words`.
    fn again(&self, whole: &Whole, words: &mut TextWords) -> Option<Whole> {
        let again = frames::at(self.ring(), whole.header.seq, whole.start, words).ok()?;
        (again.header.crc == whole.header.crc).then_some(again)
    }
}

fn nothing(path: &Path) -> Error {
    Error::corrupt("the file holds no intact message")
        .with_path(path)
        .with_hint("a copy of the whole file is all that helps, if there is one")
}

/// How far the salvage has come, from the newest message backwards.
#[derive(Default)]
struct Saved {
    /// The newest message that the header names.
    newest: Option<Seq>,
    last: Option<Whole>,
    lost: u64,
    gaps: Vec<(Seq, Seq)>,
    renumbered: u64,
    incomplete: bool,
}

impl Saved {
    /// False: the new pool is full.
    fn put(&mut self, new: &mut Rebuild, whole: Whole, words: &[u64]) -> bool {
        let seq = whole.header.seq;
        let given = new.bounds().map_or(seq, |bounds| bounds.oldest.prev());
        if given == Seq::ZERO || !new.push_older(words, &whole.header, given) {
            return false;
        }
        if let Some(above) = self.last.map(|last| last.header.seq.prev()).or(self.newest) {
            self.lose(seq.next(), above);
        }
        self.renumbered += u64::from(given != seq);
        self.last = Some(whole);
        true
    }

    fn lose(&mut self, first: Seq, last: Seq) {
        if first > last {
            return;
        }
        self.lost = self.lost.saturating_add(last.get() - first.get() + 1);
        if self.gaps.len() < MAX_LISTED {
            self.gaps.push((first, last));
        }
    }
}
