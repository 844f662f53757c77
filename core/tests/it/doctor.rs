//! The doctor: it finds what is damaged, says nothing of what is not, and saves what is intact.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use plasmite_core::doctor::{self, Report, Severity};
use plasmite_core::{Durability, Entry, ErrorKind, Message, Pool, Seq, json::Document};

use crate::support::{Dir, KIB, NO_TAGS, check_document, child, document, put};

fn damages(report: &Report) -> Vec<(&'static str, Option<u64>, Option<u64>)> {
    let damage = report.findings.iter().filter(|f| f.severity == Severity::Damage);
    damage.map(|f| (f.part, f.seq.map(Seq::get), f.offset)).collect()
}

#[track_caller]
pub fn healthy(path: &Path) -> Report {
    let report = doctor::check(path).unwrap();
    assert!(!report.is_damaged(), "{}", report.to_json());
    report
}

fn remarks(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(|f| f.part).collect()
}

/// Every message of a pool as its envelope.
pub fn messages(path: &Path) -> Vec<Message> {
    let pool = Pool::open_read_only(path).unwrap();
    let bounds = pool.bounds().unwrap();
    (bounds.oldest.get()..=bounds.newest.get()).map(|s| pool.get(Seq::new(s)).unwrap()).collect()
}

fn envelopes(path: &Path) -> Vec<String> {
    messages(path).iter().map(Message::to_json).collect()
}

/// A pool with a small ring that went round, and the file as it is then.
fn turned(dir: &Dir, name: &str) -> Vec<u8> {
    let pool = dir.pool(name, 8192);
    for n in 1..=60 {
        let text = document(1, n, 100 + (n as usize * 37) % 90);
        let tags = ["odd", "all"];
        let tags = if n % 2 == 0 { &tags[1..] } else { &tags[..] };
        pool.append(text.as_bytes(), tags, Durability::Fast).unwrap();
    }
    drop(pool);
    fs::read(dir.path(name)).unwrap()
}

/// Where the frame of message `seq` starts in the file.
fn frame_at(file: &[u8], seq: u64) -> usize {
    let word = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
    let slot = 4096 + (seq % word(32)) as usize * 4;
    let units = u32::from_le_bytes(file[slot..slot + 4].try_into().unwrap());
    word(40) as usize + units as usize * 8
}

/// Changes a bit of byte `offset` of the frame of message `seq`, which may run over the end of the ring.
fn spoil(file: &mut [u8], seq: u64, offset: usize) {
    let word = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap()) as usize;
    let (ring, ring_bytes) = (word(40), word(48));
    let at = ring + (frame_at(file, seq) - ring + offset) % ring_bytes;
    file[at] ^= 0x10;
}

fn bounds_of(file: &[u8]) -> (u64, u64) {
    let word = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
    (word(584), word(576))
}

#[test]
fn healthy_pools_get_no_finding() {
    let dir = Dir::new();
    let pool = dir.pool("empty", 64 * KIB);
    let report = healthy(&dir.path("empty"));
    assert_eq!((report.intact, report.used_bytes), (0, 0));
    assert_eq!(report.findings, []);
    put(&pool, "{}");
    pool.append(b"{\"a\":[1,2.50,\"x\"]}", &["t"], Durability::Flush).unwrap();
    let report = healthy(&dir.path("empty"));
    assert_eq!((report.intact, report.findings.len()), (2, 0));
    assert_eq!(report.used_bytes, pool.info().unwrap().used_bytes);
    turned(&dir, "turned");
    let report = healthy(&dir.path("turned"));
    assert_eq!(report.findings, []);
    assert!(report.intact > 10 && report.bounds.unwrap().oldest > Seq::FIRST);
    assert!(report.to_json().contains("\"status\":\"healthy\""));
}

#[test]
fn what_can_not_be_read_is_an_error_and_no_report() {
    let dir = Dir::new();
    let kind = |path: &Path| doctor::check(path).unwrap_err().kind();
    assert_eq!(kind(&dir.path("none")), ErrorKind::NotFound);
    assert_eq!(kind(dir.tmp.path()), ErrorKind::Usage);
    fs::write(dir.path("old"), b"PLSM\x03\0\0\0 and so on").unwrap();
    assert_eq!(kind(&dir.path("old")), ErrorKind::Usage);
}

#[test]
fn a_damaged_frame_is_named_with_its_seq_and_offset_and_the_others_are_counted() {
    let dir = Dir::new();
    let whole = turned(&dir, "p");
    let (oldest, newest) = bounds_of(&whole);
    for seq in [oldest, (oldest + newest) / 2, newest] {
        let mut file = whole.clone();
        let at = frame_at(&whole, seq);
        spoil(&mut file, seq, 44);
        fs::write(dir.path("p"), &file).unwrap();
        let report = doctor::check(&dir.path("p")).unwrap();
        assert_eq!(damages(&report), [("frame", Some(seq), Some(at as u64))]);
        assert_eq!(report.intact, newest - oldest);
        let json = report.to_json();
        assert!(
            json.contains("\"status\":\"damaged\"") && json.contains("\"part\":\"frame\""),
            "{json}"
        );
    }
}

#[test]
fn what_is_no_pool_any_more_is_damage_of_the_header() {
    let dir = Dir::new();
    let whole = turned(&dir, "p");
    for (content, part) in [
        (b"hello".to_vec(), "header"),
        (Vec::new(), "header"),
        (whole[..6000].to_vec(), "size"),
        (whole[..40].to_vec(), "size"),
        ([&b"\x88"[..], &whole[1..]].concat(), "header"),
        ([&whole[..8], &[3], &whole[9..]].concat(), "header"),
        ([&whole[..70], &[whole[70] ^ 4], &whole[71..]].concat(), "header"),
    ] {
        fs::write(dir.path("p"), &content).unwrap();
        let report = doctor::check(&dir.path("p")).unwrap();
        assert_eq!(damages(&report).len(), 1, "{}", report.to_json());
        assert_eq!(damages(&report)[0].0, part, "{}", report.to_json());
    }
}

#[test]
fn forged_frames_with_right_checksums_are_told_by_what_is_wrong_in_them() {
    let dir = Dir::new();
    let pool = dir.pool("p", 8192);
    put(&pool, "{\"a\":1}");
    put(&pool, "{\"b\":2}");
    drop(pool);
    let whole = fs::read(dir.path("p")).unwrap();
    for (data, part) in [
        (&b"{\"b\":x}"[..], "json"),
        (b"[1,2,3]", "json"),
        (b"{\"b\": 2", "json"),
        (b"{\"b\":\xff}", "text"),
        (b"{ \"b\":1}", "json"),
    ] {
        let mut file = whole.clone();
        let at = frame_at(&whole, 2);
        forge(&mut file, at, data);
        fs::write(dir.path("p"), &file).unwrap();
        let report = doctor::check(&dir.path("p")).unwrap();
        let found = damages(&report);
        assert!(
            found.iter().any(|d| d.0 == part && d.1 == Some(2)),
            "{data:?}: {}",
            report.to_json()
        );
    }
}

/// Puts `data` into the frame at `at`, which has no tags, with a right checksum.
fn forge(file: &mut [u8], at: usize, data: &[u8]) {
    file[at + 32..at + 36].copy_from_slice(&(data.len() as u32).to_le_bytes());
    file[at + 36..at + 36 + data.len()].copy_from_slice(data);
    file[at..at + 4].copy_from_slice(&crc32c(data).to_le_bytes());
    let crc = crc32c(&file[at..at + 36]);
    file[at..at + 4].copy_from_slice(&crc.to_le_bytes());
}

/// CRC32C, bit by bit, as RFC 3720 has it.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    })
}

#[test]
fn writers_at_work_on_a_tiny_ring_are_no_damage() {
    let dir = Dir::new();
    let pool = dir.pool("p", 8192);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for w in 1..=3 {
            let (stop, pool) = (&stop, pool.clone());
            scope.spawn(move || {
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let text = document(w, n, (n as usize * 71) % 900);
                    let parsed = Document::parse(text.as_bytes()).unwrap();
                    let batch = [Entry { document: &parsed, tags: &["t"] }; 5];
                    let durability = if n % 50 == 0 { Durability::Flush } else { Durability::Fast };
                    pool.append_batch(&batch[..1 + n as usize % 5], durability).unwrap();
                }
            });
        }
        for _ in 0..400 {
            let report = doctor::check(&dir.path("p"));
            if report.as_ref().map_or(true, |r| !r.findings.is_empty()) {
                stop.store(true, Ordering::Relaxed);
            }
            let report = report.unwrap();
            assert_eq!(report.findings, [], "{}", report.to_json());
        }
        stop.store(true, Ordering::Relaxed);
    });
    // How many it finds while they work depends on who is faster.
    let report = doctor::check(&dir.path("p")).unwrap();
    assert_eq!((report.findings.len(), report.intact), (0, pool.bounds().unwrap().count()));
}

#[test]
fn what_killed_writers_leave_is_no_damage() {
    let dir = Dir::new();
    let pool = dir.pool("p", 8192);
    for n in 0..40 {
        let mut writer = child(
            "writer",
            &dir.path("p"),
            &crate::concurrency::writer_args(n, 100_000, 50, 900, false),
        );
        let before = pool.bounds().unwrap().newest.get();
        while pool.bounds().unwrap().newest.get() < before + 20 + n % 7 {
            std::thread::yield_now();
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        let report = healthy(&dir.path("p"));
        assert!(report.findings.iter().all(|f| f.part == "bounds"), "{}", report.to_json());
    }
}

#[test]
fn a_writer_stopped_in_the_lock_is_no_damage() {
    let dir = Dir::new();
    let pool = dir.pool("p", 8192);
    put(&pool, "{}");
    let holder = crate::crash::stopped_in_the_lock(&dir.path("p"));
    assert_eq!(healthy(&dir.path("p")).findings, []);
    holder.go_on();
    assert_eq!(healthy(&dir.path("p")).findings, []);
}

#[test]
fn a_pool_that_waits_for_its_recovery_gets_a_remark() {
    let dir = Dir::new();
    let mut file = turned(&dir, "p");
    file[832..848].fill(0xaa);
    fs::write(dir.path("p"), &file).unwrap();
    let report = healthy(&dir.path("p"));
    assert_eq!(remarks(&report), ["recovery"]);
    let (oldest, newest) = bounds_of(&file);
    assert_eq!(report.intact, newest - oldest + 1);
}

#[test]
fn rights_that_are_too_wide_and_sparse_files_get_a_remark() {
    let dir = Dir::new();
    drop(dir.pool("p", 64 * KIB));
    fs::set_permissions(dir.path("p"), fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(remarks(&healthy(&dir.path("p"))), ["permissions"]);
    fs::set_permissions(dir.path("p"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(dir.tmp.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(remarks(&healthy(&dir.path("p"))), ["permissions"]);
    fs::set_permissions(dir.tmp.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let content = fs::read(dir.path("p")).unwrap();
    let sparse = fs::File::create(dir.path("sparse")).unwrap();
    sparse.set_len(64 * KIB).unwrap();
    sparse.write_all_at(&content[..4096], 0).unwrap();
    assert_eq!(remarks(&healthy(&dir.path("sparse"))), ["space"]);
}

#[test]
fn salvage_of_a_healthy_pool_is_a_copy() {
    let dir = Dir::new();
    turned(&dir, "p");
    let saved = doctor::salvage(&dir.path("p"), &dir.path("new")).unwrap();
    assert_eq!((saved.lost, saved.renumbered), (0, 0));
    assert_eq!(envelopes(&dir.path("new")), envelopes(&dir.path("p")));
    assert_eq!(healthy(&dir.path("new")).findings, []);
    let (old, new) = (Pool::open(&dir.path("p")).unwrap(), Pool::open(&dir.path("new")).unwrap());
    assert_ne!(old.id(), new.id());
    assert_eq!(old.log_range().unwrap(), new.log_range().unwrap());
    // And it goes on, around the ring.
    for n in 0..100 {
        assert_eq!(put(&new, &document(2, n, 200)).seq, put(&old, &document(2, n, 200)).seq);
    }
    assert_eq!(healthy(&dir.path("new")).findings, []);
    // Also of one that holds nothing.
    drop(dir.pool("empty", 8192));
    doctor::salvage(&dir.path("empty"), &dir.path("new empty")).unwrap();
    assert_eq!(envelopes(&dir.path("new empty")).len(), 0);
}

#[test]
fn salvage_keeps_the_newest_seq_and_closes_holes_from_the_old_end() {
    let dir = Dir::new();
    let mut file = turned(&dir, "p");
    let (oldest, newest) = bounds_of(&file);
    let before = messages(&dir.path("p"));
    let bad = [oldest + 3, oldest + 4, newest - 5];
    for seq in bad {
        spoil(&mut file, seq, 40);
    }
    fs::write(dir.path("p"), &file).unwrap();
    let saved = doctor::salvage(&dir.path("p"), &dir.path("new")).unwrap();
    assert_eq!(saved.lost, 3);
    let gap = |first, last| (Seq::new(first), Seq::new(last));
    assert_eq!(saved.gaps, [gap(newest - 5, newest - 5), gap(oldest + 3, oldest + 4)]);
    assert_eq!(saved.renumbered, newest - 5 - oldest - 2);
    let after = messages(&dir.path("new"));
    let kept: Vec<&Message> = before.iter().filter(|m| !bad.contains(&m.seq().get())).collect();
    assert_eq!(after.len(), kept.len());
    for (new, old) in after.iter().zip(kept) {
        assert_eq!((new.time(), new.data()), (old.time(), old.data()));
        assert!(new.tags().eq(old.tags()));
        if new.seq().get() > newest - 5 {
            assert_eq!(new.to_json(), old.to_json());
        }
    }
    assert_eq!(saved.bounds.newest.get(), newest);
    assert_eq!(healthy(&dir.path("new")).findings, []);
    assert_eq!(fs::read(dir.path("p")).unwrap(), file, "the damaged file was touched");
}

#[test]
fn salvage_finds_the_messages_of_a_pool_without_any_header() {
    let dir = Dir::new();
    let whole = turned(&dir, "p");
    let before = envelopes(&dir.path("p"));
    let mut damaged: Vec<(Vec<u8>, usize)> = Vec::new();
    // The header page gone; the index too; bits of it wrong; committed and oldest nonsense.
    for range in [0..4096, 0..4352, 0..64, 576..600, 640..744] {
        for byte in [0x00, 0xff, 0x5a] {
            let mut file = whole.clone();
            file[range.clone()].fill(byte);
            damaged.push((file, before.len()));
        }
    }
    // Another length, with a header that tells the old one and without.
    damaged.push(([&whole[..], &[0; 5000]].concat(), before.len()));
    damaged.push(([&[7; 4096], &whole[4096..], &[0; 3000]].concat(), before.len() - 1));
    damaged.push((whole[..7000].to_vec(), 1));
    for (i, (file, least)) in damaged.iter().enumerate() {
        fs::write(dir.path("p"), file).unwrap();
        let out = dir.path(&format!("out{i}"));
        let saved = doctor::salvage(&dir.path("p"), &out).unwrap_or_else(|e| panic!("{i}: {e}"));
        let after = envelopes(&out);
        // The ring held the end of an evicted message or so.
        assert!(after.len() >= *least, "{i}: {} of {least}: {saved:?}", after.len());
        if *least == before.len() {
            assert!(after.ends_with(&before), "{i}: {saved:?}");
        }
        for message in messages(&out) {
            check_document(message.data());
        }
        assert_eq!(healthy(&out).findings, [], "{i}");
        assert_eq!(fs::read(dir.path("p")).unwrap(), *file, "{i}: the damaged file was touched");
    }
}

#[test]
fn salvage_replaces_nothing_and_leaves_nothing_behind_when_it_fails() {
    let dir = Dir::new();
    let whole = turned(&dir, "p");
    put(&dir.pool("there", 8192), "{}");
    let kind =
        |from: &str, to: &str| doctor::salvage(&dir.path(from), &dir.path(to)).unwrap_err().kind();
    assert_eq!(kind("p", "there"), ErrorKind::AlreadyExists);
    assert_eq!(kind("p", "p"), ErrorKind::AlreadyExists);
    assert_eq!(kind("none", "new"), ErrorKind::NotFound);
    fs::write(dir.path("p"), vec![0; whole.len()]).unwrap();
    assert_eq!(kind("p", "new"), ErrorKind::Corrupt);
    fs::write(dir.path("p"), b"hello").unwrap();
    assert_eq!(kind("p", "new"), ErrorKind::Corrupt);
    assert_eq!(envelopes(&dir.path("there")).len(), 1);
    let mut names: Vec<_> =
        fs::read_dir(dir.tmp.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["p.plasmite", "there.plasmite"]);
}

#[test]
fn what_nobody_else_could_read_is_salvaged_for_nobody_else() {
    let dir = Dir::new();
    turned(&dir, "p");
    fs::set_permissions(dir.path("p"), fs::Permissions::from_mode(0o600)).unwrap();
    doctor::salvage(&dir.path("p"), &dir.path("new")).unwrap();
    assert_eq!(fs::metadata(dir.path("new")).unwrap().permissions().mode() & 0o7777, 0o600);
}

#[test]
fn salvage_beside_a_writer_takes_a_run_without_holes() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                pool.append(document(1, n, 300).as_bytes(), NO_TAGS, Durability::Fast).unwrap();
            }
        });
        let ended = StopAtEnd(&stop);
        while pool.bounds().unwrap().is_empty() {
            std::thread::yield_now();
        }
        for i in 0..30 {
            let out = dir.path(&format!("out{i}"));
            let saved = doctor::salvage(&dir.path("p"), &out).unwrap();
            assert_eq!((saved.lost, saved.renumbered), (0, 0), "{saved:?}");
            for message in messages(&out) {
                assert_eq!(check_document(message.data()).1, message.seq().get());
            }
        }
        drop(ended);
    });
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
