//! Any bytes in the file are survivable.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plasmite_core::{
    Bounds, Client, Durability, Entry, Error, ErrorKind, OpenOptions, Pool, Result, Seq,
    TailOptions, Timestamp, json::Document,
};

use crate::support::{Dir, KIB, NO_TAGS, document, put};

fn refused(path: &Path) -> Error {
    let error = Pool::open(path).unwrap_err();
    assert_eq!(error.path(), Some(path), "{error}");
    let plainly_missing = error.message() == "there is no such pool";
    assert!(plainly_missing || error.hint().is_some(), "{error} does not say what to do");
    let read_only = Pool::open_read_only(path).unwrap_err();
    assert_eq!((read_only.kind(), read_only.offset()), (error.kind(), error.offset()));
    error
}

#[test]
fn what_is_no_pool_is_refused_by_name() {
    let dir = Dir::new();
    let path = dir.path("p");
    for (content, kind) in [
        (&b""[..], ErrorKind::Corrupt),
        (b"x", ErrorKind::Corrupt),
        (b"\x89PLSMT\r\n", ErrorKind::Corrupt),
        (b"SQLite format 3\0", ErrorKind::Corrupt),
        (&[0u8; 10_000], ErrorKind::Corrupt),
        (b"PLSM\x03\0\0\0\x01 and so on", ErrorKind::Usage),
    ] {
        fs::write(&path, content).unwrap();
        assert_eq!(refused(&path).kind(), kind, "{content:?}");
        fs::remove_file(&path).unwrap();
    }
    assert_eq!(refused(&path).kind(), ErrorKind::NotFound);
    fs::create_dir(&path).unwrap();
    assert_eq!(refused(&path).kind(), ErrorKind::Usage);
    fs::remove_dir(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert_eq!(refused(&path).kind(), ErrorKind::Usage);
    for device in ["/dev/null", "/dev/zero"] {
        assert_eq!(refused(Path::new(device)).kind(), ErrorKind::Usage);
    }
}

#[test]
fn links_that_lead_nowhere_are_told_from_pools_that_are_missing() {
    let dir = Dir::new();
    let path = dir.path("p");
    std::os::unix::fs::symlink("nowhere", &path).unwrap();
    let error = refused(&path);
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().contains("link") && error.message().contains("nowhere"), "{error}");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&path, &path).unwrap();
    assert_eq!(refused(&path).kind(), ErrorKind::Usage);
}

#[test]
fn a_file_in_place_of_the_pool_directory_is_a_usage_error_of_every_call() {
    let dir = Dir::new();
    let file = dir.path("file");
    fs::write(&file, "").unwrap();
    let client = Client::new(&file);
    for error in [
        client.open("p").unwrap_err(),
        client.open_read_only("p").unwrap_err(),
        client.create("p", 64 * KIB).unwrap_err(),
        client.open_or_create("p", 64 * KIB).unwrap_err(),
        client.delete("p").unwrap_err(),
        client.list().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(error.hint().is_some(), "{error}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"");
}

#[test]
fn another_format_version_is_named() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    for version in [0u32, 2, 77] {
        pool.file().write_all_at(&version.to_le_bytes(), 8).unwrap();
        let error = refused(&dir.path("p"));
        assert_eq!(error.kind(), ErrorKind::Usage);
        let text = error.to_string();
        assert!(text.contains(&version.to_string()) && text.contains("version 1"), "{text}");
    }
}

#[test]
fn a_file_of_another_size_than_it_was_made_with_is_corrupt() {
    let dir = Dir::new();
    drop(dir.pool("p", 64 * KIB));
    let whole = fs::read(dir.path("p")).unwrap();
    for len in [1, 91, 92, 4096, 65535] {
        fs::write(dir.path("p"), &whole[..len]).unwrap();
        assert_eq!(refused(&dir.path("p")).kind(), ErrorKind::Corrupt, "{len}");
    }
    let mut longer = whole;
    longer.push(0);
    fs::write(dir.path("p"), &longer).unwrap();
    assert_eq!(refused(&dir.path("p")).kind(), ErrorKind::Corrupt);
}

/// Uses a pool in every way; all errors are fine, anything else is not.
fn use_it(path: &Path) -> Result<()> {
    let pool = Pool::open(path)?;
    let _ = pool.info();
    let _ = pool.log_range().and_then(|r| pool.log_seek(r.start));
    let _ = pool.seq_at(plasmite_core::Timestamp::from_nanos(5));
    let mut result = Ok(());
    if let Ok(bounds) = pool.bounds() {
        for seq in bounds.oldest.get()..=bounds.newest.get().min(bounds.oldest.get() + 100) {
            result = result.and(pool.get(Seq::new(seq)).map(drop));
        }
    }
    let mut tail = pool.tail(Default::default())?;
    for _ in 0..100 {
        match tail.next(Some(Duration::ZERO)) {
            Ok(Some(m)) => assert_eq!(m.to_json().len() + 1, m.line_len() as usize),
            Ok(None) => break,
            Err(e) => {
                result = result.and(Err(e));
                break;
            }
        }
    }
    for n in 0..3 {
        let text = document(1, n, 500);
        result = result.and(pool.append(text.as_bytes(), NO_TAGS, Durability::Fast).map(drop));
    }
    result
}

#[test]
fn random_bytes_under_a_right_header_are_survived() {
    let dir = Dir::new();
    let pool = dir.pool("p", 8192);
    (0..40).for_each(|n| {
        put(&pool, &document(1, n, 100));
    });
    drop(pool);
    let whole = fs::read(dir.path("p")).unwrap();
    let mut x = 88172645463325252u64;
    let mut random = move || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x
    };
    for round in 0..400 {
        let mut bytes = whole.clone();
        // The lock words stay: a word that names a living holder is Busy by right, after two seconds each.
        for _ in 0..=round % 20 {
            let at =
                [576, 584, 640, 648, 656, 664, 704, 712, 776, 784, 792, 800, 832, 4096, 4100, 5000];
            let at = match random() % 3 {
                0 => at[random() as usize % at.len()],
                1 => 4096 + random() as usize % 4088,
                _ => 576 + random() as usize % 190 / 8 * 8,
            };
            let value = match random() % 3 {
                0 => random(),
                1 => random() % 100,
                _ => u64::MAX - random() % 3,
            };
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        fs::write(dir.path("p"), &bytes).unwrap();
        let _ = use_it(&dir.path("p"));
    }
}

#[test]
fn another_process_may_scribble_over_a_pool_in_use_and_calls_only_fail() {
    let dir = Dir::new();
    let pool = dir.pool("p", 8192);
    // Written through the file, as a process without any manners would.
    let file = fs::OpenOptions::new().write(true).open(dir.path("p")).unwrap();
    let whole = fs::read(dir.path("p")).unwrap();
    let stop = AtomicBool::new(false);
    let patient = || OpenOptions::new().patience(Duration::from_millis(1)).open(&dir.path("p"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut x = 0x9e37_79b9_7f4a_7c15u64;
            let mut random = move || {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                x
            };
            while !stop.load(Ordering::Relaxed) {
                // The live words, and of the rest a few.
                let at =
                    if random() % 4 == 0 { random() % 1023 * 8 } else { 512 + random() % 64 * 8 };
                let value = match random() % 4 {
                    0 => random(),
                    1 => random() % 100,
                    2 => u64::MAX - random() % 3,
                    _ => 1 << (random() % 57),
                };
                file.write_all_at(&value.to_le_bytes(), at).unwrap();
                if random() % 8 == 0 {
                    file.write_all_at(&whole, 0).unwrap();
                }
            }
        });
        let _stop = StopAtEnd(&stop);
        let mut failed = 0;
        let mut succeeded = 0;
        let mut note = |ok: bool| if ok { succeeded += 1 } else { failed += 1 };
        let mut tail = pool.tail(TailOptions::default()).ok();
        for n in 0..4000 {
            if let Ok(other) = patient() {
                let text = document(1, n, 60);
                let parsed = Document::parse(text.as_bytes()).unwrap();
                let entries = [Entry { document: &parsed, tags: &["tag"] }; 20];
                note(other.append_batch(&entries, Durability::Fast).is_ok());
                note(other.log_range().and_then(|log| other.log_seek(log.start)).is_ok());
                note(other.seq_at(Timestamp::now()).is_ok());
                note(other.info().is_ok());
                note(other.bounds().map(Bounds::count).is_ok());
                if let Ok(bounds) = other.bounds() {
                    note(other.get(bounds.newest).map(|m| m.to_json()).is_ok());
                    note(other.log_start(bounds.oldest).is_ok());
                }
            }
            tail = tail.take().or_else(|| pool.tail(TailOptions::default()).ok());
            if let Some(tail) = &mut tail {
                note(tail.try_next().is_ok());
                note(tail.wait(Some(Duration::from_micros(1))).is_ok());
            }
        }
        assert!(failed > 100 && succeeded > 100, "{failed} calls failed, {succeeded} succeeded");
    });
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_file_cut_under_a_busy_handle_is_an_error_of_the_call() {
    let dir = Dir::new();
    // Within the header's page nothing faults: there are zeros behind the cut.
    for len in [0u64, 1, 100, 600, 4000, 4096, 6000, 60_000] {
        let pool = dir.pool(&format!("p{len}"), 256 * KIB);
        (0..200).for_each(|n| {
            put(&pool, &document(1, n, 1000));
        });
        let reader = Pool::open_read_only(&dir.path(&format!("p{len}"))).unwrap();
        let file = fs::OpenOptions::new().write(true).open(dir.path(&format!("p{len}"))).unwrap();
        file.set_len(len).unwrap();
        let error = (0..2000)
            .find_map(|_| {
                pool.append(document(1, 1, 1000).as_bytes(), NO_TAGS, Durability::Fast).err()
            })
            .expect("an append must fail once the file is gone");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("changed its size"), "{len}: {error}");
        let error = (1..=200).find_map(|seq| reader.get(Seq::new(seq)).err()).unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert_eq!(pool.get(Seq::new(1)).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    // The process lives, and other pools are fine.
    put(&dir.pool("fine", 64 * KIB), "{}");
}
