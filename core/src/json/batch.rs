//! Many documents in one text.

use serde::de::IgnoredAny;

use super::document::{Document, explain};
use super::flaw::{Flaw, Reason};
use super::stream::DocumentStream;
use super::{scan, stream};
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
    let start = text.len() - scan::trim_start(text).len();
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
        let (document, len) = object(text.get(at..)?)?;
        documents.push(Placed { document, offset: at as u64 });
        at += len;
    }
}

/// `at` is behind the opening bracket.
fn of_array(text: &[u8], mut at: usize) -> Result<Vec<Placed<'_>>> {
    let unexpected = |at| Flaw { at, reason: Reason::Grammar }.into_error(text, 0);
    let after_space = |at| text.len() - scan::trim_start(text.get(at..).unwrap_or_default()).len();
    let mut documents = Vec::new();
    at = after_space(at);
    if text.get(at) != Some(&b']') {
        loop {
            let rest = text.get(at..).unwrap_or_default();
            if rest.is_empty() {
                return Err(unexpected(at));
            }
            let (document, len) =
                object(rest).ok_or_else(|| explain(rest).into_error(rest, at as u64))?;
            documents.push(Placed { document, offset: at as u64 });
            at = after_space(at + len);
            match text.get(at) {
                Some(b',') => at = after_space(at + 1),
                Some(b']') => break,
                _ => return Err(unexpected(at)),
            }
        }
    }
    match after_space(at + 1) {
        end if end == text.len() => Ok(documents),
        trailing => Err(unexpected(trailing)),
    }
}

/// The object that the text begins with, and its length in the text.
fn object(text: &[u8]) -> Option<(Document<'_>, usize)> {
    if text.first() != Some(&b'{') {
        return None;
    }
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    let len = values.byte_offset();
    Some((Document::check_framed(text.get(..len)?)?, len))
}

/// The error for a sequence that is none.
fn refused<T>(text: &[u8]) -> Result<T> {
    let mut stream = DocumentStream::new(u64::MAX);
    stream.push(text);
    while stream.next()?.is_some() {}
    stream.finish()?;
    Err(Error::new(ErrorKind::Internal, "a stream accepts what a batch refuses"))
}
