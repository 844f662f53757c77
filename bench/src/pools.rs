//! Rows of pools of every size: what an append takes, opening, and opening after a power loss, and the memory of a process.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use plasmite_core::json::Document;
use plasmite_core::{Durability, Entry, Pool};

use crate::documents::dense;
use crate::limits::each;
use crate::rows::{Bench, Effort};
use crate::{opens, recovery};

const NO_TAGS: &[&str] = &[];
/// Rounds of the appends to one pool, by turns with the smallest.
const ROUNDS: u32 = 5;
const SMALLEST: &str = "append 1 KiB, full pool of 64 KiB";

const SIZES: &[(&str, u64)] = &[
    ("64 KiB", 64 << 10),
    ("1 MiB", 1 << 20),
    ("64 MiB", 64 << 20),
    ("1 GiB", 1 << 30),
    ("16 GiB", 16 << 30),
];

pub(crate) fn rows(bench: &mut Bench) {
    let text = dense(1024);
    let smallest_path = bench.dir.join("smallest.plasmite");
    let smallest = Pool::create(&smallest_path, SIZES[0].1).unwrap();
    fill(bench, SIZES[0].0, &smallest, &text);
    let most = if bench.effort == Effort::Quick { 64 << 20 } else { u64::MAX };
    for (what, size_bytes) in SIZES.iter().filter(|(_, size_bytes)| *size_bytes <= most) {
        let path = bench.dir.join("sized.plasmite");
        match Pool::create(&path, *size_bytes) {
            Ok(pool) => full(bench, what, &path, pool, &smallest, &text),
            // A disk may be too small for the largest.
            Err(why) => eprintln!("no pool of {what}: {why}"),
        }
        let _ = Pool::delete(&path);
    }
    drop(smallest);
    Pool::delete(&smallest_path).unwrap();
}

fn full(bench: &mut Bench, what: &str, path: &Path, pool: Pool, smallest: &Pool, text: &str) {
    fill(bench, what, &pool, text);
    let count = bench.count;
    let burst = |pool: &Pool| {
        let start = Instant::now();
        for _ in 0..count {
            pool.append(black_box(text.as_bytes()), NO_TAGS, Durability::Fast).unwrap();
        }
        each(start, count)
    };
    let name = format!("append 1 KiB, full pool of {what}");
    for _ in 0..ROUNDS {
        bench.note(SMALLEST, burst(smallest), None, None);
        if name != SMALLEST {
            bench.note(&name, burst(&pool), Some((SMALLEST, 1.5)), None);
        }
    }
    drop(pool);

    opens::rows(bench, what, path);
    opens::memory(bench, what, path);
    recovery::rows(bench, what, path);
}

/// Goes around the ring once.
fn fill(bench: &mut Bench, what: &str, pool: &Pool, text: &str) {
    let document = Document::parse(text.as_bytes()).unwrap();
    let batch = [Entry { document: &document, tags: NO_TAGS }; 32];
    let (start, mut count) = (Instant::now(), 0);
    while pool.bounds().unwrap().oldest.get() <= 1 {
        pool.append_batch(&batch, Durability::Fast).unwrap();
        count += batch.len() as u64;
    }
    if count > 10_000 {
        bench.note(
            &format!(
                "append_batch 1 KiB, checked before, 32 at once, the first time around {what}"
            ),
            each(start, count),
            None,
            None,
        );
    }
}
