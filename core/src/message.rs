//! A message as readers get it, and its envelope as JSON text.

use crate::error::{Error, Result};
use crate::format::frame::{self, FrameHeader};
use crate::json::Document;
use crate::sys::text::TextWords;
use crate::types::{Receipt, Seq, Timestamp};

/// One message, copied out of its pool: it stays what it is while the pool goes on.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The frame as it lies in the file. Its text is the data.
    frame: TextWords,
    header: FrameHeader,
}

impl Message {
    /// The message's number in its pool.
    pub fn seq(&self) -> Seq {
        self.header.seq
    }

    /// When it was appended; never earlier than the message before it.
    pub fn time(&self) -> Timestamp {
        self.header.time
    }

    /// The tags, in the order the writer gave them, duplicates kept.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        frame::tags(self.tag_bytes())
    }

    /// True when every one of `wanted` is among the tags.
    pub fn has_tags<T: AsRef<str>>(&self, wanted: &[T]) -> bool {
        wanted.iter().all(|tag| self.tags().any(|t| t == tag.as_ref()))
    }

    /// The JSON object the writer gave, without whitespace between its tokens.
    pub fn data(&self) -> &str {
        self.frame.text()
    }

    /// How many JSON Lines bytes ([`Message::line_len`]) were appended before this message since the pool
    /// was created, modulo 2⁴⁸.
    pub fn log_before(&self) -> u64 {
        self.header.log_before
    }

    /// The bytes of this message's JSON line, its newline included.
    pub fn line_len(&self) -> u64 {
        frame::line_len(self.seq(), self.tag_bytes(), self.data().len() as u64)
    }

    /// The envelope `{"seq":…,"time":…,"meta":{"tags":[…]},"data":…}`, without a newline.
    pub fn to_json(&self) -> String {
        let mut text = String::with_capacity(self.line_len() as usize);
        self.write_json(&mut text);
        text
    }

    /// Appends the envelope to `out`, without a newline.
    pub fn write_json(&self, out: &mut String) {
        write_head(out, Receipt { seq: self.seq(), time: self.time() });
        write_tags(out, self.tags());
        out.push_str(BEFORE_DATA);
        out.push_str(self.data());
        out.push('}');
    }

    /// Appends the envelope and a newline to `out`: [`Message::line_len`] bytes.
    pub fn write_line(&self, out: &mut String) {
        self.write_json(out);
        out.push('\n');
    }

    /// Replaces the frame: `copy` changes its words and gives its header, if there can be one. The message is empty until it
    /// is checked.
    pub(crate) fn refill(
        &mut self,
        copy: impl FnOnce(&mut TextWords) -> Option<FrameHeader>,
    ) -> bool {
        let header = copy(&mut self.frame);
        self.header = header.unwrap_or_default();
        header.is_some()
    }

    /// Checks the frame; used by the reader once the copy is known to be whole.
    pub(crate) fn check(&mut self, seq: Seq) -> Result<()> {
        let payload = frame::check(self.frame.words(), &self.header, seq)?;
        let data = payload.start + usize::from(self.header.tags_len)..payload.end;
        frame::check_tags(self.tag_bytes())?;
        self.frame
            .check(data)
            .map_err(|e| Error::corrupt(format!("the data of the message is not UTF-8: {e}")))
    }

    fn tag_bytes(&self) -> &[u8] {
        let start = frame::HEADER_BYTES as usize;
        self.frame.bytes().get(start..start + usize::from(self.header.tags_len)).unwrap_or_default()
    }
}

/// What stands between the tags and the data.
const BEFORE_DATA: &str = "]},\"data\":";

/// The part of a line that neither its seq, nor its tags, nor its data make longer, newline included.
const FIXED_BYTES: usize = r#"{"seq":,"time":"2026-01-01T00:00:00.000000000Z","meta":{"tags":["#
    .len()
    + BEFORE_DATA.len()
    + "}\n".len();

/// The bytes of the JSON line of a message whose tags take `tags_text` bytes in it, newline included.
pub(crate) fn line_len(seq: Seq, tags_text: u64, data_len: u64) -> u64 {
    let digits = u64::from(seq.get().checked_ilog10().unwrap_or(0)) + 1;
    FIXED_BYTES as u64 + digits + tags_text + data_len
}

/// The envelopes of messages that were just appended with the same tags, without reading them: what a reader gets.
#[derive(Debug)]
pub struct Envelopes {
    /// The tags as they stand in each of them.
    tags_text: String,
}

impl Envelopes {
    /// For messages with these tags.
    pub fn new<T: AsRef<str>>(tags: &[T]) -> Self {
        let mut tags_text = String::new();
        write_tags(&mut tags_text, tags.iter().map(AsRef::as_ref));
        Self { tags_text }
    }

    /// The bytes of one envelope as a JSON line, newline included.
    pub fn line_len(&self, receipt: Receipt, document: &Document<'_>) -> u64 {
        line_len(receipt.seq, self.tags_text.len() as u64, document.as_bytes().len() as u64)
    }

    /// Appends one envelope to `out`, without a newline.
    pub fn write_json(&self, out: &mut String, receipt: Receipt, document: &Document<'_>) {
        write_head(out, receipt);
        out.push_str(&self.tags_text);
        out.push_str(BEFORE_DATA);
        out.push_str(document.as_str());
        out.push('}');
    }
}

/// Appends the envelope up to its first tag.
fn write_head(out: &mut String, receipt: Receipt) {
    out.push_str("{\"seq\":");
    push_decimal(out, receipt.seq.get());
    out.push_str(",\"time\":\"");
    // Digits and punctuation are UTF-8.
    out.push_str(std::str::from_utf8(&receipt.time.rfc3339()).unwrap_or_default());
    out.push_str("\",\"meta\":{\"tags\":[");
}

/// Appends a number, faster than through the formatting machinery.
fn push_decimal(out: &mut String, mut value: u64) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    while value > 0 || first == digits.len() {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    // Digits are UTF-8.
    out.push_str(std::str::from_utf8(&digits[first..]).unwrap_or_default());
}

/// Appends `"a","b"` for the tags to `out`.
pub(crate) fn write_tags<'a>(out: &mut String, tags: impl Iterator<Item = &'a str>) {
    for (i, tag) in tags.enumerate() {
        if i > 0 {
            out.push(',');
        }
        if tag.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
            out.push('"');
            out.push_str(tag);
            out.push('"');
        } else {
            // A string always has a JSON form.
            out.push_str(&serde_json::to_string(tag).unwrap_or_default());
        }
    }
}
