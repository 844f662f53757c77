//! A message as readers get it, and its envelope as JSON text.

use crate::error::{Error, Result};
use crate::format::frame::{self, FrameHeader};
use crate::json::Document;
use crate::sys::text::TextWords;
use crate::types::{PAIRS, Receipt, Seq, Timestamp};

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

    /// The bytes that tags and data take in the pool.
    pub(crate) fn payload_bytes(&self) -> u64 {
        self.header.payload_len.into()
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
        let head = Head::new(self.receipt());
        out.push_str(head.as_str());
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

    /// The same to bytes.
    pub(crate) fn write_line_bytes(&self, out: &mut Vec<u8>) {
        let data = self.data().as_bytes();
        let head = Head::new(self.receipt());
        out.reserve(FIXED_BYTES + Head::MAX_DIGITS + data.len());
        out.extend_from_slice(head.as_bytes());
        if self.header.tags_len > 0 {
            let mut tags = String::new();
            write_tags(&mut tags, self.tags());
            out.extend_from_slice(tags.as_bytes());
        }
        out.extend_from_slice(BEFORE_DATA.as_bytes());
        out.extend_from_slice(data);
        out.extend_from_slice(b"}\n");
    }

    fn receipt(&self) -> Receipt {
        Receipt { seq: self.seq(), time: self.time() }
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

    /// Appends the envelope without its data to `out`: `{"seq":…,"time":…,"meta":{"tags":[…]}}`, without a newline.
    pub fn write_receipt(&self, out: &mut String, receipt: Receipt) {
        out.push_str(Head::new(receipt).as_str());
        out.push_str(&self.tags_text);
        out.push_str("]}}");
    }

    /// Appends one envelope to `out`, without a newline.
    pub fn write_json(&self, out: &mut String, receipt: Receipt, document: &Document<'_>) {
        out.push_str(Head::new(receipt).as_str());
        out.push_str(&self.tags_text);
        out.push_str(BEFORE_DATA);
        out.push_str(document.as_str());
        out.push('}');
    }
}

/// An envelope up to its first tag.
struct Head {
    /// The text; what is before `start` is not part of it.
    text: [u8; Self::TEMPLATE.len()],
    start: usize,
}

impl Head {
    /// The digits of the longest seq.
    const MAX_DIGITS: usize = 20;
    const BEFORE_SEQ: &[u8; 7] = b"{\"seq\":";
    const TEMPLATE: &[u8; 84] =
        b"{\"seq\":00000000000000000000,\"time\":\"2026-01-01T00:00:00.000000000Z\",\"meta\":{\"tags\":[";
    const AFTER_SEQ: usize = Self::BEFORE_SEQ.len() + Self::MAX_DIGITS;
    const TIME: usize = Self::AFTER_SEQ + ",\"time\":\"".len();

    /// Every message read as an envelope comes through here, so it is put together in one place of fixed size: the digits
    /// of the seq from behind, and what is before them in front of the first.
    #[inline]
    fn new(receipt: Receipt) -> Self {
        let mut text = *Self::TEMPLATE;
        let time = receipt.time.rfc3339();
        text[Self::TIME..Self::TIME + time.len()].copy_from_slice(&time);
        let (mut seq, mut first) = (receipt.seq.get(), Self::AFTER_SEQ);
        while seq >= 10 {
            first -= 2;
            let pair = 2 * (seq % 100) as usize;
            text[first..first + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
            seq /= 100;
        }
        // An odd number of digits, or zero alone.
        if seq > 0 || first == Self::AFTER_SEQ {
            first -= 1;
            text[first] = b'0' + seq as u8;
        }
        let start = first - Self::BEFORE_SEQ.len();
        text[start..first].copy_from_slice(Self::BEFORE_SEQ);
        Self { text, start }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.text[self.start..]
    }

    fn as_str(&self) -> &str {
        // Digits and punctuation are UTF-8.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
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

/// How many bytes [`write_tags`] appends. Every append with tags comes through here, with the lock held: nothing is allocated.
pub(crate) fn tags_len<'a>(tags: impl Iterator<Item = &'a str>) -> u64 {
    let escapes = |byte| match byte {
        b'"' | b'\\' | 0x08 | b'\t' | b'\n' | 0x0C | b'\r' => r"\n".len() as u64 - 1,
        ..b' ' => r"\u0000".len() as u64 - 1,
        _ => 0,
    };
    let len = |tag: &str| {
        tag.len() as u64 + r#""","#.len() as u64 + tag.bytes().map(escapes).sum::<u64>()
    };
    // No comma behind the last.
    tags.map(len).sum::<u64>().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(seq: u64, nanos: u64) -> (String, String) {
        let (seq, time) = (Seq::new(seq), Timestamp::from_nanos(nanos));
        let expected = format!("{{\"seq\":{seq},\"time\":\"{time}\",\"meta\":{{\"tags\":[");
        (Head::new(Receipt { seq, time }).as_str().to_owned(), expected)
    }

    #[test]
    fn heads_of_seqs_of_every_length_are_what_formatting_gives() {
        let powers = (0..20).map(|n| 10_u64.pow(n));
        for seq in powers.flat_map(|p| [p - 1, p, p + 1]).chain([0, u64::MAX]) {
            let (head, expected) = head(seq, 1);
            assert_eq!(head, expected);
        }
    }

    #[test]
    fn the_text_of_tags_has_the_length_that_is_told() {
        let all: Vec<String> = (0..0x200).filter_map(char::from_u32).map(String::from).collect();
        let whole = all.concat();
        for tags in [vec![], vec![""], vec!["a", ""], vec!["é", "\u{1F600}", &whole], vec![&whole]]
            .into_iter()
            .chain(all.iter().map(|tag| vec![tag.as_str()]))
        {
            let mut text = String::new();
            write_tags(&mut text, tags.iter().copied());
            assert_eq!(tags_len(tags.iter().copied()), text.len() as u64, "{tags:?}");
        }
    }

    proptest! {
        #[test]
        fn any_head_is_what_formatting_gives(seq: u64, nanos: u64) {
            let (head, expected) = head(seq, nanos);
            prop_assert_eq!(head, expected);
        }
    }
}
