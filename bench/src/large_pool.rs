//! Gets at random from a pool that is larger than a CPU's caches, beside copies out of as large a mapping.

use std::hint::black_box;
use std::time::Instant;

use plasmite_core::json::Document;
use plasmite_core::{Durability, Message, Pool, Seq};

use crate::documents::dense;
use crate::limits::{Random, Shared, each};
use crate::rows::Bench;

const BYTES: u64 = 64 << 20;
const NO_TAGS: &[&str] = &[];

/// Nanoseconds to get a message at random.
pub(crate) fn get_at_random(pool: &Pool, count: u64) -> f64 {
    let bounds = pool.bounds().unwrap();
    let (mut message, mut random) = (Message::default(), Random::new());
    let start = Instant::now();
    for _ in 0..count {
        let seq = bounds.oldest.get() + random.below(bounds.count());
        pool.get_into(Seq::new(seq), &mut message).unwrap();
        black_box(message.data());
    }
    each(start, count)
}

pub(crate) fn rows(bench: &mut Bench) {
    let text = dense(1024);
    let copied = "memcpy 1 KiB out of a shared mapping of 64 MiB, random";
    let shared = Shared::new(&tempfile::tempfile_in(&bench.dir).unwrap(), BYTES as usize);
    shared.copy_in(text.as_bytes(), BYTES / text.len() as u64);
    let ns = shared.copy_out_at_random(&mut vec![0; text.len()], bench.count);
    bench.note(copied, ns, None, None);
    drop(shared);

    let path = bench.dir.join("large.plasmite");
    let pool = Pool::create(&path, BYTES).unwrap();
    let document = Document::parse(text.as_bytes()).unwrap();
    while pool.bounds().unwrap().oldest == Seq::FIRST {
        pool.append_document(&document, NO_TAGS, Durability::Fast).unwrap();
    }
    let ns = get_at_random(&pool, bench.count);
    bench.note_beside("get 1 KiB of 64 MiB, random", ns, copied, Some(300.0));
    drop(pool);
    Pool::delete(&path).unwrap();
}
