//! Creating a pool: complete under its name, or not there.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::Pool;
use super::open::{OpenOptions, current_boot, unusable};
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint::{self, Failpoint};
use crate::format::geometry::Geometry;
use crate::format::header::{Lineage, StaticHeader};
use crate::sys::files;
use crate::types::Timestamp;

impl Pool {
    /// Creates a pool whose file has exactly `size_bytes` bytes, all of them reserved, and opens it.
    ///
    /// The file appears under its name when it is complete and on the disk. Directories above it must exist.
    ///
    /// # Errors
    /// AlreadyExists; Usage for a size that no pool can have (it names the smallest and the largest); NotFound when the
    /// directory is not there; Permission; Io when the disk has no room for it.
    pub fn create(path: &Path, size_bytes: u64) -> Result<Self> {
        let geometry = Geometry::of(size_bytes).map_err(|e| e.with_path(path))?;
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        if std::fs::symlink_metadata(path).is_ok() {
            return Err(exists(path));
        }
        let fail = |e: io::Error| cannot_create(path, size_bytes, &e);
        let unnamed = files::unnamed(dir).map_err(fail)?;
        files::reserve(unnamed.file(), size_bytes).map_err(fail)?;
        failpoint::pass(Failpoint::FileReserved);
        let pool_id = files::random_id().map_err(fail)?;
        let header = StaticHeader {
            geometry,
            pool_id,
            created: Timestamp::now(),
            lineage: Lineage::default(),
        };
        let page = header.encode_page(current_boot(path)?);
        unnamed.file().write_all_at(&page, 0).map_err(fail)?;
        failpoint::pass(Failpoint::HeaderWritten);
        unnamed.file().sync_all().map_err(fail)?;
        failpoint::pass(Failpoint::FileSynced);
        // Before it has a name: a process that has no room for the mapping leaves nothing behind.
        let options = OpenOptions::new();
        let map = options.map(unnamed.file(), &header, path)?;
        let file = unnamed.link(path).map_err(fail)?;
        failpoint::pass(Failpoint::FileLinked);
        files::sync_dir(dir, &file).map_err(|e| Error::io(UNSYNCED_NAME, path, &e))?;
        failpoint::pass(Failpoint::DirectorySynced);
        options.adopt(file, header, map, path)
    }
}

const UNSYNCED_NAME: &str =
    "sync the directory; the pool is there, but a power loss may take its name away";

pub(super) fn exists(path: &Path) -> Error {
    Error::new(ErrorKind::AlreadyExists, "there is something of that name already").with_path(path)
}

pub(super) fn cannot_create(path: &Path, size_bytes: u64, error: &io::Error) -> Error {
    match error.raw_os_error() {
        Some(libc::EEXIST) => exists(path),
        Some(libc::ENOSPC | libc::EDQUOT) => Error::new(
            ErrorKind::Io,
            format!("there is no room for a pool of {size_bytes} bytes: {error}"),
        )
        .with_path(path)
        .with_os_error(error)
        .with_hint("ask for a smaller pool, or make room"),
        Some(libc::EFBIG) => {
            let message = format!(
                "a file of {size_bytes} bytes is larger than the file system or the process' own limit allows: {error}"
            );
            Error::usage(message).with_path(path).with_hint(
                "ask for a smaller pool; `ulimit -f` shows the process' own limit, in KiB",
            )
        }
        Some(libc::EACCES | libc::EPERM | libc::EROFS) => Error::io("create the pool", path, error)
            .with_hint("it needs write permission on the directory, or another directory"),
        _ => unusable(path, error).unwrap_or_else(|| Error::io("create the pool", path, error)),
    }
}
