//! Lines through a Unix socket.

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::lines::{Lines, joined};
use crate::system::{Does, Receiver, Sender, System, all_kept};

pub(super) const STREAM: System = System {
    name: "Unix socket",
    does: Does { keeps: false, batches: true, streams: true, fans_out: false },
    set_up: |_dir, _wanted| Ok(Box::new(())),
    sender: |dir, _durability| {
        Box::new(Writes { stream: UnixStream::connect(path(dir)).unwrap(), buffer: Vec::new() })
    },
    receiver: |dir| {
        Box::new(Reads { listener: UnixListener::bind(path(dir)).unwrap(), lines: None })
    },
    get: None,
    kept: all_kept,
};

fn path(dir: &Path) -> PathBuf {
    dir.join("socket")
}

struct Writes {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Sender for Writes {
    fn send(&mut self, message: &[u8]) {
        self.send_all(&[message]);
    }

    fn send_all(&mut self, messages: &[&[u8]]) {
        self.stream.write_all(joined(messages, &mut self.buffer)).unwrap();
    }
}

struct Reads {
    listener: UnixListener,
    lines: Option<Lines<UnixStream>>,
}

impl Receiver for Reads {
    fn receive(&mut self, take: &mut dyn FnMut(&[u8])) {
        let listener = &self.listener;
        let accept = || Lines::new(listener.accept().unwrap().0);
        self.lines.get_or_insert_with(accept).read(take);
    }
}
