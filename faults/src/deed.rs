//! What a process does once, and dies in.

use std::path::Path;
use std::process::{Command, Stdio};

use plasmite_core::failpoint::Failpoint::{self, *};

use crate::child::{Kind, Programs};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    Create,
    Delete,
    /// Opens a pool for writing, which the first to do so after a restart puts right.
    Recover,
    /// To so many bytes.
    Resize(u64),
}

impl Deed {
    /// Its named steps.
    pub(crate) fn points(self) -> &'static [Failpoint] {
        match self {
            Self::Create => &[FileReserved, HeaderWritten, FileSynced, FileLinked, DirectorySynced],
            Self::Delete => &[DeleteLocked, NameRemoved, StateStored],
            Self::Recover => &[
                RecoveryLocked,
                IndexStored,
                IndexSynced,
                LocksCleared,
                TipRecovered,
                BoundsRecovered,
                RecoverySynced,
                BootStored,
            ],
            Self::Resize(_) => &[
                ResizeCopied,
                ResizeLocked,
                ResizeFinished,
                ResizeNamed,
                ResizeRenamed,
                ResizeSynced,
                ResizeStateStored,
                ResizeFreed,
            ],
        }
    }

    /// What our own programs call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Recover => "open",
            Self::Resize(_) => "resize",
        }
    }

    /// Who does it, as often as they stand here.
    pub(crate) fn kinds(self, mounts: bool) -> &'static [Kind] {
        use Kind::{Command, Mount, Python, Rust};
        match self {
            // The engine and the command alone can.
            Self::Resize(_) => &[Rust, Rust, Rust, Command],
            _ if mounts => &[Rust, Rust, Rust, Rust, Command, Command, Python, Mount],
            _ => &[Rust, Rust, Rust, Rust, Command, Command, Python],
        }
    }

    /// About how long it takes from its start on: when a random death may come.
    pub(crate) fn takes_us(self, kind: Kind) -> u64 {
        match kind {
            Kind::Rust | Kind::Mount => 6000,
            Kind::Command => 20_000,
            Kind::Python => 120_000,
        }
    }

    /// Asks for it through a mount, for pool `p`.
    pub(crate) fn through(self, mount: &Path) -> Command {
        let pool = mount.join("p");
        let mut command = match self {
            Self::Create => Command::new("mkdir"),
            Self::Delete => Command::new("rmdir"),
            Self::Recover | Self::Resize(_) => {
                let mut sh = Command::new("sh");
                sh.args(["-c", ": >> \"$0/in\""]);
                sh
            }
        };
        command.arg(pool).stdin(Stdio::null()).stderr(Stdio::null());
        command
    }
}

impl Programs {
    /// A process that does it to the pool at `path`.
    pub(crate) fn once(&self, kind: Kind, deed: Deed, path: &Path) -> Command {
        let mut command = match (kind, deed) {
            (Kind::Command, Deed::Create) => self.command(&["pool", "create", "--size", "64K"]),
            (Kind::Command, Deed::Delete) => self.command(&["pool", "delete"]),
            (Kind::Command, Deed::Recover) => self.command(&["feed"]),
            (Kind::Command, Deed::Resize(size)) => {
                self.command(&["pool", "resize", "--size", &size.to_string()])
            }
            (Kind::Python, deed) => {
                let mut command = self.python("once.py");
                command.arg(deed.name());
                command
            }
            (Kind::Rust | Kind::Mount, deed) => {
                let mut command = Command::new(&self.me);
                command.arg(deed.name());
                command
            }
        };
        command.arg(path).stdin(Stdio::null()).stdout(Stdio::null());
        if let (Kind::Rust, Deed::Resize(size)) = (kind, deed) {
            command.arg(size.to_string());
        }
        command
    }
}
