//! Deleting a pool so that whoever has it open finds out.

use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::Ordering;

use super::{Pool, lock};
use crate::client::POOL_SUFFIX;
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint::{self, Failpoint};
use crate::format::header::{MAGIC, STATE_DELETED};

use crate::sys::files;
use crate::sys::last_will::LastWill;

impl Pool {
    /// Removes the pool's file. Every open handle, of any process, gets NotFound from then on, and waiting readers wake up.
    ///
    /// Of a pool with several names, and of a symbolic link to one, only the name goes. A file that is damaged or can't be opened for writing is removed as well, if it is called or starts like a pool; its
    /// handles find out within a moment.
    ///
    /// # Errors
    /// NotFound; Permission; Busy when a stopped writer holds the pool; Usage when the path is no regular file.
    pub fn delete(path: &Path) -> Result<()> {
        match Self::open(path) {
            Ok(pool) => match pool.unlink() {
                Err(e) if may_remove(&e, path) => remove(path),
                result => result,
            },
            Err(e) if may_remove(&e, path) => remove(path),
            Err(e) => Err(e),
        }
    }

    fn unlink(&self) -> Result<()> {
        let local = self.0.local.get()?;
        let mut threads = local.writing();
        let waiter = self.waiter(local);
        let with_path = |e: Error| e.with_path(self.path());
        let place =
            local.place.take(self.map(), &local.file, waiter.patience).map_err(with_path)?;
        // Under the lock no append can fall between the file's end and the handles' learning of it.
        let word = self.map().writer_lock();
        let held =
            lock::acquire(word, &place, waiter, &mut threads.watches.writer, false, || false)
                .map_err(with_path)?;
        failpoint::pass(Failpoint::DeleteLocked);
        self.check_alive()?;
        self.check_same_file()?;
        let last_will = LastWill::new(self.map().last_will());
        remove(self.path())?;
        failpoint::pass(Failpoint::NameRemoved);
        // A pool that has another name lives on under that.
        if files::is_unlinked(self.file()).unwrap_or(false) {
            self.map().state().store(STATE_DELETED, Ordering::Release);
            failpoint::pass(Failpoint::StateStored);
        }
        drop(held);
        self.wake_for_good();
        drop(last_will);
        Ok(())
    }

    /// The path must still lead to the pool that was opened, through a symbolic link or not.
    pub(super) fn check_same_file(&self) -> Result<()> {
        let identity = |m: std::fs::Metadata| (m.dev(), m.ino());
        let fail = |e: std::io::Error| Error::io("look at the pool", self.path(), &e);
        let opened = identity(self.file().metadata().map_err(fail)?);
        let named = identity(std::fs::metadata(self.path()).map_err(fail)?);
        if opened == named {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Busy, "another file took the pool's place meanwhile")
            .with_path(self.path())
            .with_hint("look which pool it is, and try again"))
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
