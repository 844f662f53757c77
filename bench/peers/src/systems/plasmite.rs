//! Plasmite itself, under the same harness. It checks each message; the others take any bytes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use plasmite_core::json::Document;
use plasmite_core::{Entry, Message, Pool, Seq, Tail, TailOptions};

use crate::system::{Behind, Does, Durability, Receiver, Sender, Stored, System, Wanted};

const NO_TAGS: &[&str] = &[];
/// How long it looks for a message before it sleeps.
const SPIN: Duration = Duration::from_secs(10);

pub(super) const POOL: System = System {
    name: "Plasmite",
    does: Does { keeps: true, batches: true, streams: true, fans_out: true },
    set_up,
    sender,
    receiver: |dir| Box::new(reader(dir, Duration::ZERO)),
    get: Some(stored),
    kept: |dir, _sent| Pool::open(&path(dir)).unwrap().bounds().unwrap().count(),
};

pub(super) const SPINNING: System = System {
    name: "Plasmite, spinning",
    does: Does { keeps: false, batches: false, streams: false, fans_out: false },
    receiver: |dir| Box::new(reader(dir, SPIN)),
    get: None,
    ..POOL
};

fn path(dir: &Path) -> PathBuf {
    dir.join("peer.plasmite")
}

fn set_up(dir: &Path, wanted: &Wanted) -> Result<Behind, String> {
    // Each message takes a few dozen bytes more, and the index is an eighth of the file.
    let size_bytes = wanted.room_bytes / 4 * 5;
    Pool::create(&path(dir), size_bytes)
        .map(|pool| Box::new(pool) as Behind)
        .map_err(|e| e.to_string())
}

struct Appends {
    pool: Pool,
    durability: plasmite_core::Durability,
}

fn sender(dir: &Path, durability: Durability) -> Box<dyn Sender> {
    let durability = match durability {
        Durability::Fast => plasmite_core::Durability::Fast,
        Durability::Flush => plasmite_core::Durability::Flush,
    };
    Box::new(Appends { pool: Pool::open(&path(dir)).unwrap(), durability })
}

impl Sender for Appends {
    fn send(&mut self, message: &[u8]) {
        self.pool.append(message, NO_TAGS, self.durability).unwrap();
    }

    fn send_all(&mut self, messages: &[&[u8]]) {
        let documents: Vec<_> =
            messages.iter().map(|message| Document::parse(message).unwrap()).collect();
        let entries: Vec<_> =
            documents.iter().map(|document| Entry { document, tags: NO_TAGS }).collect();
        self.pool.append_batch(&entries, self.durability).unwrap();
    }
}

struct Reader(Tail, Message);

fn reader(dir: &Path, spin: Duration) -> Reader {
    let pool = Pool::open(&path(dir)).unwrap();
    let since = Some(Seq::new(pool.bounds().unwrap().newest.get() + 1));
    Reader(
        pool.tail(TailOptions { since, spin, ..TailOptions::default() }).unwrap(),
        Message::default(),
    )
}

impl Receiver for Reader {
    fn receive(&mut self, take: &mut dyn FnMut(&[u8])) {
        self.0.wait(None).unwrap();
        while self.0.try_next_into(&mut self.1).unwrap() {
            take(self.1.data().as_bytes());
        }
    }
}

fn stored(dir: &Path) -> Stored {
    let pool = Pool::open(&path(dir)).unwrap();
    let bounds = pool.bounds().unwrap();
    let mut message = Message::default();
    let get = move |at| {
        pool.get_into(Seq::new(bounds.oldest.get() + at), &mut message).unwrap();
        message.data().len()
    };
    (bounds.count(), Box::new(get))
}
