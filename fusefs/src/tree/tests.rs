//! The tree without a mount.
#![allow(clippy::expect_used, clippy::panic)]

use std::ffi::OsStr;
use std::sync::mpsc::channel;
use std::time::Duration;

use plasmite_core::{Client, Durability, Pool};

use super::{Caller, Read, Settings, Tree};
use crate::attr::Kind;
use crate::errno::{Errno, Reply};
use crate::ino::ROOT;
use crate::lane::{Attempt, Patience};

const SETTINGS: Settings =
    Settings { pool_size_bytes: 1 << 20, read_only: false, show_streams: false, shared: false };
const WRITE: i32 = libc::O_WRONLY;
const OWNER: u64 = 1;

struct Fixture {
    _root: tempfile::TempDir,
    tree: Tree,
    docs: u64,
    pool: Pool,
}

fn me(tid: u32) -> Caller {
    Caller { request: 0, tid, uid: crate::sys::euid(), gid: crate::sys::egid() }
}

fn fixture() -> Fixture {
    let root = tempfile::tempdir().expect("a directory");
    let dir = root.path().canonicalize().expect("its path");
    let tree = Tree::new(dir.clone(), SETTINGS);
    let docs = tree.mkdir(ROOT, OsStr::new("docs"), 0o755, me(0)).expect("mkdir").attr.ino;
    let pool = Client::new(dir).open("docs").expect("the pool");
    Fixture { _root: root, tree, docs, pool }
}

/// What an attempt gave. No pool of these tests is slow.
fn done<T>(result: Reply<Attempt<T>>) -> Reply<T> {
    result.map(|attempt| match attempt {
        Attempt::Done(value) => value,
        Attempt::Slow(_) => panic!("a slow pool"),
    })
}

impl Fixture {
    fn append(&self, json: &str) {
        self.pool.append::<&str>(json.as_bytes(), &[], Durability::Fast).expect("append");
    }

    fn ino(&self, name: &str) -> Result<u64, Errno> {
        self.tree.lookup(self.docs, OsStr::new(name)).map(|e| e.attr.ino)
    }

    fn open(&self, name: &str) -> u64 {
        self.tree.open(self.ino(name).expect(name), libc::O_RDONLY, me(0)).expect("open").fh
    }

    fn create(&self, name: &str) -> u64 {
        self.tree.create(self.docs, OsStr::new(name), 0o644, WRITE, me(0)).expect("create").1.fh
    }

    fn write(&self, fh: u64, data: &[u8]) -> Result<u32, Errno> {
        done(self.tree.write(fh, 0, data, OWNER, me(0), Patience::Quick))
            .map(|(written, _)| written)
    }

    fn flush(&self, fh: u64) -> Result<(), Errno> {
        done(self.tree.flush(fh, OWNER, me(0), Patience::Quick)).map(drop)
    }

    fn read(&self, fh: u64, offset: u64) -> Result<String, Errno> {
        match self.tree.read(fh, offset, 1 << 20, false, me(0))? {
            Read::Data(chunk) => Ok(String::from_utf8(chunk.as_slice().to_vec()).expect("text")),
            Read::Wait(_) => panic!("a read that must not wait"),
        }
    }

    fn names(&self, dir: u64) -> Vec<String> {
        let fh = self.tree.opendir(dir).expect("opendir");
        let mut listed: Vec<(u64, String)> = Vec::new();
        loop {
            // Two entries at a time, as if the buffer were full.
            let (before, from) = (listed.len(), listed.last().map_or(0, |(cookie, _)| *cookie));
            let mut add = |entry: &super::Listed<'_>| {
                let full = listed.len() == before + 2;
                if !full {
                    listed.push((entry.cookie, entry.name.to_string_lossy().into_owned()));
                }
                full
            };
            self.tree.readdir(fh, from, true, &mut add).expect("readdir");
            if listed.len() == before {
                return listed.into_iter().map(|(_, name)| name).collect();
            }
        }
    }
}

#[test]
fn pools_and_messages_are_listed() {
    let f = fixture();
    assert_eq!(f.names(ROOT), [".", "..", "docs"]);
    (1..=5).for_each(|i| f.append(&format!("{{\"i\":{i}}}")));
    assert_eq!(f.names(f.docs), [".", "..", "1", "2", "3", "4", "5"]);
}

#[test]
fn a_document_is_appended_when_it_is_closed_and_a_stream_at_once() {
    let f = fixture();
    let document = f.create("x.json");
    assert_eq!(f.write(document, b"{\"a\":"), Ok(5));
    assert_eq!(f.write(document, b"1}\n"), Ok(3));
    assert!(f.pool.bounds().expect("bounds").is_empty());
    assert_eq!(f.flush(document), Ok(()));
    assert_eq!(f.pool.bounds().expect("bounds").count(), 1);
    let stream = f.create("in");
    assert_eq!(f.write(stream, b"{\"b\":1}{\"c\""), Ok(11));
    assert_eq!(f.pool.bounds().expect("bounds").count(), 2);
    assert_eq!(f.flush(stream), Err(Errno::EINVAL), "unfinished");
    assert_eq!(f.read(f.open("2.json"), 0).as_deref(), Ok("{\"b\":1}\n"));
    assert_eq!(f.read(f.open("x.json"), 0).as_deref(), Ok("{\"a\":1}\n"));
}

#[test]
fn a_flush_without_a_write_before_it_judges_nothing() {
    let f = fixture();
    let fh = f.create("x.json");
    assert_eq!(f.flush(fh), Ok(()));
    assert_eq!(f.write(fh, b"{}"), Ok(2));
    let other = me(std::process::id());
    let flushed = done(f.tree.flush(fh, OWNER + 1, other, Patience::Quick)).map(drop);
    assert_eq!(flushed, Ok(()), "another process, which wrote nothing");
    assert!(f.pool.bounds().expect("bounds").is_empty());
    f.tree.release(fh, Patience::Quick).expect("release");
    assert_eq!(f.pool.bounds().expect("bounds").count(), 1, "complete when the last one closed");
}

#[test]
fn what_is_no_object_fails_the_write() {
    let f = fixture();
    for name in ["x.json", "in"] {
        let fh = f.create(name);
        assert_eq!(f.write(fh, b"{\"a\":tru"), Ok(8));
        assert_eq!(f.write(fh, b"x}\n"), Err(Errno::EINVAL));
        assert_eq!(f.flush(fh), Ok(()), "said already");
        f.tree.release(fh, Patience::Quick).expect("release");
    }
    assert!(f.pool.bounds().expect("bounds").is_empty());
}

#[test]
fn a_waiting_read_is_answered_by_the_next_message() {
    let f = fixture();
    let fh = f.open("tail");
    assert_eq!(f.read(fh, 0), Err(Errno::EAGAIN));
    let Ok(Read::Wait(parking)) = f.tree.read(fh, 0, 4096, true, me(0)) else { panic!("no wait") };
    let (sender, answers) = channel();
    parking.park(Box::new(move |result| drop(sender.send(result))));
    assert!(answers.recv_timeout(Duration::from_millis(50)).is_err());
    f.append("{\"late\":1}");
    let chunk = answers.recv_timeout(Duration::from_secs(20)).expect("an answer").expect("bytes");
    assert!(chunk.as_slice().ends_with(b"\"data\":{\"late\":1}}\n"));
}

#[test]
fn waiting_reads_end_when_the_mount_goes() {
    let f = fixture();
    let fh = f.open("follow");
    let (sender, answers) = channel();
    for _ in 0..2 {
        let Ok(Read::Wait(parking)) = f.tree.read(fh, 0, 4096, true, me(0)) else {
            panic!("no wait")
        };
        let sender = sender.clone();
        parking.park(Box::new(move |result| drop(sender.send(result))));
        f.tree.close_waiters();
        let chunk = answers.recv_timeout(Duration::from_secs(20)).expect("an answer");
        assert_eq!(chunk.expect("end of file").as_slice(), b"");
    }
}

#[test]
fn the_log_has_one_number_in_stat_whatever_inode_is_behind_it() {
    let f = fixture();
    f.append("{}");
    let inode = f.ino("log").expect("lookup");
    let (attr, _) = f.tree.getattr(inode).expect("getattr");
    assert_ne!(attr.ino, inode);
    assert_eq!((attr.kind, attr.size), (Kind::File, f.pool.log_range().expect("range").end));
    assert_eq!(f.read(f.open("log"), 0).expect("log").len() as u64, attr.size);
}

#[test]
fn a_pool_that_was_replaced_is_stale() {
    let f = fixture();
    f.append("{}");
    let fh = f.open("1");
    let client = Client::new(f.pool.path().parent().expect("a parent"));
    client.delete("docs").expect("delete");
    client.create("docs", 1 << 20).expect("create");
    assert_eq!(f.ino("1"), Err(Errno::ESTALE));
    assert!(f.tree.create(f.docs, OsStr::new("x.json"), 0o644, WRITE, me(0)).is_err());
    let anew = f.tree.lookup(ROOT, OsStr::new("docs")).expect("lookup").attr.ino;
    assert_ne!(anew, f.docs);
    assert!(f.read(fh, 0).is_ok(), "what is open stays open");
}

#[test]
fn numbers_that_were_never_given_out_are_stale() {
    let f = fixture();
    for number in [0, 2, 15, u64::MAX, f.docs + 100, 1 << 50] {
        assert!(f.tree.getattr(number).is_err(), "{number}");
        assert!(f.tree.open(number, libc::O_RDONLY, me(0)).is_err());
        assert!(f.tree.opendir(number).is_err());
        assert!(f.tree.readlink(number).is_err());
        assert!(f.tree.lookup(number, OsStr::new("x")).is_err());
    }
    assert_eq!(f.read(12345, 0), Err(Errno::EBADF));
    assert_eq!(f.write(12345, b""), Err(Errno::EBADF));
}

#[test]
fn filtered_directories_are_forgotten_with_the_kernel_unless_names_are_kept_in_them() {
    let f = fixture();
    let tags = f.ino("tags").expect("tags");
    let look = |name: &str| f.tree.lookup(tags, OsStr::new(name)).expect("a tag").attr.ino;
    let (a, b) = (look("a"), look("b"));
    assert_eq!(look("a"), a, "the same directory each time");
    assert_ne!(a, b);
    let draft = f.tree.create(b, OsStr::new(".x"), 0o644, WRITE, me(0)).expect("create").1.fh;
    assert_eq!(f.write(draft, b"{}"), Ok(2));
    f.tree.release(draft, Patience::Quick).expect("release");
    f.tree.forget(a, 1).expect("forget");
    assert!(f.tree.getattr(a).is_ok(), "the kernel still knows it from the second look");
    f.tree.forget(a, 1).expect("forget");
    f.tree.forget(b, 1).expect("forget");
    assert_eq!(f.tree.getattr(a).err(), Some(Errno::ESTALE));
    assert_ne!(look("a"), a);
    assert_eq!(look("b"), b);
    let from = (b, OsStr::new(".x"));
    f.tree
        .rename(from, (f.docs, OsStr::new("x.json")), false, me(0), Patience::Quick)
        .expect("rename");
    assert_eq!(f.pool.bounds().expect("bounds").count(), 1);
}

#[test]
fn very_many_filtered_directories_are_not_kept() {
    let f = fixture();
    let tags = f.ino("tags").expect("tags");
    for i in 0..10_000 {
        let ino = f.tree.lookup(tags, OsStr::new(&format!("t{i}"))).expect("a tag").attr.ino;
        f.tree.forget(ino, 1).expect("forget");
    }
    let last = f.tree.lookup(tags, OsStr::new("last")).expect("a tag").attr.ino;
    assert!(crate::ino::Ino::decode(last).and_then(crate::ino::Ino::dir).is_some());
    assert!(f.tree.pools.known() < 3000);
}
