//! Every interleaving of a few processes, up to a number of preemptions: nobody misses a wake-up, reads what was overwritten,
//! gets a seq twice, or is held up by a dead process.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use shuttle::scheduler::Scheduler;
use shuttle::{Config, MaxSteps, Runner};

use super::scheduler::Bounded;
use super::world::{Points, World, process};
use super::{document, scratch_dir};
use crate::format::header::{COMMITTED_SEQ_AT, OLDEST_SEQ_AT, STATE_AT, WAITERS_AT};
use crate::pool::{Bell, wait_any};
use crate::{Durability, ErrorKind, OpenOptions, Pool, Seq, Timestamp, Waited};

/// Runs `act` under every schedule that the scheduler knows; how many that were.
pub(super) fn explore(
    scheduler: impl Scheduler + 'static,
    act: impl Fn() + Send + Sync + 'static,
) -> usize {
    let mut config = Config::new();
    config.max_steps = MaxSteps::FailAfter(20_000);
    config.silence_warnings = true;
    let count = Runner::new(scheduler, config).run(act);
    eprintln!("{count} interleavings");
    count
}

/// A pool file to start each execution from.
pub(super) struct Start {
    _dir: tempfile::TempDir,
    pub(super) path: PathBuf,
    image: Vec<u8>,
}

impl Start {
    pub(super) fn of(fill: impl FnOnce(&Pool)) -> Arc<Self> {
        let dir = scratch_dir();
        let path = dir.path().join("p.plasmite");
        fill(&Pool::create(&path, 8192).unwrap());
        let image = std::fs::read(&path).unwrap();
        Arc::new(Self { _dir: dir, path, image })
    }

    /// Puts the file back and gives a process' handle of it.
    pub(super) fn restore(&self) -> &Path {
        std::fs::write(&self.path, &self.image).unwrap();
        &self.path
    }
}

/// The clock stands still: handles look for their file's name once.
pub(super) fn open(path: &Path) -> Pool {
    OpenOptions::new().clock(|| Timestamp::from_nanos(1 << 60)).open(path).unwrap()
}

pub(super) fn put(pool: &Pool, text: &str) -> u64 {
    pool.append::<&str>(text.as_bytes(), &[], Durability::Fast).unwrap().seq.get()
}

/// So many preemptions, and PLASMITE_MORE_PREEMPTIONS: each takes about twenty times as long.
pub(super) fn up_to(preemptions: u32) -> Bounded {
    let more = std::env::var("PLASMITE_MORE_PREEMPTIONS").ok().and_then(|n| n.parse::<u32>().ok());
    Bounded::new(Some(preemptions + more.unwrap_or(0)))
}

/// The two words by which waiting readers and waking writers meet.
pub(super) fn of_waking(place: usize) -> bool {
    [COMMITTED_SEQ_AT, WAITERS_AT].contains(&(place as u64))
}

/// And the one that says that the pool was deleted.
fn of_waiting(place: usize) -> bool {
    [COMMITTED_SEQ_AT, WAITERS_AT, STATE_AT].contains(&(place as u64))
}

/// Everything but the locks, tips and places, which only writers look at.
pub(super) fn of_reading(place: usize) -> bool {
    [COMMITTED_SEQ_AT, OLDEST_SEQ_AT].contains(&(place as u64)) || place >= 4096
}

pub(super) fn all(_place: usize) -> bool {
    true
}

/// Appenders and waiters beside each other; who waits has no timeout. Each waiter waits for all messages, one after the other.
fn nobody_sleeps_on(writers: u64, each: u64, waiters: u64, schedules: Bounded) -> usize {
    let start = Start::of(|_| ());
    explore(schedules, move || {
        let (world, _observing) = World::new(of_waking, false);
        world.run(|| {
            let path = start.restore();
            let handles: Vec<_> = (0..writers + waiters).map(|_| open(path)).collect();
            let mut tasks = Vec::new();
            for (i, pool) in handles.into_iter().enumerate() {
                tasks.push(process(&world, move |_| {
                    if (i as u64) < writers {
                        (0..each).for_each(|_| {
                            put(&pool, "{}");
                        });
                        return;
                    }
                    let mut seen = Seq::ZERO;
                    while seen.get() < writers * each {
                        assert_eq!(pool.wait_or_signal(seen, None).unwrap(), Waited::Newer);
                        seen = seen.next();
                    }
                }));
            }
            tasks.into_iter().for_each(|task| task.join().unwrap());
        });
    })
}

#[test]
fn no_wake_up_is_missed_under_any_interleaving_of_an_appender_and_a_waiter() {
    assert!(nobody_sleeps_on(1, 1, 1, Bounded::default()) > 100);
    nobody_sleeps_on(1, 2, 1, up_to(3));
}

#[test]
fn no_wake_up_is_missed_by_two_waiters() {
    nobody_sleeps_on(1, 1, 2, up_to(2));
}

/// An appender dies before its access number `n`, beside two others who wait, and have waited for so long. Who has waited for a while
/// already would sleep for ever.
fn death_beside_waiters(n: usize, waited: Duration) -> bool {
    let start = Start::of(|_| ());
    let reached = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let died = reached.clone();
    explore(up_to(1), move || {
        let (world, _observing) = World::new(of_waking, true);
        let died = died.clone();
        world.run(|| {
            let doomed = open(start.restore());
            let heir = open(&start.path);
            let waiters = [open(&start.path), open(&start.path)];
            let waiting = waiters.map(|pool| {
                process(&world, move |_| {
                    assert_eq!(pool.wait_or_signal(Seq::ZERO, None).unwrap(), Waited::Newer);
                })
            });
            let first = process(&world, move |world| {
                // It leaves a mark behind.
                if !waited.is_zero() {
                    assert!(!doomed.wait(Seq::ZERO, Some(waited)).unwrap());
                }
                world.until_death(n, || put(&doomed, "{}")).is_some()
            });
            if !first.join().unwrap() {
                died.store(true, std::sync::atomic::Ordering::Relaxed);
                if heir.bounds().unwrap().newest == Seq::ZERO {
                    put(&heir, "{}");
                }
            }
            waiting.into_iter().for_each(|task| task.join().unwrap());
        });
    });
    reached.load(std::sync::atomic::Ordering::Relaxed)
}

#[test]
fn death_at_any_access_of_waking_leaves_nobody_asleep() {
    for waited in [Duration::ZERO, Duration::from_secs(1)] {
        let last = (0..).find(|n| !death_beside_waiters(*n, waited)).unwrap();
        assert!(last > 15, "{last}");
    }
}

/// A process that deletes the pool dies before its access number `n`, beside one that has waited for a while and would sleep for ever.
fn death_of_a_deleter(n: usize) -> bool {
    let start = Start::of(|_| ());
    let reached = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let died = reached.clone();
    explore(up_to(0), move || {
        let (world, _observing) = World::new(of_waiting, true);
        let died = died.clone();
        world.run(|| {
            let (doomed, waiter) = (open(start.restore()), open(&start.path));
            let path = start.path.clone();
            let first = process(&world, move |world| {
                assert!(!doomed.wait(Seq::ZERO, Some(Duration::from_secs(1))).unwrap());
                world.until_death(n, || Pool::delete(&path).unwrap()).is_some()
            });
            let waiting = process(&world, move |_| {
                let error = waiter.wait_or_signal(Seq::ZERO, None).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::NotFound);
            });
            if !first.join().unwrap() {
                died.store(true, std::sync::atomic::Ordering::Relaxed);
                if start.path.exists() {
                    Pool::delete(&start.path).unwrap();
                }
            }
            waiting.join().unwrap();
        });
    });
    reached.load(std::sync::atomic::Ordering::Relaxed)
}

#[test]
fn who_waits_learns_of_a_deletion_whose_process_died_at_any_access() {
    let last = (0..).find(|n| !death_of_a_deleter(*n)).unwrap();
    assert!(last > 10, "{last}");
}

#[test]
fn no_wake_up_is_missed_when_two_appenders_wake_at_once() {
    nobody_sleeps_on(2, 1, 1, up_to(2));
    nobody_sleeps_on(2, 1, 2, up_to(1));
}

#[test]
fn no_wake_up_is_missed_by_who_waits_for_several_pools_and_a_bell() {
    let starts = [Start::of(|_| ()), Start::of(|_| ())];
    explore(up_to(1), move || {
        let (world, _observing) = World::new(of_waiting_or_own, false);
        world.run(|| {
            let pools = starts.each_ref().map(|start| (open(start.restore()), open(&start.path)));
            let [(a, for_a), (b, for_b)] = pools;
            let bell = Arc::new(Bell::default());
            let ringer = bell.clone();
            let tasks = [
                process(&world, move |_| {
                    put(&a, "{}");
                }),
                process(&world, move |_| {
                    put(&b, "{}");
                    ringer.ring();
                }),
                process(&world, move |_| {
                    let newest = |pool: &Pool| pool.bounds().unwrap().newest;
                    loop {
                        let (heard, seen) = (bell.rings(), [newest(&for_a), newest(&for_b)]);
                        if heard == 1 && seen == [Seq::FIRST; 2] {
                            break;
                        }
                        let pools = [(&for_a, seen[0]), (&for_b, seen[1])];
                        wait_any(&pools, &bell, heard, Duration::from_secs(9));
                    }
                }),
            ];
            tasks.into_iter().for_each(|task| task.join().unwrap());
        });
    });
}

fn of_waiting_or_own(place: usize) -> bool {
    place == usize::MAX || of_waiting(place)
}

#[test]
fn who_waits_learns_of_a_deletion_under_any_interleaving() {
    let start = Start::of(|_| ());
    explore(up_to(3), move || {
        let (world, _observing) = World::new(of_waiting, false);
        world.run(|| {
            let pool = open(start.restore());
            let path = start.path.clone();
            let tasks = [
                process(&world, move |_| Pool::delete(&path).unwrap()),
                process(&world, move |_| {
                    let error = pool.wait_or_signal(Seq::ZERO, None).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::NotFound);
                }),
            ];
            tasks.into_iter().for_each(|task| task.join().unwrap());
        });
    });
}

/// A full ring, in which the next small message takes the place of the first.
pub(super) fn full_ring() -> Arc<Start> {
    Start::of(|pool| {
        put(pool, &document(1, 1, 20));
        // The rest of the ring, but for less than the next message needs.
        let room = pool.max_message_bytes() as usize;
        put(pool, &document(1, 2, room - 160));
        assert_eq!(pool.bounds().unwrap().oldest, Seq::FIRST);
    })
}

/// Of the message that a full ring loses and the one that it gets: it is there whole, or not at all.
pub(super) fn reads_what_goes_and_what_comes(reader: &Pool) {
    for seq in [1, 3] {
        let len = if seq == 1 { 20 } else { 10 };
        match reader.get(Seq::new(seq)) {
            Ok(message) => assert_eq!(message.data(), document(1, seq, len)),
            Err(e) => assert_eq!(e.kind(), ErrorKind::NotFound, "{e}"),
        }
    }
    let bounds = reader.bounds().unwrap();
    assert!(bounds.oldest.get() <= 2 && bounds.newest.get() >= 2);
}

fn a_reader_beside_a_writer_that_overtakes_it(points: Points, preemptions: u32) -> usize {
    let start = full_ring();
    explore(up_to(preemptions), move || {
        let (world, _observing) = World::new(points, false);
        world.run(|| {
            let (writer, reader) = (open(start.restore()), open(&start.path));
            let tasks = [
                process(&world, move |_| {
                    assert_eq!(put(&writer, &document(1, 3, 10)), 3);
                    assert_eq!(writer.bounds().unwrap().oldest.get(), 2, "the ring was not full");
                }),
                process(&world, move |_| {
                    reads_what_goes_and_what_comes(&reader);
                    reader.log_range().unwrap();
                }),
            ];
            tasks.into_iter().for_each(|task| task.join().unwrap());
        });
    })
}

#[test]
fn a_reader_that_is_overtaken_at_any_access_never_gets_other_bytes() {
    a_reader_beside_a_writer_that_overtakes_it(of_reading, 2);
    a_reader_beside_a_writer_that_overtakes_it(all, 1);
}

/// Two processes append to a full ring at once: each gets a seq of its own, and both messages are there.
pub(super) fn two_append(world: &Rc<World>, start: &Start) {
    let handles = [open(start.restore()), open(&start.path)];
    let reader = open(&start.path);
    let mut tasks = Vec::new();
    for (w, pool) in (1..).zip(handles) {
        tasks.push(process(world, move |_| (put(&pool, &document(w, 1, 10)), w)));
    }
    let mut given: Vec<_> = tasks.into_iter().map(|task| task.join().unwrap()).collect();
    given.sort();
    assert_eq!(given.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [3, 4]);
    for (seq, w) in given {
        assert_eq!(reader.get(Seq::new(seq)).unwrap().data(), document(w, 1, 10));
    }
}

#[test]
fn appenders_that_meet_at_any_access_get_seqs_without_holes_and_lose_nothing() {
    let start = full_ring();
    explore(up_to(2), move || {
        let (world, _observing) = World::new(all, true);
        world.run(|| two_append(&world, &start));
    });
}

/// One process dies before access number `n` of its append, another appends meanwhile: it is not held up, and the message of
/// the dead is there whole or not at all.
fn death_beside_an_append(n: usize, preemptions: u32) -> (usize, bool) {
    let start = full_ring();
    let reached = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let died = reached.clone();
    let count = explore(up_to(preemptions), move || {
        let (world, _observing) = World::new(all, true);
        let died = died.clone();
        world.run(|| {
            let (doomed, heir) = (open(start.restore()), open(&start.path));
            let reader = open(&start.path);
            // Places are taken before.
            put(&doomed, &document(5, 3, 0));
            put(&heir, &document(5, 4, 0));
            let first = process(&world, move |world| {
                let end = world.until_death(n, || put(&doomed, &document(6, 1, 10)));
                // The kernel closes the files of a dead process.
                drop(doomed);
                end
            });
            let second = process(&world, move |_| put(&heir, &document(7, 1, 10)));
            let (first, second) = (first.join().unwrap(), second.join().unwrap());
            if first.is_none() {
                died.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            let newest = reader.bounds().unwrap().newest.get();
            let dead_mans = [5, 6].into_iter().find(|seq| *seq <= newest && *seq != second);
            assert!(newest == second || Some(newest) == dead_mans, "{newest} {second}");
            assert_eq!(reader.get(Seq::new(second)).unwrap().data(), document(7, 1, 10));
            match dead_mans {
                Some(seq) => {
                    assert_eq!(reader.get(Seq::new(seq)).unwrap().data(), document(6, 1, 10));
                    assert!(first.is_none_or(|said| said == seq));
                }
                None => assert!(first.is_none(), "an acknowledged message is gone"),
            }
            assert_eq!(put(&reader, "{}"), newest + 1);
        });
    });
    (count, reached.load(std::sync::atomic::Ordering::Relaxed))
}

#[test]
fn death_at_any_access_of_an_append_holds_nobody_up_and_loses_nothing() {
    let mut total = 0;
    for n in 0.. {
        let (count, died) = death_beside_an_append(n, 1);
        total += count;
        if !died {
            eprintln!("{n} places to die, {total} interleavings");
            assert!(n > 30, "only {n} accesses");
            break;
        }
    }
}

/// One process stops before access number `n` of its append, as by SIGSTOP, and another appends meanwhile: it gets in or is told Busy,
/// and nobody takes the place of the stopped one, which goes on then.
fn a_stop_beside_an_append(n: usize, preemptions: u32) -> (usize, bool) {
    let start = full_ring();
    let reached = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let came_there = reached.clone();
    let count = explore(up_to(preemptions), move || {
        let (world, _observing) = World::new(all, true);
        let came_there = came_there.clone();
        world.run(|| {
            let (stopped, other) = (open(start.restore()), impatient(&start.path));
            let reader = open(&start.path);
            // Places are taken before.
            put(&stopped, &document(5, 3, 0));
            put(&other, &document(5, 4, 0));
            let (tell, told) = shuttle::sync::mpsc::channel();
            let first = process(&world, move |world| {
                world.with_a_stop(n, told, || put(&stopped, &document(6, 1, 10)))
            });
            let second = process(&world, move |_| {
                let text = document(7, 1, 10);
                let got = other.append::<&str>(text.as_bytes(), &[], Durability::Fast);
                // It has not begun, or has ended: then nobody is there to be told.
                let _ = tell.send(());
                match got {
                    Ok(receipt) => receipt.seq.get(),
                    Err(e) => {
                        assert_eq!(e.kind(), ErrorKind::Busy, "{e}");
                        put(&other, &text)
                    }
                }
            });
            let ((first, stopped), second) = (first.join().unwrap(), second.join().unwrap());
            if stopped {
                came_there.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            let mut seqs = [first, second];
            seqs.sort_unstable();
            assert_eq!(seqs, [5, 6]);
            assert_eq!(reader.get(Seq::new(first)).unwrap().data(), document(6, 1, 10));
            assert_eq!(reader.get(Seq::new(second)).unwrap().data(), document(7, 1, 10));
            assert_eq!(put(&reader, "{}"), 7);
        });
    });
    (count, reached.load(std::sync::atomic::Ordering::Relaxed))
}

/// Waits for a lock no longer than a dead holder takes to be found out.
fn impatient(path: &Path) -> Pool {
    let options = OpenOptions::new().clock(|| Timestamp::from_nanos(1 << 60));
    options.patience(Duration::from_millis(30)).open(path).unwrap()
}

#[test]
fn a_writer_stopped_at_any_access_of_an_append_is_never_replaced() {
    let mut total = 0;
    for n in 0.. {
        let (count, stopped) = a_stop_beside_an_append(n, 1);
        total += count;
        if !stopped {
            eprintln!("{n} places to stop, {total} interleavings");
            assert!(n > 30, "only {n} accesses");
            break;
        }
    }
}
