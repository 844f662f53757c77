//! The rows: what is done with each system, and for how long.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::documents::dense;
use crate::other::{END, Other};
use crate::system::{Durability, System, Wanted};
use crate::systems::SYSTEMS;
use crate::{command, reads, together, wake_up};

/// Messages that are sent at once.
pub(crate) const BATCH: usize = 100;
/// Of messages that nobody has to receive, or one by one.
pub(crate) const SMALL: Wanted = Wanted { durability: Durability::Fast, room_bytes: 8 << 20 };
/// So many messages have room in what is bounded, however long they are.
const FEWEST: u64 = 32;

/// Measures the rows of one group.
type Measure = fn(&mut Round<'_>);

pub(crate) const GROUPS: &[(&str, Measure)] = &[
    ("append", append),
    ("flush", flush),
    ("together", together::rows),
    ("reads", reads::rows),
    ("across", across),
    ("wake-up", wake_up::rows),
    ("command", |round| command::rows(round)),
    ("bytes", bytes),
];

/// One round, and where its files may be.
pub(crate) struct Round<'a> {
    dir: PathBuf,
    full: bool,
    /// The commands of Plasmite and of the plasmite crate 1.x.
    pub(crate) commands: [&'a Path; 2],
    directories: u32,
}

impl<'a> Round<'a> {
    pub(crate) fn new(dir: &Path, full: bool, ours: &'a str, theirs: &'a str) -> Self {
        let dir = dir.join(format!("peers-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self { dir, full, commands: [ours, theirs].map(Path::new), directories: 0 }
    }

    /// An empty directory.
    pub(crate) fn directory(&mut self) -> PathBuf {
        self.directories += 1;
        let dir = self.dir.join(self.directories.to_string());
        std::fs::create_dir(&dir).unwrap();
        dir
    }

    /// How long a row may take, or a few times as long.
    pub(crate) fn budget(&self) -> Duration {
        Duration::from_millis(if self.full { 200 } else { 40 })
    }

    /// As many bytes as a row sends across processes, or has there to be read, at most.
    pub(crate) fn most_bytes(&self) -> usize {
        if self.full { 64 << 20 } else { 8 << 20 }
    }

    /// As many bytes as a row appends, at most: what keeps all of it must not fill the disk.
    fn most_appended_bytes(&self) -> usize {
        4 * self.most_bytes()
    }

    pub(crate) fn times(&self, full: u64, quick: u64) -> u64 {
        if self.full { full } else { quick }
    }

    pub(crate) fn note(&self, group: &str, system: &str, ns: f64) {
        println!("{}", json!({ "group": group, "system": system, "value": ns }));
    }

    fn note_bytes(&self, group: &str, system: &str, bytes: f64) {
        println!("{}", json!({ "group": group, "system": system, "bytes": bytes }));
    }

    pub(crate) fn missing(&self, group: &str, system: &str, why: &str) {
        println!("{}", json!({ "group": group, "system": system, "missing": why }));
    }

    /// Measures each system of a kind in a directory of its own.
    pub(crate) fn each(
        &mut self,
        group: &str,
        wanted: Wanted,
        of: fn(&System) -> bool,
        measure: impl Fn(&Self, &System, &Path) -> f64,
    ) {
        for system in SYSTEMS.iter().filter(|system| of(system)) {
            let dir = self.directory();
            match (system.set_up)(&dir, &wanted) {
                Ok(_behind) => self.note(group, system.name, measure(self, system, &dir)),
                Err(why) => self.missing(group, system.name, &why),
            }
            std::fs::remove_dir_all(&dir).unwrap();
        }
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Nanoseconds for each of the `per_call` things that `call` does, over and over for about `budget`.
pub(crate) fn timed(budget: Duration, per_call: usize, call: impl FnMut()) -> f64 {
    timed_at_most(usize::MAX, budget, per_call, call)
}

/// The same, of no more than `most` calls.
fn timed_at_most(most: usize, budget: Duration, per_call: usize, mut call: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut calls = 0;
    while calls < most && start.elapsed() < budget {
        // The clock is looked at rarely beside what is fast, and often beside what is slow.
        let many = if calls < 64 { 1 } else { 64.min(most - calls) };
        (0..many).for_each(|_| call());
        calls += many;
    }
    start.elapsed().as_nanos() as f64 / (calls * per_call) as f64
}

/// Has about so many bytes of one message, over and over, sent for nobody; how many messages that were.
pub(crate) fn fill(system: &System, dir: &Path, message: &str, bytes: u64) -> u64 {
    let mut sender = (system.sender)(dir, Durability::Fast);
    let batches = bytes / (message.len() * BATCH) as u64;
    (0..batches).for_each(|_| sender.send_all(&[message.as_bytes(); BATCH]));
    batches * BATCH as u64
}

/// How long messages are, for people and in bytes.
type Length = (&'static str, usize);

const SHORT: Length = ("100 B", 100);
const USUAL: Length = ("1 KiB", 1 << 10);
const LONG: Length = ("16 KiB", 16 << 10);
const HUGE: Length = ("1 MiB", 1 << 20);

fn append(round: &mut Round<'_>) {
    for (what, len) in [SHORT, USUAL, LONG, HUGE] {
        appends(round, &format!("append {what}"), len, 1, Durability::Fast);
    }
    appends(round, "append 1 KiB, 100 at once", 1024, BATCH, Durability::Fast);
}

fn flush(round: &mut Round<'_>) {
    for (what, len) in [SHORT, USUAL, LONG, HUGE] {
        appends(round, &format!("flush {what}"), len, 1, Durability::Flush);
    }
    appends(round, "flush 1 KiB, 100 at once", 1024, BATCH, Durability::Flush);
}

/// Nobody receives what is appended.
fn appends(round: &mut Round<'_>, group: &str, len: usize, batch: usize, durability: Durability) {
    let message = dense(len);
    let batch = vec![message.as_bytes(); batch];
    let room_bytes = SMALL.room_bytes.max(FEWEST * len as u64);
    let wanted = Wanted { durability, room_bytes };
    round.each(
        group,
        wanted,
        |system| system.does.keeps,
        |round, system, dir| {
            let mut sender = (system.sender)(dir, durability);
            let mut send = || match batch.as_slice() {
                [message] => sender.send(message),
                batch => sender.send_all(batch),
            };
            let most = round.most_appended_bytes() / (len * batch.len());
            timed_at_most(most / 2, round.budget() / 2, batch.len(), &mut send);
            timed_at_most(most, round.budget(), batch.len(), send)
        },
    );
}

/// What a message of 100 bytes takes on the disk, when as many are there as a pool holds, and nobody writes.
fn bytes(round: &mut Round<'_>) {
    let group = "on disk, 100 B";
    let message = dense(100);
    for system in SYSTEMS.iter().filter(|system| system.does.keeps) {
        let dir = round.directory();
        match (system.set_up)(&dir, &SMALL) {
            Ok(_behind) => {
                // More than the pool's room, which is bounded.
                let sent = fill(system, &dir, &message, 2 * SMALL.room_bytes);
                let kept = (system.kept)(&dir, sent);
                round.note_bytes(group, system.name, stored(&dir) as f64 / kept as f64);
            }
            Err(why) => round.missing(group, system.name, &why),
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

/// The bytes that the file system has given to what is in a directory.
fn stored(dir: &Path) -> u64 {
    let sizes = std::fs::read_dir(dir).unwrap().map(|entry| {
        let (entry, path) = entry.map(|entry| (entry.metadata().unwrap(), entry.path())).unwrap();
        if entry.is_dir() { stored(&path) } else { entry.blocks() * 512 }
    });
    sizes.sum()
}

/// From one process to another, which receives all of it.
fn across(round: &mut Round<'_>) {
    let message = dense(1024);
    // Whoever lags gets every message all the same.
    let wanted = Wanted { room_bytes: round.most_bytes() as u64, ..SMALL };
    let one: fn(&System) -> bool = |system| system.does.streams;
    round.each("producer → consumer, 1 KiB", wanted, one, |round, system, dir| {
        flow(round, system, dir, &[message.as_bytes()])
    });
    let many: fn(&System) -> bool = |system| system.does.streams && system.does.batches;
    let group = "producer → consumer, 1 KiB, 100 at once";
    round.each(group, wanted, many, |round, system, dir| {
        flow(round, system, dir, &vec![message.as_bytes(); BATCH])
    });
}

fn flow(round: &Round<'_>, system: &System, dir: &Path, batch: &[&[u8]]) -> f64 {
    let most = round.most_bytes() / batch[0].len();
    let open = || (system.sender)(dir, Durability::Fast);
    let mut used = system.does.keeps.then(open);
    if let Some(sender) = &mut used {
        // As it is once it has been in use for a while.
        let start = Instant::now();
        for _ in (0..most * 5 / 4).step_by(BATCH) {
            sender.send_all(&[batch[0]; BATCH]);
            if start.elapsed() > round.budget() {
                break;
            }
        }
    }
    let mut receiver = Other::start("receive", system, dir, 0);
    let mut sender = used.unwrap_or_else(open);
    let (start, mut sent) = (Instant::now(), 0);
    while start.elapsed() < round.budget() && sent < most {
        for _ in 0..(64 / batch.len()).max(1) {
            match batch {
                [message] => sender.send(message),
                batch => sender.send_all(batch),
            }
            sent += batch.len();
        }
    }
    sender.send(END);
    let received: usize = receiver.line().parse().unwrap();
    let ns = start.elapsed().as_nanos() as f64 / sent as f64;
    assert_eq!(received, sent, "{}", system.name);
    receiver.end();
    ns
}
