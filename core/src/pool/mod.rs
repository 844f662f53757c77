//! A pool: one bounded file of messages, open in this process.

mod activity;
mod append;
mod batch;
mod company;
mod create;
mod delete;
pub mod doctor;
mod info;
mod live;
mod local;
mod lock;
mod open;
mod pages;
mod place;
mod read;
mod rebuild;
mod recover;
mod resize;
mod ring;
mod search;
mod sync;
mod tail;
mod wait;
mod wait_any;

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use activity::Activity;
pub use append::Entry;
pub use batch::Batch;
pub use info::Info;
pub use open::OpenOptions;
pub use resize::Resized;
pub use search::LogRange;
pub use tail::{GapPolicy, Tail, TailOptions};
pub use wait::Waited;
pub use wait_any::{Bell, MAX_WAIT_ANY, wait_any};

use crate::error::{Error, ErrorKind, Result};
use crate::format::geometry::Geometry;
use crate::format::header::{STATE_DELETED, STATE_RESIZED, StaticHeader};
use crate::sys::map::Map;
use crate::types::{Bounds, Seq, Timestamp};
use local::{Local, PerProcess};
use lock::Waiter;
use recover::Recovered;
use ring::Ring;

/// How often a handle that is in use makes sure that its file still has a name.
const LOOK_FOR_NAME: Duration = Duration::from_millis(50);

/// An open pool. Cheap to clone; any number of threads may use one handle, and any number of handles and processes one pool.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Shared>, Option<Duration>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    header: StaticHeader,
    map: Map,
    local: PerProcess,
    read_only: bool,
    options: OpenOptions,
    /// What a reader that may not write sees of a pool that was not recovered since the last boot.
    frozen: Option<Recovered>,
    /// The place of the ring up to which this handle's last flush went, or [`pages::NO_FLUSH`].
    flushed: AtomicU64,
    /// When to look again whether the file still has a name, in nanoseconds since 1970.
    next_look: AtomicU64,
}

impl Pool {
    /// Opens a pool for reading and writing. [`OpenOptions`] has the choices.
    ///
    /// # Errors
    /// NotFound, Permission, Corrupt, or Usage for something that is no pool of this format version.
    pub fn open(path: &Path) -> Result<Self> {
        OpenOptions::new().open(path)
    }

    /// Opens a pool for reading only: read permission on the file is enough.
    ///
    /// # Errors
    /// As [`Pool::open`].
    pub fn open_read_only(path: &Path) -> Result<Self> {
        OpenOptions::new().read_only(true).open(path)
    }

    /// The same pool for a caller who waits no longer than `patience` to append, whether for a writer that lives and keeps the
    /// lock or for another thread of this process; then it gets Busy, with nothing appended. For programs that may not wait, and try
    /// again elsewhere.
    #[must_use]
    pub fn with_patience(&self, patience: Duration) -> Self {
        Self(Arc::clone(&self.0), Some(patience))
    }

    /// The path the pool was opened by.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The open pool file, for its metadata.
    pub fn file(&self) -> &File {
        self.0.local.file()
    }

    /// True when this handle can't append.
    pub fn is_read_only(&self) -> bool {
        self.0.read_only
    }

    /// A random number given to the pool when it was created.
    pub fn id(&self) -> [u8; 16] {
        self.0.header.pool_id
    }

    /// The size of its file, in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.geometry().size_bytes
    }

    /// The largest payload of one message, in bytes: its data, and for each tag its length and one.
    pub fn max_message_bytes(&self) -> u64 {
        self.geometry().max_payload()
    }

    /// What is retained now. No system call.
    ///
    /// # Errors
    /// NotFound when the pool was deleted, Corrupt when the header is damaged.
    pub fn bounds(&self) -> Result<Bounds> {
        self.check_state()?;
        self.current_bounds()
    }

    /// Looks, at the cost of a system call, whether the pool still has its file.
    ///
    /// # Errors
    /// NotFound when it was deleted, Corrupt when it has another size than it was made with.
    pub fn check_alive(&self) -> Result<()> {
        self.check_state()?;
        match self.file().metadata() {
            Ok(m) if m.nlink() == 0 => Err(self.nameless()),
            Ok(m) if m.len() != self.geometry().size_bytes => Err(self.shrunk()),
            Ok(_) => Ok(()),
            Err(e) => Err(Error::io("look at the pool", self.path(), &e)),
        }
    }

    /// Gives the memory that the pool's pages take in this process back to the system, until they are used again. For a
    /// process that keeps many pools open; costs a system call, and some microseconds at the next use.
    pub fn release_pages(&self) {
        self.map().release_pages();
    }

    fn geometry(&self) -> &Geometry {
        &self.0.header.geometry
    }

    fn map(&self) -> &Map {
        &self.0.map
    }

    fn ring(&self) -> Ring<'_> {
        Ring { map: self.map(), geometry: self.geometry() }
    }

    /// Where message `seq` starts.
    #[inline]
    fn start_of(&self, seq: Seq) -> Result<u64> {
        let start = match self.frozen() {
            Some(recovered) => recovered.found.start_of(self.ring(), seq),
            None => self.ring().start_of(seq),
        };
        start.map_err(|e| e.with_path(self.path()))
    }

    fn current_bounds(&self) -> Result<Bounds> {
        let bounds = self.said_bounds();
        // Zeros under a file that shrank are no bounds.
        if self.map().is_poisoned() { Err(self.shrunk()) } else { bounds }
    }

    fn said_bounds(&self) -> Result<Bounds> {
        match self.frozen() {
            Some(recovered) => Ok(recovered.bounds),
            None => self
                .map()
                .bounds(self.geometry())
                .map_err(|e| self.unless_cut(e.with_path(self.path()))),
        }
    }

    /// Set in a read-only handle until a writer recovers the pool.
    fn frozen(&self) -> Option<&Recovered> {
        self.0.frozen.as_ref().filter(|f| self.map().boot_id() == f.boot_id)
    }

    /// The flag that a deleter leaves (one from before a power loss says nothing: the file has a name), and the mark of a file that shrank: two loads.
    fn check_state(&self) -> Result<()> {
        let state = self.map().state().load(Ordering::Acquire);
        // Afterwards: that load may be what finds the file cut.
        if self.map().is_poisoned() {
            return Err(self.shrunk());
        }
        match state {
            STATE_DELETED if self.frozen().is_none() => Err(self.deleted()),
            STATE_RESIZED if self.frozen().is_none() => Err(self.resized()),
            _ => Ok(()),
        }
    }

    /// The same, and now and then a look for the file's name: someone may have removed the file without telling.
    fn check_name(&self, now: Timestamp) -> Result<()> {
        let next = self.0.next_look.load(Ordering::Relaxed);
        // The second clause is for a clock that was set back.
        if now.as_nanos() < next && now.as_nanos() + 2 * LOOK_FOR_NAME.as_nanos() as u64 > next {
            return self.check_state();
        }
        let next = now.as_nanos().saturating_add(LOOK_FOR_NAME.as_nanos() as u64);
        self.0.next_look.store(next, Ordering::Relaxed);
        self.check_alive()
    }

    #[cold]
    fn deleted(&self) -> Error {
        Error::new(ErrorKind::NotFound, "the pool was deleted")
            .with_path(self.path())
            .with_hint("open it again if there is a new one")
    }

    #[cold]
    fn resized(&self) -> Error {
        Error::new(ErrorKind::NotFound, "the pool was resized: it is in a new file now")
            .with_path(self.path())
            .with_hint("open it again")
    }

    /// What seems wrong by the header, unless the file was cut within it: then zeros are all that is, and no store or load has met the end.
    #[cold]
    fn unless_cut(&self, wrong: Error) -> Error {
        match self.file().metadata().map(|m| m.len()) {
            Ok(size) if size < self.geometry().size_bytes => self.changed_size(size),
            _ => wrong,
        }
    }

    #[cold]
    fn shrunk(&self) -> Error {
        // From now on what this handle writes goes nowhere, the words that would free its locks among it.
        if let Ok(local) = self.0.local.get() {
            local.place.abandon(&local.file);
        }
        let size = self.file().metadata().map_or(0, |m| m.len());
        if size == self.geometry().size_bytes {
            return Error::new(
                ErrorKind::Io,
                "a part of the pool's file was lost while it was in use: the disk failed or is full, or the file was cut and made longer again",
            )
            .with_path(self.path())
            .with_hint("look after the disk, and open the pool again");
        }
        self.changed_size(size)
    }

    fn changed_size(&self, size: u64) -> Error {
        Error::corrupt(format!(
            "the pool's file changed its size while it was in use: size={size}, made with {}",
            self.geometry().size_bytes
        ))
        .with_path(self.path())
        .with_offset(size)
    }

    fn writable(&self) -> Result<()> {
        if self.0.read_only {
            return Err(Error::new(ErrorKind::Permission, "the pool was opened for reading only")
                .with_path(self.path()));
        }
        Ok(())
    }

    fn waiter<'a>(&'a self, local: &'a Local) -> Waiter<'a> {
        Waiter {
            map: self.map(),
            file: &local.file,
            own: &local.place,
            patience: self.1.unwrap_or(self.0.options.patience),
        }
    }
}
