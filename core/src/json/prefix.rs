//! Tells of a text that arrives in pieces whether it can still become a document.

use std::str;

use actson::feeder::JsonFeeder;
use actson::options::JsonParserOptionsBuilder;
use actson::reset::Reset;
use actson::{JsonEvent, JsonParser};

use super::escape::Escape;
use super::flaw::{Flaw, Reason};
use super::{MAX_DEPTH, scan};

/// Bytes checked for UTF-8 ahead of the grammar: bounds what is read past a flaw or past the end of the
/// document.
const PIECE_BYTES: usize = 4096;

/// Gives the parser one byte at a time.
#[derive(Debug, Default)]
struct Slot(Option<u8>);

impl JsonFeeder for Slot {
    fn has_input(&self) -> bool {
        self.0.is_some()
    }

    /// The text never ends here: an end would make the parser judge what is unfinished.
    fn is_done(&self) -> bool {
        false
    }

    fn next_input(&mut self) -> Option<u8> {
        self.0.take()
    }
}

/// The state of the check of one text, whose first byte is its first token's.
///
/// The caller keeps the text and gives it again, longer, at each [`Prefix::advance`]; each byte is
/// looked at once, and nothing of it is kept here.
pub(super) struct Prefix {
    parser: JsonParser<Slot>,
    /// Bytes that the grammar has seen.
    checked: usize,
    /// Bytes known to be UTF-8: all up to `checked`, but for a character that is not whole yet.
    utf8: usize,
    in_string: bool,
    escape: Escape,
    /// Where the last escape began that was not the second of a pair.
    escape_at: usize,
    depth: usize,
    /// Bytes seen without whitespace between tokens.
    kept: u64,
    limit: u64,
}

impl Prefix {
    /// The check of a text that may have `limit` bytes without the whitespace between its tokens.
    pub(super) fn new(limit: u64) -> Self {
        // The parser's own stack has one more entry, and its limit is only a second line of defence.
        let options = JsonParserOptionsBuilder::default().with_max_depth(MAX_DEPTH + 2).build();
        Self {
            parser: JsonParser::new_with_options(Slot::default(), options),
            checked: 0,
            utf8: 0,
            in_string: false,
            escape: Escape::None,
            escape_at: 0,
            depth: 0,
            kept: 0,
            limit,
        }
    }

    /// Makes it ready for another text; memory is used again.
    pub(super) fn reset(&mut self) {
        self.parser.feeder = Slot::default();
        self.parser.reset();
        self.checked = 0;
        self.utf8 = 0;
        self.in_string = false;
        self.escape = Escape::None;
        self.escape_at = 0;
        self.depth = 0;
        self.kept = 0;
    }

    /// Looks at the bytes of `text` that were not there at the last call. `Some(end)`: its first `end`
    /// bytes are a whole object or array. None: it may become one.
    pub(super) fn advance(&mut self, text: &[u8]) -> Result<Option<usize>, Flaw> {
        while self.checked < text.len() {
            let piece_end = text.len().min(self.checked + PIECE_BYTES);
            let piece = text.get(..piece_end).unwrap_or_default();
            let flaw_at = self.advance_utf8(piece);
            // The grammar sees the flawed byte too, as it does when bytes arrive one by one.
            let known_end = flaw_at.map_or(piece_end, |at| at + 1);
            let known = piece.get(..known_end).unwrap_or_default();
            if let Some(end) = self.advance_grammar(known)? {
                return Ok(Some(end));
            }
            if let Some(at) = flaw_at {
                return Err(Flaw { at, reason: Reason::Utf8 });
            }
        }
        Ok(None)
    }

    /// Where the text stops being UTF-8, if it does. A character cut short by its end is no flaw.
    fn advance_utf8(&mut self, text: &[u8]) -> Option<usize> {
        match str::from_utf8(text.get(self.utf8..).unwrap_or_default()) {
            Ok(_) => self.utf8 = text.len(),
            Err(error) => {
                self.utf8 += error.valid_up_to();
                return error.error_len().map(|_| self.utf8);
            }
        }
        None
    }

    fn advance_grammar(&mut self, text: &[u8]) -> Result<Option<usize>, Flaw> {
        while let Some(&byte) = text.get(self.checked) {
            if self.in_string && self.escape == Escape::None {
                // Such bytes leave the parser in the same state, so it needn't see them.
                let plain = plain_len(text.get(self.checked..).unwrap_or_default());
                if plain > 0 {
                    self.checked += plain;
                    self.keep(plain)?;
                    continue;
                }
            }
            self.feed(byte)?;
            if self.in_string || !scan::is_whitespace(byte) {
                self.keep(1)?;
            }
            let is_end = if self.in_string {
                self.string_byte(byte)?;
                false
            } else {
                self.structural_byte(byte)?
            };
            self.checked += 1;
            if is_end {
                return Ok(Some(self.checked));
            }
        }
        Ok(None)
    }

    /// Gives a byte to the parser.
    fn feed(&mut self, byte: u8) -> Result<(), Flaw> {
        self.parser.feeder.0 = Some(byte);
        loop {
            match self.parser.next_event() {
                Ok(Some(JsonEvent::NeedMoreInput)) => return Ok(()),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Err(self.flaw(Reason::Grammar)),
            }
        }
    }

    fn string_byte(&mut self, byte: u8) -> Result<(), Flaw> {
        if self.escape == Escape::None {
            self.escape_at = self.checked;
            self.in_string = byte != b'"';
        }
        self.escape = self
            .escape
            .after(byte)
            .map_err(|_| Flaw { at: self.escape_at, reason: Reason::LoneSurrogate })?;
        Ok(())
    }

    /// True when this byte ends the text's object or array.
    fn structural_byte(&mut self, byte: u8) -> Result<bool, Flaw> {
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' if self.depth == MAX_DEPTH => return Err(self.flaw(Reason::TooDeep)),
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return Ok(self.depth == 0);
            }
            _ => {}
        }
        Ok(false)
    }

    fn keep(&mut self, bytes: usize) -> Result<(), Flaw> {
        self.kept += bytes as u64;
        if self.kept > self.limit {
            return Err(self.flaw(Reason::TooLarge { size: self.kept, limit: self.limit }));
        }
        Ok(())
    }

    fn flaw(&self, reason: Reason) -> Flaw {
        Flaw { at: self.checked, reason }
    }
}

/// How many bytes from the start are plain string content: no quote, backslash or control character.
fn plain_len(text: &[u8]) -> usize {
    let is_special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    let (blocks, _) = text.as_chunks::<16>();
    let plain_blocks =
        blocks.iter().take_while(|block| !block.iter().fold(false, |s, &b| s | is_special(b)));
    let start = plain_blocks.count() * 16;
    let rest = text.get(start..).unwrap_or_default();
    start + rest.iter().position(|&b| is_special(b)).unwrap_or(rest.len())
}
