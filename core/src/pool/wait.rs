//! Waiting for messages: asleep on the waiters word, until a writer wakes.

use std::hint;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Pool;
use crate::error::Result;
use crate::failpoint::{self, Failpoint};
use crate::sys::clock::Instant;
use crate::sys::futex;
use crate::types::Seq;

/// The longest sleep. A writer killed between its commit and its wake leaves sleepers behind; so does a file removed
/// without its handles being told.
pub(super) const SLEEP: Duration = Duration::from_millis(80);
/// A reader that may not write can't say that it waits: it sleeps this long at first, and twice as long each time.
const FIRST_LOOK: Duration = Duration::from_micros(100);
pub(super) const LAST_LOOK: Duration = Duration::from_millis(4);
/// How often a spinning reader looks between two looks at the clock.
const LOOKS: u32 = if cfg!(test) { 1 } else { 32 };
/// The bit of the waiters word that says that a reader may be asleep. The bits above count wake-ups.
pub(super) const ASLEEP: u32 = 1;

/// Why a wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// There is a newer message.
    Newer,
    /// The time is over.
    TimeOut,
    /// A signal handler ran in this thread while it slept. (One that ran just before it fell asleep is not told.)
    Interrupted,
}

/// True on a machine of one CPU: who spins there keeps it from the writer. A process that is kept to one of several may be
/// so in order to spin there.
fn is_only_cpu() -> bool {
    static ONLY: OnceLock<bool> = OnceLock::new();
    *ONLY.get_or_init(|| {
        std::fs::read_to_string("/sys/devices/system/cpu/online")
            .is_ok_and(|cpus| !cpus.contains([',', '-']))
    })
}

impl Pool {
    /// Waits until a message newer than `seen` is committed; `timeout` None waits for ever. False: the time is over.
    ///
    /// # Errors
    /// NotFound when the pool is deleted meanwhile, Corrupt when its file is damaged.
    pub fn wait(&self, seen: Seq, timeout: Option<Duration>) -> Result<bool> {
        let end = timeout.and_then(|t| Instant::now().checked_add(t));
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            match self.wait_or_signal(seen, left)? {
                Waited::Newer => return Ok(true),
                Waited::TimeOut => return Ok(false),
                Waited::Interrupted => {}
            }
        }
    }

    /// The same, but looks for a message for so long before it sleeps.
    pub(super) fn spin_then_wait(
        &self,
        seen: Seq,
        spin: Duration,
        timeout: Option<Duration>,
    ) -> Result<bool> {
        if spin.is_zero() {
            return self.wait(seen, timeout);
        }
        let start = Instant::now();
        if self.spin(seen, timeout.map_or(spin, |timeout| timeout.min(spin)))? {
            return Ok(true);
        }
        self.wait(seen, timeout.map(|timeout| timeout.saturating_sub(start.elapsed())))
    }

    /// Looks for a message newer than `seen`, again and again without sleeping, for up to `limit`. False: there is none yet.
    ///
    /// Whoever looks need not be woken, which takes many times longer than to see the commit and costs the writer a system call.
    /// The price is a CPU, which is kept busy all the while; where there is only one, it is the writer's, so this returns at
    /// once. A signal handler does not end it.
    ///
    /// # Errors
    /// As [`Pool::wait`].
    pub fn spin(&self, seen: Seq, limit: Duration) -> Result<bool> {
        let start = Instant::now();
        let is_in_vain = limit.is_zero() || is_only_cpu();
        loop {
            for _ in 0..LOOKS {
                if self.newest() > seen {
                    self.check_state()?;
                    return Ok(true);
                }
                hint::spin_loop();
            }
            if is_in_vain || start.elapsed() >= limit {
                return Ok(false);
            }
            // No commit tells that the pool was deleted.
            self.check_name((self.0.options.clock)())?;
        }
    }

    /// [`Pool::wait`], but a signal handler ends the wait, so that a program can look at what its handler noted.
    ///
    /// # Errors
    /// As [`Pool::wait`].
    pub fn wait_or_signal(&self, seen: Seq, timeout: Option<Duration>) -> Result<Waited> {
        let end = timeout.and_then(|t| Instant::now().checked_add(t));
        let mut look = FIRST_LOOK;
        loop {
            // Without leaving a mark: a mark costs the next writer a system call.
            if self.newest() > seen {
                self.check_state()?;
                return Ok(Waited::Newer);
            }
            // Sequentially consistent with the writer's "store committed, load waiters": one of the two sees the other. What
            // is slept on below is this very value: any wake-up since has changed it.
            let waiters = self.map().waiters();
            let mut sleep = SLEEP;
            let mark = if self.0.read_only {
                sleep = look;
                look = (look * 2).min(LAST_LOOK);
                waiters.load(Ordering::SeqCst)
            } else {
                waiters.fetch_or(ASLEEP, Ordering::SeqCst) | ASLEEP
            };
            self.check_state()?;
            if self.newest() > seen {
                return Ok(Waited::Newer);
            }
            let left = end.map_or(sleep, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(Waited::TimeOut);
            }
            let interrupted = futex::wait(waiters, mark, sleep.min(left));
            if self.newest() <= seen {
                self.check_name((self.0.options.clock)())?;
                if interrupted {
                    return Ok(Waited::Interrupted);
                }
            }
        }
    }

    pub(super) fn newest(&self) -> Seq {
        match self.frozen() {
            Some(recovered) => recovered.bounds.newest,
            None => Seq::new(self.map().committed().load(Ordering::SeqCst)),
        }
    }

    /// Wakes whoever sleeps in [`Pool::wait`]. To be called after a commit.
    pub(super) fn wake(&self) {
        let waiters = self.map().waiters();
        let mark = waiters.load(Ordering::SeqCst);
        // When another writer was faster, it wakes; when a reader came since, it has seen the commit.
        if mark & ASLEEP != 0
            && waiters
                .compare_exchange(mark, mark.wrapping_add(1), Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
        {
            failpoint::pass(Failpoint::MarkCleared);
            futex::wake_all(waiters);
            failpoint::pass(Failpoint::Woken);
        }
    }

    /// Wakes whoever sleeps, and whoever is about to. To be called after the state has changed.
    pub(super) fn wake_for_good(&self) {
        let waiters = self.map().waiters();
        waiters.fetch_add(2, Ordering::SeqCst);
        futex::wake_all(waiters);
    }
}
