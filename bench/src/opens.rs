//! Rows of what opening a pool takes, and of the memory of a process that has done so: beside the system calls and the pages that
//! any mapped file takes.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use plasmite_core::{Durability, Pool};

use crate::limits::Shared;
use crate::processes::{ready, spawn, wait_ready};
use crate::report::Unit;
use crate::rows::Bench;

/// Opens, by turns.
const OPENS: u32 = 40;
/// Processes of which the memory is measured, by turns.
const PROCESSES: u32 = 5;

pub(crate) fn rows(bench: &mut Bench, what: &str, path: &Path) {
    let bare = [
        format!("open, fstat, mmap a file of {what}, touch a page"),
        format!("open, fstat, mmap a file of {what}, touch a page, munmap, close"),
    ];
    let ours = [format!("open a pool of {what}"), format!("open and close a pool of {what}")];
    for _ in 0..OPENS {
        for (name, ns) in bare.iter().zip(opened_and_closed(|| mapped(path))) {
            bench.note(name, ns, None, None);
        }
        let ns = opened_and_closed(|| Pool::open(path).unwrap());
        for ((name, beside), ns) in ours.iter().zip(&bare).zip(ns) {
            bench.note_beside(name, ns, beside, None);
        }
    }
}

/// Nanoseconds until something is open, and until it is closed again.
fn opened_and_closed<T>(open: impl FnOnce() -> T) -> [f64; 2] {
    let start = Instant::now();
    let open = open();
    let opened = start.elapsed();
    drop(open);
    [opened, start.elapsed()].map(|time| time.as_nanos() as f64)
}

/// What any open of a mapped file takes.
fn mapped(path: &Path) -> (File, Shared) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let len = file.metadata().unwrap().len();
    let shared = Shared::of(&file, len as usize);
    black_box(shared.word().load(Ordering::Relaxed));
    (file, shared)
}

pub(crate) fn memory(bench: &mut Bench, what: &str, path: &Path) {
    let bare = format!("memory of a process for a mapped file of {what}");
    let ours = format!("memory of a process for a pool of {what}");
    for _ in 0..PROCESSES {
        bench.note_size(&bare, grown("map", path), Unit::KiB, None);
        bench.note_size_beside(&ours, grown("open", path), Unit::KiB, &bare, None);
    }
}

/// The KiB that a child of this role says it has taken.
fn grown(role: &str, path: &Path) -> f64 {
    let mut child = spawn(role, path, 0);
    wait_ready(&mut child);
    let mut kib = String::new();
    child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    child.stdout.as_mut().unwrap().read_to_string(&mut kib).unwrap();
    assert!(child.wait().unwrap().success());
    kib.trim().parse().unwrap()
}

/// The child that opens the pool, uses it, and prints the KiB that it takes for that.
pub(crate) fn open(path: &Path) {
    print_grown(|| {
        let pool = Pool::open(path).unwrap();
        pool.append(b"{\"a\":1}", &[] as &[&str], Durability::Fast).unwrap();
        pool.get(pool.bounds().unwrap().newest).unwrap();
        pool
    });
}

/// The child that maps the file, reads a word, and prints the KiB that it takes for that.
pub(crate) fn map(path: &Path) {
    print_grown(|| mapped(path));
}

/// Prints by how many KiB this process has grown when something is open.
fn print_grown<T>(open: impl FnOnce() -> T) {
    ready();
    let before = resident();
    let open = open();
    println!("{}", resident() - before);
    drop(open);
}

/// KiB of this process in memory.
fn resident() -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
