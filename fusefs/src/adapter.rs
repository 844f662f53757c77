//! FUSE requests as calls of the tree, and its answers as replies. Nothing is decided here.

use std::ffi::OsStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::SystemTime;

use fuser::{
    FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, PollEvents, PollFlags, PollNotifier, RenameFlags,
    ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use crate::attr::{Attr, Entry, Kind, Ttl};
use crate::errno::{Errno, Reply};
use crate::helpers::Helpers;
use crate::lane::{Attempt, Patience};
use crate::tree::{Caller, Change, Listed, MAX_NAME_BYTES, Opened, Read, Tree, Unsynced};
use crate::views::Chunk;
use crate::waiters::Notify;

const MAX_WRITE_BYTES: u32 = 1 << 20;
const MAX_BACKGROUND: u16 = 64;
const GENERATION: Generation = Generation(0);

/// Asking the root for this extended attribute ends every waiting read, if it is the user who mounted, or root, who asks. Its
/// value is how many files are open. Asking is possible in a read-only mount too.
pub(crate) const END_STREAMS: &str = "user.plasmite.end-streams";

/// The tree as a FUSE file system. Dropping it tells whoever holds the other end of `_ended`.
pub(crate) struct Adapter {
    tree: Arc<Tree>,
    helpers: Arc<Helpers>,
    _ended: Sender<()>,
}

impl Adapter {
    /// An adapter for `tree`.
    pub(crate) fn new(tree: Arc<Tree>, ended: Sender<()>) -> Self {
        Self { tree, helpers: Arc::default(), _ended: ended }
    }
}

impl Adapter {
    /// Answers a request here or, if that takes long, on another thread.
    fn answer(&self, long: bool, job: impl FnOnce(&Tree) + Send + 'static) {
        if long {
            let tree = Arc::clone(&self.tree);
            self.helpers.run(move || job(&tree));
        } else {
            job(&self.tree);
        }
    }
}

impl Adapter {
    /// Answers a request that may append: here or, if the pool can't be written at once, when its turn comes.
    fn append<T>(
        &self,
        operation: impl Fn(&Tree, Patience) -> Reply<Attempt<T>> + Send + 'static,
        answer: impl FnOnce(Reply<T>) + Send + 'static,
    ) {
        match run(|| operation(&self.tree, Patience::Quick)) {
            Ok(Attempt::Slow(turn)) => {
                let (tree, patience) = (Arc::clone(&self.tree), Patience::long());
                turn.run(Box::new(move || answer(done(run(|| operation(&tree, patience))))));
            }
            result => answer(done(result)),
        }
    }
}

/// What came of the last attempt.
fn done<T>(result: Reply<Attempt<T>>) -> Reply<T> {
    match result? {
        Attempt::Done(value) => Ok(value),
        Attempt::Slow(_) => Err(Errno::EBUSY),
    }
}

/// Runs an operation; a panic in it fails that one request.
fn run<T>(operation: impl FnOnce() -> Reply<T>) -> Reply<T> {
    catch_unwind(AssertUnwindSafe(operation)).unwrap_or(Err(Errno::EIO))
}

/// Answers a request: what to do with the value, or the error.
macro_rules! answer {
    ($reply:expr, $operation:expr, $ok:expr) => {
        match run(|| $operation) {
            Ok(value) => $ok(value),
            Err(errno) => $reply.error(errno.into()),
        }
    };
}

impl From<Errno> for fuser::Errno {
    fn from(errno: Errno) -> Self {
        Self::from_i32(errno.0)
    }
}

fn caller(request: &Request) -> Caller {
    Caller {
        request: request.unique().0,
        tid: request.pid(),
        uid: request.uid(),
        gid: request.gid(),
    }
}

fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::Directory => FileType::Directory,
        Kind::File => FileType::RegularFile,
        Kind::Link => FileType::Symlink,
    }
}

fn file_attr(attr: &Attr) -> FileAttr {
    FileAttr {
        ino: INodeNo(attr.ino),
        size: attr.size,
        blocks: attr.size.div_ceil(512),
        atime: attr.mtime,
        mtime: attr.mtime,
        ctime: attr.mtime,
        crtime: attr.mtime,
        kind: file_type(attr.kind),
        perm: attr.mode,
        nlink: if attr.kind == Kind::Directory { 2 } else { 1 },
        uid: attr.uid,
        gid: attr.gid,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

fn open_flags(opened: &Opened) -> FopenFlags {
    let cache =
        if opened.direct { FopenFlags::FOPEN_DIRECT_IO } else { FopenFlags::FOPEN_KEEP_CACHE };
    let flush = if opened.flush { FopenFlags::empty() } else { FopenFlags::FOPEN_NOFLUSH };
    cache | flush
}

fn reply_entry(reply: ReplyEntry, entry: &Entry) {
    reply.entry_with_ttls(&entry.ttl.attr, &entry.ttl.entry, &file_attr(&entry.attr), GENERATION);
}

fn reply_chunk(reply: ReplyData, result: Reply<Chunk>) {
    match result {
        Ok(chunk) => reply.data(chunk.as_slice()),
        Err(errno) => reply.error(errno.into()),
    }
}

fn reply_written(reply: ReplyWrite, result: Reply<(u32, Option<Unsynced>)>) {
    match result {
        Err(errno) => reply.error(errno.into()),
        Ok((n, None)) => reply.written(n),
        Ok((n, Some(unsynced))) => unsynced.sync(Box::new(move |result| match result {
            Ok(()) => reply.written(n),
            Err(errno) => reply.error(errno.into()),
        })),
    }
}

/// Answers when what was written is safe.
fn reply_synced(reply: ReplyEmpty, result: Reply<Option<Unsynced>>) {
    match result {
        Err(errno) => reply.error(errno.into()),
        Ok(None) => reply.ok(),
        Ok(Some(unsynced)) => unsynced.sync(Box::new(move |result| match result {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno.into()),
        })),
    }
}

fn time(time: TimeOrNow) -> SystemTime {
    match time {
        TimeOrNow::SpecificTime(time) => time,
        TimeOrNow::Now => SystemTime::now(),
    }
}

/// `size` 0 asks for the length; a buffer that is too small is ERANGE.
fn reply_xattr(reply: ReplyXattr, size: u32, value: &[u8]) {
    match size {
        0 => reply.size(value.len() as u32),
        _ if value.len() > size as usize => reply.error(fuser::Errno::ERANGE),
        _ => reply.data(value),
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        for wanted in [
            InitFlags::FUSE_DO_READDIRPLUS | InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_ATOMIC_O_TRUNC,
            // Not FUSE_DIRECT_IO_ALLOW_MMAP: it would let `log` be mapped shared, but what is written too, and what is stored into
            // a mapping comes at any time, in pages, from nobody who could be told of an error.
        ] {
            // An older kernel does without.
            let _ = config.add_capabilities(wanted);
        }
        let _ = config.set_max_write(MAX_WRITE_BYTES);
        let _ = config.set_max_background(MAX_BACKGROUND);
        Ok(())
    }

    fn destroy(&mut self) {
        self.tree.close_waiters();
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let inside = self.tree.enter(&[parent.0]);
        if self.tree.is_long_lookup(parent.0, name) {
            let name = name.to_owned();
            return self.answer(true, move |tree| {
                answer!(reply, tree.lookup(parent.0, &name), |entry| reply_entry(reply, &entry));
            });
        }
        answer!(reply, self.tree.lookup(parent.0, name), |entry| reply_entry(reply, &entry));
        drop(inside);
    }

    fn forget(&self, _request: &Request, ino: INodeNo, nlookup: u64) {
        let _ = run(|| self.tree.forget(ino.0, nlookup));
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        self.answer(self.tree.is_long_look(ino.0), move |tree| {
            answer!(reply, tree.getattr(ino.0), |(attr, ttl): (Attr, Ttl)| reply
                .attr(&ttl.attr, &file_attr(&attr)));
        });
    }

    fn setattr(
        &self,
        _request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let change = Change { mode, uid, gid, size, mtime: mtime.map(time) };
        let long = fh.is_some_and(|fh| self.tree.is_long_read(fh.0));
        self.answer(long, move |tree| {
            answer!(reply, tree.setattr(ino.0, fh.map(|fh| fh.0), &change), |(attr, ttl): (
                Attr,
                Ttl
            )| reply
                .attr(&ttl.attr, &file_attr(&attr)));
        });
    }

    fn readlink(&self, _request: &Request, ino: INodeNo, reply: ReplyData) {
        self.answer(self.tree.is_long_look(ino.0), move |tree| {
            answer!(reply, tree.readlink(ino.0), |target: Vec<u8>| reply.data(&target));
        });
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        answer!(reply, self.tree.mknod(parent.0, name, mode, caller(request)), |entry| {
            reply_entry(reply, &entry)
        });
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let _inside = self.tree.enter(&[parent.0]);
        answer!(reply, self.tree.mkdir(parent.0, name, mode, caller(request)), |entry| {
            reply_entry(reply, &entry)
        });
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(reply, self.tree.unlink(parent.0, name), |()| reply.ok());
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (name, inside) = (name.to_owned(), self.tree.enter(&[parent.0]));
        self.answer(self.tree.is_long_rmdir(parent.0, &name), move |tree| {
            answer!(reply, tree.rmdir(parent.0, &name), |()| reply.ok());
            drop(inside);
        });
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !(flags - RenameFlags::RENAME_NOREPLACE).is_empty() {
            return reply.error(fuser::Errno::EINVAL);
        }
        let no_replace = flags.contains(RenameFlags::RENAME_NOREPLACE);
        let (name, newname, caller) = (name.to_owned(), newname.to_owned(), caller(request));
        let (parent, newparent) = (parent.0, newparent.0);
        let inside = self.tree.enter(&[parent, newparent]);
        self.append(
            move |tree, patience| {
                tree.rename((parent, &name), (newparent, &newname), no_replace, caller, patience)
            },
            move |result| {
                reply_synced(reply, result.map(|()| None));
                drop(inside);
            },
        );
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        answer!(reply, self.tree.open(ino.0, flags.0, caller(request)), |opened: Opened| reply
            .opened(FileHandle(opened.fh), open_flags(&opened)));
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        answer!(
            reply,
            self.tree.create(parent.0, name, mode, flags, caller(request)),
            |(entry, opened): (Entry, Opened)| reply.created(
                &entry.ttl.entry,
                &file_attr(&entry.attr),
                GENERATION,
                FileHandle(opened.fh),
                open_flags(&opened)
            )
        );
    }

    fn read(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let waits = flags.0 & libc::O_NONBLOCK == 0;
        let caller = caller(request);
        self.answer(self.tree.is_long_read(fh.0), move |tree| {
            match run(|| tree.read(fh.0, offset, size as usize, waits, caller)) {
                Ok(Read::Data(chunk)) => reply.data(chunk.as_slice()),
                Ok(Read::Wait(parking)) => {
                    parking.park(Box::new(move |result| reply_chunk(reply, result)));
                }
                Err(errno) => reply.error(errno.into()),
            }
        });
    }

    fn write(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let owner = owner.map_or(u64::from(request.pid()), |owner| owner.0);
        let caller = caller(request);
        let quick = || self.tree.write(fh.0, offset, data, owner, caller, Patience::Quick);
        match run(quick) {
            Ok(Attempt::Slow(turn)) => {
                let (tree, data) = (Arc::clone(&self.tree), data.to_vec());
                let patience = Patience::long();
                turn.run(Box::new(move || {
                    let write = || tree.write(fh.0, offset, &data, owner, caller, patience);
                    reply_written(reply, done(run(write)));
                }));
            }
            result => reply_written(reply, done(result)),
        }
    }

    fn flush(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        let caller = caller(request);
        self.append(
            move |tree, patience| tree.flush(fh.0, owner.0, caller, patience),
            |result| reply_synced(reply, result),
        );
    }

    fn fsync(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        let caller = caller(request);
        self.append(
            move |tree, patience| tree.fsync(fh.0, caller, patience),
            |result| reply_synced(reply, result),
        );
    }

    fn release(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.append(
            move |tree, patience| tree.release(fh.0, patience),
            |result| reply_synced(reply, result.map(|()| None)),
        );
    }

    fn opendir(&self, _request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        answer!(reply, self.tree.opendir(ino.0), |fh| reply
            .opened(FileHandle(fh), FopenFlags::empty()));
    }

    fn readdir(
        &self,
        _request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let inside = self.tree.enter(&[ino.0]);
        self.answer(self.tree.is_long_listing(fh.0), move |tree| {
            let mut add =
                |e: &Listed<'_>| reply.add(INodeNo(e.ino), e.cookie, file_type(e.kind), e.name);
            let result = run(|| tree.readdir(fh.0, offset, false, &mut add));
            match result {
                Ok(()) => reply.ok(),
                Err(errno) => reply.error(errno.into()),
            }
            drop(inside);
        });
    }

    fn readdirplus(
        &self,
        _request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let inside = self.tree.enter(&[ino.0]);
        self.answer(self.tree.is_long_listing(fh.0), move |tree| {
            let mut add = |e: &Listed<'_>| {
                // `.` and `..`: the kernel looks at nothing but the name and the type.
                let entry = e.entry.unwrap_or(Entry { attr: dots(e), ttl: Ttl::NONE });
                let attr = file_attr(&entry.attr);
                reply.add(INodeNo(e.ino), e.cookie, e.name, &entry.ttl.entry, &attr, GENERATION)
            };
            let result = run(|| tree.readdir(fh.0, offset, true, &mut add));
            match result {
                Ok(()) => reply.ok(),
                Err(errno) => reply.error(errno.into()),
            }
            drop(inside);
        });
    }

    fn releasedir(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        answer!(reply, self.tree.releasedir(fh.0), |()| reply.ok());
    }

    fn fsyncdir(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn statfs(&self, _request: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        answer!(reply, self.tree.space(), |s: crate::sys::Space| reply.statfs(
            s.blocks,
            s.free,
            s.available,
            s.files,
            s.files_free,
            s.block_bytes,
            MAX_NAME_BYTES as u32,
            s.block_bytes
        ));
    }

    fn setxattr(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _name: &OsStr,
        _value: &[u8],
        _flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::EOPNOTSUPP.into());
    }

    fn getxattr(
        &self,
        request: &Request,
        ino: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        let may = request.uid() == 0 || request.uid() == crate::sys::euid();
        if ino == INodeNo::ROOT && name == END_STREAMS && may {
            self.tree.end_waits();
            return reply_xattr(reply, size, self.tree.open_files().to_string().as_bytes());
        }
        answer!(reply, self.tree.getxattr(ino.0, name), |value: Vec<u8>| reply_xattr(
            reply, size, &value
        ));
    }

    fn listxattr(&self, _request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        answer!(reply, self.tree.listxattr(ino.0), |value: Vec<u8>| reply_xattr(
            reply, size, &value
        ));
    }

    fn removexattr(&self, _request: &Request, _ino: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EOPNOTSUPP.into());
    }

    fn poll(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        notifier: PollNotifier,
        _events: PollEvents,
        flags: PollFlags,
        reply: ReplyPoll,
    ) {
        let wanted = flags.contains(PollFlags::FUSE_POLL_SCHEDULE_NOTIFY);
        let notify: Notify = Box::new(move || {
            // The file was closed in the meantime: nobody waits.
            let _ = notifier.notify();
        });
        self.answer(self.tree.is_long_read(fh.0), move |tree| {
            answer!(reply, tree.poll(fh.0, wanted.then_some(notify)), |ready| reply
                .poll(poll_events(ready)));
        });
    }
}

fn dots(listed: &Listed<'_>) -> Attr {
    Attr {
        ino: listed.ino,
        size: 0,
        kind: listed.kind,
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: SystemTime::UNIX_EPOCH,
    }
}

fn poll_events(ready: crate::tree::Readiness) -> PollEvents {
    let mut events = PollEvents::empty();
    if ready.readable {
        events |= PollEvents::POLLIN | PollEvents::POLLRDNORM;
    }
    if ready.writable {
        events |= PollEvents::POLLOUT | PollEvents::POLLWRNORM;
    }
    events
}
