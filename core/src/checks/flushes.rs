//! Every interleaving of a few processes that flush, up to a number of preemptions: nobody is told of a message that no sync has made
//! safe, sleeps for ever, or is held up by a dead process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::interleavings::{Start, explore, open, up_to};
use super::scheduler::Bounded;
use super::world::{World, process};
use crate::format::header::{DURABLE_SEQ_AT, FLUSH_TARGET_AT, SYNC_LOCK_AT};
use crate::{Durability, Pool};

/// The words by which those who ask for syncs and those who make them meet.
fn of_syncing(place: usize) -> bool {
    [SYNC_LOCK_AT, FLUSH_TARGET_AT, DURABLE_SEQ_AT].contains(&(place as u64))
}

fn flush(world: &World, pool: &Pool) -> u64 {
    let seq = pool.append::<&str>(b"{}", &[], Durability::Flush).unwrap().seq.get();
    assert!(world.synced() >= seq, "message {seq} was acknowledged, {} are safe", world.synced());
    seq
}

/// Processes, each of so many threads, that flush `each` messages at once.
fn flush_together(threads: &'static [usize], each: usize, schedules: Bounded) -> usize {
    let start = Start::of(|_| ());
    explore(schedules, move || {
        let (world, _observing) = World::new(of_syncing, true);
        world.run(|| {
            let path = start.restore();
            let handles: Vec<_> = threads
                .iter()
                .flat_map(|threads| std::iter::repeat_n(open(path), *threads))
                .collect();
            let writers = handles.len();
            let tasks: Vec<_> = handles
                .into_iter()
                .map(|pool| {
                    process(&world, move |world| {
                        for _ in 0..each {
                            flush(world, &pool);
                        }
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| task.join().unwrap());
            assert_eq!(world.synced(), (writers * each) as u64);
        });
    })
}

#[test]
fn what_is_acknowledged_is_safe_under_any_interleaving_of_those_who_flush() {
    assert!(flush_together(&[1, 1], 3, up_to(2)) > 100);
    flush_together(&[1, 1, 1], 2, up_to(1));
}

#[test]
fn what_is_acknowledged_is_safe_under_any_interleaving_of_threads_that_flush() {
    assert!(flush_together(&[2], 3, up_to(2)) > 100);
    assert!(flush_together(&[2, 1], 2, up_to(1)) > 100);
    flush_together(&[3], 2, up_to(1));
}

/// One process dies before access number `n` of its flushes, another flushes meanwhile: it is not held up.
fn death_beside_a_flush(n: usize, preemptions: u32) -> (usize, bool) {
    let start = Start::of(|_| ());
    let reached = Arc::new(AtomicBool::new(false));
    let died = reached.clone();
    let count = explore(up_to(preemptions), move || {
        let (world, _observing) = World::new(of_syncing, true);
        let died = died.clone();
        world.run(|| {
            let (doomed, heir) = (open(start.restore()), open(&start.path));
            let first = process(&world, move |world| {
                // So that they know of each other.
                flush(world, &doomed);
                let end = world.until_death(n, || flush(world, &doomed));
                // The kernel closes the files of a dead process.
                drop(doomed);
                end
            });
            let second = process(&world, move |world| {
                for _ in 0..3 {
                    flush(world, &heir);
                }
            });
            if first.join().unwrap().is_none() {
                died.store(true, Ordering::Relaxed);
            }
            second.join().unwrap();
        });
    });
    (count, reached.load(Ordering::Relaxed))
}

#[test]
fn death_at_any_access_of_a_flush_holds_nobody_up() {
    let mut total = 0;
    for n in 0.. {
        let (count, died) = death_beside_a_flush(n, 1);
        total += count;
        if !died {
            eprintln!("{n} places to die, {total} interleavings");
            assert!(n > 30, "only {n} accesses");
            break;
        }
    }
}
