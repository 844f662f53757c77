//! A lock in the pool file that the death of its holder can't keep.
//!
//! The word: bits 0–30 the holder's place plus one (0: free), bit 31 "someone sleeps", bits 32–63 a count of
//! acquisitions, so that no two holdings look the same.

use std::fs::File;
use std::hint;
use std::mem::ManuallyDrop;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::place::{self, Holder, OwnPlace, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint::{self, Failpoint};
use crate::format::header::PARTICIPANTS;
use crate::sys::clock::Instant;
use crate::sys::futex;
use crate::sys::map::Map;
use crate::sys::word::Word;

const HOLDER: u64 = 0x7fff_ffff;
const SLEEPERS: u64 = 1 << 31;
const LOW: u64 = 0xffff_ffff;

/// Looks at the word before the first sleep: about as long as an append of a small message takes.
/// Under the model checker each look is a branch: one will do.
const SPINS: u32 = if cfg!(test) { 1 } else { 100 };
/// The longest sleep before the holder's life is looked into.
const SLEEP: Duration = Duration::from_millis(10);
/// How long a holding is taken for a living one.
const GRACE: Duration = Duration::from_millis(2);

/// What a waiting process needs to find out about holders.
#[derive(Clone, Copy)]
pub(super) struct Waiter<'a> {
    pub(super) map: &'a Map,
    pub(super) file: &'a File,
    pub(super) own: &'a OwnPlace,
    /// How long one holding may last before the wait ends with Busy.
    pub(super) patience: Duration,
}

/// Since when a lock has been seen in the same hands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    /// The count of acquisitions.
    holding: u64,
    since: Instant,
}

impl Watch {
    pub(super) fn new(word: &Word) -> Self {
        Self { holding: word.load(Ordering::Relaxed) >> 32, since: Instant::now() }
    }

    /// Begins anew when `now`, what the word is now, shows that somebody else holds it, or somebody holds it again.
    pub(super) fn look(&mut self, now: u64) {
        if now >> 32 != self.holding {
            *self = Self { holding: now >> 32, since: Instant::now() };
        }
    }
}

/// The lock, held.
#[derive(Debug)]
pub(super) struct Held<'a> {
    word: &'a Word,
    /// All sleepers are woken at the end rather than one.
    wake_all: bool,
    /// The last holder died in here.
    pub(super) taken_over: bool,
}

/// True when nobody holds the lock at this moment.
pub(super) fn is_free(word: &Word) -> bool {
    word.load(Ordering::Relaxed) & HOLDER == 0
}

/// True when somebody may sleep until the lock is freed.
pub(super) fn has_sleepers(word: &Word) -> bool {
    word.load(Ordering::Relaxed) & SLEEPERS != 0
}

/// The place that the word names, if there is no such place.
pub(super) fn impossible_place(word: &Word) -> Option<u64> {
    let place = (word.load(Ordering::Relaxed) & HOLDER).checked_sub(1)?;
    (place >= u64::from(PARTICIPANTS)).then_some(place)
}

/// Takes the lock, or gives up once `done` says that it is not needed any more. What had been seen of it before counts, and what was
/// seen last is left in `watch`.
#[inline]
pub(super) fn acquire<'a>(
    word: &'a Word,
    place: &Place<'_>,
    waiter: Waiter<'_>,
    watch: &mut Option<Watch>,
    wake_all: bool,
    done: impl Fn() -> bool,
) -> Result<Option<Held<'a>>> {
    let mine = u64::from(place.number) + 1;
    let now = word.load(Ordering::Relaxed);
    if now & LOW == 0 && exchange(word, now, mine) {
        return Ok(Some(Held { word, wake_all, taken_over: false }));
    }
    acquire_contended(word, mine, waiter, watch, wake_all, done)
}

#[cold]
fn acquire_contended<'a>(
    word: &'a Word,
    mine: u64,
    waiter: Waiter<'_>,
    watch: &mut Option<Watch>,
    wake_all: bool,
    done: impl Fn() -> bool,
) -> Result<Option<Held<'a>>> {
    let held = |taken_over| {
        if taken_over {
            failpoint::pass(Failpoint::LockTakenOver);
        }
        Ok(Some(Held { word, wake_all, taken_over }))
    };
    // Who wakes all at the end holds it for the time of a sync: many times longer than looking is worth.
    for _ in 0..if wake_all { 0 } else { SPINS } {
        let now = word.load(Ordering::Relaxed);
        if now & LOW == 0 && exchange(word, now, mine) {
            return held(false);
        }
        hint::spin_loop();
    }
    let watch = watch.get_or_insert_with(|| Watch::new(word));
    loop {
        if done() {
            return Ok(None);
        }
        let now = word.load(Ordering::Relaxed);
        if now & HOLDER == 0 {
            // Others may sleep too: whoever waited wakes the next at the end.
            if exchange(word, now, mine | SLEEPERS) {
                return held(false);
            }
            continue;
        }
        watch.look(now);
        let lasted = watch.since.elapsed();
        let holder = (now & HOLDER) as u32;
        if u64::from(holder) == mine {
            // We don't hold it, so the last owner of our place died holding it.
            if exchange(word, now, mine | SLEEPERS) {
                return held(true);
            }
            continue;
        }
        if lasted >= GRACE {
            match place::holder(waiter.map, waiter.file, waiter.own, holder - 1)? {
                Holder::Dead(fence) => {
                    let won = exchange(word, now, mine | SLEEPERS);
                    drop(fence);
                    if won {
                        return held(true);
                    }
                    continue;
                }
                Holder::Alive(id) if lasted >= waiter.patience => {
                    let who = match id.pid_here() {
                        Some(pid) => format!("process {pid}"),
                        // Here that number may be another process, which nobody should stop for it.
                        None => format!("process {} of another pid namespace", id.pid),
                    };
                    return Err(Error::new(
                        ErrorKind::Busy,
                        format!("{who} has held the pool's lock for {lasted:?}"),
                    )
                    .with_hint("it may be stopped: let it go on (kill -CONT) or end it"));
                }
                Holder::Alive(_) => {}
            }
        }
        if waiter.map.is_poisoned() {
            return Err(Error::corrupt("the file became shorter while it was in use"));
        }
        sleep(word, now, if lasted < GRACE { GRACE } else { SLEEP.min(waiter.patience) });
    }
}

/// Sleeps while the word is `now`, up to `limit`, and says in the word that somebody does.
fn sleep(word: &Word, now: u64, limit: Duration) {
    let asleep = now | SLEEPERS;
    if now == asleep
        || word.compare_exchange(now, asleep, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    {
        futex::wait_low(word, asleep as u32, limit);
    }
}

/// Sleeps while another thread of the caller's holds the lock, or waits for it. False, at once: it is free.
pub(super) fn sleep_while_held(word: &Word) -> bool {
    let now = word.load(Ordering::Relaxed);
    if now & HOLDER == 0 {
        return false;
    }
    sleep(word, now, SLEEP);
    true
}

/// Sleeps while nobody holds the lock, until somebody who did frees it, or up to about `limit`. False, at once: it is held.
///
/// Of several who sleep so the first alone keeps the time, so that nobody is woken for nothing while a sync is made; should it
/// be killed, the others find that out.
pub(super) fn sleep_while_free(word: &Word, limit: Duration) -> bool {
    let now = word.load(Ordering::Relaxed);
    if now & HOLDER != 0 {
        return false;
    }
    sleep(word, now, if now & SLEEPERS != 0 { limit.max(GRACE) } else { limit });
    true
}

/// Frees a lock whose holder had place `number` and died, and wakes who sleeps for it. The caller has just taken the place.
pub(super) fn free_after_death(word: &Word, number: u32) -> bool {
    let now = word.load(Ordering::Relaxed);
    // Acquire and release: what the dead one stored is there for whoever takes the lock next.
    let freed = now & HOLDER == u64::from(number) + 1
        && word.compare_exchange(now, now & !LOW, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    if freed && now & SLEEPERS != 0 {
        wake_sleepers(word, true);
    }
    freed
}

/// Acquire order: pairs with the release in `Held::drop`. After the death of a holder the CPU's own coherence does: what
/// it had stored before it was killed is there.
fn exchange(word: &Word, now: u64, low: u64) -> bool {
    let next = (now & !LOW).wrapping_add(1 << 32) | low;
    word.compare_exchange(now, next, Ordering::Acquire, Ordering::Relaxed).is_ok()
}

impl Held<'_> {
    /// Frees the lock; how many were woken, after `before_waking`.
    pub(super) fn free(self, before_waking: impl FnOnce()) -> u32 {
        let this = ManuallyDrop::new(self);
        this.let_go(before_waking)
    }

    #[inline]
    fn let_go(&self, before_waking: impl FnOnce()) -> u32 {
        let before = self.word.fetch_and(!LOW, Ordering::Release);
        before_waking();
        if before & SLEEPERS == 0 { 0 } else { wake_sleepers(self.word, self.wake_all) }
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        self.let_go(|| ());
    }
}

#[cold]
fn wake_sleepers(word: &Word, all: bool) -> u32 {
    futex::wake_low(word, if all { i32::MAX } else { 1 })
}
