//! Who is at a pool.

use std::io::{BufRead, BufReader};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use plasmite_core::{Activity, Bell, Pool, Seq, wait_any};

use crate::support::{Dir, KIB, child, put};

/// Looks until it is so; the test's watchdog ends what never comes.
fn until(pool: &Pool, wanted: Activity) {
    while pool.activity().unwrap() != wanted {
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn writers_are_the_handles_that_have_appended_and_are_open() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    let only_looks = Pool::open_read_only(pool.path()).unwrap();
    let writers = || only_looks.activity().unwrap().writers;
    let mut others: Vec<Pool> = (0..7).map(|_| Pool::open(pool.path()).unwrap()).collect();
    assert_eq!(writers(), 0);
    for (n, other) in (1..).zip(&others) {
        put(other, "{}");
        assert_eq!(writers(), n);
    }
    assert_eq!(others[3].activity().unwrap().writers, 6, "without itself");
    // Those that are left lie on both sides of holes.
    for gone in [5, 3, 1] {
        others.remove(gone);
    }
    // A process that another test starts has all descriptors for the moment until it is its program. (A watchdog waits for us.)
    let come_to = |count| {
        while writers() != count {
            std::thread::yield_now()
        }
    };
    come_to(4);
    others.clear();
    come_to(0);
}

#[test]
fn a_writer_that_was_killed_is_none_any_more() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    let args = [("W", "1"), ("COUNT", "1000000000"), ("LEN", "9"), ("SPREAD", "0"), ("FLUSH", "0")];
    let mut writer = child("writer", pool.path(), &args.map(|(k, v)| (k, v.to_owned())));
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines().map_while(Result::ok);
    // Its second receipt: by then it has appended.
    assert!(lines.by_ref().filter(|line| line.contains('@')).nth(2).is_some());
    assert!(pool.activity().unwrap().writers <= 1);
    writer.kill().unwrap();
    writer.wait().unwrap();
    assert_eq!(pool.activity().unwrap().writers, 0);
}

#[test]
fn readers_asleep_are_counted_and_not_woken() {
    let dir = Dir::new();
    let (pool, other) = (dir.pool("p", 64 * KIB), dir.pool("q", 64 * KIB));
    let args = [("COUNT", "2".to_owned()), ("READ_ONLY", "0".to_owned())];
    let mut process = child("waiter", pool.path(), &args);
    let mut said = BufReader::new(process.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    // The first line is behind what the harness says.
    assert!(said.any(|line| line.ends_with("@ready")));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let waiter = || assert!(Pool::open(pool.path()).unwrap().wait(Seq::ZERO, None).unwrap());
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(waiter)).collect();
        let of_many = scope.spawn(|| {
            let bell = Bell::default();
            while pool.bounds().unwrap().is_empty() {
                let pools = [(&other, Seq::ZERO), (&pool, Seq::ZERO)];
                wait_any(&pools, &bell, 0, Duration::from_secs(60));
            }
        });
        until(&pool, Activity { writers: 0, waiting: Some(5) });
        until(&other, Activity { writers: 0, waiting: Some(1) });
        // Whoever is counted all the time misses no message.
        let counting = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                pool.activity().unwrap();
            }
        });
        put(&pool, "{}");
        assert!(said.any(|line| line == "@1 {}"));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        of_many.join().unwrap();
        put(&pool, "{}");
        assert!(said.any(|line| line == "@2 {}"));
        done.store(true, Ordering::Relaxed);
        counting.join().unwrap();
    });
    until(&pool, Activity { writers: 0, waiting: Some(0) });
    process.wait().unwrap();
}

#[test]
fn a_handle_that_only_reads_can_not_tell_who_waits() {
    let dir = Dir::new();
    let pool = dir.pool("p", 64 * KIB);
    put(&pool, "{}");
    let read_only = Pool::open_read_only(pool.path()).unwrap();
    assert_eq!(read_only.activity().unwrap(), Activity { writers: 1, waiting: None });
    assert!(!read_only.awaits_recovery());
}
