//! Deleting a pool so that whoever has it open finds out.

use std::path::Path;
use std::sync::atomic::Ordering;

use super::{Pool, lock};
use crate::error::{Error, ErrorKind, Result};
use crate::format::header::STATE_DELETED;
use crate::sys::futex;

impl Pool {
    /// Removes the pool's file. Every open handle, of any process, gets NotFound from then on, and waiting readers wake up.
    ///
    /// A file that is damaged or can't be opened for writing is removed as well, if it looks like a pool's; its handles find
    /// out within a moment.
    ///
    /// # Errors
    /// NotFound; Permission; Busy when a stopped writer holds the pool; Usage when the path is no regular file.
    pub fn delete(path: &Path) -> Result<()> {
        match Self::open(path) {
            Ok(pool) => pool.unlink(),
            Err(e) if may_remove(&e, path) => remove(path),
            Err(e) => Err(e),
        }
    }

    fn unlink(&self) -> Result<()> {
        let local = self.0.local.get()?;
        let _threads = local.writing();
        let waiter = self.waiter(local);
        let place = local.place.take(self.map(), &local.file, waiter.patience)?;
        // Under the lock no append can fall between the file's end and the handles' learning of it.
        let held = lock::acquire(self.map().writer_lock(), &place, waiter, false, || false)?;
        self.check_alive()?;
        remove(self.path())?;
        self.map().state().store(STATE_DELETED, Ordering::Release);
        drop(held);
        futex::wake_low(self.map().committed(), i32::MAX);
        Ok(())
    }
}

fn may_remove(error: &Error, path: &Path) -> bool {
    let unopenable = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Permission)
        || (error.kind() == ErrorKind::Usage && error.message().contains("format"));
    unopenable && std::fs::symlink_metadata(path).is_ok_and(|m| m.is_file())
}

fn remove(path: &Path) -> Result<()> {
    std::fs::remove_file(path).map_err(|e| Error::io("remove the pool", path, &e))
}
