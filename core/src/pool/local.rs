//! What belongs to one process: its open file description, its place, and the locks between its threads.

use std::fs::File;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use super::company::Company;
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
    writing: Mutex<()>,
    /// One thread of the process at a time asks for the sync lock: in the file they all have one place.
    syncing: Mutex<()>,
    company: Mutex<Company>,
    /// This handle has synced the directory that holds the file.
    pub(super) name_is_synced: AtomicBool,
}

impl Local {
    fn new(file: File, writable: bool, is_mapped: bool) -> Self {
        Self {
            file,
            is_mapped,
            writable,
            place: OwnPlace::new(),
            generation: fork::generation(),
            writing: Mutex::new(()),
            syncing: Mutex::new(()),
            company: Mutex::default(),
            name_is_synced: AtomicBool::new(false),
        }
    }

    #[inline]
    pub(super) fn writing(&self) -> MutexGuard<'_, ()> {
        word::lock(&self.writing)
    }

    /// The same, or Busy when another thread keeps it for longer than `patience`.
    pub(super) fn writing_within(&self, patience: Duration) -> Result<MutexGuard<'_, ()>> {
        const LOOK_AGAIN: Duration = Duration::from_micros(50);
        let start = Instant::now();
        loop {
            match self.writing.try_lock() {
                Ok(guard) => return Ok(guard),
                Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) if start.elapsed() < patience => {
                    std::thread::sleep(LOOK_AGAIN);
                }
                Err(TryLockError::WouldBlock) => {
                    let text = "another thread of this process waits for the pool's lock";
                    return Err(Error::new(ErrorKind::Busy, text).with_hint("try again"));
                }
            }
        }
    }

    /// The right to ask for the sync lock, unless another thread has it.
    pub(super) fn try_syncing(&self) -> Option<MutexGuard<'_, ()>> {
        match self.syncing.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
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
