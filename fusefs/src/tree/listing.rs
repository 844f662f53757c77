//! Listings: pools in the root, messages in a pool, tags in `tags`.
//!
//! A message's place in a listing is its seq, so a listing goes on where it was whatever comes and goes meanwhile.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::sync::{Arc, Mutex};

use plasmite_core::{ErrorKind, Message, Pool, Seq, TailOptions};

use super::Tree;
use super::access::Want;
use super::attributes::message_attr_of;
use crate::attr::{Entry, Kind, Ttl};
use crate::errno::{Errno, Reply};
use crate::ino::{Fixed, Ino, ROOT};
use crate::pools::View;
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
    Pool(Arc<View>, Mutex<Seq>),
    /// `tags`: the tags of the messages that were there when the listing began.
    Tags(Arc<View>, Mutex<Vec<String>>),
    /// `since`, which lists nothing: any time is in it.
    Since(Arc<View>),
}

/// Cookies of `.` and `..`.
const DOT: u64 = 1;
const DOT_DOT: u64 = 2;
/// Above it are the cookies of what is no message; no seq is that large.
const EXTRAS: u64 = 1 << 60;

/// What `--show-streams` lists.
const SHOWN: [(&str, Fixed, Kind); 9] = [
    ("errors", Fixed::Errors, Kind::File),
    ("first", Fixed::First, Kind::Link),
    ("follow", Fixed::Follow, Kind::File),
    ("info.json", Fixed::Info, Kind::File),
    ("latest", Fixed::Latest, Kind::Link),
    ("log", Fixed::Log, Kind::File),
    ("since", Fixed::Since, Kind::Directory),
    ("tags", Fixed::Tags, Kind::Directory),
    ("tail", Fixed::Tail, Kind::File),
];

/// Tags that are listed at most: what goes beyond that is no listing for people.
const MAX_TAGS: usize = 10_000;

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
            Ino::Fixed(id, what @ (Fixed::Tags | Fixed::Since)) => {
                let dir = self.pools.by_id(id)?;
                self.permit(&dir, Want::Read)?;
                match what {
                    Fixed::Tags => Listing::Tags(dir, Mutex::default()),
                    _ => Listing::Since(dir),
                }
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
            Listing::Pool(dir, _) => dir.ino(Fixed::Dir).encode(),
            Listing::Tags(dir, _) => dir.ino(Fixed::Tags).encode(),
            Listing::Since(dir) => dir.ino(Fixed::Since).encode(),
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
                let full = list_pool(dir, end, cookie, ttl, add)?;
                if self.settings.show_streams && !full {
                    self.list_shown(dir, cookie, plus, add)?;
                }
                Ok(())
            }
            Listing::Tags(dir, tags) => self.list_tags(dir, tags, cookie, plus, add),
            Listing::Since(_) => Ok(()),
        }
    }

    /// True when listing on in `fh` takes a while, because each message has to be looked at.
    pub(crate) fn is_long_listing(&self, fh: u64) -> bool {
        self.listing(fh).is_ok_and(|listing| match &*listing {
            Listing::Pool(dir, _) => dir.is_tagged(),
            Listing::Tags(..) => true,
            Listing::Root(_) | Listing::Since(_) => false,
        })
    }

    fn list_tags(
        &self,
        dir: &View,
        tags: &Mutex<Vec<String>>,
        cookie: u64,
        plus: bool,
        add: &mut dyn FnMut(&Listed<'_>) -> bool,
    ) -> Reply<()> {
        let mut tags = lock(tags);
        if cookie == 0 {
            *tags = tags_of(dir, &dir.pool()?)?;
        }
        let skip = cookie.saturating_sub(DOT_DOT) as usize;
        for (i, tag) in tags.iter().enumerate().skip(skip) {
            let (cookie, name, kind) = (i as u64 + 1 + DOT_DOT, OsStr::new(tag), Kind::Directory);
            let view = self.narrow(dir, Fixed::Tags, name)?;
            let entry = if plus { Some(self.narrowed_entry(&view)?) } else { None };
            let ino = view.ino(Fixed::Dir).encode();
            if add(&Listed { ino, cookie, kind, name, entry }) {
                break;
            }
            if plus {
                view.looked_up();
            }
        }
        Ok(())
    }

    fn list_shown(
        &self,
        dir: &Arc<View>,
        cookie: u64,
        plus: bool,
        add: &mut dyn FnMut(&Listed<'_>) -> bool,
    ) -> Reply<()> {
        let is_empty = dir.ends(&dir.pool()?)?.is_none();
        let skip = cookie.saturating_sub(EXTRAS) as usize;
        for (i, (name, what, kind)) in SHOWN.into_iter().enumerate().skip(skip) {
            if kind == Kind::Link && is_empty {
                continue;
            }
            let name = OsStr::new(name);
            let entry = if plus { Some(self.lookup_in(dir, name)?) } else { None };
            let (ino, cookie) = (dir.ino(what).encode(), EXTRAS + i as u64 + 1);
            if add(&Listed { ino, cookie, kind, name, entry }) {
                break;
            }
        }
        Ok(())
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
    dir: &View,
    end: &Mutex<Seq>,
    cookie: u64,
    plus: Option<Ttl>,
    add: &mut dyn FnMut(&Listed<'_>) -> bool,
) -> Reply<bool> {
    let pool = dir.pool()?;
    let mut end = lock(end);
    if cookie == 0 {
        *end = pool.bounds()?.newest;
    }
    let owner = dir.owner()?;
    let mut message = Message::default();
    let mut seq = Seq::new(cookie.saturating_sub(DOT_DOT)).next().max(dir.start(&pool)?);
    while seq <= *end {
        let mut entry = None;
        if plus.is_some() || dir.is_tagged() {
            match pool.get_into(seq, &mut message) {
                Ok(()) if !message.has_tags(&dir.filter.tags) => {
                    seq = seq.next();
                    continue;
                }
                Ok(()) => {
                    let attr = message_attr_of(dir.id, owner, &message, false);
                    entry = plus.map(|ttl| Entry { attr, ttl });
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
            return Ok(true);
        }
        seq = seq.next();
    }
    Ok(false)
}

/// The further tags of the messages in a view, in order; those that can be names.
fn tags_of(dir: &View, pool: &Pool) -> Reply<Vec<String>> {
    let mut tags = BTreeSet::new();
    let mut tail = pool.tail(TailOptions {
        since: Some(dir.start(pool)?),
        tags: dir.filter.tags.to_vec(),
        ..Default::default()
    })?;
    let mut message = Message::default();
    while tags.len() < MAX_TAGS && tail.try_next_into(&mut message)? {
        for tag in message.tags() {
            let is_name = !matches!(tag, "." | "..") && !tag.contains(['/', '\0']);
            let is_new = !tags.contains(tag) && !dir.filter.tags.iter().any(|t| t == tag);
            if is_name && is_new && tags.len() < MAX_TAGS {
                tags.insert(tag.to_owned());
            }
        }
    }
    Ok(tags.into_iter().collect())
}
