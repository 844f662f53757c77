//! The pools of the directory as the mount knows them: ids, open handles, open files.

mod janitor;
mod texts;
mod view;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant, SystemTime};

use plasmite_core::{Client, ErrorKind, POOL_SUFFIX, Pool};

use crate::attr::Owner;
use crate::current::keep_up;
use crate::errno::{Errno, Reply};
use crate::hub::Hub;
use crate::ino::{DirId, Fixed, MAX_DIR_ID};
use crate::interrupt::Interrupts;
use crate::lane::Lane;
use crate::numbers::ByNumber;
use crate::rejections::Rejections;
use crate::sync::{lock, read, write};
use crate::syncs::Syncs;
use crate::sys;
use crate::waiters::Waiters;

pub(crate) use texts::TextNodes;
pub(crate) use view::View;

/// Filtered directories that may be known before those that nobody uses are looked for.
const KEPT_VIEWS: usize = 1024;

/// How long the news of a close may take.
const CLOSING: Duration = Duration::from_millis(300);

/// What tells a pool file from another one that has, or had, the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    dev: u64,
    ino: u64,
    /// Inode numbers are used again at once; times of birth are not.
    born: Option<SystemTime>,
}

impl Identity {
    fn of(meta: &Metadata) -> Self {
        Self { dev: meta.dev(), ino: meta.ino(), born: meta.created().ok() }
    }
}

/// A pool that is, or was, a directory of the mount.
///
/// It stands for one pool *file*, and for the one that a resize puts in its place: a file created anew under the same name gets a
/// `PoolDir` of its own, with other inode numbers, so that nothing the kernel remembers of the old pool shows in the new one.
pub(crate) struct PoolDir {
    /// Reads and polls that wait for its next message.
    pub(crate) waiters: Arc<Waiters>,
    /// The last refused writes.
    pub(crate) rejections: Arc<Rejections>,
    /// Syncs that are asked for.
    pub(crate) syncs: Arc<Syncs>,
    /// Writes that wait for its lock.
    pub(crate) lane: Arc<Lane>,
    identity: Mutex<Identity>,
    place: RwLock<Place>,
    slot: Mutex<Slot>,
    open_files: AtomicUsize,
    read_only: bool,
    /// That it can't be opened has been logged.
    complained: AtomicBool,
}

#[derive(Clone, Debug)]
struct Place {
    name: String,
    path: PathBuf,
}

struct Slot {
    pool: Option<Pool>,
    used: Instant,
}

impl PoolDir {
    /// The pool's name now.
    pub(crate) fn name(&self) -> String {
        read(&self.place).name.clone()
    }

    /// The pool file's path now.
    pub(crate) fn path(&self) -> PathBuf {
        read(&self.place).path.clone()
    }

    /// Whether this process may read the pool file, or write to it, by the file system's own judgement.
    pub(crate) fn may_access(&self, write: bool) -> bool {
        sys::may_access(&read(&self.place).path, write)
    }

    /// The open pool; opened when it was not.
    pub(crate) fn pool(&self) -> Reply<Pool> {
        let mut slot = lock(&self.slot);
        slot.used = Instant::now();
        self.keep_up(&mut slot);
        if let Some(pool) = &slot.pool {
            return Ok(pool.clone());
        }
        let pool = self.open()?;
        slot.pool = Some(pool.clone());
        Ok(pool)
    }

    fn open(&self) -> Reply<Pool> {
        let path = self.path();
        let opened = if self.read_only {
            Pool::open_read_only(&path)
        } else {
            Pool::open(&path).or_else(|error| match error.kind() {
                ErrorKind::Permission => Pool::open_read_only(&path),
                _ => Err(error),
            })
        };
        let pool = opened.inspect_err(|error| self.complain(error))?;
        if Identity::of(&pool.file().metadata()?) == *lock(&self.identity) {
            Ok(pool)
        } else {
            Err(Errno::ESTALE)
        }
    }

    /// The open pool goes on in its new file when it was resized. If that can't be opened, whoever uses the pool gets to know.
    fn keep_up(&self, slot: &mut Slot) {
        if let Some(pool) = &mut slot.pool
            && keep_up(pool).is_ok_and(|moved| moved)
            && let Ok(meta) = pool.file().metadata()
        {
            *lock(&self.identity) = Identity::of(&meta);
        }
    }

    /// True for its pool file, the one that a resize has made included.
    fn is(&self, identity: Identity) -> bool {
        if *lock(&self.identity) == identity {
            return true;
        }
        let mut slot = lock(&self.slot);
        if let Some(pool) = &slot.pool {
            // Who resizes it may not have said so yet.
            let _ = pool.check_alive();
        }
        self.keep_up(&mut slot);
        drop(slot);
        *lock(&self.identity) == identity
    }

    /// Logs once why the pool can't be opened. One that has gone is no trouble, nor one that is somebody else's.
    fn complain(&self, error: &plasmite_core::Error) {
        if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Permission)
            && !self.complained.swap(true, Ordering::Relaxed)
        {
            let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
            log::warn!("{}: {error}{hint}", self.path().display());
        }
    }

    /// The pool file's metadata. ESTALE when the file is gone or is another one.
    pub(crate) fn metadata(&self) -> Reply<Metadata> {
        let meta = std::fs::metadata(&read(&self.place).path).map_err(|_| Errno::ESTALE)?;
        if self.is(Identity::of(&meta)) { Ok(meta) } else { Err(Errno::ESTALE) }
    }

    /// Owner and permissions of the pool file.
    pub(crate) fn owner(&self) -> Reply<Owner> {
        let mut slot = lock(&self.slot);
        self.keep_up(&mut slot);
        if let Some(pool) = &slot.pool {
            return Ok(Owner::of(&pool.file().metadata()?));
        }
        drop(slot);
        Ok(Owner::of(&self.metadata()?))
    }

    /// Changes owner, group and permissions of the pool file.
    ///
    /// The file is held while it is changed, so that whatever takes its name meanwhile is not what is changed. It is held by
    /// its place alone: who may change its permissions may yet be unable to read it.
    pub(crate) fn change_owner(
        &self,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Reply<()> {
        let file = File::options()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open(self.path())
            .map_err(|_| Errno::ESTALE)?;
        if !self.is(Identity::of(&file.metadata()?)) {
            return Err(Errno::ESTALE);
        }
        let held = format!("/proc/self/fd/{}", file.as_raw_fd());
        if uid.is_some() || gid.is_some() {
            std::os::unix::fs::chown(&held, uid, gid)?;
        }
        if let Some(mode) = mode {
            std::fs::set_permissions(&held, Permissions::from_mode(mode))?;
        }
        Ok(())
    }

    /// One more of its files is open.
    pub(crate) fn file_opened(&self) {
        self.open_files.fetch_add(1, Ordering::Relaxed);
    }

    /// One of its files was closed.
    pub(crate) fn file_closed(&self) {
        self.open_files.fetch_sub(1, Ordering::Relaxed);
    }

    /// True while one of its files is open.
    pub(crate) fn is_busy(&self) -> bool {
        self.open_files.load(Ordering::Relaxed) > 0
    }

    /// True when one of its files is open and not about to be closed: the kernel tells of a last close only after `close`
    /// has returned, and by then a program may have gone on to `rmdir`.
    fn stays_busy(&self) -> bool {
        let end = Instant::now() + CLOSING;
        while self.is_busy() {
            if Instant::now() >= end {
                return true;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        false
    }

    /// Closes the pool if nobody used it since `since`, or it was deleted; of one that stays open, gives the pages back that
    /// are not in use right now.
    fn tidy(&self, since: Instant) {
        let mut slot = lock(&self.slot);
        self.keep_up(&mut slot);
        let keep = slot
            .pool
            .as_ref()
            .filter(|pool| self.is_busy() || (slot.used > since && pool.check_alive().is_ok()));
        match keep {
            Some(pool) => pool.release_pages(),
            None => slot.pool = None,
        }
    }
}

/// All pools.
pub(crate) struct Pools {
    client: Client,
    read_only: bool,
    table: RwLock<Table>,
    interrupts: Arc<Interrupts>,
    hub: Arc<Hub>,
    janitor: janitor::Janitor,
}

#[derive(Default)]
struct Table {
    by_id: ByNumber<DirId, Arc<View>>,
    /// Each pool's own directory.
    by_name: HashMap<String, Arc<View>>,
    /// Directories in these, by the inode number of the one that they are in.
    narrowed: HashMap<(u64, OsString), Arc<View>>,
    last_id: DirId,
}

impl Pools {
    /// The pools of a directory.
    pub(crate) fn new(dir: PathBuf, read_only: bool) -> Self {
        Self {
            client: Client::new(dir),
            read_only,
            table: RwLock::default(),
            interrupts: Arc::default(),
            hub: Arc::default(),
            janitor: janitor::Janitor::default(),
        }
    }

    /// What interrupts reads that wait.
    pub(crate) fn interrupts(&self) -> &Arc<Interrupts> {
        &self.interrupts
    }

    /// The pool directory.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The names of the pools that are there now.
    pub(crate) fn names(&self) -> Reply<Vec<String>> {
        Ok(self.client.names()?.into_iter().map(|(name, _)| name).collect())
    }

    /// The pool of that name, if it is there now.
    pub(crate) fn find(self: &Arc<Self>, name: &OsStr) -> Reply<Arc<View>> {
        let name = name.to_str().ok_or(Errno::ENOENT)?;
        let path = self.path_of(name).map_err(|_| Errno::ENOENT)?;
        let Some(meta) = std::fs::metadata(&path).ok().filter(Metadata::is_file) else {
            write(&self.table).by_name.remove(name);
            return Err(Errno::ENOENT);
        };
        let identity = Identity::of(&meta);
        let known = read(&self.table).by_name.get(name).filter(|d| d.is(identity)).cloned();
        match known {
            Some(dir) => Ok(dir),
            None => self.enter(name, path, identity),
        }
    }

    /// The file of the pool of that name; EINVAL for a name that no pool has, or that is another way to write one.
    fn path_of(&self, name: &str) -> Reply<PathBuf> {
        if name.ends_with(POOL_SUFFIX) {
            return Err(Errno::EINVAL);
        }
        Ok(self.client.path_of(name)?)
    }

    fn enter(self: &Arc<Self>, name: &str, path: PathBuf, identity: Identity) -> Reply<Arc<View>> {
        let mut table = write(&self.table);
        if let Some(dir) = table.by_name.get(name).filter(|d| d.is(identity)) {
            return Ok(Arc::clone(dir));
        }
        let home = PoolDir {
            waiters: Waiters::new(Arc::clone(&self.interrupts), Arc::clone(&self.hub)),
            rejections: Arc::default(),
            syncs: Arc::default(),
            lane: Arc::default(),
            identity: Mutex::new(identity),
            place: RwLock::new(Place { name: name.to_owned(), path }),
            slot: Mutex::new(Slot { pool: None, used: Instant::now() }),
            open_files: AtomicUsize::new(0),
            read_only: self.read_only,
            complained: AtomicBool::new(false),
        };
        let dir = Arc::new(View::whole(table.free_id()?, home));
        table.by_id.insert(dir.id, Arc::clone(&dir));
        table.by_name.insert(name.to_owned(), Arc::clone(&dir));
        drop(table);
        self.janitor.ensure_running(self);
        Ok(dir)
    }

    /// True when the kernel may know a directory by that name which is not that pool any more. Whoever waits in it learns so now.
    pub(crate) fn is_stale(&self, name: &str) -> bool {
        let known = read(&self.table).by_name.get(name).cloned();
        let Some(stale) = known.filter(|dir| dir.metadata().is_err()) else { return false };
        stale.waiters.check();
        true
    }

    /// The directory with this id. ESTALE when the kernel asks for one it was told to forget.
    pub(crate) fn by_id(&self, id: DirId) -> Reply<Arc<View>> {
        read(&self.table).by_id.get(&id).cloned().ok_or(Errno::ESTALE)
    }

    /// The directory `name` in a view, or in its `tags` or `since`: the same one each time as long as the kernel knows it.
    /// `has_names` tells whether written names are kept for a directory.
    pub(crate) fn narrow(
        &self,
        parent: &View,
        by: Fixed,
        name: &OsStr,
        has_names: impl Fn(DirId) -> bool,
    ) -> Reply<Arc<View>> {
        let key = (parent.ino(by).encode(), name.to_owned());
        if let Some(view) = read(&self.table).narrowed.get(&key) {
            return Ok(Arc::clone(view));
        }
        let mut table = write(&self.table);
        if let Some(view) = table.narrowed.get(&key) {
            return Ok(Arc::clone(view));
        }
        let view = Arc::new(parent.narrowed(table.free_id()?, by, name)?);
        // Now and then, so that it costs little for each.
        if table.narrowed.len().is_multiple_of(KEPT_VIEWS) {
            table.forget_narrowed(|view| !has_names(view.id));
        }
        table.by_id.insert(view.id, Arc::clone(&view));
        table.narrowed.insert(key, Arc::clone(&view));
        Ok(view)
    }

    /// The kernel forgot `count` lookups of a directory.
    pub(crate) fn forget(&self, id: DirId, count: u64, has_names: impl Fn(DirId) -> bool) {
        let Ok(dir) = self.by_id(id) else { return };
        let before = dir.lookups.fetch_sub(count, Ordering::Relaxed);
        if before > count {
            return;
        }
        if !dir.is_whole() {
            if !has_names(id) {
                write(&self.table).forget_narrowed(|view| view.id == id);
            }
            return;
        }
        if !dir.is_busy() {
            let mut table = write(&self.table);
            let current = table.by_name.get(&dir.name()).is_some_and(|d| Arc::ptr_eq(d, &dir));
            if !current && dir.lookups.load(Ordering::Relaxed) == 0 {
                table.by_id.remove(&id);
            }
        }
    }

    /// Creates a pool that belongs to `maker`. EEXIST when it is there.
    pub(crate) fn create(
        self: &Arc<Self>,
        name: &OsStr,
        size_bytes: u64,
        maker: Owner,
    ) -> Reply<Arc<View>> {
        let name_text = name.to_str().ok_or(Errno::EINVAL)?;
        self.path_of(name_text)?;
        let pool = self.client.create(name_text, size_bytes)?;
        if let Err(error) = give(pool.file(), maker) {
            // Nobody has written to it yet, and it must not stay as somebody else's.
            let _ = self.client.delete(name_text);
            return Err(error.into());
        }
        drop(pool);
        self.find(name)
    }

    /// Deletes a pool; waiting readers get end of file. EBUSY while one of its files is open here.
    pub(crate) fn delete(self: &Arc<Self>, name: &OsStr) -> Reply<()> {
        let dir = self.find(name)?;
        if dir.stays_busy() {
            return Err(Errno::EBUSY);
        }
        let name = dir.name();
        match self.client.delete(&name) {
            Ok(()) => {}
            // A damaged pool, or a file that never was one, goes like any other file.
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Usage) => {
                std::fs::remove_file(dir.path())?;
            }
            Err(error) => return Err(error.into()),
        }
        lock(&dir.slot).pool = None;
        write(&self.table).by_name.remove(&name);
        Ok(())
    }

    /// Renames a pool. Its directory keeps its inode, and files that are open stay so.
    pub(crate) fn rename(self: &Arc<Self>, from: &OsStr, to: &OsStr) -> Reply<()> {
        let dir = self.find(from)?;
        let new_name = to.to_str().ok_or(Errno::EINVAL)?;
        let new_path = self.path_of(new_name)?;
        let old_name = dir.name();
        self.client.rename(&old_name, new_name)?;
        let mut table = write(&self.table);
        table.by_name.remove(&old_name);
        table.by_name.insert(new_name.to_owned(), Arc::clone(&dir));
        *write(&dir.place) = Place { name: new_name.to_owned(), path: new_path };
        // What it has open would look under the old name for the file that a resize makes.
        lock(&dir.slot).pool = None;
        Ok(())
    }

    /// Ends every waiting read with end of file, now and from now on.
    pub(crate) fn close_waiters(&self) {
        self.dirs().iter().for_each(|dir| dir.waiters.close());
    }

    /// Ends every read that waits now with end of file.
    pub(crate) fn end_waits(&self) {
        self.dirs().iter().for_each(|dir| dir.waiters.end_waits());
    }

    /// How many directories are known.
    #[cfg(test)]
    pub(crate) fn known(&self) -> usize {
        read(&self.table).by_id.len()
    }

    fn dirs(&self) -> Vec<Arc<View>> {
        read(&self.table).by_id.values().cloned().collect()
    }
}

impl Table {
    /// Forgets the filtered directories that the kernel does not know any more, and for which `may` is true.
    fn forget_narrowed(&mut self, may: impl Fn(&View) -> bool) {
        let Self { narrowed, by_id, .. } = self;
        narrowed.retain(|_, view| {
            let goes = view.lookups.load(Ordering::Relaxed) == 0 && may(view);
            if goes {
                by_id.remove(&view.id);
            }
            !goes
        });
    }

    fn free_id(&mut self) -> Reply<DirId> {
        for _ in 0..MAX_DIR_ID {
            self.last_id = self.last_id % MAX_DIR_ID + 1;
            if !self.by_id.contains_key(&self.last_id) {
                return Ok(self.last_id);
            }
        }
        Err(Errno::ENOSPC)
    }
}

/// Makes a new pool file `maker`'s own.
fn give(file: &File, maker: Owner) -> std::io::Result<()> {
    let meta = file.metadata()?;
    if meta.uid() != maker.uid {
        std::os::unix::fs::fchown(file, Some(maker.uid), None)?;
    }
    // A directory with the set-group-id bit gives its group to what is made in it, as the file system has done by now.
    let inherited = meta.gid() != sys::egid();
    if !inherited && meta.gid() != maker.gid {
        std::os::unix::fs::fchown(file, None, Some(maker.gid))?;
    }
    file.set_permissions(Permissions::from_mode(maker.mode.into()))
}
