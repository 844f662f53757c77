//! The rows.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use plasmite_core::json::Document;
use plasmite_core::{Durability, Entry, Message, Pool, Seq, TailOptions};
use serde::de::IgnoredAny;

use crate::documents::dense;
use crate::limits::{Shared, each};
use crate::mount_speed::Mounts;
use crate::peers::{self, Peers};
use crate::report::{Against, Compared, Row, Unit, quantile};
use crate::{
    c_abi, command, first_turn, json, large_pool, mount, pools, processes, python, readers,
    requests, sizes, wake_up,
};

const NO_TAGS: &[&str] = &[];

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    Quick,
    Full,
}

/// What to measure.
pub(crate) struct Wanted {
    pub(crate) effort: Effort,
    /// A part of the names of the groups.
    pub(crate) only: String,
    /// What to measure beside Plasmite.
    pub(crate) peers: Option<Peers>,
}

/// The rows, and what they are measured with.
pub(crate) struct Bench {
    rows: Vec<Row>,
    pub(crate) dir: PathBuf,
    pub(crate) effort: Effort,
    /// How often the cheapest operations are done in a round.
    pub(crate) count: u64,
    pub(crate) peers: Option<Peers>,
    /// Started by the first group that needs them.
    mounts: Option<Mounts>,
}

impl Bench {
    pub(crate) fn effort(&self) -> Effort {
        self.effort
    }

    /// Notes one round of a row that counts nanoseconds.
    pub(crate) fn note(
        &mut self,
        name: &str,
        ns: f64,
        limit: Option<(&str, f64)>,
        aim: Option<f64>,
    ) {
        let limit = limit.map(|(name, aim)| Against { name: name.to_owned(), aim: Some(aim) });
        let row = self.row(name, Unit::Ns, || Row { limit, aim, ..Row::new(name, Unit::Ns) });
        row.rounds.push(ns);
    }

    /// Notes one round of a row that is seen beside another, and may have an aim of its own.
    pub(crate) fn note_beside(&mut self, name: &str, ns: f64, beside: &str, aim: Option<f64>) {
        let limit = Some(Against { name: beside.to_owned(), aim: None });
        let new = || Row { limit, aim, ..Row::new(name, Unit::Ns) };
        self.row(name, Unit::Ns, new).rounds.push(ns);
    }

    /// Notes what one round saw: the figure is the quantile of this part, of all rounds together where it is a high one.
    pub(crate) fn note_seen(
        &mut self,
        name: &str,
        part: f64,
        seen: &[f64],
        beside: Option<&str>,
        aim: Option<f64>,
    ) {
        let limit = beside.map(|name| Against { name: name.to_owned(), aim: None });
        let row = self.row(name, Unit::Ns, || Row { limit, aim, part, ..Row::new(name, Unit::Ns) });
        row.rounds.push(quantile(seen, part));
        if part > 0.5 {
            row.seen.extend(seen);
        }
    }

    /// Notes one round of a row of one system beside others.
    pub(crate) fn note_compared(
        &mut self,
        compared: Compared,
        unit: Unit,
        value: Result<f64, String>,
    ) {
        let name = format!("{}: {}", compared.group, compared.system);
        let first = format!("{}: {}", compared.group, peers::FIRST);
        let limit = (name != first).then_some(Against { name: first, aim: None });
        let new = || Row { limit, compared: Some(compared), ..Row::new(&name, unit) };
        let row = self.row(&name, unit, new);
        match value {
            Ok(value) => row.rounds.push(value),
            Err(why) => row.missing = Some(why),
        }
    }

    fn row(&mut self, name: &str, unit: Unit, new: impl FnOnce() -> Row) -> &mut Row {
        let there = self.rows.iter().position(|row| row.name == name && row.unit == unit);
        let at = there.unwrap_or_else(|| {
            self.rows.push(new());
            self.rows.len() - 1
        });
        &mut self.rows[at]
    }

    /// Notes one round of a row that is no time.
    pub(crate) fn note_size(&mut self, name: &str, value: f64, unit: Unit, aim: Option<f64>) {
        self.row(name, unit, || Row { aim, ..Row::new(name, unit) }).rounds.push(value);
    }

    /// Notes one round of a row that is no time, is seen beside another, and may have an aim of its own.
    pub(crate) fn note_size_beside(
        &mut self,
        name: &str,
        value: f64,
        unit: Unit,
        beside: &str,
        aim: Option<f64>,
    ) {
        let limit = Some(Against { name: beside.to_owned(), aim: None });
        self.row(name, unit, || Row { limit, aim, ..Row::new(name, unit) }).rounds.push(value);
    }

    fn with_mounts(&mut self, measure: impl FnOnce(&mut Mounts, &mut Self)) {
        let mut mounts = self.mounts.take().unwrap_or_else(|| Mounts::start(&self.dir));
        measure(&mut mounts, self);
        self.mounts = Some(mounts);
    }
}

/// Rows that are measured together.
type Group = (&'static str, fn(&mut Bench));

/// Measured once in each round.
const IN_ROUNDS: &[Group] = &[
    ("engine", in_process),
    ("large pool", large_pool::rows),
    ("JSON", json::rows),
    ("processes", across_processes),
    ("wake-up", wake_up::rows),
    ("C", |b| c_abi::rows(b)),
    ("Python", |b| python::rows(b)),
    ("command", command::rows),
    ("flush", durable),
    ("sizes", sizes::rows),
    ("readers", readers::rows),
    ("peers: append", |b| peers::rows(b, "append")),
    ("peers: flush", |b| peers::rows(b, "flush")),
    ("peers: together", |b| peers::rows(b, "together")),
    ("peers: reads", |b| peers::rows(b, "reads")),
    ("peers: across", |b| peers::rows(b, "across")),
    ("peers: wake-up", |b| peers::rows(b, "wake-up")),
    ("peers: command", |b| peers::rows(b, "command")),
    ("peers: Python", peers::python_rows),
    ("mount: write", |b| b.with_mounts(Mounts::write)),
    ("mount: create", |b| b.with_mounts(Mounts::create)),
    ("mount: open", |b| b.with_mounts(Mounts::open)),
    ("mount: stat", |b| b.with_mounts(Mounts::stat)),
    ("mount: stream", |b| b.with_mounts(Mounts::stream)),
    ("mount: block", |b| b.with_mounts(Mounts::block)),
    ("mount: wake-up", |b| b.with_mounts(Mounts::wake_up)),
    ("mount: interrupts", |b| b.with_mounts(Mounts::interrupts)),
    ("mount: listings", |b| b.with_mounts(Mounts::listings)),
];

/// Measured once.
const AT_THE_END: &[Group] = &[
    ("bytes", bytes_on_top),
    ("peers: bytes", |b| peers::rows(b, "bytes")),
    ("pools", pools::rows),
    ("first turn", first_turn::rows),
    ("idle readers", readers::idle),
    ("mount: idle", idle),
    ("mount: requests", requests),
];

impl Wanted {
    fn has(&self, group: &Group) -> bool {
        group.0.contains(&self.only) && (self.peers.is_some() || !group.0.starts_with("peers"))
    }
}

/// # Errors
/// When no group is wanted: what groups there are.
pub(crate) fn check(wanted: &Wanted) -> Result<(), String> {
    let all = || IN_ROUNDS.iter().chain(AT_THE_END);
    if all().any(|group| wanted.has(group)) {
        return Ok(());
    }
    let names: Vec<_> = all().map(|group| group.0).collect();
    Err(format!(
        "no group contains {:?}; there are (those of peers with --peers): {}",
        wanted.only,
        names.join(", ")
    ))
}

/// Measures the groups that are wanted, in this directory.
pub(crate) fn measure(wanted: Wanted, dir: PathBuf) -> Vec<Row> {
    let effort = wanted.effort;
    let (rounds, count) = if effort == Effort::Quick { (3, 20_000) } else { (9, 200_000) };
    let repeated: Vec<_> = IN_ROUNDS.iter().filter(|group| wanted.has(group)).collect();
    let once: Vec<_> = AT_THE_END.iter().filter(|group| wanted.has(group)).collect();
    let mut bench =
        Bench { rows: Vec::new(), dir, effort, count, peers: wanted.peers, mounts: None };
    let progress = progress(rounds * repeated.len() + once.len());
    for round in 0..rounds {
        for (name, measure) in &repeated {
            progress.set_message(format!("round {} of {rounds}: {name}", round + 1));
            measure(&mut bench);
            progress.inc(1);
        }
    }
    bench.mounts = None;
    for (name, measure) in once {
        progress.set_message(*name);
        measure(&mut bench);
        progress.inc(1);
    }
    progress.finish_and_clear();
    bench.rows
}

/// A bar on stderr, if that is a terminal.
fn progress(steps: usize) -> ProgressBar {
    let bar = ProgressBar::new(steps as u64);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed}, {eta} to go  {msg}");
    bar.set_style(style.unwrap());
    bar
}

fn idle(bench: &mut Bench) {
    let (pools, readers) = if bench.effort == Effort::Quick { (10, 100) } else { (100, 1000) };
    let floor = format!("of a file system that does nothing, {readers} idle readers");
    let memory = format!("memory {floor}");
    for idle in mount::idle_floor(&bench.dir, readers) {
        bench.note_size(&memory, idle.kib, Unit::KiB, None);
        bench.note_size(&format!("time {floor}"), idle.percent, Unit::PerCent, None);
    }
    let what = format!("of a mount, {pools} pools of 1 MiB, {readers} idle readers");
    for idle in mount::idle(&bench.dir, pools, readers) {
        let (name, aim) = (format!("memory {what}"), Some(50.0 * 1024.0));
        bench.note_size_beside(&name, idle.kib, Unit::KiB, &memory, aim);
        // Not as so many times what is next to nothing.
        bench.note_size(&format!("time {what}"), idle.percent, Unit::PerCent, Some(1.0));
    }
}

fn requests(bench: &mut Bench) {
    for counted in requests::count(&bench.dir) {
        bench.note_size(&counted.name, counted.each, Unit::Requests, Some(counted.aim));
    }
}

fn in_process(bench: &mut Bench) {
    let (dir, count) = (bench.dir.clone(), bench.count);
    let path = dir.join("in-process.plasmite");
    let text = dense(1024);
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(dir.join("raw"))
        .unwrap();
    let shared = Shared::new(&file, 8 << 20);
    shared.copy_in(text.as_bytes(), 20_000);
    let (copy_in, copy_out) =
        ("memcpy 1 KiB into a shared mapping", "memcpy 1 KiB out of a shared mapping");
    bench.note(copy_in, shared.copy_in(text.as_bytes(), count), None, None);
    bench.note(copy_out, shared.copy_out(&mut vec![0; text.len()], count), None, None);

    let start = Instant::now();
    for _ in 0..count {
        let text = std::str::from_utf8(black_box(text.as_bytes())).unwrap();
        black_box(serde_json::from_str::<IgnoredAny>(text).unwrap());
    }
    let validate = each(start, count);
    bench.note("serde_json validates 1 KiB, dense", validate, None, None);
    let start = Instant::now();
    for _ in 0..count {
        black_box(Document::parse(black_box(text.as_bytes())).unwrap());
    }
    bench.note(
        "Document::parse 1 KiB, dense",
        each(start, count),
        Some(("serde_json validates 1 KiB, dense", 1.2)),
        None,
    );

    let pool = Pool::create(&path, 8 << 20).unwrap();
    let warm = || pool.append(text.as_bytes(), NO_TAGS, Durability::Fast).unwrap();
    (0..10_000).for_each(|_| {
        warm();
    });
    let start = Instant::now();
    for _ in 0..count {
        pool.append(black_box(text.as_bytes()), NO_TAGS, Durability::Fast).unwrap();
    }
    bench.note(
        "append 1 KiB, validated",
        each(start, count),
        Some(("serde_json validates 1 KiB, dense", 1.5)),
        Some(2000.0),
    );
    let document = Document::parse(text.as_bytes()).unwrap();
    let start = Instant::now();
    for _ in 0..count {
        pool.append_document(black_box(&document), NO_TAGS, Durability::Fast).unwrap();
    }
    let name = "append 1 KiB, checked before";
    bench.note_beside(name, each(start, count), copy_in, Some(250.0));
    let batch = [Entry { document: &document, tags: NO_TAGS }; 100];
    let start = Instant::now();
    for _ in 0..count / batch.len() as u64 {
        pool.append_batch(black_box(&batch), Durability::Fast).unwrap();
    }
    let limit = Some(("append 1 KiB, checked before", 1.0));
    bench.note("append 1 KiB, checked before, 100 at once", each(start, count), limit, None);
    let (few, copy_few) = (b"{\"a\":1}", "memcpy 7 bytes into a shared mapping");
    bench.note(copy_few, shared.copy_in(few, count), None, None);
    let small = Document::parse(few).unwrap();
    let start = Instant::now();
    for _ in 0..count {
        pool.append_document(black_box(&small), NO_TAGS, Durability::Fast).unwrap();
    }
    bench.note_beside("append 7 bytes, checked before", each(start, count), copy_few, None);
    (0..10_000).for_each(|_| {
        warm();
    });

    let ns = large_pool::get_at_random(&pool, count);
    bench.note_beside("get 1 KiB, random", ns, copy_out, Some(300.0));
    let mut message = Message::default();
    let start = Instant::now();
    for _ in 0..count {
        let newest = pool.bounds().unwrap().newest;
        pool.get_into(newest, &mut message).unwrap();
        black_box(message.data());
    }
    bench.note_beside("get 1 KiB, newest", each(start, count), copy_out, Some(300.0));
    let start = Instant::now();
    let mut read = 0;
    while read < count {
        let mut tail = pool.tail(TailOptions::default()).unwrap();
        while tail.try_next_into(&mut message).unwrap() {
            black_box(message.data());
            read += 1;
        }
    }
    bench.note_beside("tail 1 KiB in process", each(start, read), copy_out, Some(200.0));
    drop(pool);
    Pool::delete(&path).unwrap();
}

fn across_processes(bench: &mut Bench) {
    let count = bench.count;
    for writers in [1, 2, 4, 8] {
        let path = bench.dir.join("writers.plasmite");
        Pool::create(&path, 8 << 20).unwrap();
        let ns = processes::writers("append", &path, writers, count);
        let limit = (writers > 1).then_some(("append 1 KiB by 1 processes", 1.43));
        bench.note(&format!("append 1 KiB by {writers} processes"), ns, limit, None);
        Pool::delete(&path).unwrap();
    }
}

fn durable(bench: &mut Bench) {
    let count = if bench.effort == Effort::Quick { 100 } else { 400 };
    let dir = bench.dir.clone();
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(dir.join("sync"))
        .unwrap();
    file.write_all_at(&vec![1; 1 << 20], 0).unwrap();
    file.sync_all().unwrap();
    let text = dense(1024);
    let start = Instant::now();
    for n in 0..count {
        file.write_all_at(text.as_bytes(), n * 1024 % (1 << 20)).unwrap();
        file.sync_data().unwrap();
    }
    bench.note("write 1 KiB and fdatasync", each(start, count), None, None);
    let new_file = "write 1 KiB and fdatasync, new file";
    let file = first_turn::new_file(&dir, 1 << 20);
    bench.note(new_file, first_turn::write_and_sync(&file, &text, 0..count), None, None);
    let flush = |role: &str, processes: u64, count: u64, is_new: bool| {
        let path = dir.join("flush.plasmite");
        let pool = Pool::create(&path, 1 << 20).unwrap();
        while !is_new && pool.bounds().unwrap().oldest == Seq::FIRST {
            pool.append(text.as_bytes(), NO_TAGS, Durability::Fast).unwrap();
        }
        let ns = processes::writers(role, &path, processes, count);
        Pool::delete(&path).unwrap();
        ns
    };
    // The file system notes of each page of a new file that it has been written, by a sync of its own.
    let ns = flush("flush", 1, count, true);
    bench.note_beside("flush 1 KiB, new pool", ns, new_file, None);
    let one = flush("flush", 1, count, false);
    bench.note("flush 1 KiB by 1 processes", one, Some(("write 1 KiB and fdatasync", 1.2)), None);
    let one = flush("flush-short", 1, count, false);
    bench.note("flush 100 B by 1 processes", one, None, None);
    let group = dir.join("group");
    processes::group_file(&group);
    let many = count * processes::GROUP;
    // How much of it is the disk's depends on the bytes of the group.
    let (usual, short) = ("flush 1 KiB by 1 processes", "flush 100 B by 1 processes");
    let bare = |role: &str| processes::writers(role, &group, processes::GROUP, many);
    bench.note_beside("bare group commit of 16 processes", bare("group"), usual, None);
    bench.note_beside("bare group commit of 16 processes, 100 B", bare("group-short"), short, None);
    let mut together = |name: &str, ns: f64, one| bench.note(name, ns, Some((one, 0.125)), None);
    let ours = |role: &str| flush(role, processes::GROUP, many, false);
    together("flush 1 KiB by 16 processes", ours("flush"), usual);
    together("flush 100 B by 16 processes", ours("flush-short"), short);
    let ours = |role: &str| flush(role, 1, many, false);
    together("flush 1 KiB by 16 threads", ours("flush-threads"), usual);
    together("flush 100 B by 16 threads", ours("flush-short-threads"), short);
    for longer in SLOWER_DISKS {
        let on = format!("a disk that takes {longer} µs longer");
        let at = |role: &str| format!("{role}+{longer}");
        let one = format!("flush 1 KiB by 1 processes, {on}");
        bench.note(&one, flush(&at("flush"), 1, count, false), None, None);
        let ns = processes::writers(&at("group"), &group, processes::GROUP, many);
        bench.note_beside(&format!("bare group commit of 16 processes, {on}"), ns, &one, None);
        for (by, role, processes) in
            [("16 processes", "flush", processes::GROUP), ("16 threads", "flush-threads", 1)]
        {
            let ns = flush(&at(role), processes, many, false);
            bench.note(&format!("flush 1 KiB by {by}, {on}"), ns, Some((&one, 0.125)), None);
        }
    }
}

/// Microseconds by which syncs take longer on slower disks.
const SLOWER_DISKS: [u64; 3] = [100, 200, 400];

/// Not a time: the bytes a pool of 1 MiB takes for each message, less the message.
fn bytes_on_top(bench: &mut Bench) {
    for (what, len, aim) in [("100-byte", 100, Some(48.0)), ("1 KiB", 1024, None)] {
        let path = bench.dir.join("bytes.plasmite");
        let pool = Pool::create(&path, 1 << 20).unwrap();
        let text = dense(len);
        while pool.bounds().unwrap().oldest == Seq::FIRST {
            pool.append(text.as_bytes(), NO_TAGS, Durability::Fast).unwrap();
        }
        let each = (1u64 << 20) as f64 / pool.bounds().unwrap().count() as f64 - text.len() as f64;
        bench.note_size(&format!("bytes on top of a {what} message"), each, Unit::Bytes, aim);
        drop(pool);
        Pool::delete(&path).unwrap();
    }
}
