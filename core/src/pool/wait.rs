//! Waiting for messages: asleep on the committed word, until a writer wakes.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Pool;
use crate::error::Result;
use crate::sys::futex;
use crate::types::Seq;

/// The longest sleep. A writer killed between its commit and its wake leaves sleepers behind; so does a file removed
/// without its handles being told.
const SLEEP: Duration = Duration::from_millis(80);
/// A reader that may not write can't say that it waits: it sleeps this long at first, and twice as long each time.
const FIRST_LOOK: Duration = Duration::from_micros(100);
const LAST_LOOK: Duration = Duration::from_millis(4);

impl Pool {
    /// Waits until a message newer than `seen` is committed; `timeout` None waits for ever. False: the time is over.
    ///
    /// # Errors
    /// NotFound when the pool is deleted meanwhile, Corrupt when its file is damaged.
    pub fn wait(&self, seen: Seq, timeout: Option<Duration>) -> Result<bool> {
        let end = timeout.and_then(|t| Instant::now().checked_add(t));
        let mut look = FIRST_LOOK;
        loop {
            self.check_state()?;
            if self.newest() > seen {
                return Ok(true);
            }
            let left = end.map_or(SLEEP, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(false);
            }
            let committed = self.map().committed();
            let mut sleep = SLEEP;
            if self.0.read_only {
                sleep = look;
                look = (look * 2).min(LAST_LOOK);
            } else {
                // Sequentially consistent with the writer's "store committed, load waiters": one of the two sees the other.
                self.map().waiters().store(1, Ordering::SeqCst);
            }
            let now = committed.load(Ordering::SeqCst);
            if now <= seen.get() || self.frozen().is_some() {
                futex::wait_low(committed, now as u32, sleep.min(left));
                self.check_name((self.0.options.clock)())?;
            }
        }
    }

    fn newest(&self) -> Seq {
        match self.frozen() {
            Some(recovered) => recovered.bounds.newest,
            None => Seq::new(self.map().committed().load(Ordering::SeqCst)),
        }
    }

    /// Wakes whoever sleeps in [`Pool::wait`]. To be called after a commit.
    pub(super) fn wake(&self) {
        let waiters = self.map().waiters();
        if waiters.load(Ordering::SeqCst) != 0 {
            // Cleared before the wake: who comes now sees the commit, or is woken by the next.
            waiters.store(0, Ordering::SeqCst);
            futex::wake_low(self.map().committed(), i32::MAX);
        }
    }
}
