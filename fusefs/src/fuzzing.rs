//! Sequences of requests as the kernel may send them, out of bytes: any order, any inode and handle, names and data that mean something and that do not.
//! No request may panic, and whatever was done, the pools are whole.
//!
//! `cargo xtask fuzz tree` looks for new ones; a test plays those that were kept.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a failure is to be found"
)]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::time::SystemTime;

use plasmite_core::{Client, doctor};

use crate::ino::ROOT;
use crate::lane::{Attempt, Patience};
use crate::tree::{Caller, Change, Settings, Tree};

/// Names that mean something in one place or another.
const NAMES: &[&str] = &[
    "docs",
    "notes",
    "1",
    "2",
    "3.json",
    "17",
    "0",
    "01",
    "99999999999999999999",
    "first",
    "latest",
    "log",
    "tail",
    "follow",
    "in",
    "x.json",
    "y.json",
    ".draft",
    "x.json~",
    "a.tmp",
    "errors",
    "info.json",
    "tags",
    "since",
    "a",
    "b",
    "10m",
    "1h",
    ".",
    "..",
    "docs.plasmite",
];
/// What may be written.
const TEXTS: &[&str] = &[
    "{\"a\":1}\n",
    "{\"a\":",
    "1}",
    "{}",
    "[1]",
    "{ \"b\" : [1, 2.50, \"x\"] }\n{\"c\":null}",
    "\u{1e}{}\n",
    "x",
    "\"",
    "\n",
];
/// A few handles and inodes are remembered; older ones are asked for by their number.
const KEPT: usize = 12;

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let len = (usize::from(self.byte()) % (most + 1)).min(self.0.len());
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken.to_vec()
    }

    /// What the kernel lets through as a name: anything but slashes and NULs.
    fn name(&mut self) -> OsString {
        match usize::from(self.byte()) {
            n if n < 200 => NAMES[n % NAMES.len()].into(),
            _ => {
                let mut bytes = self.bytes(40);
                bytes.retain(|byte| !matches!(byte, 0 | b'/'));
                bytes.truncate(40);
                if bytes.is_empty() { "empty".into() } else { OsString::from_vec(bytes) }
            }
        }
    }

    fn data(&mut self) -> Vec<u8> {
        match usize::from(self.byte()) {
            n if n < 200 => TEXTS[n % TEXTS.len()].into(),
            _ => self.bytes(120),
        }
    }

    fn number(&mut self) -> u64 {
        match self.byte() {
            255 => u64::MAX,
            254 => i64::MAX as u64,
            253 => 1 << 40,
            n => n.into(),
        }
    }

    fn pick(&mut self, from: &[u64]) -> u64 {
        let n = usize::from(self.byte());
        from.get(n % (KEPT + 2)).copied().unwrap_or(n as u64)
    }
}

fn keep(kept: &mut Vec<u64>, number: u64) {
    if kept.len() == KEPT {
        kept.remove(1);
    }
    kept.push(number);
}

/// Plays a sequence of requests on an empty pool directory.
pub fn run(root: &std::path::Path, data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    let settings = Settings {
        pool_size_bytes: 16 << 10,
        read_only: flags & 7 == 7,
        show_streams: flags & 8 != 0,
        shared: flags & 16 != 0,
    };
    let tree = Tree::new(root.to_owned(), settings);
    let mut state = State { tree: &tree, inos: vec![ROOT], files: Vec::new(), dirs: Vec::new() };
    let client = Client::new(root);
    if flags & 32 == 0 {
        let pool = client.create("docs", 16 << 10).unwrap();
        for n in 0..3 {
            let text = format!("{{\"n\":{n}}}");
            pool.append(text.as_bytes(), &["a"], plasmite_core::Durability::Fast).unwrap();
        }
        state.lookup(ROOT, OsStr::new("docs"));
    }
    while !input.0.is_empty() {
        state.step(&mut input);
    }
    tree.end_waits();
    for (name, path) in client.names().unwrap() {
        let report = doctor::check(&path).unwrap();
        assert!(!report.is_damaged(), "{name}: {}", report.to_json());
    }
}

/// Whatever the answer is, it is one.
fn answered<T>(_: T) {}

struct State<'a> {
    tree: &'a Tree,
    inos: Vec<u64>,
    files: Vec<u64>,
    dirs: Vec<u64>,
}

impl State<'_> {
    fn lookup(&mut self, parent: u64, name: &OsStr) {
        if let Ok(entry) = self.tree.lookup(parent, name) {
            keep(&mut self.inos, entry.attr.ino);
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let tree = self.tree;
        let operation = input.byte();
        let caller =
            Caller { request: 0, tid: 1, uid: crate::sys::euid(), gid: crate::sys::egid() };
        let ino = input.pick(&self.inos);
        // Errors are answers.
        match operation % 24 {
            0 | 1 => self.lookup(ino, &input.name()),
            2 => answered(tree.getattr(ino)),
            3 => {
                let some = |input: &mut Input<'_>, wanted: bool| wanted.then(|| input.number());
                let which = input.byte();
                let change = Change {
                    mode: some(input, which & 1 != 0).map(|mode| 0o600 | mode as u32 & 0o077),
                    uid: None,
                    gid: None,
                    size: some(input, which & 2 != 0),
                    mtime: (which & 4 != 0).then_some(SystemTime::UNIX_EPOCH),
                };
                let fh = (which & 8 != 0).then(|| input.pick(&self.files));
                answered(tree.setattr(ino, fh, &change));
            }
            4 => {
                if let Ok(entry) = tree.mkdir(ino, &input.name(), 0o755, caller) {
                    keep(&mut self.inos, entry.attr.ino);
                }
            }
            5 => {
                let name = input.name();
                // A directory with open files is waited for a moment, which takes long.
                if !tree.is_long_rmdir(ino, &name) {
                    answered(tree.rmdir(ino, &name));
                }
            }
            6 => answered(tree.unlink(ino, &input.name())),
            7 => {
                let (from, to) = (input.name(), input.name());
                let target = input.pick(&self.inos);
                let no_replace = input.byte() & 1 != 0;
                let (from, to) = ((ino, &*from), (target, &*to));
                answered(tree.rename(from, to, no_replace, caller, Patience::Quick));
            }
            8..=10 => {
                let flags = [libc::O_WRONLY, libc::O_RDWR, libc::O_WRONLY | libc::O_SYNC];
                let flags = flags[usize::from(input.byte()) % 3];
                if let Ok((entry, opened)) = tree.create(ino, &input.name(), 0o644, flags, caller) {
                    keep(&mut self.inos, entry.attr.ino);
                    keep(&mut self.files, opened.fh);
                }
            }
            11 | 12 => {
                let flags = [libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR, libc::O_NONBLOCK];
                let flags = flags[usize::from(input.byte()) % 4];
                if let Ok(opened) = tree.open(ino, flags, caller) {
                    keep(&mut self.files, opened.fh);
                }
            }
            13 | 14 => {
                let (offset, size) = (input.number(), usize::from(input.byte()) * 16);
                answered(tree.read(input.pick(&self.files), offset, size, false, caller));
            }
            15..=17 => {
                let (fh, offset, data) = (input.pick(&self.files), input.number(), input.data());
                let result = tree.write(fh, offset, &data, ino, caller, Patience::Quick);
                if let Ok(Attempt::Done((written, _))) = result {
                    assert!(written as usize <= data.len());
                }
            }
            18 => answered(tree.flush(input.pick(&self.files), ino, caller, Patience::Quick)),
            19 => answered(tree.release(input.pick(&self.files), Patience::Quick)),
            20 => {
                if let Ok(fh) = tree.opendir(ino) {
                    keep(&mut self.dirs, fh);
                }
            }
            21 => {
                let (fh, cookie, most) =
                    (input.pick(&self.dirs), input.number(), usize::from(input.byte()) % 8);
                let mut listed = 0;
                answered(tree.readdir(fh, cookie, most % 2 == 0, &mut |_| {
                    listed += 1;
                    listed > most
                }));
                if most == 7 {
                    answered(tree.releasedir(fh));
                }
            }
            22 => match input.byte() % 4 {
                0 => answered(tree.readlink(ino)),
                1 => answered(tree.getxattr(ino, OsStr::new("user.plasmite.seq"))),
                2 => answered(tree.listxattr(ino)),
                _ => answered(tree.poll(input.pick(&self.files), None)),
            },
            _ => match input.byte() % 3 {
                0 => answered(tree.mknod(ino, &input.name(), libc::S_IFREG | 0o644, caller)),
                1 => answered(tree.fsync(input.pick(&self.files), caller, Patience::Quick)),
                _ => answered(tree.forget(ino, 1)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    /// The sequences that the fuzzer kept, and those that once failed.
    #[test]
    fn sequences_of_requests_that_were_found_by_fuzzing() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/tree");
        let entries = std::fs::read_dir(corpus).expect("the corpus");
        let mut count = 0;
        for entry in entries {
            let dir = tempfile::tempdir().expect("a directory");
            let input = std::fs::read(entry.expect("an entry").path()).expect("an input");
            super::run(dir.path(), &input);
            count += 1;
        }
        assert!(count > 0);
    }
}
