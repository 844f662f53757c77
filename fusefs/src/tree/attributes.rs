//! Names and attributes: lookup, getattr, setattr, extended attributes.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::SystemTime;

use plasmite_core::{Message, Pool, Seq};

use super::access::Want;
use super::files::text;
use super::{Tree, What};
use crate::attr::{Attr, Entry, Kind, Owner, Ttl};
use crate::errno::{Errno, Reply};
use crate::ino::{DirId, Fixed, Ino};
use crate::names::Meaning;
use crate::pools::View;
use crate::sync::{lock, read};
use crate::sys::{self, Space};
use crate::views;

/// The longest name, as `statfs` says too; the kernel itself would allow more.
pub(crate) const MAX_NAME_BYTES: usize = 255;

/// Attributes to be changed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Change {
    /// Permission bits.
    pub(crate) mode: Option<u32>,
    /// User.
    pub(crate) uid: Option<u32>,
    /// Group.
    pub(crate) gid: Option<u32>,
    /// Size.
    pub(crate) size: Option<u64>,
    /// Time of modification.
    pub(crate) mtime: Option<SystemTime>,
}

impl Tree {
    /// What a name leads to.
    pub(crate) fn lookup(&self, parent: u64, name: &OsStr) -> Reply<Entry> {
        if name.len() > MAX_NAME_BYTES {
            return Err(Errno(libc::ENAMETOOLONG));
        }
        match Self::ino(parent)? {
            Ino::Root => {
                let dir = self.pools.find(name)?;
                let entry = Entry { attr: self.dir_attr(&dir)?, ttl: self.pool_ttl() };
                dir.looked_up();
                Ok(entry)
            }
            Ino::Fixed(id, Fixed::Dir) => self.lookup_in(&self.pools.by_id(id)?, name),
            Ino::Fixed(id, by @ (Fixed::Tags | Fixed::Since)) => {
                self.lookup_narrowed(&*self.pools.by_id(id)?, by, name)
            }
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn lookup_narrowed(&self, dir: &View, by: Fixed, name: &OsStr) -> Reply<Entry> {
        self.permit(dir, Want::Read)?;
        let view = self.narrow(dir, by, name)?;
        let entry = self.narrowed_entry(&view)?;
        view.looked_up();
        Ok(entry)
    }

    pub(super) fn narrow(&self, dir: &View, by: Fixed, name: &OsStr) -> Reply<Arc<View>> {
        self.pools.narrow(dir, by, name, |id| self.shelf.has_names(id))
    }

    /// A filtered directory is there as long as its pool is.
    pub(super) fn narrowed_entry(&self, view: &View) -> Reply<Entry> {
        Ok(Entry { attr: self.dir_attr(view)?, ttl: Ttl::POOL })
    }

    pub(super) fn lookup_in(&self, dir: &Arc<View>, name: &OsStr) -> Reply<Entry> {
        let meaning = dir.meaning(name);
        let node = match meaning {
            Meaning::Writable(_) => self.shelf.find(dir.id, name),
            _ => None,
        };
        if node.is_none() && matches!(meaning, Meaning::Writable(_)) {
            self.permit_looking(dir)?;
            // One that is damaged fails whatever one looks for.
            dir.pool()?;
            return Err(Errno::ENOENT);
        }
        // The kernel may not have asked for the pool's own name for a while.
        let owner = Owner::of(&self.permit(dir, Want::Read)?);
        let pool = dir.pool()?;
        let fixed = |what| dir.ino(what);
        let (ino, ttl) = match meaning {
            Meaning::Message(seq) | Meaning::Data(seq) => {
                let message = pool.get(seq)?;
                if !dir.shows(&message) {
                    return Err(Errno::ENOENT);
                }
                let data = matches!(meaning, Meaning::Data(_));
                let attr = message_attr_of(dir.id, owner, &message, data);
                return Ok(Entry { attr, ttl: self.message_ttl() });
            }
            Meaning::Tags => (fixed(Fixed::Tags), Ttl::POOL),
            Meaning::Since => (fixed(Fixed::Since), Ttl::POOL),
            Meaning::Tag => return self.lookup_narrowed(dir, Fixed::Dir, name),
            Meaning::First => (fixed(Fixed::First), Ttl::NONE),
            Meaning::Latest => (fixed(Fixed::Latest), Ttl::NONE),
            Meaning::Tail => (fixed(Fixed::Tail), Ttl::POOL),
            Meaning::Follow => (fixed(Fixed::Follow), Ttl::POOL),
            Meaning::Info => (fixed(Fixed::Info), Ttl::POOL),
            Meaning::Log => return self.text_entry(dir, Fixed::Log),
            Meaning::Errors => return self.text_entry(dir, Fixed::Errors),
            Meaning::Reserved => return Err(Errno::ENOENT),
            Meaning::Writable(_) => (Ino::Node(dir.id, node.ok_or(Errno::ENOENT)?), Ttl::WRITTEN),
        };
        Ok(Entry { attr: self.attr(ino)?, ttl })
    }

    fn text_entry(&self, dir: &View, what: Fixed) -> Reply<Entry> {
        let start = match what {
            Fixed::Errors => text(dir, what)?.range()?.start,
            _ => dir.log_start(&dir.pool()?)?,
        };
        let node = lock(&dir.texts).current(what, start);
        // The inode itself, whatever `stat` shows.
        let ino = Ino::Node(dir.id, node).encode();
        let attr = Attr { ino, ..self.attr(Ino::Node(dir.id, node))? };
        Ok(Entry { attr, ttl: Ttl::NONE })
    }

    /// The kernel forgot `count` lookups of an inode.
    pub(crate) fn forget(&self, number: u64, count: u64) -> Reply<()> {
        if let Ino::Fixed(id, Fixed::Dir) = Self::ino(number)? {
            self.pools.forget(id, count, |id| self.shelf.has_names(id));
        }
        Ok(())
    }

    /// The attributes of an inode, and how long they hold.
    pub(crate) fn getattr(&self, number: u64) -> Reply<(Attr, Ttl)> {
        let ino = Self::ino(number)?;
        let ttl = match ino {
            Ino::Message(..) | Ino::Data(..) => self.message_ttl(),
            Ino::Node(dir, node) if !self.is_text(dir, node) => {
                // What is being written gets its size when it is closed.
                if self.shelf.facts(node)?.open { Ttl::NONE } else { Ttl::WRITTEN }
            }
            _ => Ttl::NONE,
        };
        let attr = self.attr(ino).or_else(|errno| match errno {
            Errno::ESTALE => self.attr_while_open(ino),
            errno => Err(errno),
        })?;
        Ok((attr, ttl))
    }

    /// The attributes of a message that went while somebody has it open: those of a deleted file, which `fstat` still knows. (It is
    /// not told which descriptor it is asked for.)
    fn attr_while_open(&self, ino: Ino) -> Reply<Attr> {
        let found = read(&self.files).values().find_map(|file| match &file.what {
            What::Whole { ino: open, mtime, bytes } if *open == ino => {
                Some((Arc::clone(&file.dir), *mtime, bytes.len() as u64))
            }
            _ => None,
        });
        let (dir, mtime, size) = found.ok_or(Errno::ESTALE)?;
        let owner = dir.owner()?;
        Ok(attr(ino, Kind::File, owner, owner.read_mode(), size, mtime))
    }

    pub(super) fn is_text(&self, dir: DirId, node: u64) -> bool {
        self.pools.by_id(dir).is_ok_and(|dir| lock(&dir.texts).find(node).is_some())
    }

    pub(super) fn attr(&self, ino: Ino) -> Reply<Attr> {
        match ino {
            Ino::Root => self.root_attr(),
            Ino::Fixed(id, Fixed::Dir) => self.dir_attr(&*self.pools.by_id(id)?),
            Ino::Fixed(id, what) => fixed_attr(&*self.pools.by_id(id)?, what),
            Ino::Message(id, low) | Ino::Data(id, low) => {
                let dir = self.pools.by_id(id)?;
                let message = Self::message(&dir.pool()?, low).map_err(gone)?;
                Ok(message_attr_of(dir.id, dir.owner()?, &message, matches!(ino, Ino::Data(..))))
            }
            Ino::Node(id, node) => self.node_attr(&*self.pools.by_id(id)?, node),
        }
    }

    fn root_attr(&self) -> Reply<Attr> {
        let meta = std::fs::metadata(self.pools.client().dir())?;
        let owner = Owner::of(&meta);
        // With the sticky bit, for which the kernel looks before a pool is removed or renamed.
        let mode = (meta.mode() & 0o7777) as u16;
        Ok(attr(Ino::Root, Kind::Directory, owner, mode, 0, meta.modified()?))
    }

    fn dir_attr(&self, dir: &View) -> Reply<Attr> {
        let meta = dir.metadata()?;
        // A damaged pool is a directory still, so that it can be seen and removed.
        let newest = dir.pool().ok().and_then(|pool| newest_time(&pool).ok());
        let mtime = newest.map_or_else(|| meta.modified(), Ok)?;
        let owner = Owner::of(&meta);
        let ino = Ino::Fixed(dir.id, Fixed::Dir);
        Ok(attr(ino, Kind::Directory, owner, owner.dir_mode(), 0, mtime))
    }

    fn node_attr(&self, dir: &View, node: u64) -> Reply<Attr> {
        let owner = dir.owner()?;
        let found = lock(&dir.texts).find(node);
        if let Some((what, base)) = found {
            let size = text(dir, what)?.range()?.end.saturating_sub(base);
            let rejected = dir.rejections.newest().filter(|_| what == Fixed::Errors);
            let mtime = rejected.map_or_else(|| newest_time(&dir.pool()?), Ok)?;
            let ino = Ino::Fixed(dir.id, what);
            return Ok(attr(ino, Kind::File, owner, owner.read_mode(), size, mtime));
        }
        self.written_attr(dir, node, owner)
    }

    /// The attributes of a written name in a pool of this owner.
    pub(super) fn written_attr(&self, dir: &View, node: u64, owner: Owner) -> Reply<Attr> {
        let facts = self.shelf.facts(node)?;
        let size = match facts.size {
            Ok(size) => size,
            Err(seq) => self
                .pools
                .by_id(facts.dir)?
                .pool()?
                .get(seq)
                .map_or(0, |m| m.data().len() as u64 + 1),
        };
        let (uid, gid) = facts.owner;
        // Whoever may append to the pool may append to the name: it is nobody's own.
        let mode = if self.settings.shared { facts.mode | owner.mode } else { facts.mode };
        let owner = Owner { uid, gid, mode };
        Ok(attr(Ino::Node(dir.id, node), Kind::File, owner, mode, size, facts.mtime))
    }

    /// Changes attributes. Written names take it all, without effect on their messages.
    pub(crate) fn setattr(
        &self,
        number: u64,
        fh: Option<u64>,
        change: &Change,
    ) -> Reply<(Attr, Ttl)> {
        match Self::ino(number)? {
            Ino::Root => return Err(Errno::EPERM),
            Ino::Fixed(id, Fixed::Dir) => change_dir(&*self.pools.by_id(id)?, change)?,
            Ino::Node(id, node) if !self.is_text(id, node) => {
                self.change_node(id, node, fh, change)?
            }
            _ => return Err(Errno::EPERM),
        }
        self.getattr(number)
    }

    fn change_node(&self, id: DirId, node: u64, fh: Option<u64>, change: &Change) -> Reply<()> {
        if let Some(size) = change.size {
            self.truncate(&*self.pools.by_id(id)?, node, fh, size)?;
        }
        self.shelf.with(node, |node| {
            if let Some(mode) = change.mode {
                node.mode = (mode & 0o777) as u16;
            }
            if let Some(mtime) = change.mtime {
                node.mtime = mtime;
            }
        })
    }

    /// The target of `first` or `latest`.
    pub(crate) fn readlink(&self, number: u64) -> Reply<Vec<u8>> {
        let Ino::Fixed(id, what) = Self::ino(number)? else { return Err(Errno::EINVAL) };
        let dir = self.pools.by_id(id)?;
        Ok(link_target(&dir, &dir.pool()?, what)?.to_string().into_bytes())
    }

    /// The space of the file system that holds the pools.
    pub(crate) fn space(&self) -> Reply<Space> {
        Ok(sys::space(self.pools.client().dir())?)
    }
}

fn change_dir(dir: &View, change: &Change) -> Reply<()> {
    if change.size.is_some() {
        return Err(Errno::EISDIR);
    }
    if change.mode.is_some() || change.uid.is_some() || change.gid.is_some() {
        // The filtered ones have what the pool has.
        if !dir.is_whole() {
            return Err(Errno::EPERM);
        }
        dir.change_owner(change.mode.map(|mode| mode & 0o666), change.uid, change.gid)?;
    }
    Ok(())
}

fn attr(ino: Ino, kind: Kind, owner: Owner, mode: u16, size: u64, mtime: SystemTime) -> Attr {
    Attr { ino: ino.encode(), size, kind, mode, uid: owner.uid, gid: owner.gid, mtime }
}

/// The attributes of `N` or `N.json`.
pub(super) fn message_attr_of(id: DirId, owner: Owner, message: &Message, data: bool) -> Attr {
    let seq = message.seq().get();
    let (ino, size) = if data {
        (Ino::Data(id, seq), message.data().len() as u64 + 1)
    } else {
        (Ino::Message(id, seq), message.line_len())
    };
    let mtime = message.time().into();
    // Inode numbers hold the low bits of the seq only.
    let ino = Ino::decode(ino.encode()).unwrap_or(ino);
    attr(ino, Kind::File, owner, owner.read_mode(), size, mtime)
}

fn fixed_attr(dir: &View, what: Fixed) -> Reply<Attr> {
    let owner = dir.owner()?;
    let pool = dir.pool()?;
    let ino = Ino::Fixed(dir.id, what);
    let mtime = newest_time(&pool)?;
    Ok(match what {
        Fixed::First | Fixed::Latest => {
            let size = link_target(dir, &pool, what)?.to_string().len() as u64;
            attr(ino, Kind::Link, owner, 0o777, size, mtime)
        }
        Fixed::Info => {
            let size = views::info_text(&pool)?.len() as u64;
            attr(ino, Kind::File, owner, owner.read_mode(), size, mtime)
        }
        // What is written there is refused; the directories in it take it.
        Fixed::Dir | Fixed::Tags | Fixed::Since => {
            attr(ino, Kind::Directory, owner, owner.dir_mode() & 0o555, 0, mtime)
        }
        Fixed::Tail | Fixed::Follow | Fixed::Log | Fixed::Errors => {
            attr(ino, Kind::File, owner, owner.read_mode(), 0, mtime)
        }
    })
}

fn link_target(dir: &View, pool: &Pool, what: Fixed) -> Reply<Seq> {
    if !matches!(what, Fixed::First | Fixed::Latest) {
        return Err(Errno::EINVAL);
    }
    let (first, latest) = dir.ends(pool)?.ok_or(Errno::ENOENT)?;
    Ok(if what == Fixed::First { first } else { latest })
}

/// The time of the newest message, or of the pool's creation.
fn newest_time(pool: &Pool) -> Reply<SystemTime> {
    let info = pool.info()?;
    Ok(info.newest_time.unwrap_or(info.created).into())
}

/// For an inode whose message was overwritten: the kernel looks the name up again, and finds nothing.
pub(super) fn gone(errno: Errno) -> Errno {
    if errno == Errno::ENOENT { Errno::ESTALE } else { errno }
}
