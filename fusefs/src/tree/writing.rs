//! Files that are written: create, open for writing, write, flush, fsync.

use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use plasmite_core::Pool;

use super::access::Want;
use super::{Caller, OpenFile, Opened, Tree, What};
use crate::attr::{Entry, Owner};
use crate::errno::{Errno, Reply};
use crate::ino::{Fixed, Ino};
use crate::lane::{Attempt, Patience};
use crate::names::{Meaning, Sort};
use crate::pools::View;
use crate::procs;
use crate::rejections::Refusal;
use crate::session::{Fail, Session};
use crate::sync::lock;
use crate::syncs::Synced;

impl Tree {
    /// Creates a name and opens it.
    pub(crate) fn create(
        &self,
        parent: u64,
        name: &OsStr,
        mode: u32,
        flags: i32,
        caller: Caller,
    ) -> Reply<(Entry, Opened)> {
        let Made { dir, node, sort, owner, bytes } = self.make_node(parent, name, mode, caller)?;
        let opened = self.open_permitted(Arc::clone(&dir), (node, sort, bytes), flags, caller)?;
        Ok((self.new_entry(&dir, node, owner)?, opened))
    }

    /// Creates a name.
    pub(crate) fn mknod(
        &self,
        parent: u64,
        name: &OsStr,
        mode: u32,
        caller: Caller,
    ) -> Reply<Entry> {
        if mode & libc::S_IFMT != libc::S_IFREG {
            return Err(Errno::EPERM);
        }
        let Made { dir, node, owner, .. } = self.make_node(parent, name, mode, caller)?;
        self.new_entry(&dir, node, owner)
    }

    fn make_node(&self, parent: u64, name: &OsStr, mode: u32, caller: Caller) -> Reply<Made> {
        let Ino::Fixed(id, Fixed::Dir) = Self::ino(parent)? else { return Err(Errno::EPERM) };
        let dir = self.pools.by_id(id)?;
        let Meaning::Writable(sort) = dir.meaning(name) else { return Err(Errno::EPERM) };
        let facts = self.permit(&dir, Want::Write)?;
        let (owner, bytes) = (Owner::of(&facts), facts.len());
        let maker = Owner { uid: caller.uid, gid: caller.gid, mode: (mode & 0o777) as u16 };
        let (node, known) = self.shelf.find_or_create(id, name, maker);
        if !known && sort == Sort::Draft {
            self.shelf.reset(node, true);
        }
        Ok(Made { dir, node, sort, owner, bytes })
    }

    /// Opens a written name.
    pub(super) fn open_node(
        &self,
        dir: Arc<View>,
        node: u64,
        flags: i32,
        caller: Caller,
    ) -> Reply<Opened> {
        let bytes = match flags & libc::O_ACCMODE {
            libc::O_RDONLY => 0,
            _ => self.permit_return(&dir, caller)?.len(),
        };
        let name = self.shelf.with(node, |n| n.name.clone())?;
        let Some(Meaning::Writable(sort)) = name.as_deref().map(|name| dir.meaning(name)) else {
            return Err(Errno::ESTALE);
        };
        self.open_permitted(dir, (node, sort, bytes), flags, caller)
    }

    /// Opens a written name for one who only reads, or who may write to the pool, whose file has just been found to have `bytes` bytes.
    fn open_permitted(
        &self,
        dir: Arc<View>,
        (node, sort, bytes): (u64, Sort, u64),
        flags: i32,
        caller: Caller,
    ) -> Reply<Opened> {
        let writes = flags & libc::O_ACCMODE != libc::O_RDONLY;
        let pool = dir.pool()?;
        if writes {
            // A shell does not look at a failing close: a pool that is damaged is to fail here.
            pool.bounds()?;
            if bytes != pool.size_bytes() {
                pool.check_alive()?;
            }
        }
        let what = if sort == Sort::Draft && (writes || flags & libc::O_TRUNC != 0) {
            let delivered = !self.shelf.with(node, |n| n.draft)?;
            if delivered || flags & libc::O_TRUNC != 0 {
                self.shelf.reset(node, true);
            }
            let limit = draft_limit(&pool)?;
            self.shelf.open(node)?;
            What::Draft { node, at_end: flags & libc::O_APPEND != 0, limit }
        } else if writes {
            if pool.is_read_only() {
                return Err(Errno(libc::EACCES));
            }
            if flags & libc::O_TRUNC != 0 {
                self.shelf.reset(node, false);
            }
            // O_SYNC holds O_DSYNC's bit.
            let durable = flags & libc::O_DSYNC != 0;
            let session =
                Session::new(pool, sort, Arc::clone(&dir.filter.tags), durable, caller.tid);
            let receipt = self.shelf.open(node)?;
            What::Session { node, receipt, session: Box::new(Mutex::new(session)) }
        } else {
            let content = Arc::new(self.content(node)?.into());
            self.shelf.open(node)?;
            What::Written { node, content }
        };
        let flush = matches!(what, What::Session { .. });
        Ok(Opened { fh: self.keep_file(dir, what), direct: true, flush })
    }

    /// Writes; how many bytes were good. `owner` is the process.
    pub(crate) fn write(
        &self,
        fh: u64,
        offset: u64,
        data: &[u8],
        owner: u64,
        caller: Caller,
        patience: Patience,
    ) -> Reply<Attempt<(u32, Option<Unsynced>)>> {
        let file = self.file(fh)?;
        let refuse = |node, refusal| self.refuse_file(&file, node, caller.tid, refusal);
        match &file.what {
            What::Session { node, receipt, session } => {
                let Some(mut session) = file.enter(session, patience, |_| true) else {
                    return Ok(Attempt::Slow(file.dir.lane.line_up()?));
                };
                let result =
                    file.attempt(patience, |patience| session.write(data, owner, patience));
                if let Some(seq) = session.last() {
                    receipt.set(seq);
                }
                Ok(match result.map_err(|refusal| refuse(*node, refusal))? {
                    Attempt::Done(written) => {
                        Attempt::Done((written as u32, unsynced(&file, &mut session)))
                    }
                    Attempt::Slow(turn) => Attempt::Slow(turn),
                })
            }
            What::Draft { node, at_end, limit } => {
                let offset = (!at_end).then_some(offset);
                self.shelf
                    .write_draft(*node, offset, data, *limit)
                    .map_err(|errno| refuse(*node, draft_refusal(errno, offset, *limit)))?;
                Ok(Attempt::Done((data.len() as u32, None)))
            }
            _ => Err(Errno::EBADF),
        }
    }

    /// A descriptor is closed.
    pub(crate) fn flush(
        &self,
        fh: u64,
        owner: u64,
        caller: Caller,
        patience: Patience,
    ) -> Reply<Attempt<Option<Unsynced>>> {
        let file = self.file(fh)?;
        let What::Session { node, session, .. } = &file.what else {
            return Ok(Attempt::Done(None));
        };
        let Some(mut session) = file.enter(session, patience, Session::may_append) else {
            return Ok(Attempt::Slow(file.dir.lane.line_up()?));
        };
        let opener = session.opener;
        let is_opener = || procs::same_process(opener, caller.tid);
        let still_held = || self.is_held_by(opener, &file.dir, *node);
        let result = file
            .attempt(patience, |patience| session.flush(owner, is_opener, still_held, patience));
        self.publish(*node, &mut session);
        match result {
            Ok(Attempt::Slow(turn)) => Ok(Attempt::Slow(turn)),
            Ok(Attempt::Done(())) => Ok(Attempt::Done(unsynced(&file, &mut session))),
            // The descriptor that is being closed is not in the table any more.
            Err(refusal) if self.is_held_by(caller.tid, &file.dir, *node) => Err(refusal.errno),
            Err(refusal) => {
                session.told = true;
                Err(self.refuse_file(&file, *node, caller.tid, refusal))
            }
        }
    }

    /// True when the process is known to have the written name open.
    fn is_held_by(&self, tid: u32, dir: &View, node: u64) -> bool {
        let Ok(Some(name)) = self.shelf.with(node, |n| n.name.clone()) else { return false };
        let tail = dir.mount_path().join(name);
        procs::status(tid).is_some_and(|status| procs::holds(status.process, &tail))
    }

    /// What was written is to survive power loss, and what comes later too.
    pub(crate) fn fsync(
        &self,
        fh: u64,
        caller: Caller,
        patience: Patience,
    ) -> Reply<Attempt<Option<Unsynced>>> {
        let file = self.file(fh)?;
        let What::Session { node, session, .. } = &file.what else {
            return Ok(Attempt::Done(None));
        };
        let Some(mut session) = file.enter(session, patience, Session::may_append) else {
            return Ok(Attempt::Slow(file.dir.lane.line_up()?));
        };
        let result = file.attempt(patience, |patience| session.sync(patience));
        self.publish(*node, &mut session);
        match result.map_err(|refusal| self.refuse_file(&file, *node, caller.tid, refusal))? {
            Attempt::Done(()) => Ok(Attempt::Done(unsynced(&file, &mut session))),
            Attempt::Slow(turn) => Ok(Attempt::Slow(turn)),
        }
    }

    /// The last descriptor is gone: nobody is there to hear of an error.
    pub(super) fn finish(
        &self,
        file: &OpenFile,
        node: u64,
        session: &Mutex<Session>,
        patience: Patience,
    ) -> Reply<Attempt<()>> {
        let Some(mut session) = file.enter(session, patience, Session::may_append) else {
            return Ok(Attempt::Slow(file.dir.lane.line_up()?));
        };
        let result = file.attempt(patience, |patience| session.finish(patience));
        if let Ok(Attempt::Slow(turn)) = result {
            return Ok(Attempt::Slow(turn));
        }
        self.publish(node, &mut session);
        if let Err(refusal) = result {
            self.refuse_file(file, node, session.opener, refusal);
        }
        if let Some(unsynced) = unsynced(file, &mut session) {
            unsynced.sync(Box::new(|_| ()));
        }
        Ok(Attempt::Done(()))
    }

    /// Notes the refusal of a write to an open file; what the caller is told.
    fn refuse_file(&self, file: &OpenFile, node: u64, tid: u32, refusal: Refusal) -> Errno {
        let name = self.shelf.with(node, |n| n.name.clone()).ok().flatten().unwrap_or_default();
        refuse(&file.dir, &name, tid, refusal)
    }

    /// Cuts a written name. What was delivered stays delivered.
    pub(super) fn truncate(&self, dir: &View, node: u64, fh: Option<u64>, size: u64) -> Reply<()> {
        if self.shelf.with(node, |n| n.draft)? {
            return self.shelf.truncate_draft(node, size, draft_limit(&dir.pool()?)?);
        }
        let file = fh.and_then(|fh| self.file(fh).ok());
        if let Some(What::Session { session, .. }) = file.as_ref().map(|f| &f.what)
            && size == 0
        {
            lock(session).restart();
        }
        if size == 0 {
            self.shelf.reset(node, false);
        }
        Ok(())
    }

    /// Shows under the written name what became of it.
    pub(super) fn publish(&self, node: u64, session: &mut Session) {
        if let Some((content, seq)) = session.take_news() {
            self.shelf.deliver(node, content, seq);
        }
    }
}

/// A name that was made, and the owner of its pool.
struct Made {
    dir: Arc<View>,
    node: u64,
    sort: Sort,
    owner: Owner,
    /// The size of the pool file.
    bytes: u64,
}

impl OpenFile {
    /// The session. None: a worker is not to wait for it, or for those who wait to write to its pool already.
    fn enter<'a>(
        &self,
        session: &'a Mutex<Session>,
        patience: Patience,
        appends: impl FnOnce(&Session) -> bool,
    ) -> Option<MutexGuard<'a, Session>> {
        if patience != Patience::Quick {
            return Some(lock(session));
        }
        let session = match session.try_lock() {
            Ok(session) => session,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        (!self.dir.lane.is_busy() || !appends(&session)).then_some(session)
    }

    /// Does it with this much patience, and if that is not enough, takes a turn in the line.
    fn attempt<T>(
        &self,
        patience: Patience,
        mut operation: impl FnMut(Patience) -> Result<T, Fail>,
    ) -> Result<Attempt<T>, Refusal> {
        let mut result = operation(patience);
        if result.as_ref().err() == Some(&Fail::Slow) {
            if let Ok(turn) = self.dir.lane.line_up() {
                return Ok(Attempt::Slow(turn));
            }
            // There is no thread to be had.
            result = operation(Patience::long());
        }
        match result {
            Ok(value) => Ok(Attempt::Done(value)),
            Err(Fail::Refused(refusal)) => Err(refusal),
            Err(Fail::Slow) => Err(Refusal::again(Errno::EBUSY)),
        }
    }
}

/// No draft can be delivered that is larger than the pool.
fn draft_limit(pool: &Pool) -> Reply<u64> {
    Ok(pool.size_bytes())
}

/// Notes a refusal; what the caller is told.
pub(super) fn refuse(dir: &View, name: &OsStr, tid: u32, refusal: Refusal) -> Errno {
    if let Some(reason) = &refusal.reason {
        dir.rejections.note(name, tid, refusal.errno, reason);
    }
    refusal.errno
}

fn draft_refusal(errno: Errno, offset: Option<u64>, limit: u64) -> Refusal {
    let text = match errno {
        Errno::EFBIG => format!(
            "the draft is too large: the pool is a file of {limit} bytes; write less, or create the pool with a larger size"
        ),
        Errno::ENOSPC => {
            "the drafts of all programs together take too much memory; rename or remove some".into()
        }
        _ => return Refusal::again(errno),
    };
    Refusal::new(errno, text, offset)
}

/// Messages that were appended and may be lost when the power fails now.
pub(crate) struct Unsynced {
    dir: Arc<View>,
    pool: Pool,
}

impl Unsynced {
    /// Has them synced; `done` is called when they are safe. Does not wait.
    pub(crate) fn sync(self, done: Synced) {
        self.dir.syncs.submit(&self.pool, done);
    }
}

fn unsynced(file: &OpenFile, session: &mut Session) -> Option<Unsynced> {
    session
        .take_unsynced()
        .then(|| Unsynced { dir: Arc::clone(&file.dir), pool: session.pool().clone() })
}
