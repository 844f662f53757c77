//! The surfaces that this runner plays through.

mod command;
mod mount;
mod rust;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::manifest::{Action, SurfaceName, Writer};
use crate::outcome::{Failure, Got};

/// One way to use pools.
pub(crate) trait Surface {
    /// Why the surface can't express an action. Says nothing about whether the action would succeed.
    fn cannot(&self, action: &Action) -> Option<&'static str>;

    /// Gets ready for processes that will play the action.
    fn prepare(&mut self, action: &Action) -> Result<(), Failure>;

    /// Plays an action on pools. Never called for one that it can't express.
    fn play(&mut self, action: &Action) -> Result<Got, Failure>;

    /// Appends one document after the other. A writer that is to be killed is killed here when it is another process, and
    /// otherwise by the caller: then it is this process.
    fn write(&mut self, pool: &str, writer: &Writer) -> Result<(), Failure>;

    /// Closes the pools that are held open between steps, so that what is done to a file is seen.
    fn let_go(&mut self) {}

    /// How another process reaches the same pools by this surface.
    fn address(&self) -> Address;
}

/// How a surface is reached.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Address {
    /// The pool directory.
    Rust(PathBuf),
    /// The pool directory.
    Command(PathBuf),
    /// Mountpoints, by the size of the pools that `mkdir` makes there.
    Mount(PathBuf, BTreeMap<u64, PathBuf>),
}

impl Address {
    /// The surface, for use from this process.
    pub(crate) fn open(self) -> Box<dyn Surface> {
        match self {
            Self::Rust(dir) => Box::new(rust::Rust::new(dir)),
            Self::Command(dir) => Box::new(command::Command::new(dir)),
            Self::Mount(dir, mountpoints) => Box::new(mount::Mount::at(dir, mountpoints)),
        }
    }

    /// The address of a surface on this pool directory.
    pub(crate) fn of(surface: SurfaceName, dir: &Path) -> Option<Self> {
        match surface {
            SurfaceName::Rust => Some(Self::Rust(dir.to_owned())),
            SurfaceName::Command => Some(Self::Command(dir.to_owned())),
            SurfaceName::Mount => Some(Self::Mount(dir.to_owned(), BTreeMap::new())),
            SurfaceName::Python => None,
        }
    }
}

/// The `plasmite` command: `PLASMITE_BIN`, or the one beside this program.
pub(crate) fn plasmite() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("PLASMITE_BIN") {
        return Ok(path.into());
    }
    let this = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
    let path = this.with_file_name("plasmite");
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("there is no {}: cargo build -p plasmite, or set PLASMITE_BIN", path.display()))
}

/// A reader of that name that is not open.
fn no_reader(reader: &str) -> Failure {
    Failure::Broken(format!("no reader {reader:?} is open"))
}

/// For actions on files and processes, which are the player's, whatever the surface.
fn not_played_here(action: &Action) -> Failure {
    Failure::Broken(format!("no surface plays {action:?}"))
}
