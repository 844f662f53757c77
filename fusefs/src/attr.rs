//! File attributes, in the mount's own words.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

/// What sort of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
}

/// Who owns a pool file, and what its permissions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// User.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// Permission bits.
    pub(crate) mode: u16,
}

impl Owner {
    /// The owner of the file with this metadata.
    pub(crate) fn of(meta: &Metadata) -> Self {
        Self { uid: meta.uid(), gid: meta.gid(), mode: (meta.mode() & 0o777) as u16 }
    }

    /// The permissions of the pool's files that are read.
    pub(crate) fn read_mode(self) -> u16 {
        self.mode & 0o444
    }

    /// The permissions of the pool's directory: whoever may read the pool file may enter it.
    pub(crate) fn dir_mode(self) -> u16 {
        self.mode & 0o666 | (self.mode & 0o444) >> 2
    }
}

/// The attributes of a file in the mount.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Attr {
    /// The inode number.
    pub(crate) ino: u64,
    /// Size in bytes.
    pub(crate) size: u64,
    /// What it is.
    pub(crate) kind: Kind,
    /// Permission bits.
    pub(crate) mode: u16,
    /// User.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// When it changed last.
    pub(crate) mtime: SystemTime,
}

/// How long the kernel may use what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ttl {
    /// That the name leads to this inode.
    pub(crate) entry: Duration,
    /// The attributes.
    pub(crate) attr: Duration,
}

impl Ttl {
    /// Ask again each time.
    pub(crate) const NONE: Self = Self { entry: Duration::ZERO, attr: Duration::ZERO };
    /// A pool's directory, while somebody watches the pool directory and tells the kernel when a name goes away. Whatever
    /// the kernel still asks of a pool that is gone is ESTALE, after which it looks the name up again.
    pub(crate) const POOL: Self = Self { entry: Duration::from_secs(10), attr: Duration::ZERO };
    /// A message never changes; the bound is for the ones that were overwritten.
    pub(crate) const MESSAGE: Self =
        Self { entry: Duration::from_secs(10), attr: Duration::from_secs(600) };
    /// A written name changes only through this mount.
    pub(crate) const WRITTEN: Self =
        Self { entry: Duration::from_secs(1), attr: Duration::from_secs(1) };

    /// The same in a mount where the kernel checks permissions: those change with the pool file's.
    pub(crate) fn checked_by_kernel(self) -> Self {
        Self { attr: self.attr.min(Duration::from_secs(1)), ..self }
    }
}

/// What a lookup gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Entry {
    /// The attributes.
    pub(crate) attr: Attr,
    /// How long they hold.
    pub(crate) ttl: Ttl,
}
