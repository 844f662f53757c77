//! The pools of a directory, looked at again and again through handles that stay open.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use plasmite_core::{Activity, Client, Error, ErrorKind, Info, Pool, Result, Seq};

/// How many looks back the rates of a pool are kept.
pub(crate) const KEPT: usize = 240;

/// Messages and bytes in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    pub(crate) messages: f64,
    /// Of the messages as JSON lines, which is how programs see them.
    pub(crate) bytes: f64,
}

/// What one look at a pool showed.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) info: Info,
    /// None when the kernel does not tell.
    pub(crate) activity: Option<Activity>,
}

impl Facts {
    /// The part of the ring that is in use, 0 to 1.
    pub(crate) fn fill(&self) -> f64 {
        self.info.used_bytes as f64 / self.info.ring_bytes.max(1) as f64
    }

    pub(crate) fn writers(&self) -> Option<u32> {
        self.activity.map(|activity| activity.writers)
    }

    pub(crate) fn readers(&self) -> Option<u32> {
        self.activity.and_then(|activity| activity.waiting)
    }
}

/// One pool.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// What the last look showed, or why it showed nothing.
    pub(crate) facts: Result<Facts>,
    /// The rates between one look and the next, newest last; empty after the first look.
    pub(crate) history: VecDeque<Rates>,
    handle: Option<Handle>,
    before: Option<Counts>,
}

/// Sums since the pool was created, as of some moment.
#[derive(Clone, Copy, Debug)]
struct Counts {
    at: Instant,
    newest: Seq,
    log_end: u64,
}

/// A pool that is kept open.
#[derive(Debug)]
struct Handle {
    pool: Pool,
    file: FileId,
    /// It may be opened for writing, which is what tells how many readers wait, once others have recovered it.
    may_improve: bool,
}

/// Which file it is: a name may get another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(metadata: &fs::Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// All pools of a directory, by name.
#[derive(Debug)]
pub(crate) struct Watch {
    client: Client,
    pools: BTreeMap<String, Watched>,
    /// Why the directory could not be listed the last time.
    pub(crate) trouble: Option<Error>,
}

impl Watch {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, pools: BTreeMap::new(), trouble: None }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.client.dir()
    }

    pub(crate) fn pools(&self) -> impl ExactSizeIterator<Item = &Watched> {
        self.pools.values()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Watched> {
        self.pools.get(name)
    }

    /// Looks at everything once. What can't be seen is told in its place.
    pub(crate) fn look(&mut self) {
        match self.client.names() {
            Ok(names) => {
                self.trouble = None;
                let mut gone = std::mem::take(&mut self.pools);
                for (name, path) in names {
                    let pool =
                        gone.remove(&name).unwrap_or_else(|| Watched::new(name.clone(), path));
                    self.pools.insert(name, pool);
                }
            }
            Err(error) => self.trouble = Some(error),
        }
        self.pools.values_mut().for_each(Watched::look);
    }

    /// The rates of all pools together.
    pub(crate) fn total(&self) -> Rates {
        let latest = self.pools().filter_map(|pool| pool.history.back());
        latest.fold(Rates::default(), |sum, rates| Rates {
            messages: sum.messages + rates.messages,
            bytes: sum.bytes + rates.bytes,
        })
    }
}

impl Watched {
    fn new(name: String, path: PathBuf) -> Self {
        let facts = Err(Error::new(ErrorKind::NotFound, "not looked at yet"));
        Self { name, path, facts, history: VecDeque::new(), handle: None, before: None }
    }

    pub(crate) fn latest(&self) -> Rates {
        self.history.back().copied().unwrap_or_default()
    }

    fn look(&mut self) {
        let looked = self.try_look();
        let counts = looked.as_ref().ok().map(|(_, counts)| *counts);
        self.facts = looked.map(|(facts, _)| facts);
        if self.facts.is_err() {
            self.handle = None;
        }
        if let (Some(before), Some(now)) = (self.before, counts) {
            if self.history.len() == KEPT {
                self.history.pop_front();
            }
            self.history.push_back(now.since(before));
        }
        self.before = counts;
    }

    fn try_look(&mut self) -> Result<(Facts, Counts)> {
        let pool = self.open()?.clone();
        let info = pool.info()?;
        let log_end = match pool.log_range() {
            Ok(range) => range.end,
            // Writers were faster than the look.
            Err(_) => self.before.map_or(0, |before| before.log_end),
        };
        let counts = Counts { at: Instant::now(), newest: info.bounds.newest, log_end };
        Ok((Facts { info, activity: pool.activity().ok() }, counts))
    }

    /// The handle of the file that has the pool's name now.
    fn open(&mut self) -> Result<&Pool> {
        let file = fs::metadata(&self.path).ok().map(|metadata| FileId::of(&metadata));
        let kept = self.handle.take().filter(|handle| Some(handle.file) == file);
        let handle = match kept {
            Some(handle) if handle.may_improve => handle.improved(&self.path),
            Some(handle) => handle,
            None => {
                // Another file: what was counted belongs to the one before.
                self.before = None;
                self.history.clear();
                Handle::open(&self.path)?
            }
        };
        Ok(&self.handle.insert(handle).pool)
    }
}

impl Handle {
    fn open(path: &Path) -> Result<Self> {
        let pool = Pool::open_read_only(path)?;
        let metadata =
            pool.file().metadata().map_err(|e| Error::io("look at the pool", path, &e))?;
        let handle = Self { pool, file: FileId::of(&metadata), may_improve: true };
        Ok(handle.improved(path))
    }

    /// Opened for writing, if we may, and if that is no recovery: to look at a pool must not change it.
    fn improved(self, path: &Path) -> Self {
        if self.pool.awaits_recovery() {
            return self;
        }
        let writable = Pool::open(path).ok().filter(|pool| {
            pool.file().metadata().is_ok_and(|metadata| FileId::of(&metadata) == self.file)
        });
        Self { pool: writable.unwrap_or(self.pool), may_improve: false, ..self }
    }
}

impl Counts {
    fn since(self, before: Self) -> Rates {
        let seconds = self.at.duration_since(before.at).as_secs_f64().max(1e-6);
        let messages = self.newest.get().saturating_sub(before.newest.get());
        let bytes = self.log_end.saturating_sub(before.log_end);
        Rates { messages: messages as f64 / seconds, bytes: bytes as f64 / seconds }
    }
}

#[cfg(test)]
mod tests {
    use plasmite_core::Durability;

    use super::*;

    const NO_TAGS: &[&str] = &[];

    fn put(pool: &Pool) {
        pool.append(b"{}", NO_TAGS, Durability::Fast).unwrap();
    }

    #[test]
    fn pools_come_go_and_are_replaced_under_the_same_name() {
        let dir = tempfile::tempdir().unwrap();
        let client = Client::new(dir.path());
        let mut watch = Watch::new(client.clone());
        watch.look();
        assert_eq!(watch.pools().len(), 0);
        let docs = client.create("docs", 64 << 10).unwrap();
        put(&docs);
        watch.look();
        put(&docs);
        watch.look();
        let seen = watch.get("docs").unwrap();
        assert!(seen.latest().messages > 0.0 && seen.latest().bytes > 60.0);
        assert_eq!(seen.facts.as_ref().unwrap().writers(), Some(1));
        assert_eq!(seen.facts.as_ref().unwrap().readers(), Some(0));
        // Renamed, and another one under the old name, between two looks.
        client.rename("docs", "notes").unwrap();
        client.create("docs", 128 << 10).unwrap();
        watch.look();
        let sizes: Vec<_> =
            watch.pools().map(|p| p.facts.as_ref().unwrap().info.size_bytes >> 10).collect();
        assert_eq!(sizes, [128, 64]);
        assert!(watch.get("docs").unwrap().history.is_empty());
        client.delete("docs").unwrap();
        client.delete("notes").unwrap();
        watch.look();
        assert_eq!(watch.pools().len(), 0);
    }

    #[test]
    fn what_is_damaged_is_told_and_seen_again_once_it_is_mended() {
        let dir = tempfile::tempdir().unwrap();
        let client = Client::new(dir.path());
        let pool = client.create("docs", 64 << 10).unwrap();
        let good = fs::read(pool.path()).unwrap();
        let mut watch = Watch::new(client);
        watch.look();
        pool.file().set_len(100).unwrap();
        watch.look();
        let kind = |watch: &Watch| {
            watch.get("docs").unwrap().facts.as_ref().map(drop).map_err(Error::kind)
        };
        assert_eq!(kind(&watch), Err(ErrorKind::Corrupt));
        fs::write(pool.path(), good).unwrap();
        watch.look();
        assert_eq!(kind(&watch), Ok(()));
        fs::remove_file(pool.path()).unwrap();
        fs::create_dir(pool.path()).unwrap();
        watch.look();
        assert_eq!(kind(&watch), Err(ErrorKind::Usage));
    }

    #[test]
    fn a_directory_that_can_not_be_listed_is_trouble_until_it_can() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pools");
        fs::write(&path, "").unwrap();
        let mut watch = Watch::new(Client::new(&path));
        watch.look();
        assert_eq!(watch.trouble.as_ref().unwrap().kind(), ErrorKind::Usage);
        fs::remove_file(&path).unwrap();
        watch.look();
        assert!(watch.trouble.is_none());
    }
}
