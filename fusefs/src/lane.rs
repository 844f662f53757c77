//! Writes that wait for a pool's lock.
//!
//! A writer of another process that was stopped inside its append keeps the lock. No worker waits for it longer than a moment:
//! the write goes to a thread of the pool's own, where it waits its turn, and all later ones of that pool line up behind it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::errno::{Errno, Reply};
use crate::sync::{lock, small_thread};

/// How long a worker waits: longer than an append takes, and than it takes to find out that a holder is dead.
const MOMENT: Duration = Duration::from_millis(5);
/// How long a write waits at most, from when it came.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long somebody who appends may wait for the pool's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// A moment; who has more patience is to try after that.
    Quick,
    /// Until then.
    Until(Instant),
}

impl Patience {
    /// For a write that comes now and keeps no worker.
    pub(crate) fn long() -> Self {
        Self::Until(Instant::now() + PATIENCE)
    }

    /// What is left of it; never less than a moment.
    pub(crate) fn left(self) -> Duration {
        match self {
            Self::Quick => MOMENT,
            Self::Until(end) => end.saturating_duration_since(Instant::now()).max(MOMENT),
        }
    }
}

/// What came of an attempt.
pub(crate) enum Attempt<T> {
    /// It is done.
    Done(T),
    /// It is to be made again, with patience, by the job that is left here.
    Slow(Turn),
}

/// A job that waits.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// A place in the line, for a job. Who drops it leaves the line.
pub(crate) struct Turn(Sender<Job>);

impl Turn {
    /// Has the job run when its turn comes.
    pub(crate) fn run(self, job: Job) {
        // The thread receives until the line is empty.
        let _ = self.0.send(job);
    }
}

/// The line of one pool, with a thread while there is anybody in it.
#[derive(Default)]
pub(crate) struct Lane {
    line: Mutex<VecDeque<Receiver<Job>>>,
    /// Changed by who has the lock of the line.
    running: AtomicBool,
}

impl Lane {
    /// True while there is a line.
    pub(crate) fn is_busy(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    /// The end of the line. EAGAIN when no thread can be had.
    pub(crate) fn line_up(self: &Arc<Self>) -> Reply<Turn> {
        let mut line = lock(&self.line);
        if !self.is_busy() {
            let me = Arc::clone(self);
            small_thread("pool-writes", move || me.run()).map_err(|_| Errno::EAGAIN)?;
            self.running.store(true, Ordering::Release);
        }
        let (turn, job) = channel();
        line.push_back(job);
        Ok(Turn(turn))
    }

    fn run(&self) {
        while let Some(job) = self.next() {
            if let Ok(job) = job.recv() {
                // The request that it answers gets an error when its reply is dropped.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
        }
    }

    fn next(&self) -> Option<Receiver<Job>> {
        let mut line = lock(&self.line);
        let next = line.pop_front();
        self.running.store(next.is_some(), Ordering::Release);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn jobs_run_in_the_order_of_their_turns_and_a_panic_ends_only_its_own() {
        let lane = Arc::new(Lane::default());
        let turns: Vec<_> = (0..4).map(|_| lane.line_up().expect("a thread")).collect();
        assert!(lane.is_busy());
        let (done, results) = channel();
        for (n, turn) in turns.into_iter().enumerate().rev() {
            let done = done.clone();
            match n {
                1 => drop(turn),
                2 => turn.run(Box::new(|| panic!("a bug"))),
                _ => turn.run(Box::new(move || done.send(n).expect("a test"))),
            }
        }
        assert_eq!(results.recv_timeout(PATIENCE), Ok(0));
        assert_eq!(results.recv_timeout(PATIENCE), Ok(3));
    }
}
