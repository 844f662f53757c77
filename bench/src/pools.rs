//! Rows of pools of every size: what an append takes, opening, and opening after a power loss, and the memory of a process.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use plasmite_core::{Durability, Pool, Result};

use crate::documents::dense;
use crate::limits::each;
use crate::rows::{Bench, Effort};
use crate::{first_turn, opens, recovery};

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
    first_turn::fill(bench, SIZES[0], &smallest, &text);
    let most = if bench.effort == Effort::Quick { 64 << 20 } else { u64::MAX };
    for &size in SIZES.iter().filter(|(_, size_bytes)| *size_bytes <= most) {
        let path = bench.dir.join("sized.plasmite");
        // A disk may be too small for the largest.
        if let Err(why) = full(bench, size, &path, &smallest, &text) {
            eprintln!("no pool of {}: {why}", size.0);
        }
        let _ = Pool::delete(&path);
    }
    drop(smallest);
    Pool::delete(&smallest_path).unwrap();
}

fn full(
    bench: &mut Bench,
    size: (&str, u64),
    path: &Path,
    smallest: &Pool,
    text: &str,
) -> Result<()> {
    let (what, size_bytes) = size;
    for _ in 1..first_turn::rounds(size_bytes) {
        first_turn::fill(bench, size, &Pool::create(path, size_bytes)?, text);
        Pool::delete(path)?;
    }
    let pool = Pool::create(path, size_bytes)?;
    first_turn::fill(bench, size, &pool, text);
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
    Ok(())
}
