//! Threads for requests that have much to look at, so that no other request waits for them.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::sync::{lock, small_thread};

/// Threads at most; what comes then waits in line.
const MAX_THREADS: usize = 16;
/// How long a thread stays without work.
const LINGER: Duration = Duration::from_secs(2);

type Job = Box<dyn FnOnce() + Send>;

/// The threads, which come and go with the work.
#[derive(Default)]
pub(crate) struct Helpers {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

impl Helpers {
    /// Runs `job` on one of the threads.
    pub(crate) fn run(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) {
        let mut state = lock(&self.state);
        state.jobs.push_back(Box::new(job));
        if state.idle < state.jobs.len() && state.threads < MAX_THREADS {
            let me = Arc::clone(self);
            if small_thread("pool-helper", move || me.work()).is_ok() {
                state.threads += 1;
            } else if state.threads == 0 {
                let job = state.jobs.pop_back();
                drop(state);
                job.into_iter().for_each(|job| job());
                return;
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            // The request that it answers gets an error when its reply is dropped.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    /// The next job; None when there was none for a while, which ends the thread.
    fn next(&self) -> Option<Job> {
        let mut state = lock(&self.state);
        state.idle += 1;
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, LINGER, |s| s.jobs.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        state.idle -= 1;
        let job = state.jobs.pop_front();
        state.threads -= usize::from(job.is_none());
        job
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn jobs_run_side_by_side_and_a_panic_ends_only_its_own() {
        let helpers = Arc::new(Helpers::default());
        let (done, results) = channel();
        let (go, gate) = channel::<()>();
        helpers.run(|| panic!("a bug"));
        let first = done.clone();
        helpers.run(move || first.send(gate.recv_timeout(PATIENCE).is_ok()).expect("a test"));
        for _ in 0..100 {
            let done = done.clone();
            helpers.run(move || done.send(false).expect("a test"));
        }
        (0..100).for_each(|_| assert_eq!(results.recv_timeout(PATIENCE), Ok(false)));
        go.send(()).expect("the first job");
        assert_eq!(results.recv_timeout(PATIENCE), Ok(true));
        assert!(lock(&helpers.state).threads <= MAX_THREADS);
    }
}
