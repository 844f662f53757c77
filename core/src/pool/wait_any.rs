//! One thread that waits for several pools.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Pool;
use super::wait::{ASLEEP, LAST_LOOK, SLEEP};
use crate::sys::futex;
use crate::sys::word::Half;
use crate::types::Seq;

/// The most pools that one call of [`wait_any`] can sleep for; with more of them it looks again at short intervals.
pub const MAX_WAIT_ANY: usize = futex::MAX_WAIT_MANY - 1;

/// Wakes a thread that sleeps in [`wait_any`].
#[derive(Debug, Default)]
pub struct Bell(Half);

impl Bell {
    /// How often it was rung. To be read before looking at what a ring announces.
    pub fn rings(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    /// Wakes the sleeper, or has its next sleep end at once.
    pub fn ring(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        futex::wake_all(&self.0);
    }
}

/// Sleeps until one of `pools` may have a message newer than its seq, until `bell` was rung since it was `heard`, or until
/// `timeout` is over. Returns after a short while in any case, and for any reason at all: look at each pool again, with
/// [`Pool::bounds`] and now and then with [`Pool::check_alive`].
pub fn wait_any(pools: &[(&Pool, Seq)], bell: &Bell, heard: u32, timeout: Duration) {
    let mut sleep = SLEEP.min(timeout);
    let mut words = Vec::with_capacity(pools.len() + 1);
    words.push((&bell.0, heard));
    for (pool, seen) in pools {
        if pool.newest() > *seen {
            return;
        }
        let waiters = pool.map().waiters();
        // As in `Pool::wait`: sequentially consistent with the writer, who sees the mark or is seen below.
        let mark = if pool.is_read_only() {
            sleep = sleep.min(LAST_LOOK);
            waiters.load(Ordering::SeqCst)
        } else {
            waiters.fetch_or(ASLEEP, Ordering::SeqCst) | ASLEEP
        };
        words.push((waiters, mark));
    }
    if pools.iter().any(|(pool, seen)| pool.newest() > *seen || pool.check_state().is_err()) {
        return;
    }
    if !futex::wait_many(&words, sleep) {
        futex::wait(&bell.0, heard, sleep.min(LAST_LOOK));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::types::Durability;

    const LONG: Duration = Duration::from_secs(60);

    fn pools(dir: &std::path::Path, count: usize) -> Vec<Pool> {
        let pool = |i| Pool::create(&dir.join(format!("{i}.plasmite")), 64 << 10).unwrap();
        (0..count).map(pool).collect()
    }

    /// Calls `wait_any` until it was the right reason.
    fn wait_until(pools: &[Pool], bell: &Bell, done: impl Fn() -> bool) {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < LONG, "waited in vain");
            let waits: Vec<_> = pools.iter().map(|pool| (pool, Seq::new(0))).collect();
            wait_any(&waits, bell, bell.rings(), LONG);
        }
    }

    #[test]
    fn a_message_in_any_pool_ends_the_wait() {
        let dir = tempfile::tempdir().unwrap();
        for count in [1, 3, MAX_WAIT_ANY, MAX_WAIT_ANY + 1, 200] {
            let sub = dir.path().join(count.to_string());
            std::fs::create_dir(&sub).unwrap();
            let pools = pools(&sub, count);
            let writer = pools.last().unwrap().clone();
            let thread = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(20));
                writer.append::<&str>(b"{}", &[], Durability::Fast).unwrap();
            });
            let last = pools.last().unwrap();
            wait_until(&pools, &Bell::default(), || last.bounds().unwrap().newest > Seq::new(0));
            thread.join().unwrap();
        }
    }

    #[test]
    fn a_pool_that_may_only_be_read_is_looked_at_again() {
        let dir = tempfile::tempdir().unwrap();
        let writer = pools(dir.path(), 1).remove(0);
        let reader = Pool::open_read_only(writer.path()).unwrap();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            writer.append::<&str>(b"{}", &[], Durability::Fast).unwrap();
        });
        let look = reader.clone();
        wait_until(&[reader], &Bell::default(), || look.bounds().unwrap().newest > Seq::new(0));
        thread.join().unwrap();
    }

    #[test]
    fn a_bell_ends_the_wait_also_when_it_was_rung_before() {
        let bell = Bell::default();
        let heard = bell.rings();
        bell.ring();
        wait_any(&[], &bell, heard, LONG);
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(20));
                bell.ring();
            });
            while bell.rings() < 2 {
                wait_any(&[], &bell, bell.rings(), LONG);
                assert!(start.elapsed() < LONG);
            }
        });
    }
}
