//! Shared memory as the C11 memory model lets it be: who loads a word may get a value that was overwritten already, as long as
//! nothing that happened before tells it better.
//!
//! Each word has the history of its values. Each process has a view: of each word, the oldest value that it may still see. A store with
//! release order leaves the storing process' view with the value, and a load of that value with acquire order takes it over; fences do
//! so for the relaxed accesses before or after them. Sequentially consistent accesses to a word see each other in the order in which they
//! are made. A read-modify-write operation takes the newest value.
//!
//! Narrower than C11: values of one word are ordered as they are stored, and a load sees only what was stored before it. So a
//! load that is delayed beyond a later store of its own process is not shown.

use std::cell::{Cell as Value, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;

use shuttle::thread::{self, ThreadId};

use super::scheduler::Choices;
use crate::sys::observed::Change;

/// Which orderings count for less than the code says: to see that they are missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forgotten {
    Nothing,
    ReleaseFences,
    AcquireFences,
    /// Loads of this place are relaxed.
    LoadsOf(usize),
    /// Stores to this place are.
    StoresTo(usize),
    /// Sequentially consistent accesses acquire and release, and no more.
    TheSingleOrder,
}

/// Of each place, the number of a value in its history.
#[derive(Clone, Debug, Default)]
struct View(BTreeMap<usize, usize>);

impl View {
    fn of(&self, place: usize) -> usize {
        self.0.get(&place).copied().unwrap_or(0)
    }

    fn raise(&mut self, place: usize, to: usize) {
        let seen = self.0.entry(place).or_default();
        *seen = to.max(*seen);
    }

    fn join(&mut self, other: &Self) {
        other.0.iter().for_each(|(place, seen)| self.raise(*place, *seen));
    }
}

/// A value that a word had.
struct Stored {
    value: u64,
    /// What an acquiring load of it learns.
    view: View,
}

#[derive(Clone, Debug, Default)]
struct Process {
    now: View,
    /// Learned by relaxed loads: counts from the next acquire fence on.
    learned: View,
    /// What relaxed stores carry: the view at the last release fence.
    released: View,
}

#[derive(Default)]
struct State {
    histories: HashMap<usize, Vec<Stored>>,
    processes: HashMap<ThreadId, Process>,
    /// Of the accesses in the single order.
    single: View,
    /// Of the kernel, whose locks order those who take them.
    kernel: View,
    /// Of processes that start from now on.
    start: View,
}

/// The memory of one execution.
pub(super) struct Memory {
    choices: Choices,
    /// So many more loads may get a value that is not the newest.
    stale: Value<u32>,
    forgotten: Forgotten,
    /// Starts and judges the others: it sees everything.
    main: ThreadId,
    state: RefCell<State>,
}

fn acquires(order: Ordering) -> bool {
    matches!(order, Ordering::Acquire | Ordering::AcqRel | Ordering::SeqCst)
}

fn releases(order: Ordering) -> bool {
    matches!(order, Ordering::Release | Ordering::AcqRel | Ordering::SeqCst)
}

impl Memory {
    pub(super) fn new(choices: Choices, stale: u32, forgotten: Forgotten) -> Self {
        let main = thread::current().id();
        Self { choices, stale: Value::new(stale), forgotten, main, state: RefCell::default() }
    }

    fn order_of_load(&self, place: usize, order: Ordering) -> Ordering {
        match self.forgotten {
            Forgotten::LoadsOf(which) if which == place => Ordering::Relaxed,
            _ => self.weakened(order),
        }
    }

    fn weakened(&self, order: Ordering) -> Ordering {
        match order {
            Ordering::SeqCst if self.forgotten == Forgotten::TheSingleOrder => Ordering::AcqRel,
            order => order,
        }
    }

    /// The processes that start now begin with what this one has seen.
    pub(super) fn start_others(&self) {
        let state = &mut *self.state.borrow_mut();
        let me = state.me();
        state.start = me.now;
    }

    /// The value at `place` that a load gets; `newest` is what is there.
    pub(super) fn load(&self, place: usize, newest: u64, order: Ordering) -> u64 {
        self.load_if(place, newest, order, |_| true).unwrap_or(newest)
    }

    /// The same; None when the newest value is the only one that is `possible`.
    fn load_if(
        &self,
        place: usize,
        newest: u64,
        order: Ordering,
        mut possible: impl FnMut(u64) -> bool,
    ) -> Option<u64> {
        let order = self.order_of_load(place, order);
        let id = thread::current().id();
        let state = &mut *self.state.borrow_mut();
        let mut me = state.me();
        let history = state.history(place, newest);
        let last = history.len() - 1;
        let mut oldest = me.now.of(place);
        if order == Ordering::SeqCst {
            oldest = oldest.max(state.single.of(place));
        }
        let history = &state.histories[&place];
        let mut at = last;
        if id != self.main && self.stale.get() > 0 && oldest < last {
            // The first choice is the newest.
            let older: Vec<usize> = std::iter::once(last)
                .chain((oldest..last).rev().filter(|at| possible(history[*at].value)))
                .collect();
            at = older[self.choices.choose(older.len())];
        }
        if at != last {
            self.stale.set(self.stale.get() - 1);
        } else if !possible(history[last].value) {
            return None;
        }
        let stored = &history[at];
        me.now.raise(place, at);
        if acquires(order) { &mut me.now } else { &mut me.learned }.join(&stored.view);
        let value = stored.value;
        if order == Ordering::SeqCst {
            state.single.raise(place, at);
        }
        state.processes.insert(id, me);
        Some(value)
    }

    /// `before` is what was there.
    pub(super) fn store(&self, place: usize, before: u64, value: u64, order: Ordering) {
        let state = &mut *self.state.borrow_mut();
        state.history(place, before);
        self.push(state, place, value, order, View::default());
    }

    fn push(&self, state: &mut State, place: usize, value: u64, order: Ordering, carried: View) {
        let order = match self.forgotten {
            Forgotten::StoresTo(which) if which == place => Ordering::Relaxed,
            _ => self.weakened(order),
        };
        let mut me = state.me();
        let at = state.histories[&place].len();
        me.now.raise(place, at);
        let mut view = carried;
        view.join(if releases(order) { &me.now } else { &me.released });
        view.raise(place, at);
        if order == Ordering::SeqCst {
            state.single.raise(place, at);
        }
        if let Some(history) = state.histories.get_mut(&place) {
            history.push(Stored { value, view });
        }
        state.processes.insert(thread::current().id(), me);
    }

    /// A read-modify-write operation: the value before, and the one after if it was changed. One that fails is a load.
    pub(super) fn update(
        &self,
        place: usize,
        newest: u64,
        success: Ordering,
        failure: Ordering,
        change: Change<'_>,
    ) -> (u64, Option<u64>) {
        if let Some(value) = self.load_if(place, newest, failure, |value| change(value).is_none()) {
            return (value, None);
        }
        let state = &mut *self.state.borrow_mut();
        let history = &state.histories[&place];
        let last = history.len() - 1;
        let (carried, mut me) = (history[last].view.clone(), state.me());
        me.now.raise(place, last);
        let order = self.order_of_load(place, success);
        if acquires(order) { &mut me.now } else { &mut me.learned }.join(&carried);
        state.processes.insert(thread::current().id(), me);
        let next = change(newest);
        if let Some(next) = next {
            // It carries on what the store before it began.
            self.push(state, place, next, success, carried);
        }
        (newest, next)
    }

    pub(super) fn fence(&self, order: Ordering) {
        let state = &mut *self.state.borrow_mut();
        let mut me = state.me();
        if acquires(order) && self.forgotten != Forgotten::AcquireFences {
            me.now.join(&me.learned);
        }
        if order == Ordering::SeqCst {
            state.single.join(&me.now);
            me.now.join(&state.single);
        }
        if releases(order) && self.forgotten != Forgotten::ReleaseFences {
            me.released = me.now.clone();
        }
        state.processes.insert(thread::current().id(), me);
    }

    /// A call into the kernel that takes a lock there: who takes it later has seen what its holder had.
    pub(super) fn system_call(&self) {
        let state = &mut *self.state.borrow_mut();
        let mut me = state.me();
        me.now.join(&state.kernel);
        state.kernel = me.now.clone();
        state.processes.insert(thread::current().id(), me);
    }
}

impl State {
    /// This process; a new one begins with what its starter had seen.
    fn me(&self) -> Process {
        self.processes
            .get(&thread::current().id())
            .cloned()
            .unwrap_or_else(|| Process { now: self.start.clone(), ..Process::default() })
    }

    fn history(&mut self, place: usize, value: u64) -> &mut Vec<Stored> {
        self.histories.entry(place).or_insert_with(|| vec![Stored { value, view: View::default() }])
    }
}
