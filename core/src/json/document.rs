//! One checked JSON object.

use std::borrow::Cow;
use std::str;

use super::check::Check;
use super::flaw::{Flaw, Reason};
use super::space;
use super::spare::Spare;
use crate::error::Result;

/// The text of one JSON object: strict RFC 8259, valid UTF-8, no lone surrogates, nested no deeper
/// than [`MAX_DEPTH`](super::MAX_DEPTH), without whitespace between tokens, otherwise byte for byte what the writer gave:
/// key order, duplicate keys, the text of numbers and escapes are kept.
///
/// It holds no newline, so it is always one JSON line.
#[derive(Clone, Debug)]
pub struct Document<'a>(Text<'a>);

#[derive(Clone, Debug)]
enum Text<'a> {
    Borrowed(&'a [u8]),
    Owned(Spare),
}

impl<'a> Document<'a> {
    /// Checks one JSON object, whitespace around it allowed. Borrows `text` unless there is whitespace
    /// between its tokens.
    ///
    /// # Errors
    /// Usage, with the byte offset in `text`, when it is not exactly one JSON object as described above.
    pub fn parse(text: &'a [u8]) -> Result<Self> {
        let mut check = Check::new(u64::MAX);
        if text.first() == Some(&b'{') && check.is_minified(text) {
            return Ok(Self::of_checked(text));
        }
        Self::parse_odd(text, &mut check)
    }

    /// The same of a text with whitespace, or with a flaw. `check` has looked at it if it begins with a brace.
    #[inline(never)]
    fn parse_odd(text: &'a [u8], check: &mut Check) -> Result<Self> {
        let start = space::end(text, 0);
        let object = text.get(start..).unwrap_or_default();
        let refused = |flaw: Flaw| flaw.into_error(object, start as u64);
        if let Some(reason) = not_an_object(object) {
            return Err(refused(Flaw { at: 0, reason }));
        }
        let found = if start == 0 { check.conclude(text) } else { check.advance(object) };
        let Some(end) = found.map_err(refused)? else {
            return Err(refused(check.unfinished(object)));
        };
        match space::end(object, end) {
            at if at == object.len() => Ok(Self::of_end(check, object, end)),
            at => Err(refused(Flaw { at, reason: Reason::Trailing })),
        }
    }

    /// The object that `text` begins with, and where it ends.
    pub(super) fn begin(text: &'a [u8]) -> std::result::Result<(Self, usize), Flaw> {
        if let Some(reason) = not_an_object(text) {
            return Err(Flaw { at: 0, reason });
        }
        let mut check = Check::new(u64::MAX);
        match check.advance(text)? {
            Some(end) => {
                let mut document = Self::of_end(&mut check, text, end);
                // Many may be kept that `text` has behind it.
                if let Text::Owned(memory) = &mut document.0 {
                    memory.0.shrink_to_fit();
                }
                Ok((document, end))
            }
            None => Err(check.unfinished(text)),
        }
    }

    /// What a [`Check`] gave.
    pub(super) fn of_checked(text: &'a [u8]) -> Self {
        Self(Text::Borrowed(text))
    }

    /// What a [`Check`] gave that found the object's end.
    fn of_end(check: &mut Check, text: &'a [u8], end: usize) -> Self {
        match check.take_minified(text, end) {
            Cow::Borrowed(text) => Self(Text::Borrowed(text)),
            Cow::Owned(memory) => Self(Text::Owned(Spare(memory))),
        }
    }

    /// The checked text. Looks through it once more; [`Document::as_bytes`] does not.
    pub fn as_str(&self) -> &str {
        // Only what was found to be UTF-8 becomes a document.
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The bytes of the checked text, which are UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Text::Borrowed(text) => text,
            Text::Owned(memory) => &memory.0,
        }
    }

    /// The same document with a text of its own.
    pub fn into_owned(self) -> Document<'static> {
        Document(Text::Owned(match self.0 {
            Text::Borrowed(text) => Spare(text.to_vec()),
            Text::Owned(memory) => memory,
        }))
    }
}

impl PartialEq for Document<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Document<'_> {}

/// Why no object begins here.
pub(super) fn not_an_object(text: &[u8]) -> Option<Reason> {
    match text.first() {
        Some(b'{') => None,
        Some(_) => Some(Reason::NotAnObject),
        None => Some(Reason::Empty),
    }
}
