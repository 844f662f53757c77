//! The threads that wait for pools: one for as many pools as the kernel lets one thread sleep on, so that a thousand idle
//! readers of a hundred pools cost one thread that wakes a few times in a second.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use plasmite_core::{Bell, MAX_WAIT_ANY, Pool, Seq, wait_any};

use crate::current::keep_up;
use crate::sync::{lock, small_thread};
use crate::waiters::{Standing, Waiters};

/// How long a thread keeps a pool for which nobody waits.
const LINGER: Duration = Duration::from_millis(500);
/// How often it looks whether the pools are still there.
const CHECK: Duration = Duration::from_millis(80);

/// All threads of a mount that wait for pools.
#[derive(Default)]
pub(crate) struct Hub {
    shards: Mutex<Vec<Arc<Shard>>>,
}

/// One thread, and the pools it waits for. The thread exists only while there are any.
#[derive(Default)]
pub(crate) struct Shard {
    bell: Bell,
    /// The next round is to look whether the pools are still there. Set before the bell is rung.
    check: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Pools that the thread has not taken over yet.
    joining: Vec<Entry>,
    /// Those, and the ones that it has.
    count: usize,
    running: bool,
}

/// A pool for which somebody waits, or did so a moment ago.
struct Entry {
    waiters: Arc<Waiters>,
    pool: Pool,
    seen: Seq,
    /// Since when nobody waits.
    idle: Option<Instant>,
}

impl Hub {
    /// Has a thread look after the waiters of `pool`, until it lets them go. Its bell has it look at once.
    ///
    /// # Errors
    /// When no thread can be had.
    pub(crate) fn join(&self, waiters: &Arc<Waiters>, pool: &Pool) -> std::io::Result<Arc<Shard>> {
        let entry = Entry {
            waiters: Arc::clone(waiters),
            pool: pool.clone(),
            seen: Seq::new(0),
            idle: None,
        };
        let mut shards = lock(&self.shards);
        let free = shards.iter().find(|shard| lock(&shard.state).count < MAX_WAIT_ANY);
        let shard = match free {
            Some(shard) => Arc::clone(shard),
            None => {
                shards.push(Arc::default());
                Arc::clone(&shards[shards.len() - 1])
            }
        };
        shard.take(entry)?;
        Ok(shard)
    }
}

impl Shard {
    /// Has the thread look at its pools.
    pub(crate) fn ring(&self) {
        self.bell.ring();
    }

    /// Has the thread look whether its pools are still there.
    pub(crate) fn check(&self) {
        self.check.store(true, Ordering::Relaxed);
        self.ring();
    }

    fn take(self: &Arc<Self>, entry: Entry) -> std::io::Result<()> {
        let mut state = lock(&self.state);
        if !state.running {
            let me = Arc::clone(self);
            small_thread("pool-waiter", move || me.run())?;
            state.running = true;
        }
        state.joining.push(entry);
        state.count += 1;
        drop(state);
        self.ring();
        Ok(())
    }

    fn run(&self) {
        let mut entries: Vec<Entry> = Vec::new();
        let mut checked = Instant::now();
        loop {
            // Before looking: whatever is announced later ends the sleep below.
            let heard = self.bell.rings();
            entries.append(&mut lock(&self.state).joining);
            let check = self.check.swap(false, Ordering::Relaxed) || checked.elapsed() >= CHECK;
            if check {
                checked = Instant::now();
            }
            entries.retain_mut(|entry| entry.round(check));
            if self.ends(entries.len()) {
                return;
            }
            let waits: Vec<_> = entries
                .iter()
                .filter(|entry| entry.idle.is_none())
                .map(|entry| (&entry.pool, entry.seen))
                .collect();
            wait_any(&waits, &self.bell, heard, LINGER);
        }
    }

    /// True, once, when there is nothing left to wait for.
    fn ends(&self, left: usize) -> bool {
        let mut state = lock(&self.state);
        state.count = left + state.joining.len();
        state.running = state.count > 0;
        !state.running
    }
}

impl Entry {
    /// Answers what can be answered. False: the thread has nothing to do with the pool any more.
    fn round(&mut self, check: bool) -> bool {
        let mut round = || loop {
            match self.look(check) {
                // On with its new file, of which nothing was seen.
                Err(_) if keep_up(&mut self.pool)? => self.seen = Seq::new(0),
                looked => return looked,
            }
        };
        match catch_unwind(AssertUnwindSafe(&mut round)) {
            Ok(Ok(Standing::Waiting(seen))) => {
                self.seen = seen;
                self.idle = None;
                true
            }
            Ok(Ok(Standing::Idle)) => {
                let since = *self.idle.get_or_insert_with(Instant::now);
                since.elapsed() < LINGER || !self.waiters.leave()
            }
            Ok(Err(error)) => {
                self.waiters.stop(&error);
                false
            }
            Err(_) => {
                self.waiters.fail();
                false
            }
        }
    }

    fn look(&self, check: bool) -> plasmite_core::Result<Standing> {
        let standing = self.waiters.round(&self.pool, self.seen)?;
        if check && standing != Standing::Idle {
            self.pool.check_alive()?;
        }
        Ok(standing)
    }
}
