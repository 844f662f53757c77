//! Rows of readers: what goes from one process to another, and what many cost a writer.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use plasmite_core::{Durability, Message, Pool, Tail, TailOptions};

use crate::bell::Bell;
use crate::documents::dense;
use crate::limits::each;
use crate::processes::{ready, spawn, wait_ready};
use crate::rows::{Bench, Effort};
use crate::woken;

const NO_TAGS: &[&str] = &[];
/// Rounds of the readers that wait for something else.
const ROUNDS: u32 = 9;
/// How often so many threads are woken.
const WAKES: u32 = 40;
/// Until the last of many threads sleeps.
const UNTIL_ASLEEP: Duration = Duration::from_millis(100);
/// Who has waited so long looks around less often.
const UNTIL_IDLE: Duration = Duration::from_millis(300);

pub(crate) fn rows(bench: &mut Bench) {
    across(bench);
    woken::rows(bench);
}

/// What one process appends as fast as it can, another reads meanwhile; then it is read once more by who did not write it.
fn across(bench: &mut Bench) {
    let count = bench.count / 4;
    let path = bench.dir.join("across.plasmite");
    // Room for all, and once around before: the pages are there.
    let pool = Pool::create(&path, count * 1200 + (1 << 20)).unwrap();
    let text = dense(1024);
    let append = |_| {
        pool.append(text.as_bytes(), NO_TAGS, Durability::Fast).unwrap();
    };
    (0..count).for_each(append);
    let ns = beside_another(&bench.dir, || (0..count).for_each(append)) / count as f64;
    let alone = "append 1 KiB by 1 processes";
    bench.note_beside("append 1 KiB while the other CPU is busy", ns, alone, None);
    let mut reader = spawn("tail", &path, count);
    wait_ready(&mut reader);
    reader.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    let start = Instant::now();
    (0..count).for_each(append);
    let mut rest = String::new();
    reader.stdout.as_mut().unwrap().read_to_string(&mut rest).unwrap();
    let ns = each(start, count);
    assert!(reader.wait().unwrap().success());
    let limit = Some((alone, 1.5));
    bench.note("append → tail of another process, 1 KiB", ns, limit, None);

    let mut writer = spawn("append", &path, count);
    wait_ready(&mut writer);
    writer.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    assert!(writer.wait().unwrap().success());
    let mut tail = pool.tail(TailOptions::default()).unwrap();
    let (mut message, mut read) = (Message::default(), 0);
    let start = Instant::now();
    while tail.try_next_into(&mut message).unwrap() {
        std::hint::black_box(message.data());
        read += 1;
    }
    let copy = "memcpy 1 KiB out of a shared mapping";
    bench.note_beside("tail 1 KiB of another process", each(start, read), copy, Some(200.0));
    drop((tail, pool));
    Pool::delete(&path).unwrap();
}

/// Nanoseconds that something takes while another process appends to a pool of its own: two CPUs may be one core's, or share
/// what lies between them and memory.
fn beside_another(dir: &Path, work: impl FnOnce()) -> f64 {
    let path = dir.join("beside.plasmite");
    Pool::create(&path, 1 << 20).unwrap();
    let mut other = spawn("append", &path, u64::MAX);
    wait_ready(&mut other);
    other.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    let start = Instant::now();
    work();
    let ns = start.elapsed().as_nanos() as f64;
    other.kill().unwrap();
    other.wait().unwrap();
    Pool::delete(&path).unwrap();
    ns
}

/// Reads all that is there, as JSON; tells how many messages that were.
pub(crate) fn read_as_json(pool: &Pool) -> u64 {
    let (mut tail, mut read) = (pool.tail(TailOptions::default()).unwrap(), 0);
    while let Some(message) = tail.try_next().unwrap() {
        std::hint::black_box(message.to_json());
        read += 1;
    }
    read
}

/// A tail of what comes from now on.
pub(crate) fn tail_of_new(path: &Path, spin: Duration) -> Tail {
    let pool = Pool::open(path).unwrap();
    let since = Some(pool.bounds().unwrap().newest.next());
    pool.tail(TailOptions { since, spin, ..TailOptions::default() }).unwrap()
}

/// The child that reads what comes.
pub(crate) fn tail(path: &Path, count: u64) {
    let mut tail = tail_of_new(path, Duration::ZERO);
    let mut message = Message::default();
    ready();
    let mut read = 0;
    while read < count {
        tail.wait(None).unwrap();
        while tail.try_next_into(&mut message).unwrap() {
            read += 1;
        }
    }
    assert_eq!(tail.dropped(), 0);
}

/// What an append costs its writer while so many threads of another process have tails: of another pool, in which they wait; of the
/// same, in which they don't; of the same, in which they have died asleep; and of the same, in which they wait, so that it wakes all.
pub(crate) fn idle(bench: &mut Bench) {
    let numbers: &[u64] =
        if bench.effort == Effort::Quick { &[1, 100] } else { &[1, 10, 100, 1000] };
    let (path, other) = (bench.dir.join("idle.plasmite"), bench.dir.join("idle-other.plasmite"));
    let pool = Pool::create(&path, 1 << 20).unwrap();
    drop(Pool::create(&other, 1 << 20).unwrap());
    let count = bench.count * 8;
    let burst = || {
        let start = Instant::now();
        for _ in 0..count {
            pool.append(b"{\"a\":1}", NO_TAGS, Durability::Fast).unwrap();
        }
        each(start, count)
    };
    burst();
    // That there is a process of so many threads shows, whatever they wait for; so does what was there just before: each comes first
    // in turn.
    let of = |threads: u64| ["park", "wait", "hold", "die"].map(|sort| (sort, threads));
    let mut turns: Vec<_> = numbers.iter().copied().flat_map(of).collect();
    turns.push(("park", 0));
    for _ in 0..ROUNDS {
        for &(sort, threads) in &turns {
            let role = if sort == "die" { "wait" } else { sort };
            let its_pool = if matches!(sort, "hold" | "die") { &path } else { &other };
            let mut waiting = Some(Waiting::start(role, its_pool, threads));
            std::thread::sleep(UNTIL_IDLE);
            if sort == "die" {
                waiting = None;
            }
            let name = |what: &str| format!("append 7 bytes, {threads} {what}");
            let (name, beside) = match sort {
                "park" => (name("threads parked"), None),
                "wait" => (name("idle readers of another pool"), Some(threads)),
                "hold" => (name("readers of the pool that do not wait"), Some(threads)),
                _ => (name("readers of the pool killed asleep"), Some(0)),
            };
            let parked = beside.map(|threads| format!("append 7 bytes, {threads} threads parked"));
            let limit = parked.as_deref().map(|parked| (parked, 1.1));
            bench.note(&name, burst(), limit, None);
            drop(waiting);
        }
        turns.rotate_left(1);
    }
    for &readers in numbers {
        wakes(bench, &pool, readers);
    }
    drop(pool);
    Pool::delete(&path).unwrap();
    Pool::delete(&other).unwrap();
}

/// What waking so many threads takes whoever does it: by an append those that wait in tails, by turns with a bare word on which as
/// many sleep.
fn wakes(bench: &mut Bench, pool: &Pool, threads: u64) {
    let bare = format!("bare futex that wakes {threads} threads");
    let ours = format!("append 7 bytes that wakes {threads} readers");
    let bell = Bell::beside(pool.path());
    let _waiting = ["wait", "sleep"].map(|role| Waiting::start(role, pool.path(), threads));
    // Until all sleep again.
    let pause = Duration::from_millis(2) + Duration::from_micros(40) * threads as u32;
    for _ in 0..WAKES {
        std::thread::sleep(pause);
        let start = Instant::now();
        bell.ring(0);
        bench.note(&bare, each(start, 1), None, None);
        std::thread::sleep(pause);
        let start = Instant::now();
        pool.append(b"{\"a\":1}", NO_TAGS, Durability::Fast).unwrap();
        bench.note_beside(&ours, each(start, 1), &bare, None);
    }
}

/// A process whose threads wait, in tails or for ever, until it is dropped.
struct Waiting(Child);

impl Waiting {
    fn start(role: &str, path: &Path, threads: u64) -> Self {
        let mut child = spawn(role, path, threads);
        wait_ready(&mut child);
        Self(child)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The child with so many threads that nobody wakes, nor they themselves.
pub(crate) fn park(threads: u64) {
    for _ in 0..threads {
        std::thread::spawn(|| {
            loop {
                std::thread::park();
            }
        });
    }
    ready();
}

/// The child with so many threads that sleep on a bare word.
pub(crate) fn sleep(path: &Path, threads: u64) {
    for _ in 0..threads {
        let path = path.to_owned();
        std::thread::spawn(move || {
            let bell = Bell::beside(&path);
            loop {
                bell.sleep(bell.rung());
            }
        });
    }
    std::thread::sleep(UNTIL_ASLEEP);
    ready();
}

/// The child with so many threads that have a tail and do something else.
pub(crate) fn hold(path: &Path, threads: u64) {
    let (open, all_open) = std::sync::mpsc::channel();
    for _ in 0..threads {
        let (path, open) = (path.to_owned(), open.clone());
        std::thread::spawn(move || {
            let _tail = tail_of_new(&path, Duration::ZERO);
            open.send(()).unwrap();
            loop {
                std::thread::park();
            }
        });
    }
    (0..threads).for_each(|_| all_open.recv().unwrap());
    ready();
}

/// The child with so many threads that wait in tails.
pub(crate) fn wait(path: &Path, readers: u64) {
    let (asleep, all_asleep) = std::sync::mpsc::channel();
    for _ in 0..readers {
        let (path, asleep) = (path.to_owned(), asleep.clone());
        std::thread::spawn(move || {
            let mut tail = tail_of_new(&path, Duration::ZERO);
            let mut message = Message::default();
            asleep.send(()).unwrap();
            loop {
                tail.wait(None).unwrap();
                while tail.try_next_into(&mut message).unwrap() {}
            }
        });
    }
    (0..readers).for_each(|_| all_asleep.recv().unwrap());
    std::thread::sleep(UNTIL_ASLEEP);
    println!("ready");
    BufReader::new(std::io::stdin()).lines().for_each(drop);
}
