//! Rows of the first time around a new pool, whose pages the kernel makes and whose file system notes that each was written: beside a
//! new file.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use plasmite_core::json::Document;
use plasmite_core::{Durability, Entry, Pool, Seq};
use rustix::fs::{FallocateFlags, fallocate};

use crate::documents::dense;
use crate::limits::{Shared, each};
use crate::report::Unit;
use crate::rows::{Bench, Effort};

const NO_TAGS: &[&str] = &[];
/// The first turn of a smaller pool is over too soon.
const SMALLEST: u64 = 64 << 20;
/// The largest file that is made only to be compared with, which the pools that are larger have beside them too.
const LARGEST: (&str, u64) = ("1 GiB", 1 << 30);
/// So often pools of up to that size go around.
const ROUNDS: u64 = 3;
/// The parts of a turn that flushes, by turns with the new file, which gets so much less.
const PARTS: u64 = 8;

/// How many new pools of this size go around.
pub(crate) fn rounds(size_bytes: u64) -> u64 {
    if (SMALLEST..=LARGEST.1).contains(&size_bytes) { ROUNDS } else { 1 }
}

/// Goes around the ring once.
pub(crate) fn fill(bench: &mut Bench, size: (&str, u64), pool: &Pool, text: &str) {
    let document = Document::parse(text.as_bytes()).unwrap();
    let batch = [Entry { document: &document, tags: NO_TAGS }; 32];
    let (start, mut count) = (Instant::now(), 0);
    while pool.bounds().unwrap().oldest.get() <= 1 {
        pool.append_batch(&batch, Durability::Fast).unwrap();
        count += batch.len() as u64;
    }
    let ns = each(start, count);
    if size.1 < SMALLEST {
        return;
    }
    let like = if size.1 > LARGEST.1 { LARGEST } else { size };
    let bare = format!("memcpy 1 KiB into a mapping, the first time around {}", like.0);
    if like == size {
        let (file, len) = (new_file(&bench.dir, size.1), size.1 as usize);
        let places = size.1 / text.len() as u64;
        bench.note(&bare, Shared::new(&file, len).copy_in(text.as_bytes(), places), None, None);
    }
    let name =
        format!("append_batch 1 KiB, checked before, 32 at once, the first time around {}", size.0);
    bench.note_beside(&name, ns, &bare, None);
}

/// A file of which every byte is reserved, as those of pools are, where the file system can do that. It has no name.
pub(crate) fn new_file(dir: &Path, len: u64) -> File {
    let path = dir.join("new");
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    let _not_everywhere = fallocate(&file, FallocateFlags::empty(), 0, len);
    std::fs::remove_file(path).unwrap();
    file
}

/// Nanoseconds to write this text to each of these places, one after the other, with a sync behind each.
pub(crate) fn write_and_sync(file: &File, text: &str, places: std::ops::Range<u64>) -> f64 {
    let (start, count) = (Instant::now(), places.end - places.start);
    for place in places {
        file.write_all_at(text.as_bytes(), place * text.len() as u64).unwrap();
        file.sync_data().unwrap();
    }
    each(start, count)
}

/// Flushes nearly once around a new ring: what each takes, and how much of the page cache it makes dirty, all of which its sync writes.
pub(crate) fn rows(bench: &mut Bench) {
    let path = bench.dir.join("turn.plasmite");
    let pool_bytes = if bench.effort == Effort::Quick { 4 << 20 } else { 64 << 20 };
    for (name, bytes) in [("1 KiB", 1 << 10), ("16 KiB", 16 << 10)] {
        let pool = Pool::create(&path, pool_bytes).unwrap();
        let file = new_file(&bench.dir, pool_bytes);
        let text = dense(bytes);
        let (bare, ours) = (
            format!("write {name} and fdatasync the first time around"),
            format!("flush {name} the first time around"),
        );
        // Room for what comes on top of messages.
        let count = pool_bytes / bytes as u64 * 7 / 8 / PARTS;
        for part in 0..PARTS {
            let few = (count / PARTS).max(1);
            let of_file =
                dirtied_by(few, || write_and_sync(&file, &text, part * few..(part + 1) * few));
            let of_pool = dirtied_by(count, || {
                let start = Instant::now();
                for _ in 0..count {
                    pool.append(text.as_bytes(), NO_TAGS, Durability::Flush).unwrap();
                }
                each(start, count)
            });
            bench.note(&bare, of_file.0, None, None);
            bench.note_beside(&ours, of_pool.0, &bare, None);
            let [bare, ours] = [&bare, &ours].map(|name| format!("{name}, made dirty"));
            bench.note_size(&bare, of_file.1, Unit::Bytes, None);
            bench.note_size_beside(&ours, of_pool.1, Unit::Bytes, &bare, None);
        }
        assert!(pool.bounds().unwrap().oldest <= Seq::FIRST);
        Pool::delete(&path).unwrap();
    }
}

/// The nanoseconds that it says, and the bytes that each of so many has made dirty.
fn dirtied_by(count: u64, work: impl FnOnce() -> f64) -> (f64, f64) {
    let before = dirtied_bytes();
    let ns = work();
    (ns, (dirtied_bytes() - before) as f64 / count as f64)
}

/// What this process has made dirty, by proc(5).
fn dirtied_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.unwrap().parse().unwrap()
}
