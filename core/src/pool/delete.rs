//! Deleting a pool so that whoever has it open finds out.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::{Pool, lock};
use crate::client::POOL_SUFFIX;
use crate::error::{Error, ErrorKind, Result};
use crate::format::header::{MAGIC, STATE_DELETED};
use crate::sys::{files, futex};

impl Pool {
    /// Removes the pool's file. Every open handle, of any process, gets NotFound from then on, and waiting readers wake up.
    ///
    /// A file that is damaged or can't be opened for writing is removed as well, if it is called or starts like a pool; its
    /// handles find out within a moment.
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
    let is_file = std::fs::symlink_metadata(path).is_ok_and(|m| m.is_file());
    unopenable && is_file && (is_called_a_pool(path) || starts_like_a_pool(path))
}

fn is_called_a_pool(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(POOL_SUFFIX.as_bytes())
}

fn starts_like_a_pool(path: &Path) -> bool {
    let mut start = [0; MAGIC.len()];
    let read = files::open(path, false).and_then(|file| file.read_exact_at(&mut start, 0));
    read.is_ok() && start == MAGIC
}

fn remove(path: &Path) -> Result<()> {
    std::fs::remove_file(path).map_err(|e| Error::io("remove the pool", path, &e))
}
