//! Lines through a named pipe.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;

use crate::lines::{Lines, joined};
use crate::system::{Does, Receiver, Sender, System, all_kept};

pub(super) const NAMED: System = System {
    name: "named pipe",
    does: Does { keeps: false, batches: true, streams: true, fans_out: false },
    set_up: |dir, _wanted| {
        nix::unistd::mkfifo(&path(dir), Mode::S_IRWXU).map_err(|e| e.to_string())?;
        Ok(Box::new(()))
    },
    sender: |dir, _durability| {
        let pipe = File::options().write(true).open(path(dir)).unwrap();
        // As much as a process may ask for without being root: the usual 64 KiB do not hold a batch.
        nix::fcntl::fcntl(&pipe, nix::fcntl::FcntlArg::F_SETPIPE_SZ(1 << 20)).unwrap();
        Box::new(Writes { pipe, buffer: Vec::new() })
    },
    receiver: |dir| {
        // For writing too: so it need not wait for a sender to open it.
        let pipe = File::options().read(true).write(true).open(path(dir)).unwrap();
        Box::new(Reads(Lines::new(pipe)))
    },
    get: None,
    kept: all_kept,
};

fn path(dir: &Path) -> PathBuf {
    dir.join("pipe")
}

struct Writes {
    pipe: File,
    buffer: Vec<u8>,
}

impl Sender for Writes {
    fn send(&mut self, message: &[u8]) {
        self.send_all(&[message]);
    }

    fn send_all(&mut self, messages: &[&[u8]]) {
        self.pipe.write_all(joined(messages, &mut self.buffer)).unwrap();
    }
}

struct Reads(Lines<File>);

impl Receiver for Reads {
    fn receive(&mut self, take: &mut dyn FnMut(&[u8])) {
        self.0.read(take);
    }
}
