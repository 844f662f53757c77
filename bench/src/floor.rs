//! A file system that does nothing: what FUSE itself takes, with the names, flags and times to live of a mount of pools.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use fuser::{
    Config, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyWrite, Request, Session, WriteFlags,
};

use crate::bell::Bell;
use crate::mount::until_dropped;
use crate::mount_speed::MESSAGE;
use crate::tidy;

const TTL: Duration = Duration::from_secs(600);
const GENERATION: Generation = Generation(0);
const WORKERS: usize = 2;
const LARGEST_WRITE: u32 = 1 << 20;

const DOCS: INodeNo = INodeNo(2);
/// Takes what is written.
const IN: INodeNo = INodeNo(3);
/// Has as much as is asked for.
const STREAM: INodeNo = INodeNo(4);
/// Has something when the bell rings.
const TAIL: INodeNo = INodeNo(5);
/// The first of the files that are created, each of which the kernel has to make an inode for, and of those whose names are numbers.
const CREATED: INodeNo = INodeNo(6);
const MESSAGES: u64 = 1 << 32;

/// The daemon's part.
pub(crate) fn serve(mountpoint: &Path) {
    std::fs::create_dir_all(mountpoint).unwrap();
    let waiting = Arc::new(Mutex::new(VecDeque::new()));
    let floor = Floor {
        waiting: Arc::clone(&waiting),
        zeros: vec![b' '; 1 << 20],
        created: AtomicU64::new(0),
    };
    let (path, asked) = (mountpoint.to_owned(), Arc::clone(&waiting));
    std::thread::spawn(move || answer(&Bell::beside(&path), &asked));
    let mut config = Config::default();
    config.n_threads = Some(WORKERS);
    let session = Session::new(floor, mountpoint, &config).and_then(Session::spawn).unwrap();
    until_dropped();
    // Who still reads has come to the end of the file.
    waiting.lock().unwrap().drain(..).for_each(|reply| reply.data(&[]));
    tidy::take_away(mountpoint).unwrap();
    drop(session);
}

/// Answers a read with each ring of the bell. A reader that is not back yet is waited for.
fn answer(bell: &Bell, waiting: &Mutex<VecDeque<ReplyData>>) {
    let mut answered = bell.rung();
    loop {
        bell.sleep(answered);
        let Some(reply) = waiting.lock().unwrap().pop_front() else {
            std::thread::sleep(Duration::from_micros(20));
            continue;
        };
        let time = bell.time(answered);
        answered += 1;
        reply.data(format!("{{\"t\":{time}}}\n").as_bytes());
    }
}

struct Floor {
    waiting: Arc<Mutex<VecDeque<ReplyData>>>,
    zeros: Vec<u8>,
    created: AtomicU64,
}

fn attr(ino: INodeNo) -> FileAttr {
    let directory = ino == INodeNo::ROOT || ino == DOCS;
    let time = SystemTime::UNIX_EPOCH;
    FileAttr {
        ino,
        size: if ino.0 >= MESSAGES { MESSAGE.len() as u64 } else { 0 },
        blocks: 0,
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: if directory { FileType::Directory } else { FileType::RegularFile },
        perm: 0o755,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

fn flags(ino: INodeNo) -> FopenFlags {
    if ino.0 >= MESSAGES {
        FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH
    } else if ino == TAIL || ino == STREAM {
        FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_NOFLUSH
    } else {
        FopenFlags::FOPEN_DIRECT_IO
    }
}

impl Filesystem for Floor {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let _ = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS);
        let _ = config.add_capabilities(InitFlags::FUSE_ATOMIC_O_TRUNC);
        let _ = config.set_max_write(LARGEST_WRITE);
        Ok(())
    }

    fn lookup(&self, _request: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let ino = match name.to_str().unwrap() {
            "docs" => DOCS,
            "in" => IN,
            "stream" => STREAM,
            "tail" => TAIL,
            name => match name.parse::<u64>() {
                Ok(n) => INodeNo(MESSAGES + n),
                Err(_) => return reply.error(fuser::Errno::ENOENT),
            },
        };
        reply.entry(&TTL, &attr(ino), GENERATION);
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &attr(ino));
    }

    fn open(&self, _request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), flags(ino));
    }

    fn create(
        &self,
        _request: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let ino = INodeNo(CREATED.0 + self.created.fetch_add(1, Ordering::Relaxed));
        reply.created(&TTL, &attr(ino), GENERATION, FileHandle(0), flags(ino));
    }

    fn read(
        &self,
        _request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match ino {
            TAIL => self.waiting.lock().unwrap().push_back(reply),
            STREAM => reply.data(&self.zeros[..(size as usize).min(self.zeros.len())]),
            _ => reply.data(MESSAGE.as_bytes().get(offset as usize..).unwrap_or_default()),
        }
    }

    fn write(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        reply.written(data.len() as u32);
    }

    fn flush(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn release(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }
}
