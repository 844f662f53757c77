//! Cuts a stream of bytes into documents.

use std::fmt;

use memchr::memchr;

use super::check::Check;
use super::document::{Document, not_an_object};
use super::flaw::{Flaw, Reason};
use super::space;
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
/// A byte is looked at when it has arrived, and not again when more arrive.
pub struct DocumentStream {
    buffer: Vec<u8>,
    /// Start of what is pending in `buffer`: before or between documents, or the first byte of one.
    start: usize,
    /// Offset of the buffer's first byte in the whole stream.
    base: u64,
    /// The check of the document at `start`, when `is_open`.
    check: Check,
    is_open: bool,
    failed: Option<Failed>,
    /// Everything is dropped up to the next newline, which has not arrived yet.
    is_skipping: bool,
}

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
            buffer: Vec::new(),
            start: 0,
            base: 0,
            check: Check::new(max_bytes),
            is_open: false,
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
        if !self.is_open {
            let gap = self.buffer.get(self.start..).unwrap_or_default();
            self.start += gap.iter().take_while(|&&byte| is_gap(byte)).count();
        }
        let pending = self.buffer.get(self.start..).unwrap_or_default();
        let offset = self.base + self.start as u64;
        if !self.is_open {
            match not_an_object(pending) {
                Some(Reason::Empty) => return Ok(None),
                Some(reason) => {
                    return fail(&mut self.failed, Flaw { at: 0, reason }, pending, offset);
                }
                None => {
                    self.check.reset();
                    self.is_open = true;
                }
            }
        }
        match self.check.advance(pending) {
            Ok(None) => Ok(None),
            Ok(Some(end)) => {
                self.start += end;
                self.is_open = false;
                Ok(Some(Document::of_checked(self.check.minified(pending, end))))
            }
            Err(flaw) => fail(&mut self.failed, flaw, pending, offset),
        }
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
        !self.is_open && self.failed.is_none() && pending.iter().all(|&byte| is_gap(byte))
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
        self.is_open = false;
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
        self.is_open = false;
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

    /// Bytes of memory that it takes.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.buffer.capacity() + self.check.held_bytes()
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
        if !self.is_open && self.check.held_bytes() > KEPT_CAPACITY_BYTES {
            self.check.give_back(KEPT_CAPACITY_BYTES);
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
    space::is_space(byte) || byte == RECORD_SEPARATOR
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
        Reason::Grammar(_) if begins_record(pending, flaw.at) => Resume::At(offset),
        _ => Resume::AfterNewline(offset),
    };
    let error = flaw.into_error(pending, start);
    *failed = Some(Failed { failure, error: error.clone(), resume });
    Err(error)
}
