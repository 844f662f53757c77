//! One error type for every surface: what happened, with which values, and what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::types::Seq;

/// A result of the engine.
pub type Result<T> = std::result::Result<T, Error>;

/// What sort of failure an [`Error`] is. The number is the C ABI's value and the command's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum ErrorKind {
    /// A bug of Plasmite.
    Internal = 1,
    /// A bad argument, invalid JSON, a message that is too large, a file of an unknown format version.
    Usage = 2,
    /// No such pool, or no such message.
    NotFound = 3,
    /// A pool of that name is there already.
    AlreadyExists = 4,
    /// It could not be done safely now; trying again later may work.
    Busy = 5,
    /// The file system refused.
    Permission = 6,
    /// The file is damaged, or is not a pool.
    Corrupt = 7,
    /// Another input or output failure.
    Io = 8,
    /// A reader that asked to be told was overtaken; [`Error::seq`] is the first message it missed.
    RetentionGap = 9,
}

impl ErrorKind {
    /// The kind's name, as the command and the bindings print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Internal => "Internal",
            Self::Usage => "Usage",
            Self::NotFound => "NotFound",
            Self::AlreadyExists => "AlreadyExists",
            Self::Busy => "Busy",
            Self::Permission => "Permission",
            Self::Corrupt => "Corrupt",
            Self::Io => "Io",
            Self::RetentionGap => "RetentionGap",
        }
    }

    /// The number that stands for this kind in the C ABI and as an exit code (1 to 9).
    pub fn code(self) -> i32 {
        self as i32
    }
}

/// A failure, with what is known of the pool's path, the message and the byte offset.
///
/// Whatever builds one is marked cold, so that calls that succeed run through short, straight code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    path: Option<PathBuf>,
    seq: Option<Seq>,
    offset: Option<u64>,
    os_error: Option<i32>,
}

impl Error {
    /// An error of this kind. The message says what happened with which values, without a final dot.
    #[cold]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            hint: None,
            path: None,
            seq: None,
            offset: None,
            os_error: None,
        }))
    }

    /// An [`ErrorKind::Usage`] error.
    #[cold]
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// An [`ErrorKind::Corrupt`] error. Its hint is what helps with any damaged pool.
    #[cold]
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
            .with_hint("put a copy of the whole file back, or delete the pool and create it again")
    }

    /// The error for a failed system call on `path`: NotFound, AlreadyExists or Permission where the
    /// errno says so, otherwise Io. `doing` names the attempt, as in "open the pool".
    #[cold]
    pub fn io(doing: &str, path: &Path, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                ErrorKind::Permission
            }
            _ => ErrorKind::Io,
        };
        Self::new(kind, format!("cannot {doing}: {error}")).with_path(path).with_os_error(error)
    }

    /// The Usage error for a path of which a part that should be a directory is something else.
    #[cold]
    pub(crate) fn no_directory(path: &Path) -> Self {
        Self::usage("a part of the path is no directory")
            .with_path(path)
            .with_hint("name a directory, or one that does not exist yet")
    }

    /// The same error with what the reader can do about it.
    #[must_use]
    #[cold]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same error with the path it is about.
    #[must_use]
    #[cold]
    pub fn with_path(mut self, path: &Path) -> Self {
        self.0.path = Some(path.to_owned());
        self
    }

    /// The same error with the message it is about.
    #[must_use]
    #[cold]
    pub fn with_seq(mut self, seq: Seq) -> Self {
        self.0.seq = Some(seq);
        self
    }

    /// The same error with an offset: in bytes, into the file for [`ErrorKind::Corrupt`] and into the text for invalid JSON;
    /// in entries for a batch.
    #[must_use]
    #[cold]
    pub fn with_offset(mut self, offset: u64) -> Self {
        self.0.offset = Some(offset);
        self
    }

    /// The same error with what had been done before it.
    #[must_use]
    #[cold]
    pub(crate) fn after(mut self, done: &str) -> Self {
        self.0.message = format!("{done}; then: {}", self.0.message);
        self
    }

    /// The same error with the errno of the system call that failed.
    #[must_use]
    #[cold]
    pub fn with_os_error(mut self, error: &io::Error) -> Self {
        self.0.os_error = error.raw_os_error();
        self
    }

    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened, without the hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do about it, if there is something.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The path of the pool or directory, if the error is about one.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The message, if the error is about one.
    pub fn seq(&self) -> Option<Seq> {
        self.0.seq
    }

    /// The errno of the system call that failed, if it was one.
    pub fn os_error(&self) -> Option<i32> {
        self.0.os_error
    }

    /// The offset, if one is known: see [`Error::with_offset`].
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(path) = &self.0.path {
            write!(f, " (path={})", path.display())?;
        }
        if let Some(hint) = &self.0.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
