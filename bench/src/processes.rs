//! Rows that take several processes.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use plasmite_core::{Durability, Pool, Seq, TailOptions};

use crate::cpus::Cpus;
use crate::documents::dense;
use crate::limits::{Shared, futex_wait, futex_wake, monotonic_ns};
use crate::{ends, floor, mount, mount_speed, opens, readers, slow_disk, woken};

const NO_TAGS: &[&str] = &[];

/// What a child process does; with `role+N`, on a disk whose syncs take N microseconds longer.
pub(crate) fn child(role: &str, path: &str, count: &str) {
    let count: u64 = count.parse().unwrap();
    let (role, longer) = role.split_once('+').unwrap_or((role, "0"));
    if longer != "0" {
        slow_disk::takes_longer(Duration::from_micros(longer.parse().unwrap()));
    }
    match role {
        "append" => append(Path::new(path), 1, USUAL, count, Durability::Fast),
        "flush" => append(Path::new(path), 1, USUAL, count, Durability::Flush),
        "flush-threads" => append(Path::new(path), GROUP, USUAL, count, Durability::Flush),
        "flush-short" => append(Path::new(path), 1, SHORT, count, Durability::Flush),
        "flush-short-threads" => append(Path::new(path), GROUP, SHORT, count, Durability::Flush),
        "group" => commit_together(Path::new(path), USUAL, count),
        "group-short" => commit_together(Path::new(path), SHORT, count),
        "mount" => mount::serve(Path::new(path)),
        "floor" => floor::serve(Path::new(path)),
        "read-times" => mount_speed::read_times(Path::new(path), count),
        "tail" => readers::tail(Path::new(path), count),
        "wait-times" => woken::print_times(Path::new(path), count, Duration::ZERO),
        "spin-times" => woken::print_times(Path::new(path), count, SPIN),
        "wait" => readers::wait(Path::new(path), count),
        "sleep" => readers::sleep(Path::new(path), count),
        "park" => readers::park(count),
        "hold" => readers::hold(Path::new(path), count),
        "ends" => ends::read(Path::new(path), count),
        "open" => opens::open(Path::new(path)),
        "map" => opens::map(Path::new(path)),
        "wake-up" => be_woken(Path::new(path), count),
        "spin" => spin(Path::new(path), count),
        other => panic!("no role {other}"),
    }
}

pub(crate) fn spawn(role: &str, path: &Path, count: u64) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    start(command.args(["child", role]).arg(path).arg(count.to_string()))
}

/// Starts a child that says when it is ready and waits for the word to go on.
fn start(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Says that it is ready, and waits for the word to start.
pub(crate) fn ready() {
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

pub(crate) fn wait_ready(child: &mut Child) {
    // No more than this: what follows is for somebody else.
    let mut line = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"ready\n");
}

/// Appends `count` messages of so many bytes by so many threads together.
fn append(path: &Path, threads: u64, bytes: usize, count: u64, durability: Durability) {
    let pool = Pool::open(path).unwrap();
    let text = dense(bytes);
    // The first sync of a new file takes many times longer than all after it.
    pool.append(text.as_bytes(), NO_TAGS, durability).unwrap();
    ready();
    std::thread::scope(|scope| {
        // The last one is this thread.
        let some = || {
            for _ in 0..count / threads {
                pool.append(text.as_bytes(), NO_TAGS, durability).unwrap();
            }
        };
        for _ in 1..threads {
            scope.spawn(some);
        }
        some();
    });
    // What the end of a process takes is none of an append's time.
    println!("{}", monotonic_ns());
}

/// The bytes of a message.
const USUAL: usize = 1024;
/// The bytes of a short one.
const SHORT: usize = 100;

/// How many processes, or threads, commit together.
pub(crate) const GROUP: u64 = 16;
/// The bytes of the file in which they do.
const GROUP_BYTES: u64 = 1 << 20;

/// The file for the bare group commit: written and on the disk.
pub(crate) fn group_file(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    // A page at a time, as a pool's pages come into memory: the kernel syncs what was written in one piece as one.
    (0..GROUP_BYTES / 4096).for_each(|_| file.write_all(&[0; 4096]).unwrap());
    file.sync_all().unwrap();
}

/// A group commit without all else: each of [`GROUP`] processes copies so many bytes into a mapping, the last of them syncs for all and
/// wakes the others, which sleep.
fn commit_together(path: &Path, bytes: usize, count: u64) {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let shared = Shared::new(&file, GROUP_BYTES as usize);
    let text = dense(bytes);
    let places = (GROUP_BYTES - 4096) / text.len() as u64;
    let (begun, copied, synced) = (shared.word_at(64), shared.word_at(128), shared.word());
    ready();
    for _ in 0..count {
        let round = synced.load(Ordering::Acquire);
        let place = begun.fetch_add(1, Ordering::Relaxed) % places;
        shared.put(4096 + place * text.len() as u64, text.as_bytes());
        if (copied.fetch_add(1, Ordering::AcqRel) + 1).is_multiple_of(GROUP) {
            // The words are nothing to keep.
            shared.sync_from(4096);
            synced.store(round + 1, Ordering::Release);
            futex_wake(synced);
        } else {
            futex_wait(synced, round);
        }
    }
    println!("{}", monotonic_ns());
}

/// Nanoseconds for each of the `count` things that `writers` processes of this role do together.
pub(crate) fn writers(role: &str, path: &Path, writers: u64, count: u64) -> f64 {
    let mut children: Vec<_> = (0..writers).map(|_| spawn(role, path, count / writers)).collect();
    children.iter_mut().for_each(wait_ready);
    let start = monotonic_ns();
    for child in &mut children {
        child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
    let end = children.into_iter().map(|child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().trim().parse::<u64>().unwrap()
    });
    (end.max().unwrap() - start) as f64 / (count / writers * writers) as f64
}

/// Time between wake-ups, so that the other side is asleep.
pub(crate) const PAUSE: Duration = Duration::from_micros(300);

/// How long it takes to wake another process, in nanoseconds: one value a wake-up.
#[derive(Default)]
pub(crate) struct WakeUps {
    /// From a store and a futex wake to the return of the other's futex wait: what the machine allows.
    pub(crate) futex: Vec<f64>,
    /// From the beginning of an append to the return of the other's wait for it.
    pub(crate) awake: Vec<f64>,
    /// From the beginning of an append to the message in the other's hands.
    pub(crate) message: Vec<f64>,
}

/// What the two processes of [`wake_ups`] share beside the pool: a word to sleep on, and when the sleeper was awake.
struct Stage(Shared);

impl Stage {
    fn open(path: &Path) -> Self {
        let mut options = std::fs::File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(path).unwrap();
        Self(Shared::new(&file, 4096))
    }

    fn word(&self) -> &AtomicU32 {
        self.0.word()
    }

    fn stamp(&self, which: usize) -> &AtomicU64 {
        self.0.word_at(64 * (which + 1))
    }
}

/// Wakes a sleeping process `count` times by each way in turn, so that both meet the same weather.
pub(crate) fn wake_ups(dir: &Path, count: u64, cpus: Cpus) -> WakeUps {
    let stage = Stage::open(&dir.join("wake"));
    stage.word().store(0, Ordering::Release);
    let pool = Pool::create(&dir.join("wake.plasmite"), 1 << 20).unwrap();
    let mut child = cpus.place(|| spawn("wake-up", dir, count));
    wait_ready(&mut child);
    child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    let mut found = WakeUps::default();
    for n in 0..count {
        std::thread::sleep(PAUSE);
        let start = monotonic_ns();
        stage.word().store(2 * n as u32 + 1, Ordering::Release);
        futex_wake(stage.word());
        futex_wait(stage.word(), 2 * n as u32 + 1);
        found.futex.push((stage.stamp(0).load(Ordering::Acquire) - start) as f64);

        std::thread::sleep(PAUSE);
        let start = monotonic_ns();
        pool.append(b"{\"ping\":1}", NO_TAGS, Durability::Fast).unwrap();
        pool.wait(Seq::new(2 * n + 1), None).unwrap();
        assert_eq!(pool.get(Seq::new(2 * n + 2)).unwrap().data(), "{\"pong\":1}");
        found.awake.push((stage.stamp(1).load(Ordering::Acquire) - start) as f64);
        found.message.push((stage.stamp(2).load(Ordering::Acquire) - start) as f64);
    }
    child.wait().unwrap();
    cpus.release();
    Pool::delete(&dir.join("wake.plasmite")).unwrap();
    found
}

fn be_woken(dir: &Path, count: u64) {
    let stage = Stage::open(&dir.join("wake"));
    let pool = Pool::open(&dir.join("wake.plasmite")).unwrap();
    let mut tail = pool.tail(TailOptions::default()).unwrap();
    ready();
    for n in 0..count as u32 {
        futex_wait(stage.word(), 2 * n);
        stage.stamp(0).store(monotonic_ns(), Ordering::Release);
        stage.word().store(2 * n + 2, Ordering::Release);
        futex_wake(stage.word());

        tail.wait(None).unwrap();
        stage.stamp(1).store(monotonic_ns(), Ordering::Release);
        assert_eq!(tail.next(None).unwrap().unwrap().data(), "{\"ping\":1}");
        stage.stamp(2).store(monotonic_ns(), Ordering::Release);
        pool.append(b"{\"pong\":1}", NO_TAGS, Durability::Fast).unwrap();
        tail.next(None).unwrap();
    }
}

/// Nanoseconds from a store and a futex wake to the moment when another program, which waits on the word at the beginning of
/// the file `wake` in `dir`, is awake: it prints the median.
pub(crate) fn wake_floor(dir: &Path, waiting: &mut Command, count: u64, cpus: Cpus) -> f64 {
    let stage = Stage::open(&dir.join("wake"));
    stage.word().store(0, Ordering::Release);
    wake_in_turn(waiting, count, cpus, |n| {
        stage.stamp(0).store(monotonic_ns(), Ordering::Release);
        stage.word().store(n + 1, Ordering::Release);
        futex_wake(stage.word());
    })
}

/// Longer than any pause between two messages.
pub(crate) const SPIN: Duration = Duration::from_secs(10);

/// How long it takes until another process, which looks all the time, has seen something: nanoseconds, one value each.
#[derive(Default)]
pub(crate) struct Seen {
    /// A bare word: what the machine allows.
    pub(crate) word: Vec<f64>,
    /// From the beginning of an append to the message in the other's hands.
    pub(crate) message: Vec<f64>,
    /// The same of a writer that does not sleep either: its code and data have not gone cold.
    pub(crate) busy: Vec<f64>,
}

/// Shows `count` things of each sort, in turn, to a process that spins.
pub(crate) fn spins(dir: &Path, count: u64, cpus: Cpus) -> Seen {
    let stage = Stage::open(&dir.join("spin"));
    stage.word().store(0, Ordering::Release);
    let pool = Pool::create(&dir.join("spin.plasmite"), 1 << 20).unwrap();
    let mut child = cpus.place(|| spawn("spin", dir, count));
    wait_ready(&mut child);
    child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    let mut seen = Seen::default();
    let since =
        |start, stamp| stage.stamp(stamp).load(Ordering::Acquire).saturating_sub(start) as f64;
    let append = || {
        let start = monotonic_ns();
        pool.append(b"{\"ping\":1}", NO_TAGS, Durability::Fast).unwrap();
        start
    };
    // The other says that it has the message without touching the pool, as readers do.
    let answered = |start, word| {
        spin_while(stage.word(), word);
        since(start, 1)
    };
    for n in 0..count as u32 {
        std::thread::sleep(PAUSE);
        let start = monotonic_ns();
        stage.word().store(4 * n + 1, Ordering::Release);
        spin_while(stage.word(), 4 * n + 1);
        seen.word.push(since(start, 0));

        std::thread::sleep(PAUSE);
        seen.message.push(answered(append(), 4 * n + 2));
        let pause = Instant::now();
        while pause.elapsed() < PAUSE {
            std::hint::spin_loop();
        }
        seen.busy.push(answered(append(), 4 * n + 3));
    }
    child.wait().unwrap();
    cpus.release();
    Pool::delete(&dir.join("spin.plasmite")).unwrap();
    seen
}

pub(crate) fn spin_while(word: &AtomicU32, value: u32) {
    while word.load(Ordering::Acquire) == value {
        std::hint::spin_loop();
    }
}

fn spin(dir: &Path, count: u64) {
    let stage = Stage::open(&dir.join("spin"));
    let pool = Pool::open(&dir.join("spin.plasmite")).unwrap();
    let mut tail = pool.tail(TailOptions { spin: SPIN, ..Default::default() }).unwrap();
    ready();
    for n in 0..count as u32 {
        spin_while(stage.word(), 4 * n);
        stage.stamp(0).store(monotonic_ns(), Ordering::Release);
        stage.word().store(4 * n + 2, Ordering::Release);

        for answer in [3, 4] {
            assert_eq!(tail.next(None).unwrap().unwrap().data(), "{\"ping\":1}");
            stage.stamp(1).store(monotonic_ns(), Ordering::Release);
            stage.word().store(4 * n + answer, Ordering::Release);
        }
    }
}

/// Nanoseconds from the beginning of an append to the message in the hands of another program, which waits for messages
/// that hold the time of their sending, and prints the median.
pub(crate) fn wake_program(path: &Path, waiting: &mut Command, count: u64, cpus: Cpus) -> f64 {
    let pool = Pool::create(path, 1 << 20).unwrap();
    let median = wake_in_turn(waiting, count, cpus, |_| {
        let text = format!("{{\"t\":{}}}", monotonic_ns());
        pool.append(text.as_bytes(), NO_TAGS, Durability::Fast).unwrap();
    });
    Pool::delete(path).unwrap();
    median
}

fn wake_in_turn(waiting: &mut Command, count: u64, cpus: Cpus, wake: impl Fn(u32)) -> f64 {
    let mut child = cpus.place(|| start(waiting));
    wait_ready(&mut child);
    child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    for n in 0..count as u32 {
        std::thread::sleep(PAUSE);
        wake(n);
    }
    let output = child.wait_with_output().unwrap();
    cpus.release();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}
