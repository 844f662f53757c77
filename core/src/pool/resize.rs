//! Giving a pool another size: its newest messages, with their seqs, times and tags, in a new file under the same name.
//!
//! What a death leaves, step by step:
//! 1. while the new file is filled: it has no name and vanishes; the old pool goes on.
//! 2. once it has its temporary name: the old pool goes on, its lock is taken over. The next resize removes the file.
//! 3. once it was renamed: the new pool is complete, and on the disk but for its name. Whoever takes over the old file's lock, or looks for its
//!    name, finds out and says so in the old file. Whoever takes over the new file's lock goes on; the first sync covers the name.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::append::Writer;
use super::doctor::frames::{self, Look};
use super::live::Tip;
use super::open::{OpenOptions, read_static};
use super::rebuild::{Rebuild, dir_of};
use super::{Info, Pool};
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint::{self, Failpoint};
use crate::format::geometry::Geometry;
use crate::format::header::{FileId, STATE_DELETED, STATE_RESIZED, StaticHeader};
use crate::sys::files;
use crate::sys::last_will::LastWill;
use crate::sys::text::TextWords;
use crate::types::{Bounds, Seq};

/// So few messages may be left to copy when the writers are asked to wait.
const FEW: u64 = 64;
/// How often the messages that came meanwhile are copied before that, all the same.
const ROUNDS: u32 = 8;

/// What [`Pool::resize`] has done.
#[derive(Clone, Debug)]
pub struct Resized {
    /// The facts of the pool as it is now.
    pub info: Info,
    /// The file's size before.
    pub size_before: u64,
    /// How many of the oldest messages had no room.
    pub dropped: u64,
}

/// What the new file is called for a moment. No pool's name starts with a dot; of each old file there is one.
pub(super) fn unfinished_name(inode: u64) -> OsString {
    format!(".plasmite-resize-{inode}").into()
}

impl Pool {
    /// Gives the pool at `path` the size of `size_bytes`. The newest messages stay, as many as fit, with their seqs, times and tags; so do the
    /// pool's id, owner and permissions, and what `flush` had promised.
    ///
    /// Readers and writers may be at work: writers wait for the last part of it. Then their handles, and those of readers, get NotFound, as after a
    /// deletion; opened again, the pool is the new one. Tails go on by themselves.
    ///
    /// # Errors
    /// Usage when no pool can have the size, the newest message does not fit, or the file has several names (hard links); Busy when a
    /// stopped writer holds the pool, or it was renamed meanwhile; Permission when owner and permissions can't be kept; Corrupt when a
    /// message is damaged; Io when the disk has no room. The pool is as it was then.
    pub fn resize(path: &Path, size_bytes: u64) -> Result<Resized> {
        let geometry = Geometry::of(size_bytes).map_err(|e| e.with_path(path))?;
        let old = OpenOptions::new().open(path)?;
        // A symbolic link stays what it is.
        let real = std::fs::canonicalize(path).map_err(|e| Error::io("find the pool", path, &e))?;
        let size_before = old.geometry().size_bytes;
        let file = old.file_id().map_err(|e| Error::io("look at the pool", path, &e))?;
        let lineage = old.0.header.lineage.after(file);
        let header = StaticHeader { geometry, lineage, ..old.0.header };
        let mut new = Rebuild::new(dir_of(&real), path, header)?;
        // Most of it while writers go on.
        let fits = old.fill(&mut new)?;
        for _ in 0..ROUNDS {
            let behind =
                new.bounds().map_or(0, |b| old.newest().get().saturating_sub(b.newest.get()));
            if !fits || behind <= FEW || !old.catch_up(&mut new)? {
                break;
            }
        }
        new.sync(path)?;
        failpoint::pass(Failpoint::ResizeCopied);

        let local = old.0.local.get()?;
        let mut threads = local.writing();
        let writer = Writer::lock(&old, local, &mut threads)?;
        failpoint::pass(Failpoint::ResizeLocked);
        old.check_alive()?;
        old.check_same_file()?;
        old.check_single_name()?;
        let tip = writer.tip()?;
        let before = old.current_bounds()?;
        if !fits || !old.catch_up(&mut new)? {
            // The writers were too fast, or there was nothing to go on from.
            new.clear();
            old.fill(&mut new)?;
        }
        let Some(dropped) = new.lost(before) else { return Err(too_small(&old, before.newest)) };
        let tip = Tip { tail: new.tail(), ..tip };
        new.finish(&tip, path)?;
        files::copy_access(old.file(), new.file()).map_err(|e| {
            Error::io("give the new file the owner and permissions of the pool", path, &e)
                .with_hint("the pool's owner or root can resize it")
        })?;
        failpoint::pass(Failpoint::ResizeFinished);
        let last_will = LastWill::new(old.map().last_will());
        let new = old.put_in_place(new, &real)?;
        drop(writer);
        failpoint::pass(Failpoint::ResizeFreed);
        old.wake_for_good();
        drop(last_will);
        Ok(Resized { info: Pool::info(&new)?, size_before, dropped })
    }

    /// What to say of a file without a name: the pool goes on in the one that has its name if that was made of this one. The
    /// resizer may have died before it said so, which is made up for here.
    #[cold]
    pub(super) fn nameless(&self) -> Error {
        let Some(successor) = files::open(self.path(), false).ok().filter(|f| self.became(f))
        else {
            return self.deleted();
        };
        if !self.0.read_only && files::sync_name(self.path(), &successor).is_ok() {
            self.map().state().store(STATE_RESIZED, Ordering::Release);
        }
        self.resized()
    }

    /// True when this file was resized to `other`. A copy of it that someone moved over it is not: it may lack messages.
    fn became(&self, other: &File) -> bool {
        let StaticHeader { pool_id, lineage, .. } = &self.0.header;
        let Ok(me) = self.file_id() else { return false };
        read_static(other, self.path())
            .is_ok_and(|h| h.pool_id == *pool_id && h.lineage.comes_from(me, lineage))
    }

    fn file_id(&self) -> io::Result<FileId> {
        self.file().metadata().map(|m| FileId { device: m.dev(), inode: m.ino() })
    }

    /// True when the pool goes on in another file, which has all that was ever committed to this one, and is on the disk under
    /// the pool's name.
    pub(super) fn is_resized(&self) -> bool {
        self.map().state().load(Ordering::Acquire) == STATE_RESIZED
    }

    /// The pool in its new file, if it was resized; an error when it has gone from there too.
    #[cold]
    pub(super) fn successor(&self) -> Option<Result<Self>> {
        if !self.is_resized() || self.map().is_poisoned() {
            return None;
        }
        let opened = self.0.options.open(self.path());
        Some(
            opened
                .and_then(|new| if new.id() == self.id() { Ok(new) } else { Err(self.deleted()) }),
        )
    }

    /// Puts all messages in, from the newest backwards, as far as there is room. False: not even the newest one.
    fn fill(&self, new: &mut Rebuild) -> Result<bool> {
        let Bounds { oldest, newest } = self.current_bounds()?;
        let mut words = TextWords::default();
        for seq in (oldest.get()..=newest.get()).rev().map(Seq::new) {
            match frames::look(self.ring(), seq, &mut words) {
                Look::Whole(whole) if new.push_older(words.words(), &whole.header, seq) => {}
                // What is older is gone too.
                Look::Whole(_) | Look::Gone => break,
                Look::Damaged(finding) => return Err(self.not_whole(finding)),
            }
        }
        Ok(new.bounds().is_some())
    }

    /// Puts the messages in that came since. False: it takes a new beginning.
    fn catch_up(&self, new: &mut Rebuild) -> Result<bool> {
        let Some(have) = new.bounds() else { return Ok(self.current_bounds()?.is_empty()) };
        let mut words = TextWords::default();
        for seq in (have.newest.get() + 1..=self.current_bounds()?.newest.get()).map(Seq::new) {
            match frames::look(self.ring(), seq, &mut words) {
                Look::Whole(whole) if new.push_newer(words.words(), &whole.header) => {}
                Look::Whole(_) | Look::Gone => return Ok(false),
                Look::Damaged(finding) => return Err(self.not_whole(finding)),
            }
        }
        Ok(true)
    }

    /// Gives the new file the pool's name. Under the old file's lock.
    fn put_in_place(&self, new: Rebuild, real: &Path) -> Result<Pool> {
        let fail = |doing: &'static str| move |e: io::Error| Error::io(doing, real, &e);
        let metadata = self.file().metadata().map_err(fail("look at the pool"))?;
        let temporary = dir_of(real).join(unfinished_name(metadata.ino()));
        match std::fs::remove_file(&temporary) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove what an interrupted resize left", &temporary, &e));
            }
            _ => {}
        }
        let (unnamed, header) = new.into_file();
        let file = unnamed.link(&temporary).map_err(fail("name the new file"))?;
        failpoint::pass(Failpoint::ResizeNamed);
        let placed = self.rename_over(file, header, &temporary, real);
        if placed.is_err() {
            // It may have got the pool's name already.
            let _ = std::fs::remove_file(&temporary);
        }
        placed
    }

    fn rename_over(
        &self,
        file: File,
        header: StaticHeader,
        temporary: &Path,
        real: &Path,
    ) -> Result<Pool> {
        let mut options = self.0.options.clone();
        options.read_only = false;
        let map = options.map(&file, &header, real)?;
        let new = options.adopt(file, header, map, real)?;
        let local = new.0.local.get()?;
        let mut threads = local.writing();
        // Nobody may be promised anything of the new file before its name is on the disk.
        let writer = Writer::lock(&new, local, &mut threads)?;
        std::fs::rename(temporary, real)
            .map_err(|e| Error::io("put the new file in the pool's place", real, &e))?;
        failpoint::pass(Failpoint::ResizeRenamed);
        if !files::is_unlinked(self.file()).unwrap_or(true) {
            // Someone moved the old file away since its name was looked at: what was made is a second pool.
            let _ = std::fs::remove_file(real);
            new.map().state().store(STATE_DELETED, Ordering::Release);
            return Err(Error::new(ErrorKind::Busy, "the pool was renamed while it was resized")
                .with_path(real)
                .with_hint("resize it under its new name"));
        }
        let synced = files::sync_dir(dir_of(real), new.file());
        failpoint::pass(Failpoint::ResizeSynced);
        if synced.is_err() {
            // Either file may be what a power loss leaves: neither is promised any more.
            self.map().sync_failures().fetch_add(1, Ordering::AcqRel);
            new.map().sync_failures().fetch_add(1, Ordering::AcqRel);
        }
        self.map().state().store(STATE_RESIZED, Ordering::Release);
        failpoint::pass(Failpoint::ResizeStateStored);
        synced.map_err(|e| Error::io("make the new file's name survive a power loss", real, &e))?;
        drop(writer);
        drop(threads);
        Ok(new)
    }

    fn check_single_name(&self) -> Result<()> {
        let metadata =
            self.file().metadata().map_err(|e| Error::io("look at the pool", self.path(), &e))?;
        if metadata.nlink() == 1 {
            return Ok(());
        }
        Err(Error::usage(format!("the pool's file has {} names (hard links)", metadata.nlink()))
            .with_path(self.path())
            .with_hint("only one of them could lead to the new file: remove the others first"))
    }

    fn not_whole(&self, finding: super::doctor::Finding) -> Error {
        let error = Error::corrupt(finding.message)
            .with_path(self.path())
            .with_hint("copy what is intact into a new pool: plasmite doctor POOL --salvage NEW");
        let error = finding.seq.map_or(error.clone(), |seq| error.clone().with_seq(seq));
        finding.offset.map_or(error.clone(), |offset| error.with_offset(offset))
    }
}

impl Rebuild {
    /// How many of the messages that were there are not in; None when some were and none is.
    fn lost(&self, before: Bounds) -> Option<u64> {
        match self.bounds() {
            Some(bounds) => Some(bounds.oldest.get().saturating_sub(before.oldest.get())),
            None => before.is_empty().then_some(0),
        }
    }
}

fn too_small(old: &Pool, newest: Seq) -> Error {
    let bytes = old.get(newest).map_or(0, |message| message.payload_bytes());
    let error = Error::usage(format!(
        "the newest message, {newest}, takes {bytes} bytes and does not fit in a pool of that size"
    ))
    .with_path(old.path())
    .with_seq(newest);
    match Geometry::smallest_for(bytes) {
        Some(size) => error.with_hint(format!("the smallest that holds it has {size} bytes")),
        None => error,
    }
}
