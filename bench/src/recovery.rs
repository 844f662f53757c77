//! Rows of opening a pool after a power loss, which reads the whole ring and syncs twice, what it has put right and that it did. Beside
//! it are as many syncs, after a checksum of the file, whose pages are in memory as far as they have room, or after reading it from
//! the disk, where nothing else has it.

use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use plasmite_core::Pool;
use rustix::fs::{Advice, fadvise};

use crate::limits::{Shared, each};
use crate::rows::Bench;

/// Where the file says which boot of the machine it was last used in (core/FORMAT.md).
const BOOT_ID_AT: u64 = 832;
/// Rounds read about so many bytes, but there are no more than so many of them.
const BYTES: u64 = 3 << 30;
const MOST_ROUNDS: u64 = 9;

pub(crate) fn rows(bench: &mut Bench, what: &str, path: &Path) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let len = file.metadata().unwrap().len();
    let rounds = (BYTES / len).clamp(1, MOST_ROUNDS);
    let checksum = format!("map and checksum a file of {what}, write and fdatasync twice");
    // What was appended before is no part of it.
    file.sync_data().unwrap();
    for _ in 0..rounds {
        let start = Instant::now();
        black_box(Shared::of(&file, len as usize).checksum());
        write_and_sync(&file);
        bench.note(&checksum, each(start, 1), None, None);
        lose_power(&file);
        let name = format!("recover a pool of {what}, full of 1 KiB");
        bench.note_beside(&name, recovered(path), &checksum, None);
    }
    let read = format!("read a file of {what} that is not in memory, write and fdatasync twice");
    let mut block = vec![0; 1 << 20];
    for _ in 0..rounds {
        lose_power(&file);
        forget(&file);
        let (mut from_disk, start) = (File::open(path).unwrap(), Instant::now());
        while from_disk.read(&mut block).unwrap() > 0 {}
        write_and_sync(&file);
        bench.note(&read, each(start, 1), None, None);
        forget(&file);
        let name = format!("recover a pool of {what}, full of 1 KiB, that is not in memory");
        bench.note_beside(&name, recovered(path), &read, None);
    }
}

/// Twice, without harm: it is said that the power was lost.
fn write_and_sync(file: &File) {
    for _ in 0..2 {
        lose_power(file);
        file.sync_data().unwrap();
    }
}

/// As if the machine had been started again since.
fn lose_power(file: &File) {
    file.write_all_at(&[0xaa; 16], BOOT_ID_AT).unwrap();
}

/// Has the kernel keep no page of the file. What is not yet on the disk it would keep.
fn forget(file: &File) {
    file.sync_data().unwrap();
    fadvise(file, 0, None, Advice::DontNeed).unwrap();
}

/// Nanoseconds that an open takes.
fn recovered(path: &Path) -> f64 {
    let start = Instant::now();
    let pool = Pool::open(path).unwrap();
    let ns = each(start, 1);
    assert!(pool.bounds().unwrap().count() > 0);
    ns
}
