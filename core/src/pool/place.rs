//! The participant table: each writer has a place in it, whose byte it keeps locked while it lives.
//!
//! Most places are kept for the life of the handle. The last few are lent for one operation at a time, so that any number
//! of writers get on.

use std::fs::File;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::lock;
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint::{self, Failpoint};
use crate::format::header::{PARTICIPANT_BYTES, PARTICIPANTS, PARTICIPANTS_AT, STATE_DELETED};
use crate::sys::clock::{self, Instant};
use crate::sys::files;
use crate::sys::map::Map;
use crate::sys::ofd::{self, Byte};
use crate::sys::process::ProcessId;
use crate::sys::word::{self, Half, Word};

/// Places from here on are lent.
const FIRST_LENT: u32 = PARTICIPANTS - 32;
/// How often a writer that found every place taken looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// A writer's own place, once it has one. Belongs to one open file description.
#[derive(Debug)]
pub(super) struct OwnPlace {
    /// The place plus one; 0: none yet.
    kept: Half,
    /// The lent places that this handle uses now, one bit each: locks of one description never conflict with each other.
    lent: Half,
    /// Held while a thread locks or unlocks the byte of a place that is not known to be this handle's.
    asking: Mutex<()>,
    me: ProcessId,
}

/// The right to put a place into a lock word.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) number: u32,
    file: &'a File,
    /// Where a lent place is given back to.
    lender: Option<&'a OwnPlace>,
}

impl OwnPlace {
    pub(super) fn new() -> Self {
        Self {
            kept: Half::new(0),
            lent: Half::new(0),
            asking: Mutex::new(()),
            me: ProcessId::current(),
        }
    }

    /// True when this handle has the place, so that asking the kernel for its byte says nothing.
    fn has(&self, number: u32) -> bool {
        self.kept.load(Ordering::Acquire) == number + 1
            || number
                .checked_sub(FIRST_LENT)
                .is_some_and(|bit| self.lent.load(Ordering::Acquire) & (1 << bit) != 0)
    }

    fn ask(&self) -> MutexGuard<'_, ()> {
        word::lock(&self.asking)
    }

    /// Lets others take over what this handle holds, as if its process had died. For one whose mapping leads nowhere any more.
    pub(super) fn abandon(&self, file: &File) {
        let _asking = self.ask();
        if let Some(number) = self.kept.load(Ordering::Acquire).checked_sub(1) {
            ofd::unlock(file, Byte::Place(number));
        }
    }

    /// This handle's place, or a lent one. Two threads may come here at once.
    #[inline]
    pub(super) fn take<'a>(
        &'a self,
        map: &Map,
        file: &'a File,
        patience: Duration,
    ) -> Result<Place<'a>> {
        match self.kept.load(Ordering::Acquire) {
            0 => self.find(map, file, patience),
            kept => Ok(Place { number: kept - 1, file, lender: None }),
        }
    }

    #[cold]
    fn find<'a>(&'a self, map: &Map, file: &'a File, patience: Duration) -> Result<Place<'a>> {
        let first = self.me.pid % FIRST_LENT;
        let start = Instant::now();
        loop {
            let asking = self.ask();
            let kept = self.kept.load(Ordering::Acquire);
            if kept != 0 {
                return Ok(Place { number: kept - 1, file, lender: None });
            }
            for number in (0..FIRST_LENT).map(|i| (first + i) % FIRST_LENT) {
                if self.try_take(map, file, number)? {
                    self.kept.store(number + 1, Ordering::Release);
                    return Ok(Place { number, file, lender: None });
                }
            }
            for number in FIRST_LENT..PARTICIPANTS {
                let bit = 1 << (number - FIRST_LENT);
                if self.lent.fetch_or(bit, Ordering::AcqRel) & bit != 0 {
                    continue;
                }
                let taken = self.try_take(map, file, number);
                if matches!(taken, Ok(true)) {
                    return Ok(Place { number, file, lender: Some(self) });
                }
                self.lent.fetch_and(!bit, Ordering::AcqRel);
                taken?;
            }
            drop(asking);
            if start.elapsed() >= patience {
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!("all {PARTICIPANTS} places for writers of the pool are taken"),
                )
                .with_hint("close writers that are idle, or try again"));
            }
            clock::sleep(LOOK_AGAIN);
        }
    }

    fn try_take(&self, map: &Map, file: &File, number: u32) -> Result<bool> {
        let locked = ofd::try_lock(file, Byte::Place(number)).map_err(|e| {
            Error::new(ErrorKind::Io, format!("cannot lock a place in the pool: {e}"))
        })?;
        if locked {
            failpoint::pass(Failpoint::PlaceLocked);
            inherit(map, file, number);
            write_record(map, number, self.me);
        }
        Ok(locked)
    }
}

/// Frees the locks that the last owner of a place died with. Otherwise they would count as the new owner's, who may not come
/// to use them for a long time.
fn inherit(map: &Map, file: &File, number: u32) {
    let free = |word: &Word| lock::free_after_death(word, number);
    free(map.sync_lock());
    if free(map.writer_lock()) && files::is_unlinked(file).unwrap_or(false) {
        // It may have been about to say so.
        map.state().store(STATE_DELETED, Ordering::Release);
    }
}

impl Drop for Place<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(lender) = self.lender {
            let _asking = lender.ask();
            ofd::unlock(self.file, Byte::Place(self.number));
            lender.lent.fetch_and(!(1 << (self.number - FIRST_LENT)), Ordering::AcqRel);
        }
    }
}

/// What can be said of the holder of a place.
pub(super) enum Holder<'a> {
    /// Gone; and while the fence is held, nobody can take the place.
    Dead(Option<Fence<'a>>),
    /// Alive, or not known to be dead.
    Alive(ProcessId),
}

/// Keeps a place from being taken.
pub(super) struct Fence<'a> {
    file: &'a File,
    number: u32,
    // Locks of one description don't conflict: another thread of this handle must not take the place meanwhile, and lose it when
    // the fence goes.
    _asking: MutexGuard<'a, ()>,
}

impl Drop for Fence<'_> {
    fn drop(&mut self) {
        ofd::unlock(self.file, Byte::Place(self.number));
    }
}

/// Asks the kernel whether the process that took place `number` lives.
///
/// Its byte is free: it is dead. Its byte is held: it lives, or a forked child keeps its description open; then its record
/// tells, if it is of this pid namespace. A word that names a place of `own`'s, and that `own` does not hold, was left by
/// whoever had the place before.
pub(super) fn holder<'a>(
    map: &Map,
    file: &'a File,
    own: &'a OwnPlace,
    number: u32,
) -> Result<Holder<'a>> {
    if number >= PARTICIPANTS {
        return Err(Error::corrupt(format!("the lock names place {number} of {PARTICIPANTS}")));
    }
    let asking = own.ask();
    if own.has(number) {
        return Ok(Holder::Dead(None));
    }
    match ofd::try_lock(file, Byte::Place(number)) {
        Ok(true) => Ok(Holder::Dead(Some(Fence { file, number, _asking: asking }))),
        Ok(false) => {
            let id = read_record(map, number);
            Ok(if id.is_known_dead() { Holder::Dead(None) } else { Holder::Alive(id) })
        }
        Err(e) => Err(Error::new(ErrorKind::Io, format!("cannot ask for a lock of the pool: {e}"))),
    }
}

fn write_record(map: &Map, number: u32, id: ProcessId) {
    let at = PARTICIPANTS_AT + u64::from(number) * PARTICIPANT_BYTES;
    let who = u64::from(id.pid) | u64::from(id.pid_namespace) << 32;
    map.word(at + 8).store(id.start_time, Ordering::Relaxed);
    map.word(at).store(who, Ordering::Release);
}

fn read_record(map: &Map, number: u32) -> ProcessId {
    let at = PARTICIPANTS_AT + u64::from(number) * PARTICIPANT_BYTES;
    let who = map.word(at).load(Ordering::Acquire);
    let start_time = map.word(at + 8).load(Ordering::Relaxed);
    ProcessId { pid: who as u32, pid_namespace: (who >> 32) as u32, start_time }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_place_that_is_looked_into_is_not_taken_by_another_thread_of_the_handle() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.plasmite");
        drop(crate::Pool::create(&path, 8192).unwrap());
        let file = files::open(&path, true).unwrap();
        let map = Map::new(&file, 8192, true).unwrap();
        let own = OwnPlace::new();
        let first = own.me.pid % FIRST_LENT;
        let Holder::Dead(fence) = holder(&map, &file, &own, first).unwrap() else {
            panic!("nobody has place {first}")
        };
        let (taken, took) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let place = own.take(&map, &file, Duration::from_secs(60)).unwrap();
                taken.send(place.number).unwrap();
            });
            // Whether it comes to it before or after the fence goes: what it takes, it keeps.
            let number = took.recv_timeout(Duration::from_millis(200));
            drop(fence);
            let number = number.or_else(|_| took.recv()).unwrap();
            let other = files::open(&path, true).unwrap();
            assert!(!ofd::try_lock(&other, Byte::Place(number)).unwrap());
        });
    }
}
