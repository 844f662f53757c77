//! Operations done a given number of times and nothing else, for a tool that counts instructions or lines of memory.

mod lines;
mod mounted;

use std::hint::black_box;
use std::path::Path;

use plasmite_core::json::Document;
use plasmite_core::{Durability, Entry, Message, Pool, Seq, TailOptions};

use crate::c_abi::CPool;
use crate::documents::dense;

const NO_TAGS: &[&str] = &[];
const POOL_BYTES: u64 = 64 << 10;
/// Enough to go around the ring: from then on each append makes room.
const WARM_UP: u64 = 1500;

/// Does one of the operations on a new pool.
pub(crate) fn run(operation: &str, path: &Path, count: u64) {
    match operation {
        // A mount has pools of its own.
        "mount-write-7" => return mounted::write(path, WARM_UP + count),
        mounted::WRITER => return mounted::write_lines(path, count),
        _ => {}
    }
    let pool = Pool::create(path, POOL_BYTES).unwrap();
    let (small, large) = (b"{\"a\":1}".as_slice(), dense(1024));
    let append = |text: &[u8], count| {
        for _ in 0..count {
            pool.append(black_box(text), NO_TAGS, Durability::Fast).unwrap();
        }
    };
    let gets = || {
        let mut message = Message::default();
        let oldest = pool.bounds().unwrap().oldest.get();
        let pool = &pool;
        move |n| {
            pool.get_into(Seq::new(oldest + n % 16), &mut message).unwrap();
            black_box(message.data());
        }
    };
    let tail = |text: &[u8], count| {
        let mut tail = pool.tail(TailOptions::default()).unwrap();
        let mut message = Message::default();
        append(text, WARM_UP);
        for _ in 0..count {
            append(text, 1);
            black_box(tail.try_next_into(&mut message).unwrap());
        }
    };
    match operation {
        "check-1k" => {
            for _ in 0..count {
                black_box(Document::parse(black_box(large.as_bytes())).unwrap());
            }
        }
        "check-1k-of-text" => {
            let text = format!("{{\"text\":\"{}\"}}", "lorem ipsum ".repeat(84));
            for _ in 0..count {
                black_box(Document::parse(black_box(text.as_bytes())).unwrap());
            }
        }
        "minify-1k" => {
            let spaced = large.replace(',', ", ").replace(':', ": ");
            for _ in 0..count {
                black_box(Document::parse(black_box(spaced.as_bytes())).unwrap());
            }
        }
        "append-7" => append(small, WARM_UP + count),
        "append-1k" => append(large.as_bytes(), WARM_UP + count),
        "append-checked-1k" => {
            let document = Document::parse(large.as_bytes()).unwrap();
            for _ in 0..WARM_UP + count {
                pool.append_document(black_box(&document), NO_TAGS, Durability::Fast).unwrap();
            }
        }
        "append-flush-7" => {
            append(small, WARM_UP);
            for _ in 0..count {
                pool.append(black_box(small), NO_TAGS, Durability::Flush).unwrap();
            }
        }
        // A batch counts as one operation.
        "append-checked-1k-batch-32" => {
            let document = Document::parse(large.as_bytes()).unwrap();
            let batch = [Entry { document: &document, tags: NO_TAGS }; 32];
            for _ in 0..WARM_UP / 32 + count {
                pool.append_batch(black_box(&batch), Durability::Fast).unwrap();
            }
        }
        "get-7" => {
            append(small, 16);
            (0..count).for_each(gets());
        }
        "get-1k" => {
            append(large.as_bytes(), 16);
            (0..count).for_each(gets());
        }
        // The whole envelope as JSON, as the command, C and Python give it.
        "get-1k-json" => {
            append(large.as_bytes(), 16);
            let oldest = pool.bounds().unwrap().oldest.get();
            for n in 0..count {
                black_box(pool.get(Seq::new(oldest + n % 16)).unwrap().to_json());
            }
        }
        "tail-7" => tail(small, count),
        "tail-1k" => tail(large.as_bytes(), count),
        "c-append-7" => {
            let pool = CPool::open(path);
            for _ in 0..WARM_UP + count {
                black_box(pool.append(black_box(small)));
            }
        }
        "c-get-json-7" => {
            append(small, 16);
            let (pool, oldest) = (CPool::open(path), pool.bounds().unwrap().oldest.get());
            for n in 0..count {
                black_box(pool.get_json(oldest + n % 16));
            }
        }
        // A batch counts as one operation.
        "c-append-7-batch-32" => {
            let pool = CPool::open(path);
            let lines = [small, b"\n"].concat().repeat(32);
            for _ in 0..WARM_UP / 32 + count {
                pool.append_batch(black_box(&lines));
            }
        }
        "lines-get-7" => {
            append(small, 16);
            lines::mark(path, count, gets());
        }
        "lines-get-1k" => {
            append(large.as_bytes(), 16);
            lines::mark(path, count, gets());
        }
        "lines-append-7" => {
            append(small, WARM_UP);
            lines::mark(path, count, |_| append(small, 1));
        }
        other => panic!("no operation {other}"),
    }
    Pool::delete(path).unwrap();
}
