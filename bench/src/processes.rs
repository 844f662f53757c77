//! Rows that take several processes.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use plasmite_core::{Durability, Pool, Seq, TailOptions};

use crate::limits::{Shared, futex_wait, futex_wake};
use crate::{mount, rows};

const NO_TAGS: &[&str] = &[];

/// What a child process does.
pub(crate) fn child(role: &str, path: &str, count: &str) {
    let count: u64 = count.parse().unwrap();
    match role {
        "append" => append(Path::new(path), count, Durability::Fast),
        "flush" => append(Path::new(path), count, Durability::Flush),
        "answer-futex" => answer_futex(Path::new(path), count),
        "mount" => mount::serve(Path::new(path)),
        "answer-tail" => answer_tail(Path::new(path), count),
        other => panic!("no role {other}"),
    }
}

fn spawn(role: &str, path: &Path, count: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["child", role])
        .arg(path)
        .arg(count.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Says that it is ready, and waits for the word to start.
fn ready() {
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

fn wait_ready(child: &mut Child) {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
}

fn append(path: &Path, count: u64, durability: Durability) {
    let pool = Pool::open(path).unwrap();
    let text = rows::dense(1024);
    pool.append(text.as_bytes(), NO_TAGS, Durability::Fast).unwrap();
    ready();
    for _ in 0..count {
        pool.append(text.as_bytes(), NO_TAGS, durability).unwrap();
    }
}

/// Nanoseconds for each append of `writers` processes that together make `count`.
pub(crate) fn writers(path: &Path, writers: u64, count: u64, flush: bool) -> f64 {
    let role = if flush { "flush" } else { "append" };
    let mut children: Vec<_> = (0..writers).map(|_| spawn(role, path, count / writers)).collect();
    children.iter_mut().for_each(wait_ready);
    let start = Instant::now();
    for child in &mut children {
        child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    start.elapsed().as_nanos() as f64 / (count / writers * writers) as f64
}

/// Time between wake-ups, so that the other side is asleep.
const PAUSE: Duration = Duration::from_micros(300);

/// Nanoseconds there and back between two processes, each asleep on a futex in shared memory: median over `count` trips.
pub(crate) fn futex_round_trip(path: &Path, count: u64) -> f64 {
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .unwrap();
    let shared = Shared::new(&file, 4096);
    shared.word().store(0, Ordering::Release);
    let mut child = spawn("answer-futex", path, count);
    wait_ready(&mut child);
    child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    let mut trips = Vec::new();
    for n in 0..count as u32 {
        std::thread::sleep(PAUSE);
        let start = Instant::now();
        shared.word().store(2 * n + 1, Ordering::Release);
        futex_wake(shared.word());
        futex_wait(shared.word(), 2 * n + 1);
        trips.push(start.elapsed().as_nanos() as f64);
    }
    child.wait().unwrap();
    median(trips)
}

fn answer_futex(path: &Path, count: u64) {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let shared = Shared::new(&file, 4096);
    ready();
    for n in 0..count as u32 {
        futex_wait(shared.word(), 2 * n);
        shared.word().store(2 * n + 2, Ordering::Release);
        futex_wake(shared.word());
    }
}

/// The same with two tails on one pool: each message is answered by another one.
pub(crate) fn tail_round_trip(path: &Path, count: u64) -> f64 {
    let pool = Pool::create(path, 1 << 20).unwrap();
    let mut child = spawn("answer-tail", path, count);
    wait_ready(&mut child);
    child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    let mut trips = Vec::new();
    for n in 0..count {
        std::thread::sleep(PAUSE);
        let start = Instant::now();
        pool.append(b"{\"ping\":1}", NO_TAGS, Durability::Fast).unwrap();
        pool.wait(Seq::new(2 * n + 1), None).unwrap();
        assert_eq!(pool.get(Seq::new(2 * n + 2)).unwrap().data(), "{\"pong\":1}");
        trips.push(start.elapsed().as_nanos() as f64);
    }
    child.wait().unwrap();
    std::fs::remove_file(path).unwrap();
    median(trips)
}

fn answer_tail(path: &Path, count: u64) {
    let pool = Pool::open(path).unwrap();
    let mut tail = pool.tail(TailOptions::default()).unwrap();
    ready();
    for _ in 0..count {
        let ping = tail.next(None).unwrap().unwrap();
        assert_eq!(ping.data(), "{\"ping\":1}");
        pool.append(b"{\"pong\":1}", NO_TAGS, Durability::Fast).unwrap();
        tail.next(None).unwrap();
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
