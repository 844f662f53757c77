//! Changes of the tree itself: mkdir, rmdir, unlink, rename.

use std::ffi::OsStr;
use std::sync::Arc;

use super::access::Want;
use super::writing::refuse;
use super::{Caller, Tree};
use crate::attr::{Entry, Owner};
use crate::errno::{Errno, Reply};
use crate::ino::{Fixed, Ino};
use crate::lane::{Attempt, Patience};
use crate::names::{Meaning, Sort};
use crate::pools::View;
use crate::session::{Fail, deliver_draft};

/// Where a name is.
enum Place {
    Root,
    Pool(Arc<View>),
}

/// Why a rename has not happened.
enum Stop {
    /// The pool can't be written just now.
    Slow,
    Failed(Errno),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno)
    }
}

impl Tree {
    fn place(&self, number: u64) -> Reply<Place> {
        match Self::ino(number)? {
            Ino::Root => Ok(Place::Root),
            Ino::Fixed(id, Fixed::Dir) => Ok(Place::Pool(self.pools.by_id(id)?)),
            Ino::Fixed(_, Fixed::Tags | Fixed::Since) => Err(Errno::EPERM),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// Creates a pool that belongs to the caller.
    pub(crate) fn mkdir(
        &self,
        parent: u64,
        name: &OsStr,
        mode: u32,
        caller: Caller,
    ) -> Reply<Entry> {
        let Place::Root = self.place(parent)? else { return Err(Errno::EPERM) };
        // The kernel has taken the caller's umask off.
        let maker = Owner { uid: caller.uid, gid: caller.gid, mode: (mode & 0o666) as u16 };
        let dir = self.pools.create(name, self.settings.pool_size_bytes, maker)?;
        let attr = self.attr(Ino::Fixed(dir.id, Fixed::Dir))?;
        let entry = Entry { attr, ttl: self.pool_ttl() };
        dir.looked_up();
        Ok(entry)
    }

    /// True when removing the directory may have to wait: for files that are being closed, or for the pool's lock.
    pub(crate) fn is_long_rmdir(&self, parent: u64, name: &OsStr) -> bool {
        matches!(Self::ino(parent), Ok(Ino::Root)) && self.pools.find(name).is_ok()
    }

    /// Deletes a pool.
    pub(crate) fn rmdir(&self, parent: u64, name: &OsStr) -> Reply<()> {
        match self.place(parent)? {
            Place::Root => self.pools.delete(name),
            Place::Pool(dir) => match dir.meaning(name) {
                Meaning::Tags | Meaning::Since | Meaning::Tag => Err(Errno::EPERM),
                _ => Err(Errno::ENOTDIR),
            },
        }
    }

    /// Drops a draft, or forgets a written name. Messages and views stay.
    pub(crate) fn unlink(&self, parent: u64, name: &OsStr) -> Reply<()> {
        match self.place(parent)? {
            Place::Root => Err(Errno::EISDIR),
            Place::Pool(dir) => match dir.meaning(name) {
                Meaning::Writable(_) => self.shelf.unlink(dir.id, name),
                _ => Err(Errno::EPERM),
            },
        }
    }

    /// Renames a pool or a written name. A draft that gets a final name is delivered.
    pub(crate) fn rename(
        &self,
        from: (u64, &OsStr),
        to: (u64, &OsStr),
        no_replace: bool,
        caller: Caller,
        patience: Patience,
    ) -> Reply<Attempt<()>> {
        match (self.place(from.0)?, self.place(to.0)?) {
            (Place::Root, Place::Root) => self.pools.rename(from.1, to.1).map(Attempt::Done),
            (Place::Pool(source), Place::Pool(target)) => {
                if patience == Patience::Quick && target.lane.is_busy() {
                    return Ok(Attempt::Slow(target.lane.line_up()?));
                }
                let (from, to) = ((&*source, from.1), (&*target, to.1));
                match self.rename_written(from, to, no_replace, caller, patience) {
                    Ok(()) => Ok(Attempt::Done(())),
                    Err(Stop::Slow) => Ok(Attempt::Slow(target.lane.line_up()?)),
                    Err(Stop::Failed(errno)) => Err(errno),
                }
            }
            _ => Err(Errno::EPERM),
        }
    }

    fn rename_written(
        &self,
        (source, from): (&View, &OsStr),
        (target, to): (&View, &OsStr),
        no_replace: bool,
        caller: Caller,
        patience: Patience,
    ) -> Result<(), Stop> {
        let (Meaning::Writable(_), Meaning::Writable(sort)) =
            (source.meaning(from), target.meaning(to))
        else {
            return Err(Errno::EPERM.into());
        };
        let node = self.shelf.find(source.id, from).ok_or(Errno::ENOENT)?;
        if no_replace && self.shelf.find(target.id, to).is_some() {
            return Err(Errno::EEXIST.into());
        }
        if sort != Sort::Draft {
            self.deliver(node, target, (to, sort), caller, patience)?;
        }
        Ok(self.shelf.rename(node, target.id, to)?)
    }

    /// Delivers the content of a node, if it is a draft.
    fn deliver(
        &self,
        node: u64,
        target: &View,
        (to, sort): (&OsStr, Sort),
        caller: Caller,
        patience: Patience,
    ) -> Result<(), Stop> {
        if !self.shelf.with(node, |n| n.draft)? {
            return Ok(());
        }
        let content = self.content(node)?;
        self.permit(target, Want::Write)?;
        let pool = target.pool()?;
        let delivered = deliver_draft(&pool, sort, &target.filter.tags, &content, patience)
            .map_err(|fail| match fail {
                Fail::Slow => Stop::Slow,
                Fail::Refused(refusal) => {
                    refuse(target, to, caller.tid, refusal.of_rename()).into()
                }
            })?;
        match delivered {
            Some(seq) => self.shelf.deliver(node, kept(content), seq),
            None => self.shelf.reset(node, false),
        }
        Ok(())
    }
}

/// Content worth keeping for those who come back to the name.
fn kept(content: Vec<u8>) -> Option<Vec<u8>> {
    const MAX: usize = 256 << 10;
    (content.len() <= MAX).then_some(content)
}
