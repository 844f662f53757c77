//! Fast passes over text that is known to be valid JSON (the grammar has been checked elsewhere).
//!
//! On other text they give meaningless answers, but never panic.

use memchr::{memchr, memchr2, memmem};

use super::MAX_DEPTH;
use super::escape::{is_high, is_low};

/// True for the whitespace that JSON allows between tokens.
pub(super) fn is_whitespace(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The text without JSON whitespace before it.
pub(super) fn trim_start(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&b| !is_whitespace(b)).unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

/// The text without JSON whitespace after it.
pub(super) fn trim_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|&b| !is_whitespace(b)).map_or(0, |last| last + 1);
    text.get(..end).unwrap_or_default()
}

/// What one pass over the bytes tells, whether they are inside strings or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// Bytes that open an object or array: an upper bound of the depth.
    pub(super) openings: usize,
    pub(super) has_backslash: bool,
    pub(super) has_whitespace: bool,
}

impl Survey {
    /// Written so that the compiler makes vector code of it; no count in a block of 64 can overflow.
    #[inline]
    fn add(&mut self, block: &[u8; 64]) {
        let (mut openings, mut backslash, mut whitespace) = (0u8, 0u8, 0u8);
        for &byte in block {
            // `[` and `{` differ in this one bit.
            openings += u8::from(byte | 0x20 == b'{');
            backslash |= u8::from(byte == b'\\');
            whitespace |= u8::from(byte <= b' ');
        }
        self.openings += usize::from(openings);
        self.has_backslash |= backslash != 0;
        self.has_whitespace |= whitespace != 0;
    }
}

/// Looks over the whole text.
pub(super) fn survey(text: &[u8]) -> Survey {
    let mut survey = Survey::default();
    let (blocks, rest) = text.as_chunks::<64>();
    for block in blocks {
        survey.add(block);
    }
    // As one more block, not by a second loop for odd lengths.
    let mut last = [b'0'; 64];
    last[..rest.len()].copy_from_slice(rest);
    survey.add(&last);
    survey
}

/// Position after the string whose opening quote is just before `at`.
fn skip_string(text: &[u8], mut at: usize) -> usize {
    while let Some(found) = text.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found + 1;
        if text.get(at - 1) == Some(&b'"') {
            return at;
        }
        at += 1;
    }
    text.len()
}

/// True when objects and arrays nest deeper than [`MAX_DEPTH`].
pub(super) fn is_too_deep(text: &[u8]) -> bool {
    let (mut depth, mut at) = (0usize, 0);
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' => at = skip_string(text, at),
            b'{' | b'[' if depth == MAX_DEPTH => return true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// True when there may be a `\u` escape; false when there is none.
pub(super) fn may_have_code_units(text: &[u8]) -> bool {
    memmem::find(text, b"\\u").is_some()
}

/// True when a string has half of a surrogate pair in a `\u` escape.
pub(super) fn has_lone_surrogate(text: &[u8]) -> bool {
    if !may_have_code_units(text) {
        return false;
    }
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| memchr(b'\\', rest)) {
        at += found;
        let Some(unit) = code_unit(text, at) else {
            at += 2;
            continue;
        };
        at += 6;
        if is_low(unit) {
            return true;
        }
        if is_high(unit) {
            if !code_unit(text, at).is_some_and(is_low) {
                return true;
            }
            at += 6;
        }
    }
    false
}

/// The value of the escape `\uXXXX` at `at`, if there is one.
fn code_unit(text: &[u8], at: usize) -> Option<u16> {
    let [b'\\', b'u', digits @ ..] = text.get(at..at.checked_add(6)?)? else { return None };
    digits
        .iter()
        .try_fold(0u16, |value, &digit| Some((value << 4) | char::from(digit).to_digit(16)? as u16))
}

/// True when there is whitespace outside strings.
pub(super) fn has_whitespace_between_tokens(text: &[u8]) -> bool {
    let mut strings = Strings::default();
    let mut rest = text;
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        rest = after;
        let was_inside = strings.is_inside;
        let marks = strings.read(*word);
        if marks.whitespace != 0 {
            return true;
        }
        if was_inside && !marks.has_syntax {
            let plain = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
            rest = rest.get(plain..).unwrap_or_default();
        }
    }
    strings.read(padded(rest)).whitespace != 0
}

/// The text without whitespace outside strings. None if that is not UTF-8, which can't be.
pub(super) fn minify(text: &[u8]) -> Option<String> {
    let (words, rest) = text.as_chunks::<8>();
    let mut strings = Strings::default();
    let mut out = Vec::with_capacity(text.len() + 8);
    for word in words {
        let dropped = strings.read(*word).whitespace;
        if dropped == 0 {
            out.extend_from_slice(word);
        } else if dropped != LANES {
            extend_without(&mut out, word, dropped);
        }
    }
    let dropped = strings.read(padded(rest)).whitespace;
    extend_without(&mut out, rest, dropped);
    String::from_utf8(out).ok()
}

/// Appends the first eight bytes of `bytes` but for those in the lanes `dropped`.
#[inline]
fn extend_without(out: &mut Vec<u8>, bytes: &[u8], dropped: u64) {
    let mut kept = [0; 8];
    let mut len = 0;
    for (lane, &byte) in bytes.iter().take(8).enumerate() {
        kept[len & 7] = byte;
        len += usize::from((dropped >> (8 * lane)) & 1 == 0);
    }
    // Eight bytes at once and back: no call for a copy of unknown length.
    out.extend_from_slice(&kept);
    out.truncate(out.len() - (kept.len() - len));
}

/// The last bytes as a whole word; what fills it means nothing in JSON.
fn padded(rest: &[u8]) -> [u8; 8] {
    let mut word = [b'0'; 8];
    for (to, from) in word.iter_mut().zip(rest) {
        *to = *from;
    }
    word
}

/// The lowest bit of each of the eight byte lanes of a word. Sets of lanes use these bits.
const LANES: u64 = 0x0101_0101_0101_0101;

/// The lanes of `word` that are `byte` (which is ASCII).
#[inline]
fn lanes_equal(word: u64, byte: u8) -> u64 {
    let differs = word ^ (LANES * u64::from(byte));
    (!(((differs & (LANES * 0x7F)) + LANES * 0x7F) | differs) >> 7) & LANES
}

/// The lanes of `word` that are at most a space: whitespace, in valid JSON.
#[inline]
fn lanes_whitespace(word: u64) -> u64 {
    (!(((word & (LANES * 0x7F)) + LANES * (0x7F - 0x20)) | word) >> 7) & LANES
}

/// Where strings begin and end, eight bytes at a time.
#[derive(Clone, Copy, Debug, Default)]
struct Strings {
    is_inside: bool,
    /// The last byte was a backslash that begins an escape.
    is_escaped: bool,
}

/// What eight bytes hold.
#[derive(Clone, Copy, Debug)]
struct Marks {
    /// The lanes that are whitespace outside strings.
    whitespace: u64,
    /// There are quotes, backslashes or what a backslash escapes.
    has_syntax: bool,
}

impl Strings {
    /// Reads the next eight bytes.
    #[inline]
    fn read(&mut self, bytes: [u8; 8]) -> Marks {
        let word = u64::from_le_bytes(bytes);
        let whitespace = lanes_whitespace(word);
        let (quotes, backslashes) = (lanes_equal(word, b'"'), lanes_equal(word, b'\\'));
        if quotes | backslashes == 0 && !self.is_escaped {
            let whitespace = if self.is_inside { 0 } else { whitespace };
            return Marks { whitespace, has_syntax: false };
        }
        let quotes = self.without_escaped(quotes, backslashes);
        // Each lane of the product counts the quotes up to that lane; its low bit is the parity.
        let inside = quotes.wrapping_mul(LANES) ^ if self.is_inside { LANES } else { 0 };
        self.is_inside = (inside >> 56) & 1 != 0;
        Marks { whitespace: whitespace & !inside, has_syntax: true }
    }

    /// The quotes that no backslash escapes.
    #[inline]
    fn without_escaped(&mut self, mut quotes: u64, mut backslashes: u64) -> u64 {
        if self.is_escaped {
            quotes &= !1;
            backslashes &= !1;
            self.is_escaped = false;
        }
        while backslashes != 0 {
            let first = backslashes & backslashes.wrapping_neg();
            let escaped = first << 8;
            quotes &= !escaped;
            backslashes &= !(first | escaped);
            self.is_escaped = escaped == 0;
        }
        quotes
    }
}
