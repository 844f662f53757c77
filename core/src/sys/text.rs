//! Words that hold text, checked once.

use std::ops::Range;
use std::str::{self, Utf8Error};

use super::bytes_of;

/// Words of our own, a part of whose bytes is known to be UTF-8.
#[derive(Clone, Debug, Default)]
pub(crate) struct TextWords {
    words: Vec<u64>,
    /// Bytes of `words` that were checked, and not changed since.
    text: Range<usize>,
}

impl TextWords {
    /// The words, to be changed. There is no text until the next check.
    pub(crate) fn change(&mut self) -> &mut Vec<u64> {
        self.text = 0..0;
        &mut self.words
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
    pub(crate) fn check(&mut self, text: Range<usize>) -> Result<(), Utf8Error> {
        str::from_utf8(&self.bytes()[text.clone()])?;
        self.text = text;
        Ok(())
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        let bytes = &self.bytes()[self.text.clone()];
        // SAFETY: exactly these bytes were checked by `check`; `change` is the only way to change them, and it empties the
        // range. The words are our own copy: no other process can write here.
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
}
