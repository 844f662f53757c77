//! Opening a pool: what is not a pool of this version is refused by name, and what a power loss left is put right.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::local::PerProcess;
use super::{Pool, Shared, pages, recover};
use crate::error::{Error, ErrorKind, Result};
use crate::format::header::{STATE_AT, STATIC_BYTES, StaticHeader};
use crate::sys::files;
use crate::sys::map::Map;
use crate::sys::process;
use crate::types::Timestamp;

/// How often a file that loses its name while it is opened is looked for again.
const MAX_TRIES: u32 = 20;

/// How a pool is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    pub(super) read_only: bool,
    pub(super) patience: Duration,
    pub(super) clock: fn() -> Timestamp,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { read_only: false, patience: Duration::from_secs(2), clock: Timestamp::now }
    }
}

impl OpenOptions {
    /// For reading and writing, with a patience of two seconds.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens for reading only, for which read permission on the file is enough.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// How long a writer that lives may keep the pool's lock (stopped, or in a debugger) before others get Busy.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Where the times of messages come from, instead of the system's clock.
    #[must_use]
    pub fn clock(mut self, clock: fn() -> Timestamp) -> Self {
        self.clock = clock;
        self
    }

    /// Opens the pool at `path`.
    ///
    /// # Errors
    /// As [`Pool::open`].
    pub fn open(&self, path: &Path) -> Result<Pool> {
        let mut tries = 0;
        loop {
            match self.open_named(path) {
                // It lost its name since it was opened, to the file of a resized or new pool perhaps: that is the one that is meant.
                Err(e) if e.kind() == ErrorKind::NotFound && tries < MAX_TRIES && path.exists() => {
                    tries += 1;
                }
                result => return result,
            }
        }
    }

    fn open_named(&self, path: &Path) -> Result<Pool> {
        let file = files::open(path, !self.read_only).map_err(|e| cannot_open(path, &e))?;
        let header = read_static(&file, path)?;
        if !self.read_only {
            files::fill_holes(&file).map_err(|e| cannot_fill(path, &e))?;
        }
        let map = self.map(&file, &header, path)?;
        self.adopt(file, header, map, path)
    }

    pub(super) fn map(&self, file: &File, header: &StaticHeader, path: &Path) -> Result<Map> {
        Map::new(file, header.geometry.size_bytes, !self.read_only).map_err(|e| {
            let error = Error::io("map the pool into memory", path, &e);
            match e.raw_os_error() {
                Some(libc::ENOMEM) => error.with_hint(
                    "the process may not have that much address space: `ulimit -v` shows its limit",
                ),
                _ => error,
            }
        })
    }

    /// Makes a handle of an open file whose header was read.
    pub(super) fn adopt(
        &self,
        file: File,
        header: StaticHeader,
        map: Map,
        path: &Path,
    ) -> Result<Pool> {
        let mut shared = Shared {
            path: path.to_owned(),
            header,
            map,
            local: PerProcess::new(file, !self.read_only),
            read_only: self.read_only,
            options: self.clone(),
            frozen: None,
            flushed: AtomicU64::new(pages::NO_FLUSH),
            next_look: AtomicU64::new(0),
        };
        let boot_id = current_boot(path)?;
        let found = shared.map.boot_id();
        if found != boot_id {
            let ring = super::Ring { map: &shared.map, geometry: &shared.header.geometry };
            if self.read_only {
                shared.frozen = Some(recover::survey(ring, found));
            } else {
                recover::recover(ring, shared.local.file(), boot_id, self.patience)
                    .map_err(|e| e.with_path(path))?;
            }
        }
        let pool = Pool(Arc::new(shared), None);
        match pool.check_alive() {
            // The state says "deleted", which is only ever stored once the last name is gone.
            Err(e)
                if e.kind() == ErrorKind::NotFound
                    && !files::is_unlinked(pool.file()).unwrap_or(true) =>
            {
                return Err(Error::corrupt("the header says that the pool was deleted")
                    .with_path(path)
                    .with_offset(STATE_AT));
            }
            result => result?,
        }
        pool.current_bounds()?;
        Ok(pool)
    }
}

/// The id of this boot, without which nobody could tell whether a power loss lies between two uses of a pool.
pub(super) fn current_boot(path: &Path) -> Result<[u8; 16]> {
    process::boot_id().map_err(|e| {
        Error::io("learn which boot of the machine this is", path, &e)
            .with_hint("/proc must be mounted")
    })
}

fn cannot_fill(path: &Path, error: &io::Error) -> Error {
    Error::io("reserve the parts of the pool's file that take no room on the disk yet", path, error)
        .with_hint("make room on the disk, or open the pool for reading only")
}

pub(super) fn cannot_open(path: &Path, error: &io::Error) -> Error {
    match error.raw_os_error() {
        Some(libc::EISDIR) => no_file(path, "a directory"),
        // A FIFO or socket, or a device that nothing drives.
        Some(libc::ENXIO | libc::ENODEV) => no_file(path, "no regular file"),
        Some(libc::ENOENT) => match std::fs::read_link(path) {
            Ok(target) => Error::new(
                ErrorKind::NotFound,
                format!("there is no such pool: a link of its name leads to {target:?}, which is not there"),
            )
            .with_path(path)
            .with_hint("put the file there, or remove the link"),
            Err(_) => Error::new(ErrorKind::NotFound, "there is no such pool").with_path(path),
        },
        Some(libc::EACCES | libc::EPERM) => Error::io("open the pool", path, error).with_hint(
            "reading needs read permission on the file, appending write permission too: `ls -l` shows who has them",
        ),
        _ => unusable(path, error).unwrap_or_else(|| Error::io("open the pool", path, error)),
    }
}

/// The error for a path that leads nowhere, whatever is done there.
pub(super) fn unusable(path: &Path, error: &io::Error) -> Option<Error> {
    let hint = match error.raw_os_error()? {
        libc::ENOTDIR => return Some(Error::no_directory(path)),
        libc::ELOOP => "a symbolic link leads back to itself: remove it, or name another path",
        libc::ENAMETOOLONG => "choose a shorter one",
        _ => return None,
    };
    let message = format!("the pool's path can't be used: {error}");
    Some(Error::usage(message).with_path(path).with_hint(hint))
}

fn no_file(path: &Path, what: &str) -> Error {
    Error::usage(format!("what has the pool's name is {what}, not a pool"))
        .with_path(path)
        .with_hint("choose another name, or move it elsewhere and create the pool")
}

pub(super) fn read_static(file: &File, path: &Path) -> Result<StaticHeader> {
    let fail = |e: io::Error| Error::io("read the pool", path, &e);
    let metadata = file.metadata().map_err(fail)?;
    if metadata.is_dir() {
        return Err(no_file(path, "a directory"));
    }
    if !metadata.is_file() {
        return Err(no_file(path, "no regular file"));
    }
    let mut start = [0; STATIC_BYTES];
    let mut filled = 0;
    while filled < start.len() {
        match file.read_at(&mut start[filled..], filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(fail(e)),
        }
    }
    StaticHeader::decode(&start[..filled], metadata.len(), path)
}
