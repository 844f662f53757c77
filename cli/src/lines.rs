//! The lines of a stream of bytes as messages, so that no byte is lost.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use memchr::memchr;
use serde::Serialize;

/// A longer line is recorded in pieces, however much the pool could hold.
const MAX_PIECE_BYTES: u64 = 64 * 1024;
/// What one byte takes at most in a message: an escape of six bytes, and a share of the base64 text.
const WORST_BYTES: u64 = 8;
/// What a message takes beside its line, tags included.
const AROUND_BYTES: u64 = 1024;

/// One line, or a piece of a long one.
#[derive(Serialize)]
struct Line<'a> {
    kind: &'a str,
    stream: &'a str,
    /// Without its newline; bytes that are no UTF-8 are shown as U+FFFD.
    line: &'a str,
    /// The bytes themselves, when they are no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    /// The line goes on in the next message of this stream.
    #[serde(skip_serializing_if = "is_false")]
    continued: bool,
    /// The stream ended without a newline.
    #[serde(skip_serializing_if = "is_false")]
    unterminated: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Cuts a stream into lines.
pub(crate) struct Lines {
    stream: &'static str,
    piece_bytes: usize,
    pending: Vec<u8>,
}

impl Lines {
    /// For messages of up to `max_message_bytes`.
    pub(crate) fn new(stream: &'static str, max_message_bytes: u64) -> Self {
        let piece = max_message_bytes.saturating_sub(AROUND_BYTES) / WORST_BYTES;
        Self { stream, piece_bytes: piece.clamp(16, MAX_PIECE_BYTES) as usize, pending: Vec::new() }
    }

    /// The messages for the lines that are whole with these bytes.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Vec<String> {
        let mut messages = Vec::new();
        while let Some(end) = memchr(b'\n', bytes) {
            self.pending.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.cut(&mut messages);
            let line = std::mem::take(&mut self.pending);
            messages.push(self.message(&line, false, false));
        }
        self.pending.extend_from_slice(bytes);
        self.cut(&mut messages);
        messages
    }

    /// The message for what came after the last newline.
    pub(crate) fn finish(&mut self) -> Vec<String> {
        let line = std::mem::take(&mut self.pending);
        if line.is_empty() { Vec::new() } else { vec![self.message(&line, false, true)] }
    }

    /// Cuts pieces off what is pending until it is no longer than one.
    fn cut(&mut self, messages: &mut Vec<String>) {
        while self.pending.len() > self.piece_bytes {
            // Not within a character.
            let is_inside = |at: &usize| self.pending[*at] & 0xC0 == 0x80;
            let mut end = self.piece_bytes;
            while self.piece_bytes - end < 3 && is_inside(&end) {
                end -= 1;
            }
            let piece: Vec<u8> = self.pending.drain(..end).collect();
            messages.push(self.message(&piece, true, false));
        }
    }

    fn message(&self, bytes: &[u8], continued: bool, unterminated: bool) -> String {
        let text = String::from_utf8_lossy(bytes);
        let base64 = std::str::from_utf8(bytes).is_err().then(|| BASE64_STANDARD.encode(bytes));
        let stream = self.stream;
        let line = Line { kind: "line", stream, line: &text, base64, continued, unterminated };
        // Strings always have a JSON form.
        serde_json::to_string(&line).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// What a reader of the messages makes of them.
    fn bytes_of(messages: &[String]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for message in messages {
            let message: Value = serde_json::from_str(message).unwrap();
            match message["base64"].as_str() {
                Some(text) => bytes.extend(BASE64_STANDARD.decode(text).unwrap()),
                None => bytes.extend(message["line"].as_str().unwrap().bytes()),
            }
            if message["continued"].is_null() && message["unterminated"].is_null() {
                bytes.push(b'\n');
            }
        }
        bytes
    }

    #[test]
    fn every_byte_can_be_had_again() {
        let noise: Vec<u8> = (0..=255_u8).cycle().take(70_000).collect();
        let long = "é".repeat(40_000);
        let texts: [&[u8]; 9] = [
            b"",
            b"\n",
            b"\n\n",
            b"one\ntwo\r\nthree",
            b"caf\xe9\n",
            b"\xff\xfe\0\x1b[0m\n\x80",
            long.as_bytes(),
            &noise,
            "é\u{1F600}\n".as_bytes(),
        ];
        for text in texts {
            for max in [64, 4096, 1 << 20, 1 << 30] {
                for step in [1, 7, 4096, 100_000] {
                    let mut lines = Lines::new("stdout", max);
                    let mut messages = Vec::new();
                    text.chunks(step).for_each(|part| messages.extend(lines.push(part)));
                    messages.extend(lines.finish());
                    assert_eq!(bytes_of(&messages), text);
                    let longest = messages.iter().map(String::len).max().unwrap_or(0) as u64;
                    assert!(longest <= max.max(2048), "{longest} bytes in a pool for {max}");
                }
            }
        }
    }

    #[test]
    fn text_in_pieces_stays_text() {
        let mut lines = Lines::new("stderr", 4096);
        for message in lines.push(format!("{}\n", "é\u{1F600}".repeat(1000)).as_bytes()) {
            assert!(!message.contains("base64"), "{message}");
        }
    }
}
