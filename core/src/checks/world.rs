//! A world for the model checker `shuttle`: processes are tasks that run one at a time, each access to shared memory is a
//! point at which another may go on; futexes, time and death are the world's.
//!
//! What is explored is every order of the accesses: each of them seen by all at once, or, with a [`Memory`], by some later than by
//! others, as far as the orderings that the code names let it be.

use std::cell::{Cell as Value, RefCell};
use std::collections::{HashMap, HashSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shuttle::sync::atomic::AtomicBool;
use shuttle::sync::mpsc::{Receiver, Sender, channel};
use shuttle::thread::{self, ThreadId};

use super::places::Places;
use super::weak::Memory;
use crate::format::header::COMMITTED_SEQ_AT;
use crate::sys::futex::Ended;
use crate::sys::observed::{Cell, Change, Observer, Observing, observe};

/// Which words are points. Accesses to others commute with all that other tasks do, or are none of the scenario's business.
pub(super) type Points = fn(usize) -> bool;

pub(super) struct World {
    points: Points,
    /// False: nobody wakes but by being woken. Who is never woken is a deadlock, which the checker reports.
    time_passes: bool,
    places: Places,
    /// An access to it is a point at which the checker may switch.
    gate: AtomicBool,
    clock: Value<Duration>,
    sleepers: RefCell<Vec<Sleeper>>,
    /// Tells the timer of a sleep.
    tick: RefCell<Option<Sender<()>>>,
    over: Value<bool>,
    /// Who dies, and before which of its accesses from now on.
    doomed: Value<Option<(ThreadId, usize)>>,
    /// Who stops, before which of its accesses, and what lets it go on.
    stopping: RefCell<Option<(ThreadId, usize, Receiver<()>)>>,
    dead: RefCell<HashSet<ThreadId>>,
    /// At which place the death of a task wakes.
    wills: RefCell<HashMap<ThreadId, usize>>,
    /// The newest message that was committed, and the newest of those that were so when a sync began that has ended.
    committed: Value<u64>,
    synced: Value<u64>,
    /// None: everybody sees everything at once.
    memory: Option<Memory>,
}

/// A sleep of so long lasts for ever here.
const AN_HOUR: Duration = Duration::from_secs(3600);
const NEVER: Duration = Duration::MAX;

struct Sleeper {
    on: Vec<usize>,
    until: Duration,
    alarm: Sender<Ended>,
}

/// Ends a task as `kill -9` ends a process: nothing it does while it unwinds has any effect.
struct Death;

impl World {
    /// The world of one execution, and of all its tasks until the guard is dropped.
    pub(super) fn new(points: Points, time_passes: bool) -> (Rc<Self>, Observing) {
        Self::with_memory(points, time_passes, None)
    }

    pub(super) fn with_memory(
        points: Points,
        time_passes: bool,
        memory: Option<Memory>,
    ) -> (Rc<Self>, Observing) {
        let world = Rc::new(Self {
            points,
            time_passes,
            places: Places::default(),
            gate: AtomicBool::new(false),
            clock: Value::default(),
            sleepers: RefCell::default(),
            tick: RefCell::default(),
            over: Value::new(false),
            doomed: Value::default(),
            stopping: RefCell::default(),
            dead: RefCell::default(),
            wills: RefCell::default(),
            committed: Value::default(),
            synced: Value::default(),
            memory,
        });
        (world.clone(), observe(world))
    }

    /// The newest message that a sync has made safe.
    pub(super) fn synced(&self) -> u64 {
        self.synced.get()
    }

    /// Runs `main` with the task that lets time pass beside it.
    pub(super) fn run(self: &Rc<Self>, main: impl FnOnce()) {
        let world = Local(self.clone());
        let (tick, ticks) = channel();
        *self.tick.borrow_mut() = Some(tick.clone());
        let timer = thread::spawn(move || world.let_time_pass(&ticks));
        main();
        self.over.set(true);
        tick.send(()).unwrap();
        timer.join().unwrap();
    }

    fn let_time_pass(&self, ticks: &Receiver<()>) {
        while ticks.recv().is_ok() && !self.over.get() {
            let mut sleepers = self.sleepers.borrow_mut();
            // A tick for each sleep; some were woken.
            let timed = (0..sleepers.len()).filter(|i| sleepers[*i].until < NEVER);
            let Some(next) = timed.min_by_key(|i| sleepers[*i].until) else {
                continue;
            };
            let sleeper = sleepers.remove(next);
            drop(sleepers);
            self.clock.set(self.clock.get().max(sleeper.until));
            sleeper.alarm.send(Ended::TimeOut).unwrap();
        }
    }

    /// Runs what a process does until it dies before its access number `n`. None: it died.
    pub(super) fn until_death<T>(&self, n: usize, act: impl FnOnce() -> T) -> Option<T> {
        self.doomed.set(Some((thread::current().id(), n)));
        match catch_unwind(AssertUnwindSafe(act)) {
            Ok(result) => {
                self.doomed.set(None);
                Some(result)
            }
            Err(why) if why.is::<Death>() => None,
            Err(why) => resume_unwind(why),
        }
    }

    /// Runs what a process does, which stops before its access number `n` until it is told to go on. False: it did not come there.
    pub(super) fn with_a_stop<T>(
        &self,
        n: usize,
        go_on: Receiver<()>,
        act: impl FnOnce() -> T,
    ) -> (T, bool) {
        *self.stopping.borrow_mut() = Some((thread::current().id(), n, go_on));
        let result = act();
        (result, self.stopping.take().is_none())
    }

    fn stop_if_told_to(&self, me: ThreadId) {
        let mut stopping = self.stopping.borrow_mut();
        let Some((_, n, _)) = stopping.as_mut().filter(|(who, ..)| *who == me) else { return };
        match n.checked_sub(1) {
            Some(left) => *n = left,
            None => {
                let told = stopping.take();
                drop(stopping);
                if let Some((_, _, go_on)) = told {
                    go_on.recv().unwrap();
                }
            }
        }
    }

    /// False: nobody sleeps there.
    fn wake_one(&self, place: usize, how: Ended) -> bool {
        let mut sleepers = self.sleepers.borrow_mut();
        let Some(at) = sleepers.iter().position(|s| s.on.contains(&place)) else { return false };
        let sleeper = sleepers.remove(at);
        drop(sleepers);
        sleeper.alarm.send(how).unwrap();
        true
    }

    /// A point for the access to `cell`. False: by a dead process.
    fn point(&self, cell: Cell<'_>) -> bool {
        match self.places.of(cell) {
            Some(place) => self.point_at((self.points)(place)),
            // A word of the process' own, which its threads share.
            None => self.point_at((self.points)(usize::MAX)),
        }
    }

    fn point_at(&self, switches: bool) -> bool {
        let me = thread::current().id();
        if self.dead.borrow().contains(&me) {
            return false;
        }
        if let Some((doomed, n)) = self.doomed.get().filter(|(doomed, _)| *doomed == me) {
            if n == 0 {
                self.doomed.set(None);
                self.dead.borrow_mut().insert(me);
                let will = self.wills.borrow_mut().remove(&me);
                if let Some(place) = will {
                    self.wake_one(place, Ended::Death);
                }
                resume_unwind(Box::new(Death));
            }
            self.doomed.set(Some((doomed, n - 1)));
        }
        self.stop_if_told_to(me);
        if switches {
            self.gate.load(Ordering::SeqCst);
        }
        true
    }

    /// Where a word of the file is remembered; the others are of one process.
    fn remembered(&self, cell: Cell<'_>) -> Option<(&Memory, usize)> {
        Some((self.memory.as_ref()?, self.places.of(cell)?))
    }

    fn sleeping_place(&self, cell: Cell<'_>) -> usize {
        self.places.of(cell).unwrap_or(cell.address())
    }
}

/// Tasks all run on one thread of the system, whatever the checker's types ask for.
struct Local<T>(Rc<T>);

#[allow(unsafe_code, reason = "shuttle wants what it moves between tasks to be Send")]
// SAFETY: all tasks of an execution run on the thread that runs it.
unsafe impl<T> Send for Local<T> {}

impl<T> std::ops::Deref for Local<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Starts a process: a task that is one of the world's.
pub(super) fn process<T: Send + 'static>(
    world: &Rc<World>,
    act: impl FnOnce(&World) -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    if let Some(memory) = &world.memory {
        memory.start_others();
    }
    let world = Local(world.clone());
    thread::spawn(move || act(&world))
}

impl Observer for World {
    fn mapped(&self, start: usize, bytes: usize) {
        self.places.mapped(start, bytes);
    }

    fn load(&self, cell: Cell<'_>, order: Ordering) -> u64 {
        self.point(cell);
        match self.remembered(cell) {
            Some((memory, place)) => memory.load(place, cell.load(), order),
            None => cell.load(),
        }
    }

    fn store(&self, cell: Cell<'_>, value: u64, order: Ordering) {
        if self.point(cell) {
            if let Some((memory, place)) = self.remembered(cell) {
                memory.store(place, cell.load(), value, order);
            }
            cell.store(value);
            if self.places.of(cell) == Some(COMMITTED_SEQ_AT as usize) {
                self.committed.set(value);
            }
        }
    }

    fn update(
        &self,
        cell: Cell<'_>,
        success: Ordering,
        failure: Ordering,
        change: Change<'_>,
    ) -> Result<u64, u64> {
        let alive = self.point(cell);
        let newest = cell.load();
        let (before, next) = match self.remembered(cell).filter(|_| alive) {
            Some((memory, place)) => memory.update(place, newest, success, failure, change),
            None => (newest, change(newest)),
        };
        match next {
            Some(next) => {
                if alive {
                    cell.store(next);
                }
                Ok(before)
            }
            None => Err(before),
        }
    }

    fn fence(&self, order: Ordering) {
        if let Some(memory) = &self.memory {
            memory.fence(order);
        }
    }

    fn sleep_on(&self, cells: &[(Cell<'_>, u32)], timeout: Duration) -> Ended {
        if !self.point_at(true)
            || cells.iter().any(|(cell, expected)| cell.load() as u32 != *expected)
        {
            return Ended::Woken;
        }
        let (alarm, alarms) = channel();
        self.sleepers.borrow_mut().push(Sleeper {
            on: cells.iter().map(|(cell, _)| self.sleeping_place(*cell)).collect(),
            until: if timeout < AN_HOUR { self.clock.get() + timeout } else { NEVER },
            alarm,
        });
        let tick = self.tick.borrow().clone();
        if let Some(tick) = tick.filter(|_| self.time_passes) {
            tick.send(()).unwrap();
        }
        alarms.recv().unwrap()
    }

    fn wake(&self, cell: Cell<'_>, count: i32) -> u32 {
        if !self.point_at(true) {
            return 0;
        }
        let place = self.sleeping_place(cell);
        let woken = (0..count).take_while(|_| self.wake_one(place, Ended::Woken));
        woken.count() as u32
    }

    fn last_will(&self, cell: Option<Cell<'_>>) {
        let me = thread::current().id();
        let mut wills = self.wills.borrow_mut();
        match cell {
            // One without a memory is always 0 here.
            Some(cell) => wills.insert(me, self.sleeping_place(cell)),
            None => wills.remove(&me),
        };
    }

    fn sync(&self, _from: usize) -> io::Result<()> {
        let committed = self.committed.get();
        // One who dies in it may have done it or not.
        if self.point_at(true) && self.point_at(true) {
            self.synced.set(self.synced.get().max(committed));
        }
        Ok(())
    }

    fn system_call(&self) -> bool {
        let alive = self.point_at(true);
        if let Some(memory) = self.memory.as_ref().filter(|_| alive) {
            memory.system_call();
        }
        alive
    }

    fn now(&self) -> Duration {
        self.clock.get()
    }

    fn pause(&self) {
        self.clock.set(self.clock.get() + Duration::from_millis(1));
        thread::yield_now();
    }
}
