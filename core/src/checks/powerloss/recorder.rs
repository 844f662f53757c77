//! Records every store to the pool's file and every sync.

use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::disk::Event;
use super::judge::PAGE;
use crate::checks::places::Places;
use crate::sys::futex::Ended;
use crate::sys::observed::{Cell, Change, Observer, monotonic};

/// An observer of one thread: of one process after the other, which do not wait for each other.
#[derive(Default)]
pub(super) struct Recorder {
    places: Places,
    /// What another process does during the next sync.
    meanwhile: RefCell<Option<Box<dyn FnOnce()>>>,
    events: RefCell<Vec<Event>>,
}

impl Recorder {
    /// How much was recorded: the time by which things are ordered.
    pub(super) fn now(&self) -> usize {
        self.events.borrow().len()
    }

    pub(super) fn during_next_sync(&self, act: impl FnOnce() + 'static) {
        *self.meanwhile.borrow_mut() = Some(Box::new(act));
    }

    pub(super) fn take(&self) -> Vec<Event> {
        self.events.take()
    }

    fn stored(&self, cell: Cell<'_>, value: u64) {
        if let Some(at) = self.places.of(cell) {
            let bytes = cell.bytes();
            self.events.borrow_mut().push(Event::Store { at, value, bytes });
        }
    }
}

/// Ends an operation that waits for another process, as if it had given up.
struct Waits;

/// Runs what another process does; None when it had to wait.
pub(super) fn unless_it_waits<T>(act: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(result) => Some(result),
        Err(why) if why.is::<Waits>() => None,
        Err(why) => resume_unwind(why),
    }
}

impl Observer for Recorder {
    fn mapped(&self, start: usize, bytes: usize) {
        self.places.mapped(start, bytes);
    }

    fn store(&self, cell: Cell<'_>, value: u64, _order: Ordering) {
        cell.store(value);
        self.stored(cell, value);
    }

    fn update(
        &self,
        cell: Cell<'_>,
        _success: Ordering,
        _failure: Ordering,
        change: Change<'_>,
    ) -> Result<u64, u64> {
        let before = cell.load();
        let Some(next) = change(before) else { return Err(before) };
        cell.store(next);
        self.stored(cell, next);
        Ok(before)
    }

    fn sync(&self, from: usize) -> io::Result<()> {
        self.events.borrow_mut().push(Event::SyncBegins);
        // The other process has its turn only once: it may come to a sync itself.
        let meanwhile = self.meanwhile.borrow_mut().take();
        if let Some(act) = meanwhile {
            act();
        }
        self.events.borrow_mut().push(Event::SyncEnds { from: from / PAGE * PAGE });
        Ok(())
    }

    fn sleep_on(&self, _cells: &[(Cell<'_>, u32)], _timeout: Duration) -> Ended {
        resume_unwind(Box::new(Waits))
    }

    fn wake(&self, _cell: Cell<'_>, _count: i32) -> u32 {
        0
    }

    fn now(&self) -> Duration {
        monotonic()
    }

    fn pause(&self) {
        resume_unwind(Box::new(Waits))
    }
}
