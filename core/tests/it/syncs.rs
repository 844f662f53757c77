//! Syncs that fail: after one nothing is called durable that may not be. And slow ones, which are shared.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use plasmite_core::{Durability, ErrorKind, Pool, Seq};

use crate::support::{
    Dir, KIB, NO_TAGS, Talk, check_document, child_command, document, is_root, put,
};

/// Builds the library that makes syncs fail, or slow.
fn other_syncs(dir: &Dir) -> PathBuf {
    let library = dir.tmp.path().join("other_syncs.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/other_syncs.c");
    let cc = Command::new("cc")
        .args(["-Wall", "-Werror", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status();
    assert!(cc.unwrap().success());
    library
}

fn with_library(role: &str, dir: &Dir, pool: &str, key: &str, value: &Path) -> Talk {
    let mut command = child_command(&[], role, &dir.path(pool));
    command.env("LD_PRELOAD", other_syncs(dir)).env(key, value);
    command.env("PATIENCE_MS", "2000").env("SIZE", (64 * KIB).to_string());
    Talk::start(command)
}

fn forget_the_boot(path: &Path) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[0xaa; 16], 832).unwrap();
}

/// Bytes of page cache that this thread has made dirty, by proc(5).
fn dirtied() -> u64 {
    let io = fs::read_to_string("/proc/thread-self/io").unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.unwrap().parse().unwrap()
}

#[test]
fn a_flush_writes_the_pages_of_its_message_and_not_what_the_kernel_read_ahead() {
    let dir = Dir::new();
    let text = document(0, 0, 16 << 10);
    for durability in [Durability::Flush, Durability::Fast] {
        let name = format!("{durability:?}");
        let pool = dir.pool(&name, 32 << 20);
        let durably = |count| {
            for _ in 0..count {
                pool.append(text.as_bytes(), NO_TAGS, durability).unwrap();
                pool.flush().unwrap();
            }
        };
        durably(900);
        let before = dirtied();
        durably(300);
        let each = (dirtied() - before) / 300;
        if each == 0 {
            eprintln!("not tested: this file system writes to no disk");
            return;
        }
        // Four or five pages, and as many that are made ready.
        assert!((16 << 10..=48 << 10).contains(&each), "{name}: {each} bytes for 16 KiB");
    }
}

#[test]
fn after_a_failed_sync_nobody_calls_anything_durable_until_the_pool_is_recovered() {
    let dir = Dir::new();
    let failing = dir.tmp.path().join("failing");
    drop(dir.pool("p", 64 * KIB));
    let mut writer = with_library("appender", &dir, "p", "FAIL_SYNCS_WHILE", &failing);
    assert_eq!(writer.hear(), "ready");
    // From the third on they sync the ring alone.
    for n in 1..=3 {
        assert_eq!(writer.ask("flush"), format!("ok {n}"));
    }
    fs::write(&failing, "").unwrap();
    assert_eq!(writer.ask("fast"), "ok 4");
    let said = writer.ask("flush");
    assert!(said.starts_with("Io") && said.contains("may not survive a power loss"), "{said}");
    assert_eq!(writer.ask("durable"), "ok 3");
    // The kernel reports a lost page once and calls it clean: that the next sync succeeds says nothing of it.
    fs::remove_file(&failing).unwrap();
    let said = writer.ask("flush");
    assert!(said.starts_with("Io") && said.contains("1 sync(s) failed before"), "{said}");
    assert_eq!(writer.ask("durable"), "ok 3");
    // Nor do others believe it, in this process or another, or a handle that is opened later.
    let other = Pool::open(&dir.path("p")).unwrap();
    assert_eq!(other.flush().unwrap_err().kind(), ErrorKind::Io);
    let error = other.append(b"{}", NO_TAGS, Durability::Flush).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.hint().is_some());
    assert_eq!(other.info().unwrap().durable, Seq::new(3));
    // What does not ask for it goes on.
    let next = other.bounds().unwrap().newest.next();
    assert_eq!(put(&other, "{}").seq, next);
    assert_eq!(writer.ask("fast"), format!("ok {}", next.next()));
    drop((writer, other));
    // After a restart the pool is what the disk holds, and syncs are believed again.
    forget_the_boot(&dir.path("p"));
    let pool = Pool::open(&dir.path("p")).unwrap();
    let receipt = pool.append(b"{}", NO_TAGS, Durability::Flush).unwrap();
    assert_eq!(pool.info().unwrap().durable, receipt.seq);
}

#[test]
fn a_pool_whose_file_can_not_be_synced_is_not_created_and_one_whose_name_can_not_be_is_told_of() {
    let dir = Dir::new();
    let create = |number: &str| {
        with_library("creator", &dir, "p", "FAIL_SYNC_NUMBER", Path::new(number)).hear()
    };
    let said = create("1");
    assert!(said.starts_with("Io"), "{said}");
    assert!(!dir.path("p").exists());
    let said = create("2");
    assert!(said.starts_with("Io") && said.contains("the pool is there"), "{said}");
    put(&Pool::open(&dir.path("p")).unwrap(), "{}");
}

#[test]
fn a_recovery_whose_sync_fails_is_an_error_and_the_next_one_does_it_all_again() {
    for number in ["1", "2"] {
        let dir = Dir::new();
        let pool = dir.pool("p", 64 * KIB);
        for n in 1..=300 {
            let durability = if n % 70 == 0 { Durability::Flush } else { Durability::Fast };
            pool.append(document(1, n, 300).as_bytes(), NO_TAGS, durability).unwrap();
        }
        let bounds = pool.bounds().unwrap();
        drop(pool);
        forget_the_boot(&dir.path("p"));
        let said =
            with_library("appender", &dir, "p", "FAIL_SYNC_NUMBER", Path::new(number)).hear();
        assert!(said.starts_with("Io") && said.contains("recover"), "{said}");
        let pool = Pool::open(&dir.path("p")).unwrap();
        assert_eq!(pool.bounds().unwrap(), bounds);
        for seq in bounds.oldest.get()..=bounds.newest.get() {
            assert_eq!(check_document(pool.get(Seq::new(seq)).unwrap().data()), (1, seq));
        }
        pool.append(b"{}", NO_TAGS, Durability::Flush).unwrap();
    }
}

#[test]
fn threads_that_flush_through_one_handle_share_syncs() {
    let dir = Dir::new();
    let syncs = dir.tmp.path().join("syncs");
    drop(dir.pool("p", 64 * KIB));
    let mut threads = with_library("flushing_threads", &dir, "p", "SLOW_SYNCS", &syncs);
    assert_eq!(threads.hear(), "ok 320");
    // Whoever appends while a sync lasts shares the next one: of 16 threads all but one. 320 messages take 20 or 30 syncs so.
    let count = fs::metadata(&syncs).unwrap().len();
    eprintln!("{count} syncs");
    assert!(count <= 80, "{count} syncs for 320 messages");
}

/// An ext4 on a loop device on a small file system in memory: its disk fails once that is full.
struct FailingDisk {
    dir: tempfile::TempDir,
}

impl FailingDisk {
    fn sh(&self, script: &str) -> bool {
        let mut bash = Command::new("bash");
        bash.args(["-e", "-c", script]).current_dir(self.dir.path());
        bash.output().unwrap().status.success()
    }

    fn new() -> Option<Self> {
        let disk = Self { dir: tempfile::tempdir().unwrap() };
        let made = disk.sh("mkdir mem disk; mount -t tmpfs -o size=6m none mem; truncate -s 64m mem/image
            mkfs.ext4 -q -E lazy_itable_init=1,lazy_journal_init=1 -J size=4 mem/image; mount -o loop mem/image disk");
        if !made {
            eprintln!("skipped: no loop device can be had");
        }
        made.then_some(disk)
    }
}

impl Drop for FailingDisk {
    fn drop(&mut self) {
        self.sh("umount -l disk; umount -l mem");
    }
}

#[test]
fn on_a_disk_that_really_fails_a_flush_is_an_error_and_stays_one() {
    let Some(disk) = is_root().then(FailingDisk::new).flatten() else { return };
    let path = disk.dir.path().join("disk/p.plasmite");
    let pool = Pool::create(&path, 8192 * KIB).unwrap();
    // From here on the blocks that the pool reserved can't be written: the disk itself has no room for them.
    assert!(disk.sh("head -c 6m /dev/zero > mem/filler || true"));
    let text = document(1, 1, 200_000);
    let mut promised = 0;
    let error = loop {
        match pool.append(text.as_bytes(), NO_TAGS, Durability::Flush) {
            Ok(receipt) => promised = receipt.seq.get(),
            Err(e) => break e,
        }
        assert!(promised < 1000, "the disk does not fail");
    };
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    for _ in 0..3 {
        assert_eq!(pool.flush().unwrap_err().kind(), ErrorKind::Io);
        let error = pool.append(b"{}", NO_TAGS, Durability::Flush).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    }
    if let Ok(info) = pool.info() {
        assert_eq!(info.durable.get(), promised);
    }
}
