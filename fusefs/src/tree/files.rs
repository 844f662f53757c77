//! Open files: open, read, poll, release.

use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::access::Want;
use super::{Caller, OpenFile, Tree, What};
use crate::attr::{Entry, Owner, Ttl};
use crate::errno::{Errno, Reply};
use crate::ino::{Fixed, Ino};
use crate::lane::{Attempt, Patience};
use crate::pools::View;
use crate::shelf::Content;
use crate::sync::{lock, write};
use crate::views::{self, Chunk, MatchesLog, PoolLog, Stream, Text, TextReader};
use crate::waiters::{Answer, Notify, Waiting};

/// An open file, and what the kernel may do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// The handle.
    pub(crate) fh: u64,
    /// Every read and write comes here; otherwise the page cache serves it, for good.
    pub(crate) direct: bool,
    /// Closing matters: FLUSH has something to say.
    pub(crate) flush: bool,
}

/// The answer to a read.
pub(crate) enum Read {
    /// Bytes; none at the end of the file.
    Data(Chunk),
    /// Nothing yet.
    Wait(Parking),
}

/// A read that found nothing, and will be answered later.
pub(crate) struct Parking {
    dir: Arc<View>,
    stream: Arc<Stream>,
    offset: u64,
    size: usize,
    caller: Caller,
}

impl Parking {
    /// Leaves the answer here. It may be given before this returns.
    pub(crate) fn park(self, answer: Answer) {
        let Self { dir, stream, offset, size, caller } = self;
        let pool = stream.pool();
        dir.waiters.park(&pool, Waiting { stream, offset, size, caller, answer });
    }
}

/// The answer to a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Readiness {
    /// A read would not wait.
    pub(crate) readable: bool,
    /// A write would not wait.
    pub(crate) writable: bool,
}

impl Tree {
    /// Opens a file.
    pub(crate) fn open(&self, number: u64, flags: i32, caller: Caller) -> Reply<Opened> {
        let ino = Self::ino(number)?;
        let dir = self.dir_of(ino)?;
        self.permit(&dir, Want::Read)?;
        let writes = flags & libc::O_ACCMODE != libc::O_RDONLY || flags & libc::O_TRUNC != 0;
        if let Ino::Node(_, node) = ino {
            let is_text = lock(&dir.texts).find(node).is_some();
            if !is_text {
                return self.open_node(dir, node, flags, caller);
            }
        }
        if writes {
            return Err(Errno::EPERM);
        }
        let what = self.open_view(&dir, ino)?;
        let direct = !matches!(ino, Ino::Message(..) | Ino::Data(..));
        Ok(Opened { fh: self.keep_file(dir, what), direct, flush: false })
    }

    fn open_view(&self, dir: &Arc<View>, ino: Ino) -> Reply<What> {
        let pool = dir.pool()?;
        let whole =
            |bytes: Vec<u8>, mtime| What::Whole { ino, mtime, bytes: Arc::new(bytes.into()) };
        let tags = &dir.filter.tags;
        let stream = |start| Ok(What::Stream(Arc::new(Stream::open(&pool, start, tags)?)));
        match ino {
            Ino::Message(_, low) => {
                let message = Self::message(&pool, low).map_err(super::attributes::gone)?;
                Ok(whole(views::envelope_text(&message), message.time().into()))
            }
            Ino::Data(_, low) => {
                let message = Self::message(&pool, low).map_err(super::attributes::gone)?;
                Ok(whole(views::data_text(&message), message.time().into()))
            }
            Ino::Fixed(_, Fixed::Info) => Ok(whole(views::info_text(&pool)?, SystemTime::now())),
            Ino::Fixed(_, Fixed::Tail) => stream(dir.start(&pool)?),
            Ino::Fixed(_, Fixed::Follow) => stream(pool.bounds()?.newest.next()),
            Ino::Fixed(_, Fixed::Dir | Fixed::Tags | Fixed::Since) | Ino::Root => {
                Err(Errno::EISDIR)
            }
            Ino::Fixed(..) => Err(Errno::ESTALE),
            Ino::Node(_, node) => {
                let (what, base) = lock(&dir.texts).open(node).ok_or(Errno::ESTALE)?;
                let text = text(dir, what).inspect_err(|_| lock(&dir.texts).close(node))?;
                Ok(What::Text { node, text, reader: Mutex::new(TextReader::new(base)) })
            }
        }
    }

    /// Reads. `waits`: the descriptor is not `O_NONBLOCK`.
    pub(crate) fn read(
        &self,
        fh: u64,
        offset: u64,
        size: usize,
        waits: bool,
        caller: Caller,
    ) -> Reply<Read> {
        let file = self.file(fh)?;
        let data = |chunk| Ok(Read::Data(chunk));
        match &file.what {
            What::Whole { bytes, .. } | What::Written { content: bytes, .. } => {
                data(Chunk::of_file(bytes, offset, size))
            }
            What::Text { reader, text, .. } => {
                // A log whose pool was removed has ended.
                let chunk = lock(reader).read(text.as_ref(), offset, size);
                chunk.or_else(|error| views::end_of(&error)).map(Read::Data)
            }
            What::Stream(stream) => {
                let read = read_stream(&file, stream, offset, size, waits, caller);
                let polled = lock(&file.polled).take();
                if let Some(notify) = polled {
                    file.notify_of(stream, notify);
                }
                read
            }
            What::Session { session, .. } => {
                let written = Arc::new(lock(session).written().to_vec().into());
                data(Chunk::of_file(&written, offset, size))
            }
            What::Draft { node, .. } => {
                let content = self.content(*node)?;
                data(Chunk::of_file(&Arc::new(content.into()), offset, size))
            }
        }
    }

    /// Tells whether a read or write would wait; when it would, and `notify` is there, it is called later.
    pub(crate) fn poll(&self, fh: u64, notify: Option<Notify>) -> Reply<Readiness> {
        let file = self.file(fh)?;
        let What::Stream(stream) = &file.what else {
            return Ok(Readiness { readable: true, writable: true });
        };
        let readable = stream.is_ready() || stream.check_alive().is_err();
        match notify {
            Some(notify) if !readable => file.notify_of(stream, notify),
            // Who waits for edges (EPOLLET) does not ask again after a read.
            Some(notify) => *lock(&file.polled) = Some(notify),
            None => {}
        }
        Ok(Readiness { readable, writable: false })
    }

    /// Closes a file for good.
    pub(crate) fn release(&self, fh: u64, patience: Patience) -> Reply<Attempt<()>> {
        let file = self.file(fh)?;
        if let What::Session { node, session, .. } = &file.what
            && let Attempt::Slow(turn) = self.finish(&file, *node, session, patience)?
        {
            return Ok(Attempt::Slow(turn));
        }
        write(&self.files).remove(&fh);
        match &file.what {
            What::Whole { .. } => {}
            What::Text { node, .. } => lock(&file.dir.texts).close(*node),
            What::Stream(_) => file.dir.waiters.forget(fh),
            What::Session { node, .. } | What::Draft { node, .. } | What::Written { node, .. } => {
                self.shelf.close(*node);
            }
        }
        file.dir.file_closed();
        Ok(Attempt::Done(()))
    }

    /// What a written name holds.
    pub(super) fn content(&self, node: u64) -> Reply<Vec<u8>> {
        let (dir, content) = self.shelf.with(node, |node| (node.dir, node.content.clone()))?;
        match content {
            Content::Kept(bytes) => Ok(bytes),
            Content::InPool(seq) => Ok(views::data_text(&self.pools.by_id(dir)?.pool()?.get(seq)?)),
        }
    }

    /// The attributes of a node that was just made.
    pub(super) fn new_entry(&self, dir: &View, node: u64, owner: Owner) -> Reply<Entry> {
        Ok(Entry { attr: self.written_attr(dir, node, owner)?, ttl: Ttl::WRITTEN })
    }
}

/// The text behind `log` or `errors`.
pub(super) fn text(dir: &View, what: Fixed) -> Reply<Arc<dyn Text>> {
    Ok(match what {
        Fixed::Errors => Arc::<crate::rejections::Rejections>::clone(&dir.rejections),
        _ => match &dir.matches {
            Some(matches) => Arc::new(MatchesLog::new(dir.pool()?, Arc::clone(matches))),
            None => Arc::new(PoolLog::new(dir.pool()?)),
        },
    })
}

impl OpenFile {
    /// Calls `notify` when the stream has something to read.
    fn notify_of(&self, stream: &Arc<Stream>, notify: Notify) {
        self.dir.waiters.poll(&stream.pool(), self.fh, Arc::clone(stream), notify);
    }
}

fn read_stream(
    file: &OpenFile,
    stream: &Arc<Stream>,
    offset: u64,
    size: usize,
    waits: bool,
    caller: Caller,
) -> Reply<Read> {
    if let Some(chunk) = stream.try_read(offset, size)? {
        return Ok(Read::Data(chunk));
    }
    if let Err(error) = stream.check_alive() {
        return views::end_of(&error).map(Read::Data);
    }
    if !waits {
        return Err(Errno::EAGAIN);
    }
    let (dir, stream) = (Arc::clone(&file.dir), Arc::clone(stream));
    Ok(Read::Wait(Parking { dir, stream, offset, size, caller }))
}
