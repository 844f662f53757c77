//! Waiting for messages: asleep on the waiters word, until a writer wakes.

use std::hint;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Pool;
use crate::error::Result;
use crate::failpoint::{self, Failpoint};
use crate::sys::clock::Instant;
use crate::sys::futex::{self, Ended};
use crate::sys::last_will::LastWill;
use crate::sys::signals;
use crate::types::Seq;

/// The longest sleep of a reader that has not waited for long. A writer killed between its commit and its wake leaves sleepers behind;
/// so does a file removed without its handles being told.
pub(super) const SLEEP: Duration = Duration::from_millis(80);
/// The longest sleep of an idle one. Of a writer that is killed the kernel tells one of those who sleep so long, and that one all
/// others. It does not when none is quite asleep, nor of a writer that was stopped for a while before: they find it out themselves.
/// (In tests they never do: the model checker's time does not come to the end of such a sleep.)
const LONG_SLEEP: Duration = Duration::from_secs(if cfg!(test) { 3600 } else { 1 });
/// A reader that may not write can't say that it waits: it sleeps this long at first, and twice as long each time.
const FIRST_LOOK: Duration = Duration::from_micros(100);
pub(super) const LAST_LOOK: Duration = Duration::from_millis(4);
/// How often a spinning reader looks between two looks at the clock.
const LOOKS: u32 = if cfg!(test) { 1 } else { 32 };
/// The bit of the waiters word that says that a reader may be asleep.
pub(super) const ASLEEP: u32 = 1;
/// The bit that says that an idle one may be. The bits above count wake-ups.
const IDLE: u32 = 2;
const WAKE_UP: u32 = 4;

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

/// A mark after the wake-up: none, and one more.
fn woken(mark: u32) -> u32 {
    (mark | ASLEEP | IDLE).wrapping_add(1)
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
            match self.wait_once(seen, left, true)? {
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
        self.wait_once(seen, timeout, false)
    }

    /// Waits until there is a newer message, the time is over or a signal handler ran; of one that has system calls start again it
    /// may not learn when it `ignores_signals`.
    fn wait_once(
        &self,
        seen: Seq,
        timeout: Option<Duration>,
        ignores_signals: bool,
    ) -> Result<Waited> {
        let end = timeout.and_then(|t| Instant::now().checked_add(t));
        let first_newest = self.newest();
        let mut look = FIRST_LOOK;
        let mut may_sleep_long = !self.0.read_only;
        // The mark, once it has stood for a whole sleep.
        let mut stood = None;
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
                let bits = if stood.is_some() { ASLEEP | IDLE } else { ASLEEP };
                waiters.fetch_or(bits, Ordering::SeqCst) | bits
            };
            self.check_state()?;
            if self.newest() > seen {
                return Ok(Waited::Newer);
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(Waited::TimeOut);
            }
            let up_to = |limit: Duration| left.map_or(limit, |left| left.min(limit));
            // Writers that looked before there was this mark have committed, but for one that was stopped meanwhile.
            let is_idle = stood == Some(mark) && may_sleep_long && {
                may_sleep_long = ignores_signals || !signals::may_restart_calls();
                may_sleep_long
            };
            let idle_sleep =
                if is_idle { self.sleep_long(mark, first_newest, up_to(LONG_SLEEP)) } else { None };
            let ended = idle_sleep.unwrap_or_else(|| futex::wait(waiters, mark, up_to(sleep)));
            stood = (ended == Ended::TimeOut).then_some(mark);
            if self.newest() <= seen {
                // Many threads may share this handle, and the looks that it takes now and then.
                if idle_sleep.is_some() {
                    self.check_alive()?;
                } else {
                    self.check_name((self.0.options.clock)())?;
                }
                if ended == Ended::Interrupted {
                    return Ok(Waited::Interrupted);
                }
            }
        }
    }

    /// The sleep of an idle reader, whom the kernel wakes for a writer that has died: it wakes the others then, if there is anything
    /// to learn that there was not at `first_newest`, when its wait began. None: the kernel can't do it; nobody has slept.
    fn sleep_long(&self, mark: u32, first_newest: Seq, limit: Duration) -> Option<Ended> {
        let map = self.map();
        // Who is woken for the dead and dies as well, of the same signal perhaps, hands it on.
        let last_will = LastWill::new(map.last_will());
        let ended = futex::wait_or_death(map.waiters(), mark, map.last_will(), limit);
        // Readers that die asleep have nothing to tell.
        let has_news = || self.newest() != first_newest || self.check_alive().is_err();
        if ended == Some(Ended::Death) && has_news() {
            self.wake_for_good();
        }
        drop(last_will);
        ended
    }

    pub(super) fn newest(&self) -> Seq {
        match self.frozen() {
            Some(recovered) => recovered.bounds.newest,
            None => Seq::new(self.map().committed().load(Ordering::SeqCst)),
        }
    }

    /// Has the kernel wake one of the idle readers, if there are any and this thread dies while the will stands. To be called before
    /// a change that they are to learn of.
    #[inline]
    pub(super) fn promise_wake<'a>(&'a self, will: &mut Option<LastWill<'a>>) {
        if will.is_none() && self.map().waiters().load(Ordering::Relaxed) & IDLE != 0 {
            *will = LastWill::new(self.map().last_will());
        }
    }

    /// Wakes whoever sleeps in [`Pool::wait`]. To be called after a commit.
    pub(super) fn wake(&self) {
        let waiters = self.map().waiters();
        let mark = waiters.load(Ordering::SeqCst);
        // When another writer was faster, it wakes; when a reader came since, it has seen the commit.
        if mark & ASLEEP != 0
            && waiters
                .compare_exchange(mark, woken(mark), Ordering::SeqCst, Ordering::SeqCst)
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
        waiters.fetch_add(WAKE_UP, Ordering::SeqCst);
        futex::wake_all(waiters);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::failpoint::DIE_AT;
    use crate::sys::word::Half;
    use crate::types::Durability;

    const LIMIT: Duration = Duration::from_secs(100);
    /// Names the pool to the process that is to die.
    const POOL: &str = "PLASMITE_TEST_POOL";

    /// Waits until so many readers are in a long sleep, which nothing but a wake-up ends here.
    fn until_idle(pool: &Pool, readers: u32) {
        let start = Instant::now();
        while futex::sleepers(pool.map().last_will()) != Some(readers) {
            assert!(start.elapsed() < LIMIT, "they do not sleep");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn idle_readers_learn_of_a_writer_killed_before_it_woke_them_also_beside_readers_of_its_own() {
        if futex::wait_or_death(&Half::new(0), 1, &Half::new(0), SLEEP).is_none() {
            eprintln!("this kernel has no futex_waitv");
            return;
        }
        for failpoint in [Failpoint::Committed, Failpoint::LockFreed, Failpoint::MarkCleared] {
            let dir = tempfile::tempdir().unwrap();
            let pool = Pool::create(&dir.path().join("p.plasmite"), 64 << 10).unwrap();
            let test = "pool::wait::tests::a_process_with_idle_readers_that_is_killed";
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "--ignored", test])
                .env(POOL, pool.path())
                .env(DIE_AT, failpoint.name())
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap();
            // Its own readers come first, in the kernel's queue too.
            until_idle(&pool, 3);
            let (tell, told) = mpsc::channel();
            for _ in 0..2 {
                let (pool, tell) = (pool.clone(), tell.clone());
                thread::spawn(move || tell.send(pool.wait(Seq::ZERO, None)));
            }
            assert!(!child.wait().unwrap().success());
            assert_eq!(pool.bounds().unwrap().newest, Seq::FIRST, "it did not come to commit");
            for _ in 0..2 {
                assert!(told.recv_timeout(LIMIT).expect("nobody woke it").unwrap());
            }
        }
    }

    #[test]
    #[ignore = "a process of the test above"]
    fn a_process_with_idle_readers_that_is_killed() {
        let Some(path) = std::env::var_os(POOL) else { return };
        let pool = Pool::open(Path::new(&path)).unwrap();
        for _ in 0..3 {
            let pool = pool.clone();
            thread::spawn(move || pool.wait(Seq::ZERO, None));
        }
        until_idle(&pool, 5);
        pool.append::<&str>(b"{}", &[], Durability::Fast).unwrap();
    }
}
