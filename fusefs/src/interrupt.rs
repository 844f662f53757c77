//! Ends the wait of a reader that has a signal to act upon.
//!
//! The kernel would tell us with an INTERRUPT request, but the FUSE library answers that one itself, with an error
//! after which the kernel never asks again and the reader can't even be killed. So while reads are waiting, a
//! thread looks at the signals pending for each reader. A library that forwards the request replaces this type.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::procs;
use crate::sync::{lock, small_thread};

const SHORTEST: Duration = Duration::from_millis(25);
const PER_READER: Duration = Duration::from_micros(500);
const LONGEST: Duration = Duration::from_millis(90);
/// How long the thread stays without a reader to look at.
const LINGER: Duration = Duration::from_secs(2);

/// Takes back a read that waits. False: it can't be found right now, ask again.
pub(crate) type Cancel = Arc<dyn Fn(u64) -> bool + Send + Sync>;

/// The reads that wait, and the thread that looks after their readers.
#[derive(Default)]
pub(crate) struct Interrupts {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    watched: HashMap<u64, Watched>,
    running: bool,
}

#[derive(Clone)]
struct Watched {
    tid: u32,
    /// It could be looked at once; so when it can't any more, it is gone.
    seen: bool,
    cancel: Cancel,
}

impl Interrupts {
    /// Watches the reader `tid` of the waiting read `id`; `cancel` is called when it is to end.
    pub(crate) fn watch(self: &Arc<Self>, id: u64, tid: u32, cancel: Cancel) {
        let mut state = lock(&self.state);
        if state.watched.is_empty() {
            self.changed.notify_one();
        }
        state.watched.insert(id, Watched { tid, seen: false, cancel });
        if !state.running {
            let me = Arc::clone(self);
            // Without the thread a reader is still answered by the next message.
            state.running = small_thread("pool-signals", move || me.run()).is_ok();
        }
    }

    /// The read was answered.
    pub(crate) fn forget(&self, id: u64) {
        lock(&self.state).watched.remove(&id);
    }

    fn run(&self) {
        while let Some(round) = self.next_round() {
            let interval = (PER_READER * round.len() as u32).clamp(SHORTEST, LONGEST);
            std::thread::sleep(interval);
            for (id, watched) in round {
                self.look(id, &watched);
            }
        }
    }

    /// The reads to look at; None when there were none for a while, which ends the thread.
    fn next_round(&self) -> Option<Vec<(u64, Watched)>> {
        let mut state = lock(&self.state);
        if state.watched.is_empty() {
            let (again, _) = self
                .changed
                .wait_timeout_while(state, LINGER, |s| s.watched.is_empty())
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            state = again;
        }
        if state.watched.is_empty() {
            state.running = false;
            return None;
        }
        Some(state.watched.iter().map(|(id, w)| (*id, w.clone())).collect())
    }

    fn look(&self, id: u64, watched: &Watched) {
        let status = procs::status(watched.tid);
        let over = match status {
            Some(status) => status.ended || status.signalled,
            None => watched.seen,
        };
        if over {
            if lock(&self.state).watched.contains_key(&id) && (watched.cancel)(id) {
                self.forget(id);
            }
        } else if status.is_some()
            && !watched.seen
            && let Some(watched) = lock(&self.state).watched.get_mut(&id)
        {
            watched.seen = true;
        }
    }
}
