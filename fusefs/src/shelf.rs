//! Names that were written: drafts, and for a while the names whose messages were delivered.
//!
//! Tools come back to a file that they have written (`install`, `rsync`, `sed -i`, editors), so the name goes on
//! resolving as a regular file. It has nothing to do with the message any more, except that it tells its seq.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use plasmite_core::Seq;

use crate::attr::Owner;
use crate::errno::{Errno, Reply};
use crate::ino::{DirId, next_node};
use crate::numbers::ByNumber;
use crate::sync::lock;

/// Names that are kept at most, drafts not counted.
const MAX_DELIVERED: usize = 256;
/// Closed drafts that are kept at most.
const MAX_DRAFTS: usize = 256;
/// How long a name resolves after its last use.
const LIFETIME: Duration = Duration::from_secs(60);
/// Bytes of delivered content that are kept at most; above that it is read from the pool.
const MAX_KEPT_BYTES: usize = 1 << 20;
/// Bytes of all drafts together.
const MAX_DRAFT_BYTES: usize = 256 << 20;

/// A draft that is being changed, and how long it may become beside all others.
struct Draft<'a> {
    bytes: &'a mut Vec<u8>,
    room: usize,
}

impl Draft<'_> {
    fn resize(&mut self, size: u64) -> Reply<()> {
        let size = usize::try_from(size).map_err(|_| Errno::ENOSPC)?;
        if size > self.bytes.len() && size > self.room {
            return Err(Errno::ENOSPC);
        }
        self.bytes.resize(size, 0);
        Ok(())
    }
}

/// What a written name holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The bytes that were written.
    Kept(Vec<u8>),
    /// Too much to keep: the data of this message.
    InPool(Seq),
}

/// A written name, as others see it.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The pool's directory.
    pub(crate) dir: DirId,
    /// The name; None once it was removed or replaced.
    pub(crate) name: Option<OsString>,
    /// What it holds.
    pub(crate) content: Content,
    /// True when the content is still to be delivered.
    pub(crate) draft: bool,
    /// The last message it became.
    pub(crate) receipt: Arc<Receipt>,
    /// The user and group that wrote the name first.
    pub(crate) owner: (u32, u32),
    /// Permission bits, as its owner set them.
    pub(crate) mode: u16,
    /// When it was written, or what its owner set.
    pub(crate) mtime: SystemTime,
    open: usize,
    used: Instant,
}

/// The last message that a name became, if there is one. Who writes sets it at each message, without the shelf's lock.
#[derive(Debug, Default)]
pub(crate) struct Receipt(AtomicU64);

impl Receipt {
    /// The message.
    pub(crate) fn get(&self) -> Option<Seq> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            seq => Some(Seq::new(seq)),
        }
    }

    /// There is a newer one.
    pub(crate) fn set(&self, seq: Seq) {
        self.0.store(seq.get(), Ordering::Relaxed);
    }
}

/// What a `stat` needs of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// The directory it is in now, whose pool has its message.
    pub(crate) dir: DirId,
    /// The bytes it holds, or the message it stands for.
    pub(crate) size: Result<u64, Seq>,
    /// User and group.
    pub(crate) owner: (u32, u32),
    /// Somebody has it open.
    pub(crate) open: bool,
    /// Permission bits.
    pub(crate) mode: u16,
    /// Time.
    pub(crate) mtime: SystemTime,
    /// The last message it became.
    pub(crate) seq: Option<Seq>,
}

/// All written names of a mount.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    nodes: ByNumber<u64, Node>,
    names: Names,
    /// Bytes of all drafts.
    draft_bytes: usize,
    /// Bytes of all delivered content.
    kept_bytes: usize,
}

impl Shelf {
    /// The node of a name.
    pub(crate) fn find(&self, dir: DirId, name: &OsStr) -> Option<u64> {
        lock(&self.state).find(dir, name)
    }

    /// True when names are kept in this directory.
    pub(crate) fn has_names(&self, dir: DirId) -> bool {
        lock(&self.state).nodes.values().any(|node| node.dir == dir)
    }

    /// The node of a name, made if it is not there; whether it was.
    pub(crate) fn find_or_create(&self, dir: DirId, name: &OsStr, maker: Owner) -> (u64, bool) {
        let mut state = lock(&self.state);
        if let Some(number) = state.find(dir, name) {
            return (number, true);
        }
        let number = next_node();
        let node = Node {
            dir,
            name: Some(name.to_owned()),
            content: Content::Kept(Vec::new()),
            draft: false,
            receipt: Arc::default(),
            owner: (maker.uid, maker.gid),
            mode: maker.mode,
            mtime: SystemTime::now(),
            open: 0,
            used: Instant::now(),
        };
        state.nodes.insert(number, node);
        state.names.insert(dir, name.to_owned(), number);
        state.trim();
        (number, false)
    }

    /// Looks at a node. ESTALE when it was dropped.
    pub(crate) fn with<T>(&self, number: u64, look: impl FnOnce(&mut Node) -> T) -> Reply<T> {
        let mut state = lock(&self.state);
        let node = state.nodes.get_mut(&number).ok_or(Errno::ESTALE)?;
        // What is open is used until it is closed.
        if node.open == 0 {
            node.used = Instant::now();
        }
        Ok(look(node))
    }

    /// What `stat` shows.
    pub(crate) fn facts(&self, number: u64) -> Reply<Facts> {
        self.with(number, |node| Facts {
            dir: node.dir,
            size: match &node.content {
                Content::Kept(bytes) => Ok(bytes.len() as u64),
                Content::InPool(seq) => Err(*seq),
            },
            owner: node.owner,
            open: node.open > 0,
            mode: node.mode,
            mtime: node.mtime,
            seq: node.receipt.get(),
        })
    }

    /// One more descriptor is open. Whoever writes sets the receipt.
    pub(crate) fn open(&self, number: u64) -> Reply<Arc<Receipt>> {
        let mut state = lock(&self.state);
        let node = state.nodes.get_mut(&number).ok_or(Errno::ESTALE)?;
        node.open += 1;
        Ok(Arc::clone(&node.receipt))
    }

    /// A descriptor was closed; a node without a name goes with its last one.
    pub(crate) fn close(&self, number: u64) {
        let mut state = lock(&self.state);
        let Some(node) = state.nodes.get_mut(&number) else { return };
        node.open = node.open.saturating_sub(1);
        node.used = Instant::now();
        if node.name.is_none() && node.open == 0 {
            state.drop_node(number);
        }
        state.trim();
    }

    /// A message was delivered: from now on the node holds `content`, or stands for the message when there is too
    /// much of it.
    pub(crate) fn deliver(&self, number: u64, content: Option<Vec<u8>>, seq: Seq) {
        let mut state = lock(&self.state);
        state.make_empty(number, false);
        let Some(node) = state.nodes.get_mut(&number) else { return };
        node.content = content.map_or(Content::InPool(seq), Content::Kept);
        let kept = node.kept();
        node.receipt.set(seq);
        node.mtime = SystemTime::now();
        if node.open == 0 {
            node.used = Instant::now();
        }
        state.kept_bytes += kept;
        state.trim();
    }

    /// Empties a node and makes it a draft, or not.
    pub(crate) fn reset(&self, number: u64, draft: bool) {
        lock(&self.state).make_empty(number, draft);
    }

    /// Writes into a draft; `offset` None: at its end. No draft becomes larger than `limit`.
    pub(crate) fn write_draft(
        &self,
        number: u64,
        offset: Option<u64>,
        data: &[u8],
        limit: u64,
    ) -> Reply<()> {
        self.edit_draft(number, |draft| {
            let start = offset.unwrap_or(draft.bytes.len() as u64);
            let end = start.saturating_add(data.len() as u64);
            if end > limit {
                return Err(Errno::EFBIG);
            }
            if end > draft.bytes.len() as u64 {
                draft.resize(end)?;
            }
            // Both fit in memory by now.
            draft.bytes[start as usize..end as usize].copy_from_slice(data);
            Ok(())
        })
    }

    /// Cuts a draft, or makes it longer with zeros.
    pub(crate) fn truncate_draft(&self, number: u64, size: u64, limit: u64) -> Reply<()> {
        if size > limit {
            return Err(Errno::EFBIG);
        }
        self.edit_draft(number, |draft| draft.resize(size))
    }

    fn edit_draft(&self, number: u64, edit: impl FnOnce(&mut Draft<'_>) -> Reply<()>) -> Reply<()> {
        let mut state = lock(&self.state);
        let State { nodes, draft_bytes, .. } = &mut *state;
        let node = nodes.get_mut(&number).ok_or(Errno::ESTALE)?;
        // Delivered while it was open: it can't be changed any more.
        let Content::Kept(bytes) = &mut node.content else { return Err(Errno::EPERM) };
        if !node.draft {
            return Err(Errno::EPERM);
        }
        let others = draft_bytes.saturating_sub(bytes.len());
        let mut draft = Draft { bytes, room: MAX_DRAFT_BYTES.saturating_sub(others) };
        let result = edit(&mut draft);
        *draft_bytes = others + draft.bytes.len();
        node.mtime = SystemTime::now();
        node.used = Instant::now();
        result
    }

    /// Removes a name. ENOENT when it is not there.
    pub(crate) fn unlink(&self, dir: DirId, name: &OsStr) -> Reply<()> {
        self.find(dir, name).ok_or(Errno::ENOENT)?;
        lock(&self.state).drop_name(dir, name);
        Ok(())
    }

    /// Gives a node another name, replacing what has it.
    pub(crate) fn rename(&self, number: u64, dir: DirId, name: &OsStr) -> Reply<()> {
        let mut state = lock(&self.state);
        let node = state.nodes.get(&number).ok_or(Errno::ESTALE)?;
        if node.dir == dir && node.name.as_deref() == Some(name) {
            return Ok(());
        }
        let old = node.name.clone().map(|old| (node.dir, old));
        state.drop_name(dir, name);
        if let Some(old) = old {
            state.names.remove(old.0, &old.1);
        }
        state.names.insert(dir, name.to_owned(), number);
        if let Some(node) = state.nodes.get_mut(&number) {
            (node.dir, node.name) = (dir, Some(name.to_owned()));
        }
        Ok(())
    }
}

impl Node {
    fn is_expired(&self) -> bool {
        !self.draft && self.open == 0 && self.used.elapsed() > LIFETIME
    }

    fn kept(&self) -> usize {
        match &self.content {
            Content::Kept(bytes) => bytes.len(),
            Content::InPool(_) => 0,
        }
    }
}

/// Nodes by directory and name. A directory without names is not in it.
#[derive(Debug, Default)]
struct Names(ByNumber<DirId, HashMap<OsString, u64>>);

impl Names {
    fn get(&self, dir: DirId, name: &OsStr) -> Option<u64> {
        self.0.get(&dir)?.get(name).copied()
    }

    fn insert(&mut self, dir: DirId, name: OsString, number: u64) {
        self.0.entry(dir).or_default().insert(name, number);
    }

    fn remove(&mut self, dir: DirId, name: &OsStr) -> Option<u64> {
        let names = self.0.get_mut(&dir)?;
        let number = names.remove(name);
        if names.is_empty() {
            self.0.remove(&dir);
        }
        number
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.values().map(HashMap::len).sum()
    }
}

impl State {
    fn find(&mut self, dir: DirId, name: &OsStr) -> Option<u64> {
        let number = self.names.get(dir, name)?;
        if self.nodes.get(&number).is_none_or(Node::is_expired) {
            self.drop_name(dir, name);
            return None;
        }
        Some(number)
    }

    fn make_empty(&mut self, number: u64, draft: bool) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let bytes = if node.draft { &mut self.draft_bytes } else { &mut self.kept_bytes };
        *bytes = bytes.saturating_sub(node.kept());
        node.content = Content::Kept(Vec::new());
        node.draft = draft;
    }

    fn drop_name(&mut self, dir: DirId, name: &OsStr) {
        let Some(number) = self.names.remove(dir, name) else { return };
        if let Some(node) = self.nodes.get_mut(&number) {
            node.name = None;
            if node.open == 0 {
                self.drop_node(number);
            }
        }
    }

    fn drop_node(&mut self, number: u64) {
        self.make_empty(number, false);
        if let Some(Node { dir, name: Some(name), .. }) = self.nodes.remove(&number) {
            self.names.remove(dir, &name);
        }
    }

    /// Keeps the bounds: forgets the names that were not used for longest, and the content of the next ones. Each time
    /// a quarter more than needed, so that it costs little per name.
    fn trim(&mut self) {
        if self.nodes.len() > MAX_DELIVERED.min(MAX_DRAFTS) {
            for (draft, max) in [(false, MAX_DELIVERED), (true, MAX_DRAFTS)] {
                self.trim_names(draft, max);
            }
        }
        if self.kept_bytes > MAX_KEPT_BYTES {
            self.trim_content(MAX_KEPT_BYTES / 4 * 3);
        }
    }

    fn trim_names(&mut self, draft: bool, max: usize) {
        let mut closed: Vec<_> = self.closed(draft).map(|(k, n)| (n.used, *k)).collect();
        if closed.len() > max {
            closed.sort_unstable();
            for (_, number) in &closed[..closed.len() - max / 4 * 3] {
                self.drop_node(*number);
            }
        }
    }

    fn trim_content(&mut self, max: usize) {
        let delivered = |n: &Node| !n.draft && n.receipt.get().is_some() && n.kept() > 0;
        let mut full: Vec<_> =
            self.nodes.iter().filter(|(_, n)| delivered(n)).map(|(k, n)| (n.used, *k)).collect();
        full.sort_unstable();
        for (_, number) in full {
            if self.kept_bytes <= max {
                return;
            }
            if let Some(node) = self.nodes.get_mut(&number) {
                self.kept_bytes = self.kept_bytes.saturating_sub(node.kept());
                node.content =
                    node.receipt.get().map_or(Content::Kept(Vec::new()), Content::InPool);
            }
        }
    }

    fn closed(&self, draft: bool) -> impl Iterator<Item = (&u64, &Node)> {
        self.nodes.iter().filter(move |(_, n)| n.open == 0 && n.draft == draft)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAKER: Owner = Owner { uid: 1, gid: 1, mode: 0o644 };

    fn name(i: usize) -> OsString {
        format!("x{i}.json").into()
    }

    /// SEMANTICS: A written name goes on as a regular file
    #[test]
    fn only_so_many_names_are_kept_and_the_newest_ones() {
        let shelf = Shelf::default();
        for i in 0..1000 {
            let node = shelf.find_or_create(1, &name(i), MAKER).0;
            shelf.deliver(node, Some(vec![b'x'; 8192]), Seq::new(i as u64 + 1));
        }
        assert!(shelf.find(1, &name(0)).is_none());
        let newest = shelf.find(1, &name(999)).expect("the newest name");
        assert_eq!(shelf.facts(newest).expect("facts").size, Ok(8192));
        let state = lock(&shelf.state);
        assert!(state.nodes.len() <= MAX_DELIVERED && state.names.len() == state.nodes.len());
        assert_eq!(state.nodes.values().map(Node::kept).sum::<usize>(), state.kept_bytes);
        assert!(state.kept_bytes <= MAX_KEPT_BYTES);
    }

    /// SEMANTICS: A written name goes on as a regular file
    #[test]
    fn a_name_resolves_for_a_minute_after_its_last_use_and_while_it_is_open() {
        let shelf = Shelf::default();
        let node = shelf.find_or_create(1, &name(1), MAKER).0;
        shelf.deliver(node, Some(b"{}".to_vec()), Seq::new(1));
        let used = |ago: Duration| {
            // A machine may have been started a moment ago.
            let then = Instant::now().checked_sub(ago);
            let mut state = lock(&shelf.state);
            let node = state.nodes.get_mut(&node).expect("the node");
            then.map(|then| node.used = then)
        };
        if used(Duration::from_secs(50)).is_some() {
            assert_eq!(shelf.find(1, &name(1)), Some(node));
        }
        shelf.open(node).expect("open");
        if used(Duration::from_secs(70)).is_some() {
            assert_eq!(shelf.find(1, &name(1)), Some(node));
        }
        // Closing it is a use.
        shelf.close(node);
        assert_eq!(shelf.find(1, &name(1)), Some(node));
        if used(Duration::from_secs(61)).is_some() {
            assert_eq!(shelf.find(1, &name(1)), None);
        }
    }

    #[test]
    fn a_removed_name_lives_on_for_its_descriptors() {
        let shelf = Shelf::default();
        let node = shelf.find_or_create(1, &name(1), MAKER).0;
        shelf.open(node).expect("open");
        shelf.unlink(1, &name(1)).expect("unlink");
        assert!(shelf.find(1, &name(1)).is_none());
        assert!(shelf.facts(node).is_ok());
        shelf.close(node);
        assert_eq!(shelf.facts(node).err(), Some(Errno::ESTALE));
    }

    /// SEMANTICS: Staging names are delivered by rename
    #[test]
    fn drafts_are_written_at_offsets_and_bounded() {
        let shelf = Shelf::default();
        let node = shelf.find_or_create(1, OsStr::new(".x"), MAKER).0;
        shelf.reset(node, true);
        shelf.write_draft(node, Some(2), b"cd", 100).expect("write");
        shelf.write_draft(node, Some(0), b"ab", 100).expect("write");
        shelf.write_draft(node, None, b"e", 100).expect("append");
        let content = shelf.with(node, |n| n.content.clone()).expect("content");
        assert_eq!(content, Content::Kept(b"abcde".to_vec()));
        assert_eq!(shelf.write_draft(node, Some(99), b"xy", 100), Err(Errno::EFBIG));
        shelf.unlink(1, OsStr::new(".x")).expect("unlink");
        assert_eq!(lock(&shelf.state).draft_bytes, 0);
    }

    /// SEMANTICS: Staging names are delivered by rename
    #[test]
    fn the_drafts_of_all_together_are_bounded_to_the_byte() {
        let shelf = Shelf::default();
        let node = shelf.find_or_create(1, OsStr::new(".x"), MAKER).0;
        shelf.reset(node, true);
        lock(&shelf.state).draft_bytes = MAX_DRAFT_BYTES - 5;
        shelf.write_draft(node, None, b"draft", u64::MAX).expect("room for five");
        assert_eq!(shelf.write_draft(node, None, b"x", u64::MAX), Err(Errno::ENOSPC));
        assert_eq!(shelf.truncate_draft(node, 1 << 40, u64::MAX), Err(Errno::ENOSPC));
        // What is there can be changed all the same, and made shorter.
        shelf.write_draft(node, Some(0), b"D", u64::MAX).expect("in place");
        shelf.truncate_draft(node, 3, u64::MAX).expect("shorter");
        shelf.write_draft(node, None, b"op", u64::MAX).expect("room again");
        let content = shelf.with(node, |n| n.content.clone()).expect("content");
        assert_eq!(content, Content::Kept(b"Draop".to_vec()));
        assert_eq!(lock(&shelf.state).draft_bytes, MAX_DRAFT_BYTES);
    }

    /// SEMANTICS: Staging names are delivered by rename
    #[test]
    fn closed_drafts_are_bounded() {
        let shelf = Shelf::default();
        let draft = |i: usize| {
            let node = shelf.find_or_create(1, OsStr::new(&format!(".d{i}")), MAKER).0;
            shelf.reset(node, true);
            shelf.open(node).expect("open");
            shelf.write_draft(node, None, b"draft", 100).expect("write");
            node
        };
        let open = draft(0);
        (1..1000).for_each(|i| shelf.close(draft(i)));
        assert!(shelf.find(1, OsStr::new(".d1")).is_none());
        assert!(shelf.find(1, OsStr::new(".d999")).is_some());
        assert!(shelf.facts(open).is_ok(), "what is open stays");
        let state = lock(&shelf.state);
        assert!(state.nodes.len() <= MAX_DRAFTS + 1);
        assert_eq!(state.nodes.values().map(Node::kept).sum::<usize>(), state.draft_bytes);
    }

    #[test]
    fn rename_replaces_what_has_the_name() {
        let shelf = Shelf::default();
        let a = shelf.find_or_create(1, OsStr::new("a"), MAKER).0;
        let b = shelf.find_or_create(2, OsStr::new("b"), MAKER).0;
        shelf.rename(a, 2, OsStr::new("b")).expect("rename");
        assert_eq!(shelf.find(2, OsStr::new("b")), Some(a));
        assert_eq!(shelf.find(1, OsStr::new("a")), None);
        assert!(shelf.facts(b).is_err());
    }
}
