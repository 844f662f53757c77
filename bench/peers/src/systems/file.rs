//! Lines appended to a plain file, whose reader sleeps on inotify.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::lines::{Lines, joined};
use crate::system::{Does, Durability, Receiver, Sender, System, all_kept};

pub(super) const APPENDED: System = System {
    name: "file and inotify",
    does: Does { keeps: true, batches: true, streams: true, fans_out: true },
    set_up: |dir, _wanted| {
        File::create(path(dir)).map_err(|e| e.to_string())?;
        Ok(Box::new(()))
    },
    sender,
    receiver,
    get: None,
    kept: all_kept,
};

fn path(dir: &Path) -> PathBuf {
    dir.join("peer.jsonl")
}

struct Writes {
    file: File,
    durability: Durability,
    buffer: Vec<u8>,
}

fn sender(dir: &Path, durability: Durability) -> Box<dyn Sender> {
    let file = File::options().append(true).open(path(dir)).unwrap();
    Box::new(Writes { file, durability, buffer: Vec::new() })
}

impl Sender for Writes {
    fn send(&mut self, message: &[u8]) {
        self.send_all(&[message]);
    }

    fn send_all(&mut self, messages: &[&[u8]]) {
        self.file.write_all(joined(messages, &mut self.buffer)).unwrap();
        if self.durability == Durability::Flush {
            self.file.sync_data().unwrap();
        }
    }
}

struct Reads {
    lines: Lines<File>,
    changes: Inotify,
}

fn receiver(dir: &Path) -> Box<dyn Receiver> {
    let changes = Inotify::init(InitFlags::empty()).unwrap();
    changes.add_watch(&path(dir), AddWatchFlags::IN_MODIFY).unwrap();
    let mut file = File::open(path(dir)).unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    Box::new(Reads { lines: Lines::new(file), changes })
}

impl Receiver for Reads {
    fn receive(&mut self, take: &mut dyn FnMut(&[u8])) {
        while self.lines.read(take) == 0 {
            self.changes.read_events().unwrap();
        }
    }
}
