//! What belongs to one process: its open file description, its place, and the locks between its threads.

use std::fs::File;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::company::Company;
use super::lock::Watch;
use super::place::OwnPlace;
use crate::error::{Error, ErrorKind, Result};
use crate::sys::replaceable::Replaceable;
use crate::sys::{files, fork, word};

#[derive(Debug)]
pub(super) struct Local {
    pub(super) file: File,
    /// The pool's mapping is of this description. Otherwise it is of the parent's, by which the kernel tells one process alone of a
    /// write that failed: syncs through the mapping are the parent's.
    pub(super) is_mapped: bool,
    pub(super) place: OwnPlace,
    writable: bool,
    generation: u32,
    /// One thread of the process at a time asks for the writer lock.
    writing: Mutex<Watches>,
    /// One thread of the process at a time asks for the sync lock: in the file they all have one place.
    syncing: Mutex<()>,
    company: Mutex<Company>,
    /// This handle has synced the directory that holds the file.
    pub(super) name_is_synced: AtomicBool,
}

/// What the thread before has seen of the locks, if this one waited for it: so those who stand in line behind somebody who was
/// stopped have had enough of that together, not one after the other.
#[derive(Debug, Default)]
pub(super) struct Watches {
    pub(super) writer: Option<Watch>,
    /// Who makes room under the writer lock may have to wait for a sync.
    pub(super) sync: Option<Watch>,
}

/// The right of one thread of this process to ask for the writer lock.
#[derive(Debug)]
pub(super) struct Writing<'a> {
    pub(super) watches: MutexGuard<'a, Watches>,
}

impl Local {
    fn new(file: File, writable: bool, is_mapped: bool) -> Self {
        Self {
            file,
            is_mapped,
            writable,
            place: OwnPlace::new(),
            generation: fork::generation(),
            writing: Mutex::default(),
            syncing: Mutex::new(()),
            company: Mutex::default(),
            name_is_synced: AtomicBool::new(false),
        }
    }

    /// The right to ask for the writer lock.
    #[inline]
    pub(super) fn writing(&self) -> Writing<'_> {
        self.writing_now().unwrap_or_else(|| Writing { watches: word::lock(&self.writing) })
    }

    /// The same, unless another thread has it.
    #[inline]
    fn writing_now(&self) -> Option<Writing<'_>> {
        let mut watches = word::try_lock(&self.writing)?;
        // Who did not have to wait yet has all of its patience.
        *watches = Watches::default();
        Some(Writing { watches })
    }

    /// The same, or Busy when another thread keeps it for longer than `patience`.
    pub(super) fn writing_within(&self, patience: Duration) -> Result<Writing<'_>> {
        const LOOK_AGAIN: Duration = Duration::from_micros(50);
        if let Some(writing) = self.writing_now() {
            return Ok(writing);
        }
        let start = Instant::now();
        loop {
            if let Some(watches) = word::try_lock(&self.writing) {
                return Ok(Writing { watches });
            }
            if start.elapsed() >= patience {
                let text = "another thread of this process waits for the pool's lock";
                return Err(Error::new(ErrorKind::Busy, text).with_hint("try again"));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// The right to ask for the sync lock, unless another thread has it.
    pub(super) fn try_syncing(&self) -> Option<MutexGuard<'_, ()>> {
        word::try_lock(&self.syncing)
    }

    /// What this process knows of those who shared its last sync.
    pub(super) fn company(&self) -> Company {
        *word::lock(&self.company)
    }

    pub(super) fn set_company(&self, company: Company) {
        *word::lock(&self.company) = company;
    }
}

/// The [`Local`] of this process: a forked child gets one of its own, because it shares neither its parent's place nor
/// the state of its parent's locks, which a thread that does not exist in the child may hold.
#[derive(Debug)]
pub(super) struct PerProcess(Replaceable<Local>);

impl PerProcess {
    pub(super) fn new(file: File, writable: bool) -> Self {
        Self(Replaceable::new(Local::new(file, writable, true)))
    }

    /// This process' own; made anew in a forked child.
    #[inline]
    pub(super) fn get(&self) -> Result<&Local> {
        let local = self.0.get();
        if local.generation == fork::generation() { Ok(local) } else { self.renew(local) }
    }

    /// The file, for what does not lock: this process' own or its parent's.
    pub(super) fn file(&self) -> &File {
        &self.0.get().file
    }

    #[cold]
    fn renew(&self, parents: &Local) -> Result<&Local> {
        let renewed = files::reopen(&parents.file, parents.writable).and_then(|file| {
            // Let go of the parent's description, so that the kernel sees the parent's death.
            files::replace_descriptor(&parents.file, &file)?;
            Ok(self.0.replace(parents, Local::new(file, parents.writable, false)))
        });
        renewed.map_err(|e| {
            Error::new(ErrorKind::Io, format!("cannot open the pool again after fork: {e}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::pool::lock;
    use crate::sys::map::Map;
    use crate::sys::word::Word;
    use crate::{Durability, OpenOptions, Pool};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    /// Has eight threads append by one handle until each is told Busy, while somebody takes this lock and keeps it.
    fn stop_in(lock: impl Fn(&Map) -> &Word, path: &Path, durability: Durability) {
        // As good as another process: it has a place of its own.
        let stopped = Pool::create(path, 64 << 10).unwrap();
        // Promised before the disk's index knows of it: there is no room in its place without a sync.
        stopped.append::<&str>(b"{}", &[], Durability::Flush).unwrap();
        let pool = OpenOptions::new().patience(PATIENCE).open(path).unwrap();
        let waited = || loop {
            let start = Instant::now();
            if let Err(error) = pool.append::<&str>(b"{}", &[], durability) {
                assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
                return start.elapsed();
            }
        };
        let waited: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(waited)).collect();
            let (local, map) = (stopped.0.local.get().unwrap(), stopped.map());
            let place = local.place.take(map, &local.file, PATIENCE).unwrap();
            let waiter = stopped.waiter(local);
            let held =
                lock::acquire(lock(map), &place, waiter, &mut None, false, || false).unwrap();
            assert!(held.is_some());
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        // One after the other, the last waits eight times as long as the first.
        let (first, last) = (waited.iter().min().unwrap(), waited.iter().max().unwrap());
        assert!(*last < *first * 6, "{waited:?}");
    }

    #[test]
    fn threads_behind_a_stopped_writer_are_busy_together_and_not_one_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        stop_in(Map::writer_lock, &dir.path().join("p.plasmite"), Durability::Fast);
    }

    #[test]
    fn threads_that_need_room_behind_a_stopped_sync_are_busy_together_and_not_one_after_the_other()
    {
        let dir = tempfile::tempdir().unwrap();
        stop_in(Map::sync_lock, &dir.path().join("p.plasmite"), Durability::Fast);
    }

    #[test]
    fn threads_behind_a_stopped_sync_are_busy_together_and_not_one_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        stop_in(Map::sync_lock, &dir.path().join("p.plasmite"), Durability::Flush);
    }
}
