//! Writing: from the bytes of one open file to messages.

use std::cell::Cell;
use std::sync::Arc;

use plasmite_core::json::{Document, DocumentStream, Failure};
use plasmite_core::{Batch, Durability, Entry, Error, ErrorKind, Pool, Receipt, Seq};

use crate::current;
use crate::errno::Errno;
use crate::lane::Patience;
use crate::names::Sort;
use crate::rejections::Refusal;

/// What an operation of a session gives.
type Outcome<T> = Result<T, Fail>;

/// Why an operation has not done what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fail {
    /// The pool can't be written just now. The same call with more patience goes on where this one stopped.
    Slow,
    /// It never will.
    Refused(Refusal),
}

impl From<Refusal> for Fail {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Documents of a write that are appended together.
#[derive(Debug)]
struct Pending {
    batch: Batch,
    /// Where in the stream each of them begins, or what is before it.
    starts: Vec<u64>,
    /// How many of them were appended.
    done: usize,
    /// What was in the stream before the write that they came with.
    before: u64,
    /// What stands behind them.
    next: Behind,
    receipts: Vec<Receipt>,
}

/// What stands in a stream behind some of its documents.
#[derive(Debug)]
enum Behind {
    /// It was not looked at.
    Unknown,
    /// Nothing that is whole.
    Nothing,
    /// What is refused, and where.
    Refused(u64, Refusal),
}

/// No more bytes are appended together, so that the pool's lock is never kept for long; nor a larger part of the pool, so that a
/// reader who keeps up is not overtaken by one write.
const BATCH_BYTES: u64 = 64 << 10;
const PARTS_OF_POOL: u64 = 8;

thread_local! {
    /// Memory for the documents of this thread's next write, 3 MiB at most. Each open file could keep little, and what is large comes
    /// from the kernel page by page.
    static SPARE: Cell<Option<Pending>> = const { Cell::new(None) };
}

/// The memory of a batch with no more bytes is kept.
const SPARE_BYTES: u64 = 2 * BATCH_BYTES;

/// Bytes of a session that are kept to be read back.
const KEPT_BYTES: usize = 64 << 10;

/// What of the input is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    Nothing,
    /// The rest of the line in which a document was refused, with the same error.
    Line(Errno),
    /// Everything: a `.json` file is one document.
    Rest(Errno),
}

/// One open file that is written.
///
/// A document is appended whole or not at all; when a call has reported an error for a document, no part of it is
/// ever appended.
#[derive(Debug)]
pub(crate) struct Session {
    pool: Pool,
    sort: Sort,
    /// What every message gets.
    tags: Arc<[String]>,
    /// The thread that opened the file.
    pub(crate) opener: u32,
    /// Each call that appends is to be answered when its messages survive power loss.
    durable: bool,
    /// The last close was told that the document is unfinished, and that was noted.
    pub(crate) told: bool,
    /// Messages since the last [`Session::take_unsynced`].
    unsynced: bool,
    stream: DocumentStream,
    /// Bytes given to `stream`.
    pushed: u64,
    /// Bytes that the writers were told are taken, and how many of them were before the first one in `stream`.
    accepted: u64,
    base: u64,
    /// The finished document of a `.json` file, until it is closed.
    held: Option<Document<'static>>,
    refused: Refused,
    /// The documents of the last write that are still to be appended; that write is not answered yet.
    waiting: Option<Pending>,
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

impl Pending {
    fn new(before: u64) -> Self {
        Self {
            batch: Batch::new(),
            starts: Vec::new(),
            done: 0,
            before,
            next: Behind::Unknown,
            receipts: Vec::new(),
        }
    }

    /// The same memory without documents.
    fn again(mut self, before: u64) -> Self {
        self.batch.clear();
        self.starts.clear();
        Self { done: 0, before, next: Behind::Unknown, ..self }
    }
}

impl Session {
    /// A session for a file of this sort (not a draft) in `pool`.
    pub(crate) fn new(
        pool: Pool,
        sort: Sort,
        tags: Arc<[String]>,
        durable: bool,
        opener: u32,
    ) -> Self {
        let stream = document_stream(&pool, &tags);
        Self {
            pool,
            sort,
            tags,
            opener,
            durable,
            told: false,
            unsynced: false,
            stream,
            pushed: 0,
            accepted: 0,
            base: 0,
            held: None,
            refused: Refused::Nothing,
            waiting: None,
            done: false,
            writers: Vec::new(),
            written: Vec::new(),
            overflow: false,
            last: None,
            published: true,
        }
    }

    /// Takes bytes; how many, when not all of them are good. `owner` is the process.
    ///
    /// After [`Fail::Slow`] the same call is to be made again with patience, before any other.
    pub(crate) fn write(&mut self, data: &[u8], owner: u64, patience: Patience) -> Outcome<usize> {
        self.not_slow(patience)?;
        if !self.writers.contains(&owner) {
            self.writers.push(owner);
        }
        self.told = false;
        // What is held back until the close is refused now if the pool can't take it.
        current::with(&mut self.pool, Pool::bounds)
            .map_err(|error| Refusal::of(Errno::from(&error), &error, self.accepted))?;
        let taken = match self.sort {
            Sort::Document => self.write_document(data),
            _ => self.write_stream(data, patience),
        }?;
        self.keep(&data[..taken]);
        self.accepted += taken as u64;
        Ok(taken)
    }

    /// A descriptor is closed by `owner`. `still_held` tells whether the file's opener, another process, still has it
    /// open; it is asked only when that matters. `is_opener`: the closing process is the opener.
    pub(crate) fn flush(
        &mut self,
        owner: u64,
        is_opener: impl Fn() -> bool,
        still_held: impl Fn() -> bool,
        patience: Patience,
    ) -> Outcome<()> {
        self.not_slow(patience)?;
        let wrote = self.writers.contains(&owner);
        if self.held.is_some() && (wrote || is_opener()) {
            let delivered = self.deliver_held(patience);
            if delivered != Err(Fail::Slow) {
                self.writers.retain(|w| *w != owner);
            }
            return delivered;
        }
        self.writers.retain(|w| *w != owner);
        if self.held.is_some() {
            return Ok(());
        }
        if self.stream.is_idle() {
            return Ok(());
        }
        // An unfinished document. It may go on from another process of the same pipeline, or from this one: a shell that
        // undoes `echo >&3` closes a copy of the descriptor. So it is reported, and kept until the last one is closed.
        if is_opener() || (wrote && !still_held()) {
            return Err(self.unfinished().into());
        }
        Ok(())
    }

    /// Appends what is complete. From now on every call makes what it appends survive power loss.
    pub(crate) fn sync(&mut self, patience: Patience) -> Outcome<()> {
        self.not_slow(patience)?;
        self.durable = true;
        self.deliver_held(patience)
    }

    /// The last descriptor is gone: a complete document is appended, an unfinished one dropped.
    pub(crate) fn finish(&mut self, patience: Patience) -> Outcome<()> {
        self.not_slow(patience)?;
        self.deliver_held(patience)?;
        if self.stream.is_idle() || self.told { Ok(()) } else { Err(self.unfinished().into()) }
    }

    /// True when closing or syncing it may append.
    pub(crate) fn may_append(&self) -> bool {
        self.held.is_some() || self.waiting.is_some()
    }

    /// A write that waits goes before everything that came later.
    fn not_slow(&self, patience: Patience) -> Outcome<()> {
        if self.waiting.is_some() && patience == Patience::Quick {
            return Err(Fail::Slow);
        }
        Ok(())
    }

    /// The last message that it became.
    pub(crate) fn last(&self) -> Option<Seq> {
        self.last
    }

    /// The pool that it appends to.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// True when there are messages, of which the caller wants to know that they survive power loss. Asked once.
    pub(crate) fn take_unsynced(&mut self) -> bool {
        self.durable && std::mem::take(&mut self.unsynced)
    }

    fn unfinished(&self) -> Refusal {
        let (start, end) = (self.base + self.stream.offset(), self.accepted);
        let text = format!(
            "invalid json: unfinished JSON object (begun at byte {start}, input ends at byte {end}); the end of the object is missing"
        );
        Refusal::new(Errno::EINVAL, text, Some(end))
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

    fn write_document(&mut self, data: &[u8]) -> Outcome<usize> {
        if self.done || self.held.is_some() {
            return match find_text(data) {
                Some(at) => self.refuse_second(self.accepted + at as u64),
                None => Ok(data.len()),
            };
        }
        if let Refused::Line(errno) | Refused::Rest(errno) = self.refused {
            return Err(Refusal::again(errno).into());
        }
        self.push(data);
        let held = match self.stream.next() {
            Ok(found) => found.map(Document::into_owned),
            Err(error) => {
                let refusal = Refusal::of(stream_errno(&self.stream), &error, self.base);
                self.refuse(Refused::Rest(refusal.errno));
                return Err(refusal.into());
            }
        };
        let done = self.stream.offset();
        let rest = &data[data.len().saturating_sub((self.pushed - done) as usize)..];
        if held.is_some()
            && let Some(at) = find_text(rest)
        {
            return self.refuse_second(self.base + done + at as u64);
        }
        self.held = held;
        Ok(data.len())
    }

    fn refuse_second(&mut self, at: u64) -> Outcome<usize> {
        self.refuse(Refused::Rest(Errno::EINVAL));
        Err(second_document(at).into())
    }

    fn write_stream(&mut self, data: &[u8], patience: Patience) -> Outcome<usize> {
        let waiting = self.waiting.take();
        if waiting.is_none()
            && let Refused::Line(errno) | Refused::Rest(errno) = self.refused
        {
            if data.ends_with(b"\n") {
                self.refused = Refused::Nothing;
            }
            return Err(Refusal::again(errno).into());
        }
        let mut pending = waiting.unwrap_or_else(|| {
            let before = self.pushed;
            self.push(data);
            SPARE.take().map_or_else(|| Pending::new(before), |spare| spare.again(before))
        });
        loop {
            self.gather(&mut pending);
            let appended = self.append_pending(&mut pending, patience);
            let next = std::mem::replace(&mut pending.next, Behind::Unknown);
            let (good, refusal) = match (appended, next) {
                (Err(error), next) if is_slow(&error, patience) => {
                    self.waiting = Some(Pending { next, ..pending });
                    return Err(Fail::Slow);
                }
                (Err(error), _) => {
                    let good = pending.starts.get(pending.done).copied().unwrap_or_default();
                    (good, Refusal::of(Errno::from(&error), &error, self.base + good))
                }
                (Ok(()), Behind::Refused(good, refusal)) => (good, refusal),
                (Ok(()), Behind::Nothing) => {
                    SPARE.set(Some(pending).filter(|p| p.batch.bytes() as u64 <= SPARE_BYTES));
                    return Ok(data.len());
                }
                (Ok(()), Behind::Unknown) => {
                    let before = pending.before;
                    pending = pending.again(before);
                    continue;
                }
            };
            self.refuse(Refused::Nothing);
            if good > pending.before {
                // The documents before it are in. The writer tries the rest again, and gets the error.
                return Ok((good - pending.before) as usize);
            }
            if !data.ends_with(b"\n") {
                self.refused = Refused::Line(refusal.errno);
            }
            return Err(refusal.into());
        }
    }

    /// Takes documents out of the stream until they are enough to be appended, or no more are there.
    fn gather(&mut self, pending: &mut Pending) {
        let enough = BATCH_BYTES.min(self.pool.size_bytes() / PARTS_OF_POOL);
        while matches!(pending.next, Behind::Unknown) && (pending.batch.bytes() as u64) < enough {
            let start = self.stream.offset();
            let refused = |errno, error: &Error, base| {
                Behind::Refused(start, Refusal::of(errno, error, base))
            };
            pending.next = match self.stream.next() {
                Ok(None) => Behind::Nothing,
                Ok(Some(document)) => match pending.batch.push(&document, &self.tags) {
                    Ok(()) => {
                        pending.starts.push(start);
                        continue;
                    }
                    Err(error) => refused(Errno::from(&error), &error, self.base + start),
                },
                Err(error) => refused(stream_errno(&self.stream), &error, self.base),
            };
        }
    }

    fn append_pending(&mut self, pending: &mut Pending, patience: Patience) -> Result<(), Error> {
        let Pending { batch, receipts, done, .. } = pending;
        let mut last = None;
        let appended = current::with(&mut self.pool, |pool| {
            receipts.clear();
            let rest = *done..batch.len();
            let appended = pool.with_patience(patience.left()).append_prepared(
                batch,
                rest,
                Durability::Fast,
                receipts,
            );
            *done += receipts.len();
            last = receipts.last().copied().or(last);
            appended
        });
        if let Some(last) = last {
            self.appended(last.seq);
        }
        appended
    }

    fn push(&mut self, data: &[u8]) {
        if self.pushed == 0 {
            self.base = self.accepted;
        }
        self.stream.push(data);
        self.pushed += data.len() as u64;
    }

    fn refuse(&mut self, refused: Refused) {
        self.refused = refused;
        self.held = None;
        self.stream = document_stream(&self.pool, &self.tags);
        self.pushed = 0;
    }

    fn deliver_held(&mut self, patience: Patience) -> Outcome<()> {
        let Some(document) = self.held.take() else { return Ok(()) };
        let appended =
            current::with(&mut self.pool, |pool| append(pool, &document, &self.tags, patience));
        match appended {
            Err(error) if is_slow(&error, patience) => {
                self.held = Some(document);
                Err(Fail::Slow)
            }
            Ok(receipt) => {
                self.appended(receipt.seq);
                self.done = true;
                Ok(())
            }
            Err(error) => {
                let refusal = Refusal::of(Errno::from(&error), &error, self.base);
                self.refuse(Refused::Rest(refusal.errno));
                Err(refusal.into())
            }
        }
    }

    fn appended(&mut self, seq: Seq) {
        self.last = Some(seq);
        self.published = false;
        self.unsynced = true;
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

fn append(
    pool: &Pool,
    document: &Document<'_>,
    tags: &[String],
    patience: Patience,
) -> Result<Receipt, Error> {
    pool.with_patience(patience.left()).append_document(document, tags, Durability::Fast)
}

/// True when somebody with more patience may succeed.
fn is_slow(error: &Error, patience: Patience) -> bool {
    error.kind() == ErrorKind::Busy && patience == Patience::Quick
}

/// Appends what a draft holds, all of it or nothing, as a file of this sort. None: there was nothing in it.
pub(crate) fn deliver_draft(
    pool: &Pool,
    sort: Sort,
    tags: &[String],
    text: &[u8],
    patience: Patience,
) -> Outcome<Option<Seq>> {
    let mut stream = document_stream(pool, tags);
    stream.push(text);
    let (mut documents, mut starts) = (Vec::new(), Vec::new());
    loop {
        let start = stream.offset();
        match stream.next() {
            Ok(Some(document)) => documents.push(document.into_owned()),
            Ok(None) => break,
            Err(error) => return Err(Refusal::of(stream_errno(&stream), &error, 0).into()),
        }
        let gap = text.get(start as usize..).and_then(find_text).unwrap_or_default();
        starts.push(start + gap as u64);
    }
    stream.finish().map_err(|error| Refusal::of(Errno::EINVAL, &error, 0))?;
    if sort == Sort::Document && documents.len() > 1 {
        return Err(second_document(starts[1]).into());
    }
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let entries: Vec<_> =
        documents.iter().map(|document| Entry { document, tags: &tags }).collect();
    if entries.is_empty() {
        return Ok(None);
    }
    let pool = pool.with_patience(patience.left());
    let receipts = pool.append_batch(&entries, Durability::Fast).map_err(|error| {
        if is_slow(&error, patience) {
            return Fail::Slow;
        }
        let start = error.offset().and_then(|entry| starts.get(entry as usize)).copied();
        Refusal::new(Errno::from(&error), error.message(), start).into()
    })?;
    Ok(receipts.last().map(|r| r.seq))
}

/// A stream of documents, none of which is too large for the pool.
fn document_stream(pool: &Pool, tags: &[String]) -> DocumentStream {
    let tags: u64 = tags.iter().map(|tag| tag.len() as u64 + 1).sum();
    DocumentStream::new(pool.max_message_bytes().saturating_sub(tags))
}

/// Where something else than white space, or what may separate documents, begins.
fn find_text(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n' | 0x1E))
}

fn second_document(at: u64) -> Refusal {
    let text = "a .json file takes one JSON object, and a second one begins here; write several of them to a name without .json";
    Refusal::new(Errno::EINVAL, text, Some(at))
}

/// Why a stream has failed: what the pool could never hold is EFBIG, what is no JSON object EINVAL.
fn stream_errno(stream: &DocumentStream) -> Errno {
    match stream.failure() {
        Some(Failure::TooLarge) => Errno::EFBIG,
        _ => Errno::EINVAL,
    }
}
