//! Reads that wait for a message, and the one thread of a pool that answers them.
//!
//! A waiting read holds no thread: it is an entry in a list. The thread exists only while the list has
//! entries (and a moment longer), waits on the pool, and answers what can be answered.
//!
//! No wake-up is lost: the thread notes the newest seq *before* it tries the entries; an entry is added
//! under the lock, and tried once more there. So an entry added after the thread's round has seen at
//! least what the thread noted, and any later message ends the thread's wait.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use plasmite_core::{Pool, Seq};

use crate::errno::{Errno, Reply};
use crate::interrupt::Interrupts;
use crate::sync::{lock, small_thread};
use crate::views::{Chunk, Stream};

/// How long the thread stays without an entry.
const LINGER: Duration = Duration::from_millis(500);
/// How often it looks whether the pool is still there, if no message comes.
const CHECK: Duration = Duration::from_secs(1);

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Where the answer to a waiting read goes.
pub(crate) type Answer = Box<dyn FnOnce(Reply<Chunk>) + Send>;
/// Tells the kernel that a file may be polled again.
pub(crate) type Notify = Box<dyn FnOnce() + Send>;

/// A read that waits.
pub(crate) struct Waiting {
    /// What it reads.
    pub(crate) stream: Arc<Stream>,
    /// From where, in bytes since the stream was opened.
    pub(crate) offset: u64,
    /// At most so many bytes.
    pub(crate) size: usize,
    /// The reader's thread.
    pub(crate) tid: u32,
    /// Where the answer goes.
    pub(crate) answer: Answer,
}

struct Parked {
    id: u64,
    stream: Arc<Stream>,
    offset: u64,
    size: usize,
    answer: Answer,
}

struct Poller {
    fh: u64,
    stream: Arc<Stream>,
    notify: Notify,
}

/// The waiting reads and polls of one pool.
pub(crate) struct Waiters {
    state: Mutex<State>,
    changed: Condvar,
    interrupts: Arc<Interrupts>,
}

#[derive(Default)]
struct State {
    reads: Vec<Parked>,
    polls: Vec<Poller>,
    running: bool,
    /// The mount is going away: no read waits any more.
    closed: bool,
}

impl State {
    fn is_empty(&self) -> bool {
        self.reads.is_empty() && self.polls.is_empty()
    }
}

impl Waiters {
    /// Nobody waits yet.
    pub(crate) fn new(interrupts: Arc<Interrupts>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), changed: Condvar::new(), interrupts })
    }

    /// Lets a read wait for the next message of `pool`. It may be answered before this returns.
    pub(crate) fn park(self: &Arc<Self>, pool: &Pool, waiting: Waiting) {
        let Waiting { stream, offset, size, tid, answer } = waiting;
        stream.go_idle();
        let mut state = lock(&self.state);
        let ready = if state.closed {
            Ok(Some(Chunk::default()))
        } else {
            stream.try_read(offset, size).and_then(|got| {
                if got.is_none() {
                    self.ensure_running(&mut state, pool)?
                }
                Ok(got)
            })
        };
        match ready.transpose() {
            Some(result) => {
                drop(state);
                answer(result);
            }
            None => {
                let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
                // Watched before it can be answered, so that an answered one is never left behind.
                self.watch(id, tid);
                state.reads.push(Parked { id, stream, offset, size, answer });
                self.changed.notify_one();
            }
        }
    }

    fn watch(self: &Arc<Self>, id: u64, tid: u32) {
        let me: Weak<Self> = Arc::downgrade(self);
        let cancel = Arc::new(move |id| me.upgrade().is_none_or(|me| me.cancel(id)));
        self.interrupts.watch(id, tid, cancel);
    }

    /// Calls `notify` when `stream`, opened as `fh`, has something to read. Replaces an earlier call for `fh`.
    pub(crate) fn poll(
        self: &Arc<Self>,
        pool: &Pool,
        fh: u64,
        stream: Arc<Stream>,
        notify: Notify,
    ) {
        let mut state = lock(&self.state);
        state.polls.retain(|p| p.fh != fh);
        if state.closed || stream.is_ready() || self.ensure_running(&mut state, pool).is_err() {
            drop(state);
            notify();
            return;
        }
        state.polls.push(Poller { fh, stream, notify });
        self.changed.notify_one();
    }

    /// The file `fh` was closed: nobody polls it any more.
    pub(crate) fn forget(&self, fh: u64) {
        lock(&self.state).polls.retain(|p| p.fh != fh);
    }

    /// Ends every wait with end of file, now and from now on.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.end_all(&Ok(Chunk::default()));
    }

    /// Ends every wait with end of file, now.
    pub(crate) fn end_waits(&self) {
        self.end_all(&Ok(Chunk::default()));
    }

    fn ensure_running(self: &Arc<Self>, state: &mut State, pool: &Pool) -> Reply<()> {
        if !state.running {
            let (me, pool) = (Arc::clone(self), pool.clone());
            small_thread("pool-waiter", move || me.run_safely(&pool)).map_err(|_| Errno::EAGAIN)?;
            state.running = true;
        }
        Ok(())
    }

    /// Answers one read with EINTR. False when it is not in the list, because it is being tried right now.
    fn cancel(&self, id: u64) -> bool {
        let mut state = lock(&self.state);
        let Some(at) = state.reads.iter().position(|p| p.id == id) else { return false };
        let parked = state.reads.swap_remove(at);
        drop(state);
        (parked.answer)(Err(Errno::EINTR));
        true
    }

    /// A panic fails the reads that wait now, and no later ones.
    fn run_safely(&self, pool: &Pool) {
        if catch_unwind(AssertUnwindSafe(|| self.run(pool))).is_err() {
            lock(&self.state).running = false;
            self.end_all(&Err(Errno::EIO));
        }
    }

    fn run(&self, pool: &Pool) {
        loop {
            let seen = match pool.bounds() {
                Ok(bounds) => bounds.newest,
                Err(error) => return self.stop(&error),
            };
            self.answer_ready();
            if !self.has_work() {
                return;
            }
            if let Err(error) = wait(pool, seen) {
                return self.stop(&error);
            }
        }
    }

    /// Answers what has something to read; keeps the rest.
    fn answer_ready(&self) {
        let (reads, polls) = {
            let mut state = lock(&self.state);
            (std::mem::take(&mut state.reads), std::mem::take(&mut state.polls))
        };
        let mut rest = Vec::new();
        for parked in reads {
            match parked.stream.try_read(parked.offset, parked.size).transpose() {
                Some(result) => self.finish(parked, result),
                None => rest.push(parked),
            }
        }
        let (ready, waiting): (Vec<_>, Vec<_>) =
            polls.into_iter().partition(|p| p.stream.is_ready());
        ready.into_iter().for_each(|p| (p.notify)());
        let closed = {
            let mut state = lock(&self.state);
            state.reads.append(&mut rest);
            // A file that was polled again in the meantime has a newer entry.
            for poller in waiting {
                if !state.polls.iter().any(|p| p.fh == poller.fh) {
                    state.polls.push(poller);
                }
            }
            state.closed
        };
        if closed {
            self.end_all(&Ok(Chunk::default()));
        }
    }

    fn finish(&self, parked: Parked, result: Reply<Chunk>) {
        self.interrupts.forget(parked.id);
        (parked.answer)(result);
    }

    /// False when there was nothing to do for a while: the thread ends.
    fn has_work(&self) -> bool {
        let state = lock(&self.state);
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, LINGER, |s| s.is_empty() && !s.closed)
            .unwrap_or_else(PoisonError::into_inner);
        state.running = !state.is_empty();
        state.running
    }

    /// The pool is gone or broken: everybody learns it, and the thread ends.
    fn stop(&self, error: &plasmite_core::Error) {
        lock(&self.state).running = false;
        self.end_all(&crate::views::end_of(error));
    }

    fn end_all(&self, result: &Reply<Chunk>) {
        let (reads, polls) = {
            let mut state = lock(&self.state);
            (std::mem::take(&mut state.reads), std::mem::take(&mut state.polls))
        };
        reads.into_iter().for_each(|parked| self.finish(parked, result.clone()));
        polls.into_iter().for_each(|poller| (poller.notify)());
    }
}

/// Waits for a message after `seen`, for a while.
fn wait(pool: &Pool, seen: Seq) -> plasmite_core::Result<()> {
    if !pool.wait(seen, Some(CHECK))? {
        pool.check_alive()?;
    }
    Ok(())
}
