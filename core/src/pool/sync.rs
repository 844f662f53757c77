//! `flush`: syncs, shared by all writers that wait for one, and what evictions owe to them.
//!
//! Three words tell what a power loss leaves: `flush_target` (a sync was asked up to here), `durable` (a finished sync
//! covered up to here) and `persisted` (a value of `durable` that lies on the disk itself, with the index up to there). Recovery finds its
//! way through the ring from `persisted`, so that message must not be overwritten while a newer one has been promised: that is what
//! [`allow_eviction`] sees to. So header and index need no sync but now and then, while the ring turns.

use std::cell::Cell;
use std::io;
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::Pool;
use super::company::Company;
use super::local::Local;
use super::lock::{self, Held, Waiter, Watch};
use super::place::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint::{self, Failpoint};
use crate::format::header::PERSISTED_SEQ_AT;
use crate::sys::clock::{self, Instant};
use crate::sys::files;
use crate::types::Seq;

/// A disk may be slow: how long one sync may take before those who wait for it get Busy. A test waits for that.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 60 });
/// How often a sync lets others go first. Writers that do not wait for syncs would hold it up for ever.
const MAX_YIELDS: u32 = 32;
/// How many syncs of its own somebody makes for one message. The second one has stored all that is waited for: if that is not there
/// after so many, someone else keeps writing into the header's words.
const MAX_SYNCS: u32 = 8;
/// How soon a thread looks again that meets another one of its handle on its way to the sync lock, or from there.
const LOOK_AGAIN: Duration = Duration::from_micros(50);

/// What a sync is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Messages are to survive a power loss: the ring is synced. A moment after the sync before, it waits for those who shared that;
    /// not under the writer lock, which they need.
    Flush,
    /// `persisted` has to move: all of the file is synced. Under the writer lock.
    Eviction,
}

impl Pool {
    /// Makes everything committed so far survive power loss.
    ///
    /// # Errors
    /// Io when the disk fails, now or at an earlier sync; Busy, NotFound, Permission and Corrupt as in [`Pool::append`].
    pub fn flush(&self) -> Result<()> {
        self.writable()?;
        let local = self.0.local.get()?;
        let tip = self.set_flush_target(local)?;
        self.prepare_pages_since_last_flush(tip.tail);
        self.sync_up_to(local, tip.seq)
    }

    /// True when `seq`, which is committed and not above the flush target, survives a power loss.
    fn is_safe(&self, seq: Seq) -> bool {
        let map = self.map();
        let persisted = map.persisted().load(Ordering::Acquire);
        // Recovery finds its way from there to `seq` if that message is still there, which `allow_eviction` sees to from now on; or if
        // it is `seq` or a newer one already.
        map.durable().load(Ordering::Acquire) >= seq.get()
            && (persisted >= seq.get()
                || map.oldest().load(Ordering::Acquire) <= first_kept(persisted))
    }

    /// True when header and index may stay behind: `persisted` is among the newer half of what is retained, so there is time for it to
    /// move before an eviction would have to wait for that.
    fn persisted_is_recent(&self) -> bool {
        let map = self.map();
        let persisted = map.persisted().load(Ordering::Acquire);
        let oldest = map.oldest().load(Ordering::Acquire);
        let retained = map.committed().load(Ordering::Acquire).saturating_sub(oldest);
        persisted.checked_sub(oldest).is_some_and(|before| before >= retained / 2)
    }

    /// Returns once `seq`, which is committed and not above the flush target, survives a power loss.
    pub(super) fn sync_up_to(&self, local: &Local, seq: Seq) -> Result<()> {
        let mut syncs = 0;
        while !self.is_safe(seq) {
            match self.check_state() {
                // The new file has it, and is on the disk.
                Err(_) if self.is_resized() => break,
                state => state?,
            }
            self.count_sync(&mut syncs)?;
            self.sync_once(local, Purpose::Flush, &mut None, || self.is_safe(seq))?;
        }
        // What the words say is worth nothing once they are not the file's any more.
        if self.map().is_poisoned() {
            return Err(self.shrunk());
        }
        // Not before: who is told that it is durable is told so by a sync that did not fail.
        self.check_sync_failures()
    }

    /// Before a sync: an error when there have been so many in vain.
    fn count_sync(&self, syncs: &mut u32) -> Result<()> {
        *syncs += 1;
        if *syncs <= MAX_SYNCS {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "{MAX_SYNCS} syncs did not move what the header says is durable"
        ))
        .with_path(self.path())
        .with_offset(PERSISTED_SEQ_AT)
        .with_hint("find out which other program writes into the pool's file"))
    }

    /// One sync, unless `done` turns true while waiting for another's.
    fn sync_once(
        &self,
        local: &Local,
        purpose: Purpose,
        watch: &mut Option<Watch>,
        done: impl Fn() -> bool,
    ) -> Result<()> {
        let map = self.map();
        let since = Instant::now();
        let Some((turn, _place, held)) = self.sync_lock(local, purpose, since, watch, &done)?
        else {
            return Ok(());
        };
        failpoint::pass(Failpoint::SyncLockTaken);
        self.check_sync_failures()?;
        if purpose == Purpose::Flush {
            self.let_others_append();
        }
        let durable_before = map.durable().load(Ordering::Acquire);
        // A writer stores the target before it commits: one killed in between leaves it one too high.
        let committed = map.committed().load(Ordering::Acquire);
        let covered = map.flush_target().load(Ordering::Acquire).min(committed);
        let all = purpose == Purpose::Eviction || !local.is_mapped || !self.persisted_is_recent();
        let sync = || match all {
            true => files::sync_data(&local.file),
            false => map.sync_from(self.geometry().ring_offset),
        };
        if let Err(e) = self.sync_name_once(local).and_then(|()| sync()) {
            // The kernel reports a lost write once and then calls the page clean (fsync(2)): no later sync can be believed.
            map.sync_failures().fetch_add(1, Ordering::AcqRel);
            return Err(sync_failed(&e.to_string()).with_path(self.path()));
        }
        failpoint::pass(Failpoint::Synced);
        map.durable().fetch_max(covered, Ordering::AcqRel);
        failpoint::pass(Failpoint::DurableStored);
        if all {
            map.persisted().fetch_max(durable_before, Ordering::AcqRel);
        }
        failpoint::pass(Failpoint::PersistedStored);
        // Those who are woken may want the lock at once.
        let woken = held.free(|| drop(turn));
        local.set_company(match woken {
            0 => Company::default(),
            _ => Company::met(covered.saturating_sub(durable_before), since),
        });
        Ok(())
    }

    /// The lock under which a sync is made, which no other thread of this handle then asks for; None once `done` is true. For a flush
    /// it waits for company first: as long as those who shared this process' last sync stay away, but not for long.
    ///
    /// Who holds the writer lock may come here; nobody asks for it from here.
    fn sync_lock<'a>(
        &'a self,
        local: &'a Local,
        purpose: Purpose,
        since: Instant,
        watch: &mut Option<Watch>,
        done: impl Fn() -> bool,
    ) -> Result<Option<(MutexGuard<'a, ()>, Place<'a>, Held<'a>)>> {
        let map = self.map();
        let word = map.sync_lock();
        let waiter =
            Waiter { patience: self.0.options.patience.max(PATIENCE), ..self.waiter(local) };
        let company = purpose == Purpose::Flush;
        // Of its own: were another thread of the handle to put its time off, nobody would keep the time.
        let mut met = local.company();
        let mut durable = map.durable().load(Ordering::Acquire);
        loop {
            self.check_sync_failures()?;
            // Who waits for another thread of the handle to have its turn looks too: they have had enough of one sync together.
            let seen: &mut Watch = watch.get_or_insert_with(|| Watch::new(word));
            seen.look(word.load(Ordering::Relaxed));
            while company
                && let Some(left) = met.is_missed_for(map, !lock::has_sleepers(word))
                && lock::sleep_while_free(word, left)
                && !done()
            {}
            if let Some(turn) = local.try_syncing() {
                // Who comes too late for a sync is woken by its end together with those for whom it was.
                let late = Cell::new(false);
                let give_up = || match lock::is_free(word) {
                    true => done() || (company && late.get()),
                    false => {
                        late.set(true);
                        done()
                    }
                };
                let place = local.place.take(map, &local.file, self.0.options.patience)?;
                let held = lock::acquire(word, &place, waiter, watch, true, give_up);
                if let Some(held) = held.map_err(|e| e.with_path(self.path()))?
                    && !done()
                {
                    return Ok(Some((turn, place, held)));
                }
            } else if !lock::sleep_while_held(word) {
                // The other thread is about to take it, or has just freed it.
                clock::sleep(LOOK_AGAIN);
            }
            let before = std::mem::replace(&mut durable, map.durable().load(Ordering::Acquire));
            let newly_durable = durable.saturating_sub(before);
            if done() {
                local.set_company(Company::met(newly_durable, since));
                return Ok(None);
            }
            // Its own is one more.
            met = Company::met(newly_durable.saturating_add(1), since);
        }
    }

    /// Makes the pool's name survive power loss, once for each handle: who made the file, gave it another size or renamed it
    /// may have died before that.
    fn sync_name_once(&self, local: &Local) -> io::Result<()> {
        if !local.name_is_synced.load(Ordering::Relaxed) {
            files::sync_name(self.path(), &local.file)?;
            local.name_is_synced.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The end of the sync before has woken whoever waited for it: those who append again are let go first, so that the next
    /// sync, which takes longer than all of their appends, covers them too.
    fn let_others_append(&self) {
        let mut seen = self.map().committed().load(Ordering::Relaxed);
        for _ in 0..MAX_YIELDS {
            thread::yield_now();
            let now = self.map().committed().load(Ordering::Relaxed);
            if now == seen {
                return;
            }
            seen = now;
        }
    }

    fn check_sync_failures(&self) -> Result<()> {
        match self.map().sync_failures().load(Ordering::Acquire) {
            0 => Ok(()),
            n => Err(sync_failed(&format!("{n} sync(s) failed before")).with_path(self.path())),
        }
    }
}

/// The oldest message that has to stay for recovery to find what was promised after `persisted`. The first of all is at the start of the
/// ring, where it needs no index to be found.
fn first_kept(persisted: u64) -> u64 {
    persisted.max(1)
}

fn sync_failed(why: &str) -> Error {
    Error::new(
        ErrorKind::Io,
        format!("a sync failed, so what was appended since may not survive a power loss: {why}"),
    )
    .with_hint("check the disk, then copy the messages into a new pool")
}

/// Called under the writer lock before messages up to `last` are overwritten: while a promise newer than `persisted` is
/// out, the message of that number and those after it stay until the disk itself says that they are not needed.
pub(super) fn allow_eviction(
    pool: &Pool,
    local: &Local,
    watch: &mut Option<Watch>,
    last: Seq,
) -> Result<()> {
    let map = pool.map();
    let mut syncs = 0;
    loop {
        let persisted = map.persisted().load(Ordering::Acquire);
        // A writer stores the target before it commits, and may have been killed in between.
        let target = map.flush_target().load(Ordering::Acquire);
        let promised = target.min(map.committed().load(Ordering::Acquire));
        if promised <= persisted || last.get() < first_kept(persisted) {
            return Ok(());
        }
        pool.count_sync(&mut syncs)
            .and_then(|()| {
                pool.sync_once(local, Purpose::Eviction, watch, || {
                    map.persisted().load(Ordering::Acquire) > persisted
                })
            })
            .map_err(|e| e.after("no room could be made, and nothing was appended"))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Durability;

    #[test]
    fn what_is_resized_before_its_sync_is_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.plasmite");
        let pool = Pool::create(&path, 64 << 10).unwrap();
        let receipt = pool.append::<&str>(b"{}", &[], Durability::Fast).unwrap();
        Pool::resize(&path, 128 << 10).unwrap();
        // An error would have the caller append it again, to the new file, which has it.
        pool.sync_up_to(pool.0.local.get().unwrap(), receipt.seq).unwrap();
    }
}
