//! One checked JSON object.

use std::borrow::Cow;
use std::str;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::flaw::{Flaw, Reason};
use super::prefix::Prefix;
use super::{MAX_DEPTH, scan};
use crate::error::Result;

/// The text of one JSON object: strict RFC 8259, valid UTF-8, no lone surrogates, nested no deeper
/// than [`MAX_DEPTH`], without whitespace between tokens, otherwise byte for byte what the writer gave:
/// key order, duplicate keys, the text of numbers and escapes are kept.
///
/// It holds no newline, so it is always one JSON line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document<'a>(Cow<'a, str>);

impl<'a> Document<'a> {
    /// Checks one JSON object, whitespace around it allowed. Borrows `text` unless there is whitespace
    /// between its tokens.
    ///
    /// # Errors
    /// Usage, with the byte offset in `text`, when it is not exactly one JSON object as described above.
    pub fn parse(text: &'a [u8]) -> Result<Self> {
        let from_first = scan::trim_start(text);
        Self::check(scan::trim_end(from_first)).ok_or_else(|| {
            let start = (text.len() - from_first.len()) as u64;
            explain(from_first).into_error(from_first, start)
        })
    }

    /// The checked text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes of the checked text.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The same document with a text of its own.
    pub fn into_owned(self) -> Document<'static> {
        Document(Cow::Owned(self.0.into_owned()))
    }

    /// The whole check of a text without whitespace around it. None when anything is wrong with it.
    pub(super) fn check(text: &'a [u8]) -> Option<Self> {
        if text.first() != Some(&b'{') {
            return None;
        }
        let text = str::from_utf8(text).ok()?;
        let mut json = serde_json::Deserializer::from_str(text);
        IgnoredAny::deserialize(&mut json).ok()?;
        json.end().ok()?;
        Self::check_object(text)
    }

    /// The check of bytes known to be one object by JSON's grammar, except that its strings may hold
    /// invalid UTF-8. None when anything is wrong with it.
    pub(super) fn check_framed(object: &'a [u8]) -> Option<Self> {
        Self::check_object(str::from_utf8(object).ok()?)
    }

    /// What the grammar leaves open for a text known to be one object.
    fn check_object(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let survey = scan::survey(bytes);
        if survey.openings > MAX_DEPTH && scan::is_too_deep(bytes) {
            return None;
        }
        if survey.has_backslash && scan::has_lone_surrogate(bytes) {
            return None;
        }
        if survey.has_whitespace && scan::has_whitespace_between_tokens(bytes) {
            return Some(Self(Cow::Owned(scan::minify(bytes)?)));
        }
        Some(Self(Cow::Borrowed(text)))
    }
}

/// Finds what is wrong with a text that [`Document::check`] refused.
pub(super) fn explain(text: &[u8]) -> Flaw {
    let Some(&first) = text.first() else {
        return Flaw { at: 0, reason: Reason::Empty };
    };
    if first != b'{' {
        return Flaw { at: 0, reason: Reason::NotAnObject };
    }
    match Prefix::new(u64::MAX).advance(text) {
        Err(flaw) => flaw,
        Ok(Some(end)) if end < text.len() => {
            let rest = scan::trim_start(text.get(end..).unwrap_or_default());
            Flaw { at: text.len() - rest.len(), reason: Reason::Trailing }
        }
        Ok(_) => Flaw { at: text.len(), reason: Reason::Grammar },
    }
}
