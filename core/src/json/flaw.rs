//! What is wrong with a text, and how that is told.

use std::str;

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
    Grammar(Expected),
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

/// What the grammar allows at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// A value, but not the first item of an array.
    Value,
    /// A value, or the end of an array.
    FirstItem,
    ItemOrEnd,
    Key,
    Colon,
    MemberOrEnd,
    /// The rest of `true`, `false` or `null`.
    Literal,
    /// The rest of a number that can't end here.
    Number,
    /// The rest of a string.
    Text,
    /// The rest of an escape.
    Escape,
    /// Nothing more.
    End,
}

impl Expected {
    /// What to say of a byte that it does not allow; the words are serde_json's, which users know.
    fn instead_of_a_byte(self) -> &'static str {
        match self {
            Self::Value | Self::FirstItem => "expected value",
            Self::ItemOrEnd => "expected `,` or `]`",
            Self::Key => "key must be a string",
            Self::Colon => "expected `:`",
            Self::MemberOrEnd => "expected `,` or `}`",
            Self::Literal => "expected ident",
            Self::Number => "invalid number",
            Self::Text => "control character (\\u0000-\\u001F) found while parsing a string",
            Self::Escape => "invalid escape",
            Self::End => "expected nothing more",
        }
    }

    /// The same of a text that ends here.
    fn instead_of_the_end(self) -> &'static str {
        match self {
            Self::Value | Self::Literal => "EOF while parsing a value",
            Self::FirstItem | Self::ItemOrEnd => "EOF while parsing a list",
            Self::Key | Self::Colon | Self::MemberOrEnd => "EOF while parsing an object",
            Self::Number => "invalid number",
            Self::Text | Self::Escape => "EOF while parsing a string",
            Self::End => "the text ends",
        }
    }
}

impl Flaw {
    /// The error for a flaw in `text`, which begins at `start` in what the user gave. Of a text that is
    /// still arriving, `text` may be what is there so far.
    #[cold]
    pub(super) fn into_error(self, text: &[u8], start: u64) -> Error {
        let offset = start + self.at as u64;
        let rest = text.get(self.at..).unwrap_or_default();
        let (what, hint) = match self.reason {
            Reason::Empty => ("the text is empty".to_owned(), Some("give one JSON object")),
            Reason::NotAnObject => not_an_object(rest),
            Reason::Grammar(expected) => grammar(expected, rest),
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

const QUOTES: &str = "strings and keys take double quotes";

fn grammar(expected: Expected, rest: &[u8]) -> (String, Option<&'static str>) {
    let hint = match rest.first() {
        None => {
            let what = expected.instead_of_the_end().to_owned();
            return (what, Some("the end of the object is missing"));
        }
        Some(b'\'') => Some(QUOTES),
        // A key as JavaScript may have it, or one whose quotes the shell took.
        Some(b'A'..=b'Z' | b'a'..=b'z' | b'_') if expected == Expected::Key => Some(QUOTES),
        Some(0..b' ') => Some("write control characters in strings as escapes, such as \\n"),
        _ => None,
    };
    let found = found(rest);
    if expected == Expected::End {
        return (format!("unexpected {found}"), hint);
    }
    (format!("{}, found {found}", expected.instead_of_a_byte()), hint)
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
