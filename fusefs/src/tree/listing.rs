//! Listings: pools in the root, messages in a pool.
//!
//! A message's place in a listing is its seq, so a listing goes on where it was whatever comes and goes meanwhile.

use std::ffi::OsStr;
use std::sync::{Arc, Mutex};

use plasmite_core::{ErrorKind, Message, Seq};

use super::Tree;
use super::access::Want;
use super::attributes::message_attr_of;
use crate::attr::{Entry, Kind, Ttl};
use crate::errno::{Errno, Reply};
use crate::ino::{Fixed, Ino, ROOT};
use crate::pools::PoolDir;
use crate::sync::lock;

/// One entry of a listing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed<'a> {
    /// The inode.
    pub(crate) ino: u64,
    /// Where the listing goes on after this entry.
    pub(crate) cookie: u64,
    /// The sort of file.
    pub(crate) kind: Kind,
    /// The name.
    pub(crate) name: &'a OsStr,
    /// Attributes; always there when they were asked for, except for `.` and `..`.
    pub(crate) entry: Option<Entry>,
}

/// An open directory.
pub(super) enum Listing {
    /// The root: the pools that were there when the listing began.
    Root(Mutex<Vec<String>>),
    /// A pool: the newest message when the listing began.
    Pool(Arc<PoolDir>, Mutex<Seq>),
}

/// Cookies of `.` and `..`.
const DOT: u64 = 1;
const DOT_DOT: u64 = 2;

impl Tree {
    /// Opens a directory.
    pub(crate) fn opendir(&self, number: u64) -> Reply<u64> {
        let listing = match Self::ino(number)? {
            Ino::Root => Listing::Root(Mutex::default()),
            Ino::Fixed(id, Fixed::Dir) => {
                let dir = self.pools.by_id(id)?;
                self.permit(&dir, Want::Read)?;
                dir.pool()?;
                Listing::Pool(dir, Mutex::default())
            }
            _ => return Err(Errno::ENOTDIR),
        };
        let fh = self.new_handle();
        lock(&self.listings).insert(fh, Arc::new(listing));
        Ok(fh)
    }

    /// Closes a directory.
    pub(crate) fn releasedir(&self, fh: u64) -> Reply<()> {
        lock(&self.listings).remove(&fh).map(drop).ok_or(Errno::EBADF)
    }

    /// Lists from `cookie` on until `add` says that it is full. `plus`: with attributes.
    pub(crate) fn readdir(
        &self,
        fh: u64,
        cookie: u64,
        plus: bool,
        add: &mut dyn FnMut(&Listed<'_>) -> bool,
    ) -> Reply<()> {
        let listing = self.listing(fh)?;
        let own = match &*listing {
            Listing::Root(_) => ROOT,
            Listing::Pool(dir, _) => Ino::Fixed(dir.id, Fixed::Dir).encode(),
        };
        for (dots, ino, number) in [(".", own, DOT), ("..", ROOT, DOT_DOT)] {
            let name = OsStr::new(dots);
            let listed = Listed { ino, cookie: number, kind: Kind::Directory, name, entry: None };
            if cookie < number && add(&listed) {
                return Ok(());
            }
        }
        match &*listing {
            Listing::Root(names) => self.list_root(names, cookie, plus, add),
            Listing::Pool(dir, end) => {
                let ttl = plus.then(|| self.message_ttl());
                list_pool(dir, end, cookie, ttl, add)
            }
        }
    }

    fn list_root(
        &self,
        names: &Mutex<Vec<String>>,
        cookie: u64,
        plus: bool,
        add: &mut dyn FnMut(&Listed<'_>) -> bool,
    ) -> Reply<()> {
        let mut names = lock(names);
        if cookie == 0 {
            *names = self.pools.names()?;
        }
        let skip = cookie.saturating_sub(DOT_DOT) as usize;
        for (i, name) in names.iter().enumerate().skip(skip) {
            let name = OsStr::new(name);
            // Deleted in the meantime, or not to be looked at: not there.
            let Ok(dir) = self.pools.find(name) else { continue };
            let ino = Ino::Fixed(dir.id, Fixed::Dir);
            let attr = if plus { self.attr(ino).ok() } else { None };
            if plus && attr.is_none() {
                continue;
            }
            let entry = attr.map(|attr| Entry { attr, ttl: self.pool_ttl() });
            let cookie = i as u64 + 1 + DOT_DOT;
            let listed = Listed { ino: ino.encode(), cookie, kind: Kind::Directory, name, entry };
            if add(&listed) {
                return Ok(());
            }
            if plus {
                dir.looked_up();
            }
        }
        Ok(())
    }
}

fn list_pool(
    dir: &PoolDir,
    end: &Mutex<Seq>,
    cookie: u64,
    plus: Option<Ttl>,
    add: &mut dyn FnMut(&Listed<'_>) -> bool,
) -> Reply<()> {
    let pool = dir.pool()?;
    let bounds = pool.bounds()?;
    let mut end = lock(end);
    if cookie == 0 {
        *end = bounds.newest;
    }
    let owner = dir.owner()?;
    let mut message = Message::default();
    let mut seq = Seq::new(cookie.saturating_sub(DOT_DOT)).next().max(bounds.oldest);
    while seq <= *end {
        let mut entry = None;
        if let Some(ttl) = plus {
            match pool.get_into(seq, &mut message) {
                Ok(()) => {
                    let attr = message_attr_of(dir.id, owner, &message, false);
                    entry = Some(Entry { attr, ttl });
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    // Overwritten: the listing goes on with the oldest.
                    seq = seq.next().max(pool.bounds()?.oldest);
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let name = seq.to_string();
        let listed = Listed {
            ino: Ino::Message(dir.id, seq.get()).encode(),
            cookie: seq.get() + DOT_DOT,
            kind: Kind::File,
            name: OsStr::new(&name),
            entry,
        };
        if add(&listed) {
            break;
        }
        seq = seq.next();
    }
    Ok(())
}
