//! How messages look as files.
pub(crate) mod buffers;
mod log;
mod matches;
mod message;
mod stream;
mod text;

use std::ops::Range;
use std::sync::Arc;

use plasmite_core::{Error, ErrorKind};

use crate::errno::{Errno, Reply};
use buffers::Bytes;

pub(crate) use log::PoolLog;
pub(crate) use matches::{Matches, MatchesLog};
pub(crate) use message::{data_text, envelope_text, info_text};
pub(crate) use stream::Stream;
pub(crate) use text::{Text, TextReader};

/// Bytes for a reader: a part of a shared buffer, so that serving them again needs no copy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunk {
    bytes: Arc<Bytes>,
    range: Range<usize>,
}

impl Chunk {
    /// All of `bytes`.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self { bytes: Arc::new(bytes.into()), range }
    }

    /// At most `size` bytes from `offset` of a whole file.
    pub(crate) fn of_file(file: &Arc<Bytes>, offset: u64, size: usize) -> Self {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(file.len());
        let end = start.saturating_add(size).min(file.len());
        Self { bytes: Arc::clone(file), range: start..end }
    }

    /// The bytes.
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.range.clone()]
    }
}

/// What a reader gets when its pool fails: end of file when the pool was removed.
pub(crate) fn end_of(error: &Error) -> Reply<Chunk> {
    if error.kind() == ErrorKind::NotFound { Ok(Chunk::default()) } else { Err(Errno::from(error)) }
}
