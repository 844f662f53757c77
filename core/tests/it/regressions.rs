//! Faults that were found once, each by its name.

use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::time::Duration;

use plasmite_core::{Durability, Entry, ErrorKind, Message, Pool, Seq, json::Document};

use crate::support::{Dir, KIB, NO_TAGS, document, put};

#[test]
fn writers_beyond_the_kept_places_never_hold_the_lock_together() {
    let dir = Dir::new();
    let pool = dir.pool("p", 16 * 1024 * KIB);
    let open = || Pool::open(&dir.path("p")).unwrap();
    let keepers: Vec<_> = (0..160).map(|_| open()).collect();
    keepers.iter().for_each(|p| {
        put(p, "{}");
    });
    let mut receipts: Vec<(u64, u64, u64)> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|w| {
                // Two threads share a handle, which must not lend itself one place twice.
                let pool = open();
                scope.spawn(move || {
                    std::thread::scope(|scope| {
                        let halves: Vec<_> = (0..2)
                            .map(|half| {
                                let pool = pool.clone();
                                scope.spawn(move || {
                                    let numbers = (0..300).map(|n| 2 * n + half);
                                    numbers
                                        .map(|n| {
                                            let durability = if n % 50 == 0 {
                                                Durability::Flush
                                            } else {
                                                Durability::Fast
                                            };
                                            let text = document(w, n, 2000);
                                            (
                                                pool.append(text.as_bytes(), NO_TAGS, durability)
                                                    .unwrap()
                                                    .seq
                                                    .get(),
                                                w,
                                                n,
                                            )
                                        })
                                        .collect::<Vec<_>>()
                                })
                            })
                            .collect();
                        halves.into_iter().flat_map(|h| h.join().unwrap()).collect::<Vec<_>>()
                    })
                })
            })
            .collect();
        writers.into_iter().flat_map(|w| w.join().unwrap()).collect()
    });
    receipts.sort_unstable();
    assert_eq!(receipts.len(), 2400);
    for (i, (seq, w, n)) in receipts.iter().enumerate() {
        assert_eq!(*seq, i as u64 + 161);
        assert_eq!(pool.get(Seq::new(*seq)).unwrap().data(), document(*w, *n, 2000));
    }
}

#[test]
fn deleting_one_of_a_pools_names_leaves_the_pool_under_the_others() {
    let dir = Dir::new();
    let pool = dir.pool("real", 64 * KIB);
    put(&pool, "{}");
    symlink(dir.path("real"), dir.path("link")).unwrap();
    Pool::delete(&dir.path("link")).unwrap();
    assert!(fs::symlink_metadata(dir.path("link")).is_err());
    fs::hard_link(dir.path("real"), dir.path("other")).unwrap();
    Pool::delete(&dir.path("real")).unwrap();
    assert_eq!(Pool::open(&dir.path("other")).unwrap().get(Seq::FIRST).unwrap().data(), "{}");
    put(&pool, "{}");
    Pool::delete(&dir.path("other")).unwrap();
    assert_eq!(pool.get(Seq::FIRST).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_pool_that_says_deleted_and_has_a_name_is_damaged_and_can_be_deleted() {
    let dir = Dir::new();
    dir.pool("p", 64 * KIB).file().write_all_at(&1u32.to_le_bytes(), 596).unwrap();
    assert_eq!(Pool::open(&dir.path("p")).unwrap_err().kind(), ErrorKind::Corrupt);
    Pool::delete(&dir.path("p")).unwrap();
    assert!(!dir.path("p").exists());
}

#[test]
fn a_pool_whose_lock_word_names_no_place_can_be_deleted() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    pool.file().write_all_at(&5001u64.to_le_bytes(), 512).unwrap();
    let error = pool.append(b"{}", NO_TAGS, Durability::Fast).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Corrupt, Some(&*dir.path("p"))));
    Pool::delete(&dir.path("p")).unwrap();
    assert!(!dir.path("p").exists());
}

#[test]
fn a_promise_on_a_ring_that_turned_before_holds_when_commits_fall_into_the_sync() {
    let dir = Dir::new();
    let pool = dir.pool("p", 8192);
    (1..=20).for_each(|n| {
        put(&pool, &document(1, n, 500));
    });
    put(&pool, &document(1, 21, 3000));
    put(&pool, &document(1, 22, 3000));
    let text = document(1, 23, 20);
    pool.append(text.as_bytes(), NO_TAGS, Durability::Flush).unwrap();
    let at_return = fs::read(dir.path("p")).unwrap();
    // These two may as well have been committed while the sync ran, by another process.
    put(&pool, &document(1, 24, 400));
    put(&pool, &document(1, 25, 20));
    let after = fs::read(dir.path("p")).unwrap();
    for sector in 8..16 {
        let mut image = after.clone();
        // Of `durable` the disk has at least what is known to be persisted.
        image[784..792].copy_from_slice(&at_return[792..800]);
        let torn = sector * 512..(sector + 1) * 512;
        image[torn.clone()].copy_from_slice(&at_return[torn]);
        image[832..848].fill(0xaa);
        fs::write(dir.path("image"), &image).unwrap();
        let bounds = Pool::open(&dir.path("image")).unwrap().bounds().unwrap();
        assert!(bounds.contains(Seq::new(23)), "sector {sector} old: {bounds:?}");
    }
}

#[test]
fn a_read_only_open_during_a_recovery_sees_what_comes_after_it() {
    let dir = Dir::new();
    let pool = dir.pool("p", 16 * 1024 * KIB);
    (0..15_000).for_each(|n| {
        put(&pool, &document(1, n, 1000));
    });
    pool.file().write_all_at(&[0xaa; 16], 832).unwrap();
    drop(pool);
    let path = dir.path("p");
    let writer = std::thread::spawn(move || Pool::open(&path).unwrap());
    let mut readers = Vec::new();
    while !writer.is_finished() || readers.is_empty() {
        readers.push(Pool::open_read_only(&dir.path("p")).unwrap());
    }
    let pool = writer.join().unwrap();
    put(&pool, "{\"new\":1}");
    for reader in readers {
        assert_eq!(reader.bounds().unwrap(), pool.bounds().unwrap());
    }
}

#[test]
fn a_file_cut_during_flushes_ends_them_with_an_error() {
    let dir = Dir::new();
    for round in 0..5u64 {
        let name = format!("p{round}");
        drop(dir.pool(&name, 256 * KIB));
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|w| {
                    let pool = Pool::open(&dir.path(&name)).unwrap();
                    scope.spawn(move || {
                        let text = document(w, round, 100);
                        loop {
                            if let Err(e) = pool.append(text.as_bytes(), NO_TAGS, Durability::Flush)
                            {
                                return e;
                            }
                        }
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(10 + round));
            fs::OpenOptions::new().write(true).open(dir.path(&name)).unwrap().set_len(0).unwrap();
            // The watchdog ends a writer that goes on for ever.
            for writer in writers {
                assert_eq!(writer.join().unwrap().kind(), ErrorKind::Corrupt);
            }
        });
    }
}

#[test]
fn a_failed_sync_says_truly_what_was_appended() {
    let dir = Dir::new();
    let pool = dir.pool("p", 8192);
    pool.append(b"{}", NO_TAGS, Durability::Flush).unwrap();
    pool.file().write_all_at(&1u64.to_le_bytes(), 800).unwrap();
    let text = document(1, 1, 300);
    let (before, error) = loop {
        let before = pool.bounds().unwrap().newest;
        if let Err(e) = pool.append(text.as_bytes(), NO_TAGS, Durability::Fast) {
            break (before, e);
        }
    };
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(
        error.message().starts_with("no room could be made, and nothing was appended"),
        "{error}"
    );
    assert_eq!(pool.bounds().unwrap().newest, before);

    let pool = dir.pool("q", 8192);
    pool.append(b"{}", NO_TAGS, Durability::Flush).unwrap();
    pool.file().write_all_at(&1u64.to_le_bytes(), 800).unwrap();
    let document = Document::parse(text.as_bytes()).unwrap();
    let entries = [Entry { document: &document, tags: &[] }; 40];
    let error = pool.append_batch(&entries, Durability::Fast).unwrap_err();
    let made = pool.bounds().unwrap().newest.get() - 1;
    assert!(made > 0 && error.message().starts_with(&format!("{made} of 40 messages")), "{error}");
}

#[test]
fn a_message_that_was_never_read_is_empty() {
    let message = Message::default();
    assert_eq!((message.data(), message.tags().count()), ("", 0));
    let _ = message.to_json();
}
