//! Words that hold text, checked once.

use std::mem;
use std::ops::Range;
use std::str::{self, Utf8Error};

use super::bytes_of;

/// Words of our own, a part of whose bytes is known to be UTF-8.
#[derive(Clone, Debug, Default)]
pub(crate) struct TextWords {
    words: Vec<u64>,
    /// Bytes of `words` known to be ASCII, and not changed since.
    ascii: Range<usize>,
    /// Bytes of `words` that were checked, and not changed since.
    text: Range<usize>,
}

impl TextWords {
    /// The words, to be changed. There is no text until the next check.
    pub(crate) fn change(&mut self) -> &mut Vec<u64> {
        self.ascii = 0..0;
        self.text = 0..0;
        &mut self.words
    }

    /// Lets `copy` fill in these words, and tell whether every byte that it put there is ASCII. There is no text until the
    /// next check.
    pub(super) fn copy(&mut self, words: Range<usize>, copy: impl FnOnce(&mut [u64]) -> bool) {
        let bytes = words.start * 8..words.end * 8;
        let before = mem::take(&mut self.ascii);
        self.text = 0..0;
        if copy(&mut self.words[words]) {
            // A copy in two parts, around the ring's end, is one range.
            let start = if before.end == bytes.start { before.start } else { bytes.start };
            self.ascii = start..bytes.end;
        }
    }

    /// The words.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// The bytes of the words, in memory order.
    pub(crate) fn bytes(&self) -> &[u8] {
        bytes_of(&self.words)
    }

    /// Makes these bytes, which are inside the words, the text.
    #[inline]
    pub(crate) fn check(&mut self, text: Range<usize>) -> Result<(), Utf8Error> {
        // What is ASCII up to the end neither completes nor breaks a character before it.
        let checked = if self.ascii.end >= text.end {
            self.ascii.start.clamp(text.start, text.end)
        } else {
            text.end
        };
        str::from_utf8(&self.bytes()[text.start..checked])?;
        self.text = text;
        Ok(())
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        let bytes = &self.bytes()[self.text.clone()];
        // SAFETY: exactly these bytes were checked by `check`; `change` and `copy` are the only ways to change them, and they
        // empty the range. The words are our own copy: no other process can write here.
        unsafe { str::from_utf8_unchecked(bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_was_checked_and_gone_after_a_change() {
        let mut words = TextWords::default();
        let bytes = *b"xxxa\xc3\xb1b!";
        words.change().extend([u64::from_ne_bytes(bytes), 0]);
        words.check(3..8).unwrap();
        assert_eq!(words.text(), "añb!");
        words.check(3..5).unwrap_err();
        assert_eq!(words.text(), "añb!");
        words.change();
        assert_eq!(words.text(), "");
    }

    #[test]
    fn what_was_copied_as_ascii_is_not_believed_of_other_bytes() {
        let copied = |part: &'static [u8; 8], is_ascii| {
            move |out: &mut [u64]| {
                out[0] = u64::from_ne_bytes(*part);
                is_ascii
            }
        };
        let mut words = TextWords::default();
        words.change().extend([u64::from_ne_bytes(*b"xxxxab\xc3\xb1"), 0, 0]);
        words.copy(1..2, copied(b"cdefghij", true));
        words.copy(2..3, copied(b"klmnopqr", true));
        words.check(4..24).unwrap();
        assert_eq!(words.text(), "abñcdefghijklmnopqr");
        words.check(9..23).unwrap();
        assert_eq!(words.text(), "defghijklmnopq");
        // Half a character before the ASCII.
        words.check(7..24).unwrap_err();
        words.change()[0] = u64::from_ne_bytes(*b"xxxxabc\xc3");
        words.copy(1..2, copied(b"cdefghij", true));
        words.check(4..16).unwrap_err();
        words.check(8..16).unwrap();
        // The first part is not ASCII, then the last.
        words.copy(1..2, copied(b"\xb1defghij", false));
        words.copy(2..3, copied(b"klmnopqr", true));
        words.check(4..24).unwrap();
        assert_eq!(words.text(), "abcñdefghijklmnopqr");
        words.copy(1..2, copied(b"cdefghij", true));
        words.copy(2..3, copied(b"klmnopq\xff", false));
        words.check(8..24).unwrap_err();
        words.check(8..16).unwrap();
        // Changed since.
        words.copy(1..3, |out| {
            out.fill(0x6161_6161_6161_6161);
            true
        });
        words.change()[2] = u64::MAX;
        words.check(8..24).unwrap_err();
    }
}
