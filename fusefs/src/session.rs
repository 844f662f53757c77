//! Writing: from the bytes of one open file to messages.

use plasmite_core::json::{Document, DocumentStream, Failure};
use plasmite_core::{Durability, Entry, Pool, Seq};

use crate::errno::{Errno, Reply};
use crate::names::Sort;

/// Bytes of a session that are kept to be read back.
const KEPT_BYTES: usize = 64 << 10;

/// What of the input is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    Nothing,
    /// The rest of the line in which a document was refused.
    Line,
    /// Everything: a `.json` file is one document.
    Rest,
}

/// One open file that is written.
///
/// A document is appended whole or not at all; when a call has reported an error for a document, no part of it is
/// ever appended.
#[derive(Debug)]
pub(crate) struct Session {
    pool: Pool,
    sort: Sort,
    /// The thread that opened the file.
    pub(crate) opener: u32,
    durability: Durability,
    stream: DocumentStream,
    /// Bytes given to `stream`.
    pushed: u64,
    /// The finished document of a `.json` file, until it is closed.
    held: Option<Document<'static>>,
    refused: Refused,
    /// A `.json` file whose document was appended.
    done: bool,
    /// Processes that wrote since they last closed a descriptor.
    writers: Vec<u64>,
    written: Vec<u8>,
    overflow: bool,
    /// The last message, and whether the shelf knows it.
    last: Option<Seq>,
    published: bool,
}

impl Session {
    /// A session for a file of this sort (not a draft) in `pool`.
    pub(crate) fn new(pool: Pool, sort: Sort, durability: Durability, opener: u32) -> Self {
        let stream = DocumentStream::new(pool.max_message_bytes());
        Self {
            pool,
            sort,
            opener,
            durability,
            stream,
            pushed: 0,
            held: None,
            refused: Refused::Nothing,
            done: false,
            writers: Vec::new(),
            written: Vec::new(),
            overflow: false,
            last: None,
            published: true,
        }
    }

    /// Takes bytes; how many, when not all of them are good. `owner` is the process.
    pub(crate) fn write(&mut self, data: &[u8], owner: u64) -> Reply<usize> {
        if !self.writers.contains(&owner) {
            self.writers.push(owner);
        }
        // What is held back until the close is refused now if the pool can't take it.
        self.pool.bounds()?;
        let taken = match self.sort {
            Sort::Document => self.write_document(data),
            _ => self.write_stream(data),
        }?;
        self.keep(&data[..taken]);
        Ok(taken)
    }

    /// A descriptor is closed by `owner`. `still_held` tells whether the file's opener, another process, still has it
    /// open; it is asked only when that matters. `is_opener`: the closing process is the opener.
    pub(crate) fn flush(
        &mut self,
        owner: u64,
        is_opener: impl Fn() -> bool,
        still_held: impl Fn() -> bool,
    ) -> Reply<()> {
        let before = self.writers.len();
        self.writers.retain(|w| *w != owner);
        let wrote = self.writers.len() < before;
        if self.held.is_some() {
            return if wrote || is_opener() { self.deliver_held() } else { Ok(()) };
        }
        if self.stream.is_idle() {
            return Ok(());
        }
        // An unfinished document. It may go on from another process of the same pipeline, or from this one: a shell that
        // undoes `echo >&3` closes a copy of the descriptor. So it is reported, and kept until the last one is closed.
        if is_opener() || (wrote && !still_held()) {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    /// Makes what is complete survive power loss, and what comes later too.
    pub(crate) fn sync(&mut self) -> Reply<()> {
        let earlier = self.durability == Durability::Fast && self.last.is_some();
        self.durability = Durability::Flush;
        self.deliver_held()?;
        if earlier {
            self.pool.flush()?;
        }
        Ok(())
    }

    /// The last descriptor is gone: a complete document is appended, nobody hears of an error.
    pub(crate) fn finish(&mut self) {
        let _ = self.deliver_held();
    }

    /// The file was cut: what is not yet delivered is gone, and a new document may follow.
    pub(crate) fn restart(&mut self) {
        self.refuse(Refused::Nothing);
        self.done = false;
        self.written.clear();
        self.overflow = false;
    }

    /// What was written so far, if it is not too much to keep.
    pub(crate) fn written(&self) -> &[u8] {
        &self.written
    }

    /// What became of the session since the last call: the content (None: too much to keep) and the last seq.
    pub(crate) fn take_news(&mut self) -> Option<(Option<Vec<u8>>, Seq)> {
        if std::mem::replace(&mut self.published, true) {
            return None;
        }
        let content = (!self.overflow).then(|| self.written.clone());
        self.last.map(|seq| (content, seq))
    }

    fn write_document(&mut self, data: &[u8]) -> Reply<usize> {
        if self.done || self.held.is_some() {
            if data.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
                return Ok(data.len());
            }
            // A second document.
            self.refuse(Refused::Rest);
            return Err(Errno::EINVAL);
        }
        if self.refused != Refused::Nothing {
            return Err(Errno::EINVAL);
        }
        self.push(data);
        let held = match self.stream.next() {
            Ok(found) => found.map(Document::into_owned),
            Err(_) => {
                let errno = stream_errno(&self.stream);
                self.refuse(Refused::Rest);
                return Err(errno);
            }
        };
        if held.is_some() && !(matches!(self.stream.next(), Ok(None)) && self.stream.is_idle()) {
            // A second document.
            self.refuse(Refused::Rest);
            return Err(Errno::EINVAL);
        }
        self.held = held;
        Ok(data.len())
    }

    fn write_stream(&mut self, data: &[u8]) -> Reply<usize> {
        if self.refused != Refused::Nothing {
            if data.ends_with(b"\n") {
                self.refused = Refused::Nothing;
            }
            return Err(Errno::EINVAL);
        }
        let before = self.pushed;
        self.push(data);
        loop {
            let good = self.stream.offset();
            let result = match self.stream.next() {
                Ok(Some(document)) => {
                    let tags: [&str; 0] = [];
                    self.pool
                        .append_document(&document, &tags, self.durability)
                        .map_err(Errno::from)
                }
                Ok(None) => return Ok(data.len()),
                Err(_) => Err(stream_errno(&self.stream)),
            };
            match result {
                Ok(receipt) => {
                    self.last = Some(receipt.seq);
                    self.published = false;
                }
                Err(errno) => {
                    self.refuse(Refused::Nothing);
                    if good > before {
                        // The documents before it are in. The writer tries the rest again, and gets the error.
                        return Ok((good - before) as usize);
                    }
                    if !data.ends_with(b"\n") {
                        self.refused = Refused::Line;
                    }
                    return Err(errno);
                }
            }
        }
    }

    fn push(&mut self, data: &[u8]) {
        self.stream.push(data);
        self.pushed += data.len() as u64;
    }

    fn refuse(&mut self, refused: Refused) {
        self.refused = refused;
        self.held = None;
        self.stream = DocumentStream::new(self.pool.max_message_bytes());
        self.pushed = 0;
    }

    fn deliver_held(&mut self) -> Reply<()> {
        let Some(document) = self.held.take() else { return Ok(()) };
        let tags: [&str; 0] = [];
        match self.pool.append_document(&document, &tags, self.durability) {
            Ok(receipt) => {
                self.last = Some(receipt.seq);
                self.published = false;
                self.done = true;
                Ok(())
            }
            Err(error) => {
                self.refuse(Refused::Rest);
                Err(error.into())
            }
        }
    }

    fn keep(&mut self, data: &[u8]) {
        self.overflow |= self.written.len() + data.len() > KEPT_BYTES;
        if self.overflow {
            self.written = Vec::new();
        } else {
            self.written.extend_from_slice(data);
        }
    }
}

/// Appends what a draft holds, all of it or nothing, as a file of this sort. None: there was nothing in it.
pub(crate) fn deliver_draft(pool: &Pool, sort: Sort, text: &[u8]) -> Reply<Option<Seq>> {
    let mut stream = DocumentStream::new(pool.max_message_bytes());
    stream.push(text);
    let mut documents = Vec::new();
    loop {
        match stream.next() {
            Ok(Some(document)) => documents.push(document.into_owned()),
            Ok(None) => break,
            Err(_) => return Err(stream_errno(&stream)),
        }
    }
    if !stream.is_idle() || (sort == Sort::Document && documents.len() > 1) {
        return Err(Errno::EINVAL);
    }
    let entries: Vec<_> = documents.iter().map(|document| Entry { document, tags: &[] }).collect();
    if entries.is_empty() {
        return Ok(None);
    }
    let receipts = pool.append_batch(&entries, Durability::Fast)?;
    Ok(receipts.last().map(|r| r.seq))
}

/// Why a stream has failed: what the pool could never hold is EFBIG, what is no JSON object EINVAL.
fn stream_errno(stream: &DocumentStream) -> Errno {
    match stream.failure() {
        Some(Failure::TooLarge) => Errno::EFBIG,
        _ => Errno::EINVAL,
    }
}
