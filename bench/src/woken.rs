//! Rows of how long one or many readers, asleep or spinning, take to have a message, by turns with a bare word that as many processes
//! sleep on, or look at.

use std::io::Write;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use plasmite_core::{Durability, Message, Pool};

use crate::bell::Bell;
use crate::cpus::Cpus;
use crate::limits::monotonic_ns;
use crate::processes::{PAUSE, ready, spawn, wait_ready};
use crate::readers::tail_of_new;
use crate::rows::Bench;

const NO_TAGS: &[&str] = &[];

/// Who waits, and the names of the rows.
struct Waiting {
    processes: usize,
    spins: bool,
    readers: &'static str,
    bare: &'static str,
}

const ONE: Waiting = Waiting {
    processes: 1,
    spins: false,
    readers: "wake-up, 1 reader",
    bare: "bare futex, 1 process",
};
const MANY: Waiting = Waiting {
    processes: 8,
    spins: false,
    readers: "wake-up, 8 readers",
    bare: "bare futex, 8 processes",
};
const ONE_SPINNING: Waiting = Waiting {
    processes: 1,
    spins: true,
    readers: "spinning reader",
    bare: "bare word, 1 spinning process",
};
const MANY_SPINNING: Waiting = Waiting {
    processes: 8,
    spins: true,
    readers: "8 spinning readers",
    bare: "bare word, 8 spinning processes",
};

pub(crate) fn rows(bench: &mut Bench) {
    let cpus = Cpus::two();
    times(bench, &ONE, cpus);
    times(bench, &MANY, None);
    // Each takes a CPU, if there are so many.
    if cpus.is_some() {
        times(bench, &ONE_SPINNING, cpus);
    }
    times(bench, &MANY_SPINNING, None);
}

/// Notes a round: how long each message, and each change of the bare word, took to each of the processes.
fn times(bench: &mut Bench, waiting: &Waiting, cpus: Option<Cpus>) {
    let mut count = (bench.count / 200).max(200);
    if waiting.processes > 1 {
        count /= 4;
    }
    let path = bench.dir.join("readers.plasmite");
    let pool = Pool::create(&path, 1 << 20).unwrap();
    let bell = Bell::beside(&path);
    let role = if waiting.spins { "spin-times" } else { "wait-times" };
    let start =
        || (0..waiting.processes).map(|_| spawn(role, &path, count)).collect::<Vec<Child>>();
    let mut children = cpus.map_or_else(start, |cpus| cpus.place(start));
    for child in &mut children {
        wait_ready(child);
        child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
    let pause = PAUSE * waiting.processes as u32;
    for _ in 0..count {
        std::thread::sleep(pause);
        if waiting.spins {
            bell.show(monotonic_ns());
        } else {
            bell.ring(monotonic_ns());
        }
        std::thread::sleep(pause);
        let text = format!("{{\"t\":{}}}", monotonic_ns());
        pool.append(text.as_bytes(), NO_TAGS, Durability::Fast).unwrap();
    }
    let (mut bare, mut read) = (Vec::new(), Vec::new());
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let (of_word, of_message) = line.split_once(' ').unwrap();
            bare.push(of_word.parse().unwrap());
            read.push(of_message.parse().unwrap());
        }
    }
    cpus.inspect(Cpus::release);
    Pool::delete(&path).unwrap();
    for (part, which) in [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")] {
        let limit = format!("{}, {which}", waiting.bare);
        bench.note_seen(&limit, part, &bare, None, None);
        let name = format!("{}, {which}", waiting.readers);
        bench.note_seen(&name, part, &read, Some(&limit), None);
    }
}

/// The child that prints how long each change of the word, and each message, took to it: asleep, or looking for so long.
pub(crate) fn print_times(path: &Path, count: u64, spin: Duration) {
    let mut tail = tail_of_new(path, spin);
    let mut message = Message::default();
    let bell = Bell::beside(path);
    let first = bell.rung();
    ready();
    let mut times = Vec::new();
    for ring in first..first + count as u32 {
        if spin.is_zero() {
            bell.sleep(ring);
        } else {
            bell.watch(ring);
        }
        let of_word = monotonic_ns().saturating_sub(bell.time(ring));
        while !tail.try_next_into(&mut message).unwrap() {
            tail.wait(None).unwrap();
        }
        let now = monotonic_ns();
        let sent: String = message.data().chars().filter(char::is_ascii_digit).collect();
        times.push((of_word, now - sent.parse::<u64>().unwrap()));
    }
    times.iter().for_each(|(of_word, of_message)| println!("{of_word} {of_message}"));
}
