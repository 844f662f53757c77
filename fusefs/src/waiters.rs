//! Reads that wait for a message of one pool, and polls.
//!
//! A waiting read holds no thread: it is an entry in a list. While the list has entries (and a moment longer) a thread of the
//! [`Hub`] looks after it: it waits on the pool, and has answered what can be answered.
//!
//! No wake-up is lost: the thread notes the newest seq *before* it tries the entries; an entry is added
//! under the lock, and tried once more there. So an entry added after the thread's round has seen at
//! least what the thread noted, and any later message ends the thread's wait. The first entry of an empty list rings
//! the thread's bell, since it does not wait on the pool of an empty list.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use plasmite_core::{Pool, Seq};

use crate::errno::{Errno, Reply};
use crate::hub::{Hub, Shard};
use crate::interrupt::Interrupts;
use crate::sync::lock;
use crate::tree::Caller;
use crate::views::{Chunk, Stream};

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
    /// Who reads.
    pub(crate) caller: Caller,
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
    interrupts: Arc<Interrupts>,
    hub: Arc<Hub>,
}

/// What a round has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Somebody waits for a message after this one.
    Waiting(Seq),
    /// Nobody waits.
    Idle,
}

#[derive(Default)]
struct State {
    reads: Vec<Parked>,
    polls: Vec<Poller>,
    /// The threads that look after this pool.
    shard: Option<Arc<Shard>>,
    /// Something was added since the last round.
    fresh: bool,
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
    pub(crate) fn new(interrupts: Arc<Interrupts>, hub: Arc<Hub>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), interrupts, hub })
    }

    /// Lets a read wait for the next message of `pool`. It may be answered before this returns.
    pub(crate) fn park(self: &Arc<Self>, pool: &Pool, waiting: Waiting) {
        let Waiting { stream, offset, size, caller, answer } = waiting;
        stream.go_idle();
        let mut state = lock(&self.state);
        let ready = if state.closed {
            Ok(Some(Chunk::default()))
        } else {
            stream.try_read(offset, size).and_then(|got| {
                if got.is_none() {
                    self.look_after(&mut state, pool)?
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
                self.watch(id, caller);
                state.reads.push(Parked { id, stream, offset, size, answer });
            }
        }
    }

    fn watch(self: &Arc<Self>, id: u64, caller: Caller) {
        let me: Weak<Self> = Arc::downgrade(self);
        let cancel = Arc::new(move |id| me.upgrade().is_none_or(|me| me.cancel(id)));
        self.interrupts.watch(id, caller.request, caller.tid, cancel);
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
        if state.closed || stream.is_ready() || self.look_after(&mut state, pool).is_err() {
            drop(state);
            notify();
            return;
        }
        state.polls.push(Poller { fh, stream, notify });
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

    /// The pool may be gone: whoever waits is to learn it now.
    pub(crate) fn check(&self) {
        if let Some(shard) = &lock(&self.state).shard {
            shard.check();
        }
    }

    /// Has a thread look after this pool: to be called before something is added.
    fn look_after(self: &Arc<Self>, state: &mut State, pool: &Pool) -> Reply<()> {
        state.fresh = true;
        match &state.shard {
            Some(shard) if state.is_empty() => shard.ring(),
            Some(_) => {}
            None => state.shard = Some(self.hub.join(self, pool).map_err(|_| Errno::EAGAIN)?),
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

    /// Answers what can be answered, if there is something newer than `seen` or something was added.
    ///
    /// # Errors
    /// When the pool is gone or broken: everybody is to learn it by [`Self::stop`].
    pub(crate) fn round(&self, pool: &Pool, seen: Seq) -> plasmite_core::Result<Standing> {
        let newest = pool.bounds()?.newest;
        let fresh = std::mem::take(&mut lock(&self.state).fresh);
        if fresh || newest > seen {
            self.answer_ready();
        }
        let empty = lock(&self.state).is_empty();
        Ok(if empty { Standing::Idle } else { Standing::Waiting(newest) })
    }

    /// Lets the thread go, if nobody has come meanwhile.
    pub(crate) fn leave(&self) -> bool {
        let mut state = lock(&self.state);
        let leaves = state.is_empty();
        if leaves {
            state.shard = None;
        }
        leaves
    }

    /// A bug fails the reads that wait now, and no later ones.
    pub(crate) fn fail(&self) {
        lock(&self.state).shard = None;
        self.end_all(&Err(Errno::EIO));
    }

    /// The pool is gone or broken: everybody learns it, and the thread goes.
    pub(crate) fn stop(&self, error: &plasmite_core::Error) {
        lock(&self.state).shard = None;
        self.end_all(&crate::views::end_of(error));
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

    fn end_all(&self, result: &Reply<Chunk>) {
        let (reads, polls) = {
            let mut state = lock(&self.state);
            (std::mem::take(&mut state.reads), std::mem::take(&mut state.polls))
        };
        reads.into_iter().for_each(|parked| self.finish(parked, result.clone()));
        polls.into_iter().for_each(|poller| (poller.notify)());
    }
}
