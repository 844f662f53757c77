//! Messages laid out as they will lie in the pool, to be appended together.

use std::ops::Range;

use super::append::Frame;
use crate::error::Result;
use crate::format::frame;
use crate::json::Document;

/// A batch that is cleared keeps no more memory than this: one huge message must not cost it for good.
const MAX_KEPT_BYTES: usize = 1 << 20;

/// Messages on their way into a pool, in memory of its own: the documents they were made from may go.
/// [`Pool::append_prepared`](super::Pool::append_prepared) appends them.
#[derive(Debug, Default)]
pub struct Batch {
    /// The payloads, one behind the other.
    payloads: Vec<u8>,
    laid_out: Vec<LaidOut>,
}

/// What is known of a payload before the lock is taken.
#[derive(Clone, Copy, Debug)]
struct LaidOut {
    /// Where it ends; it begins where the one before it ends.
    end: usize,
    crc: u32,
    tags_len: u16,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a message at the end.
    ///
    /// # Errors
    /// Usage when a tag is empty or too long; the batch is as it was.
    pub fn push<T: AsRef<str>>(&mut self, document: &Document<'_>, tags: &[T]) -> Result<()> {
        let start = self.payloads.len();
        let tags_len = match frame::encode_tags(tags, &mut self.payloads) {
            Ok(len) => len,
            Err(error) => {
                self.payloads.truncate(start);
                return Err(error);
            }
        };
        self.payloads.extend_from_slice(document.as_bytes());
        let crc = frame::crc32c(&self.payloads[start..]);
        self.laid_out.push(LaidOut { end: self.payloads.len(), crc, tags_len });
        Ok(())
    }

    /// How many messages it holds.
    pub fn len(&self) -> usize {
        self.laid_out.len()
    }

    /// True when it holds none.
    pub fn is_empty(&self) -> bool {
        self.laid_out.is_empty()
    }

    /// The bytes of their tags and data.
    pub fn bytes(&self) -> usize {
        self.payloads.len()
    }

    /// Takes all messages out.
    pub fn clear(&mut self) {
        self.payloads.clear();
        self.payloads.shrink_to(MAX_KEPT_BYTES);
        self.laid_out.clear();
    }

    /// The frames of a part of its messages.
    pub(super) fn frames(
        &self,
        part: Range<usize>,
    ) -> impl ExactSizeIterator<Item = Frame<'_>> + Clone {
        let before = part.start.checked_sub(1).and_then(|before| self.laid_out.get(before));
        let mut start = before.map_or(0, |laid_out| laid_out.end);
        self.laid_out.get(part).unwrap_or_default().iter().map(move |laid_out| {
            let payload = &self.payloads[start..laid_out.end];
            start = laid_out.end;
            Frame::checked_before(payload, laid_out.crc, laid_out.tags_len)
        })
    }
}
