//! Many documents in one text.

use super::document::Document;
use super::flaw::{Expected, Flaw, Reason};
use super::stream::DocumentStream;
use super::{space, stream};
use crate::error::{Error, ErrorKind, Result};

/// A document, and where in the text it begins.
#[derive(Debug)]
pub struct Placed<'a> {
    /// The document; it borrows from the text unless there is whitespace between its tokens.
    pub document: Document<'a>,
    /// The byte of the text at which it begins.
    pub offset: u64,
}

/// Cuts a text into documents: JSON objects one after the other, as [`DocumentStream`] takes them, or one JSON array of
/// objects.
///
/// # Errors
/// Usage, with the byte offset, when any of it is something else.
pub fn documents(text: &[u8]) -> Result<Vec<Placed<'_>>> {
    let start = space::end(text, 0);
    if text.get(start) == Some(&b'[') {
        return of_array(text, start + 1);
    }
    of_sequence(text).map_or_else(|| refused(text), Ok)
}

/// None when anything is wrong.
fn of_sequence(text: &[u8]) -> Option<Vec<Placed<'_>>> {
    let mut documents = Vec::new();
    let mut at = 0;
    loop {
        let rest = text.get(at..)?;
        at += rest.iter().take_while(|&&byte| stream::is_gap(byte)).count();
        if at == text.len() {
            return Some(documents);
        }
        let (document, len) = Document::begin(text.get(at..)?).ok()?;
        documents.push(Placed { document, offset: at as u64 });
        at += len;
    }
}

/// `at` is behind the opening bracket.
fn of_array(text: &[u8], mut at: usize) -> Result<Vec<Placed<'_>>> {
    let unexpected =
        |at, expected| Flaw { at, reason: Reason::Grammar(expected) }.into_error(text, 0);
    let mut documents = Vec::new();
    at = space::end(text, at);
    if text.get(at) == Some(&b']') {
        at += 1;
    } else {
        loop {
            let rest = text.get(at..).unwrap_or_default();
            if rest.is_empty() {
                let is_first = documents.is_empty();
                let expected = if is_first { Expected::FirstItem } else { Expected::Value };
                return Err(unexpected(at, expected));
            }
            let (document, len) =
                Document::begin(rest).map_err(|flaw| flaw.into_error(rest, at as u64))?;
            documents.push(Placed { document, offset: at as u64 });
            at = space::end(text, at + len);
            let closes = match text.get(at) {
                Some(b',') => false,
                Some(b']') => true,
                _ => return Err(unexpected(at, Expected::ItemOrEnd)),
            };
            at += 1;
            if closes {
                break;
            }
            at = space::end(text, at);
        }
    }
    match space::end(text, at) {
        end if end == text.len() => Ok(documents),
        trailing => Err(unexpected(trailing, Expected::End)),
    }
}

/// The error for a sequence that is none.
fn refused<T>(text: &[u8]) -> Result<T> {
    let mut stream = DocumentStream::new(u64::MAX);
    stream.push(text);
    while stream.next()?.is_some() {}
    stream.finish()?;
    Err(Error::new(ErrorKind::Internal, "a stream accepts what a batch refuses"))
}
