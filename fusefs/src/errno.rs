//! What the kernel is told when something fails: the one table from the engine's errors to errno.

use plasmite_core::{Error, ErrorKind};

/// An errno, as programs on the mount will see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

/// What an operation of the tree answers.
pub(crate) type Reply<T> = Result<T, Errno>;

impl Errno {
    /// The pool file's permissions say no.
    pub(crate) const EACCES: Self = Self(libc::EACCES);
    /// Try again later: nothing to read now and the descriptor does not wait.
    pub(crate) const EAGAIN: Self = Self(libc::EAGAIN);
    /// A descriptor of the wrong sort, or one the mount does not know.
    pub(crate) const EBADF: Self = Self(libc::EBADF);
    /// What `rename` is to deliver is no JSON object. (Of EINVAL, `mv` says that a directory is moved into itself.)
    pub(crate) const EBADMSG: Self = Self(libc::EBADMSG);
    /// A pool with open files can't be removed.
    pub(crate) const EBUSY: Self = Self(libc::EBUSY);
    /// The name is taken.
    pub(crate) const EEXIST: Self = Self(libc::EEXIST);
    /// Larger than the pool can hold.
    pub(crate) const EFBIG: Self = Self(libc::EFBIG);
    /// A signal is waiting for the reader.
    pub(crate) const EINTR: Self = Self(libc::EINTR);
    /// Not a JSON object, or an argument that makes no sense here.
    pub(crate) const EINVAL: Self = Self(libc::EINVAL);
    /// Damage, or a bug.
    pub(crate) const EIO: Self = Self(libc::EIO);
    /// A directory where a file is needed.
    pub(crate) const EISDIR: Self = Self(libc::EISDIR);
    /// No such extended attribute.
    pub(crate) const ENODATA: Self = Self(libc::ENODATA);
    /// No such pool, message or name.
    pub(crate) const ENOENT: Self = Self(libc::ENOENT);
    /// Unfinished drafts of all programs together take too much memory.
    pub(crate) const ENOSPC: Self = Self(libc::ENOSPC);
    /// A file where a directory is needed.
    pub(crate) const ENOTDIR: Self = Self(libc::ENOTDIR);
    /// Messages and views are what they are; they can't be changed.
    pub(crate) const EPERM: Self = Self(libc::EPERM);
    /// A stream serves again only what it delivered last.
    pub(crate) const ESPIPE: Self = Self(libc::ESPIPE);
    /// The inode means nothing any more; the kernel looks the path up again.
    pub(crate) const ESTALE: Self = Self(libc::ESTALE);
    /// The mount has no such thing: other extended attributes than its own.
    pub(crate) const EOPNOTSUPP: Self = Self(libc::EOPNOTSUPP);

    /// Its name, for those that a write may meet; otherwise its number.
    pub(crate) fn name(self) -> String {
        let name = match self.0 {
            libc::EACCES => "EACCES",
            libc::EBADMSG => "EBADMSG",
            libc::EBUSY => "EBUSY",
            libc::EFBIG => "EFBIG",
            libc::EINVAL => "EINVAL",
            libc::EIO => "EIO",
            libc::ENOENT => "ENOENT",
            libc::ENOSPC => "ENOSPC",
            libc::EPERM => "EPERM",
            libc::EROFS => "EROFS",
            libc::ESTALE => "ESTALE",
            other => return other.to_string(),
        };
        name.to_owned()
    }
}

impl From<&Error> for Errno {
    fn from(error: &Error) -> Self {
        match error.kind() {
            // A pool or message that is not there (any more) is a missing file.
            ErrorKind::NotFound => Self::ENOENT,
            // mkdir of a pool that is there.
            ErrorKind::AlreadyExists => Self::EEXIST,
            // Invalid JSON, a name that no pool can have. Too large is told apart by the caller: EFBIG.
            ErrorKind::Usage => Self::EINVAL,
            // Another process holds the writer's lock and does not let go.
            ErrorKind::Busy => Self::EBUSY,
            // The pool file's own permissions; a read-only file system says so itself.
            ErrorKind::Permission => Self(error.os_error().unwrap_or(libc::EACCES)),
            // A full disk, say.
            ErrorKind::Io => Self(error.os_error().unwrap_or(libc::EIO)),
            // Damage and bugs: nothing the caller did.
            _ => Self::EIO,
        }
    }
}

impl From<Error> for Errno {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl From<std::io::Error> for Errno {
    fn from(error: std::io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_errno_its_users_expect() {
        for (kind, errno) in [
            (ErrorKind::Internal, libc::EIO),
            (ErrorKind::Usage, libc::EINVAL),
            (ErrorKind::NotFound, libc::ENOENT),
            (ErrorKind::AlreadyExists, libc::EEXIST),
            (ErrorKind::Busy, libc::EBUSY),
            (ErrorKind::Permission, libc::EACCES),
            (ErrorKind::Corrupt, libc::EIO),
            (ErrorKind::Io, libc::EIO),
        ] {
            assert_eq!(Errno::from(Error::new(kind, "x")), Errno(errno), "{kind:?}");
        }
    }
}
