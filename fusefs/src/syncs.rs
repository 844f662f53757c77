//! Syncs for those who want to know that what they wrote survives power loss.
//!
//! A sync takes as long as the disk takes, so no worker waits for one: the request's answer is left here. Each pool has a thread
//! for it while there is something to sync. All answers that came while one sync went on share the next one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use plasmite_core::Pool;

use crate::current::Current;
use crate::errno::{Errno, Reply};
use crate::sync::{lock, small_thread};

/// How long the thread stays without work.
const LINGER: Duration = Duration::from_secs(2);

/// Where the news goes that a sync has succeeded or failed.
pub(crate) type Synced = Box<dyn FnOnce(Reply<()>) + Send>;

/// The syncs of one pool.
#[derive(Default)]
pub(crate) struct Syncs {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<Synced>,
    running: bool,
}

impl Syncs {
    /// Calls `done` when everything committed so far survives power loss, or can't be made to.
    pub(crate) fn submit(self: &Arc<Self>, pool: &Pool, done: Synced) {
        let pool = Current::new(pool.clone());
        self.submit_to(move || Ok(pool.with(Pool::flush)?), done);
    }

    /// The same; `flush` is used if there is no thread yet, for this and for all that it serves.
    fn submit_to(self: &Arc<Self>, flush: impl Fn() -> Reply<()> + Send + 'static, done: Synced) {
        let mut state = lock(&self.state);
        if !state.running {
            let me = Arc::clone(self);
            if small_thread("pool-syncs", move || me.run(&flush)).is_err() {
                drop(state);
                return done(Err(Errno::EAGAIN));
            }
            state.running = true;
        }
        state.waiting.push(done);
        self.changed.notify_one();
    }

    fn run(&self, flush: &dyn Fn() -> Reply<()>) {
        while let Some(waiting) = self.next_round() {
            let result = catch_unwind(AssertUnwindSafe(flush)).unwrap_or(Err(Errno::EIO));
            for done in waiting {
                done(result);
            }
        }
    }

    /// Those who wait now; None when there was nobody for a while, which ends the thread.
    fn next_round(&self) -> Option<Vec<Synced>> {
        let state = lock(&self.state);
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, LINGER, |s| s.waiting.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        state.running = !state.waiting.is_empty();
        state.running.then(|| std::mem::take(&mut state.waiting))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// SEMANTICS: O_SYNC and fsync mean on disk
    #[test]
    fn all_that_come_while_one_sync_goes_on_share_the_next() {
        let syncs = Arc::new(Syncs::default());
        let count = Arc::new(AtomicUsize::new(0));
        let (begun, begins) = channel();
        let (go, gate) = channel::<()>();
        let gate = Mutex::new(gate);
        let counted = Arc::clone(&count);
        let flush = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            begun.send(()).expect("a test");
            lock(&gate).recv_timeout(PATIENCE).map_err(|_| Errno::EIO)
        };
        let (done, results) = channel();
        let answer = || -> Synced {
            let done = done.clone();
            Box::new(move |result| done.send(result).expect("a test"))
        };
        syncs.submit_to(flush, answer());
        begins.recv_timeout(PATIENCE).expect("the first sync");
        (0..100).for_each(|_| syncs.submit_to(|| Err(Errno::EIO), answer()));
        assert!(results.try_recv().is_err(), "nobody is told before");
        go.send(()).expect("the thread");
        assert_eq!(results.recv_timeout(PATIENCE), Ok(Ok(())));
        begins.recv_timeout(PATIENCE).expect("the second sync");
        go.send(()).expect("the thread");
        (0..100).for_each(|_| assert_eq!(results.recv_timeout(PATIENCE), Ok(Ok(()))));
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_failed_sync_is_told_and_a_panic_fails_it() {
        for flush in [(|| Err(Errno::EIO)) as fn() -> Reply<()>, || panic!("a bug")] {
            let syncs = Arc::new(Syncs::default());
            let (done, results) = channel();
            syncs.submit_to(flush, Box::new(move |result| done.send(result).expect("a test")));
            assert_eq!(results.recv_timeout(PATIENCE), Ok(Err(Errno::EIO)));
        }
    }
}
