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
use crate::sys::word::{self, Word};
use crate::sys::{files, fork};

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

/// The right of one thread of this process to ask for the writer lock.
#[derive(Debug)]
pub(super) struct Writing<'a> {
    _threads: MutexGuard<'a, ()>,
    /// What this thread has seen of the writer lock while it waited for others, which wait for that: all of them have had enough
    /// of one holding at the same time, not one after the other.
    pub(super) watch: Option<Watch>,
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

    /// The right to ask for the writer lock, which is `word`.
    #[inline]
    pub(super) fn writing(&self, word: &Word) -> Writing<'_> {
        match word::try_lock(&self.writing) {
            Some(threads) => Writing { _threads: threads, watch: None },
            None => {
                let watch = Watch::new(word);
                Writing { _threads: word::lock(&self.writing), watch: Some(watch) }
            }
        }
    }

    /// The same, or Busy when another thread keeps it for longer than `patience`.
    pub(super) fn writing_within(&self, word: &Word, patience: Duration) -> Result<Writing<'_>> {
        const LOOK_AGAIN: Duration = Duration::from_micros(50);
        let (watch, start) = (Watch::new(word), Instant::now());
        loop {
            if let Some(threads) = word::try_lock(&self.writing) {
                return Ok(Writing { _threads: threads, watch: Some(watch) });
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
