//! Appends of messages of every size, kept from processes that die and from power loss, each beside the same bytes without Plasmite.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use plasmite_core::{Durability, Pool, Seq};
use serde::de::IgnoredAny;

use crate::documents::dense;
use crate::limits::{Shared, each};
use crate::rows::{Bench, Effort};

const NO_TAGS: &[&str] = &[];
const POOL_BYTES: u64 = 32 << 20;

/// The names of the rows of one size, in bytes.
struct Size {
    bytes: usize,
    limit: &'static str,
    fast: &'static str,
    synced: &'static str,
    flush: &'static str,
}

macro_rules! size {
    ($bytes:expr, $name:literal) => {
        Size {
            bytes: $bytes,
            limit: concat!("serde_json validates and memcpy, ", $name),
            fast: concat!("append ", $name),
            synced: concat!("serde_json validates, write and fdatasync, ", $name),
            flush: concat!("flush ", $name),
        }
    };
}

const SIZES: &[Size] = &[
    size!(100, "100 B"),
    size!(1 << 10, "1 KiB"),
    size!(16 << 10, "16 KiB"),
    size!(1 << 20, "1 MiB"),
];

pub(crate) fn rows(bench: &mut Bench) {
    let pool = Pool::create(&bench.dir.join("sizes.plasmite"), POOL_BYTES).unwrap();
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(bench.dir.join("sizes"))
        .unwrap();
    let shared = Shared::new(&file, POOL_BYTES as usize);
    for size in SIZES {
        let validated = fast(bench, size, &pool, &shared);
        flush(bench, size, &file, validated);
    }
    Pool::delete(pool.path()).unwrap();
}

/// A pool full of messages with this text, by a handle that flushes.
fn flushed(path: &Path, text: &str) -> Pool {
    let pool = Pool::create(path, POOL_BYTES).unwrap();
    let append = |durability| pool.append(text.as_bytes(), NO_TAGS, durability).unwrap();
    append(Durability::Flush);
    while pool.bounds().unwrap().oldest == Seq::FIRST {
        append(Durability::Fast);
    }
    pool
}

/// Returns the nanoseconds that validation takes.
fn fast(bench: &mut Bench, size: &Size, pool: &Pool, shared: &Shared) -> f64 {
    let text = dense(size.bytes);
    // About as many bytes of each size.
    let count = (bench.count * 256 / size.bytes as u64).clamp(8, bench.count);
    shared.copy_in(text.as_bytes(), POOL_BYTES / size.bytes as u64);
    let copied = shared.copy_in(text.as_bytes(), count);
    let start = Instant::now();
    for _ in 0..count {
        let text = std::str::from_utf8(black_box(text.as_bytes())).unwrap();
        black_box(serde_json::from_str::<IgnoredAny>(text).unwrap());
    }
    let validated = each(start, count);
    bench.note(size.limit, validated + copied, None, None);
    let append = |_| {
        pool.append(black_box(text.as_bytes()), NO_TAGS, Durability::Fast).unwrap();
    };
    (0..POOL_BYTES / size.bytes as u64).for_each(append);
    let start = Instant::now();
    (0..count).for_each(append);
    bench.note(size.fast, each(start, count), Some((size.limit, 1.5)), None);
    validated
}

fn flush(bench: &mut Bench, size: &Size, file: &File, validated: f64) {
    let count = if bench.effort == Effort::Quick { 10 } else { 50 };
    let text = dense(size.bytes);
    // What is written begins on a page, as what a disk takes does.
    let (page, places) = (4096.max(size.bytes as u64), POOL_BYTES / 4096.max(size.bytes as u64));
    file.sync_all().unwrap();
    let start = Instant::now();
    for n in 0..count {
        file.write_all_at(text.as_bytes(), n % places * page).unwrap();
        file.sync_data().unwrap();
    }
    bench.note(size.synced, each(start, count) + validated, None, None);
    let pool = flushed(&bench.dir.join("flushed.plasmite"), &text);
    pool.append(text.as_bytes(), NO_TAGS, Durability::Flush).unwrap();
    let start = Instant::now();
    for _ in 0..count {
        pool.append(text.as_bytes(), NO_TAGS, Durability::Flush).unwrap();
    }
    bench.note(size.flush, each(start, count), Some((size.synced, 1.2)), None);
    Pool::delete(pool.path()).unwrap();
}
