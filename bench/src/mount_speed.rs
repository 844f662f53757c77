//! Rows of the mount: each beside a file system that does nothing and the engine alone, by turns.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use plasmite_core::json::Document;
use plasmite_core::{Batch, Client, Durability, Pool, Seq, TailOptions};

use crate::bell::Bell;
use crate::cpus::Cpus;
use crate::limits::{each, monotonic_ns};
use crate::mount::Daemon;
use crate::processes::{PAUSE, ready, spawn, wait_ready};
use crate::report::quantile;
use crate::rows::Bench;
use crate::{ends, interrupts};

/// A small message, as it is read.
pub(crate) const MESSAGE: &str = "{\"seq\":100000,\"time\":\"2026-01-01T00:00:00.000000000Z\",\"meta\":{\"tags\":[]},\"data\":{\"a\":100000}}\n";
const LINE: &[u8] = b"{\"a\":1}\n";
const NO_TAGS: &[&str] = &[];
/// Of what mount, floor and engine do by turns in a round.
const TURNS: u64 = 8;
const LISTED: u64 = 100_000;

/// The names of the rows of one operation.
struct Names {
    mount: &'static str,
    floor: &'static str,
    engine: &'static str,
    /// What is aimed at.
    aim: &'static str,
}

impl Names {
    /// Notes a round of what the mount has beside it.
    fn note_limit(&self, bench: &mut Bench, floor: f64, engine: f64) {
        bench.note(self.floor, floor, None, None);
        bench.note(self.engine, engine, None, None);
        bench.note(self.aim, 1.15 * floor + engine, None, None);
    }
}

macro_rules! names {
    ($what:literal) => {
        Names {
            mount: concat!("mount: ", $what),
            floor: concat!("floor: ", $what),
            engine: concat!("engine: ", $what),
            aim: concat!("1.15 × floor + engine: ", $what),
        }
    };
}

const WRITE: Names = names!("write a line");
const CREATE: Names = names!("create, write, close");
const OPEN: Names = names!("open, read, close");
const STAT: Names = names!("stat");
const BLOCK: Names = names!("a message of a block of 64 KiB");
const STREAM: Names = names!("read 1 MiB of a stream");

const TWO_CPUS: [&str; 2] = [
    "floor: ring → read of another process, two CPUs, p50",
    "mount: append → read of another process, two CPUs, p50",
];
const ONE_CPU: [&str; 2] = [
    "floor: ring → read of another process, one CPU, p50",
    "mount: append → read of another process, one CPU, p50",
];

/// A mount of pools and a floor, both empty but for what the rows need.
pub(crate) struct Mounts {
    mount: Side,
    floor: Side,
    bell: Bell,
    pool: Pool,
    /// The pool of the engine alone.
    engine: Pool,
    /// The message to look at next for the first time.
    next: u64,
    /// Of the next file to create.
    next_name: u64,
}

struct Side {
    docs: PathBuf,
    line: File,
    /// What is read without end.
    stream: &'static str,
    daemon: Daemon,
}

impl Side {
    fn start(role: &str, mountpoint: &Path, stream: &'static str) -> Self {
        let daemon = Daemon::start(role, mountpoint);
        let docs = mountpoint.join("docs");
        if role == "mount" {
            fs::create_dir(&docs).unwrap();
        }
        let line = File::options().append(true).open(docs.join("in"));
        let line = line.or_else(|_| File::create(docs.join("in"))).unwrap();
        Self { docs, line, stream, daemon }
    }
}

impl Mounts {
    pub(crate) fn start(dir: &Path) -> Self {
        let mount = Side::start("mount", &dir.join("speed"), "tail");
        let floor = Side::start("floor", &dir.join("floor"), "stream");
        let pool = Client::new(dir.join("speed.pools")).open("docs").unwrap();
        let engine = Pool::create(&dir.join("engine.plasmite"), 8 << 20).unwrap();
        let listed = Client::new(dir.join("speed.pools")).create("listed", 16 << 20).unwrap();
        (0..LISTED).for_each(|_| append(&listed, b"{\"a\":1}"));
        assert_eq!(listed.bounds().unwrap().count(), LISTED);
        Self {
            mount,
            floor,
            bell: Bell::beside(&dir.join("floor")),
            pool,
            engine,
            next: 0,
            next_name: 0,
        }
    }

    /// Fills the pool, so that this round looks at messages for the first time.
    fn refill(&mut self, count: u64) {
        (0..count + 20_000).for_each(|_| append(&self.pool, b"{\"a\":100000}"));
        self.next = self.pool.bounds().unwrap().newest.get() - count;
    }

    pub(crate) fn write(&mut self, bench: &mut Bench) {
        let engine = |_| append(&self.engine, b"{\"a\":1}");
        let write = |side: &Side, _| (&side.line).write_all(LINE).unwrap();
        self.row(bench, &WRITE, bench.count / 20, write, engine);
    }

    pub(crate) fn create(&mut self, bench: &mut Bench) {
        let count = bench.count / 80;
        let first = self.next_name;
        self.next_name += count;
        let create = |side: &Side, n: u64| {
            let name = side.docs.join(format!("new-{}.json", first + n));
            File::create(name).unwrap().write_all(LINE).unwrap();
        };
        self.row(bench, &CREATE, count, create, |_| append(&self.engine, b"{\"a\":1}"));
    }

    pub(crate) fn open(&mut self, bench: &mut Bench) {
        let count = bench.count / 80;
        self.refill(count);
        let mut text = [0; 256];
        let open = |side: &Side, n: u64| {
            let name = side.docs.join((self.next + n).to_string());
            assert!(File::open(name).unwrap().read(&mut text).unwrap() > 64);
        };
        (0..count).for_each(|_| append(&self.engine, b"{\"a\":1}"));
        let newest = self.engine.bounds().unwrap().newest;
        self.row(bench, &OPEN, count, open, |n| {
            black_box(self.engine.get(Seq::new(newest.get() - n)).unwrap().to_json());
        });
    }

    pub(crate) fn stat(&mut self, bench: &mut Bench) {
        self.refill(1);
        let stat = |side: &Side, _| {
            black_box(fs::metadata(side.docs.join(self.next.to_string())).unwrap());
        };
        self.row(bench, &STAT, bench.count / 20, stat, |_| ());
    }

    pub(crate) fn stream(&mut self, bench: &mut Bench) {
        /// The mount answers with whole lines: up to a line less than is asked for.
        const WHOLE: usize = (1 << 20) - (4 << 10);
        self.refill(0);
        let mut bytes = vec![0; 128 << 10];
        let read = |side: &Side, _| {
            let mut file = File::open(side.docs.join(side.stream)).unwrap();
            let mut read = 0;
            while read < WHOLE {
                let n = file.read(&mut bytes).unwrap();
                assert!(n > 0);
                read += n;
            }
        };
        // The same bytes in the same portions, into memory that is warm.
        let mut out = Vec::with_capacity(256 << 10);
        self.row(bench, &STREAM, bench.count / 1000, read, |_| {
            let mut tail = self.pool.tail(TailOptions::default()).unwrap();
            let mut read = 0;
            while read < WHOLE {
                out.clear();
                assert!(tail.try_lines(&mut out, 128 << 10).unwrap() > 0);
                read += black_box(&out).len();
            }
        });
    }

    /// Notes a round of mount, floor and engine, which do `count` of it each.
    fn row(
        &self,
        bench: &mut Bench,
        names: &Names,
        count: u64,
        file: impl FnMut(&Side, u64),
        engine: impl FnMut(u64),
    ) {
        let [floor, engine, mount] = self.by_turns(count, file, engine);
        names.note_limit(bench, floor, engine);
        bench.note(names.mount, mount, Some((names.aim, 1.0)), None);
    }

    /// Nanoseconds of floor, engine and mount, which do `count` of it each, by turns; all on one CPU, since a request takes many
    /// times longer between two, and which it is changes from turn to turn.
    fn by_turns(
        &self,
        count: u64,
        mut file: impl FnMut(&Side, u64),
        mut engine: impl FnMut(u64),
    ) -> [f64; 3] {
        let per_turn = (count / TURNS).max(1);
        let mut ns = [0.0; 3];
        Cpus::one().with(&self.daemons(), || {
            for turn in 0..TURNS {
                let mut timed = |which: usize, work: &mut dyn FnMut(u64)| {
                    let start = Instant::now();
                    (turn * per_turn..(turn + 1) * per_turn).for_each(work);
                    ns[which] += each(start, per_turn) / TURNS as f64;
                };
                timed(0, &mut |n| file(&self.floor, n));
                timed(1, &mut engine);
                timed(2, &mut |n| file(&self.mount, n));
            }
        });
        ns
    }

    fn daemons(&self) -> [u32; 2] {
        [self.floor.daemon.pid(), self.mount.daemon.pid()]
    }

    /// A message of a block of 64 KiB that is written at once.
    pub(crate) fn block(&mut self, bench: &mut Bench) {
        let block = LINE.repeat((64 << 10) / LINE.len());
        let messages = (block.len() / LINE.len()) as u64;
        let write = |side: &Side, _| (&side.line).write_all(&block).unwrap();
        let (mut batch, mut receipts) = (Batch::new(), Vec::new());
        let engine = |_| {
            batch.clear();
            receipts.clear();
            for line in block.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                batch.push(&Document::parse(line).unwrap(), NO_TAGS).unwrap();
            }
            let all = 0..batch.len();
            self.engine.append_prepared(&batch, all, Durability::Fast, &mut receipts).unwrap();
        };
        let ns = self.by_turns(bench.count / 2000, write, engine);
        let [floor, engine, mount] = ns.map(|ns| ns / messages as f64);
        BLOCK.note_limit(bench, floor, engine);
        bench.note(BLOCK.mount, mount, Some((BLOCK.aim, 1.0)), Some(1000.0));
    }

    /// From the time in a message to its arrival in a reader, median: the writer on a CPU, daemon and reader on another one, or all on
    /// one. Left to itself the scheduler chooses anew each time, which makes half or twice of it.
    pub(crate) fn wake_up(&mut self, bench: &mut Bench) {
        if let Some(cpus) = Cpus::two() {
            self.woken(bench, cpus, &TWO_CPUS);
        }
        self.woken(bench, Cpus::one(), &ONE_CPU);
    }

    fn woken(&self, bench: &mut Bench, cpus: Cpus, names: &[&'static str; 2]) {
        let mut woken = None;
        cpus.with(&self.daemons(), || woken = Some(self.wake_ups(bench, cpus)));
        let [floor, mount] = woken.unwrap();
        bench.note(names[0], floor, None, None);
        bench.note(names[1], mount, Some((names[0], 1.2)), None);
    }

    fn wake_ups(&self, bench: &Bench, cpus: Cpus) -> [f64; 2] {
        let count = (bench.count / 200).max(200);
        let paths = [&self.floor.docs.join("tail"), &self.mount.docs.join("follow")];
        let mut readers = cpus.place(|| paths.map(|path| spawn("read-times", path, count)));
        for reader in &mut readers {
            wait_ready(reader);
            reader.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        }
        // Until both wait for the first time.
        std::thread::sleep(PAUSE * 100);
        for _ in 0..count {
            std::thread::sleep(PAUSE);
            self.bell.ring(monotonic_ns());
            std::thread::sleep(PAUSE);
            append(&self.pool, format!("{{\"t\":{}}}", monotonic_ns()).as_bytes());
        }
        readers.map(|reader| {
            let output = reader.wait_with_output().unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap().trim().parse::<f64>().unwrap()
        })
    }

    /// From a signal, and from whatever else ends them, to the end of readers that wait.
    pub(crate) fn interrupts(&mut self, bench: &mut Bench) {
        interrupts::rows(bench, &self.mount.docs.join("follow"));
        ends::rows(bench);
    }

    /// Beside a directory of as many files.
    pub(crate) fn listings(&mut self, bench: &mut Bench) {
        let (listed, files) = (self.mount.docs.with_file_name("listed"), bench.dir.join("files"));
        if !files.exists() {
            fs::create_dir(&files).unwrap();
            (1..=LISTED).for_each(|n| drop(File::create(files.join(n.to_string())).unwrap()));
        }
        for command in [&["ls"][..], &["ls", "-la"], &["find"]] {
            let ns = |of: &Path| {
                let mut list = Command::new(command[0]);
                list.args(&command[1..]).arg(of).stdout(Stdio::null());
                let start = Instant::now();
                assert!(list.status().unwrap().success());
                each(start, 1)
            };
            let beside = format!("{} of 100,000 files, warm", command.join(" "));
            bench.note(&beside, ns(&files), None, None);
            // The kernel forgets what it knows of a mount after a while, but not of a disk.
            ns(&listed);
            let name = format!("mount: {} of 100,000 messages, warm", command.join(" "));
            bench.note_beside(&name, ns(&listed), &beside, Some(1e9));
        }
    }
}

fn append(pool: &Pool, text: &[u8]) {
    pool.append(text, NO_TAGS, Durability::Fast).unwrap();
}

/// A reader's part: how long after the times in `count` lines these arrive, median.
pub(crate) fn read_times(path: &Path, count: u64) {
    let mut lines = BufReader::new(File::open(path).unwrap());
    ready();
    let mut ages = Vec::new();
    let mut line = String::new();
    for _ in 0..count {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0);
        let now = monotonic_ns();
        let time = line.split_once("\"t\":").unwrap().1.trim_end_matches(['}', '\n']);
        ages.push((now - time.parse::<u64>().unwrap()) as f64);
    }
    println!("{}", quantile(&ages, 0.5));
}
