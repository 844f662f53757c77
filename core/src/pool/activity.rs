//! Who is at a pool now: for people who look at it.

use super::Pool;
use crate::error::{Error, Result};
use crate::format::header::PARTICIPANTS;
use crate::sys::{futex, ofd};

/// Who is at a pool, as of about one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Open handles of any process, but for this one, that have appended: each keeps a place in the pool. A forked child that
    /// has not closed its parent's handle keeps the parent's.
    pub writers: u32,
    /// Threads of any process that sleep until the next message comes. One that is busy with a message is not counted, and one
    /// that waits for many readers, as a mount does, counts once. None when this handle is only for reading, which can't tell.
    pub waiting: Option<u32>,
}

impl Pool {
    /// Who is at the pool. Costs two system calls, and up to two more for each writer; disturbs nobody.
    ///
    /// # Errors
    /// NotFound when the pool was deleted, Io when the kernel does not tell.
    pub fn activity(&self) -> Result<Activity> {
        self.check_state()?;
        let writers = ofd::places_held(self.file(), PARTICIPANTS)
            .map_err(|e| Error::io("ask for the locks of the pool", self.path(), &e))?;
        let waiting =
            if self.is_read_only() { None } else { futex::sleepers(self.map().waiters()) };
        Ok(Activity { writers, waiting })
    }

    /// True while nobody who may write has opened the pool since the machine was started: a handle that may only read sees
    /// what the file held then.
    pub fn awaits_recovery(&self) -> bool {
        self.frozen().is_some()
    }
}
