//! The mount's tree: what each file operation means, in plain synchronous Rust.
//!
//! Nothing here waits. A read that has nothing to deliver comes back as [`Read::Wait`], and the caller leaves its
//! answer with it.

mod access;
mod attributes;
mod changes;
mod files;
mod listing;
#[cfg(test)]
mod tests;
mod writing;
mod xattrs;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use crate::attr::Ttl;
use crate::errno::{Errno, Reply};
use crate::ino::{Fixed, Ino, full_seq};
use crate::memory_of_names::{Gate, Inside};
use crate::names::Meaning;
use crate::numbers::ByNumber;
use crate::pools::{Pools, View};
use crate::shelf::{Receipt, Shelf};
use crate::sync::{lock, read, write};
use crate::views::buffers::Bytes;
use crate::views::{Stream, Text, TextReader};
use crate::waiters::Notify;

pub(crate) use attributes::{Change, MAX_NAME_BYTES};
pub(crate) use files::{Opened, Read, Readiness};
pub(crate) use listing::Listed;
pub(crate) use writing::Unsynced;

use crate::session::Session;
use listing::Listing;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// The kernel's number for the request.
    pub(crate) request: u64,
    /// The thread, as the mount's pid namespace numbers it; 0 when it can't be named.
    pub(crate) tid: u32,
    /// The user on whose behalf it acts.
    pub(crate) uid: u32,
    /// The group of the same.
    pub(crate) gid: u32,
}

/// What a mount is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// The size of pools that `mkdir` creates.
    pub(crate) pool_size_bytes: u64,
    /// Pool files are opened for reading; the kernel refuses whatever would write.
    pub(crate) read_only: bool,
    /// Listings show the streams, links and controls too.
    pub(crate) show_streams: bool,
    /// Other users may come in. The kernel checks what they may do, by the attributes it is given.
    pub(crate) shared: bool,
}

/// The tree of one mount.
pub(crate) struct Tree {
    pools: Arc<Pools>,
    shelf: Shelf,
    settings: Settings,
    files: std::sync::RwLock<ByNumber<u64, Arc<OpenFile>>>,
    listings: Mutex<HashMap<u64, Arc<Listing>>>,
    next_handle: AtomicU64,
    watched: AtomicBool,
    root: Arc<Gate>,
}

/// An open file.
struct OpenFile {
    fh: u64,
    dir: Arc<View>,
    what: What,
    /// Who polled while there was something to read, and wants to know when there is more.
    polled: Mutex<Option<Notify>>,
}

/// What is behind an open file.
enum What {
    /// A file that was made whole when it was opened. It stays readable when its message goes.
    Whole { ino: Ino, mtime: SystemTime, bytes: Arc<Bytes> },
    /// `log`, `errors`.
    Text { node: u64, text: Arc<dyn Text>, reader: Mutex<TextReader> },
    /// `tail`, `follow`.
    Stream(Arc<Stream>),
    /// A name that is being written.
    Session { node: u64, receipt: Arc<Receipt>, session: Box<Mutex<Session>> },
    /// A draft, for reading and writing.
    Draft { node: u64, at_end: bool, limit: u64 },
    /// A written name, for reading.
    Written { node: u64, content: Arc<Bytes> },
}

impl Tree {
    /// The tree over a pool directory.
    pub(crate) fn new(pool_dir: PathBuf, settings: Settings) -> Self {
        Self {
            pools: Arc::new(Pools::new(pool_dir, settings.read_only)),
            shelf: Shelf::default(),
            settings,
            files: std::sync::RwLock::default(),
            listings: Mutex::default(),
            next_handle: AtomicU64::new(1),
            watched: AtomicBool::new(false),
            root: Arc::default(),
        }
    }

    /// The pool directory.
    pub(crate) fn pool_dir(&self) -> &std::path::Path {
        self.pools.client().dir()
    }

    /// Has the reads of this mount that wait end when the kernel interrupts them.
    pub(crate) fn attend_interrupts(&self) {
        self.pools.interrupts().attend();
    }

    /// True when the kernel may know a directory by that name which is not that pool any more. Whoever waits in it learns so now.
    pub(crate) fn is_stale(&self, pool: &str) -> bool {
        self.pools.is_stale(pool)
    }

    /// Ends every waiting read with end of file: the mount is going away.
    pub(crate) fn close_waiters(&self) {
        self.pools.close_waiters();
    }

    /// To be held, by who is asked for something in these directories, until the kernel has its answer.
    pub(crate) fn enter(&self, dirs: &[u64]) -> Option<Inside> {
        dirs.contains(&Ino::Root.encode()).then(|| self.root.enter())
    }

    /// Those who are asked for something in the root.
    pub(crate) fn root(&self) -> &Gate {
        &self.root
    }

    /// Whether somebody tells the kernel when a pool goes away.
    pub(crate) fn set_watched(&self, watched: bool) {
        self.watched.store(watched, Ordering::Relaxed);
    }

    /// Ends every read that waits now with end of file; later ones wait again.
    pub(crate) fn end_waits(&self) {
        self.pools.end_waits();
    }

    /// How many files and directories are open.
    pub(crate) fn open_files(&self) -> u64 {
        (read(&self.files).len() + lock(&self.listings).len()) as u64
    }

    /// How long the kernel may use what it is told of a message.
    fn message_ttl(&self) -> Ttl {
        if self.settings.shared { Ttl::MESSAGE.checked_by_kernel() } else { Ttl::MESSAGE }
    }

    fn pool_ttl(&self) -> Ttl {
        if self.watched.load(Ordering::Relaxed) { Ttl::POOL } else { Ttl::NONE }
    }

    fn ino(number: u64) -> Reply<Ino> {
        Ino::decode(number).ok_or(Errno::ESTALE)
    }

    /// The pool directory that `ino` belongs to. EPERM for the root.
    fn dir_of(&self, ino: Ino) -> Reply<Arc<View>> {
        self.pools.by_id(ino.dir().ok_or(Errno::EPERM)?)
    }

    /// The message that an inode number's low bits stand for.
    fn message(pool: &plasmite_core::Pool, low: u64) -> Reply<plasmite_core::Message> {
        Ok(pool.get(full_seq(low, pool.bounds()?.newest))?)
    }

    /// True when looking `name` up takes a while, because messages have to be looked at for their tags.
    pub(crate) fn is_long_lookup(&self, parent: u64, name: &OsStr) -> bool {
        let Some(Ino::Fixed(id, Fixed::Dir)) = Ino::decode(parent) else { return false };
        self.pools.by_id(id).is_ok_and(|dir| {
            let asks = [Meaning::First, Meaning::Latest, Meaning::Log];
            dir.is_tagged() && asks.contains(&dir.meaning(name)) && is_behind(&dir)
        })
    }

    /// True when the attributes, the opening or the target of an inode take a while for the same reason.
    pub(crate) fn is_long_look(&self, number: u64) -> bool {
        let Some(ino) = Ino::decode(number) else { return false };
        let asks = matches!(ino, Ino::Node(..) | Ino::Fixed(_, Fixed::First | Fixed::Latest));
        asks && ino.dir().is_some_and(|id| self.pools.by_id(id).is_ok_and(|dir| is_behind(&dir)))
    }

    /// True when reading or polling an open file takes a while for the same reason, or looking at a written one because its pool can't
    /// be written just now.
    pub(crate) fn is_long_read(&self, fh: u64) -> bool {
        self.file(fh).is_ok_and(|file| match &file.what {
            What::Stream(stream) => file.dir.is_tagged() && stream.is_behind(),
            What::Text { .. } => file.dir.is_tagged(),
            What::Session { .. } => file.dir.lane.is_busy(),
            _ => false,
        })
    }

    fn new_handle(&self) -> u64 {
        self.next_handle.fetch_add(1, Ordering::Relaxed)
    }

    fn keep_file(&self, dir: Arc<View>, what: What) -> u64 {
        let fh = self.new_handle();
        dir.file_opened();
        write(&self.files)
            .insert(fh, Arc::new(OpenFile { fh, dir, what, polled: Mutex::default() }));
        fh
    }

    fn file(&self, fh: u64) -> Reply<Arc<OpenFile>> {
        read(&self.files).get(&fh).cloned().ok_or(Errno::EBADF)
    }

    fn listing(&self, fh: u64) -> Reply<Arc<Listing>> {
        lock(&self.listings).get(&fh).cloned().ok_or(Errno::EBADF)
    }
}

fn is_behind(dir: &View) -> bool {
    let Some(matches) = &dir.matches else { return false };
    dir.pool().is_ok_and(|pool| matches.is_behind(&pool))
}
