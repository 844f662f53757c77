//! What is wrong with a text, and how that is told.

use std::str;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::MAX_DEPTH;
use crate::error::Error;

/// The first byte at which a text is certain not to become a document, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    /// Position in the text.
    pub(super) at: usize,
    pub(super) reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// There is nothing but whitespace.
    Empty,
    /// The text begins with something else than `{`.
    NotAnObject,
    /// JSON's grammar doesn't allow this byte (or the end of the text) here.
    Grammar,
    /// Something follows the object.
    Trailing,
    /// Not UTF-8.
    Utf8,
    /// Half of a surrogate pair.
    LoneSurrogate,
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// More than the `limit`: `size` bytes without whitespace, up to the flaw.
    TooLarge { size: u64, limit: u64 },
}

impl Flaw {
    /// The same flaw; of a document that is too large, the whole document's size when that is known.
    pub(super) fn with_size(self, size: Option<u64>) -> Self {
        match (self.reason, size) {
            (Reason::TooLarge { limit, .. }, Some(size)) => {
                Self { reason: Reason::TooLarge { size, limit }, ..self }
            }
            _ => self,
        }
    }

    /// The error for a flaw in `text`, which begins at `start` in what the user gave. Of a text that is
    /// still arriving, `text` may be what is there so far.
    pub(super) fn into_error(self, text: &[u8], start: u64) -> Error {
        let offset = start + self.at as u64;
        let rest = text.get(self.at..).unwrap_or_default();
        let (what, hint) = match self.reason {
            Reason::Empty => ("the text is empty".to_owned(), Some("give one JSON object")),
            Reason::NotAnObject => not_an_object(rest),
            Reason::Grammar => grammar(text, self.at),
            Reason::Trailing => {
                (format!("{} after the JSON object", found(rest)), Some("give one JSON object"))
            }
            Reason::Utf8 => ("the text is not UTF-8".to_owned(), Some("encode it as UTF-8")),
            Reason::LoneSurrogate => (
                "half of a surrogate pair".to_owned(),
                Some("write both halves, or the character itself"),
            ),
            Reason::TooDeep => (
                format!("nested deeper than the limit, {MAX_DEPTH} levels"),
                Some("nest objects and arrays less deeply"),
            ),
            Reason::TooLarge { size, limit } => return too_large(size, limit, offset),
        };
        let error =
            Error::usage(format!("invalid json: {what} (at byte {offset})")).with_offset(offset);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

/// The error for a document of `size` bytes (at least) that may have `limit` bytes.
fn too_large(size: u64, limit: u64, offset: u64) -> Error {
    Error::usage(format!("message too large: size={size} bytes or more, limit={limit} bytes"))
        .with_offset(offset)
        .with_hint("split the message, or use a larger pool")
}

fn not_an_object(rest: &[u8]) -> (String, Option<&'static str>) {
    let kind = match rest.first() {
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b'-' | b'0'..=b'9') => "a number",
        _ if rest.starts_with(b"true") || rest.starts_with(b"false") => "a boolean",
        _ if rest.starts_with(b"null") => "null",
        _ if rest.starts_with(b"\xEF\xBB\xBF") => {
            return (
                "data must be a JSON object, found a byte order mark".to_owned(),
                Some("save the text as UTF-8 without a byte order mark"),
            );
        }
        _ => {
            return (
                format!("data must be a JSON object, found {}", found(rest)),
                Some("begin with `{`"),
            );
        }
    };
    (format!("data must be a JSON object, not {kind}"), Some("wrap it, as in {\"value\": ...}"))
}

/// What the grammar expected at `at`, in serde_json's words.
fn grammar(text: &[u8], at: usize) -> (String, Option<&'static str>) {
    let rest = text.get(at..).unwrap_or_default();
    let hint = match rest.first() {
        Some(b'\'') => Some("strings and keys take double quotes"),
        Some(0..b' ') => Some("write control characters in strings as escapes, such as \\n"),
        _ => None,
    };
    match expectation(text, at) {
        Some(expectation) if !rest.is_empty() => {
            (format!("{expectation}, found {}", found(rest)), hint)
        }
        Some(expectation) => (expectation, Some("the end of the object is missing")),
        None => (format!("unexpected {}", found(rest)), hint),
    }
}

/// serde_json's complaint without its place. None when it only lacks more bytes although there are more.
fn expectation(text: &[u8], at: usize) -> Option<String> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let error = IgnoredAny::deserialize(&mut json).err()?;
    if error.is_eof() && at < text.len() {
        return None;
    }
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = error.to_string();
    Some(text.strip_suffix(&place).unwrap_or(&text).to_owned())
}

/// How a message names the first character of `rest`.
fn found(rest: &[u8]) -> String {
    let Some(&byte) = rest.first() else { return "the end of the text".to_owned() };
    let start = rest.get(..rest.len().min(4)).unwrap_or_default();
    let valid = match str::from_utf8(start) {
        Ok(text) => text,
        Err(error) => {
            str::from_utf8(start.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
        }
    };
    match valid.chars().next() {
        Some('\n') => "a newline".to_owned(),
        Some(c) if !c.is_control() => format!("'{c}'"),
        _ => format!("byte 0x{byte:02X}"),
    }
}
