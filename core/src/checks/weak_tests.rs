//! The engine where a process may see what another stored late, and in another order: what it publishes, reads, locks and waits by.

use std::sync::Arc;

use super::document;
use super::interleavings::{
    Start, all, explore, full_ring, of_reading, of_waking, open, put,
    reads_what_goes_and_what_comes, two_append, up_to,
};
use super::weak::{Forgotten, Memory};
use super::world::{Points, World, process};
use crate::format::header::{COMMITTED_SEQ_AT, WRITER_LOCK_AT};
use crate::{Seq, Waited};

/// How far an exploration goes: so many preemptions, and loads that get an old value.
#[derive(Clone, Copy)]
struct Depth {
    preemptions: u32,
    stale: u32,
}

/// A reader of the messages that a full ring loses and gets.
fn a_reader_beside_a_writer(
    start: &Arc<Start>,
    points: Points,
    depth: Depth,
    forgotten: Forgotten,
) -> usize {
    let start = start.clone();
    let schedules = up_to(depth.preemptions);
    let choices = schedules.choices();
    explore(schedules, move || {
        let memory = Memory::new(choices.clone(), depth.stale, forgotten);
        let (world, _observing) = World::with_memory(points, false, Some(memory));
        world.run(|| {
            let (writer, reader) = (open(start.restore()), open(&start.path));
            let tasks = [
                process(&world, move |_| {
                    assert_eq!(put(&writer, &document(1, 3, 10)), 3);
                }),
                process(&world, move |_| reads_what_goes_and_what_comes(&reader)),
            ];
            tasks.into_iter().for_each(|task| task.join().unwrap());
        });
    })
}

/// Who waits, without a timeout, for a message that another process appends.
fn a_waiter_beside_an_appender(start: &Arc<Start>, depth: Depth, forgotten: Forgotten) -> usize {
    let start = start.clone();
    let schedules = up_to(depth.preemptions);
    let choices = schedules.choices();
    explore(schedules, move || {
        let memory = Memory::new(choices.clone(), depth.stale, forgotten);
        let (world, _observing) = World::with_memory(of_waking, false, Some(memory));
        world.run(|| {
            let (writer, reader) = (open(start.restore()), open(&start.path));
            let tasks = [
                process(&world, move |_| {
                    put(&writer, "{\"a\":1}");
                }),
                process(&world, move |_| {
                    assert_eq!(reader.wait_or_signal(Seq::ZERO, None).unwrap(), Waited::Newer);
                    assert_eq!(reader.get(Seq::FIRST).unwrap().data(), "{\"a\":1}");
                }),
            ];
            tasks.into_iter().for_each(|task| task.join().unwrap());
        });
    })
}

/// Two that append, each of whom goes on from what the other left.
fn two_appenders(start: &Arc<Start>, depth: Depth, forgotten: Forgotten) -> usize {
    let start = start.clone();
    let schedules = up_to(depth.preemptions);
    let choices = schedules.choices();
    explore(schedules, move || {
        let memory = Memory::new(choices.clone(), depth.stale, forgotten);
        let (world, _observing) = World::with_memory(all, true, Some(memory));
        world.run(|| two_append(&world, &start));
    })
}

#[test]
fn a_reader_that_sees_stores_late_never_gets_other_bytes() {
    let depth = Depth { preemptions: 2, stale: 2 };
    assert!(a_reader_beside_a_writer(&full_ring(), of_reading, depth, Forgotten::Nothing) > 1000);
}

#[test]
fn no_wake_up_is_missed_by_who_sees_stores_late() {
    let depth = Depth { preemptions: 3, stale: 4 };
    assert!(a_waiter_beside_an_appender(&empty(), depth, Forgotten::Nothing) > 100);
}

#[test]
fn appenders_that_see_stores_late_go_on_from_each_other() {
    let depth = Depth { preemptions: 1, stale: 2 };
    assert!(two_appenders(&full_ring(), depth, Forgotten::Nothing) > 300);
}

fn empty() -> Arc<Start> {
    Start::of(|_| ())
}

/// True when an exploration ends with a failure. On a thread of its own: what fails leaves its world behind.
fn fails(start: &Arc<Start>, act: impl FnOnce(&Arc<Start>) -> usize + Send + 'static) -> bool {
    let its = start.clone();
    let failed = std::thread::spawn(move || act(&its)).join().is_err();
    if let Some(dir) = start.path.parent() {
        std::fs::remove_dir_all(dir).unwrap();
    }
    failed
}

#[test]
fn each_ordering_that_is_forgotten_is_missed() {
    let depth = Depth { preemptions: 1, stale: 1 };
    let (committed, lock) = (COMMITTED_SEQ_AT as usize, WRITER_LOCK_AT as usize);
    for forgotten in
        [Forgotten::ReleaseFences, Forgotten::AcquireFences, Forgotten::LoadsOf(committed)]
    {
        let found = fails(&full_ring(), move |start| {
            a_reader_beside_a_writer(start, of_reading, depth, forgotten)
        });
        assert!(found, "{forgotten:?} goes unnoticed by a reader");
    }
    let forgotten = Forgotten::TheSingleOrder;
    let found = fails(&empty(), move |start| a_waiter_beside_an_appender(start, depth, forgotten));
    assert!(found, "nobody sleeps on");
    for forgotten in [Forgotten::LoadsOf(lock), Forgotten::StoresTo(lock)] {
        let found = fails(&full_ring(), move |start| two_appenders(start, depth, forgotten));
        assert!(found, "{forgotten:?}: the lock orders");
    }
}
