//! Pools that get another size: beside their users, and with a death at every step.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use plasmite_core::{Client, Durability, ErrorKind, Message, Pool, Seq, TailOptions};

use crate::crash::Stepped;
use crate::doctor::{healthy, messages};
use crate::support::{Dir, KIB, NO_TAGS, check_document, child, document, put};

fn envelopes(path: &Path) -> Vec<String> {
    messages(path).iter().map(Message::to_json).collect()
}

fn names(dir: &Dir) -> Vec<String> {
    let entries = fs::read_dir(dir.tmp.path()).unwrap();
    let mut names: Vec<_> =
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn filled(dir: &Dir, size: u64, count: u64) -> Pool {
    let pool = dir.pool("p", size);
    for n in 1..=count {
        let text = document(1, n, (n as usize * 37) % 150);
        pool.append(text.as_bytes(), &["a", "b"][..n as usize % 3], Durability::Fast).unwrap();
    }
    pool
}

#[test]
fn a_larger_pool_keeps_everything_and_a_smaller_one_the_newest() {
    let dir = Dir::new();
    let path = dir.path("p");
    let old = filled(&dir, 64 * KIB, 2000);
    let (id, created) = (old.id(), old.info().unwrap().created);
    let mut before = envelopes(&path);
    let mut log_end = old.log_range().unwrap().end;
    for size in [1024 * KIB, 64 * KIB, 8 * KIB, 9001, 9001, 33 * KIB] {
        let resized = Pool::resize(&path, size).unwrap();
        let after = envelopes(&path);
        assert!(before.ends_with(&after) && !after.is_empty(), "{size}");
        assert_eq!(resized.dropped, (before.len() - after.len()) as u64, "{size}");
        assert_eq!(fs::metadata(&path).unwrap().len(), size);
        let pool = Pool::open(&path).unwrap();
        let info = pool.info().unwrap();
        assert_eq!((pool.id(), info.created), (id, created));
        assert_eq!(info.durable, info.bounds.newest);
        assert_eq!(pool.log_range().unwrap().end, log_end);
        assert_eq!(healthy(&path).findings, [], "{size}");
        // As many as there is room for.
        let first = before.len() - after.len();
        if first > 0 {
            let free = info.ring_bytes - info.used_bytes;
            assert!(free < before[first - 1].len() as u64, "{size}: {free} bytes are free");
        }
        for n in 0..30 {
            put(&pool, &document(2, n, 100));
        }
        assert_eq!(healthy(&path).findings, [], "{size}");
        before = envelopes(&path);
        log_end = pool.log_range().unwrap().end;
    }
    assert_eq!(names(&dir), ["p.plasmite"]);
}

#[test]
fn pools_without_messages_are_resized_and_go_on_with_their_next_seq() {
    let dir = Dir::new();
    drop(dir.pool("p", 64 * KIB));
    Pool::resize(&dir.path("p"), 16 * KIB).unwrap();
    assert_eq!(put(&Pool::open(&dir.path("p")).unwrap(), "{}").seq, Seq::FIRST);
}

#[test]
fn every_handle_on_the_old_file_finds_out() {
    let dir = Dir::new();
    let path = dir.path("p");
    let pool = filled(&dir, 64 * KIB, 20);
    let reader = Pool::open_read_only(&path).unwrap();
    let waiting = Pool::open(&path).unwrap();
    let waiter = std::thread::spawn(move || waiting.wait(Seq::new(20), None));
    Pool::resize(&path, 128 * KIB).unwrap();
    let errors = [
        waiter.join().unwrap().unwrap_err(),
        pool.append(b"{}", NO_TAGS, Durability::Fast).unwrap_err(),
        pool.append(b"{}", NO_TAGS, Durability::Flush).unwrap_err(),
        pool.get(Seq::new(20)).unwrap_err(),
        pool.info().unwrap_err(),
        reader.get(Seq::new(20)).unwrap_err(),
        reader.bounds().unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.message().contains("resized") && error.hint().is_some(), "{error}");
    }
    assert_eq!(put(&Pool::open(&path).unwrap(), "{}").seq.get(), 21);
}

#[test]
fn what_can_not_be_resized_stays_as_it_is() {
    let dir = Dir::new();
    let path = dir.path("p");
    let pool = filled(&dir, 256 * KIB, 5);
    put(&pool, &document(1, 6, 100_000));
    let before = (envelopes(&path), fs::metadata(&path).unwrap().ino());
    let refuse = |path: &Path, size: u64| Pool::resize(path, size).unwrap_err();
    for size in [0, 100, u64::MAX] {
        assert_eq!(refuse(&path, size).kind(), ErrorKind::Usage);
    }
    // A size of which there is no disk.
    assert!(matches!(refuse(&path, 1 << 43).kind(), ErrorKind::Io | ErrorKind::Usage));
    assert_eq!(refuse(&dir.path("none"), 64 * KIB).kind(), ErrorKind::NotFound);
    let error = refuse(&path, 64 * KIB);
    assert_eq!((error.kind(), error.seq()), (ErrorKind::Usage, Some(Seq::new(6))));
    fs::hard_link(&path, dir.path("q")).unwrap();
    assert_eq!(refuse(&path, 512 * KIB).kind(), ErrorKind::Usage);
    fs::remove_file(dir.path("q")).unwrap();
    assert_eq!(before, (envelopes(&path), fs::metadata(&path).unwrap().ino()));
    put(&pool, "{}");
    // The size that the error named is the smallest.
    let pool_of = |size: u64| Pool::resize(&path, size).map(drop);
    put(&pool, &document(1, 8, 100_000));
    let hint = refuse(&path, 64 * KIB).hint().unwrap().to_owned();
    let smallest: u64 = hint.split(' ').find_map(|word| word.parse().ok()).unwrap();
    assert!(pool_of(smallest - 4096).is_err(), "{hint}");
    pool_of(smallest).unwrap();
    assert_eq!(names(&dir), ["p.plasmite"]);
}

#[test]
fn a_damaged_pool_is_not_resized() {
    let dir = Dir::new();
    let path = dir.path("p");
    drop(filled(&dir, 64 * KIB, 20));
    let mut file = fs::read(&path).unwrap();
    let at = file.iter().rposition(|b| *b == b'f').unwrap();
    file[at + 5] ^= 1;
    fs::write(&path, &file).unwrap();
    let error = Pool::resize(&path, 128 * KIB).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.seq().is_some() && error.offset().is_some(), "{error:?}");
    assert!(error.hint().unwrap().contains("--salvage"), "{error}");
    assert!(fs::read(&path).unwrap()[4096..] == file[4096..]);
    assert_eq!(names(&dir), ["p.plasmite"]);
}

#[test]
fn links_owner_and_permissions_stay() {
    let dir = Dir::new();
    let path = dir.path("p");
    drop(filled(&dir, 64 * KIB, 20));
    symlink(&path, dir.path("link")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let root = unsafe { libc::geteuid() } == 0;
    if root {
        std::os::unix::fs::chown(&path, Some(1234), Some(4321)).unwrap();
    }
    let attribute = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).unwrap();
    let stored = unsafe {
        libc::setxattr(attribute.as_ptr(), c"user.note".as_ptr(), b"hello".as_ptr().cast(), 5, 0)
    } == 0;
    Pool::resize(&dir.path("link"), 128 * KIB).unwrap();
    assert!(fs::symlink_metadata(dir.path("link")).unwrap().is_symlink());
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!((metadata.len(), metadata.mode() & 0o7777), (128 * KIB, 0o640));
    assert!(!root || (metadata.uid(), metadata.gid()) == (1234, 4321));
    if stored {
        let mut value = [0u8; 16];
        let len = unsafe {
            libc::getxattr(
                attribute.as_ptr(),
                c"user.note".as_ptr(),
                value.as_mut_ptr().cast(),
                value.len(),
            )
        };
        assert_eq!(&value[..len as usize], b"hello");
    }
}

#[test]
fn messages_come_and_go_while_the_pool_is_resized_again_and_again() {
    let dir = Dir::new();
    let path = dir.path("p");
    drop(dir.pool("p", 64 * KIB));
    let stop = AtomicBool::new(false);
    let written = AtomicU64::new(0);
    let reopened = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (1..=2)
            .map(|w| {
                let (stop, written, reopened, path) = (&stop, &written, &reopened, &path);
                scope.spawn(move || {
                    let mut pool = Pool::open(path).unwrap();
                    let mut receipts = Vec::new();
                    for n in 1.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let text = document(w, n, (n as usize * 71) % 300);
                        let durability =
                            if n % 20 == 0 { Durability::Flush } else { Durability::Fast };
                        loop {
                            match pool.append(text.as_bytes(), NO_TAGS, durability) {
                                Ok(receipt) => break receipts.push((receipt.seq.get(), w, n)),
                                Err(e) => {
                                    assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
                                    reopened.fetch_add(1, Ordering::Relaxed);
                                    pool = Pool::open(path).unwrap();
                                }
                            }
                        }
                        written.fetch_add(1, Ordering::Relaxed);
                    }
                    receipts
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            // Every message once and in its order, or skipped because the ring turned.
            let mut tail = Pool::open(&path).unwrap().tail(Default::default()).unwrap();
            let mut seen = Vec::new();
            loop {
                let ended = stop.load(Ordering::Relaxed);
                match tail.next(Some(std::time::Duration::from_millis(20))).unwrap() {
                    Some(message) => {
                        let (w, n) = check_document(message.data());
                        seen.push((message.seq().get(), w, n));
                    }
                    None if ended => return (seen, tail.dropped()),
                    None => {}
                }
            }
        });
        let mut sizes = [256 * KIB, 32 * KIB, 512 * KIB, 64 * KIB].into_iter().cycle();
        let mut rounds = 0;
        while rounds < 25 {
            let before = written.load(Ordering::Relaxed);
            Pool::resize(&path, sizes.next().unwrap()).unwrap();
            while written.load(Ordering::Relaxed) < before + 20 {
                std::thread::yield_now();
            }
            rounds += 1;
        }
        stop.store(true, Ordering::Relaxed);
        let mut receipts: Vec<_> = writers.into_iter().flat_map(|w| w.join().unwrap()).collect();
        let (seen, dropped) = reader.join().unwrap();
        receipts.sort_unstable();
        // No seq is missing or given twice.
        assert!(receipts.iter().enumerate().all(|(i, r)| r.0 == i as u64 + 1));
        assert_eq!(seen.len() as u64 + dropped, receipts.len() as u64);
        assert!(seen.windows(2).all(|w| w[0].0 < w[1].0));
        assert!(seen.iter().all(|s| receipts[s.0 as usize - 1] == *s));
        for message in messages(&path) {
            let (w, n) = check_document(message.data());
            assert_eq!(receipts[message.seq().get() as usize - 1], (message.seq().get(), w, n));
        }
    });
    assert!(reopened.load(Ordering::Relaxed) > 5);
    assert_eq!(healthy(&path).findings, []);
    assert_eq!(names(&dir), ["p.plasmite"]);
}

#[test]
fn resizes_and_deletions_at_once_leave_one_pool_or_none() {
    let dir = Dir::new();
    let client = Client::new(dir.tmp.path());
    for round in 0..40 {
        let pool = client.create("p", 64 * KIB).unwrap();
        put(&pool, "{}");
        let path = dir.path("p");
        let results = std::thread::scope(|scope| {
            let one = scope.spawn(|| Pool::resize(&path, 128 * KIB).map(drop));
            let two = scope.spawn(|| Pool::resize(&path, 32 * KIB).map(drop));
            let gone = scope.spawn(|| if round % 2 == 0 { Pool::delete(&path) } else { Ok(()) });
            [one.join().unwrap(), two.join().unwrap(), gone.join().unwrap()]
        });
        for error in results.into_iter().filter_map(Result::err) {
            assert!(
                matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Busy),
                "{round}: {error}"
            );
        }
        let names = names(&dir);
        assert!(names.is_empty() || names == ["p.plasmite"], "{names:?}");
        if !names.is_empty() {
            assert_eq!(healthy(&path).intact, 1);
            client.delete("p").unwrap();
        }
        assert_eq!(
            pool.append(b"{}", NO_TAGS, Durability::Fast).unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }
}

#[test]
fn a_tail_of_lines_goes_on_in_the_new_file_once_and_again() {
    let dir = Dir::new();
    let path = dir.path("p");
    let pool = filled(&dir, 64 * KIB, 20);
    let mut tail =
        pool.tail(TailOptions { since: Some(Seq::new(19)), ..Default::default() }).unwrap();
    let mut lines = Vec::new();
    assert_eq!(tail.try_lines(&mut lines, 1).unwrap(), 1);
    for resizes in 1..4 {
        for more in 0..resizes {
            Pool::resize(&path, (128 + more) * KIB).unwrap();
        }
        put(&Pool::open(&path).unwrap(), "{}");
        assert!(tail.wait(None).unwrap());
        while tail.try_lines(&mut lines, 1 << 20).unwrap() > 0 {}
    }
    let text = String::from_utf8(lines).unwrap();
    let seqs: Vec<_> = text.lines().map(|line| &line[..9]).collect();
    let wanted: Vec<_> = (19..=23).map(|seq| format!("{{\"seq\":{seq}")).collect();
    assert_eq!(seqs, wanted);
}

/// The child's part: stops itself, resizes, stops again.
pub fn stepped_resizer(path: &Path) {
    unsafe {
        println!("@{}", libc::gettid());
        libc::ptrace(libc::PTRACE_TRACEME);
        libc::raise(libc::SIGSTOP);
    }
    Pool::resize(path, crate::process::number("LEN")).unwrap();
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// Kills a resizer at one place after another; `go` leads it there and tells whether it still lives.
fn die(go: impl Fn(&Stepped, usize) -> bool, sizes: [u64; 2], message_len: usize) -> [usize; 2] {
    let dir = Dir::new();
    let path = dir.path("p");
    let mut outcomes = [0, 0];
    let mut newest = 0;
    drop(dir.pool("p", sizes[0]));
    for at in 0.. {
        let pool = Pool::open(&path).unwrap();
        for n in 1..=40 {
            newest = put(&pool, &document(1, n, message_len)).seq.get();
        }
        let before = envelopes(&path);
        let now = pool.info().unwrap().size_bytes;
        let other = if now == sizes[0] { sizes[1] } else { sizes[0] };
        let stepped = Stepped::start_as("stepped_resizer", &path, 0, other, false);
        let alive = go(&stepped, at);
        stepped.kill();
        let size = fs::metadata(&path).unwrap().len();
        assert!(size == now || size == other, "{at}: {size}");
        let after = envelopes(&path);
        if size == now {
            assert_eq!(after, before, "{at}");
            outcomes[0] += 1;
            assert_eq!(put(&pool, "{}").seq.get(), newest + 1, "{at}");
        } else {
            assert!(before.ends_with(&after) && !after.is_empty(), "{at}");
            outcomes[1] += 1;
            let e = pool.append(b"{}", NO_TAGS, Durability::Fast).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::NotFound, "{at}: {e}");
            let new = Pool::open(&path).unwrap();
            assert_eq!(put(&new, "{}").seq.get(), newest + 1, "{at}");
        }
        healthy(&path);
        if !alive {
            break;
        }
    }
    // What the dead ones left is removed by the next resize of the same file; here the file is another each time.
    let left = names(&dir).len() - 1;
    assert!(left <= 3, "{:?}", names(&dir));
    outcomes
}

#[test]
fn death_at_any_system_call_of_a_resize_leaves_the_old_pool_or_the_new_one() {
    let calls = |stepped: &Stepped, at: usize| (0..at).all(|_| stepped.next_call());
    let [old, new] = die(calls, [64 * KIB, 32 * KIB], 300);
    assert!(old > 30 && new > 3, "{old} {new}");
}

#[cfg(target_arch = "x86_64")]
const RENAMES: &[libc::c_long] = &[libc::SYS_rename, libc::SYS_renameat, libc::SYS_renameat2];
#[cfg(not(target_arch = "x86_64"))]
const RENAMES: &[libc::c_long] = &[libc::SYS_renameat, libc::SYS_renameat2];

#[test]
fn death_between_the_instructions_after_the_renaming_leaves_the_new_pool_and_orphans_nobody() {
    // From the call of rename(2) on, some instructions further each time.
    let instructions = |stepped: &Stepped, at: usize| {
        stepped.up_to_call(RENAMES) && (0..at * 61).all(|_| stepped.step())
    };
    let [_, new] = die(instructions, [16 * KIB, 12 * KIB], 100);
    println!("{new} deaths after the renaming");
    assert!(new > 10, "{new}");
}

#[test]
fn tails_and_writers_go_after_a_resizer_that_died_before_it_said_where() {
    for at in ["resize-renamed", "resize-synced"] {
        let dir = Dir::new();
        let path = dir.path("p");
        let pool = filled(&dir, 64 * KIB, 20);
        let mut tail =
            pool.tail(TailOptions { since: Some(Seq::new(21)), ..Default::default() }).unwrap();
        let vars = [("PLASMITE_DIE_AT", at.to_owned()), ("LEN", (128 * KIB).to_string())];
        let mut resizer = child("resizer", &path, &vars);
        assert_eq!(resizer.wait().unwrap().signal(), Some(libc::SIGKILL), "{at}");
        let error = pool.append(b"{}", NO_TAGS, Durability::Flush).unwrap_err();
        assert!(error.message().contains("resized"), "{at}: {error}");
        let new = Pool::open(&path).unwrap();
        assert_eq!(new.append(b"{}", NO_TAGS, Durability::Flush).unwrap().seq.get(), 21);
        assert_eq!(tail.next(None).unwrap().unwrap().seq().get(), 21, "{at}");
    }
}

#[test]
fn a_handle_finds_the_pool_after_a_dead_resizer_and_seven_more_resizes() {
    let dir = Dir::new();
    let path = dir.path("p");
    let pool = filled(&dir, 64 * KIB, 20);
    let vars = [("PLASMITE_DIE_AT", "resize-renamed".to_owned()), ("LEN", (65 * KIB).to_string())];
    let mut resizer = child("resizer", &path, &vars);
    assert_eq!(resizer.wait().unwrap().signal(), Some(libc::SIGKILL));
    for more in 1..=7 {
        Pool::resize(&path, (65 + more) * KIB).unwrap();
    }
    let error = pool.check_alive().unwrap_err();
    assert!(error.message().contains("resized"), "{error}");
}

#[test]
fn a_copy_that_takes_the_pools_place_is_not_taken_for_the_resized_pool() {
    for resized in [false, true] {
        let dir = Dir::new();
        let (path, copy) = (dir.path("p"), dir.path("copy"));
        let pool = filled(&dir, 64 * KIB, 20);
        fs::copy(&path, &copy).unwrap();
        if resized {
            Pool::resize(&copy, 128 * KIB).unwrap();
        }
        // The copy lacks it: whoever is at work on the old file may not be told that all of it went there.
        put(&pool, "{}");
        fs::rename(&copy, &path).unwrap();
        for _ in 0..2 {
            let error = pool.check_alive().unwrap_err();
            assert!(error.message().contains("deleted"), "{resized}: {error}");
        }
    }
}
