//! The one table of error kinds, as the contract has it: what each surface must show for each kind.
//!
//! Written down here a second time on purpose: it is what the implementation is measured with.

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// What sort of failure an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub(crate) enum Kind {
    Internal = 1,
    Usage = 2,
    NotFound = 3,
    AlreadyExists = 4,
    Busy = 5,
    Permission = 6,
    Corrupt = 7,
    Io = 8,
    RetentionGap = 9,
}

impl Kind {
    /// The kind with this number in the C ABI.
    pub(crate) fn of_code(code: i32) -> Option<Self> {
        use Kind::*;
        [Internal, Usage, NotFound, AlreadyExists, Busy, Permission, Corrupt, Io, RetentionGap]
            .into_iter()
            .find(|kind| kind.code() == code)
    }

    /// The command's exit code.
    pub(crate) fn code(self) -> i32 {
        self as i32
    }

    /// What file calls on the mount fail with. Empty: no file call can fail so.
    pub(crate) fn errnos(self) -> &'static [Errno] {
        match self {
            Self::Internal | Self::Corrupt | Self::Io => &[Errno::IO],
            Self::Usage => &[Errno::INVAL],
            // ENODATA: what was written became no message, and has no receipt.
            Self::NotFound => &[Errno::NOENT, Errno::NODATA],
            Self::AlreadyExists => &[Errno::EXIST],
            Self::Busy => &[Errno::BUSY],
            Self::Permission => &[Errno::ACCESS],
            Self::RetentionGap => &[],
        }
    }
}

/// The errno of this name, of those that a manifest may ask for where the mount says more than the kind.
pub(crate) fn errno_named(name: &str) -> Option<Errno> {
    Some(match name {
        "EFBIG" => Errno::FBIG,
        "ENAMETOOLONG" => Errno::NAMETOOLONG,
        "EPERM" => Errno::PERM,
        _ => return None,
    })
}
