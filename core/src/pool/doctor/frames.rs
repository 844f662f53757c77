//! One frame under examination.

use std::sync::atomic::{Ordering, fence};

use super::report::Finding;
use crate::error::Error;
use crate::format::frame::{self, FrameHeader};
use crate::json::Document;
use crate::pool::ring::Ring;
use crate::sys;
use crate::sys::text::TextWords;
use crate::types::{MAX_SEQ, Seq};

/// A frame whose checksum, lengths and seq are right, and where it lies.
#[derive(Clone, Copy, Debug)]
pub(in crate::pool) struct Whole {
    pub(in crate::pool) header: FrameHeader,
    pub(in crate::pool) start: u64,
    pub(in crate::pool) end: u64,
    pub(in crate::pool) bytes: u64,
    /// `log_before` of the message after it.
    pub(in crate::pool) log_after: u64,
}

/// What came of looking at a message.
pub(in crate::pool) enum Look {
    Whole(Whole),
    /// It was overwritten, or is about to be, by a writer that goes on.
    Gone,
    Damaged(Finding),
}

/// Looks at message `seq` where the index says it is, in a pool that may be in use.
pub(in crate::pool) fn look(ring: Ring<'_>, seq: Seq, words: &mut TextWords) -> Look {
    look_at(ring, seq, ring.start_of(seq), false, words)
}

/// Looks at message `seq`, as a reader does: whatever is overtaken meanwhile is gone, not damaged. `words` gets the frame. Nothing is
/// overtaken when `still`.
pub(in crate::pool) fn look_at(
    ring: Ring<'_>,
    seq: Seq,
    start: Result<u64, Error>,
    still: bool,
    words: &mut TextWords,
) -> Look {
    // Place and frame may be of a later message, which the second look finds out.
    let slot_at = ring.geometry.slots_offset + seq.get() % ring.geometry.slots * 4;
    let found = match start {
        Ok(start) => at(ring, seq, start, words),
        Err(e) => Err(Finding::damage("index", e.message()).of(seq).at(slot_at)),
    };
    // Pairs with the release fence in `Writer::put`, as in `Pool::while_retained`.
    fence(Ordering::Acquire);
    if !still && ring.map.oldest().load(Ordering::Relaxed) > seq.get() {
        return Look::Gone;
    }
    match found {
        Ok(whole) => Look::Whole(whole),
        Err(finding) => Look::Damaged(finding),
    }
}

/// Looks at message `seq` at `start`.
pub(in crate::pool) fn at(
    ring: Ring<'_>,
    seq: Seq,
    start: u64,
    words: &mut TextWords,
) -> Result<Whole, Finding> {
    let offset = ring.file_offset(start);
    let damage = |message: String| Finding::damage("frame", message).of(seq).at(offset);
    let Some(header) = ring.read_frame(start, words) else {
        return Err(damage(format!("message {seq} has no frame where the index puts it")));
    };
    let bytes = ring.geometry.frame_bytes(header.payload_len.into());
    if bytes > ring.geometry.ring_bytes || seq == Seq::ZERO || seq >= MAX_SEQ {
        return Err(damage(format!("the frame of message {seq} can't be")));
    }
    frame::check(words.words(), &header, seq).map_err(|e| damage(e.message().to_owned()))?;
    let (tags, data) = payload(words.words(), &header);
    // Only checked tags have a line.
    let log_after = match frame::check_tags(tags) {
        Ok(()) => header.log_before + frame::line_len(seq, tags, data.len() as u64),
        Err(_) => header.log_before,
    };
    Ok(Whole {
        header,
        start,
        end: ring.advance(start, bytes),
        bytes,
        log_after: log_after % frame::LOG_MODULUS,
    })
}

/// Tags and data of a checked frame.
fn payload<'a>(words: &'a [u64], header: &FrameHeader) -> (&'a [u8], &'a [u8]) {
    let bytes = sys::bytes_of(words);
    let start = frame::HEADER_BYTES as usize;
    let payload = bytes.get(start..start + header.payload_len as usize).unwrap_or_default();
    payload.split_at_checked(header.tags_len.into()).unwrap_or_default()
}

/// What is wrong inside a frame whose checksum is right: nothing, unless it was forged or a bug wrote it.
pub(in crate::pool) fn content(
    ring: Ring<'_>,
    whole: &Whole,
    words: &TextWords,
) -> Option<Finding> {
    let seq = whole.header.seq;
    let (tags, data) = payload(words.words(), &whole.header);
    let data_start = frame::HEADER_BYTES + tags.len() as u64;
    let place = |offset: u64| ring.file_offset(ring.advance(whole.start, offset));
    if let Err(e) = frame::check_tags(tags) {
        let message = format!("message {seq}: {}", e.message());
        return Some(Finding::damage("tags", message).of(seq).at(place(frame::HEADER_BYTES)));
    }
    if let Err(e) = std::str::from_utf8(data) {
        let message = format!("the data of message {seq} is not UTF-8: {e}");
        let at = place(data_start + e.valid_up_to() as u64);
        return Some(Finding::damage("text", message).of(seq).at(at));
    }
    let (message, offset) = match Document::parse(data) {
        Ok(document) if document.as_bytes() == data => return None,
        Ok(_) => ("holds whitespace between its tokens".to_owned(), 0),
        Err(e) => (format!("is no JSON object: {}", e.message()), e.offset().unwrap_or(0)),
    };
    let at = place(data_start + offset.min(data.len() as u64));
    Some(Finding::damage("json", format!("the data of message {seq} {message}")).of(seq).at(at))
}

/// What keeps `next` from being the message after `before`.
pub(in crate::pool) fn succession(ring: Ring<'_>, before: &Whole, next: &Whole) -> Option<Finding> {
    let seq = next.header.seq;
    let (part, message) = if next.start != before.end {
        ("index", format!("message {seq} does not lie behind the message before it"))
    } else if next.header.link != before.header.crc {
        (
            "link",
            format!("message {seq} names another message before it than the one that is there"),
        )
    } else if next.header.time < before.header.time {
        (
            "order",
            format!(
                "message {seq} is of {}, earlier than the message before it, {}",
                next.header.time, before.header.time
            ),
        )
    } else if next.header.log_before != before.log_after {
        (
            "order",
            format!(
                "message {seq} is at byte {} of the log, and the message before it ends at {}",
                next.header.log_before, before.log_after
            ),
        )
    } else {
        return None;
    };
    Some(Finding::damage(part, message).of(seq).at(ring.file_offset(next.start)))
}
