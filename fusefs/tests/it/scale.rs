//! Many messages, pools, readers and bytes at once.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use plasmite_core::Pool;

use crate::fixture::{Fixture, append, is_blocked, read, wait_for};

/// SEMANTICS: A listing shows the messages and nothing else
#[test]
fn a_hundred_thousand_messages_are_listed_completely() {
    let f = Fixture::sized(32 << 20);
    let pool = f.pool();
    for i in 0..100_000 {
        append(&pool, &format!("{{\"i\":{i}}}"));
    }
    assert_eq!(pool.bounds().unwrap().count(), 100_000);
    let writer = {
        let pool = pool.clone();
        std::thread::spawn(move || (0..2000).for_each(|i| append(&pool, &format!("{{\"i\":{i}}}"))))
    };
    let count: u64 = f.sh("ls -U docs | wc -l").ok().trim().parse().unwrap();
    assert!((100_000..=102_000).contains(&count), "{count}");
    writer.join().unwrap();
    assert_eq!(f.sh("ls -lU docs | tail -n +2 | wc -l").ok(), "102000\n");
    assert_eq!(f.sh("ls -U docs | head -n 102000 | tail -n 1").ok(), "102000\n");
}

/// SEMANTICS: A listing shows the messages and nothing else
#[test]
fn listings_are_whole_while_messages_come_and_go() {
    let f = Fixture::sized(256 << 10);
    let pool = f.pool();
    let writer = Writer::start(pool);
    for _ in 0..30 {
        let names = f.sh("ls -U docs; ls -lU docs > /dev/null 2>&1").out;
        let seqs: Vec<u64> = names.lines().map(|l| l.parse().unwrap()).collect();
        assert!(seqs.windows(2).all(|w| w[0] < w[1]));
    }
    drop(writer);
}

/// Appends until it is dropped.
struct Writer {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Writer {
    fn start(pool: Pool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                append(&pool, "{\"some\":\"text\"}");
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// SEMANTICS: A listing shows the messages and nothing else
#[test]
fn each_of_a_hundred_thousand_messages_that_stays_is_listed_once_while_others_come_and_go() {
    let f = Fixture::sized(8 << 20);
    let pool = f.pool();
    while pool.bounds().unwrap().oldest.get() == 1 {
        append(&pool, "{\"some\":\"text\"}");
    }
    assert!(pool.bounds().unwrap().count() > 100_000);
    let writer = Writer::start(pool.clone());
    for script in ["ls docs", "ls -la docs", "find docs -type f"] {
        let before = pool.bounds().unwrap();
        // A message that goes after its name was read has nothing to be told of: ls says so, and goes on.
        let listed = f.sh(script).out;
        let after = pool.bounds().unwrap();
        assert!(after.oldest > before.oldest, "{script}: nothing came and went");
        let lines = listed.lines().filter(|line| !line.starts_with("total "));
        let names = lines.filter_map(|line| line.rsplit([' ', '/']).next());
        let seqs: Vec<u64> = names.filter_map(|name| name.parse().ok()).collect();
        let distinct: BTreeSet<_> = seqs.iter().copied().collect();
        assert_eq!(distinct.len(), seqs.len(), "{script}: some are listed twice");
        let missing = (after.oldest.get()..=before.newest.get()).find(|n| !distinct.contains(n));
        assert_eq!(missing, None, "{script}");
    }
    drop(writer);
}

#[test]
fn a_thousand_pools_are_made_listed_written_and_read() {
    let f = Fixture::sized(8192);
    let names: BTreeSet<_> = (0..1000).map(|n| format!("pool-{n}")).collect();
    for name in &names {
        fs::create_dir(f.mnt().join(name)).unwrap();
        fs::write(f.mnt().join(name).join("x.json"), format!("{{\"in\":\"{name}\"}}")).unwrap();
    }
    fs::remove_dir(f.docs()).unwrap();
    let listed = fs::read_dir(f.mnt()).unwrap().map(|e| e.unwrap().file_name().into_string());
    assert_eq!(listed.map(Result::unwrap).collect::<BTreeSet<_>>(), names);
    for name in &names {
        let log = read(f.mnt().join(name).join("log"));
        assert!(log.ends_with(&format!("\"data\":{{\"in\":\"{name}\"}}}}\n")), "{log}");
        assert_eq!(log.lines().count(), 1);
    }
    assert_eq!(f.sh("cat */1.json | wc -l").ok(), "1000\n");
}

/// SEMANTICS: tail and follow never end
#[test]
fn two_hundred_open_streams_get_every_message() {
    const STREAMS: usize = 200;
    const MESSAGES: usize = 20;
    let f = Fixture::new();
    let pools = ["docs", "a", "b", "c"].map(|name| {
        fs::create_dir_all(f.mnt().join(name)).unwrap();
        f.client().open(name).unwrap()
    });
    let readers: Vec<_> = (0..STREAMS)
        .map(|n| {
            let name = ["docs", "a", "b", "c"][n % pools.len()];
            let view = ["follow", "tail"][n / pools.len() % 2];
            let file = File::open(f.mnt().join(name).join(view)).unwrap();
            std::thread::spawn(move || {
                let lines = BufReader::new(file).lines().take(MESSAGES);
                lines.map(|line| line.unwrap()).collect::<Vec<_>>()
            })
        })
        .collect();
    for n in 0..MESSAGES {
        for pool in &pools {
            append(pool, &format!("{{\"n\":{n}}}"));
        }
    }
    for reader in readers {
        for (n, line) in reader.join().unwrap().iter().enumerate() {
            assert!(line.ends_with(&format!("\"data\":{{\"n\":{n}}}}}")), "{line}");
        }
    }
}

/// SEMANTICS: Any other name takes a stream of documents
#[test]
fn a_block_of_json_lines_is_written_by_one_call() {
    let f = Fixture::new();
    let block = b"{\"a\":1}\n".repeat(8192);
    assert_eq!(block.len(), 64 << 10);
    let mut file = File::create(f.docs().join("in")).unwrap();
    assert_eq!(file.write(&block).unwrap(), block.len());
    assert_eq!(f.pool().bounds().unwrap().newest.get(), 8192);
    assert!(f.data().iter().all(|data| data == "{\"a\":1}"));
}

/// Ends only if nothing waits; otherwise the watchdog ends it.
#[test]
fn nobody_waits_for_blocked_readers_and_slow_writers() {
    let f = Fixture::new();
    fs::create_dir(f.mnt().join("other")).unwrap();
    let readers: Vec<_> = (0..8).map(|_| f.spawn("exec cat docs/follow")).collect();
    for reader in &readers {
        wait_for("the reader to block", || is_blocked(reader.0.id()));
    }
    let unfinished = ["slow.json", "in", ".draft"].map(|name| {
        let mut file = File::create(f.docs().join(name)).unwrap();
        file.write_all(b"{\"slow\":").unwrap();
        file
    });
    for pool in ["docs", "other"] {
        let script = format!(
            "cd {pool}; echo '{{\"a\":1}}' > x.json; echo '{{\"a\":2}}' >> in; cat 1.json 2.json; ls; wc -l < log; \
             stat 1 > /dev/null; getfattr -d 1 > /dev/null; mkdir ../new && rmdir ../new"
        );
        assert_eq!(f.sh(&script).ok(), "{\"a\":1}\n{\"a\":2}\n1\n2\n2\n", "{pool}");
    }
    for mut file in unfinished {
        file.write_all(b"1}\n").unwrap();
    }
    assert_eq!(f.pool().bounds().unwrap().newest.get(), 4);
}
