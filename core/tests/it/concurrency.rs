use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plasmite_core::{Durability, ErrorKind, Pool, Seq, TailOptions};

use crate::support::{Dir, KIB, NO_TAGS, check_document, child, document, put};

pub fn writer_args(
    w: u64,
    count: u64,
    len: u64,
    spread: u64,
    flush: bool,
) -> Vec<(&'static str, String)> {
    vec![
        ("W", w.to_string()),
        ("COUNT", count.to_string()),
        ("LEN", len.to_string()),
        ("SPREAD", spread.to_string()),
        ("FLUSH", u8::from(flush).to_string()),
    ]
}

/// The receipts that a writer said: its own number and the seq.
pub fn receipts(child: &mut Child) -> Vec<(u64, u64)> {
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    // What follows the last newline was cut by a kill.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .filter_map(|l| l.split_once('@')?.1.split_once(' '))
        .map(|(n, seq)| (n.parse().unwrap(), seq.parse().unwrap()))
        .collect()
}

#[test]
fn processes_and_threads_append_at_once_and_every_seq_is_accounted_for() {
    let dir = Dir::new();
    let pool = dir.pool("p", 4096 * KIB);
    let children: Vec<_> = (0..4)
        .map(|w| child("writer", &dir.path("p"), &writer_args(w, 500, 20, 50, false)))
        .collect();
    std::thread::scope(|scope| {
        for w in 10..14 {
            let pool = pool.clone();
            scope.spawn(move || {
                for n in 1..=500 {
                    put(&pool, &document(w, n, 30));
                }
            });
        }
    });
    let mut by_seq = HashMap::new();
    for (w, mut c) in children.into_iter().enumerate() {
        for (n, seq) in receipts(&mut c) {
            assert!(by_seq.insert(seq, (w as u64, n)).is_none(), "seq {seq} given twice");
        }
        assert!(c.wait().unwrap().success());
    }
    assert_eq!(by_seq.len(), 2000);
    let bounds = pool.bounds().unwrap();
    assert_eq!((bounds.oldest.get(), bounds.newest.get()), (1, 4000));
    let mut last = HashMap::new();
    for seq in 1..=4000 {
        let (w, n) = check_document(pool.get(Seq::new(seq)).unwrap().data());
        assert_eq!(n, last.insert(w, n).unwrap_or(0) + 1, "writer {w} out of order");
        if w < 10 {
            assert_eq!(by_seq[&seq], (w, n));
        }
    }
}

#[test]
fn readers_on_a_tiny_ring_never_see_a_torn_message() {
    let dir = Dir::new();
    let pool = dir.pool("p", 8192);
    let children: Vec<_> = (0..2)
        .map(|w| child("writer", &dir.path("p"), &writer_args(w, 20_000, 1, 900, false)))
        .collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|i| {
                let pool = if i == 0 {
                    pool.clone()
                } else {
                    Pool::open_read_only(&dir.path("p")).unwrap()
                };
                let stop = &stop;
                scope.spawn(move || {
                    let from_the_first =
                        TailOptions { since: Some(Seq::FIRST), ..Default::default() };
                    let mut tail = pool.tail(from_the_first).unwrap();
                    let (mut read, mut last) = (0u64, 0);
                    loop {
                        let done = stop.load(Ordering::Relaxed);
                        match tail.next(Some(Duration::from_millis(10))).unwrap() {
                            Some(message) => {
                                check_document(message.data());
                                assert!(message.seq().get() > last);
                                last = message.seq().get();
                                read += 1;
                            }
                            None if done => break (read, tail.dropped(), last),
                            None => {}
                        }
                    }
                })
            })
            .collect();
        for mut c in children {
            assert_eq!(receipts(&mut c).len(), 20_000);
            assert!(c.wait().unwrap().success());
        }
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            let (read, dropped, last) = reader.join().unwrap();
            assert_eq!((read + dropped, last), (40_000, 40_000));
        }
    });
}

#[test]
fn processes_that_read_a_tiny_ring_beside_writers_at_full_speed_see_every_byte_right() {
    let dir = Dir::new();
    drop(dir.pool("p", 8192));
    let count = 60_000;
    // Twice each: messages, envelopes, and single messages; by handles that may write and such that may not.
    let readers: Vec<_> = (0..6)
        .map(|mode: u64| {
            let args = [("MODE", mode.to_string()), ("COUNT", count.to_string())];
            let mut reader = child("verifier", &dir.path("p"), &args);
            let mut out = BufReader::new(reader.stdout.take().unwrap());
            let mut line = String::new();
            while !line.contains("@ready") {
                assert_ne!(out.read_line(&mut line).unwrap(), 0);
            }
            (reader, out)
        })
        .collect();
    let sizes = [(1, 0), (1, 900), (1500, 1800)];
    let writers: Vec<_> = (0..)
        .zip(sizes)
        .map(|(w, (len, spread))| {
            child("writer", &dir.path("p"), &writer_args(w, count / 3, len, spread, false))
        })
        .collect();
    for mut writer in writers {
        assert_eq!(receipts(&mut writer).len() as u64, count / 3);
        assert!(writer.wait().unwrap().success());
    }
    for (mode, (mut reader, mut out)) in readers.into_iter().enumerate() {
        let mut text = String::new();
        out.read_to_string(&mut text).unwrap();
        assert!(reader.wait().unwrap().success() && text.contains("@verified"), "{mode}: {text}");
        eprintln!("reader {mode}: {}", text.trim());
    }
}

#[test]
fn flushing_writers_share_syncs_and_all_become_durable() {
    let dir = Dir::new();
    let pool = dir.pool("p", 1024 * KIB);
    std::thread::scope(|scope| {
        for w in 0..8 {
            // Half of them through handles of their own, as if other processes.
            let pool = if w % 2 == 0 { pool.clone() } else { Pool::open(&dir.path("p")).unwrap() };
            scope.spawn(move || {
                for n in 0..20 {
                    let text = document(w, n, 10);
                    let receipt = pool.append(text.as_bytes(), NO_TAGS, Durability::Flush).unwrap();
                    assert!(pool.info().unwrap().durable >= receipt.seq);
                }
            });
        }
    });
    assert_eq!(pool.info().unwrap().durable.get(), 160);
}

#[test]
fn more_writers_than_places_get_on_one_after_the_other() {
    let dir = Dir::new();
    dir.pool("p", 1024 * KIB);
    let handles: Vec<_> = (0..250).map(|_| Pool::open(&dir.path("p")).unwrap()).collect();
    for (n, handle) in handles.iter().enumerate() {
        assert_eq!(put(handle, "{}").seq.get(), n as u64 + 1);
    }
    for (n, handle) in handles.iter().rev().enumerate() {
        assert_eq!(put(handle, "{}").seq.get(), n as u64 + 251);
    }
}

#[test]
fn a_stopped_writer_in_the_lock_makes_others_busy_and_they_go_on_after_it() {
    let dir = Dir::new();
    drop(dir.pool("p", 64 * KIB));
    let pool = plasmite_core::OpenOptions::new()
        .patience(Duration::from_millis(200))
        .open(&dir.path("p"))
        .unwrap();
    put(&pool, "{}");
    let holder = crate::crash::stopped_in_the_lock(&dir.path("p"));
    let error = pool.append(b"{}", NO_TAGS, Durability::Fast).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains(&holder.pid().to_string()), "{error}");
    assert!(pool.get(Seq::FIRST).is_ok(), "readers don't mind");
    holder.go_on();
    assert!(put(&pool, "{}").seq.get() >= 2);
}

#[test]
fn a_handle_with_little_patience_waits_neither_for_a_stopped_writer_nor_for_a_thread_that_does() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    put(&pool, "{}");
    let holder = crate::crash::stopped_in_the_lock(&dir.path("p"));
    let hasty = pool.with_patience(Duration::from_millis(5));
    let refused = || hasty.append::<&str>(b"{}", &[], Durability::Fast).unwrap_err();
    let error = refused();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    let patient = pool.with_patience(Duration::from_secs(60));
    let waiting = std::thread::spawn(move || patient.append::<&str>(b"{}", &[], Durability::Fast));
    // Were it to wait for the other thread, it would wait for longer than the watchdog does.
    for _ in 0..20 {
        assert_eq!(refused().kind(), ErrorKind::Busy);
    }
    holder.go_on();
    waiting.join().unwrap().unwrap();
    hasty
        .with_patience(Duration::from_secs(60))
        .append::<&str>(b"{}", &[], Durability::Fast)
        .unwrap();
}
