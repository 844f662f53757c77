//! Cuts a stream of bytes into documents.

use std::fmt;
use std::str;

use memchr::memchr;
use serde::de::IgnoredAny;

use super::document::Document;
use super::flaw::{Flaw, Reason};
use super::prefix::Prefix;
use super::{MAX_DEPTH, scan};
use crate::error::{Error, Result};

/// The record separator of RFC 7464, which may stand between documents.
const RECORD_SEPARATOR: u8 = 0x1E;

/// Why [`DocumentStream::next`] or [`DocumentStream::finish`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The bytes can't become a JSON object any more.
    Invalid,
    /// The document has more bytes than a document may have.
    TooLarge,
    /// The input ended inside a document.
    Unfinished,
}

/// Cuts a stream of bytes that arrives in arbitrary pieces into JSON objects: JSON Lines, objects one
/// after the other, pretty-printed ones, JSON text sequences (RFC 7464).
///
/// Each byte is read a bounded number of times, however small the pieces are.
pub struct DocumentStream {
    max_bytes: u64,
    buffer: Vec<u8>,
    /// Start of what is pending in `buffer`: before or between documents, or the first byte of one.
    start: usize,
    /// Offset of the buffer's first byte in the whole stream.
    base: u64,
    /// What is known of the document at `start`.
    front: Front,
    prefix: Prefix,
    /// The next document goes through `prefix` at once: a glance reads to the end of what is pending,
    /// which after a flaw could be in vain each time.
    is_wary: bool,
    failed: Option<Failed>,
    /// Everything is dropped up to the next newline, which has not arrived yet.
    is_skipping: bool,
}

/// What is known of the document at the front of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Front {
    /// Nothing: the last one has been returned or dropped.
    Between,
    /// It was looked at as a whole, which read `spent` bytes in all, and was not finished.
    Glanced { spent: usize },
    /// It goes through the stream's [`Prefix`], in which a byte costs much more but is looked at once.
    Tracked,
}

/// How often a byte may be looked at, on average, before the document goes through the [`Prefix`].
const GLANCES: usize = 8;

/// What went wrong at the front of the stream.
#[derive(Clone, Debug)]
struct Failed {
    failure: Failure,
    error: Error,
    resume: Resume,
}

/// Where a stream goes on after a failure; offsets in the whole stream.
#[derive(Clone, Copy, Debug)]
enum Resume {
    At(u64),
    AfterNewline(u64),
}

impl DocumentStream {
    /// A stream whose documents may have up to `max_bytes` bytes each, not counting whitespace between
    /// tokens.
    pub fn new(max_bytes: u64) -> Self {
        Self {
            max_bytes,
            buffer: Vec::new(),
            start: 0,
            base: 0,
            front: Front::Between,
            prefix: Prefix::new(max_bytes),
            is_wary: false,
            failed: None,
            is_skipping: false,
        }
    }

    /// Adds bytes at the end.
    pub fn push(&mut self, bytes: &[u8]) {
        self.release();
        let bytes = if self.is_skipping { self.skip(bytes) } else { bytes };
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole object, as soon as its closing brace is there; None when more bytes are needed: then
    /// nothing but whitespace or the start of one object is pending.
    ///
    /// # Errors
    /// Usage, with the offset in the whole stream, as soon as what is pending can't become an object any
    /// more, or is too large. The same error comes again until [`DocumentStream::skip_line`] or
    /// [`DocumentStream::clear`]; [`DocumentStream::failure`] tells its sort.
    #[expect(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Document<'_>>> {
        if let Some(failed) = &self.failed {
            return Err(failed.error.clone());
        }
        if self.front == Front::Between {
            let gap = self.buffer.get(self.start..).unwrap_or_default();
            self.start += gap.iter().take_while(|&&byte| is_gap(byte)).count();
        }
        let pending = self.buffer.get(self.start..).unwrap_or_default();
        let offset = self.base + self.start as u64;
        let Some(&first) = pending.first() else { return Ok(None) };
        if first != b'{' {
            let flaw = Flaw { at: 0, reason: Reason::NotAnObject };
            return fail(&mut self.failed, flaw, pending, offset);
        }
        let mut size = None;
        if self.front != Front::Tracked {
            let spent = match self.front {
                Front::Glanced { spent } => spent + pending.len(),
                _ => pending.len(),
            };
            if !self.is_wary && spent <= GLANCES * pending.len() {
                match glance(pending, self.max_bytes) {
                    Glance::Whole { end, document } => {
                        self.start += end;
                        self.front = Front::Between;
                        return Ok(Some(document));
                    }
                    Glance::Possible => {
                        self.front = Front::Glanced { spent };
                        return Ok(None);
                    }
                    Glance::TooLarge { bytes } => size = Some(bytes),
                    Glance::Unclear => {}
                }
            }
            self.front = Front::Tracked;
            self.is_wary = false;
            self.prefix.reset();
        }
        let flaw = match self.prefix.advance(pending) {
            Ok(None) => return Ok(None),
            Ok(Some(end)) => {
                if let Some(document) = Document::check(pending.get(..end).unwrap_or_default()) {
                    self.start += end;
                    self.front = Front::Between;
                    return Ok(Some(document));
                }
                Flaw { at: end.saturating_sub(1), reason: Reason::Grammar }
            }
            Err(flaw) => flaw,
        };
        fail(&mut self.failed, flaw.with_size(size), pending, offset)
    }

    /// Call it at the end of the input, after [`DocumentStream::next`] has given None.
    ///
    /// # Errors
    /// Usage when an unfinished object is left, or the error that `next` gives.
    pub fn finish(&mut self) -> Result<()> {
        if let Some(failed) = &self.failed {
            return Err(failed.error.clone());
        }
        if self.is_idle() {
            return Ok(());
        }
        let (start, end) = (self.offset(), self.base + self.buffer.len() as u64);
        let error = Error::usage(format!(
            "invalid json: unfinished JSON object (begun at byte {start}, input ends at byte {end})"
        ))
        .with_offset(end)
        .with_hint("the end of the object is missing");
        let resume = Resume::At(end);
        self.failed = Some(Failed { failure: Failure::Unfinished, error: error.clone(), resume });
        Err(error)
    }

    /// True when nothing but whitespace is pending: the input may end here.
    pub fn is_idle(&self) -> bool {
        let pending = self.buffer.get(self.start..).unwrap_or_default();
        self.front == Front::Between
            && self.failed.is_none()
            && pending.iter().all(|&byte| is_gap(byte))
    }

    /// Why the stream has failed; None when it has not.
    pub fn failure(&self) -> Option<Failure> {
        self.failed.as_ref().map(|failed| failed.failure)
    }

    /// After an error: drops everything up to and including the newline that ends the bad record's line,
    /// now or when it arrives, and goes on behind it. A record that was cut short ends where the next one
    /// visibly begins: at a record separator, or at a `{` that is the first byte of a line. Does nothing
    /// without an error.
    pub fn skip_line(&mut self) {
        let Some(failed) = self.failed.take() else { return };
        self.front = Front::Between;
        self.is_wary = true;
        let (Resume::At(offset) | Resume::AfterNewline(offset)) = failed.resume;
        self.start = self.buffer.len().min(offset.saturating_sub(self.base) as usize);
        if let Resume::AfterNewline(_) = failed.resume {
            let pending = self.buffer.get(self.start..).unwrap_or_default();
            let newline = memchr(b'\n', pending);
            self.is_skipping = newline.is_none();
            self.start += newline.map_or(pending.len(), |newline| newline + 1);
        }
    }

    /// Drops everything that is pending, and an error. Offsets go on counting.
    pub fn clear(&mut self) {
        self.start = self.buffer.len();
        self.front = Front::Between;
        self.failed = None;
        self.is_skipping = false;
        self.release();
    }

    /// Offset in the whole stream of the first byte not yet returned in a document or skipped.
    pub fn offset(&self) -> u64 {
        self.base + self.start as u64
    }

    /// Drops bytes of `bytes` while skipping; gives those that are left.
    fn skip<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let newline = memchr(b'\n', bytes);
        let dropped = newline.map_or(bytes.len(), |newline| newline + 1);
        self.is_skipping = newline.is_none();
        self.base += dropped as u64;
        bytes.get(dropped..).unwrap_or_default()
    }

    /// Bytes of memory that the buffer takes.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// Gives back the memory of bytes that are not pending any more. Moves at most as many bytes as it
    /// drops, so all moves together are linear in the stream's length.
    fn release(&mut self) {
        if self.start >= self.buffer.len() - self.start {
            self.buffer.drain(..self.start);
            self.base += self.start as u64;
            self.start = 0;
        }
        if self.buffer.capacity() > KEPT_CAPACITY_BYTES
            && self.buffer.len() < self.buffer.capacity() / 4
        {
            self.buffer.shrink_to(KEPT_CAPACITY_BYTES);
        }
    }
}

/// Buffers larger than this are given back once they are mostly empty.
const KEPT_CAPACITY_BYTES: usize = 1 << 20;

impl fmt::Debug for DocumentStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DocumentStream")
            .field("offset", &self.offset())
            .field("pending_bytes", &(self.buffer.len() - self.start))
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// True for what may stand between documents.
pub(super) fn is_gap(byte: u8) -> bool {
    scan::is_whitespace(byte) || byte == RECORD_SEPARATOR
}

/// What one look at the pending bytes as a whole tells; they begin with `{`.
enum Glance<'a> {
    /// The document ends at `end`.
    Whole { end: usize, document: Document<'a> },
    /// It is whole and has no flaw but its size.
    TooLarge { bytes: u64 },
    /// It can still become a document.
    Possible,
    /// It needs a closer look.
    Unclear,
}

fn glance(pending: &[u8], max_bytes: u64) -> Glance<'_> {
    let mut values = serde_json::Deserializer::from_slice(pending).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => {
            let end = values.byte_offset();
            match Document::check_framed(pending.get(..end).unwrap_or_default()) {
                Some(document) if document.as_bytes().len() as u64 <= max_bytes => {
                    Glance::Whole { end, document }
                }
                Some(document) => Glance::TooLarge { bytes: document.as_bytes().len() as u64 },
                None => Glance::Unclear,
            }
        }
        Some(Err(error)) if error.is_eof() && is_plain(pending, max_bytes) => Glance::Possible,
        _ => Glance::Unclear,
    }
}

/// True when an unfinished text certainly has no flaw that serde_json leaves open: it lets an escape that
/// the end cuts short pass whatever its digits are, takes any surrogates, and doesn't look at UTF-8.
fn is_plain(unfinished: &[u8], max_bytes: u64) -> bool {
    let survey = scan::survey(unfinished);
    let is_utf8 = match str::from_utf8(unfinished) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    is_utf8
        && unfinished.len() as u64 <= max_bytes
        && survey.openings <= MAX_DEPTH
        && !(survey.has_backslash && scan::may_have_code_units(unfinished))
}

/// True when the byte at `at` shows that another record begins there, so the one before it was cut short.
fn begins_record(pending: &[u8], at: usize) -> bool {
    let around = at.checked_sub(1).and_then(|before| pending.get(before..));
    matches!(around, Some([_, RECORD_SEPARATOR, ..] | [b'\n', b'{', ..]))
}

/// Keeps what is wrong with the pending bytes, which begin at `start` in the stream, as the stream's
/// failure.
fn fail<T>(failed: &mut Option<Failed>, flaw: Flaw, pending: &[u8], start: u64) -> Result<T> {
    let failure = match flaw.reason {
        Reason::TooLarge { .. } => Failure::TooLarge,
        _ => Failure::Invalid,
    };
    let offset = start + flaw.at as u64;
    let resume = match flaw.reason {
        Reason::Grammar if begins_record(pending, flaw.at) => Resume::At(offset),
        _ => Resume::AfterNewline(offset),
    };
    let error = flaw.into_error(pending, start);
    *failed = Some(Failed { failure, error: error.clone(), resume });
    Err(error)
}
