//! A pool directory, and what names in it mean.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::format::geometry::Geometry;
use crate::pool::{Info, Pool};
use crate::sys::files;

/// The size of a pool when none is asked for: 1 MiB.
pub const DEFAULT_POOL_SIZE_BYTES: u64 = 1 << 20;

/// What the name of a pool's file ends in.
pub const POOL_SUFFIX: &str = ".plasmite";

/// The longest file name that Linux file systems hold, in bytes.
const MAX_FILE_NAME_BYTES: usize = 255;

/// A client of one pool directory.
///
/// A reference to a pool is a name, `docs` or `docs.plasmite`, for `docs.plasmite` in the directory; or, when it holds a
/// `/`, the path of the file, taken as it is.
#[derive(Clone, Debug)]
pub struct Client {
    dir: PathBuf,
}

/// One pool of a directory.
#[derive(Debug)]
pub struct Listed {
    /// The pool's name, without `.plasmite`.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// Its facts, or why they can't be had.
    pub info: Result<Info>,
}

/// Checks that a pool can have this many bytes.
///
/// # Errors
/// Usage, naming the smallest and the largest pool.
pub fn check_pool_size(size_bytes: u64) -> Result<()> {
    Geometry::of(size_bytes).map(drop)
}

/// `~/.plasmite/pools`, in the home directory as of now.
///
/// # Errors
/// Usage when the process has no home directory.
pub fn default_pool_dir() -> Result<PathBuf> {
    match std::env::home_dir() {
        Some(home) if !home.as_os_str().is_empty() => Ok(home.join(".plasmite").join("pools")),
        _ => Err(Error::usage("there is no home directory for the default pool directory")
            .with_hint("set HOME, or name a pool directory")),
    }
}

impl Client {
    /// A client of `dir`, which need not exist yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The pool directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file that `pool_ref` means.
    ///
    /// # Errors
    /// Usage for what no pool can be called: an empty name, one that starts with a dot, a name with NUL or a newline or too long for a file
    /// name, a path that ends in a slash, a URL.
    pub fn path_of(&self, pool_ref: &str) -> Result<PathBuf> {
        let refuse = |why: &str, hint: &str| {
            Err(Error::usage(format!("pool={pool_ref:?} {why}")).with_hint(hint))
        };
        if pool_ref.is_empty() {
            return refuse("is empty", "name the pool");
        }
        if pool_ref.contains("://") {
            return refuse("is a URL", "pools are files of this machine: give a name or a path");
        }
        if pool_ref.contains(['\0', '\n']) {
            return refuse("holds a NUL or a newline", "choose another name");
        }
        if pool_ref.ends_with('/') {
            return refuse("ends in a slash", "that is a directory: name the file of the pool");
        }
        if pool_ref.contains('/') {
            return Ok(PathBuf::from(pool_ref));
        }
        if pool_ref.starts_with('.') {
            return refuse("starts with a dot", "it would not be listed: choose another name");
        }
        let file_name = if pool_ref.ends_with(POOL_SUFFIX) {
            pool_ref.to_owned()
        } else {
            format!("{pool_ref}{POOL_SUFFIX}")
        };
        if file_name.len() > MAX_FILE_NAME_BYTES {
            return Err(Error::usage(format!(
                "a pool's name of {} bytes is too long",
                pool_ref.len()
            ))
            .with_hint(format!(
                "a name has at most {} bytes",
                MAX_FILE_NAME_BYTES - POOL_SUFFIX.len()
            )));
        }
        Ok(self.dir.join(file_name))
    }

    /// Creates a pool, and the directories above it where they are missing.
    ///
    /// # Errors
    /// AlreadyExists, and as [`Client::path_of`] and [`Pool::create`].
    pub fn create(&self, pool_ref: &str, size_bytes: u64) -> Result<Pool> {
        let path = self.path_of(pool_ref)?;
        if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
            files::create_directories(dir).map_err(|e| match e.kind() {
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                    Error::no_directory(dir)
                }
                _ => Error::io("create the pool directory", dir, &e),
            })?;
        }
        Pool::create(&path, size_bytes)
    }

    /// Opens a pool for reading and writing.
    ///
    /// # Errors
    /// As [`Client::path_of`] and [`Pool::open`].
    pub fn open(&self, pool_ref: &str) -> Result<Pool> {
        Pool::open(&self.path_of(pool_ref)?)
    }

    /// Opens a pool for reading; read permission is enough.
    ///
    /// # Errors
    /// As [`Client::path_of`] and [`Pool::open_read_only`].
    pub fn open_read_only(&self, pool_ref: &str) -> Result<Pool> {
        Pool::open_read_only(&self.path_of(pool_ref)?)
    }

    /// Opens a pool, or creates it with `size_bytes` when it is not there. Of several processes that do this at once, one
    /// creates it and all get the same pool.
    ///
    /// # Errors
    /// As [`Client::create`] and [`Client::open`].
    pub fn open_or_create(&self, pool_ref: &str, size_bytes: u64) -> Result<Pool> {
        let mut tries = 0;
        loop {
            match self.open(pool_ref) {
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                other => return other,
            }
            match self.create(pool_ref, size_bytes) {
                // Someone else created it since, and may have deleted it again.
                Err(e) if e.kind() == ErrorKind::AlreadyExists && tries < 10 => tries += 1,
                other => return other,
            }
        }
    }

    /// Deletes a pool; handles that are open find out.
    ///
    /// # Errors
    /// As [`Client::path_of`] and [`Pool::delete`].
    pub fn delete(&self, pool_ref: &str) -> Result<()> {
        Pool::delete(&self.path_of(pool_ref)?)
    }

    /// Renames a pool. Handles that are open go on.
    ///
    /// # Errors
    /// NotFound; AlreadyExists when there is something called `to`; as [`Client::path_of`].
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.path_of(from)?, self.path_of(to)?);
        files::rename_noreplace(&from, &to).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => Error::io("rename the pool", &to, &e),
            _ => Error::io("rename the pool", &from, &e),
        })
    }

    /// Names and files of the pools in the directory, sorted by name. Opens none of them.
    ///
    /// # Errors
    /// Usage when it is no directory; Permission or Io when it can't be read. One that does not exist holds no pools.
    pub fn names(&self) -> Result<Vec<(String, PathBuf)>> {
        let fail = |e: io::Error| Error::io("list the pool directory", &self.dir, &e);
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
                return Err(Error::no_directory(&self.dir));
            }
            Err(e) => return Err(fail(e)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(fail)?;
            if let Some(name) = pool_name(&entry.file_name()) {
                names.push((name, entry.path()));
            }
        }
        names.sort();
        Ok(names)
    }

    /// All pools of the directory with their facts, sorted by name.
    ///
    /// # Errors
    /// As [`Client::names`]; what is wrong with a single pool is in its entry.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let with_info = |(name, path): (String, PathBuf)| {
            let info = Pool::open_read_only(&path).and_then(|pool| pool.info());
            Listed { name, path, info }
        };
        Ok(self.names()?.into_iter().map(with_info).collect())
    }
}

/// `docs` for `docs.plasmite`; None for files that are no pools.
fn pool_name(file_name: &OsStr) -> Option<String> {
    let name = file_name.to_str()?.strip_suffix(POOL_SUFFIX)?;
    (!name.is_empty() && !name.starts_with('.')).then(|| name.to_owned())
}
